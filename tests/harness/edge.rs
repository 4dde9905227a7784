//! A content network's server in front of the peers: ends its clients' TLS under a name of its own, finds a peer by the `Host` of
//! each request in the attester's DNS, passes the request on, and answers when it has the peer's whole answer.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context;
use attester::{flashlight::Sni, records::Name};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, StatusCode, body::Incoming, client, header, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
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
    async fn answer(&self, request: Request<Incoming>, sni: Option<String>) -> Response<Full<Bytes>> {
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
            let mut answer = Response::new(Full::from(format!("{error:#}")));
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            answer
        })
    }

    async fn pass(
        &self,
        request: Request<Incoming>,
        host: &str,
        trouble: Trouble,
    ) -> anyhow::Result<Response<Full<Bytes>>> {
        if trouble == Trouble::Refuses {
            let mut answer = Response::new(Full::from("the edge has a trouble"));
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
        let mut answer = send().await?;
        if trouble == Trouble::Repeats {
            answer = send().await?;
        }
        let (mut head, body) = answer.into_parts();
        let mut body = whole(body).await?;
        for name in OF_CONNECTION {
            head.headers.remove(name);
        }
        if let Trouble::Cuts(length) = trouble {
            head.headers.insert(header::CONTENT_LENGTH, body.len().into());
            body.truncate(length);
        }
        Ok(Response::from_parts(head, Full::new(body)))
    }

    async fn ask(&self, peer: IpAddr, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
        let stream = TcpStream::connect((peer, self.port)).await?;
        let stream = tls::connector(&[])?.connect(tls::no_name(), stream).await?;
        let (mut sender, connection) = client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender.send_request(request).await?)
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
