//! Bodies on their way through the host: the request's, the response's, and what
//! bounds both.

pub(crate) mod drain;
pub(crate) mod idle;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod watched;
