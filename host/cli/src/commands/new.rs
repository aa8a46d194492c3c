//! `fanlight new`: a project from a template that is part of the program.
//!
//! A file of a template whose name ends in `.template` loses that ending, and has the
//! project's name where it says `{{name}}`. So cargo and git do not take a template's own
//! manifest or list of ignored files for one of this repository.

mod go_bindings;
mod project_name;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::{Args, ValueEnum};
use include_dir::{Dir, DirEntry, include_dir};

use crate::cli::{BAD_USE, FAILED, failed};
use crate::commands::new::project_name::ProjectName;
use crate::help;

/// A folder for each language.
static TEMPLATES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/templates");
const TEMPLATE: &str = "template";
const WIT: &str = "wit";
/// The version of WASI that `wit/` holds.
const WASI: &str = "0.2.12";

#[derive(Debug, Args)]
#[command(after_long_help = help::NEW)]
pub(crate) struct NewArgs {
    /// The project's name: a folder of this name is made for it
    name: ProjectName,
    /// The language that the component is written in
    #[arg(long, value_name = "LANGUAGE", default_value = "rust")]
    lang: Language,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Language {
    Rust,
    #[value(name = "js", alias = "javascript")]
    JavaScript,
    Python,
    Go,
}

impl NewArgs {
    pub(crate) fn run(&self) -> ExitCode {
        let folder = Path::new(self.name.as_str());
        if let Err(error) = fs::create_dir(folder) {
            let code = match error.kind() {
                ErrorKind::AlreadyExists => BAD_USE,
                _ => FAILED,
            };
            let error = match error.kind() {
                ErrorKind::AlreadyExists => anyhow!(
                    "{} exists already: choose another name, or remove it",
                    folder.display()
                ),
                _ => anyhow::Error::from(error)
                    .context(format!("cannot make the folder {}", folder.display())),
            };
            return failed(&error, code);
        }
        let copied = self.lang.template().and_then(|it| self.copy(it, folder));
        let made = copied.and_then(|()| match self.lang {
            Language::Go => go_bindings::generate(folder, self.name.as_str()),
            _ => Ok(()),
        });
        match made {
            Ok(()) => {
                println!("{}", self.lang.next_steps(&self.name));
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error, FAILED),
        }
    }

    /// Writes the files of a template.
    fn copy(&self, template: &Dir<'_>, folder: &Path) -> anyhow::Result<()> {
        let mut entries: Vec<_> = template.entries().iter().collect();
        while let Some(entry) = entries.pop() {
            match entry {
                DirEntry::Dir(dir) => entries.extend(dir.entries()),
                DirEntry::File(file) => {
                    let path = file.path().components().skip(1).collect::<PathBuf>();
                    self.write(&folder.join(path), file.contents())?;
                }
            }
        }
        Ok(())
    }

    fn write(&self, path: &Path, contents: &[u8]) -> anyhow::Result<()> {
        let failure = || format!("cannot write {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(failure)?;
        }
        let text = str::from_utf8(contents).with_context(failure)?;
        let (path, text) = if path.extension().is_some_and(|it| it == TEMPLATE) {
            (path.with_extension(""), self.name.fill(text))
        } else if path.extension().is_some_and(|it| it == WIT) {
            (path.to_owned(), text.replace(WASI, self.lang.wasi()))
        } else {
            (path.to_owned(), text.to_owned())
        };
        fs::write(path, text).with_context(failure)
    }
}

impl Language {
    fn template(self) -> anyhow::Result<&'static Dir<'static>> {
        let name = match self {
            Self::Rust => "rust",
            Self::JavaScript => "js",
            Self::Python => "python",
            Self::Go => "go",
        };
        let template = TEMPLATES.get_dir(name);
        template.with_context(|| format!("this program has no template for {name}"))
    }

    /// The version of WASI that the language's tools build for.
    fn wasi(self) -> &'static str {
        match self {
            // The engine of componentize-js 0.23 answers the event `fetch` by this one alone.
            Self::JavaScript => "0.2.10",
            _ => WASI,
        }
    }

    /// What to type next.
    fn next_steps(self, name: &ProjectName) -> String {
        let setup = match self {
            Self::Rust => "rustup target add wasm32-wasip2    # once",
            Self::JavaScript => "npm install",
            Self::Go => "go version    # 1.25 or newer",
            Self::Python => "python3 -m venv .venv\n  .venv/bin/pip install -r requirements.txt",
        };
        let name = name.as_str();
        format!(
            "Made {name}. Next:\n\n  cd {name}\n  {setup}\n  fanlight dev\n\n\
             {name}/README.md has the other commands."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_a_template_with_a_readme_and_ignored_files() {
        for language in Language::value_variants() {
            let template = language.template().unwrap();
            for file in ["README.md.template", ".gitignore.template"] {
                let path = template.path().join(file);
                assert!(template.get_file(&path).is_some(), "{}", path.display());
            }
        }
    }

    #[test]
    fn the_contract_has_the_version_of_wasi_that_is_replaced() {
        let file = "rust/fanlight-guest/wit/deps/http.wit";
        let text = TEMPLATES.get_file(file).unwrap().contents_utf8().unwrap();
        assert!(text.contains(&format!("package wasi:http@{WASI};")));
    }
}
