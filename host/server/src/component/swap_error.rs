//! Why a swap did not take place. Whatever it is, what served before goes on.

use crate::sandbox::load_error::LoadError;

/// Why a swap did not take place. The component that served goes on.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// What was offered cannot be served.
    #[error("refused")]
    Refused(#[from] LoadError),
    /// Something else was offered before this one was served.
    #[error("superseded by a newer one")]
    Superseded,
    /// There was no swap that could be undone.
    #[error("there is no previous component to return to")]
    NothingBefore,
    /// The server ends.
    #[error("the server is shutting down")]
    Ended,
}

impl SwapError {
    /// The value of `error.type`: a fixed word.
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.error_type(),
            Self::Superseded => "superseded",
            Self::NothingBefore => "nothing_before",
            Self::Ended => "unavailable",
        }
    }

    /// Why, in one line.
    pub fn reason(&self) -> String {
        match self {
            Self::Refused(error) => error.reason(),
            other => other.to_string(),
        }
    }

    /// The word for it in spans and metrics.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Refused(_) | Self::NothingBefore => "refused",
            Self::Superseded => "superseded",
            Self::Ended => "ended",
        }
    }
}
