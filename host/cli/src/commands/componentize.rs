//! `fanlight componentize`: a component of a core module, for compilers that make no
//! components themselves.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::Args;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{Resolve, WorldId};

use crate::cli::{BAD_USE, FAILED, failed};
use crate::help;

#[derive(Debug, Args)]
#[command(after_long_help = help::COMPONENTIZE)]
pub(crate) struct ComponentizeArgs {
    /// The module
    module: PathBuf,
    /// The folder that says in WIT what the module imports and exports
    #[arg(long, value_name = "FOLDER", default_value = "wit")]
    wit: PathBuf,
    /// The world in it that the module is built for
    #[arg(long, value_name = "NAME", default_value = "service")]
    world: String,
    /// The component's file
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

impl ComponentizeArgs {
    pub(crate) fn run(&self) -> ExitCode {
        let component = match self.component() {
            Ok(component) => component,
            Err(error) => return failed(&error, BAD_USE),
        };
        let output = &self.output;
        match std::fs::write(output, component) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let error = anyhow::Error::from(error);
                failed(
                    &error.context(format!("cannot write {}", output.display())),
                    FAILED,
                )
            }
        }
    }

    fn component(&self) -> anyhow::Result<Vec<u8>> {
        let mut module = std::fs::read(&self.module)
            .with_context(|| format!("cannot read {}", self.module.display()))?;
        let (resolve, world) = world(&self.wit, &self.world)?;
        let utf8 = StringEncoding::UTF8;
        let encoded =
            embed_component_metadata(&mut module, &resolve, world, utf8, true).and_then(|()| {
                ComponentEncoder::default()
                    .validate(true)
                    .module(&module)?
                    .adapter(
                        WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                        WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
                    )?
                    .encode()
            });
        encoded.with_context(|| {
            let (module, world) = (self.module.display(), &self.world);
            format!("{module} cannot become a component of the world {world}")
        })
    }
}

/// Reads a world.
///
/// # Errors
/// Where the folder cannot be read, or has no such world.
pub(crate) fn world(folder: &Path, name: &str) -> anyhow::Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(folder)
        .map_err(|error| anyhow!("{error:#}"))
        .with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let world = resolve.select_world(&[package], Some(name))?;
    Ok((resolve, world))
}
