//! What strangers wrote, wherever the program shows it: nothing turns a line round, hides a part of it or commands a terminal.

use attester::{
    model::Reason,
    store::{ProbeRow, RejectionRow},
};
use proto::{
    checked::{Signed, sign},
    claims::{Outcome, Verdict},
    evidence::Evidence,
    key::SigningKey,
    text::is_plain,
    time::Timestamp,
};
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use crate::{
    evidence::Golden,
    place::{Place, Ran},
    stored::{prepared, probe},
};

/// Reads "port 443" with the digits turned round; and what nobody sees.
const TURNED: &str = "port \u{202e}344\u{2069} \u{200b}closed\u{feff}\u{61c}";
const PLAIN: &str = "port 344 closed";

fn is_clean(ran: &Ran) {
    for text in [&ran.out, &ran.err] {
        let bad: Vec<char> = text
            .chars()
            .filter(|letter| !is_plain(*letter) && *letter != '\n')
            .collect();
        assert!(bad.is_empty(), "{bad:?} in {text}");
    }
}

/// Puts the words into every row, as an older program wrote them, which stripped less.
fn spoil(place: &Place) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        let options = SqliteConnectOptions::new().filename(place.path("state/attester.db"));
        let mut state = options.connect().await.unwrap();
        for sql in [
            "UPDATE peers SET detail = ?",
            "UPDATE probes SET detail = ?",
            "UPDATE rejections SET detail = ?",
        ] {
            let changed = sqlx::query(sql).bind(TURNED).execute(&mut state).await.unwrap();
            assert!(changed.rows_affected() > 0, "{sql}");
        }
        state.close().await.unwrap();
    });
}

#[test]
fn stored_words_are_shown_plainly() {
    let (place, good, bad) = prepared();
    let failed = ProbeRow {
        outcome: Outcome::Failed,
        reason: Some(Reason::AckRefused),
        ..probe(&bad, 9)
    };
    let rejected = RejectionRow {
        at: Timestamp::from_secs(951_782_500),
        source: "198.51.100.77".parse().unwrap(),
        peer: None,
        reason: Reason::PortRefused,
        detail: String::new(),
    };
    place.fill(async |store| {
        store.record_verdict(&bad, &failed).await.unwrap();
        store.record_rejection(&rejected).await.unwrap();
    });
    spoil(&place);
    for arguments in [
        &["peers"][..],
        &["rejections"],
        &["explain", bad.id.as_str()],
        &["explain", bad.id.as_str(), "--probe", "09"],
        &["explain", "198.51.100.77"],
    ] {
        let ran = place.run(arguments);
        assert_eq!(ran.code, 0, "{}", ran.err);
        is_clean(&ran);
        // The list of peers has no room for details.
        assert_eq!(
            ran.out.contains(PLAIN),
            arguments != ["peers"],
            "{arguments:?}: {}",
            ran.out
        );
        let ran = place.run(&[arguments, &["--json"]].concat());
        is_clean(&ran);
        // Programs get what was written.
        let (_, objects) = place.json(arguments);
        assert!(objects.iter().any(|object| object["detail"] == TURNED), "{arguments:?}");
    }
    assert_eq!(place.run(&["explain", TURNED]).code, 1);
    is_clean(&place.run(&["explain", TURNED]));
    is_clean(&place.run(&["explain", good.id.as_str(), "--probe", TURNED]));
}

/// Files come from anywhere: their names, what a root that somebody trusts let sign, and what cannot even be read.
#[test]
fn files_are_told_plainly() {
    let golden = Golden::named("failed-egress");
    let place = Place::new();
    let root = golden.root();
    let verify = |name: &str| {
        let ran = place.run(&["evidence", "verify", name, "--root", &root]);
        is_clean(&ran);
        is_clean(&place.run(&["evidence", "verify", name, "--root", &root, "--json"]));
        is_clean(&place.run(&["evidence", "verify", name, name, "--root", &root]));
        ran
    };
    let mut evidence = Evidence::decode(&golden.file).unwrap();
    let verdict = evidence.verdict.as_mut().unwrap();
    let mut said = Signed::<Verdict>::parse(&verdict.0)
        .unwrap()
        .dangerously_unverified()
        .clone();
    said.remedy = TURNED.to_owned();
    verdict.0 = sign(&said, &SigningKey::from_seed(&[2; 32])).unwrap();
    let name = "a\u{202e}b.evidence";
    place.write(name, evidence.encode().unwrap());
    let ran = verify(name);
    assert!(
        ran.code == 4 && ran.out.contains(PLAIN) && ran.out.contains("a?b.evidence"),
        "{}",
        ran.out
    );

    // What serde quotes: a word of the verdict that is none, of the same length.
    let at = golden.file.windows(6).rposition(|window| window == b"failed").unwrap();
    let mut spoilt = golden.file.clone();
    spoilt[at..at + 6].copy_from_slice("f\u{202e}ed".as_bytes());
    place.write("spoilt", spoilt);
    let ran = verify("spoilt");
    assert!(ran.code == 5 && ran.out.contains("does not verify"), "{}", ran.out);

    // Nor from a keyset that is none, whose name is one of those.
    place.write(name, TURNED);
    let ran = place.run(&["evidence", "verify", "spoilt", "--root", &root, "--keyset", name]);
    is_clean(&ran);
    assert!(
        ran.code == 3 && ran.err.contains("a?b.evidence is no keyset"),
        "{}",
        ran.err
    );
    is_clean(&verify("nowhere\u{202e}"));
}
