//! An example component.
