//! Hashes of trace ids.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Spreads ids evenly, also those of callers that do not make random ones.
pub(crate) fn mixed(trace_id: u128, seed: u64) -> u64 {
    let [high, low] = [trace_id >> 64, trace_id & u128::from(u64::MAX)];
    let high = u64::try_from(high).unwrap_or_default();
    let low = u64::try_from(low).unwrap_or_default();
    // The finalizer of MurmurHash3, for each half.
    let mix = |half: u64| {
        let half = (half ^ half >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let half = (half ^ half >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        half ^ half >> 33
    };
    mix(mix(high ^ seed) ^ low)
}

/// Hashers for maps whose keys are trace ids. A caller chooses the ids, and not the seed.
#[derive(Clone, Debug)]
pub(crate) struct IdHashers(u64);

/// A hash in the making.
pub(crate) struct IdHasher(u64);

impl Default for IdHashers {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0))
    }
}

impl BuildHasher for IdHashers {
    type Hasher = IdHasher;

    fn build_hasher(&self) -> IdHasher {
        IdHasher(self.0)
    }
}

impl Hasher for IdHasher {
    fn write_u128(&mut self, id: u128) {
        self.0 = mixed(id, self.0);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u128((*byte).into());
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
