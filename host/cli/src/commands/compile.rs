//! `fanlight compile`: a component and its native code in one file.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;

use crate::args::component::{ComponentArgs, FileArgs};
use crate::cli::{BAD_USE, FAILED, boolean, failed};
use crate::commands::inspect::changes::bytes;
use crate::help;
use fanlight_server::{SlotError, compile_ahead, read_file};

#[derive(Debug, Args)]
#[command(after_long_help = help::COMPILE)]
pub(crate) struct CompileArgs {
    /// The component
    file: PathBuf,
    /// Where to write the component with its native code
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Keep the table through which a component's imports are called, as for a server
    /// with this flag
    #[arg(
        long,
        env = "FANLIGHT_NO_DIRECT_IMPORTS",
        value_parser = boolean
    )]
    no_direct_imports: bool,
    #[command(flatten)]
    component: ComponentArgs,
    #[command(flatten)]
    max: FileArgs,
}

impl CompileArgs {
    pub(crate) fn run(self) -> ExitCode {
        let compiled = match self.compile() {
            Ok(compiled) => compiled,
            Err(error) => return failed(&error, BAD_USE),
        };
        if let Err(error) = replace(&self.output, &compiled) {
            let error = anyhow::Error::from(error);
            let error = error.context(format!("cannot write {}", self.output.display()));
            return failed(&error, FAILED);
        }
        let size = bytes(compiled.len() as u64);
        let line = format!(
            "compiled {} for {}-{}: {} ({size})\n",
            self.file.display(),
            std::env::consts::ARCH,
            std::env::consts::OS,
            self.output.display()
        );
        // A reader that has seen enough closes its end.
        let _ = io::stdout().write_all(line.as_bytes());
        ExitCode::SUCCESS
    }

    fn compile(&self) -> anyhow::Result<Vec<u8>> {
        let shown = self.file.display().to_string();
        let engine = self.component.engine(&self.max, !self.no_direct_imports);
        let component = read_file(&self.file, engine.max_component_bytes);
        let component = component.with_context(|| format!("cannot read {shown}"))?;
        anyhow::ensure!(
            !is_same(&self.file, &self.output),
            "{shown} would be overwritten by its native code: name another file after -o"
        );
        compile_ahead(&component, &engine).map_err(|error| match error {
            SlotError::Engine(_) => error.into(),
            SlotError::Load(_) => anyhow::Error::from(error).context(shown),
        })
    }
}

/// Whether two paths are of one file that is there.
fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// Writes a file in one step: a server that watches it sees the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // It may not be there.
        let _ = fs::remove_file(&beside);
    }
    written
}
