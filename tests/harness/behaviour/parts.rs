//! What a behaviour is made of: an entrance that clients meet, something that happens to the bytes, and an agent.

use std::num::NonZeroU64;

use proto::claims::{Protocol, Protocols};

use super::Behaviour;
use crate::{cue::Stage, options::Options};

/// How a peer is put together. What is not named is as an honest peer has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    pub(crate) protocols: &'static [Protocol],
    pub(crate) entrance: Entrance,
    pub(crate) bend: Option<Bend>,
    pub(crate) agency: Agency,
    /// When the misbehaviour begins.
    pub(crate) since: Stage,
    pub(crate) rate: Option<NonZeroU64>,
    /// What CONNECT clients must present.
    pub(crate) token: Option<&'static str>,
    /// Whether the attester is told.
    pub(crate) tells_token: bool,
}

/// What listens on the registered port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// The give mode server itself.
    Give,
    /// Nothing; the give mode server is somewhere else.
    Nothing,
    /// A listener that accepts nothing, with a full queue.
    Full,
    /// A server without TLS.
    Plain,
    /// A door in front of the give mode server that plays this trick.
    Door(Trick),
}

/// What a door does to clients once its peer misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trick {
    /// It is not there any more.
    Close,
    /// It accepts nothing more, and its queue is full.
    Fill,
    /// It accepts, and says nothing.
    Silence,
    /// It answers bytes that are no TLS.
    NoTls,
    /// It has another TLS key.
    OtherKey,
    /// After the handshake it says nothing.
    Mute,
    /// After the handshake it hangs up.
    HangUp,
    /// After the handshake it answers these bytes to whatever comes.
    Answer(&'static str),
    /// It passes everything on, and the first answer with another tunnel's id.
    OtherTunnel,
    /// After the first request it answers the first, and then the second again and again.
    Endless(&'static str, &'static str),
}

/// What happens to the bytes between the server and the destination, as its tap and its clients see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bend {
    /// One bit of the answer's byte at this place flips.
    Flip(usize),
    /// The answer ends after so many bytes.
    Cut(usize),
    /// The same, for the second answer, the fourth, and so on.
    CutEveryOther(usize),
    /// The answer goes no further after so many bytes.
    Hang(usize),
    /// A byte follows the answer.
    Append,
    /// The answer is fetched at this rate in bytes a second, and handed on when it is whole.
    Hoard(u64),
    /// The statement's header is overwritten.
    Rewrite,
    /// The first answer is recorded and given again for ever after.
    Replay,
    /// Nobody is asked: the peer answers itself, with as many bytes as the challenge asks for.
    Invent,
    /// The same, with a statement of its own: right in everything but the key that signed it.
    Forge,
    /// It leaves through another peer.
    Elsewhere,
}

/// Who speaks to the attester.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agency {
    /// The real agent.
    Agent,
    /// The real agent, to which the server does not report.
    Untapped,
    /// The real agent, told that it serves at another peer's address.
    Elsewhere,
    /// The real agent, told another pin than the server's.
    OtherPin,
    /// A program that speaks the protocol and lies.
    Rogue(Lie),
}

/// What a rogue lies about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Its registration is no claim.
    JunkRegistration,
    /// Its registration is signed by another key.
    UnsignedRegistration,
    /// Its key is of small order, its signature a forgery.
    WeakKey,
    /// It registers the key that whoever serves at its address shows.
    OthersPin,
    /// Its registration has the nonce of its first session.
    StaleSession,
    /// Its registration has another channel binding.
    OtherBinding,
    /// It signs by itself that another's identity is given to it.
    ForgedSuccession,
    /// The succession that it presents is between other keys.
    OthersSuccession,
    /// Its identity was moved to another key of its own.
    LeftKey,
    /// The identity that it is given was given to another key of its own before.
    SecondSuccessor,
    /// It does not acknowledge.
    NoAck,
    /// It opens another session instead.
    Replacement,
    /// It refuses.
    RefusedAck,
    /// It sends no receipts.
    NoReceipt,
    /// It keeps receipts until nobody waits for them.
    LateReceipt,
    /// Its receipts are for other probes.
    OtherProbe,
    /// Another key signs its receipts.
    OtherSigner,
    /// It changes the last byte of a signed receipt.
    SpoiltSignature,
    /// Its receipts have another nonce.
    OtherNonce,
    /// Its receipts name another destination.
    OtherDestination,
    /// Its receipts are for another attester.
    OtherAttester,
    /// Its receipts have another digest.
    OtherDigest,
    /// Its receipts say that more bytes came than were announced.
    Overrun,
    /// It answers announcements with a message of no kind.
    Evasion,
    /// Its receipts' flows opened and closed yesterday.
    OtherDay,
    /// Once registered it sends this.
    Noise(Noise),
}

