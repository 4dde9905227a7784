//! Which field of each claim has which key, written down a second time, and how a claim of any kind is opened.

use std::time::Duration;

use proto::{
    ClaimError,
    checked::{Signed, Timely, sign},
    claims::{
        Announcement, Challenge, Claim, KeyEntry, Keyset, Observation, Receipt, Registration, Revoked, Role, Statement,
        Succession, Verdict, Welcome,
    },
    key::{KeyError, PublicKey, SigningKey},
    time::Timestamp,
};

use super::format::{Case, Entry, Item, Shown};

/// The keys and values of a map, in the order of its encoding.
pub(crate) trait Fields {
    fn fields(&self) -> Vec<Entry>;
}

/// A claim as the vectors know it.
pub(crate) trait Golden: Claim + Fields + PartialEq + std::fmt::Debug {
    /// The role that signs it; `None` for what a peer or the root signs.
    const ROLE: Option<Role>;

    fn verify(signed: Signed<Self>, key: Option<&PublicKey>) -> Result<Timely<Self>, ClaimError> {
        let key = key.expect("a case without a key is of a claim that carries its own");
        signed.verify(key)
    }
}

macro_rules! fields {
    ($kind:ty: $($key:literal $field:ident,)+) => {
        impl Fields for $kind {
            fn fields(&self) -> Vec<Entry> {
                let entries = [$((self.$field.shown(), $key, stringify!($field))),+];
                let present = |(value, key, name): (Option<Item>, i64, &str)| {
                    value.map(|value| Entry { key, name: Some(name.to_owned()), value })
                };
                entries.into_iter().filter_map(present).collect()
            }
        }
    };
}

fields! { KeyEntry: 1 role, 2 key, 3 not_before, 4 expires, }
fields! { Revoked: 1 key, 2 since, }
fields! { Keyset: 1 issuer, 4 expires, 5 not_before, 6 issued_at, -65537 keys, -65538 revoked, }
fields! {
    Welcome: 1 issuer, 4 expires, 6 issued_at, 10 session, -65537 channel_binding, -65538 server_time, -65539 versions,
}
fields! {
    Registration: 1 issuer, 2 subject, 3 audience, 4 expires, 6 issued_at, 10 session, -65537 key, -65538 address,
    -65539 protocols, -65540 pin, -65541 channel_binding, -65542 software, -65543 peer_time,
}
fields! {
    Announcement: 1 issuer, 2 subject, 4 expires, 5 not_before, 6 issued_at, 7 probe, -65537 destination,
    -65538 challenge, -65539 up, -65540 down,
}
fields! {
    Challenge: 1 issuer, 2 subject, 3 audience, 4 expires, 5 not_before, 6 issued_at, 7 probe, 10 nonce,
    -65537 body_length,
}
fields! {
    Statement: 1 issuer, 2 subject, 3 audience, 4 expires, 6 issued_at, 7 probe, 10 nonce, -65537 challenge,
    -65538 source, -65539 arrived, -65540 body_length, -65541 body_digest,
}
fields! {
    Observation: 1 issuer, 2 subject, 3 audience, 4 expires, 6 issued_at, 7 probe, 10 nonce, -65537 path,
    -65538 protocol, -65539 address, -65540 pin, -65541 sent, -65542 sent_digest, -65543 received,
    -65544 received_digest, -65545 body, -65546 body_digest, -65547 started, -65548 phases, -65549 head_digest,
}
fields! {
    Receipt: 1 issuer, 2 subject, 3 audience, 4 expires, 6 issued_at, 7 probe, 10 nonce, -65537 destination,
    -65538 up, -65539 up_digest, -65540 down, -65541 down_digest, -65542 opened, -65543 closed, -65544 end,
}
fields! {
    Verdict: 1 issuer, 2 subject, 4 expires, 6 issued_at, 7 probe, -65537 outcome, -65538 reason, -65539 remedy,
    -65540 standing, -65541 evidence, -65542 receipt_arrived, -65543 clock_offset,
}
fields! {
    Succession: 1 issuer, 2 subject, 4 expires, 5 not_before, 6 issued_at, -65537 old, -65538 new,
}

macro_rules! golden {
    ($($kind:ident $role:expr;)+) => {
        $(impl Golden for $kind { const ROLE: Option<Role> = $role; })+
    };
}

golden! {
    Keyset None;
    Welcome Some(Role::Attester);
    Announcement Some(Role::Attester);
    Challenge Some(Role::Attester);
    Statement Some(Role::Origin);
    Observation Some(Role::Prober);
    Receipt None;
    Verdict Some(Role::Attester);
    Succession None;
}

impl Golden for Registration {
    const ROLE: Option<Role> = None;

    fn verify(signed: Signed<Self>, key: Option<&PublicKey>) -> Result<Timely<Self>, ClaimError> {
        match key {
            Some(key) => signed.verify(key),
            None => signed.verify_with_own_key(),
        }
    }
}

