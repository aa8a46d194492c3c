//! What the telemetry of all requests has in common.

use std::sync::Arc;

use crate::guest_api::instruments::registry::Instruments;
use crate::guest_api::limits::GuestLimits;
use crate::guest_api::log_records::GuestLogs;
use fanlight_telemetry::trace::limits::{AttributeLimits, SpanLimits};
use fanlight_telemetry::trace::tracer::Tracer;
use fanlight_telemetry::{Dropped, Telemetry};

/// What the telemetry of all requests has in common.
pub(crate) struct GuestSignals {
    pub(crate) tracer: Tracer,
    pub(crate) instruments: Instruments,
    pub(crate) logs: GuestLogs,
    pub(crate) log_limits: AttributeLimits,
    pub(crate) limits: GuestLimits,
}

impl GuestSignals {
    pub(crate) fn new(telemetry: &Telemetry, limits: GuestLimits) -> Self {
        let tracer = telemetry.tracer().clone();
        let dropped = Arc::clone(tracer.dropped());
        Self {
            instruments: Instruments::new(
                telemetry.meter_provider().clone(),
                Arc::clone(telemetry.guest_metrics()),
                &limits,
                Arc::clone(&dropped),
            ),
            logs: GuestLogs::new(telemetry.logger_provider().clone()),
            log_limits: telemetry.log_limits(),
            tracer,
            limits,
        }
    }

    pub(crate) fn span_limits(&self) -> &SpanLimits {
        self.tracer.limits()
    }

    pub(crate) fn dropped(&self) -> &Dropped {
        self.tracer.dropped()
    }
}
