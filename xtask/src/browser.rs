//! The viewer's pages in a real browser: types, accessibility, live updates, keys.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};

use crate::{cache, cargo};

/// The tests, with the packages that they need.
const TESTS: &str = "host/viewer/tests/browser";
/// The documentation's pictures.
const PICTURES: &str = "docs/images";
/// The modules that pages load.
const MODULES: &str = "host/viewer/assets";
/// What is installed, and by what: both are copied to where it is kept.
const MANIFESTS: [&str; 2] = ["package.json", "package-lock.json"];

/// What `cargo xtask browser` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Renew the pictures of docs/images
    #[arg(long)]
    screenshots: bool,
    /// Keep a screenshot of each view here, wide and narrow, light and dark
    #[arg(long, value_name = "FOLDER")]
    all_screenshots: Option<PathBuf>,
}

/// Checks the types of the pages' modules, and tests the pages.
///
/// # Errors
/// Where a test fails, or Node.js or Chromium is missing although CI demands them.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
    let Some(chromium) = found(&chromium).filter(|_| found("npm").is_some()) else {
        if crate::test::is_ci() {
            bail!("Node.js with npm and Chromium are needed (Debian: nodejs, npm, chromium)");
        }
        eprintln!("SKIPPED: the viewer's pages: Node.js with npm and Chromium are needed");
        return Ok(());
    };
    let packages = packages()?;
    types(&packages)?;
    // With the features of the whole workspace: its tests have built the rest so.
    let demo = cargo::build(["--workspace", "--example", "demo"])?
        .pop()
        .context("cargo built no example called demo")?;
    let served = Demo::start(&demo, "live")?;
    let full = Demo::start(&demo, "10000")?;
    let mut tests = Command::new("node");
    tests
        .arg(cargo::workspace().join(TESTS).join("views.mjs"))
        .args([&served.url, &full.url])
        .env("NODE_MODULES", &packages)
        .env("CHROMIUM", chromium);
    if args.screenshots {
        tests.env("SCREENSHOTS", cargo::workspace().join(PICTURES));
    }
    if let Some(folder) = &args.all_screenshots {
        tests.env("ALL_SCREENSHOTS", std::path::absolute(folder)?);
    }
    cargo::run(&mut tests)
}

/// A program, by its path or its name.
pub(crate) fn found(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(program.into());
    }
    let path = std::env::var_os("PATH")?;
    let places = std::env::split_paths(&path).map(|it| it.join(program));
    places.into_iter().find(|it| it.is_file())
}

/// The folder of the packages, which are installed once.
fn packages() -> anyhow::Result<PathBuf> {
    let folder = cache::directory()?.join("browser");
    let tests = cargo::workspace().join(TESTS);
    std::fs::create_dir_all(&folder)?;
    let is_current = MANIFESTS.iter().all(|name| {
        let wanted = std::fs::read(tests.join(name)).ok();
        wanted.is_some() && wanted == std::fs::read(folder.join(name)).ok()
    });
    if is_current && folder.join("node_modules").is_dir() {
        return Ok(folder);
    }
    eprintln!("xtask: installing the packages of {TESTS}: once");
    let manifests = MANIFESTS.map(|name| (tests.join(name), folder.join(name)));
    // The lock file last: with it, the installation counts as whole.
    let [manifest, (lock, kept_lock)] = &manifests;
    std::fs::copy(&manifest.0, &manifest.1)?;
    std::fs::copy(lock, kept_lock)?;
    let mut install = Command::new("npm");
    install
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&folder);
    if let Err(error) = cargo::run(&mut install) {
        std::fs::remove_file(kept_lock)?;
        return Err(error);
    }
    Ok(folder)
}

/// Checks the types that the modules' comments give.
fn types(packages: &Path) -> anyhow::Result<()> {
    let modules = cargo::workspace().join(MODULES);
    let mut check = Command::new(packages.join("node_modules/.bin/tsc"));
    check.args(["--checkJs", "--allowJs", "--noEmit", "--strict"]);
    check.args(["--target", "es2022", "--module", "es2022"]);
    check.args(["--lib", "es2022,dom,dom.iterable"]);
    for entry in std::fs::read_dir(&modules).context(MODULES)? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "js") {
            check.arg(path);
        }
    }
    cargo::run(&mut check)
}

/// The example that serves made-up telemetry, in one of its modes. It ends with its owner.
struct Demo {
    program: Child,
    url: String,
}

impl Demo {
    fn start(program: &Path, mode: &str) -> anyhow::Result<Self> {
        // Free a moment ago; another program can only take it by bad luck.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let program = Command::new(program)
            .arg(port.to_string())
            .arg(mode)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the example")?;
        let mut demo = Self {
            program,
            url: format!("http://127.0.0.1:{port}"),
        };
        let stdout = demo.program.stdout.take().context("it is piped")?;
        // It writes its address once it listens, and ends its output when it fails.
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        if line.is_empty() {
            bail!("the example does not serve at {}", demo.url);
        }
        Ok(demo)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
