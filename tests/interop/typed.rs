//! `attester probe`, typed at foreign peers, which have never heard of an agent.

use std::{fs, path::Path, process::Command};

use harness::programs::Program;
use tokio::task::spawn_blocking;

use crate::{programs::run, servers::Server, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn real_servers_are_probed_from_the_command_line() {
    let program = spawn_blocking(|| Program::Attester.path()).await.unwrap().unwrap();
    let (enproxy, of_2014) = tokio::join!(Server::enproxy(), Server::enproxy_with(&["-as-2014", "-tls12"]));
    let (http_proxy, chained) = tokio::join!(Server::http_proxy(&["-token", "sekrit"]), Server::chained2014(&[]));
    let folder = tempfile::tempdir().unwrap();
    let [right, wrong] = ["sekrit", "guess"].map(|token| {
        let path = folder.path().join(token);
        fs::write(&path, format!("{token}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let connect = ["--protocol", "connect"];
    for (server, more, named) in [
        (&enproxy, &[][..], Some(Server::HOST)),
        (&enproxy, &["--streamed"], Some(Server::HOST)),
        (
            &enproxy,
            &["--protocol", "enproxy-path", "--body", "262144"],
            Some(Server::HOST),
        ),
        (&of_2014, &[], Some(Server::HOST)),
        (&http_proxy, &[&connect[..], &["--token-file", &right]].concat(), None),
        (&chained, &connect, None),
    ] {
        let (status, told) = probe(&program, server, more).await;
        assert_eq!(status, Some(0), "{told}");
        let seen = [&told["outcome"], &told["proxy_host"]].map(serde_json::Value::as_str);
        assert_eq!(seen, [Some("carried"), named], "{told}");
        assert_eq!(told["source_is_peer"], true, "{told}");
    }
    // The peer's owner must act.
    for (more, offered) in [(&[][..], "no token"), (&["--token-file", &wrong], "a token")] {
        let (status, told) = probe(&program, &http_proxy, &[&connect[..], more].concat()).await;
        let seen = ["reason", "detail"].map(|key| told[key].as_str().unwrap_or_default());
        let said = format!("it answered 400 to a CONNECT with {offered}");
        assert_eq!((status, seen), (Some(6), ["tunnel-token", &said]), "{told}");
    }
}

/// Probes a server. Returns the exit status and what was told.
async fn probe(program: &Path, server: &Server, more: &[&str]) -> (Option<i32>, serde_json::Value) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.current_dir(folder.path());
    command
        .args(["probe", &server.address.to_string(), "--json"])
        .args(["--pin", &server.pin.to_string()])
        .args(more);
    let output = within(run(command)).await;
    let told = serde_json::from_slice(&output.stdout);
    (
        output.status.code(),
        told.unwrap_or_else(|error| panic!("{error}: {output:?}")),
    )
}
