//! Files whose verdict says `proved`, and one check does not hold: one for each row of the tables.

use std::collections::BTreeMap;

use proto::{
    claims::{FlowEnd, Outcome},
    ids::{Nonce, Pin, ProbeId},
    time::Timestamp,
};

use super::{EvidenceCase, case, spoilt};
use crate::{
    cast::{digest, micros, second, thumbprint},
    scene::{Scene, challenge, measured},
};

/// The file, its rule, and the check and the reason that it fails for.
struct Rows(Vec<EvidenceCase>);

impl Rows {
    fn add(&mut self, name: &str, rule: &str, fails: (&str, &str), bend: impl FnOnce(&mut Scene)) {
        let mut scene = Scene::honest();
        bend(&mut scene);
        let evidence = scene.with_verdict(Outcome::Proved, "");
        self.0.push(case(name, rule, &evidence, fails));
    }
}

pub(super) fn cases() -> Vec<EvidenceCase> {
    let mut rows = Rows(Vec::new());
    own(&mut rows);
    v0_v1(&mut rows);
    v2(&mut rows);
    v3_v4(&mut rows);
    v5_v7(&mut rows);
    order(&mut rows);
    rows.0
}

fn own(rows: &mut Rows) {
    let fault = ("own", "evidence-invalid");
    let together = "verify and belong together";
    rows.add("announcement-missing", together, fault, |s| {
        s.tamper = Box::new(|e| e.announcement = None)
    });
    rows.add("challenge-missing", together, fault, |s| {
        s.tamper = Box::new(|e| e.challenge = None)
    });
    rows.add("observation-missing", together, fault, |s| {
        s.tamper = Box::new(|e| e.observation = None)
    });
    rows.add("registration-missing", together, fault, |s| {
        s.tamper = Box::new(|e| e.registration = None)
    });
    rows.add("registration-spoilt", together, fault, |s| {
        s.tamper = Box::new(|e| e.registration = spoilt(&e.registration, 1));
    });
    rows.add("challenge-by-the-origin", together, fault, |s| {
        s.tamper = Box::new(|e| {
            let mut other = Scene::honest();
            other.attester = "origin";
            e.challenge = other.evidence().challenge;
        });
    });
    rows.add("announcement-spoilt", together, fault, |s| {
        s.tamper = Box::new(|e| e.announcement = spoilt(&e.announcement, 1));
    });
    rows.add("announcement-of-another-length-up", together, fault, |s| {
        s.announcement = Box::new(|a| a.up += 1)
    });
    rows.add("announcement-of-another-length-down", together, fault, |s| {
        s.announcement = Box::new(|a| a.down += 1)
    });
    rows.add("announcement-of-another-challenge", together, fault, |s| {
        s.announcement = Box::new(|a| a.challenge = digest("other"));
    });
    rows.add("announcement-of-another-destination", together, fault, |s| {
        s.announcement = Box::new(|a| a.destination = "elsewhere.example:80".parse().unwrap());
    });
    rows.add("announcement-of-another-probe", together, fault, |s| {
        s.announcement = Box::new(|a| a.probe = ProbeId::from_bytes([7; 16]));
    });
    rows.add("announcement-to-another-peer", together, fault, |s| {
        s.announcement = Box::new(|a| a.subject = thumbprint("stranger"));
    });
    rows.add("challenge-to-another-peer", together, fault, |s| {
        s.challenge.subject = thumbprint("stranger")
    });
    rows.add("challenge-of-another-issuer", together, fault, |s| {
        s.challenge.issuer = thumbprint("stranger")
    });
    rows.add("registration-for-another-attester", together, fault, |s| {
        s.registration.audience = thumbprint("stranger");
    });
    rows.add("registration-from-the-future", together, fault, |s| {
        (s.registration.issued_at, s.registration.expires) = (second(11), second(71));
    });
    for (name, signer) in [("stranger", "stranger"), ("origin", "origin")] {
        rows.add(&format!("observation-by-the-{name}"), together, fault, |s| {
            s.prober = signer
        });
    }
    rows.add("observation-of-another-nonce", together, fault, |s| {
        s.observation = Box::new(|o| o.nonce = Nonce::from_bytes([7; 32]));
    });
    rows.add("observation-of-another-request", together, fault, |s| {
        s.observation = Box::new(|o| o.sent_digest = digest("other"));
    });
    rows.add("keyset-that-ended", together, fault, |s| s.keyset.expires = second(-10));
    rows.add("keyset-not-yet", together, fault, |s| s.keyset.not_before = second(11));
    let lengths =
        "An observation of this probe that received less or more than was announced is `truncated` or `overlong`";
    rows.add("received-less", lengths, ("own", "truncated"), |s| {
        s.observation = Box::new(|o| o.received -= 1)
    });
    rows.add("received-more", lengths, ("own", "overlong"), |s| {
        s.observation = Box::new(|o| o.received += 1)
    });
}

