//! The committed header is what cbindgen makes of the sources. `UPDATE_GENERATED=1 cargo test -p peer-agent-capi --test header`
//! writes it anew. The Go package has a copy, since it is a module of its own.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{collections::BTreeSet, env, fs, path::Path};

use peer_agent_c::called::Agent;
use serde_json::{Map, Value};

#[test]
fn the_header_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    // It follows the modules.
    let builder = cbindgen::Builder::new()
        .with_config(config)
        .with_src(root.join("src/lib.rs"));
    let mut made = Vec::new();
    builder.generate().unwrap().write(&mut made);
    let made = String::from_utf8(made).unwrap();
    // What follows "# Safety" is for Rust; the contract says it once for C.
    let made = without_rust(&made);
    for file in ["include/peer_agent.h", "go/peer_agent.h"] {
        let path = root.join(file);
        if env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(&path, &made).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        let differs = made
            .lines()
            .zip(committed.lines())
            .find(|(made, committed)| made != committed);
        assert!(
            committed == made,
            "{file}: run UPDATE_GENERATED=1 cargo test -p peer-agent-capi --test header; it differs at {differs:?}"
        );
    }
}

fn without_rust(header: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut skipping = false;
    for line in header.lines() {
        if line.trim() == "// # Safety" {
            skipping = true;
            // The empty line before it.
            if lines.last().is_some_and(|last| last.trim() == "//") {
                lines.pop();
            }
        }
        skipping = skipping && line.starts_with("//");
        if !skipping {
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}

/// Every function of the header is there once, so that nothing is exported that the header does not tell; and the C programs call it.
#[test]
fn the_header_tells_every_function() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = fs::read_to_string(root.join("include/peer_agent.h")).unwrap();
    let code: String = header.lines().filter(|line| !line.starts_with("//")).collect();
    let called = fs::read_to_string(root.join("tests/c/api.c")).unwrap();
    let mut exported = 0;
    for entry in fs::read_dir(root.join("src")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for (at, _) in text.match_indices("extern \"C\" fn ") {
            let name = text[at + "extern \"C\" fn ".len()..].split('(').next().unwrap();
            assert_eq!(code.matches(&format!("{name}(")).count(), 1, "{name}");
            assert!(called.contains(name), "{name} is not tested");
            exported += 1;
        }
        assert_eq!(
            text.matches("#[unsafe(no_mangle)]").count(),
            text.matches("extern \"C\" fn ").count()
        );
    }
    assert!(exported > 30, "{exported}");
}

/// The keys of the JSON object are those that the header tells, and fields of the struct that it stands for.
#[test]
fn the_object_has_the_keys_that_the_header_tells() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = fs::read_to_string(root.join("include/peer_agent.h")).unwrap();
    let (before, _) = header
        .split_once("\npeer_agent_status peer_agent_standing_json(")
        .unwrap();
    let (_, comment) = before.rsplit_once("\n\n").unwrap();
    let told: BTreeSet<&str> = comment.split('"').skip(1).step_by(2).collect();
    assert!(told.len() > 5, "{comment}");

    let folder = tempfile::tempdir().unwrap();
    let root_key = "ed25519:rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa";
    let agent = Agent::start(
        "127.0.0.1:1",
        root_key,
        &folder.path().join("peer.key"),
        "127.0.0.1:443",
    )
    .unwrap();
    let object: Map<String, Value> = serde_json::from_str(&agent.standing_json()).unwrap();
    assert_eq!(object.keys().map(String::as_str).collect::<BTreeSet<_>>(), told);

    let (fields, _) = header.split_once("} peer_agent_standing;").unwrap();
    let (_, fields) = fields.rsplit_once("typedef struct").unwrap();
    for key in told {
        assert!(
            [' ', '*']
                .iter()
                .any(|before| fields.contains(&format!("{before}{key};"))),
            "the struct has no {key}"
        );
    }
}
