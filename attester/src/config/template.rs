//! The file that `attester init` writes: the full sample, in which only what has to be thought about is set.

/// What `attester init` was told.
#[derive(Clone, Debug, Default)]
pub struct Initial<'a> {
    /// Everything on loopback, for a trial on one machine.
    pub local: bool,
    /// The state folder, when it is not the default.
    pub state: Option<&'a str>,
    /// The zone.
    pub zone: Option<&'a str>,
    /// The origin's destination.
    pub destination: Option<&'a str>,
}

/// The commented text of a new configuration. Keys that keep their defaults are commented out.
pub fn initial(with: &Initial<'_>) -> String {
    let mut set: Vec<(&str, String)> = Vec::new();
    if with.local {
        set.extend(LOCAL.iter().map(|(key, value)| (*key, (*value).to_owned())));
    }
    let zone = with
        .zone
        .unwrap_or(if with.local { "peers.test" } else { "peers.example" });
    let destination = with.destination.unwrap_or(if with.local {
        "127.0.0.1:7080"
    } else {
        "origin.peers.example:80"
    });
    set.push(("dns.zone", quoted(zone)));
    set.push(("origin.destination", quoted(destination)));
    if let Some(state) = with.state {
        set.push(("attester.state", quoted(state)));
    }
    let mut section = "";
    let mut text = String::new();
    for line in FULL.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        }
        let key = line
            .split_once(" = ")
            .map(|(key, _)| key)
            .filter(|_| !line.starts_with('#'));
        match key.map(|key| {
            (
                key,
                set.iter()
                    .find(|(name, _)| name.split_once('.') == Some((section, key))),
            )
        }) {
            Some((key, Some((_, value)))) => text.push_str(&format!("{key} = {value}")),
            Some((_, None)) => text.push_str(&format!("#{line}")),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// What makes a trial on one machine.
const LOCAL: [(&str, &str); 6] = [
    ("attester.listen", "\"127.0.0.1:7443\""),
    ("admission.allow_private", "true"),
    ("origin.listen", "\"127.0.0.1:7080\""),
    ("dns.listen", "\"127.0.0.1:7053\""),
    ("dns.rotation_port", "8443"),
    ("admin.listen", "\"127.0.0.1:7090\""),
];

const FULL: &str = include_str!("../../config/full.toml");
