//! Traces of each kind that the pages have to show.

use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::trace::{HOSTILE, MS, Trace, US, list, number, pair, text};

/// A trace of each kind that the pages have to show.
pub fn samples(start: u64) -> Vec<Trace> {
    vec![
        success(0x5b8e_fff7_9803_8103_d269_b633_813f_c60c, start),
        failure(0x7c3e_11a7_9803_8103_d269_b633_813f_c60d, start + 400 * MS),
        thousand(0x8d4f_22b8_9803_8103_d269_b633_813f_c60e, start + 900 * MS),
        hostile(0x9e5a_33c9_9803_8103_d269_b633_813f_c60f, start + 1300 * MS),
    ]
}

/// Nested five levels deep, with events, links and log records.
pub fn success(id: u128, start: u64) -> Trace {
    let mut trace = Trace::request(id, start, "GET", "/orders/{id}", 200, 23 * MS);
    let handle = trace.guest(1, "handle", 300 * US, 22_600 * US);
    let auth = trace.guest(handle, "check session", 500 * US, 2_300 * US);
    trace.set(
        auth,
        vec![
            text("enduser.id", "u-81723"),
            pair("cache.hit", Value::BoolValue(true)),
        ],
    );
    let load = trace.guest(handle, "load order", 2_600 * US, 17_900 * US);
    let cache = trace.guest(load, "GET order:17", 2_700 * US, 3_400 * US);
    trace.set(
        cache,
        vec![
            text("db.system.name", "redis"),
            text("db.operation.name", "GET"),
        ],
    );
    let query = trace.guest(load, "SELECT orders", 3_600 * US, 15_800 * US);
    trace.set(
        query,
        vec![
            text("db.system.name", "postgresql"),
            text(
                "db.query.text",
                "SELECT id, state, total FROM orders WHERE id = $1",
            ),
            number("db.response.returned_rows", 1),
        ],
    );
    trace.at(query).kind = 3;
    let decode = trace.guest(query, "decode rows", 14_900 * US, 15_600 * US);
    trace.event(decode, "row", 15_200 * US, vec![number("columns", 3)]);
    let price = trace.guest(load, "apply discounts", 16_000 * US, 17_700 * US);
    trace.set(
        price,
        vec![
            list("discounts", &["spring", "loyalty"]),
            pair("total", Value::DoubleValue(41.5)),
        ],
    );
    let render = trace.guest(handle, "render json", 18_100 * US, 22_100 * US);
    trace.set(render, vec![number("bytes", 1834)]);
    trace.link(handle, 0x7c3e_11a7_9803_8103_d269_b633_813f_c60d);
    trace.log(
        load,
        9,
        2_650 * US,
        "order is not in the cache",
        vec![text("order.id", "17")],
    );
    trace.log(handle, 5, 18_050 * US, "rendering", Vec::new());
    trace.log(
        1,
        9,
        22_700 * US,
        "orders: GET /orders/17 done",
        vec![text("log.iostream", "stdout")],
    );
    trace
}

/// Fails with an exception.
pub fn failure(id: u128, start: u64) -> Trace {
    let mut trace = Trace::request(id, start, "POST", "/orders", 500, 1_240 * MS);
    let handle = trace.guest(1, "handle", 200 * US, 1_239 * MS);
    let parse = trace.guest(handle, "parse body", 300 * US, 900 * US);
    trace.set(parse, vec![number("bytes", 412)]);
    let pay = trace.guest(handle, "charge card", 2 * MS, 1_236 * MS);
    let call = trace.guest(pay, "POST payments.example", 3 * MS, 1_204 * MS);
    trace.at(call).kind = 3;
    trace.set(
        call,
        vec![
            text("url.full", "https://payments.example/v2/charge"),
            number("http.response.status_code", 503),
        ],
    );
    trace.fail(call, "");
    trace.event(pay, "retry", 600 * MS, vec![number("attempt", 2)]);
    trace.event(
        pay,
        "exception",
        1_235 * MS,
        vec![
            text("exception.type", "PaymentError::Unavailable"),
            text("exception.message", "the payment service answered 503 after 2 attempts"),
            text(
                "exception.stacktrace",
                "   0: orders::payment::charge\n             at src/payment.rs:88:17\n   1: orders::handlers::create_order\n             at src/handlers.rs:142:9\n   2: orders::router::dispatch\n             at src/router.rs:31:5\n   3: <orders::Service as exports::wasi::http::incoming_handler::Guest>::handle",
            ),
        ],
    );
    trace.fail(pay, "the payment service is unavailable");
    trace.fail(handle, "");
    trace.log(
        pay,
        13,
        601 * MS,
        "payment attempt failed, trying again",
        vec![number("attempt", 1)],
    );
    trace.log(
        handle,
        17,
        1_236 * MS,
        "order was not created",
        vec![text("error", "PaymentError::Unavailable")],
    );
    trace
}

