//! A relay in front of a proxy that tells how far its clients have come, and can keep answers from them, from outside of their TLS.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
};

use crate::within;

/// The relay, on loopback.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    seen: watch::Receiver<Seen>,
    silent: watch::Sender<bool>,
}

/// What clients have done, all of them together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Connections opened.
    pub(crate) connections: usize,
    /// Protected TLS records sent. A client's first is the end of the handshake, then comes what it has to say.
    pub(crate) records: usize,
    /// Of these, those on the first connection.
    pub(crate) first: usize,
}

impl Front {
    pub(crate) async fn of(proxy: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, seen) = watch::channel(Seen::default());
        let (silent, held) = watch::channel(false);
        tokio::spawn(async move {
            let told = Arc::new(told);
            for number in 0.. {
                let Ok((client, _)) = listener.accept().await else {
                    break;
                };
                told.send_modify(|seen| seen.connections += 1);
                let told = Arc::clone(&told);
                tokio::spawn(relay(client, proxy, held.clone(), move || {
                    told.send_modify(|seen| {
                        seen.records += 1;
                        seen.first += usize::from(number == 0);
                    });
                }));
            }
        });
        Self { address, seen, silent }
    }

    /// Keeps answers back while this is on. Handshakes go on.
    pub(crate) fn silence(&self, on: bool) {
        self.silent.send_replace(on);
    }

    /// How far clients have come by now.
    pub(crate) fn seen(&self) -> Seen {
        *self.seen.borrow()
    }

    /// Waits until clients have come that far.
    pub(crate) async fn until(&self, far: impl FnMut(&Seen) -> bool) {
        within(self.seen.clone().wait_for(far)).await.unwrap();
    }
}

async fn relay(
    mut client: TcpStream,
    proxy: SocketAddr,
    held: watch::Receiver<bool>,
    sent: impl Fn(),
) -> io::Result<()> {
    let mut server = TcpStream::connect(proxy).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let own = AtomicUsize::new(0);
    let sent = || {
        own.fetch_add(1, Ordering::Relaxed);
        sent();
    };
    // Neither party shuts down one direction only; the first end is the end.
    tokio::select! {
        ended = records(&mut from_client, &mut to_server, sent) => ended,
        ended = answers(&mut from_server, &mut to_client, &own, held) => ended,
    }
}

/// Passes on what the server says; what it says after a request, not while it is held.
async fn answers(
    from: &mut tcp::ReadHalf<'_>,
    to: &mut tcp::WriteHalf<'_>,
    sent: &AtomicUsize,
    mut held: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return Ok(());
        }
        // The first protected record of a client is the end of its handshake.
        if sent.load(Ordering::Relaxed) > 1 && held.wait_for(|held| !held).await.is_err() {
            return Ok(());
        }
        to.write_all(&buffer[..length]).await?;
    }
}

/// Passes TLS records on (RFC 8446, section 5.1) and tells of each protected one. In TLS 1.2 the end of the handshake is protected
/// and still called a handshake record.
async fn records(from: &mut tcp::ReadHalf<'_>, to: &mut tcp::WriteHalf<'_>, sent: impl Fn()) -> io::Result<()> {
    let mut changed = false;
    loop {
        let mut record = vec![0; 5];
        from.read_exact(&mut record).await?;
        let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
        record.resize(5 + length, 0);
        from.read_exact(&mut record[5..]).await?;
        to.write_all(&record).await?;
        match record[0] {
            CHANGE_CIPHER_SPEC => changed = true,
            APPLICATION_DATA => sent(),
            HANDSHAKE if changed => sent(),
            _ => {}
        }
    }
}

const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
