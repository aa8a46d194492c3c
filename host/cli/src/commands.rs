//! The commands, a file each: flags, what is done, the exit code.

pub(crate) mod client;
pub(crate) mod componentize;
pub(crate) mod dev;
pub(crate) mod new;
pub(crate) mod serve;
