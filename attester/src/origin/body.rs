//! The body of an answer: bytes that nobody can know before the origin has sent them, and that the origin need not keep.
//!
//! HKDF-SHA-256 (RFC 5869) makes a key of the origin's secret and the challenge's nonce; the body is the ChaCha20
//! (RFC 8439) key stream of that key, taken as the encryption of zeros in chunks, each under its own number. The tags
//! are thrown away: nobody decrypts this, and its digest is signed.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use proto::ids::{Digest, Nonce};
use rand::CryptoRng;
use ring::{aead, digest, error::Unspecified, hkdf};
use tokio::sync::OwnedSemaphorePermit;

/// What bodies are made from. It lives as long as the process: a restarted origin answers with other bodies.
pub(super) struct BodySecret(hkdf::Prk);

impl BodySecret {
    pub(super) fn new(rng: &mut impl CryptoRng) -> Self {
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        Self(hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(&secret))
    }

    /// The body that answers the challenge with this nonce.
    pub(super) fn keystream(&self, nonce: &Nonce, length: u64) -> Result<Keystream, Unspecified> {
        let info = [nonce.as_bytes().as_slice()];
        let key = aead::UnboundKey::from(self.0.expand(&info, &aead::CHACHA20_POLY1305)?);
        let key = aead::LessSafeKey::new(key);
        Ok(Keystream {
            key,
            chunk: 0,
            left: length,
        })
    }
}

/// The rest of a body, made as it is taken.
#[derive(Clone)]
pub(super) struct Keystream {
    key: aead::LessSafeKey,
    chunk: u64,
    left: u64,
}

impl Keystream {
    /// The next chunk; `None` after the last.
    pub(super) fn next_chunk(&mut self) -> Result<Option<Bytes>, Unspecified> {
        if self.left == 0 {
            return Ok(None);
        }
        let length = usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK);
        let mut number = [0; aead::NONCE_LEN];
        number[4..].copy_from_slice(&self.chunk.to_be_bytes());
        let mut chunk = vec![0; length];
        let nonce = aead::Nonce::assume_unique_for_key(number);
        let _tag = self
            .key
            .seal_in_place_separate_tag(nonce, aead::Aad::empty(), &mut chunk)?;
        self.chunk += 1;
        self.left -= length as u64;
        Ok(Some(chunk.into()))
    }

    /// SHA-256 of the rest. Gives way to other tasks now and then: the longest body takes milliseconds.
    pub(super) async fn digest(mut self) -> Result<Digest, Unspecified> {
        let mut context = digest::Context::new(&digest::SHA256);
        while let Some(chunk) = self.next_chunk()? {
            context.update(&chunk);
            if self.chunk.is_multiple_of(CHUNKS_AT_A_TIME) {
                tokio::task::yield_now().await;
            }
        }
        Digest::try_from(context.finish().as_ref()).map_err(|_| Unspecified)
    }
}

/// An answer's body: a short text, or a key stream together with its place among the bodies sent at a time.
pub(super) enum AnswerBody {
    Text(Option<Bytes>),
    Keystream {
        rest: Box<Keystream>,
        /// Held until the body is sent or dropped.
        _place: OwnedSemaphorePermit,
    },
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let chunk = match self.get_mut() {
            Self::Text(text) => Ok(text.take()),
            Self::Keystream { rest, .. } => rest.next_chunk(),
        };
        let broken = |Unspecified| std::io::Error::other("the key stream ended early");
        Poll::Ready(chunk.map_err(broken).transpose().map(|chunk| chunk.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Text(text) => text.as_ref().map_or(0, |text| text.len() as u64),
            Self::Keystream { rest, .. } => rest.left,
        })
    }
}

const SALT: &[u8] = b"peer-verification origin body v1";
const CHUNK: usize = 16 << 10;
/// 256 KiB: a good fraction of a millisecond.
const CHUNKS_AT_A_TIME: u64 = 16;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proto::key::sha256;
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn whole(secret: &BodySecret, nonce: u8, length: u64) -> Vec<u8> {
        let mut keystream = secret.keystream(&Nonce::from_bytes([nonce; 32]), length).unwrap();
        let mut body = Vec::new();
        while let Some(chunk) = keystream.next_chunk().unwrap() {
            assert!(chunk.len() <= CHUNK);
            body.extend(chunk);
        }
        body
    }

    #[tokio::test]
    async fn a_body_is_as_long_as_asked_and_its_digest_is_its_own() {
        let secret = BodySecret::new(&mut StdRng::seed_from_u64(1));
        let chunk = CHUNK as u64;
        for length in [0, 1, 1024, chunk - 1, chunk, chunk + 1, 300_000] {
            let body = whole(&secret, 7, length);
            assert_eq!(body.len() as u64, length);
            let keystream = secret.keystream(&Nonce::from_bytes([7; 32]), length).unwrap();
            assert_eq!(
                keystream.digest().await.unwrap(),
                Digest::from_bytes(sha256(&body)),
                "{length}"
            );
        }
    }

    #[test]
    fn no_two_chunks_nonces_or_secrets_give_the_same_bytes() {
        let secret = BodySecret::new(&mut StdRng::seed_from_u64(1));
        let body = whole(&secret, 7, 2 * CHUNK as u64);
        assert_ne!(body[..CHUNK], body[CHUNK..]);
        assert_ne!(body, whole(&secret, 8, 2 * CHUNK as u64));
        let restarted = BodySecret::new(&mut StdRng::seed_from_u64(2));
        assert_ne!(body, whole(&restarted, 7, 2 * CHUNK as u64));
        assert_eq!(body[..1000], whole(&secret, 7, 1000));
    }
}
