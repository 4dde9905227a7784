//! A program that speaks an agent's protocol and lies: everything that the real agent refuses to do. It carries true traffic and
//! knows the truth of it, so that each lie is the only thing that is wrong.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use attester::flashlight::{Limits, Prober};
use proto::{
    attest::{self, Ack, Receipt as ReceiptMessage, Register, ToAttester, to_agent, to_attester},
    checked::{Signed, sign},
    claims::{Announcement, Protocols, Receipt, SuccessionPair, Verdict, Welcome},
    ids::{ChannelBinding, Nonce, Pin},
    key::SigningKey,
    time::Clock,
};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

mod channel;
mod registering;
mod succeeding;
mod witness;

pub(crate) use witness::{Account, Carried, Witness};

use crate::{
    behaviour::{Lie, Noise},
    cue::{Behind, Cue, Stage, Told},
};
use channel::Channel;

/// A rogue and what it says of itself.
pub(crate) struct Rogue {
    pub(crate) lie: Lie,
    pub(crate) since: Stage,
    pub(crate) also: Option<Behind>,
    pub(crate) key: SigningKey,
    pub(crate) address: SocketAddr,
    pub(crate) attester: SocketAddr,
    pub(crate) protocols: Protocols,
    pub(crate) pin: Pin,
    pub(crate) token: String,
}

/// What those who work for a rogue hold.
pub(crate) struct Accomplice {
    pub(crate) witness: Witness,
    pub(crate) stage: watch::Receiver<Stage>,
    /// How many sessions it has opened.
    pub(crate) sessions: Arc<AtomicUsize>,
}

impl Rogue {
    /// Starts it on the current runtime, which ends it.
    pub(crate) fn start(self) -> Accomplice {
        let (witness, carried) = Witness::new();
        let (sender, stage) = watch::channel(Stage::Away);
        let cue = Cue::new(Told::Rogue(stage.clone()), self.since, self.also.clone());
        let sessions = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&sessions);
        let life = Life {
            rogue: self,
            witness: witness.clone(),
            carried,
            stage: sender,
            cue,
            first: None,
            counted,
            registered: None,
            prepared: false,
        };
        tokio::spawn(life.run());
        Accomplice {
            witness,
            stage,
            sessions,
        }
    }
}

struct Life {
    rogue: Rogue,
    witness: Witness,
    carried: mpsc::Receiver<Carried>,
    stage: watch::Sender<Stage>,
    cue: Cue,
    /// The nonce of its first session.
    first: Option<Nonce>,
    counted: Arc<AtomicUsize>,
    /// Its last registration.
    registered: Option<Register>,
    /// Whether it has set the stage for its lie.
    prepared: bool,
}

impl Life {
    async fn run(mut self) {
        loop {
            if let Err(error) = self.session().await {
                tracing::debug!(lie = ?self.rogue.lie, "a rogue's session ended: {error:#}");
            }
            self.stage.send_replace(Stage::Away);
            if self.rogue.lie != Lie::Noise(Noise::End) {
                sleep(AGAIN).await;
            }
        }
    }

    async fn session(&mut self) -> anyhow::Result<()> {
        let mut channel = channel::open(self.rogue.attester, self.rogue.address).await?;
        // The attester ends it, not the rogue.
        let mut _replaced = None;
        self.counted.fetch_add(1, Ordering::Relaxed);
        loop {
            tokio::select! {
                message = channel.inbound.message() => {
                    let message = message?.and_then(|message| message.message);
                    let Some(message) = message else { anyhow::bail!("the attester ended it") };
                    if matches!(message, to_agent::Message::Announcement(_)) && self.rogue.lie == Lie::Replacement {
                        let newer = channel::open(self.rogue.attester, self.rogue.address).await?;
                        _replaced = Some(std::mem::replace(&mut channel, newer));
                        continue;
                    }
                    self.hear(&mut channel, message).await?;
                }
                Some(carried) = self.carried.recv() => self.sign_for(&channel, carried).await?,
            }
        }
    }

    async fn hear(&mut self, channel: &mut Channel, message: to_agent::Message) -> anyhow::Result<()> {
        match message {
            to_agent::Message::Keyset(_) => {}
            to_agent::Message::Welcome(bytes) => return self.register(channel, &bytes).await,
            to_agent::Message::Registered(_) => {
                if succeeding::prepares(self.rogue.lie) && !std::mem::replace(&mut self.prepared, true) {
                    anyhow::bail!("the stage is set, and it comes again");
                }
                self.stage.send_replace(Stage::Registered);
                if let Lie::Noise(noise) = self.rogue.lie {
                    return self.disturb(channel, noise).await;
                }
            }
            to_agent::Message::Rejected(rejected) => anyhow::bail!("rejected: {} {}", rejected.code, rejected.remedy),
            to_agent::Message::Announcement(bytes) => {
                let announcement = Signed::<Announcement>::parse(&bytes)?;
                return self.acknowledge(channel, announcement.dangerously_unverified()).await;
            }
            to_agent::Message::Verdict(bytes) => {
                let verdict = Signed::<Verdict>::parse(&bytes)?;
                if verdict.dangerously_unverified().standing == attester::decide::VERIFIED {
                    self.stage.send_replace(Stage::Verified);
                }
            }
        }
        Ok(())
    }

