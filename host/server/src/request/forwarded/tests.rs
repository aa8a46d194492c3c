//! Chains of proxies, header by header. The peer is 10.0.0.1, and 10.0.0.0/8 and
//! 2001:db8:1::/48 are trusted.

mod families;

use http::HeaderValue;

use super::*;

fn read_from(peer: &str, pairs: &[(&'static str, &str)]) -> Forwarded {
    read_by(ProxyHeaders::Auto, peer, pairs)
}

fn read_by(family: ProxyHeaders, peer: &str, pairs: &[(&'static str, &str)]) -> Forwarded {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        headers.append(*name, value);
    }
    let networks = ["10.0.0.0/8", "2001:db8:1::/48"].map(|text| text.parse().unwrap());
    let peer = Peer {
        address: peer.parse().unwrap(),
        scheme: Scheme::Http,
    };
    read(
        &headers,
        peer,
        &TrustedProxies::new(networks).writing(family),
    )
}

/// What is made of the headers, in a line: client, scheme, host and port.
fn said(forwarded: &Forwarded) -> String {
    let client = match forwarded.client {
        None => "-".to_owned(),
        Some(Client { address, port }) => match port {
            None => address.to_string(),
            Some(port) => format!("{address} port {port}"),
        },
    };
    let scheme = forwarded.scheme.map_or("-", Scheme::as_str);
    let host = forwarded.host.as_deref().unwrap_or("-");
    let port = forwarded.port.map_or("-".to_owned(), |it| it.to_string());
    format!("{client} {scheme} {host} {port}")
}

#[track_caller]
fn demand(cases: &[(&[(&'static str, &str)], &str)]) {
    for (pairs, expected) in cases {
        assert_eq!(
            said(&read_from("10.0.0.1:4711", pairs)),
            *expected,
            "{pairs:?}"
        );
    }
}

const NOTHING: &str = "- - - -";

#[test]
fn forwarded_is_walked_from_the_right() {
    demand(&[
        (&[("forwarded", "for=192.0.2.1")], "192.0.2.1 - - -"),
        (
            &[("forwarded", "for=192.0.2.1;proto=https;host=example.com")],
            "192.0.2.1 https example.com -",
        ),
        (
            &[(
                "Forwarded",
                "For=\"192.0.2.1:4711\";PROTO=HTTPS;Host=\"example.com:8443\"",
            )],
            "192.0.2.1 port 4711 https example.com 8443",
        ),
        (
            &[("forwarded", "for=\"[2001:db8::1]\"")],
            "2001:db8::1 - - -",
        ),
        (
            &[(
                "forwarded",
                "for=\"[2001:db8::1]:80\";host=\"[2001:db8::2]:8080\"",
            )],
            "2001:db8::1 port 80 - 2001:db8::2 8080",
        ),
        (
            &[("forwarded", "for=\"[::ffff:192.0.2.1]\"")],
            "192.0.2.1 - - -",
        ),
        (
            &[("forwarded", "for=\"192.0.2.1:_port\"")],
            "192.0.2.1 - - -",
        ),
        // Past trusted proxies to the first who is none.
        (
            &[(
                "forwarded",
                "for=192.0.2.1;proto=https, for=10.0.0.2;proto=http",
            )],
            "192.0.2.1 https - -",
        ),
        (
            &[
                ("forwarded", "for=192.0.2.1"),
                ("forwarded", "for=\"[2001:db8:1::9]\""),
            ],
            "192.0.2.1 - - -",
        ),
        // What the client writes itself is left of it.
        (
            &[(
                "forwarded",
                "for=203.0.113.9;proto=https;host=evil, for=192.0.2.1",
            )],
            "192.0.2.1 - - -",
        ),
        (
            &[(
                "forwarded",
                "for=10.9.9.9;proto=https, for=192.0.2.1;proto=http",
            )],
            "192.0.2.1 http - -",
        ),
        (
            &[("forwarded", "for=nonsense, for=192.0.2.1")],
            "192.0.2.1 - - -",
        ),
        (
            &[
                ("forwarded", "for=\"unfinished"),
                ("forwarded", "for=\u{e9}"),
                ("forwarded", "for=192.0.2.1;proto=https"),
            ],
            "192.0.2.1 https - -",
        ),
        // What the first proxy leaves out, the next one may know.
        (
            &[(
                "forwarded",
                "for=192.0.2.1;host=a.example, for=10.0.0.2;proto=https;host=b.example",
            )],
            "192.0.2.1 https a.example -",
        ),
        // All are trusted: the farthest is the client.
        (
            &[("forwarded", "for=10.0.0.3, for=10.0.0.2")],
            "10.0.0.3 - - -",
        ),
        // Who it is, is withheld; how it asked is not.
        (&[("forwarded", "for=unknown;proto=https")], "- https - -"),
        (&[("forwarded", "for=_hidden, for=10.0.0.2")], NOTHING),
        (&[("forwarded", "for=203.0.113.9, for=_SEVKISEK")], NOTHING),
        (&[("forwarded", "proto=https;by=10.0.0.1")], "- https - -"),
        (
            &[("forwarded", "for=192.0.2.1;secret=\"a,b;c\\\"d\"")],
            "192.0.2.1 - - -",
        ),
        (
            &[("forwarded", ", for=192.0.2.1 ; proto=https ,")],
            "192.0.2.1 https - -",
        ),
        // A scheme or host that is none costs itself: the client may have named it.
        (
            &[("forwarded", "for=192.0.2.1;proto=ws;host=example.com")],
            "192.0.2.1 - example.com -",
        ),
        (
            &[("forwarded", "for=192.0.2.1;proto=https;host=\"a b\"")],
            "192.0.2.1 https - -",
        ),
        (
            &[("forwarded", "for=192.0.2.1;host=\"user@example.com\"")],
            "192.0.2.1 - - -",
        ),
        (
            &[("forwarded", "for=192.0.2.1;host=\"example.com:99999\"")],
            "192.0.2.1 - - -",
        ),
        (&[("forwarded", "")], NOTHING),
    ]);
}

#[test]
fn forwarded_that_is_malformed_is_ignored_as_a_whole() {
    for value in [
        "for",
        "for=",
        "=192.0.2.1",
        "for=192.0.2.1;for=192.0.2.2",
        "for=192.0.2.1;proto=https;proto=http",
        "for=\"192.0.2.1",
        "for=\"192.0.2.1\"x",
        "for=\"192.0.2.1\\",
        "for=192.0.2.1 proto=https",
        "f or=192.0.2.1",
        "for=[2001:db8::1]",
        "for=2001:db8::1",
        "for=\"2001:db8::1\"",
        "for=\"[2001:db8::1\"",
        "for=\"[192.0.2.1]\"",
        "for=\"192.0.2.1:\"",
        "for=\"192.0.2.1:65536\"",
        "for=\"192.0.2.1:+80\"",
        "for=192.0.2.256",
        "for=192.0.2.01",
        "for=localhost",
        "for=192.0.2.1;host=example.com:80",
        "for=192.0.2.1, nonsense",
        "for=\u{e9}",
    ] {
        let both = [("forwarded", value), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(
            said(&read_from("10.0.0.1:1", &both[..1])),
            NOTHING,
            "{value:?}"
        );
        // Nor does the other family help, unless it is the one that is written.
        assert_eq!(said(&read_from("10.0.0.1:1", &both)), NOTHING, "{value:?}");
        let usual = read_by(ProxyHeaders::XForwarded, "10.0.0.1:1", &both);
        assert_eq!(said(&usual), "192.0.2.1 - - -", "{value:?}");
    }
}

#[test]
fn x_forwarded_headers_are_walked_from_the_right() {
    const FOR: &str = "x-forwarded-for";
    const PROTO: &str = "x-forwarded-proto";
    const HOST: &str = "x-forwarded-host";
    const PORT: &str = "x-forwarded-port";
    demand(&[
        (&[], NOTHING),
        (&[(FOR, "192.0.2.1")], "192.0.2.1 - - -"),
        (
            &[
                (FOR, "192.0.2.1"),
                (PROTO, "https"),
                (HOST, "example.com"),
                (PORT, "8443"),
            ],
            "192.0.2.1 https example.com 8443",
        ),
        (&[(FOR, "192.0.2.1:4711")], "192.0.2.1 port 4711 - - -"),
        (&[(FOR, "2001:db8::1")], "2001:db8::1 - - -"),
        (
            &[(FOR, "[2001:db8::1]:4711")],
            "2001:db8::1 port 4711 - - -",
        ),
        (&[(FOR, "::ffff:192.0.2.1")], "192.0.2.1 - - -"),
        (&[(FOR, "192.0.2.1, 10.0.0.3,10.0.0.2")], "192.0.2.1 - - -"),
        (&[(FOR, "192.0.2.1"), (FOR, "10.0.0.2")], "192.0.2.1 - - -"),
        // What the client writes itself is left of it, and has no say.
        (&[(FOR, "203.0.113.9, 192.0.2.1")], "192.0.2.1 - - -"),
        (&[(FOR, "10.0.0.9, 192.0.2.1, 10.0.0.2")], "192.0.2.1 - - -"),
        (&[(FOR, "nonsense, 192.0.2.1")], "192.0.2.1 - - -"),
        (&[(FOR, "\u{e9}, 192.0.2.1")], "192.0.2.1 - - -"),
        (
            &[(FOR, "\u{e9}"), (FOR, "192.0.2.1,10.0.0.2")],
            "192.0.2.1 - - -",
        ),
        (&[(FOR, "10.0.0.3, 10.0.0.2")], "10.0.0.3 - - -"),
        (&[(FOR, "203.0.113.9, unknown")], NOTHING),
        // The nearest proxy's word counts. The first of these may be two proxies
        // that add to all lists, or one that adds to the first list alone behind
        // a client that has written what it lacks.
        (
            &[
                (FOR, "192.0.2.1, 10.0.0.2"),
                (PROTO, "https, http"),
                (HOST, "evil, b.example"),
                (PORT, "81, 82"),
            ],
            "192.0.2.1 http b.example 82",
        ),
        (
            &[(FOR, "203.0.113.9, 192.0.2.1"), (PROTO, "https, http")],
            "192.0.2.1 http - -",
        ),
        (
            &[(FOR, "192.0.2.1"), (PROTO, "https"), (PROTO, "http")],
            "192.0.2.1 http - -",
        ),
        (
            &[
                (FOR, "192.0.2.1, 10.0.0.3, 10.0.0.2"),
                (PROTO, "https, http"),
            ],
            "192.0.2.1 http - -",
        ),
        (
            &[
                (FOR, "192.0.2.1, 10.0.0.2"),
                (PROTO, "https"),
                (HOST, "a.example"),
            ],
            "192.0.2.1 https a.example -",
        ),
        (&[(PROTO, "https")], "- https - -"),
        (&[(PROTO, "HTTPS"), (PORT, "8443")], "- https - 8443"),
        // The host's own port comes first.
        (
            &[(HOST, "example.com:81"), (PORT, "82")],
            "- - example.com 81",
        ),
        (&[(HOST, "[2001:db8::2]:81")], "- - 2001:db8::2 81"),
        // What is malformed costs that alone.
        (&[(FOR, "nonsense")], NOTHING),
        (
            &[(FOR, "nonsense, 10.0.0.2"), (PROTO, "https"), (HOST, "a")],
            "- https a -",
        ),
        (
            &[(FOR, "192.0.2.1"), (PROTO, "ws"), (HOST, "a")],
            "192.0.2.1 - a -",
        ),
        (
            &[(FOR, "192.0.2.1"), (PROTO, "https, \u{e9}")],
            "192.0.2.1 - - -",
        ),
        (
            &[(FOR, "192.0.2.1"), (PROTO, "\u{e9}, https")],
            "192.0.2.1 https - -",
        ),
        (&[(FOR, "192.0.2.1"), (HOST, "a b")], "192.0.2.1 - - -"),
        (
            &[(FOR, "192.0.2.1"), (HOST, "user@example.com"), (PORT, "80")],
            "192.0.2.1 - - 80",
        ),
        (
            &[(FOR, "192.0.2.1"), (HOST, "a"), (PORT, "+80")],
            "192.0.2.1 - a -",
        ),
        (&[(FOR, "192.0.2.1"), (PORT, "65536")], "192.0.2.1 - - -"),
        (&[(FOR, "192.0.2.1 10.0.0.2")], NOTHING),
        (&[(FOR, "192.0.2.1, \u{e9}")], NOTHING),
    ]);
}

#[test]
fn who_is_not_trusted_is_not_believed() {
    let pairs = [
        ("forwarded", "for=192.0.2.1;proto=https"),
        ("x-forwarded-for", "192.0.2.1"),
    ];
    for (peer, believed) in [
        ("10.255.255.255:1", true),
        ("11.0.0.1:1", false),
        ("127.0.0.1:1", false),
        ("[2001:db8:1::1]:1", true),
        ("[2001:db8:2::1]:1", false),
        // As a listener for both kinds sees it.
        ("[::ffff:10.0.0.1]:1", true),
    ] {
        let forwarded = read_from(peer, &pairs);
        assert_eq!(forwarded != Forwarded::default(), believed, "{peer}");
    }
}
