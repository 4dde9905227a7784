use super::*;

mod mutations;
mod risks;

const FULL: &str = include_str!("../../config/full.toml");
const MINIMAL: &str = include_str!("../../config/minimal.toml");

/// Every key of the full sample that is set: its section, its name, its value and its line.
fn keys() -> Vec<(String, String, String, usize)> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for (index, line) in FULL.lines().enumerate() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            keys.push((section.clone(), key.to_owned(), value.to_owned(), index + 1));
        }
    }
    keys
}

/// The full sample with one line replaced.
fn with_line(number: usize, line: &str) -> String {
    let mut lines: Vec<&str> = FULL.lines().collect();
    lines[number - 1] = line;
    lines.join("\n")
}

fn problems(text: &str) -> Vec<Problem> {
    let error = Config::parse(text).unwrap_err();
    assert!(matches!(error, ConfigError::Mistakes { .. }), "{error}");
    if let ConfigError::Mistakes { problems, .. } = error {
        problems
    } else {
        Vec::new()
    }
}

/// One problem with the minimal sample and some more text: its line in that text, and its message.
fn problem(more: &str) -> (usize, String) {
    let text = format!("{MINIMAL}\n{more}");
    let problems = problems(&text);
    assert_eq!(problems.len(), 1, "{problems:?}");
    (
        problems[0].line - MINIMAL.lines().count() - 1,
        format!("{}: {}", problems[0].key, problems[0].what),
    )
}

#[test]
fn the_full_sample_shows_the_defaults() {
    let full = Config::parse(FULL).unwrap();
    assert_eq!(full, Config::parse(MINIMAL).unwrap());
    assert_eq!(full.dns.rotation.as_str(), "roundrobin.peers.example");
    assert_eq!(full.admission.lease, Duration::from_secs(300));
    assert_eq!(keys().len(), 31);
}

#[test]
fn each_key_is_checked_and_told_with_its_line() {
    for (section, key, value, line) in keys() {
        let full_key = format!("{section}.{key}");
        let mut wrong = vec!["{}".to_owned(), "[[1]]".to_owned(), "1979-05-27".to_owned()];
        wrong.extend(match value.as_bytes()[0] {
            b'"' => ["\"\"", "7", "true", "\"\\u0000 ?\""].map(str::to_owned),
            b't' | b'f' => ["0", "\"true\"", "1.5", "\"\""].map(str::to_owned),
            _ => ["-1", "1.5", "99999999999999999999", "\"3\""].map(str::to_owned),
        });
        for value in wrong {
            let found = problems(&with_line(line, &format!("{key} = {value}")));
            assert_eq!(found.len(), 1, "{full_key} = {value}: {found:?}");
            assert_eq!(
                (found[0].line, found[0].key.as_str()),
                (line, full_key.as_str()),
                "{value}"
            );
            assert!(found[0].what.contains("expected "), "{}", found[0].what);
        }
        let misspelt = problems(&with_line(line, &format!("{key}x = {value}")));
        let unknown = misspelt
            .iter()
            .find(|problem| problem.key == format!("{full_key}x"))
            .unwrap();
        assert_eq!(
            (unknown.line, unknown.what.as_str()),
            (line, format!("there is no such key; did you mean {key}?").as_str())
        );
        // Without its quotes, or with half of them, it is not TOML.
        let broken = problems(&with_line(line, &format!("{key} = \"{}", value.replace('"', ""))));
        assert_eq!(
            (broken[0].line, broken[0].key.as_str()),
            (line, full_key.as_str()),
            "{broken:?}"
        );
        let twice = problems(&with_line(line, &format!("{key} = {value}\n{key} = {value}")));
        assert_eq!(
            (twice[0].line, twice[0].key.as_str()),
            (line + 1, full_key.as_str()),
            "{twice:?}"
        );
    }
}

