//! Asks an authoritative name server directly for the addresses of a name.
//!
//! The prober finds a peer in the way a client does, by its name, and a new name is announced only once the
//! authoritative answer shows it. Both need the server's own word: no cache, no search list, no hosts file. An answer
//! counts when it comes from the server's address to the socket of the question, with its id and its question.

use std::{
    collections::BTreeSet,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name as WireName, RData, RecordType},
};
use rand::{RngExt, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, UdpSocket},
    time::{Instant, sleep_until, timeout_at},
};

use crate::records::Name;

mod error;
#[doc(hidden)]
pub mod fuzzing;

pub use error::ResolveError;

/// A client of one name server. Each question has a socket and an id of its own.
pub struct Resolver {
    nameserver: SocketAddr,
    source: Option<IpAddr>,
    timeout: Duration,
    rng: Mutex<StdRng>,
}

impl Resolver {
    /// A client of this name server that asks from the `source` address, if one is given. `timeout` bounds one
    /// question with all its repetitions. `rng` draws the ids.
    #[must_use]
    pub fn new(nameserver: SocketAddr, source: Option<IpAddr>, timeout: Duration, rng: StdRng) -> Self {
        Self {
            nameserver,
            source,
            timeout,
            rng: Mutex::new(rng),
        }
    }

    /// The addresses of a name, IPv4 before IPv6, otherwise in the order of the answer; none when it does not exist.
    ///
    /// # Errors
    /// [`ResolveError`], of every kind but [`ResolveError::NotShown`].
    pub async fn addresses(&self, name: &Name) -> Result<Vec<IpAddr>, ResolveError> {
        let (mut addresses, v6) = tokio::try_join!(
            self.addresses_of(name, RecordType::A),
            self.addresses_of(name, RecordType::AAAA)
        )?;
        addresses.extend(v6);
        Ok(addresses)
    }

    /// The addresses of a name that are of the same family as `like`: half the questions for whoever looks for one address.
    ///
    /// # Errors
    /// As [`Resolver::addresses`].
    pub async fn addresses_like(&self, name: &Name, like: IpAddr) -> Result<Vec<IpAddr>, ResolveError> {
        let kind = match like {
            IpAddr::V4(_) => RecordType::A,
            IpAddr::V6(_) => RecordType::AAAA,
        };
        self.addresses_of(name, kind).await
    }

