//! The certificates that calls by https are checked against.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Certificates that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file cannot be read, or is no PEM.
    #[error("cannot read certificates")]
    Read(#[from] rustls::pki_types::pem::Error),
    /// The file holds no certificate.
    #[error("the file holds no certificate")]
    None,
    /// A certificate is not valid.
    #[error("a certificate cannot be used")]
    Invalid(#[from] rustls::Error),
}

/// The platform's certificates, and those of a file.
///
/// # Errors
/// Where the file has none that can be used.
pub(crate) fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a certificate of the platform cannot be read");
    }
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 && ca_file.is_none() {
        tracing::warn!("the platform has no certificates: calls by https fail without --ca-file");
    }
    if let Some(file) = ca_file {
        let mut added = 0;
        for certificate in CertificateDer::pem_file_iter(file)? {
            roots.add(certificate?)?;
            added += 1;
        }
        if added == 0 {
            return Err(RootsError::None);
        }
    }
    Ok(roots)
}
