//! One build: its output goes to standard error as it comes, and the last lines are kept.
//! A build that is dropped is ended with all the programs that it has started.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anstream::adapter::strip_str;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader, Split};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::commands::dev::project::{BuildCommand, Project};
use crate::stderr;

const CARGO: [&str; 5] = [
    "build",
    "--release",
    "--target",
    "wasm32-wasip2",
    "--message-format=json-render-diagnostics",
];
/// The lines that are kept of what a failed build printed, and the bytes of each.
const MAX_LINES: usize = 40;
const MAX_LINE_BYTES: usize = 400;
/// How long what a build printed at its end is waited for.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Why there is no component.
#[derive(Debug)]
pub(crate) struct BuildFailure {
    /// What failed, in one line.
    pub(crate) failure: String,
    /// The last lines of the output, without colours.
    pub(crate) output: String,
}

/// Builds a project, and gives its component's file.
///
/// # Cancel safety
/// When it is dropped, the build is ended.
pub(crate) async fn build(project: &Project) -> Result<PathBuf, BuildFailure> {
    let mut command = command(project);
    let name = shown(&project.build);
    let failure = |failure: String, output: &Output| BuildFailure {
        failure,
        output: Vec::from_iter(output.last.iter().cloned()).join("\n"),
    };
    let mut output = Output::default();
    let mut child = match command.spawn() {
        Ok(child) => ProcessGroup(child),
        Err(error) => return Err(failure(format!("cannot run `{name}`: {error}"), &output)),
    };
    let status = output.read(&mut child.0).await;
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(failure(format!("`{name}` failed: {status}"), &output)),
        Err(error) => return Err(failure(format!("`{name}` failed: {error}"), &output)),
    }
    let component = project.component.clone().or(output.component.take());
    match component {
        Some(component) if component.is_file() => Ok(component),
        Some(component) => {
            let component = component.display();
            Err(failure(format!("`{name}` made no {component}"), &output))
        }
        None => {
            let said = "built no component: the crate needs `crate-type = [\"cdylib\"]`";
            Err(failure(format!("`{name}` {said}"), &output))
        }
    }
}

fn command(project: &Project) -> Command {
    let mut command = match &project.build {
        BuildCommand::Cargo => {
            let mut cargo = Command::new("cargo");
            cargo.args(CARGO);
            if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
                // It writes to a pipe.
                cargo.env("CARGO_TERM_COLOR", "always");
            }
            cargo
        }
        BuildCommand::Shell(line) => {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(line);
            if let Some(path) = path_with_this_program() {
                shell.env("PATH", path);
            }
            shell
        }
    };
    command
        .current_dir(&project.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Of its own, so that all of it can be ended at once.
        .process_group(0);
    command
}

/// The variable PATH with this program's folder at its end: a build may call it, whatever
/// way it was started.
fn path_with_this_program() -> Option<OsString> {
    let program = std::env::current_exe().ok()?;
    let path = std::env::var_os("PATH")?;
    let folder = program.parent()?.to_owned();
    std::env::join_paths(std::env::split_paths(&path).chain([folder])).ok()
}

fn shown(build: &BuildCommand) -> String {
    match build {
        BuildCommand::Cargo => format!("cargo {}", CARGO[..4].join(" ")),
        BuildCommand::Shell(line) => line.trim().replace('\n', " "),
    }
}

/// What a build prints.
#[derive(Default)]
struct Output {
    last: VecDeque<String>,
    /// The component that cargo says it has made.
    component: Option<PathBuf>,
}

impl Output {
    /// Reads both streams until the program has ended.
    async fn read(&mut self, child: &mut Child) -> std::io::Result<ExitStatus> {
        let mut stdout = child.stdout.take().map(lines);
        let mut stderr = child.stderr.take().map(lines);
        let mut ended = None;
        // A program that the build leaves running may hold the streams open.
        let mut leave_at = Instant::now();
        loop {
            tokio::select! {
                line = next(&mut stdout), if stdout.is_some() => self.take(line, true),
                line = next(&mut stderr), if stderr.is_some() => self.take(line, false),
                status = child.wait(), if ended.is_none() => {
                    ended = Some(status?);
                    leave_at = Instant::now() + LAST_LINES;
                }
                () = tokio::time::sleep_until(leave_at), if ended.is_some() => break,
                else => break,
            }
        }
        ended.ok_or_else(|| std::io::Error::other("it was not waited for"))
    }

    fn take(&mut self, line: Option<Vec<u8>>, is_stdout: bool) {
        let Some(line) = line else { return };
        if is_stdout && let Ok(message) = serde_json::from_slice::<CargoMessage>(&line) {
            let component = message
                .filenames
                .into_iter()
                .rfind(|it| it.extension() == Some(OsStr::new("wasm")));
            // The package itself comes after those that it uses.
            self.component = component.or(self.component.take());
            return;
        }
        let line = String::from_utf8_lossy(&line);
        stderr::say(&line);
        let mut plain = strip_str(&line).to_string();
        plain.truncate(plain.floor_char_boundary(MAX_LINE_BYTES));
        if self.last.len() == MAX_LINES {
            self.last.pop_front();
        }
        self.last.push_back(plain);
    }
}

/// A message of cargo's about a crate.
#[derive(Deserialize)]
struct CargoMessage {
    #[expect(dead_code, reason = "by this key it is a message of cargo's")]
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

type Lines = Split<BufReader<Box<dyn AsyncRead + Send + Unpin>>>;

fn lines(stream: impl AsyncRead + Send + Unpin + 'static) -> Lines {
    let stream: Box<dyn AsyncRead + Send + Unpin> = Box::new(stream);
    BufReader::new(stream).split(b'\n')
}

/// The next line; at the end of the stream, which goes then, none.
async fn next(stream: &mut Option<Lines>) -> Option<Vec<u8>> {
    let line = stream.as_mut()?.next_segment().await.ok().flatten();
    if line.is_none() {
        *stream = None;
    }
    line
}

/// The programs of a build. They end with it.
struct ProcessGroup(Child);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        // None where it was waited for: its number may be another's by then.
        let id = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = id.and_then(Pid::from_raw) {
            // It may have ended just now.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
