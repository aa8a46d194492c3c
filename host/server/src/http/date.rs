//! The `Date` of answers (RFC 9110, 6.6.1).
//!
//! hyper makes one too, but not anew while the system's clock stands before the
//! time of its last one: after the clock was set back its `Date` stands still.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, header};

/// The last second of the year 9999: `Date` has four digits for a year.
const LAST_SECOND: u64 = 253_402_300_799;

/// Sets `Date` where an answer has none.
pub(crate) fn set(headers: &mut HeaderMap) {
    thread_local! {
        static LAST: RefCell<DateCache> = const { RefCell::new(DateCache(None)) };
    }
    if !headers.contains_key(header::DATE)
        && let Some(date) = LAST.with_borrow_mut(|last| last.at(SystemTime::now()))
    {
        headers.insert(header::DATE, date);
    }
}

/// The date of the last second that was asked for: most answers share it.
struct DateCache(Option<(u64, HeaderValue)>);

impl DateCache {
    fn at(&mut self, now: SystemTime) -> Option<HeaderValue> {
        let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let second = second.min(LAST_SECOND);
        if let Some((last, date)) = &self.0
            && *last == second
        {
            return Some(date.clone());
        }
        let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        // It is ASCII.
        let date = HeaderValue::try_from(text).ok()?;
        self.0 = Some((second, date.clone()));
        Some(date)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_follows_the_clock_forward_and_back() {
        let mut cache = DateCache(None);
        let noon = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let hour = Duration::from_secs(3600);
        for (now, date) in [
            (noon, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (
                noon + Duration::from_millis(999),
                "Sun, 06 Nov 1994 08:49:37 GMT",
            ),
            (
                noon + Duration::from_secs(1),
                "Sun, 06 Nov 1994 08:49:38 GMT",
            ),
            (noon - hour, "Sun, 06 Nov 1994 07:49:37 GMT"),
            (
                noon - hour + Duration::from_secs(1),
                "Sun, 06 Nov 1994 07:49:38 GMT",
            ),
            (noon + hour, "Sun, 06 Nov 1994 09:49:37 GMT"),
        ] {
            assert_eq!(cache.at(now).unwrap(), date);
        }
    }

    #[test]
    fn a_clock_that_is_far_off_has_a_date_all_the_same() {
        let mut cache = DateCache(None);
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(cache.at(before).unwrap(), "Thu, 01 Jan 1970 00:00:00 GMT");
        let after = UNIX_EPOCH + Duration::from_secs(LAST_SECOND + 1);
        assert_eq!(cache.at(after).unwrap(), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn a_date_that_an_answer_has_stays() {
        let mut headers = HeaderMap::new();
        let own = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
        headers.insert(header::DATE, own.clone());
        set(&mut headers);
        assert_eq!(headers[header::DATE], own);
    }
}
