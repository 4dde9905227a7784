//! One request, one answer: the challenge is checked, crossed off and answered with a signed statement, or refused in a
//! line that says what is wrong.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_TYPE},
};
use hyper::body::Body;
use proto::{
    ClaimError,
    checked::{Signed, sign},
    claims::{Challenge, Role, Statement},
    ids::{Address, Destination, Digest, Thumbprint},
    key::SigningKey,
    probe,
    time::{Clock, Seconds, Timestamp},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::{debug, warn};

use crate::metrics::Metrics;

use super::{
    OriginKeys,
    arrivals::{Arrivals, NotRedeemed},
    body::{AnswerBody, BodySecret},
    head,
};

/// Everything that answers share.
pub(super) struct Answers {
    pub(super) destination: Destination,
    /// The first second whose challenges cannot be older than this origin.
    pub(super) accepts_from: Seconds,
    pub(super) keys: watch::Receiver<Arc<OriginKeys>>,
    pub(super) clock: Clock,
    pub(super) secret: BodySecret,
    pub(super) arrivals: Arrivals,
    pub(super) bodies: Arc<Semaphore>,
    pub(super) metrics: Arc<Metrics>,
}

impl Answers {
    /// Answers a request that came from `source`.
    pub(super) async fn answer<B: Body>(
        &self,
        request: Request<B>,
        source: SocketAddr,
    ) -> Result<Response<AnswerBody>, Infallible> {
        let source = plain(source);
        let answer = match self.redeem(&request, source) {
            Ok(redeemed) => self.state(redeemed).await,
            Err(refusal) => Err(refusal),
        };
        let answer = answer.unwrap_or_else(|refusal| {
            debug!(%source, status = refusal.status.as_u16(), told = refusal.told, "the origin refused a request");
            refusal.into_response()
        });
        self.metrics.origin_request(answer.status().as_u16());
        Ok(answer)
    }

    /// Checks a challenge in every respect and crosses it off.
    fn redeem<B: Body>(&self, request: &Request<B>, source: SocketAddr) -> Result<Redeemed, Refusal> {
        let encoded = encoded_challenge(request)?;
        let signed = Signed::<Challenge>::parse(&encoded).map_err(|error| {
            refusal(
                StatusCode::BAD_REQUEST,
                format!("the challenge cannot be read: {error}"),
            )
        })?;
        let (digest, now) = (signed.digest(), self.clock.now());
        let key = self
            .keys
            .borrow()
            .keyset
            .key(Role::Attester, signed.key_id(), now)
            .map_err(|error| not_signed(&error))?;
        let timely = signed.verify(&key).map_err(|error| not_signed(&error))?;
        let challenge = timely.at(now, Duration::ZERO).map_err(|error| untimely(&error))?;
        if challenge.audience != self.destination {
            let told = format!(
                "the challenge is for {}, and this is {}",
                challenge.audience, self.destination
            );
            return Err(refusal(StatusCode::FORBIDDEN, told));
        }
        if challenge.issued_at < self.accepts_from {
            let told =
                "the challenge may be older than this origin, which cannot know whether it was used: send a new one";
            return Err(refusal(StatusCode::GONE, told));
        }
        let place = Arc::clone(&self.bodies)
            .try_acquire_owned()
            .map_err(|_| refusal(StatusCode::SERVICE_UNAVAILABLE, "too many answers at a time: try again"))?;
        self.arrivals
            .redeem(challenge.nonce, source, now, challenge.expires.start())
            .map_err(|error| match error {
                NotRedeemed::Repeated => refusal(
                    StatusCode::CONFLICT,
                    "the challenge was answered before: it is single use",
                ),
                NotRedeemed::Full => {
                    warn!("the origin refuses challenges: it remembers as many as it may (origin.remembered)");
                    refusal(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "too many challenges are remembered: try again later",
                    )
                }
            })?;
        Ok(Redeemed {
            challenge,
            digest,
            issuer_key: key.thumbprint(),
            source,
            at: now,
            place,
        })
    }

    /// States what arrived, in an answer whose body nobody could foresee.
    async fn state(&self, redeemed: Redeemed) -> Result<Response<AnswerBody>, Refusal> {
        let Redeemed {
            challenge,
            digest,
            issuer_key,
            source,
            at,
            place,
        } = redeemed;
        let keystream = self
            .secret
            .keystream(&challenge.nonce, challenge.body_length)
            .map_err(|_| broken("body"))?;
        let statement = Statement {
            issuer: self.destination.clone(),
            subject: challenge.subject,
            audience: issuer_key,
            expires: at.plus(STATEMENT_LIFETIME).seconds(),
            issued_at: at.seconds(),
            probe: challenge.probe,
            nonce: challenge.nonce,
            challenge: digest,
            source: Address(source),
            arrived: at,
            body_length: challenge.body_length,
            body_digest: keystream.clone().digest().await.map_err(|_| broken("body"))?,
        };
        let key = self.keys.borrow().origin.clone();
        let statement = sign(&statement, &key).map_err(|_| broken("statement"))?;
        let headers = head::headers(&statement, challenge.body_length).map_err(|_| broken("head"))?;
        self.arrivals.answered(&challenge.nonce, Digest::of(&statement));
        let mut response = Response::new(AnswerBody::Keystream {
            rest: Box::new(keystream),
            _place: place,
        });
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// Whether the longest statement that `destination` can make, signed with `key`, leaves the head its exact length.
pub(super) fn longest_statement_fits(destination: &Destination, key: &SigningKey) -> Result<(), String> {
    let longest = Timestamp::from_micros(u64::MAX);
    let digest = Digest::from_bytes([0; 32]);
    let statement = Statement {
        issuer: destination.clone(),
        subject: key.public().thumbprint(),
        audience: key.public().thumbprint(),
        expires: longest.seconds(),
        issued_at: longest.seconds(),
        probe: proto::ids::ProbeId::from_bytes([0; 16]),
        nonce: proto::ids::Nonce::from_bytes([0; 32]),
        challenge: digest,
        source: Address(SocketAddr::from(([0xffff_u16; 8], u16::MAX))),
        arrived: longest,
        body_length: Challenge::MAX_BODY,
        body_digest: digest,
    };
    let signed = sign(&statement, key).map_err(|error| error.to_string())?;
    head::headers(&signed, Challenge::MAX_BODY)
        .map(|_| ())
        .map_err(|error| error.to_string())
}

struct Redeemed {
    challenge: Challenge,
    digest: Digest,
    issuer_key: Thumbprint,
    source: SocketAddr,
    at: Timestamp,
    place: OwnedSemaphorePermit,
}

struct Refusal {
    status: StatusCode,
    told: String,
}

impl Refusal {
    fn into_response(self) -> Response<AnswerBody> {
        let mut response = Response::new(AnswerBody::Text(Some(Bytes::from(self.told + "\n"))));
        *response.status_mut() = self.status;
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        response
    }
}

fn encoded_challenge<B: Body>(request: &Request<B>) -> Result<Vec<u8>, Refusal> {
    let told = if request.version() != Version::HTTP_11 {
        "a probe speaks HTTP/1.1"
    } else if request.method() != Method::GET {
        "a probe is a GET"
    } else if !request.body().is_end_stream() {
        "a probe has no body"
    } else {
        let path = request.uri().path_and_query().map_or("", |path| path.as_str());
        let absent = || {
            refusal(
                StatusCode::NOT_FOUND,
                "nothing is here but answers to /c/<challenge in base64url>",
            )
        };
        return probe::challenge_of(path).ok_or_else(absent);
    };
    Err(refusal(StatusCode::BAD_REQUEST, told))
}

fn not_signed(error: &ClaimError) -> Refusal {
    refusal(
        StatusCode::FORBIDDEN,
        format!("the challenge is not signed by an attester of this origin: {error}"),
    )
}

fn untimely(error: &ClaimError) -> Refusal {
    let status = match error {
        ClaimError::Expired { .. } => StatusCode::GONE,
        _ => StatusCode::FORBIDDEN,
    };
    refusal(status, format!("the challenge does not hold now: {error}"))
}

fn broken(part: &str) -> Refusal {
    warn!(part, "the origin could not make an answer");
    refusal(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("the origin could not make the answer's {part}"),
    )
}

fn refusal(status: StatusCode, told: impl Into<String>) -> Refusal {
    Refusal {
        status,
        told: told.into(),
    }
}

/// The address as claims write it: a mapped IPv4 address as itself, and without IPv6's scope and flow.
fn plain(source: SocketAddr) -> SocketAddr {
    SocketAddr::new(source.ip().to_canonical(), source.port())
}

/// A prober checks a statement when the answer has come, and the longest answer takes a minute.
const STATEMENT_LIFETIME: Duration = Duration::from_secs(300);
