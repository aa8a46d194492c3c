//! What a guest may call an instrument, by the OpenTelemetry specification and
//! by what is the host's.

use crate::guest_api::bindings::fanlight::telemetry::metrics as wit;

/// The longest name of an instrument, by the OpenTelemetry specification.
const MAX_NAME: usize = 255;
/// The longest unit, by the same.
const MAX_UNIT: usize = 63;
/// The most buckets of a histogram: each takes memory in every series.
const MAX_BOUNDS: usize = 256;

/// Whether the name, as Prometheus would write it, could be one of the host's
/// own metrics: a guest must neither add to them nor hide them.
fn is_the_hosts(name: &str) -> bool {
    let written = |byte: u8| match byte {
        b'.' | b'-' | b'/' => b'_',
        other => other.to_ascii_lowercase(),
    };
    ["http_server_", "fanlight_", "target_info"]
        .iter()
        .any(|prefix| {
            name.len() >= prefix.len()
                && name
                    .bytes()
                    .map(written)
                    .zip(prefix.bytes())
                    .all(|(is, hosts)| is == hosts)
        })
}

/// Checks what the specification demands of a name, a unit and bounds.
pub(crate) fn check(
    name: &str,
    unit: &str,
    bounds: Option<&[f64]>,
) -> Result<(), wit::InstrumentError> {
    let invalid = |why: &str| Err(wit::InstrumentError::Invalid(why.to_owned()));
    if is_the_hosts(name) {
        return invalid("http.server.*, fanlight.* and target.info are the host's");
    }
    let mut bytes = name.bytes();
    if !bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
    {
        return invalid("a name begins with a letter");
    }
    if name.len() > MAX_NAME {
        return invalid("a name has 255 characters at most");
    }
    if !bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_.-/".contains(&byte)) {
        return invalid("a name has letters, digits and _ . - / only");
    }
    if unit.len() > MAX_UNIT || !unit.is_ascii() {
        return invalid("a unit has 63 ASCII characters at most");
    }
    let Some(bounds) = bounds else {
        return Ok(());
    };
    if bounds.len() > MAX_BOUNDS {
        return invalid("a histogram has 256 bounds at most");
    }
    let rises = bounds.windows(2).all(|pair| pair[0] < pair[1]);
    if !rises || bounds.iter().any(|bound| !bound.is_finite()) {
        return invalid("the bounds of a histogram are finite and rise");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_units_and_bounds_follow_the_rules() {
        for name in ["http.server.request.duration", "Fanlight/x", "target_info"] {
            assert!(check(name, "", None).is_err(), "{name:?}");
        }
        assert!(check("http.client.request.duration", "s", None).is_ok());
        for name in ["", "1a", "_a", "a b", "ä", &"a".repeat(256)] {
            assert!(check(name, "", None).is_err(), "{name:?}");
        }
        assert!(check("a_.-/9", "{request}", Some(&[0.0, 1.0])).is_ok());
        assert!(check("a", "é", None).is_err());
        assert!(check("a", "", Some(&[1.0, 1.0])).is_err());
        assert!(check("a", "", Some(&[f64::NAN])).is_err());
    }
}
