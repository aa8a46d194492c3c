//! What a component was made with: the section `producers` of its parts.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use wasmparser::KnownCustom;

use fanlight_telemetry::sanitize::one_line;

/// The most entries of one kind that are kept.
const MAX_ENTRIES: usize = 30;
/// The longest entry, in bytes.
const MAX_ENTRY: usize = 128;

/// Languages and tools, such as `Rust` and `rustc 1.95.0`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolchain {
    /// The languages of its sources.
    pub languages: BTreeSet<String>,
    /// The compilers and tools that made it.
    pub tools: BTreeSet<String>,
    /// The software development kits that it uses.
    pub sdks: BTreeSet<String>,
}

impl Toolchain {
    /// Adds what a custom section says, if it is one of producers.
    pub(crate) fn add(&mut self, section: &KnownCustom<'_>) {
        let KnownCustom::Producers(fields) = section else {
            return;
        };
        for field in fields.clone().into_iter().map_while(Result::ok) {
            let entries = match field.name {
                "language" => &mut self.languages,
                "processed-by" => &mut self.tools,
                "sdk" => &mut self.sdks,
                _ => continue,
            };
            for value in field.values.into_iter().map_while(Result::ok) {
                if entries.len() < MAX_ENTRIES {
                    let entry = format_args!("{} {}", value.name, value.version);
                    entries.insert(one_line(entry, MAX_ENTRY).trim().to_owned());
                }
            }
        }
    }

    /// All entries.
    pub(crate) fn entries(&self) -> BTreeSet<&str> {
        let all = [&self.languages, &self.tools, &self.sdks];
        all.into_iter().flatten().map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::sandbox::inspection::Inspection;

    #[test]
    fn producers_of_all_parts_are_listed_once_and_escaped() {
        let module = r#"(core module (@producers
            (language "Rust" "")
            (processed-by "rustc" "1.95.0")
            (processed-by "bad\1b[31m" "\0a")
            (sdk "fanlight" "0.1.0")))"#;
        let text = format!("(component {module} {module})");
        let toolchain = Inspection::read(&wat::parse_str(text).unwrap()).toolchain;
        let entries: Vec<_> = toolchain.entries().into_iter().collect();
        assert_eq!(
            entries,
            [
                "Rust",
                r"bad\u{1b}[31m \n",
                "fanlight 0.1.0",
                "rustc 1.95.0"
            ]
        );
        assert_eq!(toolchain.languages.len(), 1);
    }
}
