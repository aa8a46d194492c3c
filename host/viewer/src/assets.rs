//! The style sheet, the scripts and the icon, served from the program.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asset {
    name: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) text: &'static str,
}

/// Where they are.
pub(crate) const PREFIX: &str = "/ui/assets/";

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const ASSETS: [Asset; 9] = [
    Asset {
        name: "style.css",
        content_type: "text/css; charset=utf-8",
        text: include_str!("../assets/style.css"),
    },
    Asset {
        name: "icon.svg",
        content_type: "image/svg+xml",
        text: include_str!("../assets/icon.svg"),
    },
    Asset {
        name: "main.js",
        content_type: JAVASCRIPT,
        text: include_str!("../assets/main.js"),
    },
    Asset {
        name: "live.js",
        content_type: JAVASCRIPT,
        text: include_str!("../assets/live.js"),
    },
    Asset {
        name: "enhance.js",
        content_type: JAVASCRIPT,
        text: include_str!("../assets/enhance.js"),
    },
    Asset {
        name: "more.js",
        content_type: JAVASCRIPT,
        text: include_str!("../assets/more.js"),
    },
    Asset {
        name: "keys.js",
        content_type: JAVASCRIPT,
        text: include_str!("../assets/keys.js"),
    },
    Asset {
        name: "brush.js",
        content_type: JAVASCRIPT,
        text: include_str!("../assets/brush.js"),
    },
    Asset {
        name: "upload.js",
        content_type: JAVASCRIPT,
        text: include_str!("../assets/upload.js"),
    },
];

/// The file of this name.
pub(crate) fn find(name: &str) -> Option<Asset> {
    ASSETS.into_iter().find(|it| it.name == name)
}

/// The address of a file. Scripts import each other by name, so it has no version: a
/// browser asks whether its copy is current.
pub(crate) fn url(name: &str) -> String {
    format!("{PREFIX}{name}")
}

impl Asset {
    /// Changes with the content.
    pub(crate) fn etag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish())
    }
}
