//! For the `fuzz` crate and the tests over captures, and no part of the interface: a probe over any stream, as if TCP and TLS
//! stood already.

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Exchange, Job, Prober, Stopwatch, Target, account::Account};

/// Opens a tunnel with this id over `stream` and carries one request through it.
pub async fn exchange<S>(prober: &Prober, target: &Target, job: &Job, id: &str, stream: S) -> Exchange
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut account = Account::new(Stopwatch::start(), job.expected_down);
    let result = prober.tunnel(stream, target, job, id.to_owned(), &mut account).await;
    account.close(target.address, job, result.err())
}

/// Carries the same request without a tunnel, as a control probe does.
pub async fn direct<S>(prober: &Prober, target: &Target, job: &Job, stream: S) -> Exchange
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut account = Account::new(Stopwatch::start(), job.expected_down);
    let result = prober.without_tunnel(stream, job, &mut account).await;
    account.close(target.address, job, result.err())
}