/// What no agent sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noise {
    /// Receipts of random bytes, a thousand at once.
    Receipts,
    /// A message without content.
    Nothing,
    /// A message of a mebibyte.
    TooMuch,
    /// Its registration once more.
    Registration,
    /// Nothing: it breaks the connection, and comes back at once.
    End,
}

impl Behaviour {
    /// What it is made of.
    pub(crate) fn parts(self, options: &Options) -> Parts {
        use Protocol::{Connect, Enproxy, EnproxyPath};

        let honest = Parts {
            protocols: &[Enproxy],
            entrance: Entrance::Give,
            bend: None,
            agency: Agency::Agent,
            since: Stage::Registered,
            rate: None,
            token: None,
            tells_token: true,
        };
        let by_connect = Parts {
            protocols: &[Connect],
            ..honest
        };
        let door = |trick| Parts {
            entrance: Entrance::Door(trick),
            ..honest
        };
        let bent = |bend| Parts {
            bend: Some(bend),
            ..honest
        };
        let rogue = |lie| Parts {
            agency: Agency::Rogue(lie),
            ..honest
        };
        let turning = |parts| Parts {
            since: Stage::Verified,
            ..parts
        };
        match self {
            Self::Enproxy | Self::OtherPort | Self::ClaimsReserved => honest,
            Self::EnproxyPath => Parts {
                protocols: &[EnproxyPath],
                ..honest
            },
            Self::Connect => Parts {
                token: Some(TOKEN),
                ..by_connect
            },
            Self::Slow => Parts {
                rate: NonZeroU64::new(128 << 10),
                ..honest
            },
            Self::All => Parts {
                protocols: &[Enproxy, EnproxyPath, Connect],
                ..honest
            },
            Self::TooSlow => Parts {
                rate: options.too_slow(),
                ..honest
            },

            Self::Hoards => bent(Bend::Hoard(options.too_slow().map_or(1, NonZeroU64::get))),

            Self::RegistersJunk => rogue(Lie::JunkRegistration),
            Self::RegistersUnsigned => rogue(Lie::UnsignedRegistration),
            Self::RegistersWeakKey => rogue(Lie::WeakKey),
            Self::RegistersStale => rogue(Lie::StaleSession),
            Self::RegistersRelayed => rogue(Lie::OtherBinding),
            Self::ForgesSuccession => rogue(Lie::ForgedSuccession),
            Self::PresentsOthersSuccession => rogue(Lie::OthersSuccession),
            Self::ReturnsWithOldKey => rogue(Lie::LeftKey),
            Self::SucceedsTwice => rogue(Lie::SecondSuccessor),
            Self::ClaimsAnotherAddress => Parts {
                agency: Agency::Elsewhere,
                ..honest
            },
            Self::ClaimsHeldAddress | Self::ServesNothing => Parts {
                entrance: Entrance::Nothing,
                ..honest
            },
            Self::AcceptsNothing => Parts {
                entrance: Entrance::Full,
                ..honest
            },
            Self::ServesNoTls => Parts {
                entrance: Entrance::Plain,
                ..honest
            },
            Self::RegistersAnotherPin => Parts {
                agency: Agency::OtherPin,
                ..honest
            },

            Self::ClosesPort => door(Trick::Close),
            Self::StopsAccepting => door(Trick::Fill),
            Self::AcceptsThenSilent => door(Trick::Silence),
            Self::BreaksTls => door(Trick::NoTls),
            Self::SwapsTlsKey => door(Trick::OtherKey),
            Self::SilentAfterTls => door(Trick::Mute),
            Self::HangsUpAfterTls => door(Trick::HangUp),
            Self::AnswersJunk => door(Trick::Answer("\x01\x02\x03 SSH-2.0-nothing\r\n\r\n")),
            Self::AnswersEndlessHead => door(Trick::Endless("HTTP/1.1 200 OK\r\n", "X-Filler: and so on\r\n")),
            Self::AnswersContinue => door(Trick::Endless("", "HTTP/1.1 100 Continue\r\n\r\n")),
            Self::AnswersAsAnother => door(Trick::OtherTunnel),
            Self::Answers500 => door(Trick::Answer(ERROR)),
            Self::KeepsItsToken => Parts {
                protocols: &[Enproxy, Connect],
                token: Some(TOKEN),
                tells_token: false,
                ..honest
            },
            Self::Answers200 => door(Trick::Answer(PAGE)),

            Self::Swallows => Parts {
                bend: Some(Bend::Hang(0)),
                ..by_connect
            },
            Self::EndsAtOnce => Parts {
                bend: Some(Bend::Cut(0)),
                ..by_connect
            },
            Self::AnswersInTunnel => Parts {
                bend: Some(Bend::Invent),
                ..by_connect
            },
            Self::ForgesStatement => Parts {
                bend: Some(Bend::Forge),
                ..by_connect
            },
            Self::Truncates => bent(Bend::Cut(1500)),
            Self::TruncatesEveryOther => bent(Bend::CutEveryOther(1500)),
            Self::HangsMidBody => Parts {
                bend: Some(Bend::Hang(1500)),
                ..by_connect
            },
            Self::AppendsByte => bent(Bend::Append),
            Self::RewritesStatement => bent(Bend::Rewrite),
            Self::ReplaysBody => bent(Bend::Replay),
            Self::FlipsByte => bent(Bend::Flip(1500)),
            Self::AltersHead => bent(Bend::Flip(1010)),
            Self::ExitsElsewhere => Parts {
                bend: Some(Bend::Elsewhere),
                ..by_connect
            },

            Self::NeverAcks => rogue(Lie::NoAck),
            Self::ReplacesItsSession => rogue(Lie::Replacement),
            Self::RefusesAnnouncements => rogue(Lie::RefusedAck),
            Self::NoReceipt => Parts {
                agency: Agency::Untapped,
                ..honest
            },
            Self::Squats => Parts {
                entrance: Entrance::Nothing,
                ..rogue(Lie::OthersPin)
            },
            Self::LateReceipt => rogue(Lie::LateReceipt),
            Self::ReceiptForAnotherProbe => rogue(Lie::OtherProbe),
            Self::SignsWithAnotherKey => rogue(Lie::OtherSigner),
            Self::SpoilsSignature => rogue(Lie::SpoiltSignature),
            Self::SignsAnotherNonce => rogue(Lie::OtherNonce),
            Self::SignsAnotherDestination => rogue(Lie::OtherDestination),
            Self::SignsForAnotherAttester => rogue(Lie::OtherAttester),
            Self::SignsAnotherDigest => rogue(Lie::OtherDigest),
            Self::ReportsOverrun => rogue(Lie::Overrun),
            Self::ReceiptFromAnotherDay => rogue(Lie::OtherDay),

            Self::TurnsSilent => turning(door(Trick::Silence)),
            Self::TurnsFlipping => turning(bent(Bend::Flip(1500))),
            Self::TurnsReceiptless => turning(rogue(Lie::NoReceipt)),
            Self::TurnsEvasive => turning(Parts {
                entrance: Entrance::Door(Trick::Silence),
                ..rogue(Lie::Evasion)
            }),
            Self::TurnsElsewhere => turning(bent(Bend::Elsewhere)),

            Self::FloodsReceipts => rogue(Lie::Noise(Noise::Receipts)),
            Self::SendsNothing => rogue(Lie::Noise(Noise::Nothing)),
            Self::SendsTooMuch => rogue(Lie::Noise(Noise::TooMuch)),
            Self::RegistersTwice => rogue(Lie::Noise(Noise::Registration)),
            Self::Flaps => rogue(Lie::Noise(Noise::End)),
        }
    }
}

impl Parts {
    /// What the peer lists.
    pub(crate) fn protocols(&self) -> Protocols {
        Protocols::new(self.protocols.iter().copied()).expect("every behaviour lists a protocol")
    }
}

const TOKEN: &str = "a-secret-of-this-peer";
const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 46\r\n\r\n<html><body><h1>It works!</h1></body></html>\r\n";
const ERROR: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 6\r\n\r\nsorry\n";
