//! The calls of one request that failed, by their targets: the next one is a repetition.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use http::{Request, StatusCode};
use parking_lot::Mutex;

/// How often each target failed. It has as many as the request makes calls.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    failed: Mutex<HashMap<u64, u32>>,
    hasher: RandomState,
}

impl Repeats {
    /// The method and URI of a call.
    pub(crate) fn target<B>(&self, request: &Request<B>) -> u64 {
        self.hasher.hash_one((request.method(), request.uri()))
    }

    /// How often calls of a target failed since the last that succeeded.
    pub(crate) fn count(&self, target: u64) -> u32 {
        self.failed.lock().get(&target).copied().unwrap_or(0)
    }

    /// Records that a call failed.
    pub(crate) fn failed(&self, target: u64) {
        *self.failed.lock().entry(target).or_default() += 1;
    }

    /// Records a call's status: of an error the call may be repeated.
    pub(crate) fn ended(&self, target: u64, status: StatusCode) {
        if status.is_client_error() || status.is_server_error() {
            self.failed(target);
        } else {
            self.failed.lock().remove(&target);
        }
    }
}
