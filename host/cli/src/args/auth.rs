//! The flags for the admin port's token, of the server and of its clients.

use std::path::PathBuf;

use clap::Args;

use fanlight_server::AdminToken;

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// A file that holds the token of the admin port
    #[arg(long, env = "FANLIGHT_ADMIN_TOKEN_FILE", value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// The token itself; other users of this machine can see a flag, so prefer the
    /// file or the variable
    #[arg(
        long,
        env = "FANLIGHT_ADMIN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        conflicts_with = "admin_token_file"
    )]
    admin_token: Option<String>,
}

impl TokenArgs {
    /// The token that they name.
    ///
    /// # Errors
    /// Where the file cannot be read, or there is no token in it.
    pub(crate) fn token(&self) -> anyhow::Result<Option<AdminToken>> {
        match (&self.admin_token, &self.admin_token_file) {
            (Some(text), _) => Ok(Some(AdminToken::new(text)?)),
            (None, Some(path)) => Ok(Some(AdminToken::read(path)?)),
            (None, None) => Ok(None),
        }
    }
}
