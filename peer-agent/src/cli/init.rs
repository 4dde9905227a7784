//! `peer-agent init`: a commented configuration file and an identity key, for a volunteer to look through.

use std::{
    fs::OpenOptions,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use peer_agent::{Identity, give::is_public};

use super::Init;

/// Writes what is not there yet, and says what is left to do.
pub(super) fn init(args: &Init) -> anyhow::Result<()> {
    let config = args
        .config
        .clone()
        .unwrap_or_else(|| args.state.join("peer-agent.toml"));
    let folder = config
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    for folder in [&args.state, folder] {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    }
    let state = std::path::absolute(&args.state).context("cannot find the state folder")?;
    let beside = std::path::absolute(folder).is_ok_and(|folder| folder == state);
    let text = template(args, if beside { Path::new("") } else { &state });
    write_new(&config, &text)?;
    let key_file = state.join("peer.key");
    let key = Identity::File(key_file.clone()).key(&mut rand::rng())?;

    println!("peer id:       {}", key.public().peer_id());
    println!("identity key:  {} (keep it: it is this peer)", key_file.display());
    println!("configuration: {}", config.display());
    let missing = missing(args);
    if !missing.is_empty() {
        println!("\nFill in before the first run: {}", missing.join(", "));
    }
    if let Some(address) = args
        .address
        .filter(|address| !address.ip().is_loopback() && !is_public(address.ip()))
    {
        println!(
            "\n{} is no public address: clients on the internet cannot reach it.",
            address.ip()
        );
        println!("Set the address that your router has on the internet, and forward the port to this machine.");
    }
    println!("\nThen run: peer-agent run --config {}", config.display());
    Ok(())
}

/// A configuration file is there already.
#[derive(Debug, thiserror::Error)]
#[error("{} exists and is not overwritten: edit it, or choose another file with --config", .0.display())]
pub(super) struct Exists(PathBuf);

fn missing(args: &Init) -> Vec<&'static str> {
    let given = [
        ("attesters", !args.attester.is_empty()),
        ("root", args.root.is_some()),
        ("address", args.address.is_some()),
    ];
    given
        .into_iter()
        .filter_map(|(name, given)| (!given).then_some(name))
        .collect()
}

/// Readable by the owner only, for a CONNECT token may be put in.
fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = match options.open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Exists(path.to_owned()).into());
        }
        opened => opened.with_context(|| format!("cannot write {}", path.display()))?,
    };
    file.write_all(text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The file's text. What was not given is written as a comment, which `run` then asks for.
pub(super) fn template(args: &Init, state: &Path) -> String {
    let attesters: Vec<_> = args.attester.iter().map(ToString::to_string).collect();
    let attesters = setting(
        "attesters",
        (!attesters.is_empty()).then_some(attesters),
        "[\"attester.example:7443\"]",
    );
    let root = setting("root", args.root.map(|root| root.to_string()), "\"ed25519:…\"");
    let address = setting(
        "address",
        args.address.map(|address| address.to_string()),
        "\"203.0.113.7:443\"",
    );
    let identity = toml::Value::from(state.join("peer.key").display().to_string());
    let state = if state.as_os_str().is_empty() {
        Path::new(".")
    } else {
        state
    };
    let state = toml::Value::from(state.display().to_string());
    let local = args.address.is_some_and(|address| address.ip().is_loopback());
    let listen = toml::Value::from(listen(args.address, local).to_string());
    let mut text = format!(
        "\
# Settings of a give mode peer: `peer-agent run --config` this file. Relative paths start from this file's folder.

# The agent registers this peer with an attester, which then checks that it really serves.
[agent]
# Endpoints of the attester, tried in turn.
{attesters}
# The attester's root key, as its operator publishes it. Everything else is believed because of it.
{root}
# The public address and port at which clients reach this peer. Behind a router: the router's address, with the
# port forwarded to this machine.
{address}
# The identity key. Whoever has it is this peer.
identity = {identity}
# The local address that sessions leave from, on a machine with several. The attester must see them come from the
# address above. Without it: give.bind, else what the system chooses.
# bind = \"192.0.2.7\"

# The proxy server: enproxy in both forms, and CONNECT, over TLS.
[give]
# Where it listens.
listen = {listen}
# Folder of its TLS key and certificate, made at the first run.
state = {state}
# What CONNECT clients must present; anyone is served without it. With it, who does not speak enproxy sees an nginx …
# token = \"…\"
# … that shows this page, in HTML; an empty one without it.
# page = \"page.html\"
# This peer's DNS name, told to every client that speaks enproxy. Without it the name that the attester gives, told to those who ask
# for a host of its zone.
# proxy_host = \"peer.example\"
# Destination ports that are served; all without it.
# ports = [80, 443]
# Bytes a second for each tunnel and direction; no limit without it.
# rate = 131072
# The local address that connections to destinations leave from.
# bind = \"192.0.2.7\"
"
    );
    text += if local { OPEN } else { CLOSED };
    text
}

fn setting(key: &str, value: Option<impl Into<toml::Value>>, example: &str) -> String {
    match value {
        Some(value) => format!("{key} = {}", value.into()),
        None => format!("# {key} = {example}"),
    }
}

/// A forwarded port is usually the same one; on loopback the address itself.
fn listen(address: Option<SocketAddr>, local: bool) -> SocketAddr {
    let mut listen = address.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 443)));
    if !local {
        let any = if listen.is_ipv4() {
            [0, 0, 0, 0].into()
        } else {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        };
        listen.set_ip(any);
    }
    listen
}

