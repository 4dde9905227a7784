//! An edge in front of peers: a content network's server, to which clients speak under an innocent name (domain fronting).
//!
//! Its certificate is checked as any web client would check it, against that name, by the public roots or by one pinned CA.
//! The ClientHello carries that name or none: a get mode client of 2014 sends none, later ones the masquerade's. Inside,
//! requests name the peer in `Host`, which is where the edge sends them.

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    client::{Resumption, WebPkiServerVerifier},
    crypto::ring,
};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};

/// An edge as clients know it, without its address. Cheap to clone.
#[derive(Clone)]
pub struct Edge {
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

/// What the ClientHello says of the name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sni {
    /// Nothing, as flashlight did up to 0.0.3.
    #[default]
    Absent,
    /// The name that the certificate is checked against, as later clients do.
    Masquerade,
}

/// Why there is no such edge.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// Not a name or address that a certificate can have.
    #[error("{0:?} is no DNS name and no IP address")]
    Name(String),
    /// The CA is not one or more PEM certificates that can be a root.
    #[error("the CA cannot be used: {0}")]
    Authority(String),
}

impl Edge {
    /// An edge whose certificate must be good for `name`. `authorities`, PEM text with one or more certificates, are the only
    /// roots that count; without it, those that browsers trust.
    ///
    /// # Errors
    /// [`EdgeError`], which names the part that is wrong.
    pub fn new(name: &str, sni: Sni, authorities: Option<&[u8]>) -> Result<Self, EdgeError> {
        let server = ServerName::try_from(name.to_owned()).map_err(|_| EdgeError::Name(name.to_owned()))?;
        let roots = match authorities {
            Some(pem) => pinned(pem)?,
            None => RootCertStore {
                roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
            },
        };
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| EdgeError::Authority(error.to_string()))?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for TLS 1.2 and 1.3")
            .with_webpki_verifier(verifier)
            .with_no_client_auth();
        config.enable_sni = sni == Sni::Masquerade;
        config.resumption = Resumption::disabled();
        Ok(Self {
            name: server,
            config: Arc::new(config),
        })
    }

    pub(super) const fn name(&self) -> &ServerName<'static> {
        &self.name
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge")
            .field("name", &self.name)
            .field("sni", &self.config.enable_sni)
            .finish_non_exhaustive()
    }
}

fn pinned(pem: &[u8]) -> Result<RootCertStore, EdgeError> {
    let unusable = |error: &dyn fmt::Display| EdgeError::Authority(error.to_string());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| unusable(&error))?;
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    if roots.is_empty() {
        return Err(unusable(&"there is no certificate in it (PEM)"));
    }
    Ok(roots)
}
