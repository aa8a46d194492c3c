//! The name of a project: one that every language's tools take.

use std::str::FromStr;

const MAX_CHARACTERS: usize = 64;
/// Words of Rust, and names of crates that come with it or with a project.
const TAKEN: [&str; 44] = [
    "alloc",
    "as",
    "async",
    "await",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "fanlight-guest",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "match",
    "mod",
    "move",
    "mut",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "unsafe",
    "use",
    "where",
    "while",
];

/// The name of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProjectName(String);

impl ProjectName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Puts the name into a text of a template.
    pub(crate) fn fill(&self, text: &str) -> String {
        text.replace("{{name}}", &self.0)
            .replace("{{module}}", &self.0.replace('-', "_"))
    }
}

impl FromStr for ProjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_allowed = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
        let begins_well = text.starts_with(|it: char| it.is_ascii_lowercase());
        if !begins_well || !text.chars().all(is_allowed) || text.len() > MAX_CHARACTERS {
            return Err(format!(
                "a name has lower-case letters, digits and hyphens, begins with a letter, and has \
                 at most {MAX_CHARACTERS} characters, such as my-service"
            ));
        }
        if TAKEN.contains(&text) {
            return Err(format!(
                "it has a meaning in Rust already: choose another, such as my-{text}"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_every_language_takes() {
        for name in ["a", "my-service", "s3", "shop-2-front"] {
            assert_eq!(name.parse::<ProjectName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn another_name_is_refused_with_what_is_allowed() {
        let long = "a".repeat(MAX_CHARACTERS + 1);
        for name in ["", "My", "a_b", "2a", "-a", "a b", "../a", "ä", &long] {
            let refused = name.parse::<ProjectName>().unwrap_err();
            assert!(refused.contains("such as my-service"), "{name}: {refused}");
        }
        for name in ["fn", "std", "test", "fanlight-guest"] {
            let refused = name.parse::<ProjectName>().unwrap_err();
            assert!(refused.contains("choose another"), "{name}: {refused}");
        }
    }

    #[test]
    fn a_text_gets_the_name_and_the_module() {
        let name: ProjectName = "my-service".parse().unwrap();
        assert_eq!(
            name.fill("{{name}}/{{module}}.wasm"),
            "my-service/my_service.wasm"
        );
    }
}
