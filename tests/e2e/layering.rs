//! Who may import whom (the layout's import rules), read from the sources as text.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Modules of the attester without I/O, time or chance of their own.
const PURE: &[&str] = &["model", "plan", "verify", "decide", "zone", "records"];
/// Modules of the attester that each own one kind of I/O.
const EDGES: &[&str] = &[
    "session",
    "flashlight",
    "origin",
    "store",
    "publish",
    "resolve",
    "status",
];

#[test]
fn attester_and_peer_agent_never_see_each_other() {
    assert_free_of(
        &sources("attester/src", &[]),
        &["peer_agent", "use tests", "use fuzz", "harness"],
    );
    assert_free_of(
        &sources("peer-agent/src", &[]),
        &["attester::", "use tests", "use fuzz", "harness"],
    );
    // The C interface is the agent's alone, and the one place for `unsafe`.
    assert_free_of(
        &sources("peer-agent/capi/src", &[]),
        &["attester::", "proto::", "use tests", "use fuzz", "harness"],
    );
    assert_free_of(&sources("peer-agent/src", &[]), &["unsafe "]);
    assert_free_of(&sources("proto/src", &[]), &["attester::", "peer_agent::", "tokio::"]);
}

/// What is neither pure nor an edge: wiring, programs, what they are configured by, the door that two edges share, and what
/// the fuzz crate reaches.
const OTHERS: &[&str] = &[
    "lib",
    "main",
    "app",
    "run",
    "cli",
    "config",
    "keys",
    "telemetry",
    "metrics",
    "door",
    "fuzzing",
];

#[test]
fn every_module_has_its_place() {
    for path in sources("attester/src", &[]) {
        let text = path.to_string_lossy();
        let first = text
            .split("attester/src/")
            .nth(1)
            .and_then(|rest| rest.split('/').next())
            .unwrap_or_default();
        let module = first.strip_suffix(".rs").unwrap_or(first);
        let listed = [PURE, EDGES, OTHERS].iter().any(|list| list.contains(&module));
        assert!(
            listed,
            "{module} is on none of the lists: is it pure, an edge or wiring?"
        );
    }
}

#[test]
fn pure_modules_do_no_io() {
    let pure = sources("attester/src", PURE);
    assert!(pure.len() >= PURE.len(), "{pure:?}");
    assert_free_of(
        &pure,
        &[
            "async ",
            ".await",
            "tokio",
            "std::fs",
            "std::net::Tcp",
            "std::net::Udp",
            "hyper",
            "sqlx",
            "hickory",
        ],
    );
    for edge in EDGES {
        assert_free_of(&pure, &[&format!("crate::{edge}")]);
    }
}

#[test]
fn no_edge_imports_another() {
    for edge in EDGES {
        let own = sources("attester/src", &[edge]);
        assert!(!own.is_empty(), "{edge}");
        for other in EDGES.iter().filter(|other| *other != edge) {
            assert_free_of(&own, &[&format!("crate::{other}")]);
        }
        assert_free_of(&own, &["crate::app", "crate::run", "crate::cli"]);
    }
}

#[test]
fn a_library_stays_in_the_edge_that_owns_it() {
    let elsewhere = |owners: &[&str]| -> Vec<PathBuf> {
        let owned: Vec<PathBuf> = sources("attester/src", owners);
        sources("attester/src", &[])
            .into_iter()
            .filter(|path| !owned.contains(path))
            .collect()
    };
    assert_free_of(&elsewhere(&["store"]), &["sqlx::"]);
    assert_free_of(
        &elsewhere(&["publish", "resolve"]),
        &["hickory_proto::", "hickory_server::", "hickory_net::"],
    );
    // The status answers gRPC health checks, and names the service that it speaks of.
    assert_free_of(&elsewhere(&["session", "status"]), &["tonic::", "proto::attest"]);
    assert_free_of(
        &elsewhere(&["origin", "session", "status"]),
        &["hyper::", "hyper_util::"],
    );
}

#[test]
fn only_programs_print_and_exit() {
    for (root, programs) in [
        ("attester/src", &["main", "cli"][..]),
        ("peer-agent/src", &["main", "cli"]),
        ("proto/src", &[]),
    ] {
        let allowed = sources(root, programs);
        let library: Vec<PathBuf> = sources(root, &[])
            .into_iter()
            .filter(|path| programs.is_empty() || !allowed.contains(path))
            .collect();
        assert_free_of(
            &library,
            &["println!(", "eprintln!(", "print!(", "process::exit", "anyhow::"],
        );
    }
}

#[test]
fn one_reader_of_the_system_clock_and_few_makers_of_chance() {
    let mut all = Vec::new();
    for root in ["attester/src", "peer-agent/src", "proto/src"] {
        all.extend(sources(root, &[]));
    }
    let clock = all
        .iter()
        .filter(|path| !path.ends_with("proto/src/time.rs"))
        .cloned()
        .collect::<Vec<_>>();
    assert_free_of(&clock, &["SystemTime::now", "std::time::Instant"]);
    let makers = [
        "main.rs",
        "cli.rs",
        "serve.rs",
        "init.rs",
        "keys.rs",
        "run.rs",
        "cli/probe.rs",
    ];
    let others: Vec<PathBuf> = all
        .into_iter()
        .filter(|path| !makers.iter().any(|maker| path.ends_with(maker)))
        .filter(|path| !path.to_string_lossy().contains("tests"))
        .collect();
    assert_free_of(&others, &["SysRng", "rand::rng()", "from_os_rng"]);
}

/// The sources below `root` (from the workspace's folder), all of them or those of the named top-level modules, without
/// tests.
fn sources(root: &str, modules: &[&str]) -> Vec<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package is in the workspace");
    let base = workspace.join(root);
    let mut found = Vec::new();
    collect(&base, &mut found);
    found.retain(|path| {
        let relative = path.strip_prefix(&base).expect("it was found there");
        let first = relative
            .iter()
            .next()
            .and_then(|part| part.to_str())
            .unwrap_or_default();
        let module = first.strip_suffix(".rs").unwrap_or(first);
        (modules.is_empty() || modules.contains(&module)) && !relative.to_string_lossy().contains("gen/")
    });
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("its entry").path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

/// Fails when a line of code (no comment, before the file's own tests) has one of the words.
fn assert_free_of(files: &[PathBuf], words: &[&str]) {
    for file in files {
        let text = fs::read_to_string(file).expect("a source file");
        // A file's own tests come last.
        let tests = text.find("\nmod tests {").unwrap_or(text.len());
        for (number, line) in text[..tests].lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            for word in words {
                assert!(
                    !has_word(line, word),
                    "{}:{}: {word:?} may not be here: {line}",
                    file.display(),
                    number + 1
                );
            }
        }
    }
}

/// Whether `word` is in `line` and is not the end of a longer name.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || before == '_')
            || !word.starts_with(char::is_alphanumeric)
    })
}
