//! `attester explain`.

use attester::store::ProbeRow;
use data_encoding::HEXLOWER;
use proto::{claims::EvidenceKind, evidence::Evidence};
use ring::digest::{SHA256, digest};
use serde_json::Value;

use crate::{
    evidence::Golden,
    stored::{peer, prepared, probe},
};

#[test]
fn a_peer_is_explained() {
    let (place, good, bad) = prepared();
    let own_name = format!("peer-{}.peers.test", bad.id);
    let ran = place.run(&["explain", &own_name]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    for part in [
        "standing    suspended",
        "reason      tls-timeout",
        "what to do  the connection is accepted, but the TLS handshake does not finish",
        "first seen  2000-02-29 00:00:00",
        "2000-03-01 00:00:03  030303030303  direct/connect       1024     failed        tls-timeout",
        "resolve 0.3 connect 1.2 ms\n  3 s\n",
        "2000-02-29 00:00:00  127.77.2.1",
    ] {
        assert!(ran.out.contains(part), "{part:?} in\n{}", ran.out);
    }
    assert!(
        !ran.out.contains("127.77.3.1") && !ran.out.contains("198.51.100.9"),
        "{}",
        ran.out
    );

    let (code, objects) = place.json(&["explain", bad.id.as_str()]);
    let kinds: Vec<&str> = objects.iter().map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!((code, kinds), (0, vec!["peer", "probe", "rejection"]));
    let probe = &objects[1];
    assert_eq!(
        (&probe["outcome"], &probe["phase"], &probe["reason"]),
        (&"failed".into(), &"tls".into(), &"tls-timeout".into())
    );
    assert_eq!(probe["at"], "2000-03-01T00:00:03.000000Z");
    assert_eq!(
        probe["phases_us"],
        serde_json::json!({ "resolve": 300, "connect": 1500 })
    );
    assert_eq!(objects[2]["reason"], "port-refused");

    let (code, objects) = place.json(&["explain", "127.77.1.1", "--limit", "1"]);
    assert_eq!((code, objects.len()), (0, 2));
    assert_eq!(objects[1]["probe"], "02".repeat(16));
    let ran = place.run(&["explain", &good.key.to_string()]);
    assert_eq!(ran.out.matches("proved").count(), 2, "{}", ran.out);
    assert!(ran.out.contains("lease       4m "), "{}", ran.out);
}

#[test]
fn strangers_are_explained_from_their_rejections_and_others_are_not_found() {
    let (place, good, bad) = prepared();
    let third = peer(3, "");
    for name in [third.id.as_str(), "198.51.100.9"] {
        let ran = place.run(&["explain", name]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(
            ran.out
                .contains("port-refused: the port refused the connection: forward it on your router"),
            "{}",
            ran.out
        );
        let (code, objects) = place.json(&["explain", name]);
        assert_eq!((code, objects.len(), &objects[0]["kind"]), (0, 1, &"rejection".into()));
    }
    for unknown in [
        "198.51.100.7",
        "127.77.1.1:9",
        "peer-",
        "",
        "%",
        peer(4, "").id.as_str(),
    ] {
        assert_eq!(place.run(&["explain", unknown]).code, 1, "{unknown:?}");
    }
    // Two peers behind one address: the text does not say which.
    let mut neighbour = peer(5, "probing");
    neighbour.address = "127.77.1.1:9443".parse().unwrap();
    place.fill(async |store| store.record_peer(&neighbour).await.unwrap());
    let ran = place.run(&["explain", "127.77.1.1"]);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""));
    assert!(
        ran.err.contains("more than one") && ran.err.contains(good.id.as_str()) && !ran.err.contains(bad.id.as_str()),
        "{}",
        ran.err
    );

    let (code, objects) = place.json(&["rejections"]);
    assert_eq!((code, objects.len()), (0, 3));
    assert_eq!(
        (&objects[0]["source"], &objects[0]["peer"]),
        (&"198.51.100.9".into(), &Value::Null)
    );
    assert_eq!(objects[2]["peer"], third.id.as_str());
    assert_eq!(place.run(&["rejections"]).out.lines().count(), 4);
}

