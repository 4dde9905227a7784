//! What to look around with while everything runs.

use std::{fs, io, path::PathBuf};

use crate::stage::Stage;

/// Commands that can be pasted into another terminal.
pub(crate) fn commands(stage: &Stage) -> io::Result<Vec<String>> {
    let cluster = stage.cluster();
    let dns = cluster.addresses().dns;
    let dig = format!("dig +short @{} -p {}", dns.ip(), dns.port());
    let mut commands = vec![format!("{dig} {}", cluster.options().rotation())];
    if let Some(peer) = stage.peers().first() {
        commands.push(format!("{dig} {}", peer.id().own_name(&cluster.options().zone)));
    }
    let attester = program();
    let config = config_file(stage)?.display().to_string();
    commands.push(format!("{attester} peers --config {config}"));
    for role in stage.cast().iter().filter(|role| !role.behaviour.is_honest()).take(1) {
        commands.push(format!("{attester} explain {} --config {config}", role.ip()));
    }
    commands.push(format!("{attester} rejections --config {config}"));
    Ok(commands)
}

/// How the command line is run: the program beside this one, or else by cargo, which builds it.
fn program() -> String {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("attester"));
    match beside.filter(|path| path.exists()) {
        Some(path) => path.display().to_string(),
        None if cfg!(debug_assertions) => "cargo run -q --bin attester --".to_owned(),
        None => "cargo run -q --release --bin attester --".to_owned(),
    }
}

/// Writes what the command line must know of the configuration beside the state, so that it is removed with it.
fn config_file(stage: &Stage) -> io::Result<PathBuf> {
    let config = stage.cluster().config();
    let path = config.attester.state.with_file_name("attester.toml");
    let state = config.attester.state.display().to_string();
    let dns = &config.dns;
    let text = format!(
        "[attester]\nlisten = \"{}\"\nstate = {state:?}\n[admission]\nallow_private = true\n[origin]\nlisten = \"{}\"\n\
        [dns]\nlisten = \"{}\"\nzone = \"{}\"\nrotation_port = {}\n",
        config.attester.listen, config.origin.listen, dns.listen, dns.zone, dns.rotation_port,
    );
    fs::write(&path, text)?;
    Ok(path)
}
