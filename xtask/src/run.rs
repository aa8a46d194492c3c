//! Serves the demo in the foreground.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;

use crate::{cargo, wasm};

/// Has the server watch its component.
const WATCH: &str = "FANLIGHT_WATCH";

/// Builds the server and the demo, then becomes the server: Ctrl-C reaches it,
/// and it drains.
///
/// # Errors
/// When a build fails, or the server does.
pub(crate) fn run(listen: SocketAddr, flags: &[OsString]) -> anyhow::Result<()> {
    eprintln!("xtask: building; from nothing it takes some ten minutes on two cores");
    let demo = wasm::build_demo()?;
    let host = cargo::build_host("release")?;
    // A server on all addresses is reached by this one.
    let mut reached = listen;
    if reached.ip().is_unspecified() {
        reached.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    eprintln!(
        "\n  Try it from another terminal:\n\
         \n    curl http://{reached}/\
         \n    curl http://{reached}/health\
         \n    curl http://{reached}/api/users\
         \n    curl http://{reached}/api/process\
         \n    curl -i http://{reached}/api/error\
         \n    cargo run -p fanlight-runner -- --base-url http://{reached} --jaeger http://127.0.0.1:9000\n\
         \n  The viewer at http://127.0.0.1:9000/ shows each request as it happens.\n\
         \n  What is built anew is served at once: change guest/demo, and\n\
         \n    cargo build --release -p fanlight-demo --target wasm32-wasip2\n\
         \n  Ctrl-C stops it.\n"
    );
    let mut serve = Command::new(host);
    serve
        .arg("serve")
        .arg(demo)
        .arg("--listen")
        .arg(listen.to_string())
        .args(flags);
    if std::env::var_os(WATCH).is_none() && !flags.iter().any(is_watch) {
        serve.env(WATCH, "true");
    }
    become_program(&mut serve)
}

fn is_watch(flag: &OsString) -> bool {
    flag.to_string_lossy().starts_with("--watch")
}

/// Replaces this process by the command, so that signals reach it alone.
#[cfg(unix)]
pub(crate) fn become_program(command: &mut Command) -> anyhow::Result<()> {
    use std::os::unix::process::CommandExt;

    let error = command.exec();
    Err(anyhow::Error::new(error).context(format!(
        "cannot run {}",
        command.get_program().to_string_lossy()
    )))
}

/// Runs the command as a child, which gets Ctrl-C as well.
#[cfg(not(unix))]
pub(crate) fn become_program(command: &mut Command) -> anyhow::Result<()> {
    cargo::run(command)
}
