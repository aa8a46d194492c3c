//! Why a swap did not take place. Whatever it is, what served before goes on.

use crate::sandbox::inspection::changes::Changes;
use crate::sandbox::inspection::interfaces::InterfaceChanges;
use crate::sandbox::load_error::{LoadError, text};

/// The most new imports that a reason lists.
const MAX_LISTED: usize = 32;

/// Why a swap did not take place. The component that served goes on.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// What was offered cannot be served.
    #[error("refused")]
    Refused(#[from] LoadError),
    /// It imports interfaces that the served component does not, and the operator or
    /// the client said that it must not.
    #[error("it imports what the served component does not: {}", new_imports(&.0.imports))]
    NewImports(Box<Changes>),
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
            Self::NewImports(_) => "new_imports",
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

    /// Whether it is the component itself that was refused, and not the moment.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::NewImports(_))
    }

    /// The word for it in spans and metrics.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Refused(_) | Self::NewImports(_) | Self::NothingBefore => "refused",
            Self::Superseded => "superseded",
            Self::Ended => "ended",
        }
    }
}

/// The imports that only the new component has, in one line.
fn new_imports(changes: &InterfaceChanges) -> String {
    let listed = changes.added.len().min(MAX_LISTED);
    let mut names = changes.added[..listed].join(", ");
    match (listed, changes.added.len() - listed + changes.unlisted) {
        (_, 0) => {}
        (0, more) => names = format!("{more} imports that cannot be compared"),
        (_, more) => names.push_str(&format!(" and {more} more")),
    }
    text(names)
}
