//! gRPC health checking (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>): SERVING while new work is taken
//! and every part is well.

use std::{convert::Infallible, pin::Pin, task};

use hyper::{Response, body::Incoming};
use proto::attest::peer_verification_server::SERVICE_NAME;
use tokio::sync::watch;
use tokio_stream::{Stream, wrappers::WatchStream};
use tonic::{Status, body::Body, codegen::Service};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health as HealthService, HealthServer},
};

use super::Health;

/// Where its methods are.
pub(super) const PREFIX: &str = "/grpc.health.v1.Health/";

/// Answers a call.
pub(super) async fn answer(
    health: watch::Receiver<Health>,
    request: http::Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let mut server = HealthServer::new(Checks { health }).max_decoding_message_size(MOST_MESSAGE);
    server.call(request).await
}

struct Checks {
    health: watch::Receiver<Health>,
}

#[tonic::async_trait]
impl HealthService for Checks {
    type WatchStream = Watch;

    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        if !is_known(&request) {
            return Err(Status::not_found("there is no such service here"));
        }
        let status = of(&self.health.borrow());
        Ok(tonic::Response::new(response(status)))
    }

    async fn watch(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        Ok(tonic::Response::new(Watch {
            known: is_known(&request),
            levels: WatchStream::new(self.health.clone()),
            last: None,
        }))
    }
}

/// The status now, and again whenever it changes.
struct Watch {
    known: bool,
    levels: WatchStream<Health>,
    last: Option<ServingStatus>,
}

impl Stream for Watch {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<Option<Self::Item>> {
        loop {
            let Some(health) = task::ready!(Pin::new(&mut self.levels).poll_next(cx)) else {
                return task::Poll::Ready(None);
            };
            // A service that is not known may become so: the call stays open.
            let status = if self.known {
                of(&health)
            } else {
                ServingStatus::ServiceUnknown
            };
            if self.last.replace(status) != Some(status) {
                return task::Poll::Ready(Some(Ok(response(status))));
            }
        }
    }
}

fn is_known(request: &tonic::Request<HealthCheckRequest>) -> bool {
    ["", SERVICE_NAME].contains(&request.get_ref().service.as_str())
}

fn of(health: &Health) -> ServingStatus {
    if health.is_ready() && health.is_well() {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

/// A name of a service.
const MOST_MESSAGE: usize = 1024;
