//! What a project in Go calls: generated from its `wit/`, as part of the project.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use wit_bindgen_core::Files;
use wit_bindgen_go::Opts;

use crate::commands::componentize;

const WORLD: &str = "service";

/// Writes the bindings of a project into its folder `bindings`.
///
/// # Errors
/// Where a file cannot be written.
pub(crate) fn generate(project: &Path, module: &str) -> anyhow::Result<()> {
    let (mut resolve, world) = componentize::world(&project.join("wit"), WORLD)?;
    let options = Opts {
        pkg_name: Some(format!("{module}/bindings")),
        quiet: true,
        ..Opts::default()
    };
    let mut files = Files::default();
    options
        .build()
        .generate(&mut resolve, world, &mut files)
        .context("the bindings cannot be generated")?;
    for (name, text) in files.iter() {
        let path = project.join("bindings").join(name);
        let failure = || format!("cannot write {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(failure)?;
        }
        fs::write(&path, text).with_context(failure)?;
    }
    Ok(())
}
