//! Certificates for tests, and a client that tells which one it was shown.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use fanlight_server::TlsFiles;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

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

/// An authority that issues certificates, and that nobody knows of.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
}

/// A certificate that an authority issued, and its key.
pub struct Issued {
    /// The certificate, PEM.
    pub certificate: String,
    /// The key, PEM.
    pub key: String,
}

impl Authority {
    /// Makes one that no other is like.
    pub fn generate() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are needed");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let made = params.self_signed(&key).expect("it signs itself");
        Self {
            certificate: made.pem(),
            der: made.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Its own certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Issues a certificate for a name.
    pub fn issue(&self, name: &str) -> Issued {
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key can be made");
        let made = params.signed_by(&key, &self.issuer).expect("it is signed");
        Issued {
            certificate: made.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Issued {
    /// Writes both into a folder, under a name.
    pub fn write_to(&self, folder: &Path, name: &str) -> TlsFiles {
        let files = TlsFiles {
            certificate: folder.join(format!("{name}.crt")),
            key: folder.join(format!("{name}.key")),
        };
        std::fs::write(&files.certificate, &self.certificate).expect("it can be written");
        std::fs::write(&files.key, &self.key).expect("it can be written");
        files
    }

    /// Accepts connections by showing it; where `clients` is given, from those
    /// alone that it has issued a certificate for.
    pub fn acceptor(&self, clients: Option<&Authority>) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has them");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.der.clone()).expect("an authority");
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                    .build()
                    .expect("an authority");
                builder.with_client_cert_verifier(verifier)
            }
        };
        let shown = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes());
        let config = builder
            .with_single_cert(vec![shown.expect("PEM")], key.expect("PEM"))
            .expect("a certificate and its key");
        Arc::new(config).into()
    }
}
