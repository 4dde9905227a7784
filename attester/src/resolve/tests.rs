#![expect(clippy::unwrap_used, reason = "tests")]

use hickory_proto::rr::{
    Record,
    rdata::{A, AAAA},
};
use rand::SeedableRng;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};

use super::*;

/// What a scripted name server does with one question that came over UDP.
type Script = fn(Message) -> Vec<Vec<u8>>;

/// A name server that answers UDP by a script, and TCP with `over_tcp` addresses. The real server is asked in
/// `publish`'s and the harness's tests; this one does what the real one never would.
struct Scripted {
    address: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
}

impl Scripted {
    /// Ends it; when this returns, its port is closed.
    async fn stop(mut self) {
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn scripted(script: Script, over_tcp: u8) -> Scripted {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(address).await.unwrap();
    let datagrams = async move {
        let mut buffer = [0; 4096];
        loop {
            let (length, asker) = udp.recv_from(&mut buffer).await.unwrap();
            for reply in script(Message::from_vec(&buffer[..length]).unwrap()) {
                let _ = udp.send_to(&reply, asker).await;
            }
        }
    };
    let streams = async move {
        loop {
            let (mut stream, _) = tcp.accept().await.unwrap();
            let length = stream.read_u16().await.unwrap();
            let mut question = vec![0; length.into()];
            stream.read_exact(&mut question).await.unwrap();
            let reply = addresses(reply_to(&Message::from_vec(&question).unwrap()), over_tcp);
            let bytes = reply.to_vec().unwrap();
            stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        }
    };
    Scripted {
        address,
        tasks: vec![tokio::spawn(datagrams), tokio::spawn(streams)],
    }
}

/// An authoritative answer without records.
fn reply_to(question: &Message) -> Message {
    let mut reply = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata.authoritative = true;
    reply.add_query(question.queries[0].clone());
    reply
}

/// The reply with `count` addresses of the type that was asked for.
fn addresses(mut reply: Message, count: u8) -> Message {
    let query = reply.queries[0].clone();
    for number in 1..=count {
        let data = match query.query_type {
            RecordType::A => RData::A(A::new(127, 77, number, 1)),
            _ => RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into())),
        };
        reply.add_answer(Record::from_rdata(query.name.clone(), 30, data));
    }
    reply
}

fn resolver(nameserver: SocketAddr, timeout: Duration) -> Resolver {
    Resolver::new(nameserver, None, timeout, StdRng::seed_from_u64(11))
}

fn peer() -> Name {
    Name::parse("peer-1.demo.test").unwrap()
}

const PATIENCE: Duration = Duration::from_secs(30);
/// For questions that are never answered.
const SHORT: Duration = Duration::from_millis(60);
/// For waits that run out, but not before something was exchanged, however busy the machine is.
const LONGER: Duration = Duration::from_millis(1500);

async fn ask(script: Script) -> Result<Vec<IpAddr>, ResolveError> {
    let server = scripted(script, 40).await;
    resolver(server.address, PATIENCE).addresses(&peer()).await
}

#[tokio::test]
async fn collects_addresses_of_both_families() {
    let found = ask(|question| vec![addresses(reply_to(&question), 2).to_vec().unwrap()]).await;
    let expected = ["127.77.1.1", "127.77.2.1", "2001:db8::1", "2001:db8::2"];
    assert_eq!(found.unwrap(), expected.map(|text| text.parse::<IpAddr>().unwrap()));
}

#[tokio::test]
async fn a_name_that_does_not_exist_has_no_addresses() {
    let found = ask(|question| {
        let mut reply = reply_to(&question);
        reply.metadata.response_code = ResponseCode::NXDomain;
        vec![reply.to_vec().unwrap()]
    });
    assert_eq!(found.await.unwrap(), Vec::<IpAddr>::new());
}

#[tokio::test]
async fn records_of_other_names_do_not_count() {
    let found = ask(|question| {
        let mut reply = addresses(reply_to(&question), 1);
        reply.answers[0].name = WireName::from_ascii("other.demo.test.").unwrap();
        vec![reply.to_vec().unwrap()]
    });
    assert_eq!(found.await.unwrap(), Vec::<IpAddr>::new());
}

#[tokio::test]
async fn a_truncated_answer_is_fetched_over_tcp() {
    let found = ask(|question| {
        let mut reply = addresses(reply_to(&question), 1);
        reply.metadata.truncation = true;
        vec![reply.to_vec().unwrap()]
    });
    assert_eq!(found.await.unwrap().len(), 80);
}

#[tokio::test]
async fn refusals_name_their_code() {
    let servfail = ask(|question| {
        let mut reply = reply_to(&question);
        reply.metadata.response_code = ResponseCode::ServFail;
        vec![reply.to_vec().unwrap()]
    });
    let error = servfail.await.unwrap_err();
    assert!(matches!(error, ResolveError::Refused { number: 2, .. }), "{error}");
    // A refusal that does not repeat the question.
    let bare = ask(|question| {
        let mut reply = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
        reply.metadata.response_code = ResponseCode::Refused;
        vec![reply.to_vec().unwrap()]
    });
    let error = bare.await.unwrap_err();
    assert!(matches!(error, ResolveError::Refused { number: 5, .. }), "{error}");
}

