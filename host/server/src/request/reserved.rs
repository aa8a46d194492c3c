//! Attributes of the server span that a guest cannot set.

/// Whether a key is the host's to set on the server span.
pub(crate) fn is_reserved(key: &str) -> bool {
    const PREFIXES: [&str; 6] = [
        "http.",
        "url.",
        "server.",
        "network.",
        "client.",
        "fanlight.",
    ];
    PREFIXES.iter().any(|prefix| key.starts_with(prefix))
        || key == "error.type"
        || key == "error.blame"
        || key == "user_agent.original"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_hosts_to_say_is_reserved() {
        for key in [
            "http.route",
            "url.path",
            "error.type",
            "error.blame",
            "fanlight.x",
        ] {
            assert!(is_reserved(key), "{key}");
        }
        for key in ["error", "httpx", "db.system.name", "enduser.id"] {
            assert!(!is_reserved(key), "{key}");
        }
    }
}
