//! Rows in the program's words, and how they are read back: strictly, each by itself.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use proto::{
    claims::{Outcome, Path, Phase, Protocol, Protocols},
    ids::{Nonce, PeerId, Pin, ProbeId},
    key::PublicKey,
    time::Timestamp,
};
use sqlx::{Row, sqlite::SqliteRow};

use crate::model::{Finding, Identity, PhaseTimes, Reason, Route};

/// A peer as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRow {
    /// Its short id.
    pub id: PeerId,
    /// Its key, whose id that is.
    pub key: PublicKey,
    /// Where it serves.
    pub address: SocketAddr,
    /// The pin of its TLS key.
    pub pin: Pin,
    /// What it lists.
    pub protocols: Protocols,
    /// `registered`, `named`, `probing`, `verified`, …
    pub standing: String,
    /// Why it stands so, if there is a reason.
    pub reason: Option<Reason>,
    /// What was seen; cut at 160 characters.
    pub detail: String,
    /// Since when it stands so. The store keeps the earlier time while the standing stays; unknown in files of old.
    pub since: Option<Timestamp>,
    /// When it was first recorded. The store keeps the earliest.
    pub first_seen: Timestamp,
    /// When it was last heard of.
    pub last_seen: Timestamp,
    /// When its lease ends, for listings: a lease is never believed from here.
    pub lease_until: Option<Timestamp>,
}

/// A concluded probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRow {
    /// Its id.
    pub probe: ProbeId,
    /// The peer.
    pub peer: PeerId,
    /// When it was concluded.
    pub at: Timestamp,
    /// How the peer was reached.
    pub route: Route,
    /// Bytes of body asked for.
    pub body: u64,
    /// What it showed.
    pub outcome: Outcome,
    /// Why, unless it proved the peer.
    pub reason: Option<Reason>,
    /// What was seen; cut at 160 characters.
    pub detail: String,
    /// The phases that were reached.
    pub phases: PhaseTimes,
    /// The challenge's nonce, which no other stored probe has.
    pub nonce: Nonce,
    /// All its signed claims; at most [`proto::evidence::Evidence::MAX_BYTES`]. Empty when it failed before there were any.
    pub evidence: Vec<u8>,
}

/// What a re-verification needs of a probe, and nothing that is not signed beyond its place in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvidence {
    /// The probe's id as stored; the signed one is inside.
    pub probe: ProbeId,
    /// When it was concluded, as stored.
    pub at: Timestamp,
    /// The signed claims.
    pub evidence: Vec<u8>,
}

/// A refused registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectionRow {
    /// When.
    pub at: Timestamp,
    /// The address that the session came from.
    pub source: IpAddr,
    /// Who said to be there, when the registration could be read.
    pub peer: Option<PeerId>,
    /// Why.
    pub reason: Reason,
    /// What was seen; cut at 160 characters.
    pub detail: String,
}

/// Rows that could be read, and those that could not: one bad row does not hide the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<T> {
    /// The good ones, in the order that was asked for.
    pub rows: Vec<T>,
    /// The bad ones.
    pub bad: Vec<BadRow>,
}

/// A stored row that does not say what a row must say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored row {id} cannot be read: {why}")]
pub struct BadRow {
    /// The id it has in the store.
    pub id: String,
    /// The column and what is wrong with it.
    pub why: String,
}

/// Whether a probe was recorded now or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Now.
    New,
    /// Before, with the same nonce and evidence; nothing was written.
    Again,
}

/// The peers that a text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// None.
    None,
    /// This one.
    One(Box<PeerRow>),
    /// More than one, at most 20 of them.
    Several(Vec<PeerRow>),
    /// Only rows that cannot be read.
    Bad(Vec<BadRow>),
}

impl<T> Loaded<T> {
    /// Reads each row by `read`; `id` is the column that names it when it is bad.
    pub(super) fn from_rows(
        rows: &[SqliteRow],
        id: &'static str,
        read: impl Fn(&Fields<'_>) -> Result<T, String>,
    ) -> Self {
        let mut loaded = Self {
            rows: Vec::with_capacity(rows.len()),
            bad: Vec::new(),
        };
        for row in rows {
            let fields = Fields(row);
            match read(&fields) {
                Ok(row) => loaded.rows.push(row),
                Err(why) => loaded.bad.push(BadRow {
                    id: fields.name(id),
                    why,
                }),
            }
        }
        loaded
    }
}

impl PeerRow {
    /// Who it is and where.
    pub fn identity(&self) -> Identity {
        Identity {
            key: self.key,
            address: self.address,
            pin: self.pin,
            protocols: self.protocols.clone(),
        }
    }

    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, String> {
        let key = fields
            .bytes("key")?
            .as_slice()
            .try_into()
            .map_err(|_| "key: not 32 bytes".to_owned())?;
        let key = PublicKey::from_bytes(&key).map_err(|error| format!("key: {error}"))?;
        let id: PeerId = fields.parsed("peer_id")?;
        if key.peer_id() != id {
            return Err("key: it is another peer's".to_owned());
        }
        let listed = fields.text("protocols")?;
        let listed: Result<Vec<Protocol>, _> = listed.split(',').map(str::parse).collect();
        let listed = listed.map_err(|error| format!("protocols: {error}"))?;
        Ok(Self {
            id,
            key,
            address: fields.parsed("address")?,
            pin: fields.id("pin")?,
            protocols: Protocols::new(listed).ok_or("protocols: none")?,
            standing: fields.text("standing")?,
            reason: fields.reason()?,
            detail: fields.text("detail")?,
            since: fields.optional("since")?.map(time).transpose()?,
            first_seen: fields.time("first_seen")?,
            last_seen: fields.time("last_seen")?,
            lease_until: fields.optional("lease_until")?.map(time).transpose()?,
        })
    }
}

impl ProbeRow {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, String> {
        let path: Path = fields.parsed("path")?;
        Ok(Self {
            probe: fields.id("probe_id")?,
            peer: fields.parsed("peer_id")?,
            at: fields.time("at")?,
            route: Route {
                path,
                protocol: fields.parsed("protocol")?,
            },
            body: fields.number("body")?,
            outcome: fields.parsed("outcome")?,
            reason: fields.reason()?,
            detail: fields.text("detail")?,
            phases: phases(&fields.text("phases")?)?,
            nonce: fields.id("nonce")?,
            evidence: fields.bytes("evidence")?,
        })
    }