#[test]
fn one_probe_is_explained_with_each_claim() {
    let (place, good, _) = prepared();
    let ran = place.run(&["explain", good.id.as_str(), "--probe", "0202"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    for part in [
        &"02".repeat(16),
        "resolve  0.300",
        "connect  1.200",
        "receipt       not there",
    ] {
        assert!(ran.out.contains(part), "{part:?} in\n{}", ran.out);
    }
    let ran = place.run(&["explain", good.id.as_str()]);
    assert!(ran.out.contains("since       ") && ran.out.contains("waits for   a proof before its lease ends"));
    assert!(ran.out.lines().all(|line| line.chars().count() <= 100), "{}", ran.out);
    let ran = place.run(&["explain", good.id.as_str(), "--probe", "09"]);
    assert!(ran.code == 1 && ran.err.contains("no probe 09"), "{}", ran.err);
    let (_, objects) = place.json(&["explain", good.id.as_str()]);
    assert_eq!(objects[0]["streak"]["needed"], 3);
    assert_eq!(objects[1]["evidence_sha256"].as_str().unwrap().len(), 64);
}

/// One parser, so that what names a probe here names it there.
#[test]
fn what_is_no_probe_id_is_a_mistake_wherever_it_is_typed() {
    let (place, good, _) = prepared();
    let too_long = "0".repeat(33);
    for wrong in ["", "xyz", "02 ", "%", &too_long] {
        for command in [&["explain"][..], &["evidence", "export"]] {
            let ran = place.run(&[command, &[good.id.as_str(), "--probe", wrong]].concat());
            assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{command:?} {wrong:?}");
            let told = "for '--probe <ID>': no probe id: 1 to 32 hexadecimal digits, as `attester explain` lists them";
            assert!(ran.err.contains(told), "{command:?} {wrong:?}: {}", ran.err);
        }
    }
    // Capitals are the same digits.
    for command in [&["explain"][..], &["evidence", "export"]] {
        let ran = place.run(&[command, &[good.id.as_str(), "--probe", "0A"]].concat());
        assert!(
            ran.code == 1 && ran.err.contains("no probe 0a"),
            "{command:?}: {}",
            ran.err
        );
    }
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

/// The digests are those of the claims that were signed, in a text for people and for programs.
#[test]
fn digests_are_those_of_what_was_signed() {
    let (place, good, _) = prepared();
    let golden = Golden::named("proved");
    let evidence = Evidence::decode(&golden.file).unwrap();
    let claims: Vec<(&str, &[u8])> = EvidenceKind::ALL
        .iter()
        .map(|kind| (kind.as_str(), evidence.claim(*kind).unwrap()))
        .collect();
    assert_eq!(claims.len(), 7);
    let verdict = &evidence.verdict.as_ref().unwrap().0;
    let row = ProbeRow {
        evidence: golden.file.clone(),
        ..probe(&good, 9)
    };
    place.fill(async |store| {
        store.record_verdict(&good, &row).await.unwrap();
    });
    let (file, of_verdict) = (sha256(&golden.file), sha256(verdict));
    let summary = format!("evidence {} bytes, SHA-256 {file}", golden.file.len());
    let told = place.run(&["explain", good.id.as_str()]).out;
    assert!(told.contains(&summary), "{summary} in\n{told}");

    let told = place.run(&["explain", good.id.as_str(), "--probe", "09"]).out;
    let flat = told.split_whitespace().collect::<Vec<_>>().join(" ");
    let rows = claims
        .iter()
        .map(|(name, claim)| format!(" {name} {} yes ", sha256(claim)));
    // A verdict does not list itself.
    for row in rows.chain([format!(" verdict {of_verdict} - "), format!(" {summary} ")]) {
        assert!(flat.contains(&row), "{row} in\n{told}");
    }

    let (_, objects) = place.json(&["explain", good.id.as_str(), "--probe", "09"]);
    let object = &objects[0];
    assert_eq!(
        (&object["evidence_sha256"], &object["evidence_bytes"]),
        (&file.into(), &golden.file.len().into())
    );
    let mut expected: serde_json::Map<String, Value> = claims
        .iter()
        .map(|(name, claim)| ((*name).to_owned(), sha256(claim).into()))
        .collect();
    expected.insert("verdict".to_owned(), of_verdict.into());
    assert_eq!(object["claims_sha256"], Value::Object(expected));
}

/// A receipt that was changed after the verdict is not the one that the verdict lists.
#[test]
fn a_claim_that_the_verdict_does_not_list_is_told_as_such() {
    let (place, good, _) = prepared();
    let golden = Golden::named("proved");
    let mut evidence = Evidence::decode(&golden.file).unwrap();
    evidence.statement = None;
    let last = evidence.receipt.as_mut().unwrap().0.last_mut().unwrap();
    *last ^= 1;
    let row = ProbeRow {
        evidence: evidence.encode().unwrap(),
        ..probe(&good, 9)
    };
    place.fill(async |store| {
        store.record_verdict(&good, &row).await.unwrap();
    });
    let told = place.run(&["explain", good.id.as_str(), "--probe", "09"]).out;
    let flat = told.split_whitespace().collect::<Vec<_>>().join(" ");
    let changed = sha256(&evidence.receipt.as_ref().unwrap().0);
    for row in [format!(" receipt {changed} - "), " statement not there - ".to_owned()] {
        assert!(flat.contains(&row), "{row} in\n{told}");
    }
    let (_, objects) = place.json(&["explain", good.id.as_str(), "--probe", "09"]);
    assert_eq!(objects[0]["claims_sha256"]["receipt"], changed.as_str());
    assert_eq!(objects[0]["claims_sha256"]["statement"], Value::Null);
}
