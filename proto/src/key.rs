//! Ed25519 keys (RFC 8032): signing, strict verification, text and PEM forms.
//!
//! Verification is `verify_strict` only. With a small-order public key the permissive equation accepts forged
//! signatures ("Taming the many EdDSAs", Chalkias et al. 2020, section 3), so such keys are refused when they are read.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use ed25519_dalek::{
    Signer, VerifyingKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, spki::der::pem::LineEnding},
};
use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::ids::{PeerId, Thumbprint, base32, from_base32};

/// An Ed25519 public key that is not weak (of small order).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads the 32 bytes of a key.
    ///
    /// # Errors
    /// When they are no point of the curve, or one of small order, or not the one encoding of a point (RFC 8032, section 5.1.3).
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
        if key.is_weak() {
            Err(KeyError::Weak)
        } else if is_reduced(bytes) {
            Ok(Self(key))
        } else {
            Err(KeyError::NotAPoint)
        }
    }

    /// The key's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// SHA-256 of the key: its COSE key id.
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::from_bytes(sha256(self.as_bytes()))
    }

    /// The id of the peer that holds this key.
    pub fn peer_id(&self) -> PeerId {
        self.thumbprint().peer_id()
    }

    /// Checks a signature over `message`, strictly.
    ///
    /// # Errors
    /// When the signature was not made by this key over this message.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), KeyError> {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.0
            .verify_strict(message, &signature)
            .map_err(|_| KeyError::Signature)
    }
}

/// `ed25519:<base32>`.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", base32(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = text.strip_prefix(PREFIX).and_then(from_base32).ok_or(KeyError::Text)?;
        Self::from_bytes(&bytes.try_into().map_err(|_| KeyError::Text)?)
    }
}

/// An Ed25519 private key; wiped from memory when dropped, never printed.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A fresh key from a cryptographic generator.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self(ed25519_dalek::SigningKey::from_bytes(&seed))
    }

    /// The key of a 32-byte seed (RFC 8032, section 5.1.5).
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// Reads a PKCS#8 PEM document (RFC 8410).
    ///
    /// # Errors
    /// When the text is no PKCS#8 PEM of an Ed25519 key, or its public half does not match.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        ed25519_dalek::SigningKey::from_pkcs8_pem(text)
            .map(Self)
            .map_err(|_| KeyError::Pem)
    }

    /// Writes a PKCS#8 PEM document.
    ///
    /// # Errors
    /// Never for a valid key; the encoder's error otherwise.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        self.0.to_pkcs8_pem(LineEnding::LF).map_err(|_| KeyError::Pem)
    }

    /// Reads a key file, which only its owner may be able to read.
    ///
    /// # Errors
    /// When the file cannot be read, others can read it (on Unix), or it holds no key.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        refuse_open_permissions(path)?;
        let text = std::fs::read_to_string(path).map_err(|source| KeyError::read(path, source))?;
        Self::from_pem(&Zeroizing::new(text)).map_err(|_| KeyError::File { path: path.to_owned() })
    }

    /// Writes a new key file with mode 0600 (on Windows: whatever its folder grants; keep it in the user's profile).
    ///
    /// # Errors
    /// When the file exists (it is never overwritten) or cannot be written.
    pub fn write_new(&self, path: &Path) -> Result<(), KeyError> {
        use io::Write;

        let pem = self.to_pem()?;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(|source| KeyError::write(path, source))?;
        file.write_all(pem.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(|source| KeyError::write(path, source))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public())
    }
}

/// SHA-256 (ring).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    out
}

/// A key that cannot be used, or a signature that does not hold.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The bytes are no curve point.
    #[error("these 32 bytes are not an Ed25519 public key")]
    NotAPoint,
    /// A small-order key, for which anyone can forge signatures.
    #[error("this public key is weak (small order): generate a new one")]
    Weak,
    /// Not the text form of a key.
    #[error("not a public key: expected ed25519: and 52 characters of lower-case base32")]
    Text,
    /// Not a PEM document of a key.
    #[error("not an Ed25519 private key in PKCS#8 PEM form")]
    Pem,
    /// A key file without a key.
    #[error("{} holds no Ed25519 private key in PKCS#8 PEM form", path.display())]
    File {
        /// The file.
        path: PathBuf,
    },
    /// Others can read a key file.
    #[error("{} can be read by others (mode {mode:03o}): run chmod 600 {}", path.display(), path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A key file cannot be read.
    #[error("cannot read the key file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key file cannot be written.
    #[error("cannot write the key file {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The signature does not hold.
    #[error("the signature was not made by this key")]
    Signature,
}

impl KeyError {
    fn read(path: &Path, source: io::Error) -> Self {
        Self::Read {
            path: path.to_owned(),
            source,
        }
    }

    fn write(path: &Path, source: io::Error) -> Self {
        Self::Write {
            path: path.to_owned(),
            source,
        }
    }
}

/// Whether the coordinate is below p = 2^255 - 19. The curve's library takes it modulo p, so that some points had two
/// encodings, and a key two thumbprints.
fn is_reduced(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    *low < 0xed || middle.iter().any(|byte| *byte != 0xff) || high & 0x7f != 0x7f
}

#[cfg(unix)]
fn refuse_open_permissions(path: &Path) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt;

    let mode = std::fs::metadata(path)
        .map_err(|source| KeyError::read(path, source))?
        .permissions()
        .mode()
        & 0o777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(KeyError::Permissions {
            path: path.to_owned(),
            mode,
        })
    }
}

#[cfg(not(unix))]
fn refuse_open_permissions(_path: &Path) -> Result<(), KeyError> {
    Ok(())
}

const PREFIX: &str = "ed25519:";

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn text_and_pem_round_trip() {
        let key = SigningKey::generate(&mut StdRng::seed_from_u64(1));
        assert_eq!(key.public().to_string().parse::<PublicKey>().unwrap(), key.public());
        assert_eq!(
            SigningKey::from_pem(&key.to_pem().unwrap()).unwrap().public(),
            key.public()
        );
        assert!(key.public().to_string().to_uppercase().parse::<PublicKey>().is_err());
    }

    #[test]
    fn small_order_keys_are_refused() {
        // The eight torsion points' canonical encodings include the identity (1) and y = 0.
        let mut identity = [0; 32];
        identity[0] = 1;
        for bytes in [identity, [0; 32]] {
            assert!(
                matches!(PublicKey::from_bytes(&bytes), Err(KeyError::Weak)),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn a_key_has_one_encoding() {
        // y = p + 3, a point of the curve when it is taken modulo p.
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (0xf0, 0x7f);
        assert!(matches!(PublicKey::from_bytes(&bytes), Err(KeyError::NotAPoint)));
        let mut same = [0; 32];
        same[0] = 3;
        assert!(PublicKey::from_bytes(&same).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn key_files_are_private_and_never_overwritten() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peer.key");
        let key = SigningKey::generate(&mut StdRng::seed_from_u64(2));
        key.write_new(&path).unwrap();
        assert!(matches!(key.write_new(&path), Err(KeyError::Write { .. })));
        assert_eq!(SigningKey::read(&path).unwrap().public(), key.public());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let message = SigningKey::read(&path).unwrap_err().to_string();
        assert!(message.contains("chmod 600"), "{message}");
    }
}
