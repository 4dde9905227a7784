//! Lists of choices that were written by hand.

/// Target, name and steps, a slice each: they get where random ones seldom do.
#[rustfmt::skip]
pub(super) const BY_HAND: &[(&str, &str, &[&[u8]])] = &[
    // Keyset, welcome, registered, an announcement and its flow, a verdict, another probe cut anyhow, goodbye.
    ("agent_session", "probed", &[
        &[0], &[0; 8], &[0; 8], &[0; 3], &[4, 1, 0, 0, 0, 0, 0], &[6, 1, 0, 16], &[5, 0, 0, 0, 0, 0, 0, 0],
        &[4, 2, 0, 0, 0, 0, 0], &[6, 2, 1, 5], &[6, 1, 0, 16], &[8, 0], &[4, 3, 0, 0, 0, 0, 0], &[6, 2, 1, 5],
    ]),
    // Late, for another peer, by another key, announced twice, and a flow that comes too late.
    ("agent_session", "bent", &[
        &[0], &[0; 8], &[0; 8], &[0; 3], &[4, 1, 0, 0, 0, 0, 0], &[4, 1, 0, 0, 0, 0, 0], &[11, 0, 60],
        &[6, 1, 0, 16], &[4, 2, 0, 0, 1, 5, 9, 0, 0], &[4, 3, 1, 0, 0, 0, 0], &[6, 3, 0, 1],
    ]),
    // Asked for in every state: before the welcome, while registering, registered, after the goodbye.
    ("agent_session", "retested", &[&[12], &[0], &[12], &[0; 8], &[12], &[0; 8], &[0; 3], &[12], &[8, 0], &[12]]),
    // Registered, answered, announced, acknowledged, a receipt, a verdict, time, goodbye.
    ("attester_session", "probed", &[
        &[1, 0, 0, 0, 0, 7], &[6, 0], &[7, 1, 2, 9, 9], &[2, 1, 0, 0, 3], &[3, 1, 0, 0], &[15, 0],
        &[9, 2, 1, 1], &[11, 5], &[4, 2, 0],
    ]),
    ("attester_session", "refused", &[&[1, 0, 0, 0, 0, 0], &[6, 1, 3, 97, 98, 99], &[4, 2, 0]]),
    ("attester_session", "nine-probes", &[
        &[1, 0, 0, 0, 0, 0], &[6, 0], &[7, 0, 0], &[7, 1, 0], &[7, 2, 0], &[7, 3, 0], &[7, 4, 0], &[7, 5, 0],
        &[7, 6, 0], &[7, 7, 0], &[7, 8, 0], &[7, 1, 0], &[2, 1, 1, 2, 110, 111, 0, 0], &[15, 1], &[10, 0],
    ]),
    // Each way out of the table of the attester's session, from the state that it begins in.
    ("attester_session", "greeted-ack", &[&[2, 1, 0, 0, 0]]),
    ("attester_session", "greeted-receipt", &[&[3, 1, 0, 9]]),
    ("attester_session", "greeted-goodbye", &[&[4, 1, 0]]),
    ("attester_session", "greeted-late", &[&[11, 9], &[11, 1]]),
    ("attester_session", "greeted-misregistered", &[&[1, 1, 0, 0, 0, 0, 0]]),
    ("attester_session", "greeted-unreadable", &[&[8, 1, 1]]),
    ("attester_session", "greeted-too-long", &[&[8, 2, 9]]),
    ("attester_session", "greeted-gone", &[&[12]]),
    ("attester_session", "deciding-register", &[&[1, 0, 0, 0, 0, 0], &[1, 0, 0, 0, 0, 0]]),
    ("attester_session", "deciding-ack", &[&[1, 0, 0, 0, 0, 0], &[2, 1, 0, 1, 4, 0]]),
    ("attester_session", "deciding-goodbye", &[&[1, 0, 0, 0, 0, 0], &[4, 2, 0]]),
    ("attester_session", "deciding-late", &[&[11, 9], &[1, 0, 0, 0, 0, 0], &[11, 29], &[11, 1]]),
    ("attester_session", "deciding-impossible", &[&[1, 0, 0, 0, 0, 0], &[6, 2]]),
    ("attester_session", "deciding-stopped", &[&[1, 0, 0, 0, 0, 0], &[14, 1]]),
    ("attester_session", "registered-register", &[&[1, 0, 0, 0, 0, 0], &[6, 0], &[1, 0, 0, 0, 0, 0]]),
    ("attester_session", "registered-strange-ack", &[&[1, 0, 0, 0, 0, 0], &[6, 0], &[2, 1, 0, 0, 0], &[2, 1, 0, 1, 4, 0]]),
    ("attester_session", "registered-no-kind", &[&[1, 0, 0, 0, 0, 0], &[6, 0], &[8, 0, 0]]),
    ("attester_session", "registered-fast", &[&[1, 0, 0, 0, 0, 0], &[6, 0], &[8, 3, 30], &[11, 2], &[8, 3, 28], &[8, 3, 2]]),
    ("attester_session", "registered-in-pace", &[&[1, 0, 0, 0, 0, 0], &[6, 0], &[8, 3, 39]]),
    ("attester_session", "registered-retest", &[&[1, 0, 0, 0, 0, 0], &[6, 0], &[16, 0], &[16, 1]]),
    ("attester_session", "greeted-retest", &[&[16, 0]]),
    ("attester_session", "deciding-retest", &[&[1, 0, 0, 0, 0, 0], &[16, 0]]),
    ("attester_session", "registered-dismissed", &[&[1, 0, 0, 0, 0, 0], &[6, 0], &[10, 0]]),
    ("attester_session", "registered-broken", &[&[1, 0, 0, 0, 0, 0], &[6, 0], &[13]]),
    // Named, three proofs, no outcome, a failure, a restart with all evidence, a goodbye.
    ("life", "admitted", &[
        &[2, 200, 1], &[0, 2], &[0, 0, 0, 0, 0], &[0, 0, 0, 1, 0], &[0, 0, 0, 2, 0], &[0, 4, 0], &[0, 3],
        &[0, 9, 3, 0, 0, 0, 1, 0, 1, 0, 0, 1, 0, 2, 0, 0, 1, 0], &[0, 0, 0, 0, 0], &[0, 5], &[0, 8],
    ]),
    // The same, and then silence until the lease has ended, and a proof of another identity.
    ("life", "lapsed", &[
        &[2, 10, 1], &[0, 2], &[0, 0, 0, 0, 0], &[0, 0, 0, 1, 0], &[0, 0, 0, 2, 0], &[1, 29, 4, 0], &[1, 9, 8],
        &[0, 0, 0, 0, 0], &[0, 0, 1, 0, 0],
    ]),
    // Re-signed in another context, and with another header under the signature than in the envelope.
    ("envelopes", "context", &[&[0; 6], &[1, 2]]),
    ("envelopes", "header", &[&[0; 6], &[1, 0, 1, 1]]),
    ("envelopes", "untagged", &[&[0; 7], &[0, 1, 0]]),
    ("successions", "two", &[&[0, 2], &[0; 6], &[0; 6], &[0], &[0; 3]]),
    ("registration", "token", &[&[0; 10], &[6], b"sesame"]),
    // A move from another key, of today, of 100 days ago, and swapped; after token and chain of an honest registration.
    ("registration", "moved", &[&[0; 12], &[1, 0, 0]]),
    ("registration", "moved-long-ago", &[&[0; 12], &[1, 100, 0]]),
    ("registration", "moved-swapped", &[&[0; 12], &[1, 0, 1]]),
    ("prober", "refused", &[&[0, 20, 1, 0, 1, 2, 0, 0, 0, 0, 0]]),
    ("prober", "connect-2014", &[&[2, 10, 1, 0, 1, 1, 4], b"abcd", &[0, 0, 0, 2, 3, 4]]),
    ("prober", "too-much", &[&[1, 5, 1, 1, 1, 0, 0, 3], b"abc", &[0, 1, 0, 0]]),
];
