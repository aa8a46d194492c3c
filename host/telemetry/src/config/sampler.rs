//! Which traces are kept: `OTEL_TRACES_SAMPLER`.

use opentelemetry_sdk::trace::{Sampler, ShouldSample};

use crate::config::env::Env;

/// The sampler that the variables name; those that ask a service for their
/// rules (`jaeger_remote`, `xray`) are not there.
pub(crate) fn sampler(env: &mut Env) -> Box<dyn ShouldSample> {
    const NAME: &str = "OTEL_TRACES_SAMPLER";
    let parent_based = |root: Sampler| Box::new(Sampler::ParentBased(Box::new(root)));
    let name = env.text(NAME).unwrap_or_default();
    match name.to_ascii_lowercase().as_str() {
        "always_on" => Box::new(Sampler::AlwaysOn),
        "always_off" => Box::new(Sampler::AlwaysOff),
        "traceidratio" => Box::new(Sampler::TraceIdRatioBased(ratio(env))),
        "" | "parentbased_always_on" => parent_based(Sampler::AlwaysOn),
        "parentbased_always_off" => parent_based(Sampler::AlwaysOff),
        "parentbased_traceidratio" => parent_based(Sampler::TraceIdRatioBased(ratio(env))),
        _ => {
            env.warn(
                NAME,
                &name,
                "expected always_on, always_off, traceidratio, or one of these after \
                 parentbased_; parentbased_always_on is used",
            );
            parent_based(Sampler::AlwaysOn)
        }
    }
}

fn ratio(env: &mut Env) -> f64 {
    const NAME: &str = "OTEL_TRACES_SAMPLER_ARG";
    const EXPECTED: &str = "a number from 0 to 1";
    match env.parsed::<f64>(NAME, EXPECTED) {
        Some(ratio) if (0.0..=1.0).contains(&ratio) => ratio,
        Some(ratio) => {
            let what = format!("expected {EXPECTED}; 1 is used");
            env.warn(NAME, &ratio.to_string(), &what);
            1.0
        }
        None => 1.0,
    }
}
