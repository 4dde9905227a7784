//! The `attester` program as its user meets it: files, output, exit codes.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use attester::{
    model::{PhaseTimes, Reason, Route},
    store::{PeerRow, ProbeRow, RejectionRow, Store},
};
use proto::{
    claims::{Outcome, Phase, Protocol, Protocols},
    ids::{Nonce, Pin, ProbeId},
    key::{PublicKey, SigningKey},
    time::{Clock, Timestamp},
};
use serde_json::Value;
use tempfile::TempDir;

/// A folder to run the program in.
struct Place(TempDir);

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With a configuration for one machine.
    fn initialised() -> Self {
        let place = Self::new();
        let ran = place.run(&["init", "--local"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_attester"));
        let Output { status, stdout, stderr } = command.args(arguments).current_dir(self.0.path()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran {
            code: status.code().unwrap(),
            out: text(stdout),
            err: text(stderr),
        }
    }

    /// Runs a listing with `--json`: the code and the objects.
    fn json(&self, arguments: &[&str]) -> (i32, Vec<Value>) {
        let ran = self.run(&[arguments, &["--json"]].concat());
        (
            ran.code,
            ran.out
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect(),
        )
    }

    /// Fills the state file, as an attester does.
    fn fill(&self, fill: impl AsyncFnOnce(&Store)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let store = Store::open(&self.path("state/attester.db")).await.unwrap();
            fill(&store).await;
            store.close().await;
        });
    }
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;

    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn peer(number: u8, standing: &str) -> PeerRow {
    let key = SigningKey::from_seed(&[number; 32]).public();
    let now = Clock::system().now();
    PeerRow {
        id: key.peer_id(),
        key,
        address: format!("127.77.{number}.1:8443").parse().unwrap(),
        pin: Pin::from_bytes([number; 32]),
        protocols: Protocols::new([Protocol::Connect, Protocol::Enproxy]).unwrap(),
        standing: standing.to_owned(),
        reason: None,
        detail: String::new(),
        since: Some(now.minus(Duration::from_secs(3900))),
        first_seen: Timestamp::from_secs(951_782_400),
        last_seen: now.minus(Duration::from_secs(3)),
        lease_until: (standing == "verified").then(|| now.plus(Duration::from_secs(250))),
    }
}

fn probe(peer: &PeerRow, number: u8) -> ProbeRow {
    let mut phases = PhaseTimes::default();
    phases.note(Phase::Resolve, Duration::from_micros(300));
    phases.note(Phase::Connect, Duration::from_micros(1500));
    ProbeRow {
        probe: ProbeId::from_bytes([number; 16]),
        peer: peer.id.clone(),
        at: Timestamp::from_secs(951_868_800 + u64::from(number)),
        route: Route::direct(Protocol::Connect),
        body: 1024,
        outcome: Outcome::Proved,
        reason: None,
        detail: String::new(),
        phases,
        nonce: Nonce::from_bytes([number; 32]),
        evidence: vec![1; 10],
    }
}

/// One verified peer with two probes, one suspended, and rejections of a third and of somebody unknown.
fn prepared() -> (Place, PeerRow, PeerRow) {
    let place = Place::initialised();
    let (good, mut bad) = (peer(1, "verified"), peer(2, "suspended"));
    (bad.reason, bad.detail) = (Some(Reason::TlsTimeout), "3 s".to_owned());
    place.fill(async |store| {
        store.record_verdict(&good, &probe(&good, 1)).await.unwrap();
        store.record_verdict(&good, &probe(&good, 2)).await.unwrap();
        let failed = ProbeRow {
            outcome: Outcome::Failed,
            reason: Some(Reason::TlsTimeout),
            detail: "3 s".to_owned(),
            evidence: vec![],
            ..probe(&bad, 3)
        };
        store.record_verdict(&bad, &failed).await.unwrap();
        let rejection = |source: &str, peer: Option<&PeerRow>| RejectionRow {
            at: Timestamp::from_secs(951_782_400),
            source: source.parse().unwrap(),
            peer: peer.map(|peer| peer.id.clone()),
            reason: Reason::PortRefused,
            detail: format!("from {source}"),
        };
        let third = peer(3, "");
        let rows = [
            rejection("127.77.3.1", Some(&third)),
            rejection("127.77.2.1", Some(&bad)),
            rejection("198.51.100.9", None),
        ];
        store.record_rejections(&rows).await.unwrap();
    });
    (place, good, bad)
}

#[test]
fn init_writes_private_files_once() {
    let place = Place::new();
    let ran = place.run(&["init", "--local"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(mode(&place.path("attester.toml")), 0o600);
    assert_eq!(mode(&place.path("state/keys")), 0o700);
    let keys = [
        "attester.key",
        "keys.lock",
        "keyset.cose",
        "origin.key",
        "prober.key",
        "root.key",
        "root.pub",
    ];
    let mut found: Vec<String> = fs::read_dir(place.path("state/keys"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, keys);
    for key in keys {
        assert_eq!(mode(&place.path(&format!("state/keys/{key}"))), 0o600, "{key}");
    }
    let root = SigningKey::read(&place.path("state/keys/root.key")).unwrap().public();
    assert_eq!(
        place.read("state/keys/root.pub").trim().parse::<PublicKey>().unwrap(),
        root
    );
    for line in [
        "wrote attester.toml",
        &format!("pin: {root}"),
        "attester serve",
        &format!("peer-agent init --state peer1 --attester 127.0.0.1:7443 --root {root}"),
        "dig @127.0.0.1 -p 7053 roundrobin.peers.test",
    ] {
        assert!(ran.out.contains(line), "{line:?} in {}", ran.out);
    }
    assert_eq!(place.run(&["check-config"]).code, 0);

    let (config, key) = (place.read("attester.toml"), place.read("state/keys/root.key"));
    let again = place.run(&["init"]);
    assert_eq!((again.code, again.out.as_str()), (3, ""));
    assert!(
        again.err.contains("attester.toml exists, and is never overwritten"),
        "{}",
        again.err
    );
    let other = place.run(&["init", "--config", "other.toml"]);
    assert_eq!(other.code, 3);
    assert!(
        other.err.contains("state/keys/root.key exists") && other.err.contains("never overwritten"),
        "{}",
        other.err
    );
    assert!(!place.path("other.toml").exists());
    assert_eq!(
        (place.read("attester.toml"), place.read("state/keys/root.key")),
        (config, key)
    );
}

#[test]
fn init_takes_folders_and_names_and_refuses_bad_ones() {
    let place = Place::new();
    let ran = place.run(&[
        "init",
        "--config",
        "etc/a.toml",
        "--state",
        "var",
        "--zone",
        "z.example",
        "--destination",
        "o.example:80",
    ]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(place.path("var/keys/root.key").exists());
    assert!(!ran.out.contains("# set"), "{}", ran.out);
    let checked = place.run(&["check-config", "--config", "etc/a.toml"]);
    assert!(checked.out.contains("rotation roundrobin.z.example"), "{}", checked.out);
    assert!(
        Place::new()
            .run(&["init"])
            .out
            .contains("# set dns.zone and origin.destination in attester.toml")
    );

    let place = Place::new();
    for (arguments, key) in [
        (["--zone", "a..b"], "dns.zone"),
        (["--destination", "[::1]:80"], "origin.destination"),
        (["--destination", "127.0.0.1:80"], "origin.destination"),
    ] {
        let ran = place.run(&[&["init"], &arguments[..]].concat());
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.contains(&format!(", key {key}: ")), "{}", ran.err);
    }
    assert_eq!(
        fs::read_dir(place.0.path()).unwrap().count(),
        0,
        "nothing is written after a mistake"
    );
}

#[test]
fn mistakes_are_told_with_line_and_key_by_every_command() {
    let place = Place::initialised();
    let config = place.read("attester.toml");
    let line = config.lines().position(|line| line == "#lease = \"300s\"").unwrap() + 1;
    fs::write(
        place.path("attester.toml"),
        config.replace("#lease = \"300s\"", "lease = \"300\""),
    )
    .unwrap();
    for command in [
        &["check-config"][..],
        &["serve"],
        &["peers"],
        &["explain", "x"],
        &["rejections"],
    ] {
        let ran = place.run(command);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{command:?}");
        let expected = format!(
            "\n  line {line}, key admission.lease: expected a duration from 1s to 7d, such as \"3s\", found \"300\"\n"
        );
        assert!(ran.err.contains(&expected), "{}", ran.err);
    }
    let ran = place.run(&["peers", "--config", "nowhere.toml"]);
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("no configuration at nowhere.toml") && ran.err.contains("attester init"),
        "{}",
        ran.err
    );
    for wrong in [
        &["peers", "--jsonn"][..],
        &["explain"],
        &[],
        &["explain", "x", "--limit", "-1"],
    ] {
        assert_eq!(place.run(wrong).code, 2, "{wrong:?}");
    }
    let help = place.run(&["--help"]);
    assert_eq!(help.code, 0);
}

#[test]
fn without_a_state_file_listings_say_so() {
    let place = Place::initialised();
    for command in [&["peers"][..], &["explain", "x"], &["rejections", "--json"]] {
        let ran = place.run(command);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{command:?}");
        assert!(
            ran.err.contains("no state file at state/attester.db") && ran.err.contains("attester serve"),
            "{}",
            ran.err
        );
    }
    assert!(!place.path("state/attester.db").exists(), "reading creates nothing");
}

#[test]
fn an_empty_state_file_is_listed_as_such() {
    let place = Place::initialised();
    place.fill(async |_| {});
    let ran = place.run(&["peers"]);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 1), "{}", ran.out);
    assert!(ran.out.starts_with("PEER"), "{}", ran.out);
    assert_eq!(place.json(&["peers"]), (0, vec![]));
    assert_eq!(place.json(&["rejections"]), (0, vec![]));
    let ran = place.run(&["explain", "abc"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(
        ran.err.contains("no peer") && ran.err.contains("\"abc\""),
        "{}",
        ran.err
    );
    assert_eq!(place.json(&["explain", "abc"]), (1, vec![]));
}

#[test]
fn peers_are_listed() {
    let (place, good, bad) = prepared();
    let ran = place.run(&["peers"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(!ran.out.contains('\u{1b}'), "no colour in a pipe");
    let of = |peer: &PeerRow| ran.out.lines().find(|line| line.starts_with(peer.id.as_str())).unwrap();
    let (line, other) = (of(&good), of(&bad));
    assert!(
        line.contains("verified") && line.contains("127.77.1.1:8443") && line.contains("enproxy,connect"),
        "{line}"
    );
    assert!(line.contains("4m ") && line.contains("s ago"), "{line}");
    assert!(other.contains("suspended") && other.ends_with("tls-timeout"), "{other}");

    let (code, objects) = place.json(&["peers"]);
    assert_eq!((code, objects.len()), (0, 2));
    let object = objects.iter().find(|object| object["peer"] == bad.id.as_str()).unwrap();
    assert_eq!(object["kind"], "peer");
    assert_eq!(object["name"], format!("peer-{}.peers.test", bad.id));
    assert_eq!(object["key"], bad.key.to_string());
    assert_eq!(object["address"], "127.77.2.1:8443");
    assert_eq!(object["protocols"], serde_json::json!(["enproxy", "connect"]));
    assert_eq!(
        (&object["standing"], &object["reason"], &object["detail"]),
        (&"suspended".into(), &"tls-timeout".into(), &"3 s".into())
    );
    assert_eq!(object["first_seen"], "2000-02-29T00:00:00.000000Z");
    assert_eq!(object["lease_until"], Value::Null);
    assert!(object["remedy"].as_str().unwrap().contains("TLS handshake"));
}

#[test]
fn a_peer_is_explained() {
    let (place, good, bad) = prepared();
    let own_name = format!("peer-{}.peers.test", bad.id);
    let ran = place.run(&["explain", &own_name]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    for part in [
        "standing    suspended",
        "reason      tls-timeout",
        "what to do  the connection is accepted, but the TLS handshake does not finish",
        "first seen  2000-02-29 00:00:00",
        "2000-03-01 00:00:03  030303030303  direct/connect       1024     failed        tls-timeout",
        "resolve 0.3 connect 1.2 ms\n  3 s\n",
        "2000-02-29 00:00:00  127.77.2.1",
    ] {
        assert!(ran.out.contains(part), "{part:?} in\n{}", ran.out);
    }
    assert!(
        !ran.out.contains("127.77.3.1") && !ran.out.contains("198.51.100.9"),
        "{}",
        ran.out
    );

    let (code, objects) = place.json(&["explain", bad.id.as_str()]);
    let kinds: Vec<&str> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!((code, kinds), (0, vec!["peer", "probe", "rejection"]));
    let probe = &objects[1];
    assert_eq!(
        (&probe["outcome"], &probe["phase"], &probe["reason"]),
        (&"failed".into(), &"tls".into(), &"tls-timeout".into())
    );
    assert_eq!(probe["at"], "2000-03-01T00:00:03.000000Z");
    assert_eq!(
        probe["phases_us"],
        serde_json::json!({ "resolve": 300, "connect": 1500 })
    );
    assert_eq!(objects[2]["reason"], "port-refused");

    let (code, objects) = place.json(&["explain", "127.77.1.1", "--limit", "1"]);
    assert_eq!((code, objects.len()), (0, 2));
    assert_eq!(objects[1]["probe"], "02".repeat(16));
    let ran = place.run(&["explain", &good.key.to_string()]);
    assert_eq!(ran.out.matches("proved").count(), 2, "{}", ran.out);
    assert!(ran.out.contains("lease       4m "), "{}", ran.out);
}

#[test]
fn strangers_are_explained_from_their_rejections_and_others_are_not_found() {
    let (place, good, bad) = prepared();
    let third = peer(3, "");
    for name in [third.id.as_str(), "198.51.100.9"] {
        let ran = place.run(&["explain", name]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(
            ran.out
                .contains("port-refused: the port refused the connection: forward it on your router"),
            "{}",
            ran.out
        );
        let (code, objects) = place.json(&["explain", name]);
        assert_eq!((code, objects.len(), &objects[0]["kind"]), (0, 1, &"rejection".into()));
    }
    for unknown in [
        "198.51.100.7",
        "127.77.1.1:9",
        "peer-",
        "",
        "%",
        peer(4, "").id.as_str(),
    ] {
        assert_eq!(place.run(&["explain", unknown]).code, 1, "{unknown:?}");
    }
    // Two peers behind one address: the text does not say which.
    let mut neighbour = peer(5, "probing");
    neighbour.address = "127.77.1.1:9443".parse().unwrap();
    place.fill(async |store| store.record_peer(&neighbour).await.unwrap());
    let ran = place.run(&["explain", "127.77.1.1"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(
        ran.err.contains("more than one") && ran.err.contains(good.id.as_str()) && !ran.err.contains(bad.id.as_str()),
        "{}",
        ran.err
    );

    let (code, objects) = place.json(&["rejections"]);
    assert_eq!((code, objects.len()), (0, 3));
    assert_eq!(
        (&objects[0]["source"], &objects[0]["peer"]),
        (&"198.51.100.9".into(), &Value::Null)
    );
    assert_eq!(objects[2]["peer"], third.id.as_str());
    assert_eq!(place.run(&["rejections"]).out.lines().count(), 4);
}

#[test]
fn listings_are_read_while_an_attester_writes() {
    let place = Place::initialised();
    place.fill(async |store| {
        store.record_peer(&peer(1, "verified")).await.unwrap();
        assert_eq!(place.json(&["peers"]).1.len(), 1);
        store.record_peer(&peer(2, "probing")).await.unwrap();
        assert_eq!(place.json(&["peers"]).1.len(), 2);
        let again = Store::open(&place.path("state/attester.db")).await.unwrap_err();
        assert!(again.to_string().contains("another attester"), "{again}");
    });
}

#[test]
fn listings_are_narrowed_down_and_ordered() {
    let (place, good, bad) = prepared();
    let mut old = peer(6, "retired");
    old.last_seen = Timestamp::from_secs(951_782_400);
    old.protocols = Protocols::new([Protocol::EnproxyPath]).unwrap();
    place.fill(async |store| store.record_peer(&old).await.unwrap());
    let listed = |arguments: &[&str]| -> Vec<String> {
        let (code, objects) = place.json(&[&["peers"], arguments].concat());
        assert_eq!(code, 0, "{arguments:?}");
        let id = |object: &Value| object["peer"].as_str().unwrap().to_owned();
        objects.iter().map(id).collect()
    };
    let is = |arguments: &[&str], expected: &[&PeerRow]| {
        let mut expected: Vec<&str> = expected.iter().map(|peer| peer.id.as_str()).collect();
        expected.sort_unstable();
        assert_eq!(listed(arguments), expected, "{arguments:?}");
    };
    is(&[], &[&good, &bad, &old]);
    is(&["--standing", "verified"], &[&good]);
    is(&["--standing", "verified,suspended"], &[&good, &bad]);
    is(&["--standing", "verified", "--standing", "retired"], &[&good, &old]);
    is(&["--standing", "verified", "--reason", "tls-timeout"], &[]);
    is(&["--reason", "tls-timeout"], &[&bad]);
    is(&["--protocol", "enproxy-path"], &[&old]);
    is(&["--protocol", "connect"], &[&good, &bad]);
    is(&["--address", "127.77.2.1"], &[&bad]);
    is(&["--address", "127.77.0.0/22"], &[&good, &bad]);
    is(&["--address", "127.77.2.1:8444"], &[]);
    is(&["--seen-within", "1h"], &[&good, &bad]);
    is(&["--not-seen-within", "1h"], &[&old]);
    is(&["--lease-within", "5m"], &[&good]);
    is(&["--lease-within", "10s"], &[]);
    let by_seen = listed(&["--sort", "seen", "--reverse", "--limit", "1"]);
    assert_eq!(by_seen, [old.id.to_string()]);
    assert_eq!(
        listed(&["--sort", "standing"]),
        [good.id.to_string(), bad.id.to_string(), old.id.to_string()]
    );
    assert_eq!(listed(&["--sort", "lease"])[0], good.id.as_str());
    let counted = place.run(&["peers", "--count", "--seen-within", "1h"]);
    assert_eq!((counted.code, counted.out.as_str()), (0, "2\n"));
    for (wrong, exists) in [
        (["--standing", "verifed"], "suspended"),
        (["--reason", "slow"], "tls-timeout"),
        (["--protocol", "socks"], "enproxy-path"),
        (["--sort", "age"], "first-seen"),
        (["--address", "127.77"], "192.0.2.0/24"),
        (["--seen-within", "5"], "24h"),
    ] {
        let ran = place.run(&[&["peers"], &wrong[..]].concat());
        assert!(ran.code == 2 && ran.err.contains(exists), "{wrong:?}: {}", ran.err);
    }
    let rejections = |arguments: &[&str]| place.json(&[&["rejections"], arguments].concat()).1.len();
    assert_eq!(rejections(&["--source", "127.77.0.0/16"]), 2);
    assert_eq!(rejections(&["--source", "127.77.0.0/16", "--limit", "1"]), 1);
    assert_eq!(rejections(&["--reason", "port-refused"]), 3);
    assert_eq!(rejections(&["--reason", "relay"]), 0);
}

#[test]
fn one_probe_is_explained_with_each_claim() {
    let (place, good, _) = prepared();
    let ran = place.run(&["explain", good.id.as_str(), "--probe", "0202"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    for part in [
        &"02".repeat(16),
        "resolve  0.300",
        "connect  1.200",
        "receipt       not there",
    ] {
        assert!(ran.out.contains(part), "{part:?} in\n{}", ran.out);
    }
    let ran = place.run(&["explain", good.id.as_str()]);
    assert!(ran.out.contains("since       ") && ran.out.contains("waits for   a proof before its lease ends"));
    assert!(ran.out.lines().all(|line| line.chars().count() <= 100), "{}", ran.out);
    let ran = place.run(&["explain", good.id.as_str(), "--probe", "09"]);
    assert!(ran.code == 1 && ran.err.contains("no probe 09"), "{}", ran.err);
    let (_, objects) = place.json(&["explain", good.id.as_str()]);
    assert_eq!(objects[0]["streak"]["needed"], 3);
    assert_eq!(objects[1]["evidence_sha256"].as_str().unwrap().len(), 64);
}
