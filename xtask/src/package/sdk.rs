//! Packages the SDK of components, and builds it from its package alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::{cargo, wasm};

/// What is built for WebAssembly: with these features it is whole.
const GUEST: &str = "fanlight-guest";

/// Packages the SDK, and builds it from its package.
///
/// # Errors
/// When a package lacks something, or the SDK's manifest, which stands by itself, says
/// something else than the workspace.
pub(crate) fn run() -> anyhow::Result<()> {
    let members = members()?;
    agree(&members)?;
    wasm::add_target()?;
    let mut package = cargo::cargo();
    // What is not committed yet is tried as well: nothing is published here.
    package
        .args(["package", "--locked", "--allow-dirty", "--package", GUEST])
        .args(["--target", wasm::TARGET, "--all-features"]);
    cargo::run(&mut package)
}

/// Compares what stands in more than one manifest: what members say of themselves, and
/// the versions that they ask for of others.
fn agree(members: &[Member]) -> anyhow::Result<()> {
    let mut asked: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for member in members {
        let own = [
            ("version", &member.version),
            ("edition", &member.edition),
            ("rust-version", &member.rust_version),
            ("license", &member.license),
        ];
        let own = own.map(|(name, value)| (name, value.as_str()));
        let others = member.dependencies.iter();
        let others = others.filter(|it| it.path.is_none());
        let others = others.map(|it| (it.name.as_str(), it.req.as_str()));
        for (what, value) in own.into_iter().chain(others) {
            let (first, by) = asked.entry(what).or_insert((value, &member.name));
            if *first != value {
                let name = &member.name;
                bail!("{what} is {value} in the manifest of {name}, and {first} in that of {by}");
            }
        }
    }
    Ok(())
}

fn members() -> anyhow::Result<Vec<Member>> {
    let mut metadata = cargo::cargo();
    metadata.args(["metadata", "--no-deps", "--format-version=1"]);
    let output = metadata.output().context("cannot run cargo metadata")?;
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("cargo metadata is not understood")?;
    Ok(metadata.packages)
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    name: String,
    version: String,
    edition: String,
    #[serde(default)]
    rust_version: String,
    #[serde(default)]
    license: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    req: String,
    path: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, dependency: &str, req: &str) -> Member {
        Member {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            edition: "2024".to_owned(),
            rust_version: "1.95".to_owned(),
            license: "MIT".to_owned(),
            dependencies: vec![Dependency {
                name: dependency.to_owned(),
                req: req.to_owned(),
                path: None,
            }],
        }
    }

    #[test]
    fn manifests_that_ask_for_different_versions_are_named() {
        let same = [member("one", "serde", "^1"), member("two", "serde", "^1")];
        agree(&same).unwrap();
        let other = [member("one", "serde", "^1"), member("two", "serde", "^2")];
        assert_eq!(
            agree(&other).unwrap_err().to_string(),
            "serde is ^2 in the manifest of two, and ^1 in that of one"
        );
    }

    #[test]
    fn the_manifests_of_this_workspace_agree() {
        let members = members().unwrap();
        assert!(members.iter().any(|it| it.name == GUEST));
        agree(&members).unwrap();
    }
}
