//! The committed header is what cbindgen makes of the sources. `UPDATE_GENERATED=1 cargo test -p peer-agent-capi --test header`
//! writes it anew. The Go package has a copy, since it is a module of its own.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{env, fs, path::Path};

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

/// Every function of the header is there once, so that nothing is exported that the header does not tell.
#[test]
fn the_header_tells_every_function() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let header = fs::read_to_string(root.join("include/peer_agent.h")).unwrap();
    let code: String = header.lines().filter(|line| !line.starts_with("//")).collect();
    let mut exported = 0;
    for entry in fs::read_dir(root.join("src")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for (at, _) in text.match_indices("extern \"C\" fn ") {
            let name = text[at + "extern \"C\" fn ".len()..].split('(').next().unwrap();
            assert_eq!(code.matches(&format!("{name}(")).count(), 1, "{name}");
            exported += 1;
        }
        assert_eq!(
            text.matches("#[unsafe(no_mangle)]").count(),
            text.matches("extern \"C\" fn ").count()
        );
    }
    assert!(exported > 30, "{exported}");
}
