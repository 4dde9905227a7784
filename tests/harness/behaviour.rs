//! What peers do: each behaviour with the fate that it deserves. Whatever a hostile peer does, it behaves well while it
//! registers, unless the registration itself is the lie.

use std::fmt;

use attester::model::Reason;

mod parts;

pub(crate) use parts::{Agency, Bend, Entrance, Lie, Noise, Parts, Trick};

/// What becomes of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Verified, and in the rotation.
    Admitted,
    /// Verified, and not in the rotation, because it is on another port.
    OwnNameOnly,
    /// Its registration is rejected.
    Rejected(Reason),
    /// It is registered, fails its probes and never enters the rotation.
    Refused(Reason),
    /// Nothing can be held against it, and nothing is proven either: it never enters the rotation.
    Doubted(Reason),
    /// It enters the rotation and loses its place.
    Suspended(Reason),
    /// Its sessions are ended before anything is proven. Whether something is held against it is a matter of chance.
    Dismissed,
}

impl Fate {
    /// Why, if the peer is not served.
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Admitted | Self::OwnNameOnly | Self::Dismissed => None,
            Self::Rejected(reason) | Self::Refused(reason) | Self::Doubted(reason) | Self::Suspended(reason) => {
                Some(reason)
            }
        }
    }

    /// The standing in the attester's records, if it is one for sure; `rejected` stands for a rejection, since strangers are not
    /// recorded.
    pub const fn standing(self) -> Option<&'static str> {
        match self {
            Self::Admitted | Self::OwnNameOnly => Some("verified"),
            Self::Rejected(_) => Some("rejected"),
            Self::Refused(_) => Some("refused"),
            Self::Doubted(_) => Some("named"),
            Self::Suspended(_) => Some("suspended"),
            Self::Dismissed => None,
        }
    }
}

macro_rules! behaviours {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $fate:expr;)+) => {
        /// What a peer does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Behaviour { $($(#[$doc])* $variant,)+ }

        impl Behaviour {
            /// All of them: the honest ones, then the liars in the order in which a lie comes to light.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name in a table.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What becomes of a peer that behaves so.
            pub const fn fate(self) -> Fate {
                use Fate::*;

                match self { $(Self::$variant => $fate,)+ }
            }
        }
    };
}

