//! tests/HOSTILE.md, kept by the code that it lists.

use std::{fs, path::Path};

use anyhow::ensure;
use harness::{Behaviour, Fate};

/// tests/HOSTILE.md lists every behaviour as the harness has it. `UPDATE_GENERATED=1` writes it anew.
#[test]
fn the_table_of_hostile_peers_is_current() -> anyhow::Result<()> {
    let mut table = String::from(
        "# Peers that the tests put before the attester\n\nWritten from `tests/harness/behaviour.rs`, which says what each does; \
         `tests/e2e/refuse.rs` shows that the hostile ones never enter the rotation (or leave it, those that turn), with the reason \
         given here in the attester's own records.\n\n| behaviour | becomes | reason |\n| --- | --- | --- |\n",
    );
    for behaviour in Behaviour::ALL {
        let fate = behaviour.fate();
        let becomes = match fate {
            Fate::Admitted => "admitted",
            Fate::OwnNameOnly => "verified, in no rotation (port)",
            Fate::Rejected(_) => "rejected at registration",
            Fate::Refused(_) => "refused",
            Fate::Doubted(_) => "never proven",
            Fate::Suspended(_) => "admitted, then suspended",
            Fate::Dismissed => "dismissed: its session is ended",
        };
        let reason = fate
            .reason()
            .map_or_else(String::new, |reason| format!("`{}`", reason.code()));
        table.push_str(&format!("| {} | {becomes} | {reason} |\n", behaviour.name()));
    }
    table.push_str(
        "\n# Attacks by many identities, over many sessions, or behind an edge\n\n| attack | what becomes of it | shown by |\n| --- | --- | --- |\n",
    );
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (attack, becomes, file, test) in ATTACKS {
        let source = fs::read_to_string(folder.join("..").join(file))?;
        ensure!(
            source.contains(&format!("fn {test}(")),
            "there is no test {test} in {file}"
        );
        table.push_str(&format!("| {attack} | {becomes} | `{file}`: `{test}` |\n"));
    }
    let path = folder.join("HOSTILE.md");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, &table)?;
    }
    ensure!(
        fs::read_to_string(&path)? == table,
        "HOSTILE.md is not current: UPDATE_GENERATED=1 cargo test -p tests --test e2e hostile"
    );
    Ok(())
}

/// The attack, what becomes of it, and the test that shows it: its file and its name.
const ATTACKS: [(&str, &str, &str, &str); 21] = [
    (
        "eight strangers hold all places of an address, and known keys hop to it from another",
        "the ninth is rejected as `attester-full`, whether it is known or not",
        "tests/e2e/crowd.rs",
        "known_keys_that_hop_between_addresses_take_places_like_strangers",
    ),
    (
        "an address out of an IPv6 /64, a /24 or a /48 for each identity",
        "all of them share the places of their network",
        "attester/src/run/room/tests.rs",
        "many_addresses_of_one_network_have_a_limit_too",
    ),
    (
        "identities fill the attester and go",
        "those that were gone longest make room; members never do",
        "attester/src/run/room/tests.rs",
        "when_all_is_full_somebody_who_is_gone_goes",
    ),
    (
        "strangers fill the address of a member, which moves to a new key",
        "it keeps its place; a stranger that has moved from another key gets none",
        "attester/src/run/room/tests.rs",
        "who_was_at_a_full_address_keeps_its_place_under_another_key",
    ),
    (
        "others register the address of a good peer again and again, around its admission",
        "they leave when it is admitted, and of all of them a bounded number is stored",
        "tests/e2e/crowd.rs",
        "those_who_lose_an_address_to_its_owner_leave_no_trail",
    ),
    (
        "an address is registered first, by a peer that cannot use it",
        "whoever proves that it serves there gets it",
        "tests/e2e/refuse.rs",
        "a_squatter_does_not_keep_an_honest_peer_out",
    ),
    (
        "strangers fill the store before a restart",
        "verified peers are restored first, however many others there are",
        "tests/e2e/crowd.rs",
        "strangers_in_the_store_crowd_no_member_out_at_a_restart",
    ),
    (
        "identities come, are stored, and never come again",
        "a bounded number for each holder of addresses is kept",
        "attester/src/store/tests/pruning.rs",
        "strangers_that_are_gone_are_forgotten",
    ),
    (
        "probes by the thousand fill the store with one peer's evidence",
        "the oldest of whoever has most goes first",
        "attester/src/store/tests/pruning.rs",
        "a_flood_crowds_nobody_out",
    ),
    (
        "an identity moves to a new key after each probe",
        "all its keys have one share of the store, and its last 16 moves are kept",
        "attester/src/store/tests/successions.rs",
        "an_identity_has_one_share_of_the_evidence_under_all_its_keys",
    ),
    (
        "a stolen old key comes back, after its successor was crowded out of its address",
        "rejected as `key-succeeded`",
        "tests/e2e/crowd.rs",
        "an_old_key_stays_out_when_its_successor_was_crowded_out",
    ),
    (
        "a refused peer comes back with a fresh key that it has moved to",
        "its failures come along: refused until a proof",
        "tests/e2e/succession.rs",
        "a_fresh_key_washes_no_refused_peer_clean",
    ),
    (
        "a goodbye after each failure, or another port, or another TLS key",
        "its failures count on",
        "attester/src/decide/tests.rs",
        "a_goodbye_washes_nobody_clean",
    ),
    (
        "many programs break the protocol, again and again",
        "their sessions end; an honest peer that comes meanwhile is admitted",
        "tests/e2e/refuse.rs",
        "noise_proves_nothing_and_keeps_nobody_out",
    ),
    (
        "behind an edge, a peer gives itself another peer's name, to which its clients would be sent",
        "refused (`proxy-host`)",
        "tests/e2e/fronted.rs",
        "a_peer_that_gives_itself_another_name_is_refused",
    ),
    (
        "an edge refuses, cuts or repeats what it forwards, or asks the origin by itself, before the peer or instead of it",
        "nobody enters without a proof through it, nobody is blamed, members stay",
        "tests/e2e/fronted.rs",
        "an_edge_in_trouble_is_nobodys_fault",
    ),
    (
        "behind an edge, and only for its clients, a peer signs wrongly, signs for something else, or lets traffic leave elsewhere",
        "its failure counts (`receipt-signature`, `receipt-mismatch`, `egress`): no edge can bring that about",
        "tests/e2e/fronted.rs",
        "what_no_edge_can_do_counts_behind_one",
    ),
    (
        "a member answers well directly after each such failure",
        "the failure is asked about through the edge again: the second puts it out",
        "attester/src/plan.rs",
        "what_failed_behind_the_edge_is_asked_about_there_and_no_direct_proof_washes_it_clean",
    ),
    (
        "a peer asks for its next probe again and again",
        "it gains a quarter of the usual time, and what others are owed is not touched",
        "attester/src/run/member.rs",
        "asking_for_ever_gains_a_quarter_of_the_usual_time_however_often_a_peer_has_failed",
    ),
    (
        "it lets its probe stall, and asks for the next one meanwhile",
        "that counts from the end of the probe, and with how it ended",
        "attester/src/run/member.rs",
        "what_is_asked_during_a_probe_counts_from_its_end_and_with_how_it_ended",
    ),
    (
        "clients send their own requests to a probe's destination through an honest peer, many at once, while it is probed",
        "none of their flows is the probe's, each proof counts",
        "tests/interop/c_host.rs",
        "a_host_in_c_is_verified_and_the_sanitizers_find_nothing",
    ),
];
