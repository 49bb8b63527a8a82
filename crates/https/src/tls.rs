//! TLS: the certificate that a server presents, and the client certificates that it trusts.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::Pair;

/// The reason why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The PEM text of a certificate or of a key is broken, or there is none in it.
    #[error("a certificate or a key cannot be read")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// The certificate cannot be used, or the key is not the certificate's.
    #[error("the certificate cannot be used")]
    Certificate(#[from] rustls::Error),
    /// No certificate of a client could be verified with these authorities.
    #[error("the certificates of clients cannot be verified")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// The TLS configuration of a listener, shared between its clones. Replacing it takes effect for the connections that are
/// accepted afterwards; those that are open keep what they began with.
#[derive(Clone, Debug)]
pub struct Tls(Arc<ArcSwap<ServerConfig>>);

impl Tls {
    /// Presents `server`, whose certificate may be followed by those that lead to its authority. Clients may present a
    /// certificate that an authority in `clients` (PEM, one or several) has signed; without authorities they are not
    /// asked for one.
    ///
    /// # Errors
    ///
    /// See [`TlsError`].
    pub fn new(server: &Pair, clients: Option<&str>) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(ArcSwap::from(config(server, clients)?))))
    }

    /// Presents another certificate and trusts other clients from now on.
    ///
    /// # Errors
    ///
    /// See [`TlsError`]; what was configured before stays then.
    pub fn replace(&self, server: &Pair, clients: Option<&str>) -> Result<(), TlsError> {
        self.0.store(config(server, clients)?);
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.load_full())
    }
}

fn config(server: &Pair, clients: Option<&str>) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for authority in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                roots.add(authority?)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = CertificateDer::pem_slice_iter(server.certificate.as_bytes()).collect::<Result<_, _>>()?;
    let mut config =
        builder.with_single_cert(chain, PrivateKeyDer::from_pem_slice(server.key.as_bytes())?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
