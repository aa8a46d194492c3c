//! Who sends requests, and by what scheme.

use std::net::SocketAddr;

/// Who sends requests on a connection, and by what scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) scheme: Scheme,
}

/// A scheme: of a connection, the protocol used on it, whatever the client claims; of
/// a request, that of the client's own connection as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}
