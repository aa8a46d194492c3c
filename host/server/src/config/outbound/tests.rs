use super::*;

fn policy(rules: &[&str]) -> OutboundPolicy {
    OutboundPolicy::new(rules.iter().map(|it| it.parse().unwrap()))
}

/// Whether a call to `uri` may connect to `address`.
fn allows(rules: &[&str], uri: &str, address: &str) -> bool {
    let grant = policy(rules).grant(&uri.parse().unwrap());
    grant.is_some_and(|it| it.allows(address.parse().unwrap()))
}

#[test]
fn nothing_is_allowed_without_a_rule() {
    assert_eq!(
        OutboundPolicy::default().grant(&"https://example.com/".parse().unwrap()),
        None
    );
}

#[test]
fn a_rule_speaks_for_the_origins_that_it_names() {
    for (rule, uri, is_allowed) in [
        (
            "https://api.example.com",
            "https://api.example.com/a?b",
            true,
        ),
        (
            "https://api.example.com/",
            "https://API.example.com.:443/",
            true,
        ),
        ("https://api.example.com", "http://api.example.com/", false),
        (
            "https://api.example.com",
            "https://api.example.com:8443/",
            false,
        ),
        ("https://api.example.com", "https://example.com/", false),
        (
            "https://api.example.com",
            "https://api.example.com.evil.org/",
            false,
        ),
        ("api.example.com", "http://api.example.com/", true),
        ("api.example.com", "https://api.example.com/", true),
        ("api.example.com", "https://api.example.com:80/", false),
        (
            "api.example.com:8443",
            "https://api.example.com:8443/",
            true,
        ),
        ("api.example.com:*", "http://api.example.com:1/", true),
        ("*.example.com", "https://a.b.example.com/", true),
        ("*.example.com", "https://example.com/", false),
        ("*.example.com", "https://badexample.com/", false),
        ("*", "https://anything.org/", true),
        ("*", "https://anything.org:8443/", false),
        ("*:*", "https://anything.org:8443/", true),
        ("https://*", "http://anything.org/", false),
    ] {
        assert_eq!(allows(&[rule], uri, "8.8.8.8"), is_allowed, "{rule} {uri}");
    }
}

#[test]
fn a_name_leads_to_public_addresses_and_to_the_classes_that_its_rule_names() {
    for (rules, uri, address, is_allowed) in [
        (&["*:*"][..], "http://a.org/", "127.0.0.1", false),
        (&["*:*"], "http://a.org/", "10.0.0.1", false),
        (&["*:*"], "http://a.org/", "169.254.1.1", false),
        (&["*:*"], "http://a.org/", "::ffff:127.0.0.1", false),
        (&["*:*"], "http://127.0.0.1/", "127.0.0.1", false),
        (&["a.org+loopback"], "http://a.org/", "127.0.0.1", true),
        (&["a.org+loopback"], "http://a.org/", "10.0.0.1", false),
        (&["*.localhost"], "http://a.localhost/", "127.0.0.1", true),
        (&["a.org+private"], "http://a.org/", "10.0.0.1", true),
        (&["a.org+private"], "http://b.org/", "10.0.0.1", false),
        (
            &["a.org+private+link-local"],
            "http://a.org/",
            "fe80::1",
            true,
        ),
        (&["localhost:3000"], "http://localhost:3000/", "::1", true),
        (
            &["localhost:3000"],
            "http://localhost:3000/",
            "10.0.0.1",
            false,
        ),
        // A class does not reach what hands out credentials.
        (
            &["a.org+link-local"],
            "http://a.org/",
            "169.254.169.254",
            false,
        ),
        (
            &["*:*+loopback+private+link-local"],
            "http://a.org/",
            "0.0.0.0",
            false,
        ),
    ] {
        assert_eq!(
            allows(rules, uri, address),
            is_allowed,
            "{rules:?} {uri} {address}"
        );
    }
}

#[test]
fn a_network_names_its_addresses_whatever_the_host_is_called() {
    for (rule, uri, address, is_allowed) in [
        ("10.0.0.0/8", "http://db.internal/", "10.1.2.3", true),
        ("10.0.0.0/8", "http://10.1.2.3/", "10.1.2.3", true),
        ("10.0.0.0/8", "http://db.internal:6379/", "10.1.2.3", false),
        (
            "10.0.0.0/8:6379",
            "http://db.internal:6379/",
            "10.1.2.3",
            true,
        ),
        (
            "10.0.0.0/8:*",
            "http://db.internal:6379/",
            "11.0.0.1",
            false,
        ),
        (
            "127.0.0.1:8000",
            "http://127.0.0.1:8000/",
            "127.0.0.1",
            true,
        ),
        (
            "127.0.0.1:8000",
            "http://127.0.0.1:8000/",
            "127.0.0.2",
            false,
        ),
        ("[::1]:8000", "http://[::1]:8000/", "::1", true),
        ("fd00::/8", "http://a.internal/", "fd12::1", true),
        ("::ffff:10.0.0.1", "http://a.internal/", "10.0.0.1", true),
        // A network that holds public addresses names those alone.
        ("0.0.0.0/0", "http://a.org/", "8.8.8.8", true),
        ("0.0.0.0/0", "http://a.org/", "127.0.0.1", false),
        ("0.0.0.0/0", "http://a.org/", "10.0.0.1", false),
        ("0.0.0.0/0", "http://a.org/", "0.0.0.0", false),
        ("0.0.0.0/0", "http://a.org/", "224.0.0.1", false),
        ("0.0.0.0/0", "http://a.org/", "192.0.2.1", false),
        ("::/0", "http://[::]/", "::", false),
        ("::/0", "http://[::ffff:0.0.0.0]/", "::ffff:0.0.0.0", false),
        ("::ffff:10.0.0.0/104", "http://a.org/", "10.1.2.3", true),
        ("169.254.0.0/16", "http://a.org/", "169.254.7.7", true),
        ("169.254.0.0/16", "http://a.org/", "169.254.169.254", false),
        (
            "169.254.169.254",
            "http://169.254.169.254/",
            "169.254.169.254",
            true,
        ),
    ] {
        assert_eq!(
            allows(&[rule], uri, address),
            is_allowed,
            "{rule} {uri} {address}"
        );
    }
}

#[test]
fn what_is_no_rule_is_refused_with_the_reason() {
    for (text, error) in [
        ("", NotARule::Host),
        ("ftp://a.org", NotARule::Scheme),
        ("https://a.org/path", NotARule::MoreThanOrigin),
        ("https://user@a.org", NotARule::MoreThanOrigin),
        ("a.org:0", NotARule::Port),
        ("a.org:65536", NotARule::Port),
        ("a.org:", NotARule::Port),
        ("a..org", NotARule::Host),
        ("a org", NotARule::Host),
        ("*.*.org", NotARule::Host),
        ("[::1", NotARule::Host),
        ("a.org+metadata", NotARule::Class),
    ] {
        assert_eq!(text.parse::<OutboundRule>(), Err(error), "{text}");
    }
}
