//! Tries a running demo service and its traces; the exit code tells.

use std::num::{NonZeroU32, NonZeroUsize};
use std::process::ExitCode;

use clap::Parser;
use fanlight_runner::base_url::BaseUrl;
use fanlight_runner::load::Load;
use fanlight_runner::report::Report;
use fanlight_runner::trial::Trial;

/// Tries a running Fanlight demo: its health, each endpoint, a load, and its traces.
///
/// Exit codes: 0 all as expected, 1 something differs or is not there, 2 bad use.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Where the demo serves
    #[arg(
        long,
        value_name = "URL",
        env = "BASE_URL",
        default_value = "http://localhost:8000"
    )]
    base_url: BaseUrl,

    /// How many requests the load has
    #[arg(long, value_name = "N", default_value = "30")]
    requests: NonZeroU32,

    /// How many requests of the load are under way at once
    #[arg(long, value_name = "N", default_value = "5")]
    workers: NonZeroUsize,

    /// Ask this Jaeger for every trace and compare it with what the demo promises
    #[arg(long, value_name = "URL", env = "JAEGER_URL")]
    jaeger: Option<BaseUrl>,

    /// Where you see Jaeger's page, for the links [default: --jaeger, or
    /// http://localhost:16686]
    #[arg(long, value_name = "URL", env = "JAEGER_PAGE_URL")]
    jaeger_page: Option<BaseUrl>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match Trial::from(Args::parse())
        .run(Report::new(std::io::stdout()))
        .await
    {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nfanlight-runner: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl From<Args> for Trial {
    fn from(args: Args) -> Self {
        let jaeger_page = args.jaeger_page.or_else(|| args.jaeger.clone());
        Self {
            url: args.base_url,
            load: Load {
                requests: args.requests,
                workers: args.workers,
            },
            jaeger: args.jaeger,
            jaeger_page: jaeger_page.unwrap_or_else(BaseUrl::local_jaeger),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Args;

    #[test]
    fn the_flags_fit_together() {
        Args::command().debug_assert();
    }
}