#[test]
fn each_range_has_two_ends() {
    let ranges = [
        ("admission.proofs", "0", "17"),
        ("admission.spacing", "\"99ms\"", "\"61s\""),
        ("admission.interval", "\"0s\"", "\"25h\""),
        ("admission.lease", "\"0.5s\"", "\"8d\""),
        ("admission.liveness_body", "0", "4194305"),
        ("admission.goodput_body", "0", "4194305"),
        ("admission.goodput_floor", "0", "1073741825"),
        ("admission.max_peers", "0", "1000001"),
        ("admission.keep_name", "\"0s\"", "\"31d\""),
        ("probe.connect", "\"1ms\"", "\"61s\""),
        ("probe.tls", "\"1ms\"", "\"61s\""),
        ("probe.total", "\"1ms\"", "\"61s\""),
        ("probe.receipt_within", "\"1ms\"", "\"61s\""),
        ("probe.concurrency", "0", "10001"),
        ("dns.rotation_port", "0", "65536"),
        ("dns.sample", "0", "257"),
        ("evidence.per_peer", "0", "1000001"),
        ("evidence.age", "\"59m\"", "\"3651d\""),
        ("evidence.total_bytes", "1048575", "1125899906842625"),
    ];
    for (full_key, below, above) in ranges {
        let (_, key, _, line) = keys()
            .into_iter()
            .find(|(section, key, ..)| full_key == format!("{section}.{key}"))
            .unwrap();
        for value in [below, above] {
            let found = problems(&with_line(line, &format!("{key} = {value}")));
            assert_eq!(
                (found.len(), found[0].line, found[0].key.as_str()),
                (1, line, full_key),
                "{value}"
            );
            assert!(found[0].what.contains(" from "), "{}", found[0].what);
        }
    }
}

#[test]
fn contradictions_are_told_where_they_are_written() {
    let zone = "[dns]\nzone = \"peers.example\"\n";
    let told = |text: &str| {
        let problems = problems(&format!("{zone}{text}"));
        assert_eq!(problems.len(), 1, "{problems:?}");
        (
            problems[0].line.saturating_sub(2),
            problems[0].key.clone(),
            problems[0].what.clone(),
        )
    };
    let origin = "[origin]\ndestination = \"o.example:80\"\n";
    let (line, key, what) = told(&format!("{origin}[admission]\ninterval = \"10m\""));
    assert_eq!((line, key.as_str()), (4, "admission.interval"));
    assert!(
        what.contains("lease (300s) must be at least") && what.contains("(613s)"),
        "{what}"
    );
    let (line, key, _) = told(&format!(
        "{origin}[probe]\ntotal = \"2s\"\nconnect = \"1s\"\ntls = \"3s\"\n[admission]\ngoodput_body=1024"
    ));
    assert_eq!((line, key.as_str()), (6, "probe.tls"));
    let (line, key, _) = told(&format!(
        "{origin}[admission]\nliveness_body = 2048\ngoodput_body = 1024"
    ));
    assert_eq!((line, key.as_str()), (4, "admission.liveness_body"));
    let (line, key, what) = told(&format!("{origin}[admission]\n\ngoodput_floor = 1024"));
    assert_eq!((line, key.as_str()), (5, "admission.goodput_floor"));
    assert!(what.contains("256s"), "{what}");

    let (_, key, what) = told("");
    assert_eq!(key, "origin.destination");
    assert!(what.contains("host name and port"), "{what}");
    for listen in ["0.0.0.0:80", "[::1]:80"] {
        assert_eq!(told(&format!("[origin]\nlisten = \"{listen}\"")).1, "origin.listen");
    }
    for host in [
        "localhost",
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "169.254.1.1",
        "0.0.0.0",
    ] {
        let private = format!("[origin]\ndestination = \"{host}:80\"");
        assert_eq!(told(&private).1, "origin.destination", "{host}");
        Config::parse(&format!("{zone}{private}\n[admission]\nallow_private = true")).unwrap();
    }
    Config::parse(&format!("{origin}[dns]\nzone = \"a.b\"\nlisten = \"1.2.3.4:7090\"")).unwrap();
    for (section, listen) in [("attester", "0.0.0.0:7080"), ("admin", "127.0.0.1:7443")] {
        assert_eq!(
            told(&format!("{origin}[{section}]\nlisten = \"{listen}\""))
                .2
                .split(" is also")
                .count(),
            2
        );
    }
}

