//! Python, with a COSE library, a CBOR codec and a CDDL validator that we did not write, from the documentation alone: over the golden
//! vectors, and over evidence of real probes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use attester::{
    model::Reason,
    store::ProbeRow,
    verify::{Demands, Trust, account::Account, audit, recheck},
};
use harness::{Behaviour, Cluster, Fate, Options, Peer};
use proto::claims::Outcome;
use serde::Deserialize;
use serde_json::Value;

use crate::programs::{built, run};

/// What `verify_evidence.py` says about a file.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Judgement {
    outcome: String,
    stated: String,
    check: String,
    found: String,
    holds: bool,
}

/// Peers whose probes end in each of the checks, or before them.
const LIARS: &[Behaviour] = &[
    Behaviour::ClosesPort,
    Behaviour::SwapsTlsKey,
    Behaviour::Truncates,
    Behaviour::AppendsByte,
    Behaviour::NoReceipt,
    Behaviour::SpoilsSignature,
    Behaviour::SignsAnotherNonce,
    Behaviour::ForgesStatement,
    Behaviour::RewritesStatement,
    Behaviour::ReplaysBody,
    Behaviour::FlipsByte,
    Behaviour::AltersHead,
    Behaviour::SignsAnotherDigest,
    Behaviour::ReportsOverrun,
    Behaviour::ExitsElsewhere,
    Behaviour::ReceiptFromAnotherDay,
    Behaviour::TooSlow,
];

#[tokio::test]
#[ignore = "needs Python with cwt: tests/setup.sh foreign"]
async fn python_agrees_with_every_vector() {
    let mut command = python();
    command.args(["-m", "unittest", "test_vectors"]);
    let output = run(command).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let looked = format!("looked at {} vectors in {} files", vectors(), vector_files().len());
    assert!(
        said.contains(&looked) && !said.contains("skipped"),
        "{looked}, not: {said}"
    );
}

/// Whoever audits a proof reads the whole of the program first.
#[test]
fn verifying_evidence_takes_one_short_program() {
    let program = fs::read_to_string(folder().join("verify_evidence.py")).unwrap();
    assert!(program.lines().count() < 150, "{} lines", program.lines().count());
    assert!(program.lines().all(|line| line.chars().count() <= 135));
    // It imports nothing from beside it: each module is Python's own, or of a package by somebody else.
    let beside: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    for line in program
        .lines()
        .filter(|line| line.starts_with("import ") || line.starts_with("from "))
    {
        let own = line
            .split([' ', ',', '.'])
            .find(|word| beside.iter().any(|name| name == word));
        assert_eq!(own, None, "{line}");
    }
}

fn vector_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/vectors");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect()
}

/// How many vectors there are: the members of the lists that a file consists of.
fn vectors() -> usize {
    let of_file = |path: PathBuf| -> usize {
        let file: BTreeMap<String, Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        file.values().filter_map(Value::as_array).map(Vec::len).sum()
    };
    vector_files().into_iter().map(of_file).sum()
}

/// Evidence of an honest peer and of hostile ones, as the attester stored it: the same verdict, the same reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Python with cwt: tests/setup.sh foreign"]
async fn python_judges_stored_evidence_as_the_attester_does() {
    harness::logs();
    let cluster = Cluster::start(Options::quick()).await.unwrap();
    let honest = Peer::start(&cluster, 1, Behaviour::All).await.unwrap();
    cluster.wait_fate(&honest).await.unwrap();
    let mut peers = vec![honest];
    for (number, behaviour) in (2..).zip(LIARS) {
        peers.push(Peer::start(&cluster, number, *behaviour).await.unwrap());
    }
    let mut reasons = BTreeSet::new();
    for peer in &peers {
        cluster.wait_fate(peer).await.unwrap();
        let probes = cluster.probes(peer).await.unwrap();
        let told: Vec<&ProbeRow> = probes.iter().filter(|probe| is_of(probe, peer)).take(4).collect();
        assert!(!told.is_empty(), "{peer} has no probe of its fate");
        for probe in told {
            let judgement = judge(&cluster, &probe.evidence).await;
            agrees(&cluster, probe, &judgement);
            reasons.insert(judgement.found);
        }
    }
    let expected = LIARS
        .iter()
        .filter_map(|liar| liar.fate().reason())
        .filter(|reason| is_rechecked(*reason));
    let missing: Vec<_> = expected.filter(|reason| !reasons.contains(reason.code())).collect();
    assert!(
        missing.is_empty() && reasons.contains(""),
        "{missing:?} in none of {reasons:?}"
    );
}

/// Whether this probe shows what the peer is there for.
fn is_of(probe: &ProbeRow, peer: &Peer) -> bool {
    match peer.behaviour().fate() {
        Fate::Admitted => probe.outcome == Outcome::Proved,
        fate => probe.reason.is_some() && probe.reason == fate.reason(),
    }
}

/// Whether the evidence itself shows this reason: those of V0 to V7, and what the observation tells.
fn is_rechecked(reason: Reason) -> bool {
    let by_observation = [Reason::Truncated, Reason::Overlong, Reason::ReceiptMissing].contains(&reason);
    by_observation || reason.phase().starts_with('V')
}

fn agrees(cluster: &Cluster, probe: &ProbeRow, judgement: &Judgement) {
    let trust = Trust::of_root(cluster.root());
    let told = format!("{}: {judgement:?}", probe.probe);
    let again = recheck(&probe.evidence, &trust, demands(cluster));
    assert_eq!(again.is_ok(), judgement.holds, "{told}");
    let audit = audit(&probe.evidence, &trust, demands(cluster), None, &mut Account::silent()).unwrap();
    assert_eq!(audit.verdict.outcome.as_str(), judgement.outcome, "{told}");
    assert_eq!(audit.verdict.reason, judgement.stated, "{told}");
    let found = audit.found.as_ref().err().map_or("", |finding| finding.reason.code());
    assert_eq!(found, judgement.found, "{told}");
    assert_eq!(probe.reason.map_or("", Reason::code), judgement.stated, "{told}");
    assert_eq!(probe.outcome == Outcome::Proved, judgement.found.is_empty(), "{told}");
    if probe.reason.is_some_and(is_rechecked) {
        assert_eq!(judgement.found, judgement.stated, "{told}");
    }
}

/// Has Python check a file, with the figures of this cluster's attester.
async fn judge(cluster: &Cluster, evidence: &[u8]) -> Judgement {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), evidence).unwrap();
    let demands = demands(cluster);
    let mut command = python();
    command
        .arg("verify_evidence.py")
        .arg(file.path())
        .arg(cluster.root().to_string());
    command.args([
        "--goodput",
        &demands.goodput_body.to_string(),
        &demands.goodput_floor.to_string(),
    ]);
    let output = run(command).await;
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().last().unwrap_or_default();
    let judgement: Judgement = serde_json::from_str(last)
        .unwrap_or_else(|error| panic!("{error}: {said}{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(output.status.code(), Some(i32::from(!judgement.holds)), "{said}");
    judgement
}

fn demands(cluster: &Cluster) -> Demands {
    Demands {
        goodput_body: cluster.options().goodput_body,
        goodput_floor: cluster.options().goodput_floor,
        ..Demands::default()
    }
}

/// Python with the packages of `python/requirements.txt`, in the folder of the tests.
fn python() -> Command {
    let mut command = Command::new(built("python/bin/python"));
    // Its caches do not belong into the sources.
    command.arg("-B");
    command.current_dir(folder());
    command
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/python")
}
