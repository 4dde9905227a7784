//! A tunnel by HTTP CONNECT, as Flashlight's "chained" clients open it.

use proto::tunnel::connect::{self, Reply, Request};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Job, account::Account, open, wire::Wire};
use crate::model::{Finding, Reason};

/// Opens a tunnel and carries the job through it. The request is sent only after the reply: a server of 2014 loses bytes
/// that come with the CONNECT.
pub(super) async fn carry<S>(
    wire: &mut Wire<S>,
    token: Option<&str>,
    device_id: String,
    job: &Job,
    account: &mut Account,
) -> Result<(), Finding>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = Request {
        destination: job.destination.to_string(),
        tokens: token.map(str::to_owned).into_iter().collect(),
        device_id: Some(device_id),
        dial_timeout: None,
    };
    let mut head = Vec::new();
    // The only part of it that a stranger chose is the token.
    request
        .encode(&mut head)
        .map_err(|error| Finding::new(Reason::TunnelToken, error.to_string()))?;
    wire.send(&head).await;
    match wire
        .head(connect::decode_reply)
        .await
        .map_err(|fault| fault.opening())?
    {
        Reply::Open(preamble) => {
            account.open();
            open::carry(wire, Some(preamble), job, account).await
        }
        // Such a server plays an ordinary web server to those who do not know the token; its page says nothing.
        Reply::Refused { status: 400, .. } => {
            let offered = if token.is_some() { "a" } else { "no" };
            Err(Finding::new(
                Reason::TunnelToken,
                format!("it answered 400 to a CONNECT with {offered} token"),
            ))
        }
        Reply::Refused { status, body } => Err(Finding::new(Reason::TunnelRefused, wire.refusal(status, body).await)),
    }
}