/// Calls a generic function for the claim of a name.
macro_rules! for_claim {
    ($name:expr, $function:ident($($argument:expr),*)) => {{
        use proto::claims::*;
        match $name {
            "keyset" => $function::<Keyset>($($argument),*),
            "welcome" => $function::<Welcome>($($argument),*),
            "registration" => $function::<Registration>($($argument),*),
            "announcement" => $function::<Announcement>($($argument),*),
            "challenge" => $function::<Challenge>($($argument),*),
            "statement" => $function::<Statement>($($argument),*),
            "observation" => $function::<Observation>($($argument),*),
            "receipt" => $function::<Receipt>($($argument),*),
            "verdict" => $function::<Verdict>($($argument),*),
            "succession" => $function::<Succession>($($argument),*),
            other => panic!("{other} is no claim"),
        }
    }};
}
pub(crate) use for_claim;

/// The names of all claims, in the order of the README.
pub(crate) const CLAIMS: &[&str] = &[
    "keyset",
    "welcome",
    "registration",
    "succession",
    "announcement",
    "challenge",
    "statement",
    "observation",
    "receipt",
    "verdict",
];

/// Opens a case as its file says, in the order of checks; what refuses it, and at which step.
pub(crate) fn open<T: Golden>(case: &Case) -> Result<(), (u8, &'static str)> {
    let refused = |step: u8| move |error: ClaimError| (step, kind(&error));
    let signed = Signed::<T>::parse(&case.message.0).map_err(|error| (parse_step(&error), kind(&error)))?;
    let at = Timestamp::from_micros(case.at);
    let key = match (&case.key, &case.keyset) {
        (Some(key), _) => Some(public_key(&key.0).map_err(|error| (4, key_kind(&error)))?),
        (None, Some(keyset)) => {
            let keyset = Signed::<Keyset>::parse(&keyset.0).unwrap();
            let keyset = keyset.verify(&super::cast::key("root").public()).unwrap();
            let keyset = keyset.at(at, Duration::ZERO).unwrap();
            let role = T::ROLE.expect("a claim that a keyset's key signs");
            Some(keyset.key(role, signed.key_id(), at).map_err(refused(4))?)
        }
        (None, None) => None,
    };
    let step = |error: ClaimError| (if matches!(error, ClaimError::WrongKey) { 4 } else { 5 }, kind(&error));
    let timely = T::verify(signed, key.as_ref()).map_err(step)?;
    let leeway = Duration::from_micros(case.leeway);
    timely.at(at, leeway).map(|_| ()).map_err(refused(6))
}

/// The step of "Order of checks" at which parsing stopped; a broken encoding does not say whether inside the payload (3) or
/// around it (1).
fn parse_step(error: &ClaimError) -> u8 {
    match error {
        ClaimError::TooLong { .. } | ClaimError::Envelope(_) => 1,
        ClaimError::Shape { claim, .. } | ClaimError::NotCanonical { claim } if is_envelope(claim) => 1,
        ClaimError::Type { .. } | ClaimError::Version { .. } => 2,
        ClaimError::Cbor { .. } => 0,
        _ => 3,
    }
}

fn is_envelope(claim: &str) -> bool {
    ["COSE_Sign1", "protected header"].contains(&claim)
}

/// The name of an error in the vectors.
pub(crate) fn kind(error: &ClaimError) -> &'static str {
    match error {
        ClaimError::TooLong { .. } => "too-long",
        ClaimError::Cbor { .. } => "cbor",
        ClaimError::Shape { claim, .. } | ClaimError::NotCanonical { claim } if is_envelope(claim) => "envelope",
        ClaimError::Envelope(_) => "envelope",
        ClaimError::Shape { .. } => "shape",
        ClaimError::NotCanonical { .. } => "not-canonical",
        ClaimError::Type { .. } => "type",
        ClaimError::Version { .. } => "version",
        ClaimError::WrongKey => "wrong-key",
        ClaimError::UnknownKey { .. } => "unknown-key",
        ClaimError::Revoked { .. } => "revoked",
        ClaimError::Key(error) => key_kind(error),
        ClaimError::NotYet { .. } => "not-yet",
        ClaimError::Expired { .. } => "expired",
        ClaimError::Succession(_) => "succession",
        other => panic!("{other:?} has no name in the vectors yet"),
    }
}

/// The name of a key's error in the vectors.
pub(crate) fn key_kind(error: &KeyError) -> &'static str {
    match error {
        KeyError::NotAPoint => "not-a-point",
        KeyError::Weak => "weak-key",
        KeyError::Signature => "signature",
        KeyError::Text => "text",
        other => panic!("{other:?} has no name in the vectors"),
    }
}

pub(crate) fn public_key(bytes: &[u8]) -> Result<PublicKey, KeyError> {
    PublicKey::from_bytes(bytes.try_into().expect("32 bytes"))
}

/// The claim in a signed message of ours, encoded and signed anew.
pub(crate) fn signed_again<T: Golden>(message: &[u8], key: &SigningKey) -> Vec<u8> {
    let signed = Signed::<T>::parse(message).unwrap();
    sign(signed.dangerously_unverified(), key).unwrap()
}

/// What the library reads in a message.
pub(crate) fn fields_of<T: Golden>(message: &[u8]) -> Vec<Entry> {
    Signed::<T>::parse(message).unwrap().dangerously_unverified().fields()
}

/// The seconds between which the library takes a claim for valid.
pub(crate) fn window_of<T: Golden>(message: &[u8]) -> [u64; 2] {
    let signed = Signed::<T>::parse(message).unwrap();
    let (from, until) = signed.dangerously_unverified().window();
    [from.as_u64(), until.as_u64()]
}
