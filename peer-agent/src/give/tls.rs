//! The server's TLS identity: a key that lives in the state folder, so that its pin survives restarts, and a self-signed
//! certificate over it.
//!
//! Clients pin the key and check nothing else, send no SNI and no ALPN. A key of another kind may be put in the file: those
//! few clients of 2014 that are limited to TLS 1.2 with ECDHE-RSA need an RSA key, which ring cannot generate.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use proto::{
    ids::{IdError, Pin},
    time::Timestamp,
};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};

/// What the server presents.
pub(super) struct Identity {
    pub(super) config: Arc<ServerConfig>,
    pub(super) pin: Pin,
}

/// Why there is no TLS identity.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file or folder cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others can read the key.
    #[error("{} can be read by others (mode {mode:03o}): run chmod 600 {}", path.display(), path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not PEM, or without the item it should hold.
    #[error("{} holds no PEM {item}: restore it, or remove it to get a new one (a new key gives a new pin)", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        item: &'static str,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// No certificate can be made.
    #[error("cannot make a certificate over the key in {}", path.display())]
    Certificate {
        /// The key file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// The certificate cannot be read.
    #[error("{} is no X.509 certificate", path.display())]
    Pin {
        /// The certificate file.
        path: PathBuf,
        /// Why.
        #[source]
        source: IdError,
    },
    /// Key and certificate cannot be used together.
    #[error("the key {} and the certificate {} cannot be used together", key.display(), certificate.display())]
    Pair {
        /// The key file.
        key: PathBuf,
        /// The certificate file.
        certificate: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

impl Identity {
    /// Reads the key and the certificate from `folder`, or makes them. `name` and the time go into a new certificate.
    pub(super) fn load(folder: &Path, name: &str, now: Timestamp) -> Result<Self, TlsError> {
        let key_path = folder.join("tls.key");
        let certificate_path = folder.join("tls.crt");
        if !exists(&key_path)? {
            create_folder(folder)?;
            let key = KeyPair::generate().map_err(|source| TlsError::Certificate {
                path: key_path.clone(),
                source,
            })?;
            write(&key_path, key.serialize_pem().as_bytes(), 0o600)?;
            // A certificate without its key is of no use: the one that may be there belonged to a key that is gone.
            write_certificate(&key_path, &certificate_path, name, now)?;
        } else if !exists(&certificate_path)? {
            refuse_open_permissions(&key_path)?;
            write_certificate(&key_path, &certificate_path, name, now)?;
        }
        refuse_open_permissions(&key_path)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&key_path)?).map_err(|source| TlsError::Pem {
            path: key_path.clone(),
            item: "private key",
            source,
        })?;
        let certificates = CertificateDer::pem_slice_iter(&read(&certificate_path)?)
            .collect::<Result<Vec<_>, _>>()
            .and_then(|all| {
                if all.is_empty() {
                    Err(pem::Error::NoItemsFound)
                } else {
                    Ok(all)
                }
            })
            .map_err(|source| TlsError::Pem {
                path: certificate_path.clone(),
                item: "certificate",
                source,
            })?;
        let pin = Pin::of_certificate(&certificates[0]).map_err(|source| TlsError::Pin {
            path: certificate_path.clone(),
            source,
        })?;
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map(|builder| builder.with_no_client_auth())
            .and_then(|builder| builder.with_single_cert(certificates, key))
            .map_err(|source| TlsError::Pair {
                key: key_path,
                certificate: certificate_path,
                source,
            })?;
        Ok(Self {
            config: Arc::new(config),
            pin,
        })
    }
}

fn write_certificate(key_path: &Path, certificate_path: &Path, name: &str, now: Timestamp) -> Result<(), TlsError> {
    let failed = |source| TlsError::Certificate {
        path: key_path.to_owned(),
        source,
    };
    let text = String::from_utf8_lossy(&read(key_path)?).into_owned();
    let key = KeyPair::from_pem(&text).map_err(failed)?;
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // What rcgen writes otherwise, from 1975 to 4096, is in no certificate that was made by another program.
    params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(now.seconds().as_u64());
    params.not_after = params.not_before + LIFETIME;
    let certificate = params.self_signed(&key).map_err(failed)?;
    write(certificate_path, certificate.pem().as_bytes(), 0o644)
}

