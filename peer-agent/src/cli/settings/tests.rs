//! Tests of [`super::settings`], with what [`super::init`] writes: beside it, not inside, since the fuzz targets read it alone.

use std::path::Path;

use proto::ids::Pin;

use super::{Init, init::template, problem::Problem, settings::Settings};

const GOOD: &str = r#"# A comment.
[agent]
attesters = ["attester.example:7443"]
root = "ed25519:rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa"
address = "203.0.113.7:443"

[give]
listen = "0.0.0.0:443"
token = "sesame"

[give.limits]
gap = 0.035
"#;

fn parse(text: &str) -> Result<Settings, Vec<Problem>> {
    Settings::parse(text, Path::new("/etc/peer"))
}

#[test]
fn paths_start_from_the_files_folder_and_the_token_goes_to_both() {
    let settings = parse(GOOD).unwrap();
    assert_eq!(settings.give.state, Path::new("/etc/peer/."));
    let agent = settings.agent(Pin::from_bytes([1; 32]));
    assert_eq!(agent.connect_token.as_deref(), Some("sesame"));
    assert!(matches!(&agent.identity, peer_agent::Identity::File(path) if path == Path::new("/etc/peer/peer.key")));
    assert_eq!((agent.bind, settings.give.bind), (None, None));
}

#[test]
fn a_server_on_one_address_does_everything_from_it() {
    let settings = parse(&GOOD.replace("0.0.0.0", "127.77.1.1")).unwrap();
    let bind = Some("127.77.1.1".parse().unwrap());
    assert_eq!(
        (settings.give.bind, settings.agent(Pin::from_bytes([1; 32])).bind),
        (bind, bind)
    );
}

/// A mistake is a change of the good text; told must be its line, its key and a word of the cure.
#[test]
fn every_mistake_is_told_with_its_line_its_key_and_what_would_be_right() {
    let cases: &[(&str, &str, usize, &str, &str)] = &[
        ("[agent]", "[agent", 2, "", ""),
        ("[agent]", "[agents]", 2, "agents", "agent"),
        ("attesters =", "attester =", 3, "agent.attester", "attesters"),
        (
            "attesters = [\"attester.example:7443\"]",
            "",
            2,
            "agent.attesters",
            "attester.example:7443",
        ),
        ("[\"attester.example:7443\"]", "[]", 3, "agent.attesters", "host:port"),
        (
            "[\"attester.example:7443\"]",
            "\"attester.example:7443\"",
            3,
            "agent.attesters",
            "attesters = [",
        ),
        (
            "attester.example:7443",
            "attester.example",
            3,
            "agent.attesters",
            "host:port",
        ),
        ("ed25519:rk", "ed25519:", 4, "agent.root", "ed25519:"),
        ("root = ", "#root = ", 2, "agent.root", "root = \"ed25519:"),
        ("\"ed25519:rk", "7 #", 4, "agent.root", "string"),
        ("203.0.113.7:443", "203.0.113.7", 5, "agent.address", "203.0.113.7:443"),
        ("203.0.113.7:443", "0.0.0.0:443", 5, "agent.address", "public"),
        ("address = ", "bind = \"::1\"\naddress = ", 5, "agent.bind", "IPv6"),
        (
            "listen = \"0.0.0.0:443\"",
            "listen = 443",
            8,
            "give.listen",
            "0.0.0.0:443",
        ),
        ("sesame", "open sesame", 9, "give.token", "visible"),
        ("gap = 0.035", "gap = 0", 12, "give.limits.gap", "zero"),
        ("gap = 0.035", "gab = 1", 12, "give.limits.gab", "gap"),
        ("gap = 0.035", "gap = 1\ngap = 1", 13, "give.limits.gap", "duplicate"),
    ];
    for (good, bad, line, key, word) in cases {
        let text = GOOD.replacen(good, bad, 1);
        assert_ne!(text, GOOD, "{good}");
        let problems = parse(&text).unwrap_err();
        assert_eq!(problems.len(), 1, "{bad}: {problems:?}");
        let problem = &problems[0];
        assert_eq!((problem.line, problem.key.as_str()), (*line, *key), "{bad}: {problem}");
        assert!(problem.what.contains(word), "{bad}: {problem}");
        assert!(!problem.to_string().contains("sesame"), "{problem}");
    }
    let empty = parse("").unwrap_err()[0].to_string();
    assert!(
        empty.starts_with("line 1, key agent: it is missing") && empty.contains("init"),
        "{empty}"
    );
}

