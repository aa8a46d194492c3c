//! The search that the parameters of the list of traces ask for.

use crate::jaeger;
use crate::pages::layout::Context;
use crate::params::{self, Params};
use crate::query::{Cursor, OPEN, Order, Search, SpanSearch, Status};

/// Traces on a page.
const PAGE: usize = 100;
const MAX_PAGE: usize = 500;
/// Parameters that narrow the search.
pub(crate) const NARROWING: [&str; 13] = [
    "q", "method", "route", "status", "min", "max", "spans", "version", "service", "op", "attr",
    "from", "to",
];

/// The search of a request. A value that cannot be read asks for nothing.
pub(crate) fn search(params: &Params) -> Search {
    let text = |key: &str| params.text(key).to_owned();
    let time = |key: &str| params::time(params.text(key));
    let attributes = params.all("attr").filter_map(|it| {
        let (key, value) = it.split_once('=')?;
        Some((key.trim().to_owned(), value.trim().to_owned()))
    });
    let limit = params
        .number("limit")
        .and_then(|it| usize::try_from(it).ok());
    Search {
        service: text("service"),
        span: SpanSearch {
            name: text("op"),
            attributes: attributes.collect(),
            duration: OPEN,
            start: OPEN,
        },
        method: text("method"),
        route: text("route"),
        version: text("version"),
        status: status(params.text("status")),
        duration: millis(params.text("min")).unwrap_or(0)
            ..=millis(params.text("max")).unwrap_or(u64::MAX),
        start: time("from").unwrap_or(0)..=time("to").unwrap_or(u64::MAX),
        min_spans: params
            .number("spans")
            .map_or(0, |it| usize::try_from(it).unwrap_or(usize::MAX)),
        text: text("q"),
        order: match params.text("sort") {
            "slowest" => Order::Slowest,
            _ => Order::Newest,
        },
        limit: limit.unwrap_or(PAGE).clamp(1, MAX_PAGE),
        after: cursor(params.text("after")),
    }
}

/// Whether the parameters leave traces out.
pub(crate) fn is_narrowed(context: &Context<'_>) -> bool {
    let given = |key: &&str| !context.params.text(key).is_empty();
    NARROWING.iter().any(given)
}

/// A duration; a number without a unit is in milliseconds.
fn millis(text: &str) -> Option<u64> {
    let compact = text.replace(' ', "");
    params::duration(&compact).or_else(|| params::duration(&format!("{compact}ms")))
}

fn status(text: &str) -> Status {
    match text {
        "ok" => Status::Ok,
        "error" => Status::Error,
        _ => match (text.strip_suffix("xx"), text.parse()) {
            (Some(class), _) => class.parse().map_or(Status::Any, Status::Class),
            (None, Ok(code)) => Status::Code(code),
            _ => Status::Any,
        },
    }
}

fn cursor(text: &str) -> Option<Cursor> {
    let (rank, id) = text.split_once('-')?;
    Some(Cursor {
        rank: rank.parse().ok()?,
        id: jaeger::trace_id(id)?,
    })
}

/// A cursor as a parameter.
pub(crate) fn cursor_text(cursor: &Cursor) -> String {
    format!("{}-{:032x}", cursor.rank, cursor.id)
}

#[cfg(test)]
mod tests {
    use super::{Status, cursor, cursor_text, millis, search, status};
    use crate::params::Params;

    #[test]
    fn values_that_cannot_be_read_ask_for_nothing() {
        let params = "status=zz&min=x&from=yesterday&spans=many&attr=none&after=1&limit=0";
        let mut search = search(&Params::parse(Some(params)));
        assert_eq!(search.limit, 1);
        search.limit = 100;
        assert_eq!(search, Default::default());
    }

    #[test]
    fn parameters_are_read() {
        assert_eq!(millis("5"), Some(5_000_000));
        assert_eq!(millis("1.5 s"), Some(1_500_000_000));
        assert_eq!(status("5xx"), Status::Class(5));
        assert_eq!(status("404"), Status::Code(404));
        let read = cursor("12-0000000000000000000000000000002a").unwrap();
        assert_eq!((read.rank, read.id), (12, 42));
        assert_eq!(cursor(&cursor_text(&read)), Some(read));
    }
}
