//! A certificate for one test, made by openssl.

use std::{path::PathBuf, sync::Arc};

use tempfile::TempDir;
use tokio::process::Command;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// A certificate that vouches for itself.
pub(crate) struct Certificate {
    folder: TempDir,
    acceptor: TlsAcceptor,
}

impl Certificate {
    /// Makes one for a name as openssl writes it: `IP:127.0.0.1`, `DNS:mail.example.com`.
    pub(crate) async fn make(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = format!(
            "[req]\ndistinguished_name=name\nx509_extensions=extensions\nprompt=no\n[name]\nCN=test\n\
             [extensions]\nbasicConstraints=critical,CA:FALSE\nsubjectAltName={name}\n"
        );
        std::fs::write(folder.path().join("config"), config).expect("written");
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-keyout", "key.pem", "-out", "certificate.pem", "-days", "2", "-config", "config"])
            .current_dir(folder.path())
            .output();
        let made = made.await.expect("openssl is installed: run ./scripts/test, which sees to it");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let certificate = CertificateDer::from_pem_file(folder.path().join("certificate.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(folder.path().join("key.pem")).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(vec![certificate], key))
            .expect("they fit together");
        Self { folder, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    /// Where the certificate is, in PEM.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}
