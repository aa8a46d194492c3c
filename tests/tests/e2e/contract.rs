//! The contract, door by door.
