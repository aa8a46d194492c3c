//! Components that were built against the text of the tag 0.2.0-rc.2 itself.

use fanlight_runner::span::Kind;
use fanlight_tests::client::trace_of;
use fanlight_tests::collector::Collector;
use fanlight_tests::fixture::PLAIN;
use fanlight_tests::host::TestHost;
use serde_json::json;

/// It imports one interface of the four, with the current context by its older
/// name, and `datetime` from the clocks of WASI 0.2.0. It starts a span below
/// the context that it is told, with an id of its own, and says no more.
const OLDER: &str = r#"(component
    (import "wasi:clocks/wall-clock@0.2.0" (instance $clock
        (type $fields (record (field "seconds" u64) (field "nanoseconds" u32)))
        (export "datetime" (type (eq $fields)))))
    (alias export $clock "datetime" (type $datetime))
    (import "wasi:otel/types@0.2.0-rc.2" (instance $types
        (type $pair (record (field "key" string) (field "value" string)))
        (export "key-value" (type $key-value (eq $pair)))
        (type $library (record
            (field "name" string)
            (field "version" (option string))
            (field "schema-url" (option string))
            (field "attributes" (list $key-value))))
        (export "instrumentation-scope" (type (eq $library)))))
    (alias export $types "key-value" (type $key-value))
    (alias export $types "instrumentation-scope" (type $scope))
    (import "wasi:otel/tracing@0.2.0-rc.2" (instance $tracing
        (alias outer 1 $datetime (type $datetime))
        (alias outer 1 $key-value (type $key-value))
        (alias outer 1 $scope (type $scope))
        (type $bits (flags "sampled"))
        (export "trace-flags" (type $flags (eq $bits)))
        (type $identity (record
            (field "trace-id" string)
            (field "span-id" string)
            (field "trace-flags" $flags)
            (field "is-remote" bool)
            (field "trace-state" (list (tuple string string)))))
        (export "span-context" (type $context (eq $identity)))
        (type $part (enum "client" "server" "producer" "consumer" "internal"))
        (export "span-kind" (type $kind (eq $part)))
        (type $moment (record
            (field "name" string)
            (field "time" $datetime)
            (field "attributes" (list $key-value))))
        (export "event" (type $event (eq $moment)))
        (type $reference (record
            (field "span-context" $context)
            (field "attributes" (list $key-value))))
        (export "link" (type $link (eq $reference)))
        (type $outcome (variant (case "unset") (case "ok") (case "error" string)))
        (export "status" (type $status (eq $outcome)))
        (type $whole (record
            (field "span-context" $context)
            (field "parent-span-id" string)
            (field "span-kind" $kind)
            (field "name" string)
            (field "start-time" $datetime)
            (field "end-time" $datetime)
            (field "attributes" (list $key-value))
            (field "events" (list $event))
            (field "links" (list $link))
            (field "status" $status)
            (field "instrumentation-scope" $scope)
            (field "dropped-attributes" u32)
            (field "dropped-events" u32)
            (field "dropped-links" u32)))
        (export "span-data" (type $span (eq $whole)))
        (export "on-start" (func (param "context" $context)))
        (export "on-end" (func (param "span" $span)))
        (export "outer-span-context" (func (result $context)))))
    (import "wasi:http/types@0.2.0" (instance $http
        (export "incoming-request" (type (sub resource)))
        (export "response-outparam" (type (sub resource)))))
    (alias export $http "incoming-request" (type $request))
    (alias export $http "response-outparam" (type $outparam))

    (core module $memory
        (memory (export "memory") 1)
        (global $free (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $free
                (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
            (global.get $free)
            (global.set $free (i32.add (global.get $free) (local.get 3)))))
    (core instance $memory (instantiate $memory))
    (alias core export $memory "memory" (core memory $mem))
    (alias core export $memory "realloc" (core func $realloc))
    (core func $outer (canon lower
        (func $tracing "outer-span-context") (memory $mem) (realloc $realloc)))
    (core func $start (canon lower (func $tracing "on-start") (memory $mem)))

    (core module $main
        (import "host" "memory" (memory 1))
        (import "host" "outer" (func $outer (param i32)))
        (import "host" "start" (func $start (param i32 i32 i32 i32 i32 i32 i32 i32)))
        (data (i32.const 64) "00000000000000ff")
        (func (export "handle") (param i32 i32)
            (call $outer (i32.const 0))
            (call $start
                (i32.load (i32.const 0)) (i32.load (i32.const 4))
                (i32.const 64) (i32.const 16)
                (i32.load8_u (i32.const 16)) (i32.load8_u (i32.const 17))
                (i32.load (i32.const 20)) (i32.load (i32.const 24)))))
    (core instance $main (instantiate $main
        (with "host" (instance
            (export "memory" (memory $mem))
            (export "outer" (func $outer))
            (export "start" (func $start))))))
    (func $handle (param "request" (own $request)) (param "response-out" (own $outparam))
        (canon lift (core func $main "handle")))
    (instance $handler (export "handle" (func $handle)))
    (export "wasi:http/incoming-handler@0.2.0" (instance $handler))
)"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_the_older_text_links_and_is_told_its_context() {
    let collector = Collector::start().await;
    let host = TestHost::serving(PLAIN).exporting_to(&collector);
    let host = host.start().await;
    let component = wat::parse_str(OLDER).unwrap();
    let put = host.put(component).await;
    assert_eq!(put.status, 200, "{}", String::from_utf8_lossy(&put.body));
    // It answers nothing, which is its own affair.
    let answer = host.get("/").send().await;
    assert_eq!(answer.status, 500);
    let spans = collector.trace(&trace_of(&answer).trace_id, 2).await;
    let server = spans.iter().find(|span| span.kind == Kind::Server).unwrap();
    let started = spans.iter().find(|span| span.span_id == "00000000000000ff");
    let started = started.unwrap();
    assert_eq!(started.parent_span_id.as_ref(), Some(&server.span_id));
    assert_eq!(started.attribute("fanlight.span.unfinished"), json!(true));
}
