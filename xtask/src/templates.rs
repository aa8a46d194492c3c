//! Tries what `fanlight new` makes in languages other than Rust, with their own tools: new,
//! build, test, serve, a request. The end-to-end tests try Rust.
//!
//! What the tools install is kept outside the checkout, a folder for each list of it.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::browser::found;
use crate::{cache, cargo};

const NAME: &str = "my-service";
/// How long a component may take to load: it has the engine of a language in it.
const PATIENCE: Duration = Duration::from_secs(300);

/// A language, and what its project's README says to type.
struct Language {
    /// The value of `--lang`.
    name: &'static str,
    /// Programs that have to be there.
    programs: &'static [&'static str],
    /// What lists what is installed.
    list: &'static str,
    /// The folder that it is installed to, in the project; none where nothing is.
    installed: &'static str,
    install: &'static [&'static str],
    build: &'static str,
    test: &'static str,
    /// What the test prints when it has run.
    passed: &'static str,
}

const LANGUAGES: [Language; 3] = [
    Language {
        name: "js",
        programs: &["node", "npm"],
        list: "package.json",
        installed: "node_modules",
        install: &["npm install --no-audit --no-fund"],
        build: "npm run build",
        test: "npm test",
        passed: "pass 1",
    },
    Language {
        name: "python",
        programs: &["python3"],
        list: "requirements.txt",
        installed: ".venv",
        install: &[
            "python3 -m venv .venv",
            ".venv/bin/pip install --quiet -r requirements.txt",
        ],
        build: ".venv/bin/componentize-py --wit-path wit --world service componentize app \
                --output my-service.wasm",
        test: "python3 -m unittest",
        passed: "Ran 1 test",
    },
    Language {
        name: "go",
        programs: &["go"],
        list: "go.mod",
        installed: "",
        install: &[],
        build: "GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags=-checklinkname=0 \
                -o module.wasm . && fanlight componentize module.wasm --output my-service.wasm",
        test: "go test ./...",
        passed: "ok  \tmy-service/greeting",
    },
];

/// Tries each language whose tools are there.
///
/// # Errors
/// When a project does not build, pass its test or answer, or in CI when tools are missing.
pub(crate) fn run() -> anyhow::Result<()> {
    let host = cargo::build(["--workspace", "--bin", "fanlight"])?
        .pop()
        .context("cargo built no program called fanlight")?;
    let mut skipped = Vec::new();
    for language in &LANGUAGES {
        let Language { name, programs, .. } = language;
        match programs.iter().find(|it| found(it).is_none()) {
            Some(missing) if crate::test::is_ci() => {
                bail!("CI tries a project in {name}, and there is no {missing}")
            }
            Some(missing) => {
                eprintln!("SKIPPED: a project in {name}: there is no {missing}");
                skipped.push(*name);
            }
            None => language
                .attempt(&host)
                .with_context(|| format!("a project in {name}"))?,
        }
    }
    let tried = LANGUAGES.len() - skipped.len();
    eprintln!("xtask: {tried} languages tried, {} skipped", skipped.len());
    Ok(())
}

impl Language {
    fn attempt(&self, host: &Path) -> anyhow::Result<()> {
        eprintln!("xtask: a project in {}", self.name);
        let folder = tempfile::tempdir()?;
        let mut new = Command::new(host);
        new.args(["new", NAME, "--lang", self.name]);
        cargo::run(new.current_dir(folder.path()))?;
        let project = folder.path().join(NAME);
        self.install(&project)?;
        let tested = said(shell(self.test, &project))?;
        if !tested.contains(self.passed) {
            bail!("`{}` ran no test:\n{tested}", self.test);
        }
        let mut build = shell(self.build, &project);
        cargo::run(build.env("PATH", path_with(host)?))?;
        let served = Served::start(host, &project.join(format!("{NAME}.wasm")))?;
        for (target, status, body) in [
            ("/?name=Ada", "200", "hello, Ada\n"),
            ("/", "200", "hello, world\n"),
            ("/other", "404", "try GET /?name=Ada\n"),
        ] {
            let response = served.get(target)?;
            let is_right =
                response.starts_with(&format!("HTTP/1.1 {status} ")) && response.contains(body);
            if !is_right {
                bail!("GET {target} is answered by\n{response}");
            }
        }
        Ok(())
    }

    /// Installs what the project lists, unless it was installed for the same list before,
    /// and links it into the project.
    fn install(&self, project: &Path) -> anyhow::Result<()> {
        if self.install.is_empty() {
            return Ok(());
        }
        let list = project.join(self.list);
        let kept = cache::directory()?.join("templates").join(self.name);
        let kept_list = kept.join(self.list);
        let is_current = fs::read(&list)? == fs::read(&kept_list).unwrap_or_default();
        if !is_current {
            eprintln!("xtask: installing what {} lists: once", self.list);
            if kept.exists() {
                fs::remove_dir_all(&kept)?;
            }
            fs::create_dir_all(&kept)?;
            fs::copy(&list, &kept_list)?;
            let installed = self
                .install
                .iter()
                .try_for_each(|line| cargo::run(&mut shell(line, &kept)));
            if installed.is_err() {
                // With its list, the installation would count as whole.
                fs::remove_file(&kept_list)?;
            }
            installed?;
        }
        let place = project.join(self.installed);
        std::os::unix::fs::symlink(kept.join(self.installed), place)
            .context("cannot link what is installed")
    }
}

/// The variable PATH, with the folder of this program in front.
fn path_with(program: &Path) -> anyhow::Result<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folder = program.parent().map(Path::to_owned);
    Ok(std::env::join_paths(
        folder.into_iter().chain(std::env::split_paths(&path)),
    )?)
}

fn shell(line: &str, folder: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).current_dir(folder);
    shell
}

/// What a command prints, once it has succeeded.
fn said(mut command: Command) -> anyhow::Result<String> {
    let output = command.output()?;
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("{}:\n{said}", output.status);
    }
    Ok(said)
}

/// A served component. The server ends with its owner.
struct Served {
    host: Child,
    address: String,
}

impl Served {
    fn start(host: &Path, component: &Path) -> anyhow::Result<Self> {
        let mut serve = Command::new(host);
        serve.args(["serve", "--listen", "127.0.0.1:0", "--admin", "off"]);
        serve.arg(component).env("OTEL_SDK_DISABLED", "true");
        let mut host = serve.stderr(Stdio::piped()).spawn()?;
        let stderr = host.stderr.take().context("it is piped")?;
        let mut served = Self {
            host,
            address: String::new(),
        };
        let begun = Instant::now();
        let mut lines = BufReader::new(stderr).lines();
        for line in lines.by_ref() {
            let line = line?;
            eprintln!("  {line}");
            if let Some((_, rest)) = line.split_once("serving at http://") {
                served.address = rest
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                // The server goes on to write: it would lose what no one reads.
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(served);
            }
            if begun.elapsed() > PATIENCE {
                break;
            }
        }
        bail!("it is not served")
    }

    fn get(&self, target: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let address = &self.address;
        write!(
            stream,
            "GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        Ok(response)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.host.kill();
        let _ = self.host.wait();
    }
}
