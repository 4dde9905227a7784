//! A content network's server in front of the peers: ends its clients' TLS under a name of its own, finds a peer by the `Host` of
//! each request in the attester's DNS, passes the request on, and answers when it has the peer's whole answer.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{self, Poll},
};

use anyhow::Context;
use attester::{flashlight::Sni, records::Name};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    client, header,
    http::request,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Cluster, rotation::Rotation, tls};

/// An edge. Bound before the attester that is to know it; serves once it knows the attester's DNS. Gone when dropped.
pub struct Edge {
    address: SocketAddr,
    folder: tempfile::TempDir,
    listener: Mutex<Option<TcpListener>>,
    acceptor: TlsAcceptor,
    shared: Arc<Shared>,
    stop: CancellationToken,
    _stop: DropGuard,
}

/// How an attester is told of an edge.
#[derive(Clone, Debug)]
pub struct Fronted {
    /// Where it is.
    pub edge: SocketAddr,
    /// The file of its CA.
    pub ca: PathBuf,
    /// What clients send of its name.
    pub sni: Sni,
    /// Whether admission takes a proof through it.
    pub required: bool,
}

/// The names of the peers to which an edge has passed a request on. Clones are the same set.
#[derive(Clone, Debug, Default)]
pub struct Passed(Arc<Mutex<BTreeSet<String>>>);

impl Passed {
    fn note(&self, host: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(host.to_owned());
    }

    /// Whether the peer of this name is among them.
    pub(crate) fn includes(&self, host: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(host)
    }
}

/// What is wrong with an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// It answers everything by itself, with 503.
    Refuses,
    /// It ends every answer after so many bytes of its body.
    Cuts(usize),
    /// It sends every request twice, and answers with what came second.
    Repeats,
    /// It takes the request inside for itself, and answers with what the destination says to it.
    Fetches,
    /// The same, and then it passes the request on, to which the destination says no.
    Overtakes,
}

/// One request that an edge took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The name in the ClientHello.
    pub sni: Option<String>,
    /// The peer that it was for.
    pub host: String,
}

#[derive(Default)]
struct Shared {
    trouble: Mutex<Trouble>,
    asked: Mutex<Vec<Asked>>,
    passed: Passed,
}

impl Edge {
    /// The name that its certificate is good for.
    pub const NAME: &str = "cdn.example";

