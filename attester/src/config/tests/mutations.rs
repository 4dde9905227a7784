//! Every shipped sample, one slip of the keyboard at a time.

use super::*;

/// A key as a sample sets it, or shows it in a comment.
struct Shown {
    section: String,
    key: String,
    value: String,
    line: usize,
    /// It is commented out.
    comment: bool,
}

impl Shown {
    fn full(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }
}

fn samples() -> Vec<(&'static str, String)> {
    let local = Initial {
        local: true,
        ..Initial::default()
    };
    vec![
        ("full.toml", FULL.to_owned()),
        ("minimal.toml", MINIMAL.to_owned()),
        ("init", initial(&Initial::default())),
        ("init --local", initial(&local)),
    ]
}

fn shown(text: &str) -> Vec<Shown> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((key, value)) = line.split_once(" = ") {
            let comment = key.starts_with('#');
            let key = key.trim_start_matches('#');
            // Prose may have an equals sign too; keys have no spaces.
            if !key.contains(' ') {
                keys.push(Shown {
                    section: section.clone(),
                    key: key.to_owned(),
                    value: value.to_owned(),
                    line: index + 1,
                    comment,
                });
            }
        }
    }
    keys
}

fn replaced(text: &str, number: usize, with: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines[number - 1] = with;
    lines.join("\n")
}

fn mistakes(text: &str) -> Vec<Problem> {
    Config::review(text).mistakes
}

#[test]
fn samples_can_be_used_as_they_are() {
    for (name, text) in samples() {
        let review = Config::review(&text);
        assert_eq!(review.mistakes, [], "{name}");
        assert!(review.config.is_some());
        assert!(shown(&text).iter().filter(|key| !key.comment).count() >= 2, "{name}");
    }
    assert_eq!(shown(FULL).len(), keys().len() + 10, "keys and those in comments");
}