#[test]
fn all_mistakes_are_told_at_once_by_line() {
    let text = "[admision]\nlease = \"3s\"\n[dns]\nzone = \"a..b\"\nrotation = \"-x\"\n[origin]\ndestination = \"[::1]:80\"\n[log]\nfilter = \"loud\"\n";
    let error = Config::parse(text).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 6, "{error}");
    assert_eq!(lines[0], "attester.toml cannot be used:");
    assert_eq!(
        lines[1],
        "  line 1, key admision: there is no such section; did you mean admission?"
    );
    for (line, start) in lines[2..].iter().zip([
        "line 4, key dns.zone: ",
        "line 5, key dns.rotation: ",
        "line 7, key origin.destination: ",
        "line 9, key log.filter: ",
    ]) {
        assert!(line.trim_start().starts_with(start), "{line}");
    }
}

#[test]
fn a_missing_zone_is_told_at_its_section() {
    let found = problems("[origin]\ndestination = \"o.example:80\"\n\n[dns]\nsample = 3\n");
    assert_eq!((found[0].line, found[0].key.as_str()), (4, "dns.zone"));
    assert_eq!(problems("")[0].key, "dns.zone");
    assert_eq!(
        problem("[admin]\nlistn = \"127.0.0.1:1\""),
        (2, "admin.listn: there is no such key; did you mean listen?".to_owned())
    );
    assert_eq!(
        problem("[admin]\nport = 1"),
        (2, "admin.port: there is no such key; there are listen".to_owned())
    );
    assert_eq!(
        problem("admin = 3").1,
        "dns.admin: there is no such key; there are listen, zone, rotation, rotation_port, sample, nameserver, nameserver_addresses, asked_at"
    );
    let scalar = problems("admin = 3\n[dns]\nzone = \"a.b\"\n");
    assert_eq!((scalar[0].line, scalar[0].key.as_str()), (1, "admin"));
    assert!(scalar[0].what.contains("[admin]"), "{}", scalar[0].what);
    let unquoted = problems("[admission]\n# lease\nlease = 300s\n");
    let unquoted = unquoted.iter().find(|problem| problem.line == 3).unwrap();
    assert_eq!(unquoted.key, "admission.lease");
    assert!(unquoted.what.contains("double quotes"), "{}", unquoted.what);
}

#[test]
fn optional_keys_and_filters_are_read() {
    let more = "nameserver = \"ns1.example\"\nnameserver_addresses = [\"192.0.2.1\", \"2001:db8::1\"]\nrotation = \"a.b\"\n[probe]\nsource = \"192.0.2.9\"\n[log]\nformat = \"json\"\nfilter = \"info,attester::session=debug\"";
    let config = Config::parse(&format!("{MINIMAL}\n{more}")).unwrap();
    assert_eq!(config.dns.nameserver.unwrap().as_str(), "ns1.example");
    assert_eq!(config.dns.nameserver_addresses.len(), 2);
    assert_eq!(config.dns.rotation.as_str(), "a.b.peers.example");
    assert_eq!(config.probe.source, Some("192.0.2.9".parse().unwrap()));
    assert_eq!(config.log.format, LogFormat::Json);
    assert!(
        problem("nameserver_addresses = [\"0.0.0.0\"]")
            .1
            .contains("an IP address")
    );
    assert!(problem("[probe]\nsource = \"0.0.0.0\"").1.contains("an IP address"));
}

