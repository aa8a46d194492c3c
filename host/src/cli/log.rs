//! The host's own log, on stderr.

/// Starts the host's own log on stderr. The exporters and their transports
/// speak there only when asked: their trouble is told by the telemetry itself.
pub(super) fn init() {
    let quiet = "info,opentelemetry=off,opentelemetry_sdk=off,hyper=warn,h2=warn,tonic=warn,reqwest=warn,\
                 wasmtime_wasi_http=error";
    let asked = std::env::var("FANLIGHT_LOG")
        .ok()
        .filter(|value| !value.is_empty());
    let directives = match asked {
        Some(asked) => format!("{quiet},{asked}"),
        None => quiet.to_owned(),
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
}