#[test]
fn a_key_that_is_taken_away_has_its_default_or_is_asked_for() {
    for (name, text) in samples() {
        for key in shown(&text).iter().filter(|key| !key.comment) {
            let review = Config::review(&replaced(&text, key.line, ""));
            match (key.full().as_str(), name) {
                ("dns.zone", _) => {
                    let header = text.lines().position(|line| line == "[dns]").unwrap() + 1;
                    assert_eq!(review.mistakes[0].line, header, "{name}");
                    assert_eq!(review.mistakes[0].key, "dns.zone");
                    assert!(review.mistakes[0].what.contains("must be set to the zone"));
                }
                // On loopback the listening address is the destination.
                ("origin.destination", "init --local") => assert_eq!(review.mistakes, []),
                ("origin.destination", _) => {
                    assert_eq!(review.mistakes.len(), 1);
                    assert!(review.mistakes[0].key.starts_with("origin."), "{:?}", review.mistakes);
                }
                ("admission.allow_private", "init --local") => {
                    assert_eq!(review.mistakes[0].key, "origin.destination");
                }
                ("dns.listen", "init --local") | ("origin.listen", "init --local") => {}
                _ => {
                    assert_eq!(review.mistakes, [], "{name} without {}", key.full());
                    if name == "full.toml" {
                        assert_eq!(
                            review.config,
                            Config::review(&text).config,
                            "{} has its default",
                            key.full()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_slip_in_any_sample_is_told_with_its_key_and_line() {
    for (name, text) in samples() {
        for key in shown(&text) {
            let (full, line) = (key.full(), key.line);
            let one = |with: &str| -> Problem {
                let text = replaced(&text, line, with);
                let found = mistakes(&text);
                let own: Vec<&Problem> = found.iter().filter(|problem| problem.line == line).collect();
                assert_eq!(own.len(), 1, "{name}: {with}: {found:?}");
                own[0].clone()
            };
            for wrong in ["{}", "[[1]]", "1979-05-27", "-1", "1.5", "99999999999999999999"] {
                let problem = one(&format!("{} = {wrong}", key.key));
                assert_eq!(problem.key, full, "{name}: {wrong}");
                assert!(problem.what.contains("expected "), "{}", problem.what);
            }
            let other = if key.value.starts_with('"') { "true" } else { "\"true\"" };
            assert_eq!(one(&format!("{} = {other}", key.key)).key, full);
            for misspelt in [
                format!("{}x", key.key),
                key.key[1..].to_owned(),
                format!("{}_", key.key),
            ] {
                let problem = one(&format!("{misspelt} = {}", key.value));
                assert_eq!(problem.key, format!("{}.{misspelt}", key.section));
                assert_eq!(
                    problem.what,
                    format!("there is no such key; did you mean {}?", key.key),
                    "{name}"
                );
            }
            let unquoted = one(&format!("{} = {}\"", key.key, key.value.trim_matches('"')));
            assert_eq!(unquoted.key, full, "{name}");
            let written = format!("{} = {}", key.key, key.value);
            let twice = mistakes(&replaced(&text, line, &format!("{written}\n{written}")));
            let second = twice.iter().find(|problem| problem.line == line + 1).unwrap();
            assert_eq!(second.key, full);
            assert!(second.what.contains("second time"), "{}", second.what);
        }
    }
}

#[test]
fn all_mistakes_are_told_at_once_and_none_that_nobody_made() {
    let text = "\
[attester]
listen = 0.0.0.0:7443
[admission]
lease = \"1s\"
intervall = \"60s\"
proofs = 99
[probe]
connect = \"50s\"
totl = \"60s\"
[origin]
destination = \"origin.peers.example:80\"
destination = \"other.peers.example:80\"
[dns]
zone = \"peers.example\"
total = \"3s\"
[admin]
listen = \"0.0.0.0:7080\"
[evidnce]
age = \"1d\"
";
    let found: Vec<(usize, String)> = mistakes(text)
        .into_iter()
        .map(|problem| (problem.line, problem.key))
        .collect();
    let expected = [
        (2, "attester.listen"),
        (5, "admission.intervall"),
        (6, "admission.proofs"),
        (9, "probe.totl"),
        (12, "origin.destination"),
        (15, "dns.total"),
        (17, "admin.listen"),
        (18, "evidnce"),
    ];
    // The lease is shorter than a probe, and a connection may take longer than one, only if what is misspelt is not meant.
    assert_eq!(found, expected.map(|(line, key)| (line, key.to_owned())));
    let all = mistakes(text);
    assert_eq!(all[5].what, "there is no such key here; [probe] has one");
    assert_eq!(all[7].what, "there is no such section; did you mean evidence?");
    assert!(all[6].what.contains("origin.listen"), "{}", all[6].what);
}

#[test]
fn contradictions_name_the_lines_of_both() {
    let text = format!("{MINIMAL}\n[admission]\nlease = \"20s\"\ninterval = \"30s\"\n[probe]\ntotal = \"9s\"\n");
    let line = |start: &str| text.lines().position(|line| line.starts_with(start)).unwrap() + 1;
    let found = mistakes(&text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].line, found[0].key.as_str()),
        (line("lease"), "admission.lease")
    );
    let also = [
        ("admission.interval".to_owned(), line("interval")),
        ("probe.total".to_owned(), line("total")),
    ];
    assert_eq!(found[0].also, also);
    let told = found[0].to_string();
    let end = format!(
        "(admission.interval is on line {}, probe.total is on line {})",
        also[0].1, also[1].1
    );
    assert!(told.ends_with(&end), "{told}");
}

#[test]
fn what_is_not_toml_does_not_hide_the_rest() {
    let mistakes_of = |text: &str| -> Vec<(usize, String)> {
        let found = mistakes(text);
        found.into_iter().map(|problem| (problem.line, problem.key)).collect()
    };
    let own = |pairs: &[(usize, &str)]| -> Vec<(usize, String)> {
        pairs.iter().map(|(line, key)| (*line, (*key).to_owned())).collect()
    };
    let minimal = "[dns]\nzone = \"a.b\"\n[origin]\ndestination = \"o.b:80\"\n";
    let text = format!("{minimal}[probe]\ntls = 3s\nconnect = \"\nsorce = \"::1\"\n[log]\nfilter =\n");
    let found = [
        (6, "probe.tls"),
        (7, "probe.connect"),
        (8, "probe.sorce"),
        (10, "log.filter"),
    ];
    assert_eq!(mistakes_of(&text), own(&found));
    // A torn header: its keys are not held against the section before.
    let text = format!("{minimal}[probe\ntls = \"3s\"\n[log]\nfilter = 7\n");
    assert_eq!(mistakes_of(&text), own(&[(5, ""), (8, "log.filter")]));
    // A line that is no key.
    let text = format!("{minimal}[log]\nfilter: info\n");
    assert_eq!(mistakes_of(&text), own(&[(6, "")]));
    // Where a list does not end nobody knows what follows.
    let text = format!("{minimal}nameserver_addresses = [\"192.0.2.1\"\n[log]\nfilter = 7\n");
    assert!(!mistakes_of(&text).is_empty());
    let many: String = (0..1000).map(|_| "x\n").collect();
    assert!(mistakes(&many).len() <= 60);
}

#[test]
fn keys_outside_of_sections_are_told_where_they_belong() {
    let found = mistakes(&format!(
        "lease = \"300s\"\nlisten = \"[::1]:1\"\nnothing = 1\n{MINIMAL}"
    ));
    let what: Vec<&str> = found.iter().map(|problem| problem.what.as_str()).collect();
    assert_eq!(what[0], "it stands in no section: put it under [admission]");
    assert!(
        what[1].starts_with("it stands in no section: put it under [attester] or [origin]"),
        "{what:?}"
    );
    assert!(
        what[2].starts_with("there is no such section; there are attester, "),
        "{what:?}"
    );
}
