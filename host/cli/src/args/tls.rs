//! The flags about TLS.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::bail;
use clap::Args;

use fanlight_server::{Tls, TlsFiles};

#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsArgs {
    /// The certificate chain to serve HTTPS with, in PEM; the server reads it again
    /// when it changes, and on SIGHUP
    #[arg(long, env = "FANLIGHT_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate, in PEM
    #[arg(long, env = "FANLIGHT_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// The certificate and key that they name; none to serve plain HTTP.
    ///
    /// # Errors
    /// Where one is named without the other, or the files cannot be served.
    pub(crate) fn tls(&self) -> anyhow::Result<Option<Arc<Tls>>> {
        // clap's `requires` does not count what the configuration file has.
        let (certificate, key) = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => (certificate, key),
            (None, None) => return Ok(None),
            (Some(_), None) => bail!("--tls-cert needs --tls-key as well"),
            (None, Some(_)) => bail!("--tls-key needs --tls-cert as well"),
        };
        let tls = Tls::load(TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        })?;
        Ok(Some(Arc::new(tls)))
    }
}
