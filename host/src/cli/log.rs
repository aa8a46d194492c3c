//! The host's own log, on stderr.

/// Starts the host's own log on stderr. The exporters and their transports
/// speak there only when asked: their trouble is told by the telemetry itself.
///
/// `OTEL_LOG_LEVEL` is the level of what `FANLIGHT_LOG` says nothing about.
pub(super) fn init() {
    let named = variable("OTEL_LOG_LEVEL");
    let level = named.as_deref().map(level);
    let base = level.flatten().unwrap_or("info");
    let quiet = format!(
        "{base},opentelemetry=off,opentelemetry_sdk=off,hyper=warn,h2=warn,tonic=warn,\
         reqwest=warn,wasmtime_wasi_http=error"
    );
    let directives = match variable("FANLIGHT_LOG") {
        Some(asked) => format!("{quiet},{asked}"),
        None => quiet,
    };
    let filter = tracing_subscriber::EnvFilter::builder().parse_lossy(directives);
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    // Tests run several commands in one process; the first log serves them all.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_terminal)
        .with_target(false)
        .try_init();
    if let (Some(named), Some(None)) = (named, level) {
        tracing::warn!("OTEL_LOG_LEVEL={named}: not supported; ignored");
    }
}

fn variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok()?;
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

/// The specification names no values: these are the ones of its SDKs.
fn level(text: &str) -> Option<&'static str> {
    Some(match text.to_ascii_lowercase().as_str() {
        "none" | "off" => "off",
        "fatal" | "error" => "error",
        "warn" | "warning" => "warn",
        "info" => "info",
        "debug" => "debug",
        "trace" | "verbose" | "all" => "trace",
        _ => return None,
    })
}
