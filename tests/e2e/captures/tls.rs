//! The first bytes of TLS clients of 2014 and 2015, which name no server and offer no ALPN, to the give mode server's own TLS.

use peer_agent::{
    give::{Config, Give},
    tap::Tap,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use super::expected::captures;

/// Whole, and byte by byte. Not at every split point: reading records is rustls' part, what is ours is that a handshake like this
/// one is agreed to.
#[tokio::test]
async fn hellos_without_a_server_name_are_answered() {
    let state = tempfile::tempdir().unwrap();
    let config = Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        state: state.path().to_owned(),
        ..Config::default()
    };
    let give = Give::bind(config, Tap::disconnected()).unwrap();
    let (address, stop) = (give.addr(), CancellationToken::new());
    let running = tokio::spawn(give.run(stop.clone()));
    let mut hellos = 0;
    for capture in captures() {
        for conn in &capture.connections {
            let Some(hello) = &conn.hello else { continue };
            assert_eq!(
                (hello.server_name, hello.alpn, hello.tls13),
                (false, false, true),
                "{}",
                capture.name
            );
            for step in [conn.client.len(), 1] {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                for piece in conn.client.chunks(step) {
                    stream.write_all(piece).await.unwrap();
                }
                let mut record = [0; 6];
                stream.read_exact(&mut record).await.unwrap();
                // A handshake record that begins with a ServerHello, and no alert.
                assert_eq!((record[0], record[5]), (22, 2), "{} in pieces of {step}", capture.name);
            }
            hellos += 1;
        }
    }
    assert_eq!(hellos, 3);
    stop.cancel();
    running.await.unwrap();
}
