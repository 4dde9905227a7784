//! How a lying peer carries traffic: a dialer below the give mode server's tap, so that the peer's own agent signs in good faith
//! what its clients were made to see.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use peer_agent::give::{BoxStream, Dial, DialFuture, DirectDial};
use proto::key::SigningKey;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split},
    time::sleep,
};

mod forged;

use crate::{behaviour::Bend, cue::Cue, elsewhere, rogue::Witness};

/// A dialer that bends what it carries.
pub(crate) struct Carrier {
    pub(crate) direct: DirectDial,
    /// The peer's own address, from which it dials.
    pub(crate) address: SocketAddr,
    pub(crate) bend: Option<Bend>,
    pub(crate) cue: Cue,
    /// Another peer, for traffic that leaves elsewhere.
    pub(crate) exit: Option<SocketAddr>,
    /// Whoever watches in place of an agent's tap.
    pub(crate) witness: Option<Witness>,
    /// The peer's own key.
    pub(crate) key: SigningKey,
    pub(crate) recorded: Recorded,
    /// How often it was asked.
    pub(crate) count: AtomicUsize,
}

/// An answer that was recorded.
pub(crate) type Recorded = Arc<Mutex<Option<Vec<u8>>>>;

impl Dial for Carrier {
    fn dial<'a>(&'a self, destination: &'a str) -> DialFuture<'a> {
        Box::pin(async move {
            let count = self.count.fetch_add(1, Ordering::Relaxed);
            let bend = match self.bend.filter(|_| self.cue.has_come()) {
                Some(Bend::CutEveryOther(after)) => (count % 2 == 1).then_some(Bend::Cut(after)),
                bend => bend,
            };
            let recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let far = match (bend, recorded) {
                (None, _) if self.witness.is_none() => return self.direct.dial(destination).await,
                (Some(Bend::Invent), _) => Far::Own(Invention::Plain),
                (Some(Bend::Forge), _) => Far::Own(Invention::Forged(Box::new(self.key.clone()), self.address)),
                (Some(Bend::Replay), Some(answer)) => Far::Own(Invention::Recorded(answer)),
                (Some(Bend::Elsewhere), _) => {
                    let exit = self.exit.ok_or_else(|| io::Error::other("there is no other peer"))?;
                    Far::Real(elsewhere::tunnel(self.address, exit, destination).await?)
                }
                _ => Far::Real(self.direct.dial(destination).await?),
            };
            let (near, end) = duplex(BUFFER);
            let pump = Pump {
                bend,
                witness: self.witness.clone(),
                recorded: Arc::clone(&self.recorded),
            };
            // It ends with either of its ends, and with the island that it runs on.
            tokio::spawn(pump.run(end, far));
            Ok(Box::new(near) as BoxStream)
        })
    }
}

/// What is on the far side.
enum Far {
    Real(BoxStream),
    Own(Invention),
}

/// An answer of the peer's own.
enum Invention {
    Recorded(Vec<u8>),
    Plain,
    Forged(Box<SigningKey>, SocketAddr),
}

/// Carries one flow.
struct Pump {
    bend: Option<Bend>,
    witness: Option<Witness>,
    recorded: Recorded,
}

impl Pump {
    async fn run(self, near: DuplexStream, far: Far) {
        let account = self.witness.as_ref().map(Witness::open);
        let (mut reader, mut writer) = split(near);
        let far = match far {
            Far::Real(stream) => stream,
            Far::Own(invention) => {
                let Ok(request) = head_of(&mut reader).await else {
                    return;
                };
                let answer = match invention {
                    Invention::Recorded(answer) => answer,
                    Invention::Plain => forged::answer(&request, None),
                    Invention::Forged(key, address) => forged::answer(&request, Some((&key, address))),
                };
                // The client may have gone; whoever reads to the end gets the end.
                let _ = writer.write_all(&answer).await;
                let _ = writer.shutdown().await;
                let _ = tokio::io::copy(&mut reader, &mut tokio::io::sink()).await;
                return;
            }
        };
        let (mut far_reader, mut far_writer) = split(far);
        let up = async {
            let mut buffer = vec![0; BUFFER];
            while let Ok(length @ 1..) = reader.read(&mut buffer).await {
                if let Some(account) = &account {
                    account.up(&buffer[..length]);
                }
                if far_writer.write_all(&buffer[..length]).await.is_err() {
                    break;
                }
            }
            let _ = far_writer.shutdown().await;
        };
        let down = async {
            if self.down(&mut far_reader, &mut writer, account.as_ref()).await == After::End {
                let _ = writer.shutdown().await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        // A client that hangs up ends a flow that goes no further.
        if self.hangs() {
            tokio::select! { () = up => {} () = down => {} }
        } else {
            tokio::join!(up, down);
        }
    }

    const fn hangs(&self) -> bool {
        matches!(self.bend, Some(Bend::Hang(_)))
    }

    async fn down(
        &self,
        far: &mut ReadHalf<BoxStream>,
        near: &mut WriteHalf<DuplexStream>,
        account: Option<&crate::rogue::Account>,
    ) -> After {
        let mut buffer = vec![0; BUFFER];
        let mut passed = 0;
        let mut all = Vec::new();
        while let Ok(length @ 1..) = far.read(&mut buffer).await {
            let chunk = &mut buffer[..length];
            all.extend_from_slice(chunk);
            let (passing, stops) = self.bent(passed, chunk);
            passed += length;
            if let Some(Bend::Hoard(rate)) = self.bend {
                sleep(Duration::from_secs_f64(length as f64 / rate as f64)).await;
                continue;
            }
            if let Some(account) = account {
                account.down(passing);
            }
            if near.write_all(passing).await.is_err() {
                return After::End;
            }
            match stops {
                true if self.hangs() => return After::Hang,
                true => return After::End,
                false => {}
            }
        }
        match self.bend {
            Some(Bend::Hoard(_)) => {
                let _ = near.write_all(&all).await;
            }
            Some(Bend::Append) => {
                let _ = near.write_all(b"!").await;
            }
            Some(Bend::Replay) => *self.recorded.lock().unwrap_or_else(PoisonError::into_inner) = Some(all),
            _ => {}
        }
        After::End
    }

    /// What becomes of a chunk that begins at `offset`, and whether it is the last.
    fn bent<'c>(&self, offset: usize, chunk: &'c mut [u8]) -> (&'c [u8], bool) {
        let end = offset + chunk.len();
        match self.bend {
            Some(Bend::Flip(place)) if (offset..end).contains(&place) => {
                chunk[place - offset] ^= 1;
                (chunk, false)
            }
            Some(Bend::Cut(after) | Bend::Hang(after)) if end >= after => (&chunk[..after - offset], true),
            // The origin writes its head at once.
            Some(Bend::Rewrite) if offset == 0 => {
                if let Some(value) = forged::statement_in(chunk) {
                    chunk[value].fill(b'A');
                }
                (chunk, false)
            }
            _ => (chunk, false),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    End,
    Hang,
}

/// Reads a request up to the blank line.
async fn head_of(reader: &mut ReadHalf<DuplexStream>) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > LONGEST_HEAD || reader.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(head)
}

const BUFFER: usize = 64 << 10;
const LONGEST_HEAD: usize = 16 << 10;
