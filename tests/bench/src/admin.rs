//! The admin port's door for components, as a client of it.

use std::net::SocketAddr;

use anyhow::Context;
use bytes::Bytes;
use http::Method;
use serde_json::Value;

use crate::connection::{Connection, Protocol};

/// Replaces what is served, and asks what is. Each call is a connection of its
/// own: the admin port closes idle ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admin {
    address: SocketAddr,
}

impl Admin {
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Uploads a component; gives back the status and what was said.
    pub(crate) async fn put(self, component: Bytes) -> anyhow::Result<(u16, String)> {
        let answer = Connection::open(self.address, Protocol::Http1)
            .await?
            .send(Method::PUT, "/component", &[], component)
            .await
            .context("PUT /component")?;
        let said = String::from_utf8_lossy(&answer.body).into_owned();
        Ok((answer.status, said))
    }

    /// Uploads a component that has to be taken.
    pub(crate) async fn swap(self, component: Bytes) -> anyhow::Result<()> {
        let (status, said) = self.put(component).await?;
        anyhow::ensure!(status == 200, "not swapped: {status} {said}");
        Ok(())
    }

    /// Requests that still run on what is served now.
    pub(crate) async fn in_flight(self) -> anyhow::Result<u64> {
        let mut connection = Connection::open(self.address, Protocol::Http1).await?;
        let answer = connection.get("/component").await?;
        let state: Value = serde_json::from_slice(&answer.body)
            .with_context(|| format!("GET /component: {} is no JSON", answer.status))?;
        state["current"]["in_flight"]
            .as_u64()
            .with_context(|| format!("no count of requests in {state}"))
    }
}
