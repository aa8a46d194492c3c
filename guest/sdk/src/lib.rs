//! What authors of components for Fanlight use.