const OPEN: &str = "\
# This peer's address is a loopback address, for a trial on one machine: destinations there must be served too.
# Never set this on a machine whose own network is not open to everyone.
allow_private = true
";
const CLOSED: &str = "\
# Serve private destinations as well: it opens this machine's own network.
# allow_private = true
";

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::cli::settings::Settings;

    const ROOT: &str = "ed25519:rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa";

    fn args(state: &Path, address: &str) -> Init {
        Init {
            state: state.to_owned(),
            attester: vec![
                "attester.example:7443".parse().unwrap(),
                "[2001:db8::7]:7443".parse().unwrap(),
            ],
            root: Some(ROOT.parse().unwrap()),
            address: Some(address.parse().unwrap()),
            config: None,
        }
    }

    #[test]
    fn what_it_writes_can_be_run_and_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let args = args(folder.path(), "203.0.113.7:8443");
        init(&args).unwrap();
        let config = folder.path().join("peer-agent.toml");
        let settings = Settings::load(&config).unwrap();
        assert_eq!(settings.give.listen.to_string(), "0.0.0.0:8443");
        assert!(!settings.give.allow_private);
        let agent = settings.agent(proto::ids::Pin::from_bytes([0; 32]));
        assert_eq!((agent.attesters.len(), agent.root.to_string()), (2, ROOT.to_owned()));
        assert_eq!(agent.address.to_string(), "203.0.113.7:8443");

        let key = std::fs::read_to_string(folder.path().join("peer.key")).unwrap();
        std::fs::write(&config, "mine").unwrap();
        assert!(init(&args).unwrap_err().to_string().contains("not overwritten"));
        assert_eq!(std::fs::read_to_string(&config).unwrap(), "mine");
        let elsewhere = folder.path().join("other/peer.toml");
        init(&Init {
            config: Some(elsewhere.clone()),
            ..args
        })
        .unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("peer.key")).unwrap(), key);
        assert_eq!(Settings::load(&elsewhere).unwrap().give.state, folder.path());
    }

    #[cfg(unix)]
    #[test]
    fn its_files_are_private() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        init(&args(folder.path(), "203.0.113.7:443")).unwrap();
        for file in ["peer.key", "peer-agent.toml"] {
            assert_eq!(
                folder.path().join(file).metadata().unwrap().permissions().mode() & 0o777,
                0o600,
                "{file}"
            );
        }
    }

    #[test]
    fn what_was_not_given_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let nothing = Init {
            attester: vec![],
            root: None,
            address: None,
            ..args(folder.path(), "203.0.113.7:443")
        };
        assert_eq!(missing(&nothing), ["attesters", "root", "address"]);
        init(&nothing).unwrap();
        let error = anyhow::Error::from(Settings::load(&folder.path().join("peer-agent.toml")).unwrap_err());
        assert!(
            format!("{error:#}").contains("key agent.attesters: it is missing"),
            "{error:#}"
        );
        assert_eq!(crate::cli::exit_code(&error), 2);
    }

    #[test]
    fn on_loopback_it_is_a_trial_on_one_machine() {
        let text = template(&args(Path::new("state"), "127.77.1.1:8443"), Path::new(""));
        let settings = Settings::parse(&text, Path::new(".")).unwrap();
        assert!(settings.give.allow_private);
        assert_eq!(settings.give.listen.to_string(), "127.77.1.1:8443");
        let text = template(&args(Path::new("state"), "[2001:db8::1]:443"), Path::new("."));
        assert_eq!(
            Settings::parse(&text, Path::new(".")).unwrap().give.listen.to_string(),
            "[::]:443"
        );
    }
}
