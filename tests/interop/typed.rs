//! `attester probe`, typed at foreign peers, which have never heard of an agent.

use std::process::Command;

use harness::programs::Program;
use tokio::task::spawn_blocking;

use crate::{programs::run, servers::Server, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the Go programs of tests/setup.sh"]
async fn real_servers_are_probed_from_the_command_line() {
    let program = spawn_blocking(|| Program::Attester.path()).await.unwrap().unwrap();
    let (enproxy, http_proxy) = (Server::enproxy().await, Server::http_proxy(&[]).await);
    for (server, more, named) in [
        (&enproxy, &[][..], Some(Server::HOST)),
        (&enproxy, &["--streamed"], Some(Server::HOST)),
        (
            &enproxy,
            &["--protocol", "enproxy-path", "--body", "262144"],
            Some(Server::HOST),
        ),
        (&http_proxy, &["--protocol", "connect"], None),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(&program);
        command.current_dir(folder.path());
        command
            .args(["probe", &server.address.to_string(), "--json"])
            .args(["--pin", &server.pin.to_string()])
            .args(more);
        let output = within(run(command)).await;
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(output.status.success(), "{told}");
        let seen = [&told["outcome"], &told["proxy_host"]].map(serde_json::Value::as_str);
        assert_eq!(seen, [Some("carried"), named], "{told}");
        assert_eq!(told["source_is_peer"], true, "{told}");
    }
}
