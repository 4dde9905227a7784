//! The real programs: an identity moves to a new key on the command line, and the attester's tells of it.

use super::*;

#[tokio::test]
async fn an_identity_moves_by_the_command_line() -> anyhow::Result<()> {
    let site = Site::new(7, &[])?;
    let _attester = site.serve()?;
    let mut peer = site.peer(1, "")?;
    site.wait_rotation(&[1]).await?;
    let config = site.folder.path().join("peer1/peer-agent.toml");
    let config = config.to_str().context("a path of text")?;
    let rotate = ["keys", "rotate", "--config", config, "--json"];
    let refused = Program::PeerAgent.output(&rotate);
    ensure!(
        refused
            .as_ref()
            .is_err_and(|error| error.to_string().contains("stop the peer first")),
        "a running peer's identity was moved: {refused:?}"
    );
    ensure!(peer.terminate().await?.success(), "{}", peer.said());
    let moved: serde_json::Value = serde_json::from_str(&Program::PeerAgent.output(&rotate)?)?;
    let [old, new] = ["old_peer_id", "peer_id"].map(|key| moved[key].as_str().unwrap_or_default().to_owned());
    let _peer = site.peer(1, "")?;
    wait(|| async {
        let rows = site.rows().await?;
        let row = rows.iter().find(|row| row.id.as_str() == new);
        ensure!(
            row.is_some_and(|row| row.standing == "verified"),
            "{new} is {row:?}: {}",
            site.tail()
        );
        Ok(())
    })
    .await?;
    site.wait_rotation(&[1]).await?;

    let attester = site.config();
    let attester = attester.to_str().context("a path of text")?;
    let told = Program::Attester.output(&["explain", "--config", attester, &new])?;
    for words in [format!("{old}, until "), format!("Probes of {old}, newest first")] {
        ensure!(told.contains(&words), "{words:?} is not in {told}");
    }
    let told = Program::Attester.output(&["explain", "--config", attester, "--json", &old])?;
    let kinds = ["\"kind\":\"move\"", "\"reason\":\"key-succeeded\"", &new];
    ensure!(kinds.iter().all(|words| told.contains(words)), "{told}");
    // At its address is the new one.
    let told = Program::Attester.output(&["explain", "--config", attester, &format!("{}:8443", site.ip(1))])?;
    ensure!(told.contains(&format!("peer-{new}")), "{told}");
    Ok(())
}
