//! Which exporters a signal has: the list in `OTEL_<SIGNAL>_EXPORTER`.

use crate::config::env::Env;

/// The exporters of a list that are done.
pub(crate) struct Exporters {
    pub(crate) otlp: bool,
    pub(crate) console: bool,
}

impl Exporters {
    /// Reads `OTEL_<SIGNAL>_EXPORTER`.
    pub(crate) fn read(env: &mut Env, signal: &str) -> Self {
        let name = format!("OTEL_{signal}_EXPORTER");
        let mut exporters = Self {
            otlp: false,
            console: false,
        };
        let mut known = false;
        for exporter in env.list(&name) {
            match exporter.as_str() {
                "otlp" => exporters.otlp = true,
                "console" => exporters.console = true,
                "none" => {}
                // It is read rather than sent: see `TelemetryConfig::prometheus_address`.
                "prometheus" if signal == "METRICS" => {}
                other => {
                    let expected = match signal {
                        "METRICS" => "otlp, prometheus, console or none; ignored",
                        _ => "otlp, console or none; ignored",
                    };
                    env.warn(&name, other, &format!("expected {expected}"));
                    continue;
                }
            }
            known = true;
        }
        if !known {
            exporters.otlp = true;
        }
        exporters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_exporters_is_otlp_where_nothing_in_it_is_known() {
        for (list, wanted, warned) in [
            ("", (true, false), 0),
            ("Console", (false, true), 0),
            ("otlp,console", (true, true), 0),
            ("none", (false, false), 0),
            ("zipkin", (true, false), 1),
            ("zipkin, console", (false, true), 1),
        ] {
            let mut env = Env::new([("OTEL_TRACES_EXPORTER".into(), list.into())]);
            let exporters = Exporters::read(&mut env, "TRACES");
            assert_eq!((exporters.otlp, exporters.console), wanted, "{list}");
            assert_eq!(env.warnings.len(), warned, "{list}");
        }
    }
}