#[tokio::test]
async fn a_cache_is_no_authority() {
    let cached = ask(|question| {
        let mut reply = addresses(reply_to(&question), 1);
        reply.metadata.authoritative = false;
        vec![reply.to_vec().unwrap()]
    });
    assert!(matches!(cached.await, Err(ResolveError::NotAuthoritative { .. })));
}

#[tokio::test]
async fn replies_to_other_questions_are_passed_over() {
    let found = ask(|question| {
        let good = addresses(reply_to(&question), 1);
        let mut other_id = addresses(reply_to(&question), 3);
        other_id.metadata.id ^= 1;
        let mut other_name = addresses(reply_to(&question), 3);
        other_name.queries[0].name = WireName::from_ascii("other.demo.test.").unwrap();
        let mut other_type = addresses(reply_to(&question), 3);
        other_type.queries[0].query_type = RecordType::TXT;
        let mut a_question = good.clone();
        a_question.metadata.message_type = MessageType::Query;
        let replies = [other_id, other_name, other_type, a_question, good];
        let mut bytes: Vec<Vec<u8>> = replies.iter().map(|reply| reply.to_vec().unwrap()).collect();
        bytes.insert(0, b"short".to_vec());
        bytes
    });
    assert_eq!(found.await.unwrap().len(), 2);
}

#[tokio::test]
async fn malformed_replies_are_told() {
    let cut = ask(|question| {
        let mut bytes = addresses(reply_to(&question), 1).to_vec().unwrap();
        bytes.pop();
        vec![bytes]
    });
    assert!(matches!(cut.await, Err(ResolveError::Malformed { .. })));
    // A count that would allocate for 65535 questions.
    let counted = ask(|question| {
        let mut bytes = reply_to(&question).to_vec().unwrap();
        bytes[4..6].copy_from_slice(&[0xff, 0xff]);
        vec![bytes]
    });
    assert!(matches!(counted.await, Err(ResolveError::Malformed { .. })));
}

#[tokio::test]
async fn a_lost_datagram_is_asked_for_again() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let server = scripted(
        |question| match ASKED.fetch_add(1, Ordering::Relaxed) {
            0..2 => vec![], // one question for A and one for AAAA
            _ => vec![addresses(reply_to(&question), 1).to_vec().unwrap()],
        },
        0,
    )
    .await;
    // Of which a third passes before each repetition.
    let found = resolver(server.address, Duration::from_secs(3))
        .addresses(&peer())
        .await;
    assert_eq!(found.unwrap().len(), 2);
}

#[tokio::test]
async fn silence_times_out_and_nobody_listening_is_told_apart() {
    let silent = scripted(|_| vec![], 0).await;
    let error = resolver(silent.address, SHORT).addresses(&peer()).await.unwrap_err();
    assert!(matches!(error, ResolveError::TimedOut { after: SHORT, .. }), "{error}");

    // A port that is ours on another address, so that nobody takes it on this one meanwhile.
    let holder = UdpSocket::bind("127.0.0.98:0").await.unwrap();
    let closed = SocketAddr::from(([127, 0, 0, 99], holder.local_addr().unwrap().port()));
    let error = resolver(closed, PATIENCE).addresses(&peer()).await.unwrap_err();
    assert!(
        matches!(error, ResolveError::Socket { transport: "UDP", .. }),
        "{error}"
    );
}

#[tokio::test]
async fn asks_from_the_given_source_and_with_fresh_ids() {
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let source: IpAddr = "127.0.0.77".parse().unwrap();
    let resolver = Resolver::new(
        udp.local_addr().unwrap(),
        Some(source),
        LONGER,
        StdRng::seed_from_u64(2),
    );
    let name = peer();
    let asking = resolver.addresses(&name);
    let listening = async {
        let mut ids = BTreeSet::new();
        let mut buffer = [0; 512];
        for _ in 0..6 {
            let (length, asker) = udp.recv_from(&mut buffer).await.unwrap();
            assert_eq!(asker.ip(), source);
            assert!(length > 12);
            ids.insert([buffer[0], buffer[1]]);
        }
        ids
    };
    let (failed, ids) = tokio::join!(asking, timeout(PATIENCE, listening));
    assert!(matches!(failed, Err(ResolveError::TimedOut { .. })));
    assert_eq!(ids.unwrap().len(), 6);
}

#[tokio::test]
async fn waits_until_shown_and_tells_what_is_shown_instead() {
    let expected: BTreeSet<IpAddr> = ["127.77.1.1", "2001:db8::1"].map(|text| text.parse().unwrap()).into();
    let server = scripted(|question| vec![addresses(reply_to(&question), 1).to_vec().unwrap()], 0).await;
    let resolver = resolver(server.address, PATIENCE);
    let far = Instant::now() + PATIENCE;
    resolver.wait_until_shown(&peer(), &expected, far).await.unwrap();

    let other = BTreeSet::from(["127.77.1.1".parse().unwrap()]);
    let near = Instant::now() + LONGER;
    let error = resolver.wait_until_shown(&peer(), &other, near).await.unwrap_err();
    assert!(
        matches!(
            error,
            ResolveError::NotShown {
                shown: 2,
                expected: 1,
                last_error: None,
                ..
            }
        ),
        "{error}"
    );
    server.stop().await;
    let near = Instant::now() + SHORT;
    let error = resolver.wait_until_shown(&peer(), &other, near).await.unwrap_err();
    assert!(
        matches!(
            error,
            ResolveError::NotShown {
                last_error: Some(_),
                ..
            }
        ),
        "{error}"
    );
}