    /// An edge on loopback, with a CA of its own.
    ///
    /// # Errors
    /// When there is no port, or no place for the CA's certificate.
    pub async fn bind() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("edge-").tempdir()?;
        let (certificate, key) = Self::credentials(folder.path())?;
        let acceptor = tls::acceptor(vec![certificate], key, &[])?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let stop = CancellationToken::new();
        Ok(Self {
            address: listener.local_addr()?,
            folder,
            listener: Mutex::new(Some(listener)),
            acceptor,
            shared: Arc::default(),
            _stop: stop.clone().drop_guard(),
            stop,
        })
    }

    /// A key and a certificate that is good for [`Edge::NAME`], as `edge.key` and `edge.crt` in `folder`, by a CA that is `ca.pem`.
    ///
    /// # Errors
    /// When they cannot be made or written.
    pub fn credentials(folder: &Path) -> anyhow::Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
        let (ca_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        std::fs::write(folder.join("ca.pem"), authority.self_signed(&ca_key)?.pem())?;
        let leaf = CertificateParams::new(vec![Self::NAME.to_owned()])?;
        let leaf = leaf.signed_by(&key, &Issuer::new(authority, ca_key))?;
        std::fs::write(folder.join("edge.crt"), leaf.pem())?;
        std::fs::write(folder.join("edge.key"), key.serialize_pem())?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok((leaf.der().clone(), key))
    }

    /// What an attester's configuration says of it.
    pub fn as_known(&self, sni: Sni) -> Fronted {
        Fronted {
            edge: self.address,
            ca: self.folder.path().join("ca.pem"),
            sni,
            required: true,
        }
    }

    /// Serves the peers of this cluster.
    ///
    /// # Errors
    /// When it serves already.
    pub fn serve(&self, cluster: &Cluster) -> anyhow::Result<()> {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
        let listener = listener.context("the edge serves already")?;
        let rotation = Rotation::new(cluster.addresses().dns, Name::parse(&cluster.options().rotation())?);
        let way = Arc::new(Way {
            rotation,
            port: cluster.port(),
            shared: Arc::clone(&self.shared),
        });
        let (acceptor, stop) = (self.acceptor.clone(), self.stop.clone());
        tokio::spawn(async move {
            while let Some(Ok((stream, _))) = stop.run_until_cancelled(listener.accept()).await {
                let client = client_of(acceptor.clone(), stream, Arc::clone(&way));
                let stop = stop.clone();
                tokio::spawn(async move { stop.run_until_cancelled(client).await });
            }
        });
        Ok(())
    }

    /// From now on this is wrong with it.
    pub fn set_trouble(&self, trouble: Trouble) {
        *self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// To whom it has passed something on.
    pub fn passed(&self) -> Passed {
        self.shared.passed.clone()
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The way from an edge to peers.
struct Way {
    rotation: Rotation,
    port: u16,
    shared: Arc<Shared>,
}

async fn client_of(acceptor: TlsAcceptor, stream: TcpStream, way: Arc<Way>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let sni = stream.get_ref().1.server_name().map(str::to_owned);
    let service = service_fn(|request| {
        let (way, sni) = (Arc::clone(&way), sni.clone());
        async move { Ok::<_, Infallible>(way.answer(request, sni).await) }
    });
    // A cut answer ends the connection with an error, as it shall.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
    Ok(())
}

impl Way {
    async fn answer(&self, request: Request<Incoming>, sni: Option<String>) -> Response<Answer> {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.unwrap_or_default().to_owned();
        let trouble = *self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = Asked { sni, host };
        let passed = self.pass(request, &asked.host, trouble).await;
        self.shared
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(asked);
        passed.unwrap_or_else(|error| {
            let mut answer = Response::new(Answer::whole(format!("{error:#}").into()));
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            answer
        })
    }

    async fn pass(&self, request: Request<Incoming>, host: &str, trouble: Trouble) -> anyhow::Result<Response<Answer>> {
        if trouble == Trouble::Refuses {
            let mut answer = Response::new(Answer::whole("the edge has a trouble".into()));
            *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            return Ok(answer);
        }
        let (head, body) = request.into_parts();
        let body = whole(body).await?;
        let addresses = self.rotation.addresses(&Name::parse(host)?).await?;
        let peer = *addresses.first().with_context(|| format!("{host} has no address"))?;
        let send = || async {
            let mut request = Request::builder().method(&head.method).uri(head.uri.clone());
            for (name, value) in head.headers.iter().filter(|(name, _)| !is_of_connection(name)) {
                request = request.header(name, value);
            }
            self.ask(peer, request.body(Full::new(body.clone()))?).await
        };
        if trouble == Trouble::Fetches {
            return fetched(&head, &body).await;
        }
        if trouble == Trouble::Overtakes {
            let fetched = fetched(&head, &body).await?;
            send().await?;
            return Ok(fetched);
        }
        self.shared.passed.note(host);
        let mut answer = send().await?;
        if trouble == Trouble::Repeats {
            answer = send().await?;
        }
        let (mut head, body) = answer.into_parts();
        let mut body = whole(body).await?;
        for name in OF_CONNECTION {
            head.headers.remove(name);
        }
        let Trouble::Cuts(length) = trouble else {
            return Ok(Response::from_parts(head, Answer::whole(body)));
        };
        head.headers.insert(header::CONTENT_LENGTH, body.len().into());
        body.truncate(length);
        Ok(Response::from_parts(head, Answer::cut(body)))
    }

    async fn ask(&self, peer: IpAddr, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
        let stream = TcpStream::connect((peer, self.port)).await?;
        let stream = tls::connector(&[])?.connect(tls::no_name(), stream).await?;
        let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender.send_request(request).await?)
    }
}

/// What the destination of an enproxy write answers to its body, as a server of enproxy would pass it on.
async fn fetched(head: &request::Parts, body: &[u8]) -> anyhow::Result<Response<Answer>> {
    let value = |name: &str| head.headers.get(name).with_context(|| format!("no {name}"));
    let mut destination = TcpStream::connect(value("x-enproxy-dest-addr")?.to_str()?).await?;
    destination.write_all(body).await?;
    let mut answer = Vec::new();
    destination.take(LARGEST as u64).read_to_end(&mut answer).await?;
    let mut response = Response::new(Answer::whole(answer.into()));
    let headers = response.headers_mut();
    headers.insert("x-enproxy-id", value("x-enproxy-id")?.clone());
    headers.insert("x-enproxy-eof", header::HeaderValue::from_static("true"));
    Ok(response)
}

/// The body of an answer.
struct Answer {
    data: Option<Bytes>,
    cut: Option<Cut>,
}

/// How far a cut answer is.
enum Cut {
    /// What there is of it is on its way.
    Soon,
    /// The connection goes.
    Now,
}

impl Answer {
    const fn whole(data: Bytes) -> Self {
        Self {
            data: Some(data),
            cut: None,
        }
    }

    const fn cut(data: Bytes) -> Self {
        Self {
            data: Some(data),
            cut: Some(Cut::Soon),
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match self.cut {
            None => Poll::Ready(None),
            // The server sends what it has when there is nothing to take, and with an error it would not.
            Some(Cut::Soon) => {
                self.cut = Some(Cut::Now);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Cut::Now) => Poll::Ready(Some(Err(io::Error::other("the edge cuts this")))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.data, &self.cut) {
            (Some(data), None) => SizeHint::with_exact(data.len() as u64),
            _ => SizeHint::default(),
        }
    }
}

async fn whole(body: Incoming) -> anyhow::Result<Bytes> {
    let collected = Limited::new(body, LARGEST)
        .collect()
        .await
        .map_err(anyhow::Error::from_boxed)?;
    Ok(collected.to_bytes())
}

fn is_of_connection(name: &header::HeaderName) -> bool {
    OF_CONNECTION.contains(name)
}

/// What belongs to one connection, not to a message that is passed on (RFC 9110, section 7.6.1), and the lengths that are made anew.
const OF_CONNECTION: [header::HeaderName; 3] = [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH];
const LARGEST: usize = 1 << 20;