behaviours! {
    /// Serves enproxy with the headers of 2014.
    Enproxy = "enproxy", Admitted;
    /// Serves enproxy with paths.
    EnproxyPath = "enproxy-path", Admitted;
    /// Serves CONNECT, with a token.
    Connect = "connect", Admitted;
    /// Serves enproxy at 128 KiB/s.
    Slow = "slow", Admitted;
    /// Serves all three protocols.
    All = "all-protocols", Admitted;
    /// Serves enproxy on another port than the rotation's.
    OtherPort = "other-port", OwnNameOnly;

    /// Registers bytes that are no claim.
    RegistersJunk = "registers-junk", Rejected(Reason::RegistrationInvalid);
    /// Registers with another key's signature.
    RegistersUnsigned = "registers-unsigned", Rejected(Reason::RegistrationInvalid);
    /// Registers a key of small order, for which anyone can make a signature that a lenient verifier accepts.
    RegistersWeakKey = "registers-weak-key", Rejected(Reason::RegistrationInvalid);
    /// Registers with the nonce of an earlier session.
    RegistersStale = "registers-stale", Rejected(Reason::RegistrationSession);
    /// Registers with a channel binding that is not the connection's: what a relay would pass on.
    RegistersRelayed = "registers-relayed", Rejected(Reason::Relay);
    /// Registers another peer's address.
    ClaimsAnotherAddress = "claims-another-address", Rejected(Reason::AddressNotSource);
    /// Registers an address in a reserved range, at an attester that takes none.
    ClaimsReserved = "claims-reserved", Rejected(Reason::AddressReserved);
    /// Wants another peer's identity, and signs with its own key that it is given away.
    ForgesSuccession = "forges-succession", Rejected(Reason::SuccessionInvalid);
    /// Presents a succession between two other keys.
    PresentsOthersSuccession = "presents-others-succession", Rejected(Reason::SuccessionInvalid);
    /// Has moved its identity to a new key, and comes back with the old one.
    ReturnsWithOldKey = "returns-with-old-key", Rejected(Reason::KeySucceeded);
    /// Has moved an identity to one key, and moves it to a second.
    SucceedsTwice = "succeeds-twice", Rejected(Reason::SuccessionTaken);
    /// A second identity at the ip and port of a live peer (it is started under that peer's number).
    ClaimsHeldAddress = "claims-held-address", Rejected(Reason::AddressHeld);
    /// Registers a port that nothing listens on.
    ServesNothing = "serves-nothing", Rejected(Reason::PortRefused);
    /// Registers a port whose connections are never accepted.
    AcceptsNothing = "accepts-nothing", Rejected(Reason::PortSilent);
    /// Registers a port on which something else than TLS is spoken.
    ServesNoTls = "serves-no-tls", Rejected(Reason::PortNoTls);
    /// Registers another TLS key than the one it serves with.
    RegistersAnotherPin = "registers-another-pin", Rejected(Reason::PortOtherKey);

    /// Takes no connections any more.
    ClosesPort = "closes-port", Refused(Reason::ConnectRefused);
    /// Does not accept connections any more, and its queue is full.
    StopsAccepting = "stops-accepting", Refused(Reason::ConnectTimeout);
    /// Accepts TCP and then is silent.
    AcceptsThenSilent = "accepts-then-silent", Refused(Reason::TlsTimeout);
    /// Answers a TLS handshake with something else.
    BreaksTls = "breaks-tls", Refused(Reason::TlsFailed);
    /// Serves with another TLS key.
    SwapsTlsKey = "swaps-tls-key", Refused(Reason::PinMismatch);
    /// Accepts TLS and then is silent.
    SilentAfterTls = "silent-after-tls", Refused(Reason::TunnelTimeout);
    /// Accepts TLS and hangs up.
    HangsUpAfterTls = "hangs-up-after-tls", Refused(Reason::TunnelClosed);
    /// Accepts TLS and answers with bytes that are no HTTP.
    AnswersJunk = "answers-junk", Refused(Reason::TunnelMalformed);
    /// Accepts TLS and begins an answer whose head has no end.
    AnswersEndlessHead = "answers-endless-head", Refused(Reason::TunnelMalformed);
    /// Accepts TLS and says for ever that the client should go on.
    AnswersContinue = "answers-continue", Refused(Reason::TunnelMalformed);
    /// Carries everything, and answers each first request as if it were of another tunnel.
    AnswersAsAnother = "answers-as-another", Refused(Reason::TunnelLost);
    /// Accepts TLS and answers 500 to everything.
    Answers500 = "answers-500", Refused(Reason::TunnelRefused);
    /// Serves enproxy well, lists CONNECT as well, and does not tell the token that it demands there.
    KeepsItsToken = "keeps-its-token", Refused(Reason::TunnelToken);
    /// Opens a tunnel from which nothing comes back.
    Swallows = "swallows", Refused(Reason::FirstByteTimeout);
    /// Opens a tunnel and ends it at once.
    EndsAtOnce = "ends-at-once", Refused(Reason::FirstByteClosed);
    /// Accepts TLS and answers 200 to everything without proxying.
    Answers200 = "answers-200", Refused(Reason::NotForwarded);
    /// Opens any CONNECT tunnel and answers in it by itself, with exactly as many bytes as are expected.
    AnswersInTunnel = "answers-in-tunnel", Refused(Reason::NotForwarded);
    /// Ends the answer in its middle.
    Truncates = "truncates", Refused(Reason::Truncated);
    /// Ends every other answer in its middle.
    TruncatesEveryOther = "truncates-every-other", Refused(Reason::Truncated);
    /// Stops in the middle of the answer and keeps the tunnel open.
    HangsMidBody = "hangs-mid-body", Refused(Reason::CompleteTimeout);
    /// Adds a byte to the answer.
    AppendsByte = "appends-byte", Refused(Reason::Overlong);
    /// Its agent does not acknowledge announcements.
    NeverAcks = "never-acks", Refused(Reason::AckMissing);
    /// Answers each announcement by opening another session, so that the one in which it was announced is replaced.
    ReplacesItsSession = "replaces-its-session", Refused(Reason::AckMissing);
    /// Its agent refuses announcements.
    RefusesAnnouncements = "refuses-announcements", Refused(Reason::AckRefused);
    /// Its proxy does not report to its agent, so there is no receipt.
    NoReceipt = "no-receipt", Refused(Reason::ReceiptMissing);
    /// Registers another identity's server, whose TLS key everybody can see, at the address that both share (it is started under
    /// that peer's number).
    Squats = "squats", Refused(Reason::ReceiptMissing);
    /// Its agent sends receipts too late to be waited for.
    LateReceipt = "late-receipt", Refused(Reason::ReceiptMissing);
    /// Its agent sends every receipt for another probe.
    ReceiptForAnotherProbe = "receipt-for-another-probe", Refused(Reason::ReceiptMissing);
    /// Signs receipts with another key.
    SignsWithAnotherKey = "signs-with-another-key", Refused(Reason::ReceiptSignature);
    /// Spoils the signature under a receipt.
    SpoilsSignature = "spoils-signature", Refused(Reason::ReceiptSignature);
    /// Signs the right digests with another nonce.
    SignsAnotherNonce = "signs-another-nonce", Refused(Reason::ReceiptMismatch);
    /// Signs receipts that name another destination.
    SignsAnotherDestination = "signs-another-destination", Refused(Reason::ReceiptMismatch);
    /// Signs receipts for another attester.
    SignsForAnotherAttester = "signs-for-another-attester", Refused(Reason::ReceiptMismatch);
    /// Answers itself, with a statement that is right in everything but the key that signed it.
    ForgesStatement = "forges-statement", Refused(Reason::StatementInvalid);
    /// Replaces the origin's statement by bytes that are none.
    RewritesStatement = "rewrites-statement", Refused(Reason::StatementInvalid);
    /// Answers with the recorded answer of an earlier probe.
    ReplaysBody = "replays-body", Refused(Reason::StatementReplayed);
    /// Flips one bit of the body.
    FlipsByte = "flips-byte", Refused(Reason::BodyAltered);
    /// Changes one byte of the answer's head that nobody looks at.
    AltersHead = "alters-head", Refused(Reason::HeadAltered);
    /// Carries everything, and signs other digests.
    SignsAnotherDigest = "signs-another-digest", Refused(Reason::BytesDiffer);
    /// Carries everything, and reports more bytes than were announced.
    ReportsOverrun = "reports-overrun", Refused(Reason::BytesDiffer);
    /// Proxies through another peer, so that the origin sees that one's address.
    ExitsElsewhere = "exits-elsewhere", Refused(Reason::Egress);
    /// Its receipts' times are from another day.
    ReceiptFromAnotherDay = "receipt-from-another-day", Doubted(Reason::ClockSkew);
    /// Serves enproxy, slower than the floor.
    TooSlow = "too-slow", Refused(Reason::Goodput);

    /// Fetches more slowly than the floor, and hands the answer on only when it has all of it, so that it seems to come fast.
    Hoards = "hoards", Refused(Reason::Goodput);

    /// Once admitted, accepts TCP and then is silent.
    TurnsSilent = "turns-silent", Suspended(Reason::TlsTimeout);
    /// Once admitted, flips one bit of the body.
    TurnsFlipping = "turns-flipping", Suspended(Reason::BodyAltered);
    /// Once admitted, sends no receipts.
    TurnsReceiptless = "turns-receiptless", Suspended(Reason::ReceiptMissing);
    /// Once admitted, is silent to clients, and has the attester end its session whenever a probe is announced.
    TurnsEvasive = "turns-evasive", Suspended(Reason::TlsTimeout);
    /// Once admitted, proxies through another peer.
    TurnsElsewhere = "turns-elsewhere", Suspended(Reason::Egress);

    /// Registers, and sends a thousand receipts of random bytes at once.
    FloodsReceipts = "floods-receipts", Dismissed;
    /// Registers, and sends a message of no kind.
    SendsNothing = "sends-nothing", Dismissed;
    /// Registers, and sends a message of a mebibyte.
    SendsTooMuch = "sends-too-much", Dismissed;
    /// Registers twice in one session.
    RegistersTwice = "registers-twice", Dismissed;
    /// Registers and breaks the connection, again and again, as fast as it can.
    Flaps = "flaps", Dismissed;
}

impl Behaviour {
    /// Whether a peer that behaves so is to be served.
    pub const fn is_honest(self) -> bool {
        matches!(self.fate(), Fate::Admitted | Fate::OwnNameOnly)
    }
}

impl fmt::Display for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