#[test]
fn a_state_folder_is_taken_from_the_files_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attester.toml");
    assert!(matches!(Config::load(&file), Err(ConfigError::Missing { .. })));
    std::fs::write(&file, MINIMAL).unwrap();
    let config = Config::load(&file).unwrap();
    assert_eq!(config.state_file(), folder.path().join("state/attester.db"));
    assert_eq!(config.keys_folder(), folder.path().join("state/keys"));
    std::fs::write(&file, format!("{MINIMAL}[attester]\nstate = \"/var/lib/attester\"\n")).unwrap();
    assert_eq!(
        Config::load(&file).unwrap().attester.state,
        Path::new("/var/lib/attester")
    );
}

#[test]
fn the_first_file_says_what_init_was_told() {
    let told = Initial {
        zone: Some("z.example"),
        destination: Some("o.example:443"),
        state: Some("/a \"b\""),
        ..Initial::default()
    };
    let config = Config::parse(&initial(&told)).unwrap();
    let mut expected = Config::parse(FULL).unwrap();
    expected.dns.zone = Name::parse("z.example").unwrap();
    expected.dns.rotation = Name::parse("roundrobin.z.example").unwrap();
    expected.origin.destination = Some("o.example:443".parse().unwrap());
    expected.attester.state = "/a \"b\"".into();
    assert_eq!(config, expected);

    let text = initial(&Initial {
        local: true,
        ..Initial::default()
    });
    let local = Config::parse(&text).unwrap();
    for listen in [
        local.attester.listen,
        local.origin.listen,
        local.dns.listen,
        local.admin.listen,
    ] {
        assert!(listen.ip().is_loopback(), "{listen}");
    }
    assert!(local.admission.allow_private);
    assert_eq!((local.dns.rotation_port, local.dns.zone.as_str()), (8443, "peers.test"));
    assert_eq!(local.origin.destination.unwrap().as_str(), "127.0.0.1:7080");
    assert!(text.contains("\n#lease = \"300s\"\n"), "defaults are shown");
    assert_eq!(text.lines().count(), FULL.lines().count());
}

#[test]
fn an_edge_is_read_or_what_is_missing_is_told() {
    let fronted = |more: &str| Config::parse(&format!("{MINIMAL}\n[fronted]\n{more}")).unwrap().fronted;
    assert_eq!(fronted(""), None);
    let edge = fronted("edge = \"cdn.example:443\"").unwrap();
    assert_eq!(
        (edge.edge.as_str(), edge.sni, edge.required),
        ("cdn.example:443", Sni::Absent, true)
    );
    assert!(edge.edge().is_ok());
    let edge =
        fronted("edge = \"192.0.2.9:443\"\nname = \"www.example\"\nsni = \"name\"\nca = \"ca.pem\"\nrequired = false")
            .unwrap();
    assert_eq!(
        (edge.name.as_deref(), edge.sni, edge.required),
        (Some("www.example"), Sni::Masquerade, false)
    );
    // The file is looked for where the configuration is.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attester.toml");
    std::fs::write(
        &file,
        format!("{MINIMAL}\n[fronted]\nedge = \"cdn.example:443\"\nca = \"ca.pem\"\n"),
    )
    .unwrap();
    let edge = Config::load(&file).unwrap().fronted.unwrap();
    assert_eq!(edge.ca, Some(folder.path().join("ca.pem")));
    assert!(edge.edge().unwrap_err().to_string().contains("ca.pem"));

    let (line, what) = problem("[fronted]\nname = \"cdn.example\"");
    assert!(
        line == 1 && what.starts_with("fronted.edge: it has no default and must be set to a host name"),
        "{line} {what}"
    );
    for (wrong, right) in [
        ("edge = \"cdn.example\"", "fronted.edge: expected a host name"),
        (
            "edge = \"c.example:443\"\nname = \"a b\"",
            "fronted.name: expected the name",
        ),
        (
            "edge = \"c.example:443\"\nsni = true",
            "fronted.sni: expected \"none\" or \"name\"",
        ),
        (
            "edge = \"c.example:443\"\nrequired = 1",
            "fronted.required: expected true or false",
        ),
    ] {
        let (_, what) = problem(&format!("[fronted]\n{wrong}"));
        assert!(what.starts_with(right), "{what}");
    }
}
