//! The waterfall and what is said below it.

use std::{
    io::{BufRead, BufReader},
    net::TcpStream,
    process::Stdio,
};

use super::probe;
use crate::{
    place::{Place, compare, ran},
    scripted::{Script, Scripted},
};

/// What is the same in every run: without times, bars, ports that the system chose and keys.
fn blanked(text: &str, peer: &Scripted) -> String {
    let text = text
        .replace(&peer.address.to_string(), "PEER:PORT")
        .replace(&peer.pin.to_string(), "PIN");
    let mut blanked = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let times: Vec<f64> = words
            .iter()
            .skip(1)
            .take(3)
            .map_while(|word| word.parse().ok())
            .collect();
        if let [from, to, took] = times[..] {
            assert!(from <= to && (to - from - took).abs() < 0.002, "{line}");
            let bar = words[4];
            let kind = bar.chars().next().unwrap();
            assert!(bar.chars().all(|cell| cell == kind), "{line}");
            assert!(line.chars().count() <= 100, "{line}");
            blanked += &format!("{:<12}FROM TO TOOK {kind}\n", words[0]);
            continue;
        }
        let line: Vec<String> = line.split(' ').map(without_port).collect();
        blanked += &format!("{}\n", line.join(" "));
    }
    blanked
}

/// `127.0.0.1:12345`, with what may follow it, without the number.
fn without_port(word: &str) -> String {
    for host in ["127.0.0.1:", "127.0.0.99:"] {
        if let Some(rest) = word.strip_prefix(host) {
            return format!(
                "{host}PORT{}",
                rest.trim_start_matches(|letter: char| letter.is_ascii_digit())
            );
        }
    }
    word.to_owned()
}

#[test]
fn what_people_read_is_as_it_was() {
    let place = Place::new();
    let mut text = String::new();
    let scripts: [(&str, Script, &[&str]); 7] = [
        ("carries", Script::Carries, &["--body", "70000"]),
        (
            "takes connections, and nothing more",
            Script::Silent,
            &["--timeout", "1s"],
        ),
        ("speaks something else", Script::NoTls, &[]),
        (
            "refuses the tunnel",
            Script::Refuses("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 9\r\n\r\nnot today"),
            &[],
        ),
        (
            "refuses the tunnel to an origin that may be out of its reach",
            Script::Refuses("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 11\r\n\r\nunreachable"),
            &["--origin=127.0.0.1:0", "--destination", "origin.example:80"],
        ),
        ("changes a byte", Script::Flips, &[]),
        ("carries from another address", Script::LeavesElsewhere, &[]),
    ];
    for (what, script, more) in scripts {
        let peer = Scripted::start(script);
        let ran = probe(&place, peer.address, more);
        assert_eq!(ran.err, "");
        let typed = [&["attester probe PEER:PORT --protocol connect"], more]
            .concat()
            .join(" ");
        let told = blanked(&ran.out, &peer)
            // 70,000 bytes in a time that is not to be told here.
            .lines()
            .map(|line| {
                if line.starts_with("goodput ") {
                    "goodput     RATE KiB/s"
                } else {
                    line
                }
            })
            .fold(String::new(), |text, line| text + line + "\n");
        text += &format!("# a peer that {what}\n$ {typed}\n{told}exit status {}\n\n", ran.code);
    }
    compare("tests/golden/probe.txt", &text);
}

#[test]
fn colour_is_for_terminals_and_the_origin_is_told_before_the_end() {
    let place = Place::new();
    let peer = Scripted::start(Script::NoTls);
    assert!(!probe(&place, peer.address, &[]).out.contains('\u{1b}'));
    let address = peer.address.to_string();
    let mut coloured = place.command(&["probe", &address]);
    let coloured = ran(coloured.env("CLICOLOR_FORCE", "1"));
    assert!(coloured.out.contains("\u{1b}[31m"), "{}", coloured.out);

    let peer = Scripted::start(Script::Silent);
    let address = peer.address.to_string();
    let mut child = place
        .command(&["probe", &address, "--timeout", "5m"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("peer "));
    let origin = lines.next().unwrap().unwrap();
    assert!(origin.starts_with("origin      listening at 127.0.0.1:"), "{origin}");
    // It is there: whoever asks it for anything else is told so.
    let at = origin
        .split([' ', ';'])
        .find(|word| word.starts_with("127.0.0.1:"))
        .unwrap();
    TcpStream::connect(at).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
}
