//! `attester probe`, the real program, against real give mode servers: with an agent and without, by each route, over an origin of
//! its own and over a running attester's.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context, ensure};
use attester::{decide::VERIFIED, flashlight::Sni};
use harness::{Asked, Behaviour, Cluster, Edge, Options, Peer, Trouble, programs::Program};
use peer_agent::{
    Tap,
    give::{Config, Give},
};
use proto::ids::Pin;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

/// Somebody with a folder and the program.
struct Operator(TempDir);

struct Ran {
    code: i32,
    out: String,
}

impl Operator {
    fn new() -> anyhow::Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Types `attester probe` with these arguments.
    fn probe(&self, arguments: &[&str]) -> anyhow::Result<Ran> {
        let mut command = Command::new(Program::Attester.path()?);
        command.arg("probe").args(arguments).current_dir(self.path());
        let output = block_in_place(|| command.output())?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(told.is_empty(), "{arguments:?}: {told}");
        Ok(Ran {
            code: output.status.code().context("a code")?,
            out: String::from_utf8(output.stdout)?,
        })
    }

    /// The same with `--json`: the code and the object.
    fn object(&self, arguments: &[&str]) -> anyhow::Result<(i32, Value)> {
        let ran = self.probe(&[arguments, &["--json"]].concat())?;
        Ok((ran.code, serde_json::from_str(&ran.out)?))
    }

    /// A probe that goes through.
    fn carried(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let (code, told) = self.object(arguments)?;
        ensure!(code == 0 && told["outcome"] == "carried", "{arguments:?}: {told}");
        ensure!(
            told["received"].as_u64() == told["body"].as_u64().map(|body| body + 1024),
            "{told}"
        );
        Ok(told)
    }

    /// A probe that does not: the status, the reason and whose fault it is.
    fn broken(&self, arguments: &[&str]) -> anyhow::Result<(i32, String, String)> {
        let (code, told) = self.object(arguments)?;
        let word = |key: &str| Ok::<_, anyhow::Error>(told[key].as_str().with_context(|| told.to_string())?.to_owned());
        Ok((code, word("reason")?, word("blame")?))
    }
}

fn broken(code: i32, reason: &str, blame: &str) -> (i32, String, String) {
    (code, reason.to_owned(), blame.to_owned())
}