/// A thousand spans.
pub fn thousand(id: u128, start: u64) -> Trace {
    let mut trace = Trace::request(id, start, "POST", "/import", 200, 310 * MS);
    let handle = trace.guest(1, "import catalogue", MS, 308 * MS);
    for batch in 0..27 {
        let from = 2 * MS + batch * 11 * MS;
        let parent = trace.guest(handle, &format!("batch {batch}"), from, from + 10_500 * US);
        for item in 0..36 {
            let at = from + item * 280 * US;
            trace.guest(parent, "insert product", at, at + 240 * US);
        }
    }
    trace
}

/// A trace whose spans arrive one after the other.
pub struct Growing {
    trace: Trace,
    from: u64,
}

impl Growing {
    pub fn new(start: u64) -> Self {
        let id = 0xaf6b_44da_9803_8103_d269_b633_813f_c610;
        let mut trace = Trace::request(id, start, "GET", "/events", 200, 40 * MS);
        trace.guest(1, "subscribe", MS, 30 * MS);
        Self {
            trace,
            from: 40 * MS,
        }
    }

    /// The trace with what has not been sent yet.
    pub fn next(&mut self) -> &Trace {
        if self.from > 40 * MS {
            self.trace.sent();
            let from = self.from;
            let span = self.trace.guest(2, "send event", from, from + 8 * MS);
            self.trace
                .log(span, 9, from + MS, "an event was sent", Vec::new());
        }
        self.from += 20 * MS;
        &self.trace
    }
}

/// Markup wherever a component or a client can put text.
pub fn hostile(id: u128, start: u64) -> Trace {
    let mut trace = Trace::request(id, start, "GET", HOSTILE, 200, 5 * MS);
    let span = trace.guest(1, HOSTILE, MS, 4 * MS);
    trace.set(
        span,
        vec![
            text(HOSTILE, HOSTILE),
            list("list", &[HOSTILE]),
            text("long", &HOSTILE.repeat(170)),
        ],
    );
    trace.event(span, HOSTILE, 2 * MS, vec![text(HOSTILE, HOSTILE)]);
    trace.event(
        span,
        "exception",
        3 * MS,
        vec![
            text("exception.type", HOSTILE),
            text("exception.message", HOSTILE),
            text("exception.stacktrace", HOSTILE),
        ],
    );
    trace.fail(span, HOSTILE);
    trace.log(span, 17, 2 * MS, HOSTILE, vec![text(HOSTILE, HOSTILE)]);
    trace
}

/// Requests as a shop has them.
pub fn traffic(count: u64, until: u64) -> Vec<Trace> {
    traffic_after(0, count, until)
}

/// The same after as many others.
pub fn traffic_after(others: u64, count: u64, until: u64) -> Vec<Trace> {
    const ROUTES: [(&str, &str, u64); 6] = [
        ("GET", "/", 900 * US),
        ("GET", "/orders/{id}", 6 * MS),
        ("GET", "/products", 14 * MS),
        ("POST", "/orders", 38 * MS),
        ("GET", "/health", 150 * US),
        ("DELETE", "/orders/{id}", 9 * MS),
    ];
    (0..count)
        .map(|at| {
            let number = others + at + 1;
            let noise = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let (method, route, usual) =
                ROUTES[usize::try_from(noise >> 61).unwrap_or_default() % ROUTES.len()];
            let factor = 40 + (noise >> 32) % 160 + if noise.is_multiple_of(41) { 900 } else { 0 };
            let took = usual * factor / 100;
            let status = match noise % 53 {
                0 => 500,
                1..4 => 404,
                _ => 200,
            };
            let start = until - (count - at) * 370 * MS - noise % (300 * MS);
            let id = u128::from(noise) << 64 | u128::from(number);
            let mut trace = Trace::request(id, start, method, route, status, took);
            let handle = trace.guest(1, "handle", took / 50, took - took / 40);
            for step in 0..noise % 5 {
                let from = took / 10 + step * took / 7;
                trace.guest(handle, "step", from, from + took / 8);
            }
            if noise.is_multiple_of(3) {
                let severity = if status == 500 { 17 } else { 9 };
                trace.log(
                    handle,
                    severity,
                    took / 2,
                    &format!("{method} {route} answers {status}"),
                    Vec::new(),
                );
            }
            trace
        })
        .collect()
}
