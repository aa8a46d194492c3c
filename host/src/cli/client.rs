//! The commands that ask a running server.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use super::token::TokenArgs;
use super::{BAD_USE, FAILED, failed};
use crate::admin::AdminClient;

#[derive(Debug, Args)]
pub(super) struct ClientArgs {
    /// The admin address of the server to ask
    #[arg(
        long,
        env = "FANLIGHT_ADMIN_URL",
        default_value = "http://127.0.0.1:9000",
        value_name = "URL"
    )]
    admin_url: String,
    #[command(flatten)]
    token: TokenArgs,
}

#[derive(Debug, Args)]
pub(super) struct SwapArgs {
    /// The component to serve from now on
    file: PathBuf,
    #[command(flatten)]
    client: ClientArgs,
}

impl SwapArgs {
    pub(super) async fn run(self) -> ExitCode {
        let read = std::fs::read(&self.file)
            .with_context(|| format!("cannot read {}", self.file.display()));
        let (client, component) = match (self.client.client(), read) {
            (Ok(client), Ok(component)) => (client, component),
            (Err(error), _) | (_, Err(error)) => return failed(&error, BAD_USE),
        };
        told(client.swap(component.into()).await)
    }
}

impl ClientArgs {
    pub(super) async fn roll_back(self) -> ExitCode {
        match self.client() {
            Ok(client) => told(client.roll_back().await),
            Err(error) => failed(&error, BAD_USE),
        }
    }

    pub(super) async fn health(self) -> ExitCode {
        match self.client() {
            Ok(client) => told(client.health().await.map(|()| "ready".to_owned())),
            Err(error) => failed(&error, BAD_USE),
        }
    }

    fn client(self) -> anyhow::Result<AdminClient> {
        Ok(AdminClient::new(self.admin_url, self.token.token()?))
    }
}

/// Prints what came of it.
fn told(answer: anyhow::Result<String>) -> ExitCode {
    match answer {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error, FAILED),
    }
}
