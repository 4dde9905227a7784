//! Foreign clients through our give mode server: the real enproxy client, peerscanner's check, a client like the chained dialer, and
//! curl.

use std::{
    fs::{self, Permissions},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
};

use data_encoding::HEXLOWER;
use peer_agent::{
    Tap,
    give::{Config, Give},
};
use proto::ids::Pin;
use ring::digest::{SHA256, digest};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{clients::Fetched, pattern, servers::KEYMAN_KEY};

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
        Self::with(change, |give| give)
    }

    /// The second changes the server itself.
    fn with(change: impl FnOnce(&mut Config), finish: impl FnOnce(Give) -> Give) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            state: state.path().to_owned(),
            proxy_host: Some(Self::HOST.to_owned()),
            allow_private: true,
            ..Config::default()
        };
        change(&mut config);
        let give = finish(Give::bind(config, Tap::disconnected()).unwrap());
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

/// With such a key as flashlight's, before a key is made.
fn with_rsa_key(config: &mut Config) {
    let path = config.state.join("tls.key");
    fs::write(&path, KEYMAN_KEY).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
}

/// Our server with the key that it makes, for Go clients with the TLS of today, and with an RSA key, for those with that of 2014. Beside
/// each, the flags of its clients.
fn by_either_tls(change: impl Fn(&mut Config)) -> [(Peer, &'static [&'static str]); 2] {
    let of_2014 = Peer::start(|config| {
        with_rsa_key(config);
        change(config);
    });
    [(Peer::start(change), &[]), (of_2014, TLS_OF_2014)]
}

/// A file to be posted, and the folder that it is in.
fn file(length: usize) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body");
    fs::write(&path, pattern(length)).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

fn assert_whole(fetched: &Fetched, length: usize) {
    assert!(fetched.status == 200 && fetched.error.is_empty(), "{fetched:?}");
    let expected = HEXLOWER.encode(digest(&SHA256, &pattern(length)).as_ref());
    assert_eq!((fetched.length, &fetched.sha256), (length, &expected));
}

/// What limits a Go client to the TLS of 2014. Of its suites our server has one, and that for an RSA key alone.
const TLS_OF_2014: &[&str] = &["-tls12"];
/// The token of CONNECT clients.
const RIGHT: &str = "sekrit";