    /// Asks again and again until the name has exactly the expected addresses (for a name that is no rotation).
    ///
    /// # Errors
    /// [`ResolveError::NotShown`] at the deadline, with what went wrong last.
    pub async fn wait_until_shown(
        &self,
        name: &Name,
        expected: &BTreeSet<IpAddr>,
        deadline: Instant,
    ) -> Result<(), ResolveError> {
        let mut pause = FIRST_PAUSE;
        let mut shown = 0;
        let mut last_error = None;
        loop {
            match timeout_at(deadline, self.addresses(name)).await {
                Ok(Ok(addresses)) => {
                    shown = addresses.len();
                    last_error = None;
                    if addresses.into_iter().collect::<BTreeSet<_>>() == *expected {
                        return Ok(());
                    }
                }
                Ok(Err(error)) => last_error = Some(Box::new(error)),
                Err(_) => {}
            }
            if Instant::now() >= deadline {
                return Err(ResolveError::NotShown {
                    name: name.clone(),
                    nameserver: self.nameserver,
                    expected: expected.len(),
                    shown,
                    last_error,
                });
            }
            sleep_until(deadline.min(Instant::now() + pause)).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    async fn addresses_of(&self, name: &Name, kind: RecordType) -> Result<Vec<IpAddr>, ResolveError> {
        let deadline = Instant::now() + self.timeout;
        for attempt in 1..=ATTEMPTS {
            let asked = Asked::new(self, name, kind)?;
            let until = deadline - self.timeout * (ATTEMPTS - attempt) / ATTEMPTS;
            let Ok(reply) = timeout_at(until, asked.over_udp(self)).await else {
                continue; // a datagram may be lost: ask again, with another id and from another port
            };
            let mut reply = reply?;
            if reply.metadata.truncation {
                reply = match timeout_at(deadline, asked.over_tcp(self)).await {
                    Ok(reply) => reply?,
                    Err(_) => break,
                };
            }
            return self.read(name, &asked, reply);
        }
        Err(ResolveError::TimedOut {
            name: name.clone(),
            nameserver: self.nameserver,
            after: self.timeout,
        })
    }

    /// What a reply to this very question says.
    fn read(&self, name: &Name, asked: &Asked, reply: Message) -> Result<Vec<IpAddr>, ResolveError> {
        match reply.metadata.response_code {
            ResponseCode::NoError | ResponseCode::NXDomain => {}
            code => {
                return Err(ResolveError::Refused {
                    name: name.clone(),
                    nameserver: self.nameserver,
                    code: code.to_str().to_owned(),
                    number: code.into(),
                });
            }
        }
        if !reply.metadata.authoritative {
            return Err(ResolveError::NotAuthoritative {
                name: name.clone(),
                nameserver: self.nameserver,
            });
        }
        let of_name = reply
            .answers
            .into_iter()
            .filter(|record| record.name == asked.query.name);
        let addresses = of_name.filter_map(|record| match record.data {
            RData::A(address) if asked.query.query_type == RecordType::A => Some(address.0.into()),
            RData::AAAA(address) if asked.query.query_type == RecordType::AAAA => Some(address.0.into()),
            _ => None,
        });
        Ok(addresses.collect())
    }

    fn source(&self) -> SocketAddr {
        let any: IpAddr = match self.nameserver {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        SocketAddr::new(self.source.unwrap_or(any), 0)
    }

    fn broken(&self, transport: &'static str) -> impl Fn(io::Error) -> ResolveError + use<> {
        let nameserver = self.nameserver;
        move |source| ResolveError::Socket {
            nameserver,
            transport,
            source,
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver")
            .field("nameserver", &self.nameserver)
            .field("source", &self.source)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// One question, as it was sent.
struct Asked {
    name: Name,
    id: u16,
    query: Query,
    bytes: Vec<u8>,
}

impl Asked {
    fn new(resolver: &Resolver, name: &Name, kind: RecordType) -> Result<Self, ResolveError> {
        let id = resolver.rng.lock().unwrap_or_else(PoisonError::into_inner).random();
        let unwritable = |error: &dyn fmt::Display| ResolveError::Question {
            name: name.clone(),
            what: error.to_string(),
        };
        let mut owner = WireName::from_ascii(name.as_str()).map_err(|error| unwritable(&error))?;
        owner.set_fqdn(true);
        let query = Query::query(owner, kind);
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.add_query(query.clone());
        let mut edns = Edns::new();
        edns.set_max_payload(MAX_DATAGRAM);
        message.set_edns(edns);
        let bytes = message.to_vec().map_err(|error| unwritable(&error))?;
        Ok(Self {
            name: name.clone(),
            id,
            query,
            bytes,
        })
    }

    async fn over_udp(&self, resolver: &Resolver) -> Result<Message, ResolveError> {
        let broken = resolver.broken("UDP");
        let socket = UdpSocket::bind(resolver.source()).await.map_err(&broken)?;
        // Connected: the kernel drops what any other address sends.
        socket.connect(resolver.nameserver).await.map_err(&broken)?;
        socket.send(&self.bytes).await.map_err(&broken)?;
        let mut buffer = vec![0; usize::from(MAX_DATAGRAM)];
        loop {
            let length = socket.recv(&mut buffer).await.map_err(&broken)?;
            // What is no reply to this question may be forged or late: the true one can still come.
            if let Some(reply) = self.reply(&buffer[..length], resolver)? {
                return Ok(reply);
            }
        }
    }

    async fn over_tcp(&self, resolver: &Resolver) -> Result<Message, ResolveError> {
        let bytes = self.exchange(resolver).await.map_err(resolver.broken("TCP"))?;
        match self.reply(&bytes, resolver)? {
            Some(reply) => Ok(reply),
            None => Err(self.malformed(resolver, "it is no reply to the question")),
        }
    }

    /// One question and its reply over TCP, each after its length (RFC 7766 section 8).
    async fn exchange(&self, resolver: &Resolver) -> io::Result<Vec<u8>> {
        let socket = match resolver.nameserver {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.bind(resolver.source())?;
        let mut stream = socket.connect(resolver.nameserver).await?;
        let length = u16::try_from(self.bytes.len()).map_err(io::Error::other)?;
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend(&self.bytes);
        stream.write_all(&framed).await?;
        let length = stream.read_u16().await?;
        let mut reply = vec![0; length.into()];
        stream.read_exact(&mut reply).await?;
        Ok(reply)
    }

    /// Reads a reply; `None` when the bytes are none to this question.
    fn reply(&self, bytes: &[u8], resolver: &Resolver) -> Result<Option<Message>, ResolveError> {
        // The fixed part of the header (RFC 1035 section 4.1.1) is judged before anything is allocated by its counts.
        let Some(&[id_high, id_low, flags, code, queries_high, queries_low]) = bytes.first_chunk() else {
            return Ok(None);
        };
        let failed = code & 0x0f != 0;
        match u16::from_be_bytes([queries_high, queries_low]) {
            _ if u16::from_be_bytes([id_high, id_low]) != self.id || flags & 0x80 == 0 => return Ok(None),
            1 => {}
            0 if failed => {} // a server that could not read the question does not repeat it
            _ => return Err(self.malformed(resolver, "it does not repeat the question")),
        }
        let reply = Message::from_vec(bytes).map_err(|error| self.malformed(resolver, &error.to_string()))?;
        match reply.queries.first() {
            Some(query) if *query != self.query => Ok(None),
            _ => Ok(Some(reply)),
        }
    }

    fn malformed(&self, resolver: &Resolver, what: &str) -> ResolveError {
        ResolveError::Malformed {
            name: self.name.clone(),
            nameserver: resolver.nameserver,
            what: what.to_owned(),
        }
    }
}

/// Times that a question is sent over UDP before it is given up.
const ATTEMPTS: u32 = 3;
/// The longest datagram that we offer to take; what passes every common path in one piece.
const MAX_DATAGRAM: u16 = 1232;
/// Pauses between two looks at a name that is awaited: from the first, doubling, to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
