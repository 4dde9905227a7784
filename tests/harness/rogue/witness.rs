//! What a rogue knows of the flows that it carries: everything, since it means to lie about it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::{
    checked::Signed,
    claims::{Announcement, Challenge},
    ids::{Digest, Nonce},
    probe::challenge_in,
    time::{Clock, Timestamp},
};
use tokio::sync::mpsc;

/// Watches flows for announced probes. Clones share what was announced.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    armed: Arc<Mutex<Vec<Announcement>>>,
    carried: mpsc::Sender<Carried>,
}

/// An announced probe that went through.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) announcement: Announcement,
    pub(crate) nonce: Nonce,
    pub(crate) up: Digest,
    pub(crate) down: Digest,
    pub(crate) opened: Timestamp,
    pub(crate) closed: Timestamp,
}

/// One flow.
#[derive(Debug)]
pub(crate) struct Account {
    witness: Witness,
    bytes: Mutex<Bytes>,
    opened: Timestamp,
}

#[derive(Debug, Default)]
struct Bytes {
    up: Vec<u8>,
    down: Vec<u8>,
    done: bool,
}

impl Witness {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Carried>) {
        let (carried, queue) = mpsc::channel(16);
        (
            Self {
                armed: Arc::default(),
                carried,
            },
            queue,
        )
    }

    /// Expects a probe.
    pub(crate) fn arm(&self, announcement: Announcement) {
        let mut armed = lock(&self.armed);
        if armed.len() >= MOST_ARMED {
            armed.remove(0);
        }
        armed.push(announcement);
    }

    /// A flow begins.
    pub(crate) fn open(&self) -> Account {
        Account {
            witness: self.clone(),
            bytes: Mutex::default(),
            opened: Clock::system().now(),
        }
    }
}

impl Account {
    pub(crate) fn up(&self, bytes: &[u8]) {
        let mut account = lock(&self.bytes);
        account.up.extend_from_slice(bytes);
        self.look(&mut account);
    }

    pub(crate) fn down(&self, bytes: &[u8]) {
        let mut account = lock(&self.bytes);
        account.down.extend_from_slice(bytes);
        self.look(&mut account);
    }

    fn look(&self, bytes: &mut Bytes) {
        let Some(challenge) = challenge_in(&bytes.up).filter(|_| !bytes.done) else {
            return;
        };
        let armed = lock(&self.witness.armed);
        let digest = Digest::of(&challenge);
        let Some(announcement) = armed.iter().find(|announcement| announcement.challenge == digest) else {
            return;
        };
        let whole = (bytes.up.len() as u64, bytes.down.len() as u64) == (announcement.up, announcement.down);
        let Ok(challenge) = Signed::<Challenge>::parse(&challenge) else {
            return;
        };
        if whole {
            bytes.done = true;
            let carried = Carried {
                announcement: announcement.clone(),
                nonce: challenge.dangerously_unverified().nonce,
                up: Digest::of(&bytes.up),
                down: Digest::of(&bytes.down),
                opened: self.opened,
                closed: Clock::system().now(),
            };
            // A rogue whose session has ended has nobody to lie to.
            let _ = self.witness.carried.try_send(carried);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const MOST_ARMED: usize = 8;
