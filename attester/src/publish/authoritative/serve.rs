//! The sockets of the embedded server. What comes in is a stranger's: nothing here is logged above `debug`.

use std::{io, sync::Arc, time::Duration};

use rand::{SeedableRng, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::debug;

use crate::metrics::{self, Door, Metrics, Rcode};

use super::{
    answer::{Transport, answered},
    places::{Place, Places},
    served::Served,
};

#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) connections: usize,
    pub(super) per_source: usize,
    /// For the next question to arrive complete, and for its answer to be taken.
    pub(super) idle: Duration,
}

/// What questions are answered from, and counted in.
#[derive(Clone)]
pub(super) struct Questions {
    pub(super) served: watch::Receiver<Arc<Served>>,
    pub(super) metrics: Arc<Metrics>,
}

impl Questions {
    fn answer(&self, question: &[u8], transport: Transport, rng: &mut StdRng) -> Option<Vec<u8>> {
        let state = self.served.borrow().clone();
        let reply = answered(question, transport, &state, rng);
        let over = match transport {
            Transport::Udp => metrics::Transport::Udp,
            Transport::Tcp => metrics::Transport::Tcp,
        };
        let code = reply.as_ref().map_or(Rcode::Unanswered, |(_, code)| *code);
        self.metrics.dns_query(over, code);
        reply.map(|(bytes, _)| bytes)
    }
}

/// Answers datagrams, one after the other: finding an answer takes microseconds and never waits.
pub(super) async fn udp(socket: UdpSocket, questions: Questions, mut rng: StdRng, token: CancellationToken) {
    let mut buffer = vec![0; MAX_QUESTION];
    loop {
        let received = tokio::select! {
            () = token.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        let (length, asker) = match received {
            Ok((_, asker)) if asker.port() == 0 => continue, // cannot be answered
            Ok(received) => received,
            Err(error) => {
                debug!(%error, "could not receive a DNS question over UDP");
                pause(&token).await;
                continue;
            }
        };
        if let Some(reply) = questions.answer(&buffer[..length], Transport::Udp, &mut rng) {
            let sent = tokio::select! {
                () = token.cancelled() => return,
                sent = socket.send_to(&reply, asker) => sent,
            };
            if let Err(error) = sent {
                debug!(%error, "could not send a DNS answer over UDP");
            }
        }
    }
}

/// Accepts connections and serves each in a task of its own, until the token is cancelled and all have ended.
pub(super) async fn tcp(
    listener: TcpListener,
    questions: Questions,
    limits: Limits,
    mut rng: StdRng,
    token: CancellationToken,
) {
    let places = Places::new(limits.connections, limits.per_source);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = token.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Err(error) => {
                debug!(%error, "could not accept a DNS connection");
                pause(&token).await;
            }
            Ok((stream, asker)) => {
                let (place, full) = places.take(asker.ip());
                if let Some(full) = full {
                    questions.metrics.turned_away(Door::Dns, full);
                }
                let (questions, rng, token) = (questions.clone(), StdRng::from_rng(&mut rng), token.clone());
                connections.spawn(async move {
                    let serving = serve_connection(stream, questions, &place, limits.idle, rng);
                    tokio::select! {
                        () = token.cancelled() => {}
                        () = place.taken.cancelled() => debug!("a DNS connection lost its place to a newer one"),
                        served = serving => if let Err(error) = served {
                            debug!(%error, "a DNS connection ended early");
                        },
                    }
                });
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Questions and answers in turn, each after its length (RFC 7766 section 8), until the asker closes.
async fn serve_connection(
    mut stream: TcpStream,
    questions: Questions,
    place: &Place,
    idle: Duration,
    mut rng: StdRng,
) -> io::Result<()> {
    let _ = stream.set_nodelay(true);
    for _ in 0..MAX_QUESTIONS {
        let Some(question) = timeout(idle, read_question(&mut stream)).await?? else {
            return Ok(());
        };
        place.asked();
        let Some(reply) = questions.answer(&question, Transport::Tcp, &mut rng) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a question"));
        };
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        let mut framed = Vec::with_capacity(2 + reply.len());
        framed.extend(length.to_be_bytes());
        framed.extend(reply);
        timeout(idle, stream.write_all(&framed)).await??;
    }
    Ok(())
}

/// `None` when the asker closed between two questions.
async fn read_question(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Ok(length) => usize::from(length),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > MAX_QUESTION {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "question too long"));
    }
    let mut question = vec![0; length];
    stream.read_exact(&mut question).await?;
    Ok(Some(question))
}

/// Errors of a socket that is still open (no more file descriptors, say) would otherwise come back without end.
async fn pause(token: &CancellationToken) {
    token.run_until_cancelled(sleep(ERROR_PAUSE)).await;
}

/// A question is a name, a type and a few options.
const MAX_QUESTION: usize = 4096;
/// Questions on one connection; after them the asker has to connect again, behind others who wait.
const MAX_QUESTIONS: usize = 1000;
const ERROR_PAUSE: Duration = Duration::from_millis(50);
