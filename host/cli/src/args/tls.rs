//! The flags about TLS.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use fanlight_server::{Tls, TlsFiles};

#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsArgs {
    /// The certificate chain to serve HTTPS with, in PEM; the server reads it again
    /// when it changes, and on SIGHUP
    #[arg(
        long,
        env = "FANLIGHT_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate, in PEM
    #[arg(
        long,
        env = "FANLIGHT_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// The certificate and key that they name; none to serve plain HTTP.
    ///
    /// # Errors
    /// Where the files cannot be served.
    pub(crate) fn tls(&self) -> anyhow::Result<Option<Arc<Tls>>> {
        let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        let tls = Tls::load(TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        })?;
        Ok(Some(Arc::new(tls)))
    }
}
