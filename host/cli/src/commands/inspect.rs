//! `fanlight inspect`: what a component asks for, and what another one asks for beside.

mod json;
mod report;

pub(crate) mod changes;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use crate::args::component::{ComponentArgs, FileArgs};
use crate::cli::{BAD_USE, FAILED, failed};
use crate::help;
use fanlight_server::{Changes, InspectedComponent, Inspector, read_file};
use fanlight_telemetry::sanitize::one_line;

/// The longest path that is shown, in bytes.
const MAX_PATH: usize = 4 * 1024;

#[derive(Debug, Args)]
#[command(after_long_help = help::INSPECT)]
pub(crate) struct InspectArgs {
    /// The component
    file: PathBuf,
    /// Another component: say what differs if it is served in place of FILE
    new: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    component: ComponentArgs,
    #[command(flatten)]
    max: FileArgs,
}

impl InspectArgs {
    pub(crate) fn run(self) -> ExitCode {
        match self.inspect() {
            Ok((text, code)) => {
                // A reader that has seen enough closes its end.
                let _ = io::stdout().write_all(text.as_bytes());
                ExitCode::from(code)
            }
            Err(error) => failed(&error, BAD_USE),
        }
    }

    /// What is to be printed, and the exit code.
    fn inspect(&self) -> anyhow::Result<(String, u8)> {
        let engine = self.component.engine(&self.max, true);
        let inspector = Inspector::new(&engine)?;
        let (file, old) = read(&inspector, &self.file, engine.max_component_bytes)?;
        let Some(new) = &self.new else {
            let text = match self.json {
                true => json::of_component(&file, &old)?,
                false => report::of_component(&file, &old),
            };
            return Ok((text, code(old.refusal.is_none())));
        };
        let (new_file, new) = read(&inspector, new, engine.max_component_bytes)?;
        let changes = Changes::between(&old.inspection, &new.inspection);
        let text = match self.json {
            true => json::of_changes((&file, &old), (&new_file, &new), &changes)?,
            false => report::of_changes(&new_file, &new, &changes),
        };
        let is_fine = new.refusal.is_none() && !changes.imports.has_new();
        Ok((text, code(is_fine)))
    }
}

fn code(is_fine: bool) -> u8 {
    if is_fine { 0 } else { FAILED }
}

/// Reads a component; returns its path as it can be shown as well.
fn read(
    inspector: &Inspector,
    path: &Path,
    max_bytes: usize,
) -> anyhow::Result<(String, InspectedComponent)> {
    let shown = one_line(path.display(), MAX_PATH);
    let bytes = read_file(path, max_bytes).with_context(|| format!("cannot read {shown}"))?;
    let component = inspector.inspect(&bytes).with_context(|| shown.clone())?;
    Ok((shown, component))
}
