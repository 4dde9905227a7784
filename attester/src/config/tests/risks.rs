//! What is allowed, and told all the same.

use super::*;

/// The keys of the risks in the minimal sample and some more text.
fn risks(more: &str) -> Vec<String> {
    let review = Config::review(&format!("{BASE}{more}"));
    assert_eq!(review.mistakes, [], "{more}");
    review.risks.into_iter().map(|risk| risk.key).collect()
}

/// Something that nobody has to be warned of.
const BASE: &str = "[origin]\ndestination = \"origin.lantern.io:80\"\n[dns]\nzone = \"peers.lantern.io\"\nnameserver_addresses = [\"192.0.2.1\"]\n";

#[test]
fn samples_have_the_risks_of_samples() {
    assert_eq!(risks(""), [""; 0]);
    let keys = |text: &str| -> Vec<String> {
        let review = Config::review(text);
        review.risks.into_iter().map(|risk| risk.key).collect()
    };
    // The names that `init` says are to be set, and the address that only the operator knows.
    let mut found = keys(FULL);
    found.sort();
    assert_eq!(found, ["dns.listen", "dns.zone"]);
    let local = Initial {
        local: true,
        ..Initial::default()
    };
    assert_eq!(keys(&initial(&local)), [""; 0], "a trial on one machine risks nothing");
}

#[test]
fn each_risk_is_told_and_its_neighbour_is_not() {
    let cases = [
        (
            "[admission]\nallow_private = true",
            "admission.allow_private",
            "[admission]\nallow_private = true\n[attester]\nlisten = \"127.0.0.1:7443\"",
        ),
        (
            "[admin]\nlisten = \"0.0.0.0:7090\"",
            "admin.listen",
            "[admin]\nlisten = \"[::1]:7090\"",
        ),
        (
            "[attester]\nlisten = \"0.0.0.0:0\"",
            "attester.listen",
            "[attester]\nlisten = \"0.0.0.0:1\"",
        ),
        ("[admission]\nproofs = 1", "admission.proofs", "[admission]\nproofs = 2"),
        (
            "[admission]\nlease = \"2h\"",
            "admission.lease",
            "[admission]\nlease = \"1h\"",
        ),
        (
            "[admission]\nlease = \"120s\"",
            "admission.lease",
            "[admission]\nlease = \"146s\"",
        ),
        ("[admission]\ngoodput_floor = 27000\ngoodput_body = 262144", "", ""),
        (
            "[admission]\ngoodput_floor = 8191\ngoodput_body = 4096",
            "admission.goodput_floor",
            "[admission]\ngoodput_floor = 8192\ngoodput_body = 4096",
        ),
        (
            "[admission]\ninterval = \"1s\"",
            "admission.interval",
            "[admission]\ninterval = \"10s\"",
        ),
        (
            "[probe]\nconcurrency = 1001",
            "probe.concurrency",
            "[probe]\nconcurrency = 1000",
        ),
        ("rotation_port = 8443", "dns.rotation_port", "rotation_port = 443"),
        ("sample = 41", "dns.sample", "sample = 40"),
        ("[evidence]\nage = \"23h\"", "evidence.age", "[evidence]\nage = \"24h\""),
        (
            "[evidence]\nper_peer = 39",
            "evidence.per_peer",
            "[evidence]\nper_peer = 40",
        ),
        (
            "[log]\nfilter = \"info,attester::session=debug\"",
            "log.filter",
            "[log]\nfilter = \"info,attester::session=warn\"",
        ),
        ("[log]\nfilter = \"TRACE\"", "log.filter", "[log]\nfilter = \"error\""),
    ];
    for (risky, key, fine) in cases {
        let expected: Vec<&str> = [key].into_iter().filter(|key| !key.is_empty()).collect();
        assert_eq!(risks(risky), expected, "{risky}");
        assert_eq!(risks(fine), [""; 0], "{fine}");
    }
    let replaced = |from: &str, to: &str| -> Vec<String> {
        let review = Config::review(&BASE.replace(from, to));
        assert_eq!(review.mistakes, []);
        review.risks.into_iter().map(|risk| risk.key).collect()
    };
    assert_eq!(replaced("io:80", "io:8080"), ["origin.destination"]);
    assert_eq!(replaced("peers.lantern.io", "peers.test"), ["dns.zone"]);
    assert_eq!(replaced("nameserver_addresses = [\"192.0.2.1\"]\n", "").len(), 1);
}

#[test]
fn a_risk_has_a_line_and_a_mistake_takes_no_risk() {
    let review = Config::review(&format!("{BASE}[admission]\nproofs = 1\nlease = \"1x\"\n"));
    assert!(review.config.is_none());
    let risk = &review.risks[0];
    assert_eq!((risk.line, risk.key.as_str()), (7, "admission.proofs"));
    assert_eq!(
        review.risks.len(),
        1,
        "nothing is said of the lease but its mistake: {:?}",
        review.risks
    );
}
