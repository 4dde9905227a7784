//! The foreign programs: where they are, and how they run.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tokio::task::spawn_blocking;

use crate::within;

/// Runs curl.
pub(crate) async fn curl(arguments: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command
        .args(["--disable", "--silent", "--show-error", "--max-time", "30"])
        .args(arguments);
    // Settings of whoever runs the tests.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().to_ascii_lowercase().ends_with("_proxy"))
    {
        command.env_remove(name);
    }
    run(command).await
}

/// Runs a program to its end.
pub(crate) async fn run(mut command: Command) -> Output {
    within(spawn_blocking(move || {
        command.stdin(Stdio::null()).output().unwrap_or_else(|error| {
            panic!(
                "{}: {error}: run tests/setup.sh foreign",
                command.get_program().display()
            )
        })
    }))
    .await
    .unwrap()
}

/// A program that `tests/setup.sh` built or installed.
pub(crate) fn built(name: &str) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    // The script takes a relative folder from the workspace's.
    let folder = env::var_os("INTEROP_BIN").map_or_else(|| target.join("interop-bin"), |chosen| workspace.join(chosen));
    let program = folder.join(name);
    assert!(
        program.is_file(),
        "{} is missing: run tests/setup.sh foreign",
        program.display()
    );
    program
}
