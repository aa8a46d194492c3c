//! The commands that call a running server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use fanlight_server::AdminAddress;

use crate::admin_client::{self, AdminClient};
use crate::args::auth::TokenArgs;
use crate::args::values::{self, reachable};
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
        value_name = "URL", value_parser = values::admin_url)]
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

#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// The server's own --admin: where it is `off`, a server is ready that accepts a
    /// connection at --listen
    #[arg(long, env = "FANLIGHT_ADMIN", value_name = "ADDR", value_parser = values::admin_address)]
    admin: Option<AdminAddress>,
    /// The server's own --listen
    #[arg(
        long,
        env = "FANLIGHT_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8000",
        value_parser = values::address
    )]
    listen: SocketAddr,
    #[command(flatten)]
    client: ClientArgs,
}

impl HealthArgs {
    pub(crate) async fn run(self) -> ExitCode {
        if self.admin == Some(AdminAddress::Off) {
            let accepted = admin_client::accepts(reachable(self.listen)).await;
            return told(
                accepted.map(|()| "accepts connections; its admin port is off".to_owned()),
            );
        }
        match self.client.client() {
            Ok(client) => told(client.health().await.map(|()| "ready".to_owned())),
            Err(error) => failed(&error, BAD_USE),
        }
    }
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

    /// The client that the flags name.
    ///
    /// # Errors
    /// Where the token cannot be read.
    pub(crate) fn client(self) -> anyhow::Result<AdminClient> {
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
