//! `fanlight dev`: builds a project, serves it, and builds and swaps at each save.
//!
//! It serves by what `fanlight serve` serves by, with the component watched. A build that
//! fails leaves the served component in place; its last lines stand with the refusals.

mod build;
mod project;
mod sources;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use fanlight_server::{LoadError, Reloader};
use fanlight_telemetry::HostLog;
use tokio::task::JoinHandle;

use crate::cli::{BAD_USE, FAILED, failed};
use crate::commands::dev::build::{BuildFailure, build};
use crate::commands::dev::project::Project;
use crate::commands::dev::sources::Sources;
use crate::commands::serve::ServeArgs;
use crate::help;
use crate::log::LogFormat;
use crate::signals::Signals;
use crate::stderr;

// The operand of `serve` names the component; here it names the folder of its sources.
#[derive(Debug, Args)]
#[command(
    after_long_help = help::DEV,
    mut_arg("component", |arg| arg
        .value_name("FOLDER")
        .help("The project's folder")
        .env(None::<&'static str>)
        .default_value(".")
        .required(false)),
    mut_arg("watch", |arg| arg.hide(true).env(None::<&'static str>)),
)]
pub(crate) struct DevArgs {
    #[command(flatten)]
    serve: ServeArgs,
}

impl DevArgs {
    /// The form of the log.
    pub(crate) fn log_format(&self) -> LogFormat {
        self.serve.log_format()
    }

    pub(crate) async fn run(mut self, log: &HostLog) -> ExitCode {
        let mut signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => return failed(&error.into(), FAILED),
        };
        let project = match Project::find(self.serve.component()) {
            Ok(project) => project,
            Err(error) => return failed(&error, BAD_USE),
        };
        let mut sources = Sources::watch(&project.folder);
        let component = tokio::select! {
            component = first_component(&project, &mut sources) => component,
            _ = signals.next() => return ExitCode::SUCCESS,
        };
        tracing::info!("built {}: loading it", component.display());
        // The server has no handlers of its own yet while it loads the component.
        let early = tokio::spawn(async move {
            signals.next().await;
            stderr::end();
            std::process::exit(0);
        });
        let builder = Builder {
            project,
            sources,
            early,
        };
        self.serve.develop(component, builder);
        self.serve.run(log).await
    }
}

/// Builds until there is a component to serve.
async fn first_component(project: &Project, sources: &mut Sources) -> PathBuf {
    loop {
        match build(project).await {
            Ok(component) => return component,
            Err(BuildFailure { failure, .. }) => {
                tracing::warn!("not served: {failure}");
                tracing::info!("building again at the next save");
            }
        }
        sources.changed().await;
    }
}

/// Builds a component anew while it is served.
pub(crate) struct Builder {
    project: Project,
    sources: Sources,
    early: JoinHandle<()>,
}

/// Builds until it is stopped.
pub(crate) struct Building(JoinHandle<()>);

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Builder").field(&self.project).finish()
    }
}

impl Builder {
    /// Begins to build at each save.
    pub(crate) fn start(self, component: &Path, reloader: Arc<Reloader>) -> Building {
        let Self {
            project,
            mut sources,
            early,
        } = self;
        early.abort();
        let component = component.to_owned();
        tracing::info!("building at each save in {}", project.folder.display());
        Building(tokio::spawn(async move {
            sources.changed().await;
            loop {
                // A save during a build begins another one in its place.
                let built = tokio::select! {
                    biased;
                    () = sources.changed() => continue,
                    built = build(&project) => built,
                };
                // What was built is swapped in by what watches the component.
                if let Err(BuildFailure { failure, output }) = built {
                    reloader.refuse(component.clone(), LoadError::Build { failure, output });
                }
                sources.changed().await;
            }
        }))
    }
}

impl Building {
    /// Ends a build under way, with all the programs that it has started.
    pub(crate) async fn stop(self) {
        self.0.abort();
        // It ends by being aborted.
        let _ = self.0.await;
    }
}
