//! Asks a server for a while what servers are asked, so that one which counts
//! where its code goes has seen all that should be fast.
//!
//! Most of it is the shortest request, with all of its telemetry. The rest is what
//! the optimiser would otherwise take for code that is never run: bodies in both
//! directions, HTTP/2, many spans, a component without telemetry, and compiling.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::process::Command;

use crate::compare::{Asked, CONNECTIONS, Programs, Sink, closed};

/// For the shortest request.
const LONG: Duration = Duration::from_secs(8);
/// For each of the others.
const SHORT: Duration = Duration::from_secs(2);
const BODY_BYTES: usize = 16 * 1024;

/// Asks for all of it, on servers that end well: only then they tell.
///
/// # Errors
/// When an answer is not right, or a server does not end well.
pub async fn run(programs: &Programs) -> anyhow::Result<()> {
    let sink = Sink::start().await?;
    let folder = tempfile::tempdir()?;
    let body = folder.path().join("body");
    std::fs::write(&body, "b".repeat(BODY_BYTES))?;
    let server = programs.fanlight.clone().exporting_as_usual(sink.address());

    // Compiled anew, for that is counted as well.
    let compiling = server.clone().without_cache();
    let usual = compiling.serve(&programs.usual).await?;
    let asked = |address: SocketAddr, target: &str, duration| Asked {
        url: format!("http://{address}{target}"),
        connections: CONNECTIONS,
        duration,
        body: None,
    };
    let shortest = asked(usual.address, "/", LONG);
    closed(&shortest, folder.path()).await?;
    let with_body = Asked {
        body: Some(body),
        ..asked(usual.address, "/", SHORT)
    };
    closed(&with_body, folder.path()).await?;
    by_http2(&programs.oha, usual.address).await?;
    usual.stop().await?;

    for (component, target) in [
        (&programs.varied, "/?spans=10&bytes=100"),
        (&programs.plain, "/"),
    ] {
        let serving = server.clone().serve(component).await?;
        let asked = asked(serving.address, target, SHORT);
        closed(&asked, folder.path()).await?;
        serving.stop().await?;
    }
    Ok(())
}

/// Several streams at once on each connection.
async fn by_http2(oha: &Path, address: SocketAddr) -> anyhow::Result<()> {
    let status = Command::new(oha)
        .args(["--http2", "-c", "4", "-p", "8", "--no-tui"])
        .args(["-z", &format!("{}s", SHORT.as_secs())])
        .arg(format!("http://{address}/"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .await
        .with_context(|| format!("cannot run {}", oha.display()))?;
    anyhow::ensure!(status.success(), "oha failed ({status})");
    Ok(())
}