/// What `init` writes when everything, a trial on one machine, and nothing is said; and the texts above and below.
fn samples() -> Vec<(&'static str, String)> {
    let root = "ed25519:rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa";
    let nothing = Init {
        state: ".".into(),
        attester: Vec::new(),
        root: None,
        address: None,
        config: None,
    };
    let at = |address: &str| Init {
        attester: vec![
            "attester.example:7443".parse().unwrap(),
            "[2001:db8::7]:7443".parse().unwrap(),
        ],
        root: Some(root.parse().unwrap()),
        address: Some(address.parse().unwrap()),
        state: ".".into(),
        config: None,
    };
    vec![
        ("init", template(&at("203.0.113.7:443"), Path::new(""))),
        (
            "init on loopback",
            template(&at("127.77.1.1:8443"), Path::new("/etc/peer")),
        ),
        ("init with nothing", template(&nothing, Path::new(""))),
        ("the good text", GOOD.to_owned()),
        ("every key", EVERYTHING.to_owned()),
    ]
}

/// A key as a sample sets it, or shows it in a comment.
struct Shown {
    section: String,
    key: String,
    value: String,
    /// From 0.
    index: usize,
    is_comment: bool,
}

impl Shown {
    fn full(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }
}

fn shown(text: &str) -> Vec<Shown> {
    let mut section = "";
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, value)) = line.trim_start_matches("# ").split_once(" = ")
            // Prose may have an equals sign too; keys have no spaces.
            && !key.contains(' ')
        {
            keys.push(Shown {
                section: section.to_owned(),
                key: key.to_owned(),
                value: value.to_owned(),
                index,
                is_comment: line.starts_with('#'),
            });
        }
    }
    keys
}

fn replaced(text: &str, index: usize, with: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines[index] = with;
    lines.join("\n")
}

/// Every key that can be set.
const EVERYTHING: &str = r#"[agent]
attesters = ["attester.example:7443", "[2001:db8::7]:7443"]
root = "ed25519:rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa"
address = "203.0.113.7:443"
identity = "peer.key"
bind = "192.0.2.7"
[give]
listen = "0.0.0.0:443"
state = "."
proxy_host = "peer.example"
bind = "192.0.2.7"
allow_private = false
ports = [80, 443]
token = "sesame"
page = "page.html"
rate = 131072
[give.limits]
connections = 4096
connections_per_source = 1024
tunnels = 2048
tunnels_per_source = 512
handshake = 10
head = 10
keep_alive = 70
stall = 30
gap = 0.035
poll = 9.9
idle = 70
linger = 2
dial = 10
drain = 5
"#;

#[test]
fn samples_can_be_used_as_they_are_and_with_what_their_comments_show() {
    for (name, text) in samples() {
        let keys = shown(&text);
        let required = ["agent.attesters", "agent.root", "agent.address"];
        let missing: Vec<&str> = parse(&text)
            .err()
            .unwrap_or_default()
            .iter()
            .map(|problem| required.into_iter().find(|key| *key == problem.key).unwrap())
            .collect();
        assert_eq!(missing.len(), if name == "init with nothing" { 3 } else { 0 }, "{name}");
        if name.starts_with("init") {
            let commented: Vec<String> = keys.iter().filter(|key| key.is_comment).map(Shown::full).collect();
            for key in ["agent.bind", "give.token", "give.ports", "give.rate", "give.bind"] {
                assert!(commented.iter().any(|full| full == key), "{name} shows no {key}");
            }
        }
        for key in keys.iter().filter(|key| key.is_comment) {
            let with = replaced(&text, key.index, &format!("{} = {}", key.key, key.value));
            let found = parse(&with).err().unwrap_or_default();
            let own = found.iter().find(|problem| problem.line == key.index + 1);
            match key.value.contains('…') {
                // Nobody's key or token: whoever forgets to put in his own is told.
                true => assert_eq!(own.map(|own| &own.key), Some(&key.full()), "{name}: {found:?}"),
                false => assert_eq!(own, None, "{name}: {}", key.full()),
            }
        }
    }
}

#[test]
fn a_slip_in_any_sample_is_told_with_its_key_and_line() {
    for (name, text) in samples() {
        for Shown {
            section,
            key,
            value,
            index,
            ..
        } in shown(&text)
        {
            let full = format!("{section}.{key}");
            let one = |with: &str, key: &str, line: usize| -> String {
                let problems = parse(&replaced(&text, index, with)).map(drop).unwrap_err();
                let own: Vec<&Problem> = problems.iter().filter(|problem| problem.line == line).collect();
                assert_eq!(own.len(), 1, "{name}: {with}: {problems:?}");
                assert_eq!(own[0].key, key, "{name}: {with}");
                own[0].what.clone()
            };
            for wrong in ["{ x = 1 }", "1979-05-27", "[[]]"] {
                let what = one(&format!("{key} = {wrong}"), &full, index + 1);
                assert!(what.contains("write "), "{full}: {what}");
            }
            let wrong = if value.starts_with('"') { "7" } else { "\"seven\"" };
            one(&format!("{key} = {wrong}"), &full, index + 1);
            let what = one(&format!("{key}x = {value}"), &format!("{full}x"), index + 1);
            assert_eq!(what, format!("there is no such key; did you mean {key}?"));
            let what = one(&format!("{key} = {value}\n{key} = {value}"), &full, index + 2);
            assert!(what.contains("second time"), "{what}");
            one(&format!("{key} = \"{}", value.replace('"', "")), &full, index + 1);
        }
    }
}

