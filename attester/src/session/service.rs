//! The gRPC service under the session: one method, one stream a connection.
//!
//! Written out instead of using the generated server, for one reason: the generated one fixes tonic's default buffers,
//! 8 KiB each way for every stream, and a session is mostly silent.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use proto::attest::{ToAgent, ToAttester, peer_verification_server::SERVICE_NAME};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codec::{BufferSettings, Codec},
    codegen::{BoxFuture, Service, http},
    server::{Grpc, StreamingService},
};
use tonic_prost::{ProstDecoder, ProstEncoder};

use super::{
    Shared,
    connection::Connection,
    conversation::Conversation,
    link::{Link, OUTBOUND, Outgoing},
    pace::Pace,
};

/// The service as tonic's server wants it.
#[derive(Clone)]
pub(super) struct PeerVerification {
    pub(super) shared: Arc<Shared>,
}

impl Service<http::Request<Body>> for PeerVerification {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match self.begin(&request) {
            Err(status) => Box::pin(async move { Ok(status.into_http()) }),
            Ok(begin) => Box::pin(async move {
                let mut grpc = Grpc::new(SmallBuffers).apply_max_message_size_config(Some(MAX_MESSAGE), None);
                Ok(grpc.streaming(begin, request).await)
            }),
        }
    }
}

impl PeerVerification {
    fn begin(&self, request: &http::Request<Body>) -> Result<Begin, Status> {
        let method = request
            .uri()
            .path()
            .strip_prefix('/')
            .and_then(|path| path.strip_prefix(SERVICE_NAME));
        if method != Some("/Session") {
            return Err(Status::unimplemented(format!(
                "only /{SERVICE_NAME}/Session is served here"
            )));
        }
        let connection = request.extensions().get::<Arc<Connection>>();
        let connection = connection.ok_or_else(|| Status::internal("the connection is not known"))?;
        if !connection.open_stream() {
            return Err(Status::failed_precondition(
                "one session a connection: open another connection for another session",
            ));
        }
        if self.shared.stopping.is_cancelled() {
            return Err(Status::unavailable("the attester stops: connect again in a moment"));
        }
        Ok(Begin {
            shared: Arc::clone(&self.shared),
            connection: Arc::clone(connection),
        })
    }
}

/// Begins a session on a stream.
struct Begin {
    shared: Arc<Shared>,
    connection: Arc<Connection>,
}

impl StreamingService<ToAttester> for Begin {
    type Response = ToAgent;
    type ResponseStream = ReceiverStream<Outgoing>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<ToAttester>>) -> Self::Future {
        let (outbound, outgoing) = mpsc::channel(OUTBOUND);
        let conversation = Conversation {
            shared: Arc::clone(&self.shared),
            connection: Arc::clone(&self.connection),
            link: Arc::new(Link::new(self.shared.next_id(), outbound, self.shared.keys.clone())),
            inbound: request.into_inner(),
            pace: Pace::new(Instant::now(), self.shared.limits.pace, BURST),
            peer: None,
            asked: None,
        };
        self.shared.tasks.spawn(conversation.run());
        std::future::ready(Ok(Response::new(ReceiverStream::new(outgoing))))
    }
}

/// prost's codec with buffers of the size of a session's messages.
pub(super) struct SmallBuffers;

impl Codec for SmallBuffers {
    type Encode = ToAgent;
    type Decode = ToAttester;
    type Encoder = ProstEncoder<ToAgent>;
    type Decoder = ProstDecoder<ToAttester>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(buffers())
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(buffers())
    }
}

/// They begin with 512 bytes, and yield to the connection when 32 KiB wait.
fn buffers() -> BufferSettings {
    BufferSettings::new(512, 32 << 10)
}

/// A claim of 4 KiB and what goes beside it, with room for a later version.
pub(super) const MAX_MESSAGE: usize = 16 << 10;
/// Acknowledgements and receipts of all probes that may be pending, twice over, and some.
pub(super) const BURST: u32 = 40;