fn v0_v1(rows: &mut Rows) {
    rows.add(
        "dialled-elsewhere",
        "the prober dialled the registered address",
        ("V0", "evidence-invalid"),
        |s| {
            s.observation = Box::new(|o| o.address = "192.0.2.7:8443".parse().unwrap());
        },
    );
    rows.add(
        "another-tls-key",
        "the TLS key had the registered pin",
        ("V0", "pin-mismatch"),
        |s| {
            s.observation = Box::new(|o| o.pin = Pin::from_bytes([7; 32]));
        },
    );
    rows.add("no-receipt", "there is a receipt", ("V1", "receipt-missing"), |s| {
        s.tamper = Box::new(|e| e.receipt = None)
    });
    let signed = "the registered key signed it";
    let signature = ("V1", "receipt-signature");
    rows.add("receipt-by-a-stranger", signed, signature, |s| {
        s.signs_receipt = "stranger"
    });
    rows.add("receipt-spoilt", signed, signature, |s| {
        s.tamper = Box::new(|e| e.receipt = spoilt(&e.receipt, 1))
    });
    rows.add("receipt-of-another-type", signed, signature, |s| {
        s.tamper = Box::new(|e| e.receipt = e.registration.clone());
    });
    let window = "its window holds at *a*";
    rows.add("receipt-from-the-future", window, ("V1", "clock"), |s| {
        s.receipt = Box::new(|r| r.issued_at = second(11))
    });
    rows.add("receipt-that-ended", window, ("V1", "clock"), |s| {
        s.receipt = Box::new(|r| r.expires = second(-10))
    });
    let mismatch = ("V1", "receipt-mismatch");
    let same = "its issuer is the peer and its audience the attester key, its probe id and nonce are the challenge's, its \
        destination the announcement's";
    rows.add("receipt-of-another-peer", same, mismatch, |s| {
        s.receipt = Box::new(|r| (r.issuer, r.subject) = (thumbprint("stranger"), thumbprint("stranger")));
    });
    rows.add("receipt-for-another-attester", same, mismatch, |s| {
        s.receipt = Box::new(|r| r.audience = thumbprint("stranger"));
    });
    rows.add("receipt-of-another-probe", same, mismatch, |s| {
        s.receipt = Box::new(|r| r.probe = ProbeId::from_bytes([7; 16]));
    });
    rows.add("receipt-of-another-nonce", same, mismatch, |s| {
        s.receipt = Box::new(|r| r.nonce = Nonce::from_bytes([7; 32]));
    });
    rows.add("receipt-of-another-destination", same, mismatch, |s| {
        s.receipt = Box::new(|r| r.destination = "elsewhere.example:80".parse().unwrap());
    });
}