    async fn register(&mut self, channel: &Channel, welcome: &[u8]) -> anyhow::Result<()> {
        let welcome = Signed::<Welcome>::parse(welcome)?;
        let welcome = welcome.dangerously_unverified();
        let first = *self.first.get_or_insert(welcome.session);
        if self.rogue.lie == Lie::StaleSession && first == welcome.session {
            anyhow::bail!("it has its first nonce and comes again");
        }
        let (key, successions) = succeeding::claims(self.rogue.lie, &self.rogue.key, self.prepared)?;
        let mut registration = registering::registration(&self.rogue, &key, welcome, channel.binding);
        match self.rogue.lie {
            Lie::StaleSession => registration.session = first,
            Lie::OthersPin => {
                let eyes = Prober::new(None, Limits::default());
                let seen = eyes.see_key(self.rogue.address).await;
                registration.pin = seen.map_err(|finding| anyhow::anyhow!("nobody is there: {finding}"))?;
            }
            Lie::OtherBinding => registration.channel_binding = ChannelBinding::from_bytes([7; 32]),
            _ => {}
        }
        let bytes = match self.rogue.lie {
            Lie::JunkRegistration => vec![0xd2; 200],
            Lie::UnsignedRegistration => sign(&registration, &other_key())?,
            Lie::WeakKey => registering::forged(&registration, &self.rogue.key)?,
            _ => sign(&registration, &key)?,
        };
        let message = |pair: SuccessionPair| attest::Succession {
            by_old: pair.by_old.into(),
            by_new: pair.by_new.into(),
        };
        let register = Register {
            registration: bytes.into(),
            connect_token: self.rogue.token.clone(),
            successions: successions.into_iter().map(message).collect(),
        };
        self.registered = Some(register.clone());
        channel.say(to_attester::Message::Register(register)).await
    }

    /// Sends what no agent sends.
    async fn disturb(&self, channel: &Channel, noise: Noise) -> anyhow::Result<()> {
        match noise {
            Noise::Receipts => {
                for count in 0..1000_u16 {
                    let receipt = count.to_be_bytes().repeat(100).into();
                    channel
                        .say(to_attester::Message::Receipt(ReceiptMessage { receipt }))
                        .await?;
                }
            }
            Noise::Nothing => channel.outbound.send(ToAttester { message: None }).await?,
            Noise::TooMuch => {
                let refusal = "x".repeat(1 << 20);
                channel
                    .say(to_attester::Message::Ack(Ack {
                        probe_id: vec![7; 16].into(),
                        refusal,
                    }))
                    .await?;
            }
            Noise::Registration => {
                if let Some(register) = self.registered.clone() {
                    channel.say(to_attester::Message::Register(register)).await?;
                }
            }
            Noise::End => anyhow::bail!("it has had enough"),
        }
        Ok(())
    }

    async fn acknowledge(&self, channel: &Channel, announcement: &Announcement) -> anyhow::Result<()> {
        self.witness.arm(announcement.clone());
        let refusal = match self.rogue.lie {
            Lie::Evasion if self.cue.has_come() => return self.disturb(channel, Noise::Nothing).await,
            Lie::NoAck => return Ok(()),
            Lie::RefusedAck => "not today".to_owned(),
            _ => String::new(),
        };
        let probe_id = announcement.probe.as_bytes().to_vec().into();
        channel.say(to_attester::Message::Ack(Ack { probe_id, refusal })).await
    }

    async fn sign_for(&self, channel: &Channel, carried: Carried) -> anyhow::Result<()> {
        let truth = registering::receipt(&self.rogue, &carried);
        let receipt = if self.cue.has_come() {
            self.lie_about(truth)?
        } else {
            Some(sign(&truth, &self.rogue.key)?)
        };
        let Some(receipt) = receipt else { return Ok(()) };
        let message = to_attester::Message::Receipt(ReceiptMessage {
            receipt: receipt.into(),
        });
        if self.rogue.lie == Lie::LateReceipt {
            let outbound = channel.outbound.clone();
            tokio::spawn(async move {
                sleep(LATE).await;
                // The session may have ended meanwhile.
                let _ = outbound.send(ToAttester { message: Some(message) }).await;
            });
            return Ok(());
        }
        channel.say(message).await
    }

    /// The receipt that it sends in place of the true one; none when it keeps it.
    fn lie_about(&self, mut receipt: Receipt) -> anyhow::Result<Option<Vec<u8>>> {
        let day = Duration::from_secs(24 * 3600);
        let other = &other_key();
        let mut signer = &self.rogue.key;
        match self.rogue.lie {
            Lie::NoReceipt => return Ok(None),
            Lie::SpoiltSignature => {
                let mut bytes = sign(&receipt, signer)?;
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
                return Ok(Some(bytes));
            }
            Lie::OtherSigner => signer = other,
            Lie::OtherProbe => receipt.probe = proto::ids::ProbeId::from_bytes([7; 16]),
            Lie::OtherNonce => receipt.nonce = Nonce::from_bytes([7; 32]),
            Lie::OtherDestination => receipt.destination = "origin.example:80".parse()?,
            Lie::OtherAttester => receipt.audience = other.public().thumbprint(),
            Lie::OtherDigest => receipt.down_digest = receipt.up_digest,
            Lie::Overrun => {
                receipt.end = proto::claims::FlowEnd::Overrun;
                receipt.down += 1;
            }
            Lie::OtherDay => {
                receipt.opened = receipt.opened.minus(day);
                receipt.closed = receipt.closed.minus(day);
            }
            _ => {}
        }
        Ok(Some(sign(&receipt, signer)?))
    }
}

/// A key that is nobody's.
fn other_key() -> SigningKey {
    SigningKey::from_seed(&[0x77; 32])
}

/// The time as a rogue tells it: truly.
fn now() -> proto::time::Timestamp {
    Clock::system().now()
}

/// Between two sessions.
const AGAIN: Duration = Duration::from_millis(300);
/// Longer than any cluster waits for a receipt, and within the probe's window.
const LATE: Duration = Duration::from_millis(2500);
