//! Evidence files: as bytes that anybody may have written, and built from honest probes and then changed.

use std::sync::LazyLock;

use attester::verify::{Demands, Trust, account::Account, audit, recheck};
use proto::{claims::Protocol, evidence::Evidence};

use crate::{
    honest::{OTHER_PEER, Probe, ROOT, key, parsed},
    target::{Input, Property, Report, Target},
};

mod built;

pub use built::TARGET as BUILT;

/// Any file.
pub const TARGET: Target = Target {
    name: "evidence",
    says: "an evidence file, as it is exported",
    input: Input::Bytes,
    properties: &[SAME_BYTES, BOUNDED, PROVES_ONLY_WHAT_WAS_PROVED, SAME_STORY],
    run,
};

const SAME_BYTES: Property = Property {
    name: "same-bytes",
    says: "a file that is read encodes to the bytes that it was read from",
};
const BOUNDED: Property = Property {
    name: "bounded",
    says: "a file has at most 32,816 bytes and seven claims that a verdict can list",
};
const PROVES_ONLY_WHAT_WAS_PROVED: Property = Property {
    name: "proves-only-what-was-proved",
    says: "no file proves anything but those few that the keys of this crate signed",
};
const SAME_STORY: Property = Property {
    name: "same-story",
    says: "the audit that explains every check comes to the conclusion that the attester itself does",
};

/// Probes that really were proved; their files are seeds.
pub(crate) fn proved() -> Vec<Probe> {
    let second = Probe {
        number: 1,
        peer: OTHER_PEER,
        address: parsed("[2606:4700:4700::1111]:8443"),
        protocol: Protocol::Connect,
        body: 256 << 10,
        at: 5,
    };
    let third = Probe {
        number: 2,
        at: 10,
        ..Probe::default()
    };
    vec![Probe::default(), second, third]
}

fn run(input: &[u8], report: &mut Report) {
    if let Ok(evidence) = Evidence::decode(input) {
        report.check(SAME_BYTES, evidence.encode().ok().as_deref() == Some(input), || {
            "the file is not canonical".to_owned()
        });
        let claims = evidence.digests().len();
        report.check(BOUNDED, claims <= 7 && input.len() <= Evidence::MAX_BYTES, || {
            format!("{claims} claims in {} bytes", input.len())
        });
        report.note(|| format!("{claims} claims beside the verdict"));
    }
    let root = Trust::of_root(key(ROOT).public());
    let checked = recheck(input, &root, Demands::default());
    let proves = matches!(&checked, Ok(recheck) if recheck.proof.is_some());
    let honest = FILES.iter().any(|file| file == input);
    report.check(PROVES_ONLY_WHAT_WAS_PROVED, proves == honest, || match &checked {
        Err(finding) => format!("an honest file is refused: {finding}"),
        Ok(recheck) => format!("a proof of {:?}", recheck.proof),
    });
    match &checked {
        Ok(recheck) => report.note(|| format!("verdict {:?}", recheck.verdict)),
        Err(finding) => report.note(|| finding.to_string()),
    }
    let audited = audit(input, &root, Demands::default(), None, &mut Account::silent());
    let same = match (&checked, &audited) {
        (Ok(checked), Ok(audited)) => checked.verdict == audited.verdict && (!proves || audited.found.is_ok()),
        (Err(finding), Ok(audited)) => audited.found.as_ref().err() == Some(finding),
        (Err(left), Err(right)) => left == right,
        (Ok(_), Err(_)) => false,
    };
    report.check(SAME_STORY, same, || format!("recheck {checked:?}, audit {audited:?}"));
}

static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| proved().iter().map(Probe::file).collect());
