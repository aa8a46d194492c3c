//! Certificates for tests, and a client that tells which one it was shown.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use fanlight::TlsFiles;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{PATIENCE, eventually_async};

/// A certificate that signs itself, for `localhost`, and its key.
pub struct Pair {
    /// The certificate, PEM.
    pub certificate: String,
    /// The key, PEM.
    pub key: String,
    der: CertificateDer<'static>,
}

impl Pair {
    /// Makes one that no other is like.
    pub fn generate() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
            .expect("a certificate can be made");
        Self {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            der: made.cert.der().clone(),
        }
    }

    /// Writes both into a folder, over what is there.
    pub fn write_to(&self, folder: &Path) -> TlsFiles {
        let files = TlsFiles {
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
        };
        std::fs::write(&files.certificate, &self.certificate).expect("it can be written");
        std::fs::write(&files.key, &self.key).expect("it can be written");
        files
    }

    /// Whether a server showed this one.
    pub fn was_shown_on(&self, stream: &TlsStream<TcpStream>) -> bool {
        let (_, session) = stream.get_ref();
        let shown = session.peer_certificates().expect("the handshake is made");
        shown == [self.der.clone()]
    }
}

/// Connects to a server that shows one of these certificates, offering
/// protocols by ALPN.
///
/// # Errors
/// When the handshake fails.
pub async fn connect(
    address: SocketAddr,
    trusted: &[&Pair],
    protocols: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for pair in trusted {
        roots.add(pair.der.clone()).map_err(io::Error::other)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().into())
        .collect();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let stream = TcpStream::connect(address).await?;
    tokio::time::timeout(PATIENCE, connector.connect(name, stream)).await?
}

/// Waits until new connections are shown `wanted`, which takes the place of `old`.
///
/// # Panics
/// When they are not in time.
pub async fn shows(address: SocketAddr, wanted: &Pair, old: &Pair) {
    eventually_async("the new certificate", async || {
        let stream = connect(address, &[wanted, old], &[])
            .await
            .expect("a handshake");
        wanted.was_shown_on(&stream).then_some(())
    })
    .await;
}
