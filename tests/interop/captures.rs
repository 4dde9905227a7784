//! The expected values of the captures are those that the script beside them derives.

use std::{fs, path::Path, process::Command};

use crate::programs::run;

#[tokio::test]
#[ignore = "needs python3: tests/setup.sh foreign"]
async fn the_expected_values_are_what_the_script_derives() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let mut command = Command::new("python3");
    // Its caches do not belong into the sources.
    command.arg("-B").arg(folder.join("derive.py"));
    let output = run(command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let committed = fs::read(folder.join("expected.json")).unwrap();
    let lines = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes)
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let (derived, committed) = (lines(&output.stdout), lines(&committed));
    let differing = derived
        .iter()
        .zip(&committed)
        .position(|(derived, committed)| derived != committed);
    assert!(
        differing.is_none() && derived.len() == committed.len(),
        "expected.json is not current, from line {:?} on: see tests/captures/README.md",
        differing.map(|line| line + 1)
    );
}
