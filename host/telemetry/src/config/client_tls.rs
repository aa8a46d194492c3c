//! The certificates that a connection to a backend trusts and shows. A named file that
//! cannot be used ends the start: without it the host would trust other authorities, or
//! have another identity.

use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::env::Env;

/// Files in PEM for a connection to a backend.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// The authorities that are trusted, in place of the system's.
    pub certificate: Option<PathBuf>,
    /// The certificate that the host shows, its own first.
    pub client_certificate: Option<PathBuf>,
    /// Its key.
    pub client_key: Option<PathBuf>,
}

/// The contents of a client certificate's files, in PEM.
pub(crate) struct ClientIdentity {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// Why a file for TLS cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why it cannot be read.
        source: io::Error,
    },
    /// A client certificate is named, and no key for it.
    #[error("{} has no client key", .0.display())]
    WithoutKey(PathBuf),
    /// A client key is named, and no certificate for it.
    #[error("{} has no client certificate", .0.display())]
    WithoutCertificate(PathBuf),
    /// The file has no certificate.
    #[error("{} holds no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    /// The file has no key.
    #[error("{} holds no key in PEM", .0.display())]
    NoKey(PathBuf),
}

impl ClientTls {
    /// Reads the variables of the signal, `TRACES` and its like.
    pub(crate) fn read(env: &Env, signal: &str) -> Self {
        Self {
            certificate: path(
                env,
                &format!("OTEL_EXPORTER_OTLP_{signal}_CERTIFICATE"),
                "OTEL_EXPORTER_OTLP_CERTIFICATE",
            ),
            client_certificate: path(
                env,
                &format!("OTEL_EXPORTER_OTLP_{signal}_CLIENT_CERTIFICATE"),
                "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
            ),
            client_key: path(
                env,
                &format!("OTEL_EXPORTER_OTLP_{signal}_CLIENT_KEY"),
                "OTEL_EXPORTER_OTLP_CLIENT_KEY",
            ),
        }
    }

    /// Whether anything was named.
    pub(crate) fn is_given(&self) -> bool {
        let files = [
            &self.certificate,
            &self.client_certificate,
            &self.client_key,
        ];
        files.iter().any(|file| file.is_some())
    }

    /// The authorities' certificates, where they are not the system's.
    pub(crate) fn authorities(&self) -> Result<Option<Vec<u8>>, ClientTlsError> {
        self.certificate.as_deref().map(certificates).transpose()
    }

    /// The certificate to show and its key.
    pub(crate) fn identity(&self) -> Result<Option<ClientIdentity>, ClientTlsError> {
        match (&self.client_certificate, &self.client_key) {
            (Some(certificate), Some(key)) => Ok(Some(ClientIdentity {
                certificate: certificates(certificate)?,
                key: own_key(key)?,
            })),
            (None, None) => Ok(None),
            (Some(one), None) => Err(ClientTlsError::WithoutKey(one.clone())),
            (None, Some(one)) => Err(ClientTlsError::WithoutCertificate(one.clone())),
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<u8>, ClientTlsError> {
    let pem = read(path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(found) if !found.is_empty() => Ok(pem),
        _ => Err(ClientTlsError::NoCertificate(path.to_owned())),
    }
}

fn own_key(path: &Path) -> Result<Vec<u8>, ClientTlsError> {
    let pem = read(path)?;
    if PrivateKeyDer::from_pem_slice(&pem).is_err() {
        return Err(ClientTlsError::NoKey(path.to_owned()));
    }
    Ok(pem)
}

fn read(path: &Path) -> Result<Vec<u8>, ClientTlsError> {
    std::fs::read(path).map_err(|source| ClientTlsError::Read {
        path: path.to_owned(),
        source,
    })
}

fn path(env: &Env, own: &str, common: &str) -> Option<PathBuf> {
    env.text(own).or_else(|| env.text(common)).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(vars: &[(&str, &str)]) -> ClientTls {
        let vars = vars
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        ClientTls::read(&Env::new(vars), "TRACES")
    }

    #[test]
    fn a_key_without_its_certificate_is_an_error() {
        let tls = tls(&[("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/some.key")]);
        let error = tls.identity().err().unwrap().to_string();
        assert_eq!(error, "/some.key has no client certificate");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let tls = tls(&[
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/common.pem"),
            ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/not/there.pem"),
        ]);
        let error = tls.authorities().unwrap_err().to_string();
        assert_eq!(error, "cannot read /not/there.pem");
    }
}
