//! Which keys are taken: the one that is expected and really signs, whatever certificate it comes in.

use super::*;

async fn handshake(server: TlsAcceptor, pin: Pin) -> Result<(), Finding> {
    let (near, far) = tokio::io::duplex(1 << 16);
    let job = job(Protocol::Enproxy, 1);
    let mut account = Account::new(Stopwatch::start(), 1);
    let prober = Prober::new(None, Limits::default());
    let target = target(pin);
    let client = prober.through(near, &target, &job, ID.to_owned(), &mut account);
    let (result, _) = tokio::join!(client, async {
        if let Ok(mut peer) = server.accept(far).await {
            say(&mut peer, ok(EOF, b"1")).await;
        }
    });
    match result {
        Ok(()) => assert_eq!(account.pin, Some(pin)),
        Err(ref finding) if finding.reason == Reason::PinMismatch => assert_ne!(account.pin, Some(pin)),
        Err(_) => assert_eq!(account.pin, None),
    }
    result
}

#[tokio::test(start_paused = true)]
async fn keyman_certificates_pass_in_both_versions() {
    // What flashlight's own server speaks with -tls12, and the default of newer ones.
    let rsa_gcm = Some(CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256);
    for (key, versions, suite) in [
        (PeerKey::rsa(), [&TLS12], rsa_gcm),
        (PeerKey::rsa(), [&TLS13], None),
        (PeerKey::ecdsa(), [&TLS12], None),
        (PeerKey::ecdsa(), [&TLS13], None),
    ] {
        let server = key.acceptor_with(&versions, suite, key.key.clone_key());
        assert_eq!(handshake(server, key.pin()).await, Ok(()), "{versions:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_key_is_told_from_no_handshake() {
    let (key, other) = (PeerKey::ecdsa(), PeerKey::rsa());
    let finding = handshake(other.acceptor(), key.pin()).await.unwrap_err();
    assert_eq!(finding.reason, Reason::PinMismatch);
    assert!(
        finding.detail().contains(&other.pin().to_string()),
        "{}",
        finding.detail()
    );
    assert!(
        finding.detail().contains(&key.pin().to_string()),
        "{}",
        finding.detail()
    );
}

#[tokio::test(start_paused = true)]
async fn a_certificate_without_its_key_is_worth_nothing() {
    // The right certificate, which is public, and somebody else's signature.
    for versions in [[&TLS12], [&TLS13]] {
        let (key, other) = (PeerKey::ecdsa(), PeerKey::ecdsa());
        let server = key.acceptor_with(&versions, None, other.key.clone_key());
        let finding = handshake(server, key.pin()).await.unwrap_err();
        assert_eq!(finding.reason, Reason::TlsFailed, "{versions:?}");
        assert!(finding.detail().contains("BadSignature"), "{}", finding.detail());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_tls_fails_and_silence_times_out() {
    for (script, expected) in [
        (Some(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..]), Reason::TlsFailed),
        (Some(b""), Reason::TlsFailed),
        (None, Reason::TlsTimeout),
    ] {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let mut account = Account::new(Stopwatch::start(), 1);
        let prober = Prober::new(None, Limits::default());
        let (target, job) = (target(Pin::from_bytes([1; 32])), job(Protocol::Connect, 1));
        let client = prober.through(near, &target, &job, ID.to_owned(), &mut account);
        let (result, ()) = tokio::join!(client, async {
            match script {
                Some(bytes) => {
                    say(&mut far, bytes).await;
                    let _ = far.shutdown().await;
                }
                None => sleep(Duration::from_secs(60)).await,
            }
        });
        assert_eq!(result.unwrap_err().reason, expected);
    }
}
