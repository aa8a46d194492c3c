//! The server's certificate, and the handshakes that are made with it.
//!
//! A connection keeps the certificate that its handshake began with; the next
//! one gets what is served by then. What is served was whole and fitted its key.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::component::watch::Stamp;
use crate::http::io::WatchedIo;
use crate::request::failure_log::chain;

/// How often the files are looked at. Change events do not cross the border of
/// every container, and a certificate is not replaced in a hurry.
const POLL: Duration = Duration::from_secs(1);
/// What is offered by ALPN, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where a certificate and its key are.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first; PEM.
    pub certificate: PathBuf,
    /// The key of the server's own certificate; PEM, not encrypted.
    pub key: PathBuf,
}

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is damaged.
    #[error("{} is not PEM", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Where it is not.
        source: pem::Error,
    },
    /// There is no certificate in the file for it.
    #[error("there is no certificate in {}", .0.display())]
    NoCertificate(PathBuf),
    /// There is no key in the file for it.
    #[error("there is no private key in {}; one that is encrypted cannot be used", .0.display())]
    NoKey(PathBuf),
    /// They cannot be used, or not together.
    #[error("cannot serve {} with the key {}", files.certificate.display(), files.key.display())]
    Unusable {
        /// Both.
        files: TlsFiles,
        /// What is wrong with them.
        source: rustls::Error,
    },
    /// There is no way to encrypt.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

/// A certificate that is served, and may be replaced.
pub struct Tls {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    served: Arc<Served>,
    acceptor: TlsAcceptor,
    /// How the files were when they were last read. Who reads them anew holds
    /// the lock, so that what was read last is served last.
    read: Mutex<Stamps>,
}

type Stamps = [Option<Stamp>; 2];

impl Tls {
    /// Reads a certificate and its key.
    ///
    /// # Errors
    /// Where they cannot be served.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let stamps = files.stamps();
        let served = Arc::new(Served(ArcSwap::from_pointee(files.read(&provider)?)));
        let mut config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&served) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self {
            files,
            provider,
            served,
            acceptor: TlsAcceptor::from(Arc::new(config)),
            read: Mutex::new(stamps),
        })
    }

    /// Makes the handshake on a connection; none where the client left without
    /// sending a byte, as port checks do.
    ///
    /// # Errors
    /// Where the client breaks it off, speaks something else, or takes longer
    /// than `timeout`.
    ///
    /// # Cancel safety
    /// Dropped, it closes the connection.
    pub(crate) async fn accept(
        &self,
        stream: WatchedIo,
        timeout: Duration,
    ) -> io::Result<Option<TlsStream<WatchedIo>>> {
        let handshake = async {
            if stream.inner().peek(&mut [0]).await? == 0 {
                return Ok(None);
            }
            self.acceptor.accept(stream).await.map(Some)
        };
        match tokio::time::timeout(timeout, handshake).await {
            Ok(made) => made,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the handshake took too long",
            )),
        }
    }

    /// Reads the files again and serves their content from now on. The log reports
    /// the outcome; files that cannot be served change nothing.
    pub fn renew(&self) {
        let mut read = self.read.lock();
        *read = self.files.stamps();
        let certificate = self.files.certificate.display();
        match self.files.read(&self.provider) {
            Ok(key) => {
                self.served.0.store(Arc::new(key));
                tracing::info!("serving the certificate anew that is in {certificate}");
            }
            Err(error) => {
                tracing::warn!("the old certificate is kept: {}", chain(&error));
            }
        }
    }

    fn is_as_read(&self, stamps: &Stamps) -> bool {
        *self.read.lock() == *stamps
    }
}

/// Renews a certificate whenever its files have changed, until it is dropped.
pub struct Renewal {
    task: JoinHandle<()>,
}

impl Renewal {
    /// Looks at the files every second.
    pub fn start(tls: Arc<Tls>) -> Self {
        Self {
            task: tokio::spawn(watch(tls)),
        }
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(tls: Arc<Tls>) {
    let mut last = None;
    loop {
        tokio::time::sleep(POLL).await;
        let tls = Arc::clone(&tls);
        // The files may lie on a share that hangs.
        let looked = tokio::task::spawn_blocking(move || {
            let now = tls.files.stamps();
            // Two files are seldom replaced in one moment: what is read has
            // stood still from one check to the next.
            if !tls.is_as_read(&now) && last == Some(now) {
                tls.renew();
            }
            now
        });
        last = looked.await.ok();
    }
}

impl TlsFiles {
    fn stamps(&self) -> Stamps {
        [&self.certificate, &self.key].map(|path| Stamp::of(path))
    }

    fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let chain = read(&self.certificate)?;
        let chain = CertificateDer::pem_slice_iter(&chain)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| TlsError::Pem {
                path: self.certificate.clone(),
                source,
            })?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate(self.certificate.clone()));
        }
        let key =
            PrivateKeyDer::from_pem_slice(&read(&self.key)?).map_err(|error| match error {
                pem::Error::NoItemsFound => TlsError::NoKey(self.key.clone()),
                source => TlsError::Pem {
                    path: self.key.clone(),
                    source,
                },
            })?;
        CertifiedKey::from_der(chain, key, provider).map_err(|source| TlsError::Unusable {
            files: self.clone(),
            source,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Gives each handshake the certificate that is served at its time.
#[derive(Debug)]
struct Served(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Served {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}