#[test]
fn a_key_that_is_taken_away_has_a_default_or_is_asked_for() {
    for (index, line) in EVERYTHING.lines().enumerate() {
        let mut lines: Vec<&str> = EVERYTHING.lines().collect();
        lines[index] = "";
        let without = parse(&lines.join("\n"));
        match line.split(" = ").next().unwrap() {
            key @ ("attesters" | "root" | "address") => {
                let problems = without.map(drop).unwrap_err();
                assert_eq!(problems.len(), 1, "{problems:?}");
                assert_eq!((problems[0].line, problems[0].key.clone()), (1, format!("agent.{key}")));
            }
            _ if line.starts_with('[') => {}
            _ => drop(without.unwrap()),
        }
    }
}

#[test]
fn values_out_of_bounds_are_told_with_what_would_be_right() {
    for (good, bad, key, word) in [
        ("ports = [80, 443]", "ports = [80, 70000]", "give.ports", "65535"),
        ("rate = 131072", "rate = 0", "give.rate", "from 1"),
        ("gap = 0.035", "gap = -1", "give.limits.gap", "above 0"),
        ("drain = 5", "drain = 1e300", "give.limits.drain", "above 0"),
        ("tunnels = 2048", "tunnels = 0", "give.limits.tunnels", "zero"),
        ("tunnels = 2048", "tunnels = -1", "give.limits.tunnels", "from 1"),
        (
            "proxy_host = \"peer.example\"",
            "proxy_host = \"a b\"",
            "give.proxy_host",
            "DNS name",
        ),
    ] {
        let text = EVERYTHING.replacen(good, bad, 1);
        assert_ne!(text, EVERYTHING, "{good}");
        let problems = parse(&text).map(drop).unwrap_err();
        assert_eq!((problems.len(), problems[0].key.as_str()), (1, key), "{problems:?}");
        assert!(problems[0].what.contains(word), "{}", problems[0].what);
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = "\
[agent]
attesters = []
root = \"ed25519:short\"
adress = \"203.0.113.7:443\"
bind = 192.0.2.7
[give]
listen = \"everywhere\"
[give.limits]
gap = 0
[log]
level = 1
";
    let problems = parse(text).map(drop).unwrap_err();
    let found: Vec<(usize, &str)> = problems
        .iter()
        .map(|problem| (problem.line, problem.key.as_str()))
        .collect();
    let expected = [
        (3, "agent.root"),
        (4, "agent.adress"),
        (5, "agent.bind"),
        (7, "give.listen"),
        (9, "give.limits.gap"),
        (10, "log"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn what_is_risky_is_told_and_used() {
    let risks = |changes: &[(&str, &str)]| -> Vec<String> {
        let text = changes
            .iter()
            .fold(GOOD.to_owned(), |text, (from, to)| text.replacen(from, to, 1));
        let review = Settings::review(&text, Path::new(""));
        assert!(review.settings.is_some(), "{:?}", review.mistakes);
        review.risks.into_iter().map(|risk| risk.key).collect()
    };
    let quiet = ("token = \"sesame\"\n", "");
    // The sample's address is one of those that nobody has.
    assert_eq!(risks(&[]), ["agent.address", "give.token"]);
    assert_eq!(risks(&[quiet, ("203.0.113.7", "8.8.8.8")]), [""; 0]);
    for (to, key) in [
        ("10.0.0.7:443", "agent.address"),
        ("8.8.8.8:8443", "agent.address"),
        ("127.77.1.1:8443", ""),
    ] {
        let expected: Vec<&str> = [key].into_iter().filter(|key| !key.is_empty()).collect();
        assert_eq!(risks(&[quiet, ("203.0.113.7:443", to)]), expected, "{to}");
    }
    let public = ("203.0.113.7", "8.8.8.8");
    for (to, key) in [
        ("allow_private = true", "give.allow_private"),
        ("ports = [8080]", "give.ports"),
        ("ports = [80]", ""),
        ("rate = 32767", "give.rate"),
        ("rate = 32768", ""),
        ("page = \"page.html\"", "give.page"),
    ] {
        let expected: Vec<&str> = [key].into_iter().filter(|key| !key.is_empty()).collect();
        assert_eq!(risks(&[public, ("token = \"sesame\"", to)]), expected, "{to}");
    }
}
