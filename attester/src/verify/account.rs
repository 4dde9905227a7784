//! What each check compared and how it went, written down by the checks themselves.
//!
//! An explanation that is made beside a decision can tell another story than the decision. Here a check asks its `Look`
//! whether two values agree, acts on the answer, and the account keeps that very answer: there is no second implementation.
//! A silent account keeps nothing and formats nothing, which is what the attester itself uses.

use std::fmt;

use proto::{
    claims::{Claim, EvidenceKind, FlowEnd},
    ids::{Address, Destination, Digest, Nonce, Pin, ProbeId, Thumbprint},
    time::{Seconds, Timestamp},
};

use crate::model::Finding;

/// What was checked, in the order in which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// The file is one canonical map of claims.
    File,
    /// The root signed the keyset, and it was valid.
    Keyset,
    /// An attester key signed the verdict, and it lists the claims of the file.
    Verdict,
    /// The peer signed its registration.
    Registration,
    /// An attester key signed the challenge.
    Challenge,
    /// The same key signed the announcement.
    Announcement,
    /// These three belong together.
    Together,
    /// A prober key signed the observation, and it is of this probe.
    Observation,
    /// The TLS key.
    V0,
    /// The receipt.
    V1,
    /// The statement.
    V2,
    /// The bytes.
    V3,
    /// The address that the traffic left from.
    V4,
    /// The times.
    V5,
    /// The nonce.
    V6,
    /// The throughput.
    V7,
    /// What was proved is what the verdict is about.
    Subject,
}

impl Check {
    /// Every check, in order.
    pub const ALL: &'static [Self] = &[
        Self::File,
        Self::Keyset,
        Self::Verdict,
        Self::Registration,
        Self::Challenge,
        Self::Announcement,
        Self::Together,
        Self::Observation,
        Self::V0,
        Self::V1,
        Self::V2,
        Self::V3,
        Self::V4,
        Self::V5,
        Self::V6,
        Self::V7,
        Self::Subject,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Keyset => "keyset",
            Self::Verdict => "verdict",
            Self::Registration => "registration",
            Self::Challenge => "challenge",
            Self::Announcement => "announcement",
            Self::Together => "together",
            Self::Observation => "observation",
            Self::V0 => "V0 TLS key",
            Self::V1 => "V1 receipt",
            Self::V2 => "V2 statement",
            Self::V3 => "V3 bytes",
            Self::V4 => "V4 egress",
            Self::V5 => "V5 times",
            Self::V6 => "V6 nonce",
            Self::V7 => "V7 goodput",
            Self::Subject => "subject",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How a check went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Went {
    /// What must hold holds.
    Held,
    /// It does not, for this reason.
    Failed(Finding),
    /// It cannot be told from the file alone, for this reason, and is taken as held.
    Taken(&'static str),
    /// There was nothing to check, for this reason.
    LeftOut(&'static str),
    /// An earlier check failed.
    NotReached,
}

/// A value that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An id, a digest, an address, a word.
    Text(String),
    /// A length in bytes, or a rate in bytes a second.
    Number(u64),
    /// A time.
    Time(Timestamp),
}

/// How a value must stand to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The same.
    Equal,
    /// Another.
    Unequal,
    /// Earlier or smaller.
    Below,
    /// Not later or larger.
    AtMost,
    /// Not earlier or smaller.
    AtLeast,
    /// The same host: the same IPv4 address, or the same /64 of IPv6.
    SameHost,
}

impl Relation {
    /// Its sign.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Unequal => "≠",
            Self::Below => "<",
            Self::AtMost => "≤",
            Self::AtLeast => "≥",
            Self::SameHost => "~",
        }
    }
}

/// One value that a check looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// What it is.
    pub what: &'static str,
    /// What the evidence says.
    pub found: Value,
    /// What it had to be; `None` for what is only told.
    pub must: Option<(Relation, Value)>,
    /// Whether it is that.
    pub held: bool,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Which.
    pub check: Check,
    /// How it went.
    pub went: Went,
    /// What it looked at.
    pub compared: Vec<Compared>,
    /// The claim that is not there, if one had to be.
    pub missing: Option<EvidenceKind>,
}

/// What the checks say of themselves.
#[derive(Clone, Debug)]
pub struct Account(Option<Vec<Line>>);

impl Account {
    /// Keeps nothing.
    pub const fn silent() -> Self {
        Self(None)
    }

    /// Keeps everything.
    pub const fn full() -> Self {
        Self(Some(Vec::new()))
    }

    /// Every check in order, those that were not reached too.
    pub fn lines(&self) -> Vec<Line> {
        let kept = self.0.as_deref().unwrap_or_default();
        let line = |check: &Check| {
            let found = kept.iter().find(|line| line.check == *check).cloned();
            found.unwrap_or(Line {
                check: *check,
                went: Went::NotReached,
                compared: Vec::new(),
                missing: None,
            })
        };
        Check::ALL.iter().map(line).collect()
    }

    /// The check that failed, if one did.
    pub fn failed(&self) -> Option<(Check, &Finding)> {
        self.0.iter().flatten().find_map(|line| match &line.went {
            Went::Failed(finding) => Some((line.check, finding)),
            _ => None,
        })
    }

