//! The end-to-end tests of Fanlight.
