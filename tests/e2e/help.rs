//! The help of the demo and of the benches is as it was: a change of it is seen in a change of the files.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::{fs, path::Path, process::Command};

#[test]
fn the_help_of_demo_and_bench_is_as_it_was() {
    for (name, program) in [
        ("demo", env!("CARGO_BIN_EXE_demo")),
        ("bench", env!("CARGO_BIN_EXE_bench")),
    ] {
        let ran = Command::new(program)
            .arg("--help")
            .env("COLUMNS", "100")
            .output()
            .unwrap();
        assert!(ran.status.success(), "{name}");
        let help = String::from_utf8(ran.stdout).unwrap();
        assert!(
            help.lines().all(|line| line.chars().count() <= 100),
            "{name} is too wide"
        );
        assert!(!help.contains('\u{1b}'), "{name}: colour in a pipe");
        let text = format!("$ {name} --help\n\n{help}");
        let file = format!("golden/{name}-help.txt");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&file);
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(committed, text, "{file}: set UPDATE_GENERATED=1 once");
    }
}
