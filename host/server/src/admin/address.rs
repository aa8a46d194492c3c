//! Where the admin listener is.

use std::net::{AddrParseError, SocketAddr};
use std::str::FromStr;

/// Where the admin listener is, unless it is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// There is none.
    Off,
    /// It binds here.
    Bind(SocketAddr),
}

impl FromStr for AdminAddress {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            address => address.parse().map(Self::Bind),
        }
    }
}