    /// The phases as they are stored.
    pub(super) fn phases_text(&self) -> Result<String, serde_json::Error> {
        let micros = |elapsed: &Duration| u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let named: BTreeMap<Phase, u64> = self
            .phases
            .0
            .iter()
            .map(|(phase, elapsed)| (*phase, micros(elapsed)))
            .collect();
        serde_json::to_string(&named)
    }
}

impl StoredEvidence {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, String> {
        Ok(Self {
            probe: fields.id("probe_id")?,
            at: fields.time("at")?,
            evidence: fields.bytes("evidence")?,
        })
    }
}

impl RejectionRow {
    pub(super) fn read(fields: &Fields<'_>) -> Result<Self, String> {
        let peer: Option<String> = fields.optional("peer_id")?;
        Ok(Self {
            at: fields.time("at")?,
            source: fields.parsed("source")?,
            peer: peer
                .map(|id| id.parse().map_err(|error| format!("peer_id: {error}")))
                .transpose()?,
            reason: fields.reason()?.ok_or("reason: none")?,
            detail: fields.text("detail")?,
        })
    }
}

/// The columns of a row, each read as what it must be. Errors name the column.
pub(super) struct Fields<'r>(&'r SqliteRow);

impl<'r> Fields<'r> {
    /// The columns of `row`.
    pub(super) const fn of(row: &'r SqliteRow) -> Self {
        Self(row)
    }
}

impl Fields<'_> {
    fn text(&self, column: &'static str) -> Result<String, String> {
        self.0.try_get(column).map_err(|error| format!("{column}: {error}"))
    }

    pub(super) fn bytes(&self, column: &'static str) -> Result<Vec<u8>, String> {
        self.0.try_get(column).map_err(|error| format!("{column}: {error}"))
    }

    fn number(&self, column: &'static str) -> Result<u64, String> {
        let number: i64 = self.0.try_get(column).map_err(|error| format!("{column}: {error}"))?;
        u64::try_from(number).map_err(|_| format!("{column}: {number} is negative"))
    }

    pub(super) fn time(&self, column: &'static str) -> Result<Timestamp, String> {
        self.number(column).map(Timestamp::from_micros)
    }

    fn optional<'a, T>(&'a self, column: &'static str) -> Result<Option<T>, String>
    where
        T: sqlx::Decode<'a, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        self.0.try_get(column).map_err(|error| format!("{column}: {error}"))
    }

    pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(&self, column: &'static str) -> Result<T, String> {
        self.text(column)?.parse().map_err(|error| format!("{column}: {error}"))
    }

    fn id<T: for<'b> TryFrom<&'b [u8], Error = proto::ids::IdError>>(&self, column: &'static str) -> Result<T, String> {
        T::try_from(&self.bytes(column)?).map_err(|error| format!("{column}: {error}"))
    }

    fn reason(&self) -> Result<Option<Reason>, String> {
        let code: Option<String> = self.optional("reason")?;
        code.map(|code| code.parse()).transpose()
    }

    /// Whatever the column holds, printable: names a row that cannot be read.
    fn name(&self, column: &'static str) -> String {
        let raw: Result<Vec<u8>, _> = self.0.try_get_unchecked(column);
        match raw.map(String::from_utf8) {
            Ok(Ok(text)) if text.chars().all(|character| character.is_ascii_graphic()) => text,
            Ok(Ok(text)) => data_encoding::HEXLOWER.encode(text.as_bytes()),
            Ok(Err(error)) => data_encoding::HEXLOWER.encode(error.as_bytes()),
            Err(_) => "without an id".to_owned(),
        }
    }
}

/// A time as SQLite holds it. Saturates 292,000 years from now.
pub(super) fn micros(time: Timestamp) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// A detail, bounded like those that [`Finding`] makes.
pub(super) fn bounded(detail: &str) -> String {
    Finding::new(Reason::AttesterFailed, detail).detail().to_owned()
}

fn time(micros: i64) -> Result<Timestamp, String> {
    u64::try_from(micros)
        .map(Timestamp::from_micros)
        .map_err(|_| format!("a time is negative: {micros}"))
}

fn phases(text: &str) -> Result<PhaseTimes, String> {
    let named: BTreeMap<Phase, u64> = serde_json::from_str(text).map_err(|error| format!("phases: {error}"))?;
    Ok(PhaseTimes(
        named
            .into_iter()
            .map(|(phase, micros)| (phase, Duration::from_micros(micros)))
            .collect(),
    ))
}
