//! Finds words in documentation that plain technical English does without: a named
//! actor stands for a pronoun, a verb for a phrase.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::cargo;

/// Phrases that no text has, in lower case.
const BANNED: &[&str] = &[
    "anybody",
    "anybody's",
    "everybody",
    "everybody's",
    "nobody",
    "nobody's",
    "somebody",
    "somebody's",
    "whoever",
    "whomever",
    "so many",
    "is told",
    "are told",
    "be told",
    "been told",
    "was told",
    "were told",
    "told so",
    "take note",
    "takes note",
    "taking note",
    "took note",
    "what becomes of",
    "what became of",
    "what came of",
    "is said",
    "are said",
    "says of",
    "say of",
    "said of",
    "to be had",
];

/// Files and folders whose text is checked: all of a `.md` or `.wit` file, the doc
/// comments of a `.rs` file. WASI's own files in `wit/deps` are others' work.
const CHECKED: &[&str] = &[
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "docs",
    "guest/sdk",
    "host",
    "wit/README.md",
    "wit/deps/fanlight-http",
    "wit/deps/otel.wit",
    "wit/logs.wit",
    "wit/metrics.wit",
    "wit/tracing.wit",
    "wit/types.wit",
    "wit/world.wit",
];

/// Checks every text.
///
/// # Errors
/// When a text has a banned phrase, or cannot be read.
pub(crate) fn run() -> anyhow::Result<()> {
    let top = cargo::workspace();
    let mut files = Vec::new();
    for checked in CHECKED {
        collect(&top.join(checked), &mut files)?;
    }
    files.sort();
    let mut found = 0;
    for file in files {
        let text = read(&file)?;
        let shown = file.strip_prefix(&top).unwrap_or(&file).display();
        for (line, phrase) in banned_in(&prose(&file, &text)) {
            eprintln!("{shown}:{line}: \"{phrase}\"");
            found += 1;
        }
    }
    if found > 0 {
        bail!("{found} phrases are not plain English: name the actor, and say what it does");
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Adds the file, or the files below the folder, that hold prose. A link's text is checked
/// where it lies.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let cannot = || format!("cannot read {}", path.display());
    if path.is_dir() {
        for entry in fs::read_dir(path).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            if !entry.file_type().with_context(cannot)?.is_symlink() {
                collect(&entry.path(), files)?;
            }
        }
    } else if ["md", "wit", "rs"].iter().any(|it| has_extension(path, it)) {
        files.push(path.to_owned());
    }
    Ok(())
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|it| it == extension)
}

/// The lines of a file with all but its prose blanked. Code in Markdown is not prose.
fn prose<'a>(file: &Path, text: &'a str) -> Vec<&'a str> {
    let mut is_code = false;
    let lines = text.lines().map(str::trim_start);
    if has_extension(file, "md") {
        return lines
            .map(|line| {
                let is_fence = line.starts_with("```");
                is_code ^= is_fence;
                if is_code || is_fence { "" } else { line }
            })
            .collect();
    }
    lines
        .map(|line| {
            let doc = ["///", "//!"].iter().find_map(|it| line.strip_prefix(it));
            doc.unwrap_or_default()
        })
        .collect()
}

/// The banned phrases, each with the line that it begins in.
fn banned_in(lines: &[&str]) -> Vec<(usize, &'static str)> {
    // A blank line ends a sentence, so no phrase spans it.
    let words: Vec<(usize, String)> = lines
        .iter()
        .enumerate()
        .flat_map(|(at, line)| {
            let mut words: Vec<_> = line
                .split(|it: char| !it.is_alphanumeric() && !"'_".contains(it))
                .filter(|word| !word.is_empty())
                .map(|word| (at + 1, word.to_lowercase()))
                .collect();
            if words.is_empty() {
                words.push((at + 1, String::new()));
            }
            words
        })
        .collect();
    let mut found = Vec::new();
    for (at, (line, _)) in words.iter().enumerate() {
        for phrase in BANNED {
            let mut following = words[at..].iter().map(|(_, word)| word.as_str());
            if phrase.split(' ').all(|word| following.next() == Some(word)) {
                found.push((*line, *phrase));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{banned_in, prose};

    #[test]
    fn a_phrase_is_found_across_lines_and_in_any_case() {
        let text = "//! Nobody reads it: the client is\n//! told.\nlet whoever = 1;\n";
        let found = banned_in(&prose(Path::new("a.rs"), text));
        assert_eq!(found, [(1, "nobody"), (1, "is told")]);
    }

    #[test]
    fn code_in_markdown_and_parts_of_words_are_no_prose() {
        let text = "A host is.\n\nTold\n```text\nnobody\n```\nhosts_are_told nobody_s\n";
        assert!(banned_in(&prose(Path::new("a.md"), text)).is_empty());
    }
}
