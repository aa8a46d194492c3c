//! `Forwarded` and the `X-Forwarded-*` headers beside each other.

use super::*;

#[test]
fn of_two_families_only_what_both_say_counts() {
    demand(&[
        (
            &[
                (
                    "forwarded",
                    "for=\"192.0.2.1:4711\";proto=https;host=\"Example.com:8443\"",
                ),
                ("x-forwarded-for", "192.0.2.1:4711"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "example.com"),
                ("x-forwarded-port", "8443"),
            ],
            "192.0.2.1 port 4711 https Example.com 8443",
        ),
        // Each thing by itself.
        (
            &[
                ("forwarded", "for=192.0.2.1;proto=https;host=example.com"),
                ("x-forwarded-for", "192.0.2.1:4711"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", "example.com:8443"),
            ],
            "192.0.2.1 - example.com -",
        ),
        (
            &[
                ("forwarded", "for=192.0.2.1;proto=https"),
                ("x-forwarded-for", "203.0.113.9"),
                ("x-forwarded-proto", "https"),
            ],
            "- https - -",
        ),
        // A port goes with its host.
        (
            &[
                ("forwarded", "for=192.0.2.1;host=\"a.example:8443\""),
                ("x-forwarded-host", "b.example:8443"),
            ],
            NOTHING,
        ),
        // What one alone says.
        (
            &[
                ("forwarded", "for=192.0.2.1;proto=https;host=example.com"),
                ("x-forwarded-port", ""),
            ],
            NOTHING,
        ),
    ]);
}

/// What a client sends and a proxy lets pass that writes one family: the values with
/// `auto`, with `Forwarded` alone, and with the other family alone.
#[test]
fn what_a_client_writes_in_the_other_family_is_not_believed() {
    type Headers = &'static [(&'static str, &'static str)];
    let cases: &[(Headers, Headers, [&str; 3])] = &[
        // The client writes `Forwarded`, the proxy the others.
        (
            &[
                ("forwarded", "for=203.0.113.8;proto=https;host=bank.example"),
                ("x-forwarded-port", "x"),
            ],
            &[("x-forwarded-for", "192.0.2.1")],
            [
                NOTHING,
                "203.0.113.8 https bank.example -",
                "192.0.2.1 - - -",
            ],
        ),
        // It knows its own address.
        (
            &[("forwarded", "for=192.0.2.1;proto=http;host=evil.example")],
            &[
                ("x-forwarded-for", "192.0.2.1"),
                ("x-forwarded-proto", "https"),
            ],
            [
                "192.0.2.1 - - -",
                "192.0.2.1 http evil.example -",
                "192.0.2.1 https - -",
            ],
        ),
        // It would rather not be known.
        (
            &[("forwarded", "for=\"")],
            &[
                ("x-forwarded-for", "192.0.2.1"),
                ("x-forwarded-proto", "https"),
            ],
            [NOTHING, NOTHING, "192.0.2.1 https - -"],
        ),
        (
            &[("x-forwarded-port", "x")],
            &[
                ("x-forwarded-for", "192.0.2.1"),
                ("x-forwarded-proto", "https"),
            ],
            ["192.0.2.1 https - -", NOTHING, "192.0.2.1 https - -"],
        ),
        // The client writes the others, the proxy `Forwarded`.
        (
            &[
                ("x-forwarded-for", "203.0.113.8"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", "evil.example"),
            ],
            &[("forwarded", "for=192.0.2.1;proto=https;host=bank.example")],
            [
                NOTHING,
                "192.0.2.1 https bank.example -",
                "203.0.113.8 http evil.example -",
            ],
        ),
        (
            &[("x-forwarded-for", "nonsense")],
            &[("forwarded", "for=192.0.2.1;proto=https")],
            [NOTHING, "192.0.2.1 https - -", NOTHING],
        ),
        (
            &[("x-forwarded-proto", "ws")],
            &[("forwarded", "for=192.0.2.1;proto=https")],
            [NOTHING, "192.0.2.1 https - -", NOTHING],
        ),
    ];
    let families = [
        ProxyHeaders::Auto,
        ProxyHeaders::Forwarded,
        ProxyHeaders::XForwarded,
    ];
    for (clients, proxys, expected) in cases {
        let pairs = [*clients, *proxys].concat();
        for (family, expected) in families.into_iter().zip(expected) {
            let told = read_by(family, "10.0.0.1:1", &pairs);
            assert_eq!(said(&told), *expected, "{family:?}: {pairs:?}");
        }
    }
}
