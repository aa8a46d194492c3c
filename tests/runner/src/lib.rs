//! Tries a running demo service and its traces.
