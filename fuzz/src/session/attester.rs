//! The attester's end: the real conversation over the bytes of a gRPC stream, an agent and a core that do what the input
//! says, and a clock that only moves when everybody waits. A model follows the table of the protocol's text beside it.

use std::{io, net::SocketAddr, time::Duration};

use attester::{
    fuzzing::session::{Heard, Setting, Talk},
    model::{Finding, Reason},
    session::{Answer, Registered, SessionEvent, SessionHandle, SessionKeys, Ticket},
};
use bytes::Bytes;
use prost::Message as _;
use proto::{
    attest::{Ack, Goodbye, Receipt as ReceiptMessage, Register, Retest, ToAttester, to_agent, to_attester::Message},
    checked::{Signed, sign},
    claims::{FlowEnd, Receipt, Registration, Welcome},
    ids::{ChannelBinding, Digest, ProbeId},
    time::Clock,
};
use tokio::{sync::mpsc::error::TryRecvError, time::Instant};
use tonic::Status;

use crate::{
    choices::{Choices, mutated},
    honest::{ATTESTER, KEYSET, PEER, STRANGER, at, destination, key, parsed, second, thumbprint},
    registration,
    target::{Input, Report, Target},
};

mod judge;
mod model;

use model::{Model, Said};

/// See the module.
pub const TARGET: Target = Target {
    name: "attester_session",
    says: "the attester's end of a session: what an agent, honest or not, sends and the core does, step by step",
    input: Input::Choices,
    properties: judge::PROPERTIES,
    run,
};

/// A session in progress, and all that was said in it.
struct World {
    talk: Talk,
    clock: Clock,
    model: Model,
    welcome: Option<Welcome>,
    heard: Vec<Heard>,
    events: Vec<Told>,
    /// The registrations that the agent sent, with whether they should be believed.
    registrations: Vec<(Vec<u8>, bool)>,
    acks: Vec<(ProbeId, String)>,
    receipts: Vec<Vec<u8>>,
    goodbyes: usize,
    retests: usize,
    /// Whether bytes went out that are no frames.
    garbled: bool,
    handle: Option<SessionHandle>,
    answer: Option<Answer>,
    refused: bool,
    /// Whether the whole server stopped.
    stopped: bool,
    /// Whether the agent has heard the end of the stream.
    is_closed: bool,
    tickets: Vec<(ProbeId, Ticket)>,
}

/// An event as the core was told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Register(Vec<u8>),
    Retest,
    Goodbye,
    Ended,
    Rejected,
}

fn run(input: &[u8], report: &mut Report) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(converse(Choices::new(input), report)),
        Err(error) => report.note(|| format!("no runtime: {error}")),
    }
}

async fn converse(mut choices: Choices<'_>, report: &mut Report) {
    let clock = Clock::manual(at(0));
    let source: SocketAddr = parsed("8.8.8.8:50000");
    let keys = SessionKeys {
        keyset: Bytes::from_static(&KEYSET),
        attester: key(ATTESTER).clone(),
    };
    let talk = Talk::start(Setting {
        keys,
        clock: clock.clone(),
        source,
        binding: BINDING,
        allow_private: false,
    });
    let mut world = World {
        talk,
        clock,
        model: Model::new(),
        welcome: None,
        heard: Vec::new(),
        events: Vec::new(),
        registrations: Vec::new(),
        acks: Vec::new(),
        receipts: Vec::new(),
        goodbyes: 0,
        retests: 0,
        garbled: false,
        handle: None,
        answer: None,
        refused: false,
        stopped: false,
        is_closed: false,
        tickets: Vec::new(),
    };
    world.settle().await;
    judge::greeting(&mut world, report);
    for _ in 0..MOST_STEPS {
        if choices.is_over() {
            break;
        }
        step(&mut world, &mut choices, report).await;
        world.settle().await;
        model::compare(&world, report);
    }
    judge::end(&mut world, report).await;
}

