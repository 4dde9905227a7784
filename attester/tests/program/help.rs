//! Help pages, completions and manual pages.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::place::{Place, compare, ran};

/// The names under `Commands:`.
fn subcommands(help: &str) -> Vec<String> {
    let after = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let names = after.lines().take_while(|line| !line.is_empty());
    // A description that goes on in another line is further in.
    let names = names.filter_map(|line| line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')));
    let names = names.filter_map(|rest| rest.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Every command, from the program itself on, with its page.
fn pages(place: &Place, path: &[String]) -> Vec<(Vec<String>, String)> {
    let arguments: Vec<String> = path.iter().cloned().chain(["--help".to_owned()]).collect();
    let ran = ran(place.command(&arguments).env("COLUMNS", "100"));
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{path:?}");
    let mut all = vec![(path.to_vec(), ran.out.clone())];
    for name in subcommands(&ran.out) {
        let inner: Vec<String> = path.iter().cloned().chain([name]).collect();
        all.extend(pages(place, &inner));
    }
    all
}

#[test]
fn every_help_page_is_as_it_was() {
    let place = Place::new();
    let all = pages(&place, &[]);
    assert!(all.len() >= 12, "{}", all.len());
    let mut text = String::new();
    for (path, page) in &all {
        assert!(
            page.lines().all(|line| line.chars().count() <= 100),
            "{path:?} is too wide"
        );
        assert!(!page.contains('\u{1b}'), "colour in a pipe");
        text += &format!("$ attester {} --help\n\n{page}\n", path.join(" "));
    }
    compare("tests/golden/help.txt", &text.replace("$ attester  ", "$ attester "));
}

#[test]
fn completions_know_every_command() {
    let place = Place::new();
    let names = subcommands(&place.run(&["--help"]).out);
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = place.run(&["completions", shell]);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{shell}");
        for name in &names {
            assert!(ran.out.contains(name.as_str()), "{shell} does not know {name}");
        }
    }
    assert_eq!(place.run(&["completions", "tcsh"]).code, 2);
}

/// Has a shell read, and not run, the script for it.
fn takes_its_completions(shell: &str) {
    let script = Place::new().run(&["completions", shell]).out;
    let mut checking = Command::new(shell)
        .arg("-n")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{shell}: {error}"));
    checking.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let checked = checking.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.is_empty(), "{shell}: {said}");
}

#[test]
fn bash_takes_its_completions() {
    takes_its_completions("bash");
}

#[test]
#[ignore = "needs zsh, which tests/setup.sh installs"]
fn zsh_takes_its_completions() {
    takes_its_completions("zsh");
}

#[test]
#[ignore = "needs fish, which tests/setup.sh installs"]
fn fish_takes_its_completions() {
    takes_its_completions("fish");
}

#[test]
fn the_manual_has_a_page_for_every_command() {
    let place = Place::new();
    let ran = place.run(&["man", "--out", "manual/man1"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let all = pages(&place, &[]);
    assert!(ran.out.contains(&format!("wrote {} pages", all.len())), "{}", ran.out);
    for (path, _) in &all {
        let name = ["attester"]
            .into_iter()
            .chain(path.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join("-");
        let page = place.read(&format!("manual/man1/{name}.1"));
        let first = page.lines().next().unwrap();
        assert!(
            first.starts_with(".TH ") && first.contains("attester"),
            "{name}: {first}"
        );
        for section in [".SH NAME", ".SH SYNOPSIS", ".SH \"EXIT STATUS\"", ".SH ENVIRONMENT"] {
            assert!(page.contains(&format!("\n{section}\n")), "{name} has no {section}");
        }
        // Nothing but known requests begins a line with a full stop.
        for line in page.lines().filter(|line| line.starts_with('.')) {
            let request = line.split(' ').next().unwrap();
            assert!(
                [
                    ".TH", ".SH", ".TP", ".ie", ".el", ".br", ".nf", ".fi", ".RS", ".RE", ".IP", ".SS", ".PP"
                ]
                .contains(&request),
                "{name}: {line}"
            );
        }
    }
    let main = place.run(&["man"]).out;
    assert_eq!(main, place.read("manual/man1/attester.1"));
    for name in subcommands(&place.run(&["--help"]).out) {
        let reference = format!("attester\\-{}(1)", name.replace('-', "\\-"));
        assert!(main.contains(&reference), "the main page does not refer to {reference}");
    }
}
