//! Requests of the example `faults` that have one right answer each.

use crate::connection::Answer;

/// A request and what has to come back.
#[derive(Clone, Debug)]
pub(crate) struct Good {
    pub(crate) target: &'static str,
    status: u16,
    bodies: &'static [&'static str],
}

impl Good {
    /// The shortest way through a guest.
    pub(crate) const COUNTER: Self = Self::new("/counter", 200, &["1\n"]);
    /// Tells which version answers.
    pub(crate) const VERSION: Self = Self::new(
        "/version",
        200,
        &["version-of-faults-0000\n", "version-of-faults-0001\n"],
    );

    /// One of each kind: at once, asleep first, streamed, at work after the
    /// answer, a status without a body.
    pub(crate) const KINDS: [Self; 6] = [
        Self::COUNTER,
        Self::VERSION,
        Self::new("/sleep?ms=20", 200, &["slept\n"]),
        Self::new(
            "/stream?chunks=3&delay_ms=5",
            200,
            &["chunk 0\nchunk 1\nchunk 2\n"],
        ),
        Self::new("/late?ms=10", 200, &["answered\n"]),
        Self::new("/status?code=204", 204, &[""]),
    ];

    const fn new(target: &'static str, status: u16, bodies: &'static [&'static str]) -> Self {
        Self {
            target,
            status,
            bodies,
        }
    }

    /// Says what is wrong with an answer.
    ///
    /// # Errors
    /// Where it is not the right one.
    pub(crate) fn check(&self, answer: &Answer) -> anyhow::Result<()> {
        let body = String::from_utf8_lossy(&answer.body);
        anyhow::ensure!(
            answer.status == self.status && self.bodies.contains(&&*body),
            "{}: {} {body:?}",
            self.target,
            answer.status
        );
        Ok(())
    }
}
