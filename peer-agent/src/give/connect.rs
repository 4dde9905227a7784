//! CONNECT: the client's connection becomes the tunnel.

use std::{io, net::IpAddr, pin::pin, time::Duration};

use bytes::BytesMut;
use proto::{
    key::sha256,
    tunnel::connect::{OPEN, Request, encode_refusal},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    select,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Shared,
    activity::Activity,
    conn::{Conn, ConnError},
    dial::{BoxStream, explain},
    pacer::Pacer,
    quota::Seat,
    tapped::tapped,
    web::Answer,
};

/// Serves the one request that a connection can be turned into a tunnel with.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Shared,
    mut conn: Conn<S>,
    request: Request,
    source: IpAddr,
) -> Result<(), ConnError> {
    let mut out = Vec::new();
    if token_fits(shared.config.token.as_deref(), &request.tokens) {
        match open(shared, &request, source).await {
            Ok((stream, _seat)) => {
                conn.send(OPEN).await?;
                let (client, early) = conn.into_parts();
                relay(shared, client, early, stream).await;
                return Ok(());
            }
            Err((status, text)) => encode_refusal(status, &text, &mut out),
        }
    } else {
        // A web server knows no CONNECT, and does not tell a prober what is missing.
        shared
            .site
            .encode(Answer::Bad, shared.clock.now(), false, false, &mut out);
    }
    conn.send(&out).await?;
    conn.close().await;
    Ok(())
}

async fn open(shared: &Shared, request: &Request, source: IpAddr) -> Result<(BoxStream, Seat), (u16, String)> {
    let Some(seat) = shared.seats.take(source) else {
        return Err((503, "This peer has too many open tunnels: try again later".to_owned()));
    };
    let (destination, own) = (request.destination.as_str(), shared.config.limits.dial);
    let limit = request.dial_timeout.map_or(own, |asked| asked.min(own));
    match dial(shared, destination, limit).await {
        Some(Ok(stream)) => Ok((tapped(stream, &shared.tap, destination), seat)),
        Some(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => Err((403, explain(&error))),
        Some(Err(error)) => Err((502, explain(&error))),
        None => Err((502, format!("no connection within {} s", limit.as_secs_f32()))),
    }
}

/// Dials; `None` when it takes too long. Without any time there is no dial either: one that is instant would be in time.
async fn dial(shared: &Shared, destination: &str, limit: Duration) -> Option<io::Result<BoxStream>> {
    if limit.is_zero() {
        return None;
    }
    timeout(limit, shared.dialer.dial(destination)).await.ok()
}

/// Compares digests, so that the time it takes says nothing about the token.
fn token_fits(wanted: Option<&str>, offered: &[String]) -> bool {
    wanted.is_none_or(|wanted| {
        let wanted = sha256(wanted.as_bytes());
        offered.iter().any(|token| sha256(token.as_bytes()) == wanted)
    })
}

/// Carries bytes both ways until both directions have ended, one is lost, or nothing has moved for the idle time; once the
/// destination has ended, or takes no more, the linger time is enough. One that has ended and goes on reading is sent to for as long
/// as the client sends.
async fn relay<S: AsyncRead + AsyncWrite + Unpin>(shared: &Shared, client: S, early: BytesMut, destination: BoxStream) {
    let limits = &shared.config.limits;
    let (mut client_reader, mut client_writer) = tokio::io::split(client);
    let (mut reader, mut writer) = tokio::io::split(destination);
    let activity = Activity::new();
    let pacer = || Pacer::new(shared.config.rate);
    let mut up = pin!(async {
        writer.write_all(&early).await?;
        // A stream of the host's may keep them back until then.
        writer.flush().await?;
        copy(&mut client_reader, &mut writer, pacer(), &activity).await
    });
    let mut down = pin!(copy(&mut reader, &mut client_writer, pacer(), &activity));
    let (mut up_done, mut down_done) = (false, false);
    let mut ending: Option<Instant> = None;
    while !(up_done && down_done) {
        let deadline = match ending {
            Some(began) => activity.last().max(began) + limits.linger.min(limits.idle),
            None => activity.last() + limits.idle,
        };
        if deadline <= Instant::now() {
            break;
        }
        select! {
            result = &mut up, if !up_done => {
                up_done = true;
                // A client that is done sending may still be reading; one that is lost, or a destination that takes no more, is not.
                if result.is_err() {
                    ending.get_or_insert_with(Instant::now);
                }
            }
            result = &mut down, if !down_done => {
                if result.is_err() {
                    break;
                }
                down_done = true;
                ending.get_or_insert_with(Instant::now);
            }
            // A byte may have moved since: then it goes on.
            () = sleep_until(deadline) => {}
        }
    }
}

/// Copies until end of stream, and passes that on.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut pacer: Pacer,
    activity: &Activity,
) -> io::Result<()> {
    let mut buffer = vec![0; pacer.portion(BUFFER)];
    loop {
        let length = from.read(&mut buffer).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..length]).await?;
        to.flush().await?;
        activity.touch();
        pacer.spend(length).await;
    }
}

/// Bytes copied at a time: one TLS record.
const BUFFER: usize = 16 * 1024;
