//! TLS to a server: its certificate must be for its host name, and issued by an authority that the system trusts or that
//! `ca=` in `SMTP_URL` names.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_rustls::TlsConnector;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadTls {
    /// The file cannot be read as certificates.
    #[error("ca={path}: {reason}")]
    Authority {
        /// The file.
        path: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// No protocol version is available.
    #[error("TLS: {0}")]
    Config(#[from] rustls::Error),
}

/// Returns a connector that verifies certificate and host name.
pub(super) fn connector(authority: Option<&Path>) -> Result<TlsConnector, BadTls> {
    let mut roots = RootCertStore::empty();
    match authority {
        Some(file) => {
            let bad = |reason: String| BadTls::Authority { path: file.display().to_string(), reason };
            let certificates = CertificateDer::pem_file_iter(file).map_err(|error| bad(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| bad(error.to_string()))?;
                roots.add(certificate).map_err(|error| bad(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(bad("contains no certificate".to_owned()));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
}
