//! Measures the real program on loopback, and tries what it survives.
//!
//! | part | modules |
//! |---|---|
//! | what is run | [`compare`], [`survive`], [`soak`], [`train`] |
//! | who asks | `connection`, `request`, `load`, `admin` |
//! | who is asked | `program` is the server as a child, `process` what it takes; `component` what it serves; `collector` where it exports |
//! | what is said | `report` |
//!
//! The client runs on the same cores as the server, so absolute figures are for
//! comparing on one machine.

mod admin;
mod collector;
pub mod compare;
mod component;
mod connection;
mod load;
mod process;
mod program;
mod report;
mod request;
pub mod soak;
pub mod survive;
pub mod train;

pub use component::Guests;
pub use program::Server;
pub use report::Report;
