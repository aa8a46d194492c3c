//! The bytes of telemetry that one request may leave with the host.
//!
//! Spans that a guest holds open stay in the host's memory, with every
//! attribute, event and link that they were given: the bounds on each of them,
//! multiplied, come to gigabytes. This one is on their sum.

use std::sync::atomic::{AtomicUsize, Ordering};

use opentelemetry::KeyValue;

use fanlight_telemetry::sizes;

/// What a request's guest may still say, in bytes.
pub(crate) struct TelemetryBudget(AtomicUsize);

/// There is not enough of it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OverBudget;

impl TelemetryBudget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    /// Takes room for that many bytes, or none where there is not enough.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            })
            .is_ok()
    }

    /// Takes room for that many bytes.
    ///
    /// # Errors
    /// Where there is not enough: then it takes none.
    pub(crate) fn demand(&self, bytes: usize) -> Result<(), OverBudget> {
        if self.take(bytes) {
            Ok(())
        } else {
            Err(OverBudget)
        }
    }

    /// Keeps the attributes that there is room for; answers how many there is not.
    pub(crate) fn keep(&self, attributes: &mut Vec<KeyValue>) -> u32 {
        let mut over = 0;
        attributes.retain(|attribute| {
            let fits = self.take(sizes::attribute(attribute));
            over += u32::from(!fits);
            fits
        });
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_kept_while_there_is_room() {
        let room = TelemetryBudget::new(300);
        let text = "x".repeat(200);
        let mut attributes = vec![KeyValue::new("a", text.clone()), KeyValue::new("b", text)];
        assert_eq!(room.keep(&mut attributes), 1);
        assert_eq!(attributes.len(), 1);
        assert!(room.take(35));
        assert!(!room.take(1));
    }
}