async fn step(world: &mut World, choices: &mut Choices<'_>, report: &mut Report) {
    match choices.below(17) {
        // What comes next in an honest session, so that most lists get somewhere.
        0 => match (&world.answer, world.registrations.is_empty()) {
            (_, true) => register(world, choices),
            (Some(_), _) => answer(world, choices),
            (None, false) => announce(world, choices, report),
        },
        1 => register(world, choices),
        2 => ack(world, choices),
        3 => receipt(world, choices),
        4 => {
            let reason = i32::from(choices.byte() % 4);
            world.goodbyes += 1;
            world.say(Message::Goodbye(Goodbye { reason }), Said::Goodbye, choices);
        }
        5 => {
            let bytes = choices.bytes(80);
            world.garbled = true;
            if !bytes.is_empty() {
                world.model.loses_the_thread();
            }
            world.send(Bytes::copy_from_slice(bytes));
        }
        6 => answer(world, choices),
        7 => announce(world, choices, report),
        8 => misbehave(world, choices),
        9 => {
            if let Some(handle) = &world.handle {
                let sent = handle.send_verdict(choices.bytes(40).to_vec());
                judge::sent_while_live(handle, &sent, report);
            }
        }
        10 => {
            if let Some(handle) = &world.handle {
                handle.close(&Finding::new(Reason::AddressHeld, choices.text(200)));
                world.model.core_dismisses();
            }
        }
        11 => {
            let by = Duration::from_secs(choices.byte().into());
            world.clock.advance(by);
            tokio::time::sleep(by).await;
            world.model.waits();
        }
        12 => {
            world.talk.say = None;
            world.model.agent_leaves();
            tokio::time::sleep(SETTLED).await;
        }
        13 => {
            if let Some(say) = &world.talk.say {
                let _ = say.try_send(Err(broken()));
                world.model.agent_leaves();
                tokio::time::sleep(SETTLED).await;
            }
        }
        // What the session notices of it is the end of its stream.
        14 if choices.twist() => {
            world.talk.stop();
            world.stopped = true;
            world.model.server_stops();
        }
        14 => world.talk.lose_connection(),
        15 => {
            let last = choices.any();
            judge::tickets(world, last, report).await;
        }
        _ => {
            world.retests += 1;
            world.say(Message::Retest(Retest {}), Said::Retest, choices);
        }
    }
}

fn register(world: &mut World, choices: &mut Choices<'_>) {
    let mut claim = registration::honest();
    if let Some(welcome) = &world.welcome {
        claim.session = welcome.session;
    }
    let honest = claim.clone();
    if choices.twist() {
        match choices.below(4) {
            0 => claim.audience = thumbprint(STRANGER),
            1 => claim.session = proto::ids::Nonce::from_bytes(choices.any()),
            2 => claim.channel_binding = ChannelBinding::from_bytes(choices.any()),
            _ => claim.address = proto::ids::Address(parsed("127.0.0.1:443")),
        }
    }
    let signer = if choices.twist() { STRANGER } else { PEER };
    let Ok(mut raw) = sign(&claim, key(signer)) else { return };
    if choices.twist() {
        raw = mutated(&raw, choices).unwrap_or(raw);
    }
    let token: String = if choices.twist() {
        choices.text(255)
    } else {
        "sesame".to_owned()
    };
    let genuine = Signed::<Registration>::parse(&raw).is_ok_and(|signed| {
        signed
            .verify_with_own_key()
            .is_ok_and(|timely| timely.dangerously_at_any_time() == honest)
    });
    world.registrations.push((raw.clone(), genuine));
    let said = Said::Register {
        raw: raw.clone(),
        keeps_rules: genuine && is_token(&token),
    };
    let message = Register {
        registration: raw.into(),
        connect_token: token,
        ..Register::default()
    };
    world.say(Message::Register(message), said, choices);
}

fn ack(world: &mut World, choices: &mut Choices<'_>) {
    let probe = probe(choices.byte());
    let refusal = if choices.twist() {
        choices.text(40)
    } else {
        String::new()
    };
    let mut probe_id = probe.as_bytes().to_vec();
    if choices.twist() {
        probe_id.truncate(choices.below(16));
    } else {
        world.acks.push((probe, refusal.clone()));
    }
    let said = Said::Ack {
        named: probe_id.len() == 16,
    };
    let ack = Ack {
        probe_id: probe_id.into(),
        refusal,
    };
    world.say(Message::Ack(ack), said, choices);
}

fn receipt(world: &mut World, choices: &mut Choices<'_>) {
    let claim = Receipt {
        issuer: thumbprint(PEER),
        subject: thumbprint(PEER),
        audience: thumbprint(ATTESTER),
        expires: second(60),
        issued_at: second(0),
        probe: probe(choices.byte()),
        nonce: proto::ids::Nonce::from_bytes([1; 32]),
        destination: destination(),
        up: 1,
        up_digest: Digest::of(b"up"),
        down: 1,
        down_digest: Digest::of(b"down"),
        opened: at(0),
        closed: at(0),
        end: FlowEnd::Lengths,
    };
    let Ok(mut raw) = sign(&claim, key(PEER)) else { return };
    if choices.twist() {
        raw = mutated(&raw, choices).unwrap_or(raw);
    }
    world.receipts.push(raw.clone());
    let message = ReceiptMessage { receipt: raw.into() };
    world.say(Message::Receipt(message), Said::Receipt, choices);
}

