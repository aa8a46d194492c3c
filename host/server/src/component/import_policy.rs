//! Whether a swap may bring imports that the served component has not.

use crate::component::swap_error::SwapError;
use crate::sandbox::inspection::changes::Changes;

/// What a component may import that takes the place of another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ImportPolicy {
    /// All that the host has.
    #[default]
    Any,
    /// No interface that the served component does not import. Versions do not count,
    /// nor does it count whether the host grants what the interface does.
    NoneNew,
}

impl ImportPolicy {
    /// The stricter of two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Any, Self::Any) => Self::Any,
            _ => Self::NoneNew,
        }
    }

    /// Decides by what a swap would change.
    ///
    /// # Errors
    /// Where the new component asks for more than it may.
    pub(crate) fn check(self, changes: &Changes) -> Result<(), SwapError> {
        match self {
            Self::NoneNew if changes.imports.has_new() => {
                Err(SwapError::NewImports(Box::new(changes.clone())))
            }
            _ => Ok(()),
        }
    }
}