/// A give mode server without an agent.
struct Bare {
    address: String,
    pin: Pin,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Bare {
    fn start(change: impl FnOnce(&mut Config)) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut config = Config {
            listen: "127.0.0.1:0".parse()?,
            state: folder.path().to_owned(),
            allow_private: true,
            ..Config::default()
        };
        change(&mut config);
        let give = Give::bind(config, Tap::disconnected())?;
        let (address, pin, stop) = (give.addr().to_string(), give.pin(), CancellationToken::new());
        tokio::spawn(give.run(stop.clone()));
        Ok(Self {
            address,
            pin,
            stop,
            _folder: folder,
        })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

const BY_CONNECT: [&str; 4] = ["--protocol", "connect", "--token-file", "token"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_without_an_agent_is_probed_by_each_protocol() -> anyhow::Result<()> {
    harness::logs();
    let operator = Operator::new()?;
    fs::write(operator.path().join("token"), "sesame\n")?;
    fs::write(operator.path().join("guess"), "simsim\n")?;
    let peer = Bare::start(|config| {
        config.token = Some("sesame".to_owned());
        config.proxy_host = Some("peer-a.zone.test".to_owned());
    })?;
    let (address, pin) = (peer.address.as_str(), peer.pin.to_string());
    let ways: [(&[&str], &str, Value); 4] = [
        (&[], "enproxy", json!("peer-a.zone.test")),
        (
            &["--streamed", "--host", "peer-a.zone.test"],
            "enproxy",
            json!("peer-a.zone.test"),
        ),
        (
            &["--protocol", "enproxy-path"],
            "enproxy-path",
            json!("peer-a.zone.test"),
        ),
        (&BY_CONNECT, "connect", Value::Null),
    ];
    for (way, protocol, calls_itself) in ways {
        let told = operator.carried(&[&[address, "--pin", &pin, "--body", "100000"], way].concat())?;
        assert_eq!(
            (&told["protocol"], &told["proxy_host"]),
            (&json!(protocol), &calls_itself),
            "{told}"
        );
        assert_eq!((&told["pin"], &told["pin_compared"]), (&json!(pin), &json!(true)));
        assert_eq!(
            (&told["arrived"], &told["source_is_peer"]),
            (&json!(true), &json!(true))
        );
        assert!(told["goodput"].as_u64().is_some_and(|rate| rate > 0), "{told}");
        assert_eq!(
            told["phases_us"].as_object().map(serde_json::Map::len),
            Some(6),
            "{told}"
        );
    }
    // It carries under any name; an edge finds it by its own alone.
    let other = "peer-a.zone.test, not peer-b.zone.test: behind an edge it would be refused";
    for (asked, would_be_refused) in [("peer-b.zone.test", true), ("Peer-A.zone.test.", false)] {
        let ran = operator.probe(&[address, "--host", asked])?;
        let said = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(ran.code == 0 && said.contains("own name peer-a.zone.test"), "{said}");
        assert_eq!(said.contains(other), would_be_refused, "{said}");
    }
    let told = operator.carried(&[address])?;
    assert_eq!(
        (&told["pin"], &told["pin_compared"], &told["goodput"]),
        (&json!(pin), &json!(false), &Value::Null)
    );

    // Destinations are IPv4, whatever the peer is reached by.
    let listen = "[::1]:0".parse()?;
    let six = Bare::start(|config| config.listen = listen)?;
    let told = operator.carried(&[&six.address])?;
    assert!(
        told["source"]
            .as_str()
            .is_some_and(|source| source.starts_with("127.0.0.1:")),
        "{told}"
    );
    assert_eq!(told["source_is_peer"], Value::Null);

    let other = Pin::from_bytes([7; 32]).to_string();
    assert_eq!(
        operator.broken(&[address, "--pin", &other])?,
        broken(6, "pin-mismatch", "peer")
    );
    let guessed = ["--protocol", "connect", "--token-file", "guess"];
    assert_eq!(
        operator.broken(&[&[address], &guessed[..]].concat())?,
        broken(6, "tunnel-token", "peer")
    );
    let private = Bare::start(|config| config.allow_private = false)?;
    assert_eq!(
        operator.broken(&[&private.address])?,
        broken(6, "tunnel-refused", "peer")
    );
    let ran = operator.probe(&[&private.address])?;
    assert!(ran.out.contains("nothing, at the origin at 127.0.0.1:"), "{}", ran.out);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_back_resumes() -> anyhow::Result<()> {
    harness::logs();
    let operator = Operator::new()?;
    let peer = Bare::start(|_| {})?;
    let ran = operator.probe(&[&peer.address, "--repeat", "3", "--resume", "--json"])?;
    let told = ran
        .out
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<Vec<Value>, _>>()?;
    let [first, second, third, summary] = &told[..] else {
        anyhow::bail!("{}", ran.out)
    };
    assert_eq!(
        (first["outcome"].as_str(), third["outcome"].as_str(), ran.code),
        (Some("carried"), Some("carried"), 0)
    );
    assert_eq!(
        [first, second, third].map(|told| &told["handshake"]),
        ["full", "resumed", "resumed"]
    );
    assert_eq!((&summary["kind"], &summary["carried"]), (&json!("summary"), &json!(3)));
    assert!(
        summary["phases_us"]["tls"]["min"].is_u64() && summary["whole_us"]["max"].is_u64(),
        "{summary}"
    );
    Ok(())
}

/// What the command is told of a cluster, beside whose attester it works.
fn configure(operator: &Operator, cluster: &Cluster) -> anyhow::Result<()> {
    let state = cluster.config().attester.state.display().to_string();
    let text = format!(
        "[attester]\nstate = {state:?}\n[admission]\nallow_private = true\n[origin]\nlisten = \"{}\"\ndestination = \"{}\"\n[dns]\nzone = \"{}\"\n",
        cluster.addresses().origin,
        cluster.addresses().destination,
        cluster.options().zone
    );
    Ok(fs::write(operator.path().join("attester.toml"), text)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_attesters_origin_answers_and_its_trouble_is_not_the_peers() -> anyhow::Result<()> {
    harness::logs();
    let options = Options {
        origin_gate: true,
        ..Options::quick()
    };
    let cluster = Cluster::start(options).await?;
    let peer = Peer::start(&cluster, 1, Behaviour::All).await?;
    cluster.wait_standing(&peer, VERIFIED).await?;
    let operator = Operator::new()?;
    configure(&operator, &cluster)?;
    let (address, nameserver) = (peer.address().to_string(), cluster.addresses().dns.to_string());
    for protocol in ["enproxy", "enproxy-path", "connect"] {
        let told = operator.carried(&[&address, "--protocol", protocol])?;
        assert_eq!(told["origin"]["destination"], cluster.addresses().destination.as_str());
        assert_eq!(
            (&told["origin"]["listening"], &told["source_is_peer"]),
            (&Value::Null, &json!(true))
        );
    }
    // As a client finds it, in a zone that nobody has delegated.
    let named = format!("{}:{}", peer.id().own_name("peers.test"), cluster.port());
    let told = operator.carried(&[&named, "--via", &nameserver])?;
    assert_eq!((&told["peer"], &told["address"]), (&json!(named), &json!(address)));
    // An origin of the probe's own beside it.
    let told = operator.carried(&[&address, "--origin"])?;
    assert!(told["origin"]["listening"].is_string(), "{told}");

    cluster.origin_gate().context("a gate")?.close().await;
    assert_eq!(operator.broken(&[&address])?, broken(3, "control-failed", "attester"));
    operator.carried(&[&address, "--origin"])?;
    Ok(())
}

/// A rotation's addresses are of several peers: which of them was probed is told, and what the others are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_addresses_the_first_is_probed_and_the_others_are_told() -> anyhow::Result<()> {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await?;
    let peers = [
        Peer::start(&cluster, 1, Behaviour::Enproxy).await?,
        Peer::start(&cluster, 2, Behaviour::Enproxy).await?,
    ];
    cluster.wait_rotation_of(&[&peers[0], &peers[1]]).await?;
    let operator = Operator::new()?;
    let nameserver = cluster.addresses().dns.to_string();
    let rotation = format!("{}:{}", cluster.options().rotation(), cluster.port());
    let by_name = [rotation.as_str(), "--via", &nameserver, "--origin"];
    let told = operator.carried(&by_name)?;
    let both: BTreeSet<String> = peers.iter().map(|peer| peer.address().to_string()).collect();
    let addresses: Vec<String> = serde_json::from_value(told["addresses"].clone())?;
    assert_eq!(addresses.iter().cloned().collect::<BTreeSet<_>>(), both, "{told}");
    assert_eq!(told["address"], json!(addresses[0]), "{told}");
    // The order is drawn anew for each answer.
    let ran = operator.probe(&by_name)?;
    let said = |first: &str| {
        ran.out
            .contains(&format!("dialled     {first}, the first of 2 addresses"))
    };
    assert!(both.iter().any(|address| said(address)), "{}", ran.out);
    assert!(both.iter().all(|address| ran.out.contains(address)), "{}", ran.out);
    // Nor is a rotation's name the peer's own.
    assert!(!ran.out.contains("behind an edge"), "{}", ran.out);
    // Where there is one, nothing needs to be chosen.
    let own = format!("{}:{}", peers[0].id().own_name("peers.test"), cluster.port());
    let ran = operator.probe(&[&own, "--via", &nameserver, "--origin"])?;
    assert!(ran.code == 0 && !ran.out.contains("dialled "), "{}", ran.out);
    assert_eq!(operator.carried(&[&addresses[1], "--origin"])?["addresses"], json!([]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_behind_an_edge_is_probed_through_it() -> anyhow::Result<()> {
    harness::logs();
    let edge = Edge::bind().await?;
    let known = edge.as_known(Sni::Absent);
    let cluster = Cluster::start(Options {
        fronted: Some(known.clone()),
        ..Options::quick()
    })
    .await?;
    edge.serve(&cluster)?;
    let peer = Peer::start(&cluster, 1, Behaviour::Enproxy).await?;
    cluster.wait_fate(&peer).await?;
    let operator = Operator::new()?;
    configure(&operator, &cluster)?;
    let (name, at) = (peer.id().own_name("peers.test"), known.edge.to_string());
    let ca = known.ca.display().to_string();
    let through = [name.as_str(), "--edge", &at, "--edge-name", Edge::NAME];
    let trusted = [&through[..], &["--edge-ca", &ca]].concat();
    for (sni, shown) in [("none", None), ("name", Some(Edge::NAME.to_owned()))] {
        let told = operator.carried(&[&trusted[..], &["--sni", sni]].concat())?;
        assert_eq!(
            (&told["path"], &told["address"]),
            (&json!("fronted"), &json!(at)),
            "{told}"
        );
        // The peer's own address is nobody's business here.
        assert_eq!(
            (&told["source_is_peer"], &told["pin_compared"]),
            (&Value::Null, &json!(false))
        );
        let asked = Asked {
            sni: shown,
            host: name.clone(),
        };
        assert!(edge.asked().contains(&asked), "{:?}", edge.asked());
    }
    // By its name, in the family of the source that probes come from.
    let file = operator.path().join("attester.toml");
    fs::write(&file, fs::read_to_string(&file)? + "[probe]\nsource = \"127.0.0.1\"\n")?;
    let by_name = format!("localhost:{}", known.edge.port());
    let told = operator.carried(&[&name, "--edge", &by_name, "--edge-name", Edge::NAME, "--edge-ca", &ca])?;
    assert_eq!(told["address"], json!(at), "{told}");
    // The roots that browsers trust do not know its CA.
    assert_eq!(operator.broken(&through)?, broken(3, "tls-failed", "attester"));
    edge.set_trouble(Trouble::Refuses);
    assert_eq!(operator.broken(&trusted)?, broken(7, "tunnel-refused", "unknown"));
    let ran = operator.probe(&trusted)?;
    assert!(ran.out.contains("probe the peer without --edge"), "{}", ran.out);
    Ok(())
}
