//! The servers that run side by side, asked in turns: those that are not asked
//! are idle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::contestant::{Contestant, Programs, Serving};
use super::generator::{self, Answered, Asked};
use super::rounds::{Figure, Figures, Rounds};
use super::sink::{Expected, Sink};
use super::steady::Spread;
use crate::connection::{Connection, Protocol};

/// Connections of the load where nothing else is said.
pub(crate) const CONNECTIONS: u32 = 32;
/// The server's, and two of `bench-usual`.
const SPANS_A_REQUEST: u32 = 3;

/// Several servers, and where those of Fanlight export to.
pub(crate) struct Field<'a> {
    serving: Vec<(Contestant, Serving)>,
    sink: Sink,
    folder: tempfile::TempDir,
    programs: &'a Programs,
}

/// A load, without the address that it is for.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) connections: u32,
    /// In whole seconds.
    pub(crate) duration: Duration,
    /// So many a second; as fast as the connections go where none is said.
    pub(crate) rate: Option<f64>,
    pub(crate) body: Option<PathBuf>,
}

impl Ask {
    /// As fast as [`CONNECTIONS`] go.
    pub(crate) fn closed(duration: Duration) -> Self {
        Self {
            connections: CONNECTIONS,
            duration,
            rate: None,
            body: None,
        }
    }
}

/// The rounds of several servers.
pub(crate) type ByContestant = BTreeMap<Contestant, Rounds>;

impl<'a> Field<'a> {
    /// Starts those of them that there is a program for, and warms them: code is
    /// compiled, pages are there.
    pub(crate) async fn start(
        programs: &'a Programs,
        contestants: &[Contestant],
    ) -> anyhow::Result<Self> {
        let sink = Sink::start().await?;
        let mut serving = Vec::new();
        for contestant in programs.present(contestants) {
            let one = Serving::start(contestant, programs, sink.address()).await;
            serving.push((contestant, one.with_context(|| contestant.name())?));
        }
        let field = Self {
            serving,
            sink,
            folder: tempfile::tempdir()?,
            programs,
        };
        let ask = Ask::closed(Duration::from_secs(1));
        for contestant in field.contestants() {
            field.ask(contestant, &ask).await?;
        }
        Ok(field)
    }

    pub(crate) fn contestants(&self) -> Vec<Contestant> {
        self.serving.iter().map(|(it, _)| *it).collect()
    }

    /// A folder for what the load needs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Asks each in so many rounds.
    pub(crate) async fn rounds(&self, rounds: usize, ask: &Ask) -> anyhow::Result<ByContestant> {
        let mut all = ByContestant::new();
        for round in 0..rounds {
            for contestant in in_turn(&self.contestants(), round) {
                let figures = self.ask(contestant, ask).await?;
                eprintln!("  {:24} {figures}", contestant.name());
                all.entry(contestant).or_default().push(figures);
            }
        }
        Ok(all)
    }

    /// Asks one, and demands its spans where it exports them.
    pub(crate) async fn ask(&self, contestant: Contestant, ask: &Ask) -> anyhow::Result<Figures> {
        let measured = self.measure(contestant, ask).await;
        measured.with_context(|| contestant.name())
    }

    async fn measure(&self, contestant: Contestant, ask: &Ask) -> anyhow::Result<Figures> {
        let mut all = self.serving.iter();
        let serving = all.find(|(it, _)| *it == contestant);
        let (_, serving) = serving.context("it does not run")?;
        let asked = Asked {
            url: format!("http://{}/", serving.address()),
            connections: ask.connections,
            duration: ask.duration,
            body: ask.body.clone(),
        };
        self.sink.forget();
        let before = serving.cpu()?;
        let answered = match ask.rate {
            None => generator::closed(&asked, self.folder()).await?,
            Some(rate) => generator::open(&self.programs.oha, &asked, rate).await?,
        };
        if matches!(contestant, Contestant::Fanlight | Contestant::Unviewed) {
            let expected = Expected {
                requests: answered.requests,
                cut: answered.cut,
                spans_a_request: SPANS_A_REQUEST,
            };
            self.sink.demand(expected).await?;
        }
        // With the spans out, all that the requests cost is in it.
        let cpu = serving.cpu()?.since(&before);
        if let Some(admin) = serving.admin() {
            demand_nothing_lost(admin).await?;
        }
        Ok(figures(answered, cpu, serving.rss_bytes()?))
    }
}

/// What a round came to.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
pub(crate) fn figures(answered: Answered, cpu: Duration, rss_bytes: u64) -> Figures {
    Figures {
        per_second: answered.per_second,
        p50_us: answered.p50_us,
        p99_us: answered.p99_us,
        cpu_us: cpu.as_secs_f64() * 1e6 / answered.requests as f64,
        rss_bytes,
    }
}

/// Those of a round: each round begins with another one, so that none comes
/// always after the same.
pub(crate) fn in_turn<T: Copy>(all: &[T], round: usize) -> impl Iterator<Item = T> {
    all.iter().copied().cycle().skip(round).take(all.len())
}

/// What the spreads are of Fanlight's figure beside each of the others'.
pub(crate) fn spreads(all: &ByContestant, name: &str, figure: Figure) -> Vec<Spread> {
    let Some(ours) = all.get(&Contestant::Fanlight) else {
        return Vec::new();
    };
    let others = all.iter().filter(|(it, _)| **it != Contestant::Fanlight);
    let spread = |(contestant, rounds): (&Contestant, &Rounds)| {
        let name = format!("{name} / {}'s", contestant.name());
        (name, ours.beside(rounds, figure).spread)
    };
    others.map(spread).collect()
}

/// Asks the server itself: it counts what it could not hand on.
///
/// # Errors
/// Where it counts anything.
pub(crate) async fn demand_nothing_lost(admin: std::net::SocketAddr) -> anyhow::Result<()> {
    let answer = Connection::open(admin, Protocol::Http1)
        .await?
        .get("/metrics")
        .await?;
    let text = String::from_utf8_lossy(&answer.body);
    let lost = lost(&text);
    anyhow::ensure!(lost.is_empty(), "the server lost telemetry: {lost:?}");
    Ok(())
}

/// The counts of what was lost that are not zero.
fn lost(metrics: &str) -> Vec<&str> {
    let counts = metrics
        .lines()
        .filter(|line| line.starts_with("fanlight_telemetry_lost"));
    counts
        .filter(|line| line.rsplit_once(' ').is_none_or(|(_, count)| count != "0"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{in_turn, lost};

    #[test]
    fn each_round_begins_with_another() {
        let turn = |round| in_turn(&['a', 'b', 'c'], round).collect::<String>();
        assert_eq!([turn(0), turn(1), turn(5)], ["abc", "bca", "cab"]);
    }

    #[test]
    fn what_the_server_has_lost_is_seen() {
        let none = "# TYPE fanlight_telemetry_lost_total counter\n\
            fanlight_telemetry_lost_total{signal=\"traces\",reason=\"queue_full\"} 0\nother 5\n";
        assert!(lost(none).is_empty());
        let some = none.replace("} 0", "} 12");
        assert_eq!(lost(&some).len(), 1);
    }
}
