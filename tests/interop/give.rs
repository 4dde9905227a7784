//! Foreign clients through our give mode server: the real enproxy client, peerscanner's check, a client like the chained dialer, and
//! curl.

use std::{net::SocketAddr, path::PathBuf};

use data_encoding::HEXLOWER;
use peer_agent::{
    Tap,
    give::{Config, Give},
};
use proto::ids::Pin;
use ring::digest::{SHA256, digest};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{clients::Fetched, pattern};

mod connect;
mod curl;
mod enproxy;
mod peerscanner;
mod web;

/// Our give mode server on loopback. Stops when dropped.
struct Peer {
    address: SocketAddr,
    pin: Pin,
    state: TempDir,
    _stop: DropGuard,
}

impl Peer {
    const HOST: &str = "peer-a.zone.test";

    fn start(change: impl FnOnce(&mut Config)) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            state: state.path().to_owned(),
            proxy_host: Some(Self::HOST.to_owned()),
            allow_private: true,
            ..Config::default()
        };
        change(&mut config);
        let give = Give::bind(config, Tap::disconnected()).unwrap();
        let (address, pin, stop) = (give.addr(), give.pin(), CancellationToken::new());
        tokio::spawn(give.run(stop.clone()));
        Self {
            address,
            pin,
            state,
            _stop: stop.drop_guard(),
        }
    }

    /// Its certificate, as a PEM file.
    fn certificate(&self) -> PathBuf {
        self.state.path().join("tls.crt")
    }
}

fn guarded_by_token(config: &mut Config) {
    config.token = Some(RIGHT.to_owned());
}

/// A file to be posted, and the folder that it is in.
fn file(length: usize) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body");
    std::fs::write(&path, pattern(length)).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

fn assert_whole(fetched: &Fetched, length: usize) {
    assert!(fetched.status == 200 && fetched.error.is_empty(), "{fetched:?}");
    let expected = HEXLOWER.encode(digest(&SHA256, &pattern(length)).as_ref());
    assert_eq!((fetched.length, &fetched.sha256), (length, &expected));
}

/// The token of CONNECT clients.
const RIGHT: &str = "sekrit";