fn v2(rows: &mut Rows) {
    let signed = "there is a statement that an origin key of the keyset signed";
    let invalid = ("V2", "statement-invalid");
    rows.add("no-statement", signed, invalid, |s| {
        s.tamper = Box::new(|e| e.statement = None)
    });
    rows.add("statement-by-a-stranger", signed, invalid, |s| s.origin = "stranger");
    rows.add("statement-by-the-attester", signed, invalid, |s| s.origin = "attester");
    rows.add("statement-spoilt", signed, invalid, |s| {
        s.tamper = Box::new(|e| e.statement = spoilt(&e.statement, 1))
    });
    let this = "its window holds at *a*, and nonce, probe id, subject, audience, challenge digest and issuer are this challenge's";
    let replayed = ("V2", "statement-replayed");
    rows.add("statement-that-ended", this, replayed, |s| {
        s.statement = Box::new(|c| c.expires = second(-10))
    });
    rows.add("statement-of-another-nonce", this, replayed, |s| {
        s.statement = Box::new(|c| c.nonce = Nonce::from_bytes([7; 32]));
    });
    rows.add("statement-of-another-probe", this, replayed, |s| {
        s.statement = Box::new(|c| c.probe = ProbeId::from_bytes([7; 16]));
    });
    rows.add("statement-of-another-peer", this, replayed, |s| {
        s.statement = Box::new(|c| c.subject = thumbprint("stranger"));
    });
    rows.add("statement-to-another-attester", this, replayed, |s| {
        s.statement = Box::new(|c| c.audience = thumbprint("stranger"));
    });
    rows.add("statement-on-another-challenge", this, replayed, |s| {
        s.statement = Box::new(|c| c.challenge = digest("other"));
    });
    rows.add("statement-of-another-origin", this, replayed, |s| {
        s.statement = Box::new(|c| c.issuer = "elsewhere.example:80".parse().unwrap());
    });
    rows.add(
        "body-of-another-length",
        "it is about a body of the length that was asked for",
        ("V2", "origin-failed"),
        |s| {
            s.statement = Box::new(|c| c.body_length += 1);
        },
    );
    let body = "the body that the prober received has its length and SHA-256";
    rows.add("body-of-another-digest", body, ("V2", "body-altered"), |s| {
        s.observation = Box::new(|o| o.body_digest = digest("other"));
    });
    rows.add("body-a-byte-short", body, ("V2", "body-altered"), |s| {
        s.observation = Box::new(|o| o.body -= 1)
    });
    let head = "the head that the prober received has the SHA-256 of the one head that belongs to this statement";
    rows.add("head-of-another-digest", head, ("V2", "head-altered"), |s| {
        s.observation = Box::new(|o| o.head_digest = digest("other"));
    });
}

fn v3_v4(rows: &mut Rows) {
    let differ = ("V3", "bytes-differ");
    let bytes = "the receipt did not end with `overrun`, and its lengths and digests up and down are the observation's";
    rows.add("receipt-of-an-overrun", bytes, differ, |s| {
        s.receipt = Box::new(|r| r.end = FlowEnd::Overrun)
    });
    rows.add("receipt-of-more-up", bytes, differ, |s| {
        s.receipt = Box::new(|r| r.up += 1)
    });
    rows.add("receipt-of-other-bytes-up", bytes, differ, |s| {
        s.receipt = Box::new(|r| r.up_digest = digest("other"))
    });
    rows.add("receipt-of-less-down", bytes, differ, |s| {
        s.receipt = Box::new(|r| r.down -= 1)
    });
    rows.add("receipt-of-other-bytes-down", bytes, differ, |s| {
        s.receipt = Box::new(|r| r.down_digest = digest("other"))
    });
    let source = "the statement's source has the registered IP address; for IPv6, the same /64";
    let egress = ("V4", "egress");
    rows.add("left-from-another-address", source, egress, |s| {
        s.statement = Box::new(|c| c.source = "192.0.2.8:443".parse().unwrap());
    });
    rows.add("left-by-ipv6", source, egress, |s| {
        s.statement = Box::new(|c| c.source = "[2001:db8::7]:443".parse().unwrap());
    });
    rows.add("left-from-another-network", source, egress, |s| {
        s.registration.address = "[2001:db8:7:7::1]:443".parse().unwrap();
        s.statement = Box::new(|c| c.source = "[2001:db8:7:8::1]:443".parse().unwrap());
    });
}

