//! How a project is built, and where its component is then: by its files, or by what its
//! `fanlight.toml` says.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// The project's own configuration. Its other tables are not this command's.
const CONFIGURATION: &str = "fanlight.toml";

/// A folder with the sources of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Project {
    pub(crate) folder: PathBuf,
    pub(crate) build: BuildCommand,
    /// Where the build puts the component; none where cargo says so.
    pub(crate) component: Option<PathBuf>,
}

/// What builds a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BuildCommand {
    /// Cargo, which says where it puts the component.
    Cargo,
    /// A line for the shell.
    Shell(String),
}

#[derive(Deserialize)]
struct Configuration {
    dev: Option<Dev>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dev {
    build: Option<String>,
    component: Option<PathBuf>,
}

impl Project {
    /// Finds out about the project in a folder.
    ///
    /// # Errors
    /// Where nothing there says how to build it.
    pub(crate) fn find(folder: &Path) -> anyhow::Result<Self> {
        // The paths of events are absolute.
        let folder = folder
            .canonicalize()
            .with_context(|| format!("cannot open the folder {}", folder.display()))?;
        let Dev { build, component } = configuration(&folder)?;
        let component = component.map(|it| folder.join(it));
        let has = |file: &str| folder.join(file).is_file();
        let build = match build {
            Some(line) => BuildCommand::Shell(line),
            None if has("Cargo.toml") => BuildCommand::Cargo,
            None if has("package.json") => BuildCommand::Shell("npm run build".to_owned()),
            None => bail!(
                "{} has neither Cargo.toml nor package.json: write how to build it into its \
                 {CONFIGURATION}, such as\n\n  [dev]\n  build = \"make\"\n  component = \
                 \"service.wasm\"\n\nor make a project by `fanlight new`",
                folder.display()
            ),
        };
        if component.is_none() && build != BuildCommand::Cargo {
            bail!(
                "{} does not say where the build puts the component: write it there, such as\n\n  \
                 [dev]\n  component = \"service.wasm\"",
                folder.join(CONFIGURATION).display()
            );
        }
        Ok(Self {
            folder,
            build,
            component,
        })
    }
}

fn configuration(folder: &Path) -> anyhow::Result<Dev> {
    let path = folder.join(CONFIGURATION);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let configuration: Configuration =
        toml::from_str(&text).with_context(|| format!("{} cannot be used", path.display()))?;
    Ok(configuration.dev.unwrap_or(Dev {
        build: None,
        component: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> anyhow::Result<Project> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Project::find(folder.path())
    }

    #[test]
    fn a_folder_with_a_manifest_of_cargo_is_built_by_cargo() {
        let project = found(&[("Cargo.toml", "")]).unwrap();
        assert_eq!(
            (project.build, project.component),
            (BuildCommand::Cargo, None)
        );
    }

    #[test]
    fn what_the_configuration_says_goes_first() {
        let text = "listen = \"127.0.0.1:1\"\n[dev]\nbuild = \"make\"\ncomponent = \"a.wasm\"\n";
        let project = found(&[("Cargo.toml", ""), (CONFIGURATION, text)]).unwrap();
        assert_eq!(project.build, BuildCommand::Shell("make".to_owned()));
        assert_eq!(project.component, Some(project.folder.join("a.wasm")));
    }

    #[test]
    fn a_folder_that_says_too_little_is_refused_with_what_to_write() {
        let component = "[dev]\ncomponent = \"a.wasm\"";
        let said = |files: &[(&str, &str)]| format!("{:#}", found(files).unwrap_err());
        assert!(said(&[]).contains("`fanlight new`"));
        assert!(said(&[("package.json", "{}")]).contains("[dev]\n  component"));
        let npm = found(&[("package.json", "{}"), (CONFIGURATION, component)]).unwrap();
        assert_eq!(npm.build, BuildCommand::Shell("npm run build".to_owned()));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let text = "[dev]\nbuilt = \"make\"";
        let said = format!("{:#}", found(&[(CONFIGURATION, text)]).unwrap_err());
        assert!(
            said.contains("built") && said.contains(CONFIGURATION),
            "{said}"
        );
    }
}
