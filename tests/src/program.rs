//! The real program, as a user starts it.

use std::ffi::OsStr;
use std::io::PipeReader;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::client::Ask;
use crate::fixture::{cargo, target_directory};
use crate::{PATIENCE, eventually};

/// A command line of `fanlight` that has not run yet.
pub struct Program {
    command: Command,
    /// The other end of a standard output that nobody reads.
    unread: Option<PipeReader>,
    /// Whether its standard error is read no further than to where it serves.
    is_unheard: bool,
    /// Whether standard output carries what it says, since both are a terminal.
    is_on_a_terminal: bool,
}

impl Program {
    /// The program with these arguments, and nothing of this test's environment
    /// that would tell it where to listen or to export.
    pub fn new<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Self {
        let mut command = Command::new(path());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if name.starts_with("OTEL_") || name.starts_with("FANLIGHT_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .env("OTEL_SDK_DISABLED", "true")
            .env(
                "FANLIGHT_CACHE_DIR",
                target_directory().join("compiled-for-tests"),
            );
        Self {
            command: quiet(command),
            unread: None,
            is_unheard: false,
            is_on_a_terminal: false,
        }
    }

    /// Has nobody read what it says once it serves.
    #[must_use]
    pub fn unheard(mut self) -> Self {
        self.is_unheard = true;
        self
    }

    /// Has nobody read what it writes to standard output.
    #[must_use]
    pub fn unread(mut self) -> Self {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        self.command.stdout(writer);
        self.unread = Some(reader);
        self
    }

    /// Closes the other end of its standard output, as `head` does when it has its lines.
    #[must_use]
    pub fn without_reader(mut self) -> Self {
        let (_, writer) = std::io::pipe().expect("a pipe");
        self.command.stdout(writer);
        self
    }

    /// Sets a variable; an empty value unsets it.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        if value.is_empty() {
            self.command.env_remove(name);
        } else {
            self.command.env(name, value);
        }
        self
    }

    /// Runs it in this folder.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Has it run with so many open files at most, which it cannot raise.
    #[must_use]
    pub fn open_files(self, limit: u32) -> Self {
        self.limited(&format!("ulimit -n {limit}"))
    }

    /// Limits the addresses of the process to this many KiB.
    #[must_use]
    pub fn address_space(self, limit: u32) -> Self {
        self.limited(&format!("ulimit -v {limit}"))
    }

    fn limited(mut self, limit: &str) -> Self {
        let plain = self.command.as_std();
        let script = format!("{limit}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command
            .args([OsStr::new("-c"), OsStr::new(&script)])
            .arg(plain.get_program())
            .args(plain.get_args());
        copy_environment(plain, &mut command);
        self.command = quiet(command);
        self
    }

    /// Gives it a terminal of its own, by the program `script` of util-linux.
    #[must_use]
    pub fn on_a_terminal(mut self) -> Self {
        let plain = self.command.as_std();
        let quoted = |it: &OsStr| format!("'{}'", it.to_string_lossy().replace('\'', "'\\''"));
        let words: Vec<_> = std::iter::once(plain.get_program())
            .chain(plain.get_args())
            .map(quoted)
            .collect();
        // A terminal that goes away does not end the program.
        let script = format!("exec timeout --foreground 60 {}", words.join(" "));
        let mut command = Command::new("script");
        command.args(["-qefc", &script, "/dev/null"]);
        copy_environment(plain, &mut command);
        self.command = quiet(command);
        self.is_on_a_terminal = true;
        self
    }

    /// Runs it to its end; gives back its exit code and what it said.
    pub async fn output(mut self) -> (Option<i32>, String) {
        let child = self.command.spawn().expect("it starts");
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output())
            .await
            .expect("it ends")
            .expect("its output can be read");
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    }

    /// Starts it, and waits until it says where it serves.
    pub async fn serve(self) -> ServingProgram {
        self.start().served().await
    }

    /// Starts it; [`ServingProgram::served`] waits until it serves.
    pub fn start(mut self) -> ServingProgram {
        let mut child = self.command.spawn().expect("it starts");
        let is_heard = Arc::new(AtomicBool::new(true));
        let (said, stderr) = match self.is_on_a_terminal {
            true => {
                let terminal = child.stdout.take().expect("it is piped");
                kept(terminal, Arc::clone(&is_heard))
            }
            false => {
                let stderr = child.stderr.take().expect("it is piped");
                kept(stderr, Arc::clone(&is_heard))
            }
        };
        let mut readers = Vec::new();
        if !self.is_unheard {
            readers.push(stderr);
        }
        let written = match child.stdout.take() {
            Some(stdout) => {
                let (written, stdout) = kept(stdout, Arc::new(AtomicBool::new(true)));
                readers.push(stdout);
                written
            }
            None => Arc::default(),
        };
        ServingProgram {
            child,
            said,
            written,
            readers,
            _unread: self.unread,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: None,
            is_heard,
            is_unheard: self.is_unheard,
        }
    }
}

