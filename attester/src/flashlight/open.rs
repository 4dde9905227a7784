//! A flow over a connection that now carries nothing else: an opened CONNECT tunnel, or no tunnel at all.

use proto::tunnel::connect::Preamble;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

use super::{
    Job,
    account::Account,
    wire::{GRACE, Wire},
};
use crate::model::Finding;

/// Sends the request and takes what comes back.
///
/// After the last announced byte it waits for the end, for [`GRACE`] at most: the destination closes at once, and a peer
/// that forwards this costs no time, while one that appends bytes is noticed. The 2014 server does not forward it, which
/// is no failure: a client knows by the length that it has everything. With such a server each probe lasts that much longer, and
/// nothing is lost by it: the phases were measured before, and the receipt, which the agent sends when it has seen the last byte itself,
/// arrives meanwhile and is waited for from the wait's end on. To ask for it at once would end sooner and let such a server append what it
/// likes.
pub(super) async fn carry<S>(
    wire: &mut Wire<S>,
    mut preamble: Option<Preamble>,
    job: &Job,
    account: &mut Account,
) -> Result<(), Finding>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if wire.send(&job.request).await {
        account.sent();
    }
    loop {
        take(wire, &mut preamble, account)?;
        if account.is_complete() {
            break;
        }
        if let Err(closed) = wire.fill().await {
            account.take(preamble.map_or(&[], Preamble::finish))?;
            return account.ended(closed);
        }
    }
    let end = async {
        while wire.fill().await.is_ok() {
            take(wire, &mut preamble, account)?;
        }
        Ok(())
    };
    timeout(GRACE, end).await.unwrap_or(Ok(()))
}

fn take<S>(wire: &mut Wire<S>, preamble: &mut Option<Preamble>, account: &mut Account) -> Result<(), Finding>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let input = wire.unread();
    let parts = match preamble {
        Some(preamble) => preamble.strip(input),
        None => [&[][..], input],
    };
    let result = parts.into_iter().try_for_each(|part| account.take(part));
    wire.consume(input.len());
    result
}