fn exists(path: &Path) -> Result<bool, TlsError> {
    path.try_exists().map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

fn create_folder(folder: &Path) -> Result<(), TlsError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|source| TlsError::Write {
        path: folder.to_owned(),
        source,
    })
}

/// Writes beside the file and renames, so that a crash leaves a whole file or none.
fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), TlsError> {
    use io::Write;

    let failed = |source| TlsError::Write {
        path: path.to_owned(),
        source,
    };
    let fresh = path.with_added_extension("new");
    // A leftover of a crash may have other permissions than those asked for below.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(&fresh).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&fresh, path).map_err(failed)
}

#[cfg(unix)]
fn refuse_open_permissions(path: &Path) -> Result<(), TlsError> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = fs::metadata(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(TlsError::Permissions {
            path: path.to_owned(),
            mode,
        })
    }
}

/// On Windows a file in the user's profile is the user's own.
#[cfg(not(unix))]
fn refuse_open_permissions(_path: &Path) -> Result<(), TlsError> {
    Ok(())
}

/// Of a certificate. Nobody renews it: clients compare the key and look at nothing else.
const LIFETIME: Duration = Duration::from_secs(3650 * 24 * 3600);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_795_375_084);

    #[test]
    fn the_pin_survives_restarts_and_a_lost_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("a/b");
        let first = Identity::load(&state, "peer.example.org", NOW).unwrap().pin;
        assert_eq!(Identity::load(&state, "127.0.0.1", NOW).unwrap().pin, first);
        fs::remove_file(state.join("tls.crt")).unwrap();
        assert_eq!(Identity::load(&state, "127.0.0.1", NOW).unwrap().pin, first);
        fs::remove_file(state.join("tls.key")).unwrap();
        assert_ne!(Identity::load(&state, "127.0.0.1", NOW).unwrap().pin, first);
    }

    #[test]
    fn a_certificate_says_nothing_that_others_do_not() {
        let folder = tempfile::tempdir().unwrap();
        Identity::load(folder.path(), "203.0.113.7", NOW).unwrap();
        let text = read(&folder.path().join("tls.crt")).unwrap();
        let certificate = CertificateDer::from_pem_slice(&text).unwrap();
        let holds = |bytes: &[u8]| certificate.windows(bytes.len()).any(|window| window == bytes);
        // From the second in which it was made, for ten years (UTCTime, RFC 5280 section 4.1.2.5.1).
        assert!(holds(b"\x17\x0d261122191804Z\x17\x0d361119191804Z"));
        assert!(holds(b"203.0.113.7") && holds(&[0x87, 4, 203, 0, 113, 7]));
        assert!(!holds(b"rcgen"));
    }

    #[test]
    fn broken_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path();
        let error = || Identity::load(state, "peer", NOW).err().unwrap();
        Identity::load(state, "peer", NOW).unwrap();
        fs::write(state.join("tls.crt"), "nothing").unwrap();
        assert!(matches!(
            error(),
            TlsError::Pem {
                item: "certificate",
                ..
            }
        ));
        let other = tempfile::tempdir().unwrap();
        Identity::load(other.path(), "peer", NOW).unwrap();
        fs::copy(other.path().join("tls.crt"), state.join("tls.crt")).unwrap();
        assert!(matches!(error(), TlsError::Pair { .. }));
        fs::write(state.join("tls.key"), "nothing").unwrap();
        assert!(matches!(
            error(),
            TlsError::Pem {
                item: "private key",
                ..
            }
        ));
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_private() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        Identity::load(folder.path(), "peer", NOW).unwrap();
        let key = folder.path().join("tls.key");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            Identity::load(folder.path(), "peer", NOW),
            Err(TlsError::Permissions { mode: 0o640, .. })
        ));
    }
}
