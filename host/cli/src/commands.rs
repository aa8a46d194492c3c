//! The commands, a file each: flags, what is done, the exit code.

pub(crate) mod client;
pub(crate) mod compile;
pub(crate) mod inspect;
pub(crate) mod serve;