/// The program while it serves. It is killed when it is dropped.
pub struct ServingProgram {
    child: Child,
    said: Arc<Mutex<String>>,
    written: Arc<Mutex<String>>,
    /// What reads both, until they end.
    readers: Vec<JoinHandle<()>>,
    _unread: Option<PipeReader>,
    /// Where it serves.
    pub address: SocketAddr,
    /// Where its admin port is.
    pub admin: Option<SocketAddr>,
    /// Whether its standard error is read.
    is_heard: Arc<AtomicBool>,
    is_unheard: bool,
}

impl ServingProgram {
    /// Waits until it says where it serves.
    pub async fn served(mut self) -> Self {
        self.address = eventually("the line that says where it serves", || {
            self.address_after("serving at http://")
                .or_else(|| self.address_after("serving at https://"))
        })
        .await;
        eventually("the lines about telemetry", || {
            self.said().contains("logs: ").then_some(())
        })
        .await;
        self.admin = self.address_after("admin: http://");
        self.is_heard.store(!self.is_unheard, Ordering::Relaxed);
        self
    }

    /// A GET of `target`.
    pub fn get(&self, target: &str) -> Ask {
        Ask::get(self.address, target)
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        self.said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What it has written to standard output so far.
    pub fn written(&self) -> String {
        self.written
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sends it a signal by its name, such as `TERM`.
    pub async fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().await;
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for its end, and until its last words are read; gives back its exit code.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = status.expect("it ends").expect("it can be waited for");
        for reader in self.readers.drain(..) {
            let read = tokio::time::timeout(PATIENCE, reader).await;
            read.expect("its output ends").expect("it can be read");
        }
        status.code()
    }

    /// The most memory that it ever held, in bytes (`VmHWM`).
    pub fn peak_rss_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<u64>().ok())
            .expect("a number of kB")
            * 1024
    }

    /// How many of its descriptors are sockets.
    pub fn open_sockets(&self) -> usize {
        let files = std::fs::read_dir(self.proc("fd")).expect("it runs");
        // One that was closed in the meantime has no target any more.
        let targets = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
        targets
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// The processor time that it has taken, in hundredths of a second.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(self.proc("stat")).expect("it runs");
        // The name, which may hold anything, ends with the last parenthesis.
        let (_, fields) = stat.rsplit_once(") ").expect("a name");
        let ticks = fields.split(' ').skip(11).take(2);
        ticks
            .map(|field| field.parse::<u64>().expect("a number"))
            .sum()
    }

    /// How often its threads have gone to sleep by themselves so far, those that live.
    pub fn voluntary_switches(&self) -> u64 {
        let threads = std::fs::read_dir(self.proc("task")).expect("it runs");
        // One that has ended in the meantime has no file any more.
        let files = threads
            .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("status")).ok());
        let switches = files.filter_map(|status| {
            let mut lines = status.lines();
            let line = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line?.trim().parse::<u64>().ok()
        });
        switches.sum()
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.id()))
    }

    fn address_after(&self, words: &str) -> Option<SocketAddr> {
        let said = self.said();
        let (_, rest) = said.split_once(words)?;
        // In JSON a quotation mark follows, and in colours an escape.
        let is_end = |it: char| it.is_whitespace() || it == '"' || it.is_control();
        rest.split(is_end).next()?.parse().ok()
    }
}

/// The lines that come from `stream`, as they come; no more of them, though it stays
/// open, once it is not heard.
fn kept(
    stream: impl AsyncRead + Send + Unpin + 'static,
    is_heard: Arc<AtomicBool>,
) -> (Arc<Mutex<String>>, JoinHandle<()>) {
    let text = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&text);
    let mut lines = BufReader::new(stream).lines();
    let reader = tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            {
                let mut text = kept.lock().unwrap_or_else(PoisonError::into_inner);
                text.push_str(&line);
                text.push('\n');
            }
            if !is_heard.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
        }
    });
    (text, reader)
}

fn copy_environment(from: &std::process::Command, to: &mut Command) {
    for (name, value) in from.get_envs() {
        match value {
            Some(value) => to.env(name, value),
            None => to.env_remove(name),
        };
    }
}

fn quiet(mut command: Command) -> Command {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The program's file. The first call has cargo build it.
fn path() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    // The whole workspace is named so that cargo takes the features that it
    // took for this test, and builds nothing twice.
    BUILT.get_or_init(|| cargo(&["build", "--workspace", "--bin", "fanlight"]));
    target_directory().join("debug/fanlight")
}