/// What no honest agent says in any state: a message of no kind, one that cannot be read, one that is too long, or too many.
fn misbehave(world: &mut World, choices: &mut Choices<'_>) {
    match choices.below(4) {
        0 => world.say_bytes(&[], Said::Unreadable, choices),
        1 => world.say_bytes(&[0x0a, 0xff], Said::Unreadable, choices),
        2 => world.say_bytes(&[0; (16 << 10) + 1], Said::Unreadable, choices),
        _ => {
            let receipt = ToAttester {
                message: Some(Message::Receipt(ReceiptMessage::default())),
            };
            let frame = framed(&receipt.encode_to_vec());
            let times = usize::from(choices.byte() % 64);
            if world.talk.say.is_some() {
                (0..times).for_each(|_| world.model.hears(Said::Receipt));
            }
            world.send(frame.repeat(times).into());
        }
    }
}

fn answer(world: &mut World, choices: &mut Choices<'_>) {
    let Some(answer) = world.answer.take() else { return };
    let how = choices.byte() % 8;
    world.model.core_answers(match how {
        1 => Some(false),
        2 => None,
        _ => Some(true),
    });
    match how {
        1 => {
            world.refused = true;
            let _ = answer.send(Err(Finding::new(Reason::AddressHeld, choices.text(60))));
        }
        2 => drop(answer),
        _ => {
            let registered = Registered {
                peer_id: thumbprint(PEER).peer_id(),
                own_name: "peer-x.example".to_owned(),
            };
            let _ = answer.send(Ok(registered));
        }
    }
}

fn announce(world: &mut World, choices: &mut Choices<'_>, report: &mut Report) {
    let Some(handle) = &world.handle else { return };
    let probe = probe(choices.byte());
    let pending: Vec<ProbeId> = world.tickets.iter().map(|(probe, _)| *probe).collect();
    let announced = handle.announce(probe, choices.bytes(30).to_vec());
    judge::announced(&pending, probe, &announced, report);
    if let Ok(ticket) = announced {
        world.tickets.push((probe, ticket));
    }
}

impl World {
    /// Lets everybody run until all wait, and notes what was said.
    async fn settle(&mut self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.is_closed = loop {
            match self.talk.heard.try_recv() {
                Ok(heard) => self.heard.push(heard),
                Err(error) => break error == TryRecvError::Disconnected,
            }
        };
        while let Ok(event) = self.talk.events.try_recv() {
            self.events.push(match event {
                SessionEvent::Register(register) => {
                    (self.handle, self.answer) = (Some(register.handle), Some(register.answer));
                    Told::Register(register.raw)
                }
                SessionEvent::Retest { .. } => Told::Retest,
                SessionEvent::Goodbye { .. } => Told::Goodbye,
                SessionEvent::Ended { .. } => Told::Ended,
                SessionEvent::Rejected { .. } => Told::Rejected,
            });
        }
    }

    fn say(&mut self, message: Message, said: Said, choices: &mut Choices<'_>) {
        let message = ToAttester { message: Some(message) }.encode_to_vec();
        self.say_bytes(&message, said, choices);
    }

    /// Sends a message in the frame that gRPC gives it, cut somewhere.
    fn say_bytes(&mut self, message: &[u8], said: Said, choices: &mut Choices<'_>) {
        if self.talk.say.is_some() {
            self.model.hears(said);
        }
        let mut frame = Bytes::from(framed(message));
        let cut = usize::from(choices.byte()).min(frame.len());
        if cut > 0 {
            self.send(frame.split_to(cut));
        }
        self.send(frame);
    }

    fn send(&self, bytes: Bytes) {
        if let Some(say) = &self.talk.say {
            let _ = say.try_send(Ok(bytes));
        }
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or_default();
    [&[0], &length.to_be_bytes()[..], message].concat()
}

/// A stream that breaks is an error with one under it, as hyper gives it.
fn broken() -> Status {
    Status::from_error(Box::new(io::Error::from(io::ErrorKind::ConnectionReset)))
}

/// Section 5: at most 256 printable ASCII characters, without a space at either end.
fn is_token(token: &str) -> bool {
    let printable = token.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    token.len() <= 256 && printable && !token.starts_with(' ') && !token.ends_with(' ')
}

fn probe(number: u8) -> ProbeId {
    ProbeId::from_bytes([number % 12; 16])
}

/// The message in something heard, if it is one.
fn message_of(heard: &Heard) -> Option<&to_agent::Message> {
    heard.as_ref().ok()?.message.as_ref()
}

/// A deadline that has come.
fn at_once() -> Instant {
    Instant::now()
}

const BINDING: ChannelBinding = ChannelBinding::from_bytes([3; 32]);
const MOST_STEPS: usize = 36;
/// A session whose stream is over looks for a moment whether the connection goes, too.
const SETTLED: Duration = Duration::from_millis(500);
