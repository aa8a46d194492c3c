//! The host's side of `fanlight:http`: responses and request bodies in one call.

pub(crate) mod request_body;
pub(crate) mod response;
