//! Texts: an address, a destination, a thumbprint has one spelling.

use proto::claims::EvidenceKind;

use super::{Cases, base, carried};
use crate::{
    cast::thumbprint,
    envelope::{Draft, tstr},
    format::Case,
};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Cases::default();
    thumbprints(&mut cases);
    destinations(&mut cases);
    addresses(&mut cases);
    cases.0
}

const THUMBPRINT: &str = "lower case, unpadded: 52 characters";
const HOST: &str = "The host is a name or an IPv4 address of 1 to 100 characters out of `A-Z a-z 0-9 . - _`";
const PORT: &str = "the port is 1 to 65535 without leading zeros";
const LITERAL: &str = "There are no IPv6 literals";
const ADDRESS: &str = "`ip:port`, the port 0 to 65535 without leading zeros";
const IPV4: &str = "IPv4 in dotted form";
const IPV6: &str = "IPv6 in brackets as RFC 5952 (sections 4 and 6) writes it, always in hexadecimal, without a zone";
const MAPPED: &str = "An IPv4-mapped IPv6 address is refused: it is the IPv4 address";

fn refuse(cases: &mut Cases, name: &str, rule: &str, draft: Draft, cddl: bool) {
    cases.refuse(name, rule, &draft, draft.message(), (3, "shape")).cddl = cddl;
}

fn thumbprints(cases: &mut Cases) {
    let good = thumbprint("attester").to_string();
    let cut = &good[..51];
    for (name, text) in [
        ("thumbprint-in-capitals", good.to_ascii_uppercase()),
        ("thumbprint-of-51-characters", cut.to_owned()),
        ("thumbprint-of-53-characters", format!("{good}a")),
        ("thumbprint-with-padding", format!("{good}====")),
        ("thumbprint-with-bits-left-over", format!("{cut}b")),
        ("thumbprint-with-a-1", format!("1{}", &good[1..])),
        ("thumbprint-with-a-space", format!(" {}", &good[1..])),
        ("thumbprint-in-hexadecimal", "ab".repeat(32)),
        ("thumbprint-as-a-key", format!("ed25519:{good}")),
        ("thumbprint-empty", String::new()),
    ] {
        refuse(cases, name, THUMBPRINT, base().with(1, tstr(&text)), false);
    }
}

fn destinations(cases: &mut Cases) {
    let long = format!("{}:80", "h".repeat(101));
    for (name, rule, text, cddl) in [
        ("destination-without-a-port", PORT, "origin.example", false),
        ("destination-with-an-empty-port", PORT, "origin.example:", false),
        ("destination-at-port-0", PORT, "origin.example:0", false),
        ("destination-at-port-65536", PORT, "origin.example:65536", true),
        ("destination-at-port-080", PORT, "origin.example:080", false),
        ("destination-at-port-+80", PORT, "origin.example:+80", false),
        ("destination-without-a-host", HOST, ":80", false),
        ("destination-of-101-characters", HOST, &long, false),
        ("destination-with-a-space", HOST, "origin .example:80", false),
        ("destination-with-a-slash", HOST, "origin.example/x:80", false),
        ("destination-with-an-umlaut", HOST, "\u{f6}rigin.example:80", false),
        ("destination-with-a-scheme", HOST, "http://origin.example:80", false),
        ("destination-with-a-line-end", HOST, "origin.example:80\n", false),
        ("destination-in-brackets", LITERAL, "[2001:db8::1]:80", false),
        ("destination-with-colons", LITERAL, "2001:db8::1:80", false),
    ] {
        refuse(cases, name, rule, base().with(3, tstr(text)), cddl);
    }
}

fn addresses(cases: &mut Cases) {
    for (name, rule, text, cddl) in [
        ("address-without-a-port", ADDRESS, "192.0.2.7", false),
        ("address-at-port-0443", ADDRESS, "192.0.2.7:0443", true),
        ("address-at-port-65536", ADDRESS, "192.0.2.7:65536", true),
        ("address-at-port-+443", ADDRESS, "192.0.2.7:+443", false),
        ("address-with-a-name", ADDRESS, "localhost:443", false),
        ("address-ipv4-with-a-leading-zero", IPV4, "192.0.02.7:443", true),
        ("address-ipv4-of-three-numbers", IPV4, "192.0.519:443", true),
        ("address-ipv4-of-256", IPV4, "192.0.2.256:443", true),
        ("address-ipv4-in-brackets", IPV4, "[192.0.2.7]:443", false),
        ("address-ipv4-with-a-space", IPV4, " 192.0.2.7:443", false),
        ("address-ipv6-without-brackets", IPV6, "2001:db8::7:443", false),
        ("address-ipv6-in-capitals", IPV6, "[2001:DB8::7]:443", false),
        ("address-ipv6-uncompressed", IPV6, "[2001:db8:0:0:0:0:0:7]:443", true),
        ("address-ipv6-with-leading-zeros", IPV6, "[2001:0db8::7]:443", true),
        (
            "address-ipv6-compressed-elsewhere",
            IPV6,
            "[2001:db8::1:0:0:0:1]:443",
            true,
        ),
        (
            "address-ipv6-one-group-compressed",
            IPV6,
            "[2001:db8::1:1:1:1:1]:443",
            true,
        ),
        ("address-ipv6-with-a-zone", IPV6, "[fe80::1%1]:443", false),
        ("address-ipv6-in-dotted-form", IPV6, "[64:ff9b::192.0.2.7]:443", false),
        ("address-ipv4-mapped", MAPPED, "[::ffff:c000:207]:443", true),
        (
            "address-ipv4-mapped-in-dotted-form",
            MAPPED,
            "[::ffff:192.0.2.7]:443",
            false,
        ),
    ] {
        refuse(
            cases,
            name,
            rule,
            carried(EvidenceKind::Registration).with(-65_538, tstr(text)),
            cddl,
        );
    }
    let source = carried(EvidenceKind::Statement).with(-65_538, tstr("[::ffff:c000:207]:50123"));
    refuse(cases, "statement-from-an-ipv4-mapped-address", MAPPED, source, true);
    let statement = carried(EvidenceKind::Statement).with(1, tstr("[2001:db8::1]:80"));
    refuse(cases, "statement-of-an-ipv6-origin", LITERAL, statement, false);
}
