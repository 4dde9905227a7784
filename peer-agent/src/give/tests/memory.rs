//! A server over in-memory streams: with virtual time the clock moves exactly when everybody waits.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
};

use proto::tunnel::enproxy::Op;
use tokio::{
    io::{DuplexStream, duplex},
    sync::mpsc,
    time::interval,
};
use tokio_util::sync::CancellationToken;

use super::rig::Client;
use crate::{
    give::{BoxStream, Config, Dial, DialFuture, Shared, serve, sweep_period},
    tap::Tap,
};

/// A destination whose dial never ends.
pub(super) const NEVER: &str = "never:1";

/// A destination that refuses, each time in other words.
pub(super) const NOBODY: &str = "nobody:1";

/// Destinations are handed to the test.
struct Handed {
    to: mpsc::Sender<DuplexStream>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Dial for Handed {
    fn dial<'a>(&'a self, destination: &'a str) -> DialFuture<'a> {
        let attempt = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(destination.to_owned());
            asked.len()
        };
        Box::pin(async move {
            match destination {
                NEVER => std::future::pending::<()>().await,
                NOBODY => return Err(io::Error::other(format!("attempt {attempt} was refused"))),
                _ => {}
            }
            let (near, far) = duplex(1 << 20);
            self.to.send(far).await.unwrap();
            Ok(Box::new(near) as BoxStream)
        })
    }
}

/// A server without sockets, of which every connection is a pipe.
pub(super) struct Rig {
    shared: Arc<Shared>,
    /// The far ends of connections to destinations.
    pub(super) dialed: mpsc::Receiver<DuplexStream>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Rig {
    pub(super) fn new(change: impl FnOnce(&mut Config)) -> Self {
        Self::tapped(change, Tap::disconnected())
    }

    pub(super) fn tapped(change: impl FnOnce(&mut Config), tap: Tap) -> Self {
        let (to, dialed) = mpsc::channel(8);
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let dialer = Handed {
            to,
            asked: Arc::clone(&asked),
        };
        let mut config = Config::default();
        change(&mut config);
        let shared = Arc::new(Shared::new(config, tap, Arc::new(dialer), CancellationToken::new()));
        let sweeping = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut ticks = interval(sweep_period(&sweeping.config.limits));
            loop {
                ticks.tick().await;
                sweeping.tunnels.sweep();
            }
        });
        Self { shared, dialed, asked }
    }

    /// What was dialled so far.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn client(&self) -> Client<DuplexStream> {
        self.narrow_client(1 << 20)
    }

    /// A client on whose way are at most `room` bytes in either direction.
    pub(super) fn narrow_client(&self, room: usize) -> Client<DuplexStream> {
        let (near, far) = duplex(room);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move { serve(&shared, far, IpAddr::V4(Ipv4Addr::LOCALHOST)).await });
        Client::new(near)
    }

    /// Opens a tunnel, and the far end of its connection.
    pub(super) async fn tunnel(&mut self, client: &mut Client<DuplexStream>, id: &str) -> DuplexStream {
        assert_eq!(client.call(id, "a:1", Op::Write, b"").await.head.status, 200);
        self.dialed.recv().await.unwrap()
    }
}