    /// The claim that is not there, if that is why a check failed.
    pub fn missing(&self) -> Option<EvidenceKind> {
        self.0.iter().flatten().find_map(|line| line.missing)
    }

    /// Makes a check and keeps how it went. One that is made again replaces what it said before.
    pub(super) fn check<T>(
        &mut self,
        check: Check,
        run: impl FnOnce(&mut Look) -> Result<T, Finding>,
    ) -> Result<T, Finding> {
        let Some(lines) = &mut self.0 else {
            return run(&mut Look::default());
        };
        let mut look = Look {
            compared: Some(Vec::new()),
            ..Look::default()
        };
        let result = run(&mut look);
        let went = match &result {
            Ok(_) => look.instead.unwrap_or(Went::Held),
            Err(finding) => Went::Failed(finding.clone()),
        };
        lines.retain(|line| line.check != check);
        lines.push(Line {
            check,
            went,
            compared: look.compared.unwrap_or_default(),
            missing: look.missing,
        });
        result
    }
}

/// What a check looks with: its answers decide, and are kept.
#[derive(Default)]
pub(super) struct Look {
    compared: Option<Vec<Compared>>,
    instead: Option<Went>,
    missing: Option<EvidenceKind>,
}

impl Look {
    /// Whether `found` is `must`.
    pub(super) fn equal<T: PartialEq>(&mut self, what: &'static str, found: &T, must: &T) -> bool
    where
        for<'a> &'a T: Into<Value>,
    {
        let held = found == must;
        self.keep(what, found, Some((Relation::Equal, must)), held);
        held
    }

    /// Whether `found` is something else than `never`.
    pub(super) fn unequal<T: PartialEq>(&mut self, what: &'static str, found: &T, never: &T) -> bool
    where
        for<'a> &'a T: Into<Value>,
    {
        let held = found != never;
        self.keep(what, found, Some((Relation::Unequal, never)), held);
        held
    }

    /// Whether `found` is below `end`.
    pub(super) fn below<T: PartialOrd>(&mut self, what: &'static str, found: &T, end: &T) -> bool
    where
        for<'a> &'a T: Into<Value>,
    {
        let held = found < end;
        self.keep(what, found, Some((Relation::Below, end)), held);
        held
    }

    /// Whether `found` is `most` or below.
    pub(super) fn at_most<T: PartialOrd>(&mut self, what: &'static str, found: &T, most: &T) -> bool
    where
        for<'a> &'a T: Into<Value>,
    {
        let held = found <= most;
        self.keep(what, found, Some((Relation::AtMost, most)), held);
        held
    }

    /// Whether `found` is `least` or above.
    pub(super) fn at_least<T: PartialOrd>(&mut self, what: &'static str, found: &T, least: &T) -> bool
    where
        for<'a> &'a T: Into<Value>,
    {
        let held = found >= least;
        self.keep(what, found, Some((Relation::AtLeast, least)), held);
        held
    }

    /// Whether traffic from `found` left from the host at `registered`: see [`super::same_host`].
    pub(super) fn same_host(&mut self, what: &'static str, found: &Address, registered: &Address) -> bool {
        let held = super::same_host(registered.0.ip(), found.0.ip());
        self.keep(what, found, Some((Relation::SameHost, registered)), held);
        held
    }

    /// Tells a value that is not compared with another.
    pub(super) fn note<'v>(&mut self, what: &'static str, value: impl Into<Value> + 'v) {
        if let Some(compared) = &mut self.compared {
            compared.push(Compared {
                what,
                found: value.into(),
                must: None,
                held: true,
            });
        }
    }

    /// Tells the window of a claim.
    pub(super) fn window(&mut self, claim: &impl Claim) {
        let (start, end) = claim.window();
        self.note("valid from", &start.start());
        self.note("valid until", &end.start());
    }

    /// A claim that had to be there is not.
    pub(super) const fn missing(&mut self, kind: EvidenceKind) {
        self.missing = Some(kind);
    }

    /// There is nothing to check.
    pub(super) fn left_out(&mut self, why: &'static str) {
        self.instead = Some(Went::LeftOut(why));
    }

    /// It cannot be told from the file, and is taken as held.
    pub(super) fn taken(&mut self, why: &'static str) {
        self.instead = Some(Went::Taken(why));
    }

    fn keep<T>(&mut self, what: &'static str, found: &T, must: Option<(Relation, &T)>, held: bool)
    where
        for<'a> &'a T: Into<Value>,
    {
        if let Some(compared) = &mut self.compared {
            compared.push(Compared {
                what,
                found: found.into(),
                must: must.map(|(relation, value)| (relation, value.into())),
                held,
            });
        }
    }
}

macro_rules! shown_as_text {
    ($($kind:ty),+) => {$(
        impl From<&$kind> for Value {
            fn from(value: &$kind) -> Self {
                Self::Text(value.to_string())
            }
        }
    )+};
}

shown_as_text!(Address, Destination, Digest, FlowEnd, Nonce, Pin, ProbeId, Thumbprint);

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<&u64> for Value {
    fn from(value: &u64) -> Self {
        Self::Number(*value)
    }
}

impl From<&Timestamp> for Value {
    fn from(value: &Timestamp) -> Self {
        Self::Time(*value)
    }
}

impl From<&Seconds> for Value {
    fn from(value: &Seconds) -> Self {
        Self::Time(value.start())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
