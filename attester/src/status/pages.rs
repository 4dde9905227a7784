//! What each path answers.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header};
use serde::Serialize;
use tokio::sync::watch;
use tonic::body::Body;

use crate::metrics::Metrics;

use super::{Health, Stage, grpc};

/// What the pages are made from.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    pub(super) health: watch::Receiver<Health>,
    pub(super) metrics: Arc<Metrics>,
}

impl Pages {
    pub(super) async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        if request.uri().path().starts_with(grpc::PREFIX) {
            return grpc::answer(self.health, request).await;
        }
        Ok(self.page(request.method(), request.uri().path()))
    }

    fn page(&self, method: &Method, path: &str) -> Response<Body> {
        let page: fn(&Self) -> Response<Body> = match path {
            "/healthz" => Self::healthz,
            "/readyz" => Self::readyz,
            "/metrics" => Self::metrics,
            _ => return text(StatusCode::NOT_FOUND, "here are /healthz, /readyz and /metrics\n"),
        };
        if matches!(*method, Method::GET | Method::HEAD) {
            return page(self);
        }
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "this is read with GET\n");
        let allowed = header::HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(header::ALLOW, allowed);
        refused
    }

    /// Whether it lives, and how each part is. While it starts or stops nothing is held against it: whoever kills what is
    /// unwell would keep it from ever getting well.
    fn healthz(&self) -> Response<Body> {
        let health = *self.health.borrow();
        let (code, status) = match (health.stage, health.is_well()) {
            (Stage::Starting, _) => (StatusCode::OK, "starting"),
            (Stage::Draining, _) => (StatusCode::OK, "draining"),
            (Stage::Serving, true) => (StatusCode::OK, "ok"),
            (Stage::Serving, false) => (StatusCode::SERVICE_UNAVAILABLE, "unwell"),
        };
        report(code, status, health)
    }

    /// Whether it takes new work.
    fn readyz(&self) -> Response<Body> {
        let health = *self.health.borrow();
        let status = match health.stage {
            Stage::Serving if health.is_ready() => return report(StatusCode::OK, "ready", health),
            Stage::Serving if !health.answering => "dns does not answer yet",
            Stage::Serving => "the keyset does not hold",
            Stage::Starting => "starting",
            Stage::Draining => "draining",
        };
        report(StatusCode::SERVICE_UNAVAILABLE, status, health)
    }

    fn metrics(&self) -> Response<Body> {
        reply(StatusCode::OK, Metrics::MEDIA_TYPE, self.metrics.text())
    }
}

#[derive(Serialize)]
struct Report {
    status: &'static str,
    /// What an operator does about it, where that is the same in every case.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
    #[serde(flatten)]
    health: Health,
}

fn report(code: StatusCode, status: &'static str, health: Health) -> Response<Body> {
    // Before the end of a start nobody has looked.
    let ended = matches!(health.stage, Stage::Serving) && !health.keyset;
    let report = Report {
        status,
        remedy: ended.then_some(SIGN_AGAIN),
        health,
    };
    let body = serde_json::to_string(&report).unwrap_or_else(|_| format!("{{\"status\":\"{status}\"}}"));
    reply(code, "application/json", body + "\n")
}

fn text(code: StatusCode, body: &'static str) -> Response<Body> {
    reply(code, "text/plain; charset=utf-8", body.to_owned())
}

fn reply(code: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(body))));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

const SIGN_AGAIN: &str = "agents believe nothing that this attester signs, and no peer can be proved: run attester keys sign (with --root FILE where the root key is elsewhere), and see that this machine's clock is right";
