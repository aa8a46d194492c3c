//! The commands that call a running server.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use crate::admin_client::AdminClient;
use crate::args::auth::TokenArgs;
use crate::cli::failed;
use crate::cli::{BAD_USE, FAILED};
use crate::help;

#[derive(Debug, Args)]
#[command(after_long_help = help::CLIENT)]
pub(crate) struct ClientArgs {
    /// The admin address of the running server
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
#[command(after_long_help = help::SWAP)]
pub(crate) struct SwapArgs {
    /// The component to serve
    file: PathBuf,
    /// Have the server refuse a component that imports an interface that the served
    /// one does not
    #[arg(long)]
    deny_new_imports: bool,
    #[command(flatten)]
    client: ClientArgs,
}

impl SwapArgs {
    pub(crate) async fn run(self) -> ExitCode {
        let read = std::fs::read(&self.file)
            .with_context(|| format!("cannot read {}", self.file.display()));
        let (client, component) = match (self.client.client(), read) {
            (Ok(client), Ok(component)) => (client, component),
            (Err(error), _) | (_, Err(error)) => return failed(&error, BAD_USE),
        };
        told(client.swap(component.into(), self.deny_new_imports).await)
    }
}

impl ClientArgs {
    pub(crate) async fn roll_back(self) -> ExitCode {
        match self.client() {
            Ok(client) => told(client.roll_back().await),
            Err(error) => failed(&error, BAD_USE),
        }
    }

    pub(crate) async fn health(self) -> ExitCode {
        match self.client() {
            Ok(client) => told(client.health().await.map(|()| "ready".to_owned())),
            Err(error) => failed(&error, BAD_USE),
        }
    }

    fn client(self) -> anyhow::Result<AdminClient> {
        Ok(AdminClient::new(self.admin_url, self.token.token()?))
    }
}

/// Prints the outcome.
fn told(answer: anyhow::Result<String>) -> ExitCode {
    match answer {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => failed(&error, FAILED),
    }
}
