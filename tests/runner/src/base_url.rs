//! The address of a service. Always plain HTTP, never ends in a slash.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, bail};
use http::Uri;

/// Where a service is, such as `http://localhost:8000`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// Names the port of this machine that Jaeger's page has by default.
    #[must_use]
    pub fn local_jaeger() -> Self {
        Self("http://localhost:16686".to_owned())
    }

    /// Makes the address of `path`, which begins with a slash.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl FromStr for BaseUrl {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let uri: Uri = text.parse().context("not a URL")?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => bail!("https is not spoken here: name the plain http port"),
            _ => bail!("must begin with http://"),
        }
        if uri.query().is_some() {
            bail!("must end before the query");
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::BaseUrl;

    #[test]
    fn a_path_is_joined_with_one_slash() {
        let url: BaseUrl = "http://localhost:8000/".parse().unwrap();
        assert_eq!(url.join("/health"), "http://localhost:8000/health");
        let url: BaseUrl = "http://proxy/demo".parse().unwrap();
        assert_eq!(url.join("/health"), "http://proxy/demo/health");
    }

    #[test]
    fn what_is_no_plain_http_address_is_refused() {
        for text in [
            "",
            "localhost",
            "localhost:8000",
            "https://localhost",
            "ftp://a",
            "http://a/?b=c",
        ] {
            assert!(text.parse::<BaseUrl>().is_err(), "{text}");
        }
    }
}