fn v5_v7(rows: &mut Rows) {
    let late = "*a* is before the announcement's `exp`";
    rows.add("arrived-at-the-end", late, ("V5", "receipt-late"), |s| {
        s.arrived = 18_000_000
    });
    rows.add(
        "arrived-before-the-window",
        "and not before its `nbf`",
        ("V5", "evidence-invalid"),
        |s| s.arrived = -1,
    );
    let arrived = "`arrived` is in the window, within 10 s at each end";
    for (name, at) in [("before", -10_000_001), ("after", 28_000_000)] {
        rows.add(
            &format!("request-{name}-the-window"),
            arrived,
            ("V5", "origin-failed"),
            |s| {
                s.statement = Box::new(move |c| c.arrived = micros(at));
            },
        );
    }
    let order = "nbf − 10 s ≤ `opened`, `opened` ≤ `closed` + 10 s, `closed` ≤ *a* + 10 s, the peer's times moved by the offset";
    let clock = ("V5", "clock");
    rows.add("opened-before-the-window", order, clock, |s| {
        s.receipt = Box::new(|r| r.opened = micros(-10_250_001))
    });
    rows.add("closed-before-it-was-opened", order, clock, |s| {
        s.receipt = Box::new(|r| (r.opened, r.closed) = (micros(5_000_000), micros(-5_000_001)));
    });
    rows.add("closed-after-the-receipt", order, clock, |s| {
        s.receipt = Box::new(|r| r.closed = micros(10_650_001))
    });
    rows.add("offset-that-saturates", order, clock, |s| s.clock_offset = i64::MIN);
    rows.add("times-at-the-end-of-time", order, clock, |s| {
        s.receipt = Box::new(|r| r.closed = Timestamp::from_micros(u64::MAX));
    });
    let goodput = "received bytes over the time from the end of the handshake (phase 3) to the last byte (6, at least 1 µs later), in \
        whole bytes a second, are at least 32 KiB/s; without both times `evidence-invalid`";
    rows.add("below-the-floor", goodput, ("V7", "goodput"), |s| {
        s.challenge = challenge(256 << 10);
        s.observation = Box::new(|o| measured(o, 0, 8_031_500));
    });
    rows.add("measured-without-times", goodput, ("V7", "evidence-invalid"), |s| {
        s.challenge = challenge(256 << 10);
        s.observation = Box::new(|o| o.phases = BTreeMap::new());
    });
}

/// When several checks fail, the first in the order names the reason.
fn order(rows: &mut Rows) {
    let first = "First what the attester itself made";
    rows.add("everything-wrong-from-V0-on", first, ("V0", "pin-mismatch"), |s| {
        s.observation = Box::new(|o| (o.pin, o.body_digest) = (Pin::from_bytes([7; 32]), digest("other")));
        s.signs_receipt = "stranger";
        s.statement = Box::new(|c| c.source = "192.0.2.8:443".parse().unwrap());
        s.arrived = 18_000_000;
    });
    rows.add("everything-wrong-from-V2-on", first, ("V2", "body-altered"), |s| {
        s.observation = Box::new(|o| o.body_digest = digest("other"));
        s.receipt = Box::new(|r| r.down_digest = digest("other"));
        s.statement = Box::new(|c| c.source = "192.0.2.8:443".parse().unwrap());
    });
    rows.add("everything-wrong-from-V3-on", first, ("V3", "bytes-differ"), |s| {
        s.receipt = Box::new(|r| r.down_digest = digest("other"));
        s.statement = Box::new(|c| c.source = "192.0.2.8:443".parse().unwrap());
        s.arrived = 18_000_000;
    });
    rows.add("truncated-and-more", first, ("own", "truncated"), |s| {
        s.observation = Box::new(|o| (o.pin, o.received) = (Pin::from_bytes([7; 32]), 1025));
    });
}
