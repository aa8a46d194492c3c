//! A host that makes its status up.

use std::time::{Duration, SystemTime};

use fanlight_viewer::{
    Access, ComponentStatus, ComponentVersion, Histogram, HostStatus, Import, Instrument,
    MetricsStatus, Point, PointValue, SwapOutcome, SwapRecord,
};

use super::HOSTILE;

/// Seconds after the host's start, when the newest component was swapped in.
const NEWEST: i64 = 20;

/// A host that makes its status up.
pub struct Host {
    /// Of the host: what it counts grows with the time since.
    pub began: SystemTime,
    pub is_hostile: bool,
    pub is_empty: bool,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            began: SystemTime::now() - Duration::from_secs(900),
            is_hostile: false,
            is_empty: false,
        }
    }
}

impl Host {
    fn name(&self, usual: &str) -> String {
        if self.is_hostile {
            HOSTILE.to_owned()
        } else {
            usual.to_owned()
        }
    }

    fn after(&self, seconds: i64) -> SystemTime {
        let distance = Duration::from_secs(seconds.unsigned_abs());
        match seconds {
            0.. => self.began + distance,
            _ => self.began - distance,
        }
    }

    fn version(&self, (version, generation, after): (&str, u64, i64)) -> ComponentVersion {
        let import = |name: &str, access| Import {
            name: self.name(name),
            access,
        };
        ComponentVersion {
            version: self.name(version),
            digest: self
                .name("sha256:5d41402abc4b2a76b9719d911017c592ae2c1f0f7b1d2e9b7d4d6b2a3c4d5e6f"),
            generation,
            size: 1_482_113,
            source: self.name("target/wasm32-wasip2/release/orders.wasm"),
            loaded_at: self.after(after),
            in_flight: 4 * u64::from(generation > 2),
            imports: vec![
                import("fanlight:telemetry/tracing@0.1.0", Access::Granted),
                import("fanlight:telemetry/metrics@0.1.0", Access::Granted),
                import("wasi:clocks/monotonic-clock@0.2.12", Access::Granted),
                import("wasi:http/types@0.2.12", Access::Granted),
                import("wasi:random/random@0.2.12", Access::Granted),
                import("wasi:filesystem/types@0.2.12", Access::Denied),
                import("wasi:sockets/tcp@0.2.12", Access::Denied),
            ],
        }
    }
}

impl HostStatus for Host {
    fn component(&self) -> ComponentStatus {
        if self.is_empty {
            return ComponentStatus::default();
        }
        let record = |after, outcome, (version, generation), reason: Option<&str>| SwapRecord {
            at: self.after(after),
            outcome,
            version: self.name(version),
            generation,
            source: self.name("upload"),
            reason: reason.map(|it| self.name(it)),
            trace_id: Some("5b8efff798038103d269b633813fc60c".to_owned()),
        };
        let missing = "the component imports wasi:nn/tensor@0.2.0, which this host does not offer";
        let mut history = vec![
            record(NEWEST, SwapOutcome::Swapped, ("1.4.3", Some(4)), None),
            record(-20, SwapOutcome::Swapped, ("1.4.2", Some(3)), None),
            record(-23, SwapOutcome::Refused, ("", None), Some(missing)),
            record(-42, SwapOutcome::RolledBack, ("1.4.1", Some(2)), None),
        ];
        history.retain(|it| it.at <= SystemTime::now());
        let [current, previous] = match history.len() {
            4 => [("1.4.3", 4, NEWEST), ("1.4.2", 3, -20)],
            _ => [("1.4.2", 3, -20), ("1.4.1", 2, -42)],
        };
        ComponentStatus {
            current: Some(self.version(current)),
            previous: Some(self.version(previous)),
            history,
            max_upload_bytes: 64 * 1024 * 1024,
        }
    }

    fn metrics(&self) -> MetricsStatus {
        if self.is_empty {
            return MetricsStatus::default();
        }
        let elapsed = self.began.elapsed().unwrap_or_default().as_secs_f64();
        let requests = (elapsed * 130.0 + 400.0 * (elapsed / 20.0).sin()) as u64;
        let parts = |share: f64| (requests as f64 * share) as u64;
        let shares = [
            0.11, 0.3, 0.22, 0.13, 0.09, 0.07, 0.04, 0.02, 0.012, 0.005, 0.002, 0.0005, 0.0, 0.0,
            0.0,
        ];
        let duration = Histogram {
            bounds: vec![
                0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
            ],
            counts: shares.iter().map(|it| parts(*it)).collect(),
            sum: elapsed * 2.0,
        };
        let point = |attributes: &[(&str, &str)], value| Point {
            attributes: attributes
                .iter()
                .map(|(key, value)| (self.name(key), self.name(value)))
                .collect(),
            value,
        };
        let instrument = |name: &str, unit: &str, kind: &str, is_guests, points| Instrument {
            name: self.name(name),
            unit: unit.to_owned(),
            description: self.name("what it measures"),
            kind: kind.to_owned(),
            is_guests,
            points,
        };
        MetricsStatus {
            requests,
            errors: parts(0.013),
            active: 4,
            instances: 4 + requests / 50 % 5,
            max_instances: 5000,
            waiting: 0,
            resident_bytes: 118 * 1024 * 1024 + requests % 4_000_000,
            instruments: vec![
                instrument(
                    "orders.created",
                    "{order}",
                    "counter",
                    true,
                    vec![
                        point(&[("region", "eu")], PointValue::Number(parts(0.2) as f64)),
                        point(&[("region", "us")], PointValue::Number(parts(0.11) as f64)),
                    ],
                ),
                instrument(
                    "orders.query.duration",
                    "s",
                    "histogram",
                    true,
                    vec![point(
                        &[("db.system.name", "postgresql")],
                        PointValue::Histogram(duration.clone()),
                    )],
                ),
                instrument(
                    "http.server.request.duration",
                    "s",
                    "histogram",
                    false,
                    vec![point(
                        &[
                            ("http.request.method", "GET"),
                            ("http.route", "/orders/{id}"),
                            ("http.response.status_code", "200"),
                        ],
                        PointValue::Histogram(duration.clone()),
                    )],
                ),
                instrument(
                    "fanlight.instances.live",
                    "{instance}",
                    "up-down counter",
                    false,
                    vec![point(&[], PointValue::Number(4.0))],
                ),
                instrument(
                    "process.memory.usage",
                    "By",
                    "gauge",
                    false,
                    vec![point(&[], PointValue::Number(123_456_789.0))],
                ),
            ],
            duration,
        }
    }

    fn serving_url(&self) -> String {
        self.name("http://127.0.0.1:8000")
    }
}
