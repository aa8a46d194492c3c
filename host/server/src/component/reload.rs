//! Replaces the component while it serves: reads, compiles, links, probes, swaps.
//!
//! One at a time, and the newest wins: it supersedes earlier offers that are not
//! served yet. A refusal leaves the served component in place. A swap is one atomic
//! store, the last step.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use opentelemetry::trace::SpanContext;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::component::history::{History, HistoryEntry};
use crate::component::import_policy::ImportPolicy;
use crate::component::outcome::{Concluded, Outcome, Refusal, ReloadOutcome};
use crate::component::probe::Probe;
use crate::component::reload_trace::{Ending, SwapTrace};
use crate::component::slot::{ComponentSlot, LoadedComponent, SlotView, Source};
use crate::component::source::ComponentSource;
use crate::component::swap_error::SwapError;
use crate::sandbox::inspection::changes::Changes;
use crate::sandbox::load_error::{LoadError, text};
use fanlight_telemetry::Telemetry;
use fanlight_telemetry::trace::tracer::Tracer;

/// Replaces what a slot holds.
pub struct Reloader {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    /// Swaps under way end with their owner.
    _ended: DropGuard,
    ended: CancellationToken,
}

struct Shared {
    slot: Arc<ComponentSlot>,
    probe: Option<Probe>,
    /// For every offer, whatever the client says.
    policy: ImportPolicy,
    tracer: Tracer,
    swaps: Counter<u64>,
    /// The number of the newest offer.
    newest: watch::Sender<u64>,
    /// The offer that compiles holds it.
    turn: tokio::sync::Mutex<()>,
    /// Held while it is decided what is served next.
    deciding: Mutex<()>,
    last_refusal: Mutex<Option<Refusal>>,
    history: Mutex<History>,
    /// Counts the entries of the history.
    recorded: watch::Sender<u64>,
}

impl Reloader {
    /// Makes one for a slot. `probe` is asked of every new component before it
    /// is served, and `policy` holds for every one.
    pub fn new(
        slot: Arc<ComponentSlot>,
        telemetry: &Telemetry,
        probe: Option<Probe>,
        policy: ImportPolicy,
    ) -> Self {
        let swaps = telemetry
            .meter()
            .u64_counter("fanlight.component.swaps")
            .with_unit("{swap}")
            .with_description("Components that were offered to be served, by source and outcome")
            .build();
        let ended = CancellationToken::new();
        Self {
            shared: Arc::new(Shared {
                slot,
                probe,
                policy,
                tracer: telemetry.tracer().clone(),
                swaps,
                newest: watch::Sender::new(0),
                turn: tokio::sync::Mutex::default(),
                deciding: Mutex::default(),
                last_refusal: Mutex::default(),
                history: Mutex::default(),
                recorded: watch::Sender::new(0),
            }),
            tasks: TaskTracker::new(),
            _ended: ended.clone().drop_guard(),
            ended,
        }
    }

    /// Serves what is offered, if it can be served.
    ///
    /// # Cancel safety
    /// When it is dropped, the swap goes on: it is never done by half.
    pub(crate) async fn offer(&self, offer: Offer) -> Concluded {
        let shared = Arc::clone(&self.shared);
        let ended = self.ended.clone();
        let swap = self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = ended.cancelled() => Concluded::ended(),
                concluded = shared.offer(offer) => concluded,
            }
        });
        swap.await.unwrap_or_else(|_| Concluded::ended())
    }

    /// Returns to the component before the current one, at once: it is still
    /// loaded. A second time it undoes the first.
    pub(crate) fn roll_back(&self, asked_by: Option<SpanContext>) -> Concluded {
        self.shared.roll_back(asked_by)
    }

    /// Records that there is nothing new in a component's file, and why: the log, the
    /// history and a trace have it as they have what was refused. What is served goes on.
    pub fn refuse(&self, component: PathBuf, reason: LoadError) {
        let source = Source::File(component);
        let (name, text) = ("component.swap", source.to_string());
        let trace = SwapTrace::start(&self.shared.tracer, name, text, None);
        let refused = Err(SwapError::Refused(reason));
        self.shared
            .conclude(ReloadTrigger::Source(source), trace, refused);
    }

    pub(crate) fn view(&self) -> (SlotView, Option<Refusal>) {
        let last_refusal = self.shared.last_refusal.lock().clone();
        (self.shared.slot.view(), last_refusal)
    }

    /// The last swaps, rollbacks and refusals, the newest first.
    pub(crate) fn history(&self) -> Vec<HistoryEntry> {
        self.shared.history.lock().entries()
    }

    /// Changes with each entry of the history.
    pub(crate) fn recorded(&self) -> watch::Receiver<u64> {
        self.shared.recorded.subscribe()
    }

    /// The digest of what is served.
    pub(crate) fn digest(&self) -> String {
        self.shared.slot.current().digest().to_owned()
    }

    /// The largest component that is taken, in bytes.
    pub(crate) fn max_bytes(&self) -> usize {
        self.shared.slot.compiler().max_bytes()
    }
}

impl Shared {
    async fn offer(&self, offer: Offer) -> Concluded {
        let Offer {
            component,
            policy,
            asked_by,
        } = offer;
        let source = component.source();
        let mut trace =
            SwapTrace::start(&self.tracer, "component.swap", source.to_string(), asked_by);
        let policy = self.policy.and(policy);
        let swapped = self.try_offer(component, policy, &mut trace).await;
        self.conclude(ReloadTrigger::Source(source), trace, swapped)
    }

    async fn try_offer(
        &self,
        offer: ComponentSource,
        policy: ImportPolicy,
        trace: &mut SwapTrace,
    ) -> Result<Exchange, SwapError> {
        let source = offer.source();
        let native = offer.native_code();
        let compiler = self.slot.compiler();
        let bytes = trace
            .step("read", |_| async {
                let bytes = offer.read(compiler.max_bytes()).await?;
                compiler.check(&bytes, native)?;
                Ok(bytes)
            })
            .await?;
        // From here on: what is refused at first sight supersedes nothing.
        let mut ticket = 0;
        self.newest.send_modify(|newest| {
            *newest += 1;
            ticket = *newest;
        });
        let _turn = tokio::select! {
            biased;
            () = self.superseded(ticket) => return Err(SwapError::Superseded),
            turn = self.turn.lock() => turn,
        };
        let compiled = trace
            .step("compile", |_| async {
                Ok(compiler.compile_aside(bytes, native).await?)
            })
            .await?;
        self.is_newest(ticket)?;
        let linked = trace
            .step("link", |_| async {
                let linked = compiler.link(compiled)?;
                // What is compared with is replaced by a later swap or a rollback alone,
                // and both supersede this offer.
                let served = self.slot.current();
                if linked.identity.digest[..] != *served.digest() {
                    let changes = Changes::between(served.inspection(), &linked.inspection);
                    policy.check(&changes)?;
                }
                Ok(linked)
            })
            .await?;
        {
            let _deciding = self.deciding.lock();
            let now = self.slot.current();
            if linked.identity.digest[..] == *now.digest() {
                self.is_newest(ticket)?;
                return Ok(Exchange {
                    outcome: Outcome::Unchanged,
                    now,
                    before: None,
                });
            }
        }
        trace
            .step("instantiate", |_| async {
                // A bad one may take its time; what replaces it does not wait.
                tokio::select! {
                    biased;
                    () = self.superseded(ticket) => Err(SwapError::Superseded),
                    tried = compiler.try_instance_aside(&linked) => Ok(tried?),
                }
            })
            .await?;
        let candidate = self.slot.candidate(linked, source);
        trace.identify(&candidate);
        if let Some(probe) = &self.probe {
            let candidate = Arc::clone(&candidate);
            trace
                .step("probe", |context| async {
                    // A bad one may take its time; what replaces it does not wait.
                    tokio::select! {
                        biased;
                        () = self.superseded(ticket) => Err(SwapError::Superseded),
                        asked = probe.ask(candidate, context) => Ok(asked?),
                    }
                })
                .await?;
        }
        let now = Arc::clone(&candidate);
        let swap = trace.step("swap", |_| async { self.swap(ticket, candidate) });
        Ok(Exchange {
            outcome: Outcome::Swapped,
            now,
            before: Some(swap.await?),
        })
    }

    /// Swaps, unless something newer was offered: the one moment that counts.
    fn swap(
        &self,
        ticket: u64,
        candidate: Arc<LoadedComponent>,
    ) -> Result<Arc<LoadedComponent>, SwapError> {
        // A rollback decides under the same lock.
        let _deciding = self.deciding.lock();
        self.is_newest(ticket)?;
        Ok(self.slot.swap(candidate))
    }

    fn is_newest(&self, ticket: u64) -> Result<(), SwapError> {
        if *self.newest.borrow() == ticket {
            Ok(())
        } else {
            Err(SwapError::Superseded)
        }
    }

    /// Is ready when something newer than `ticket` was offered.
    async fn superseded(&self, ticket: u64) {
        let mut newest = self.newest.subscribe();
        // The sender lives as long as this.
        let _ = newest.wait_for(|newest| *newest != ticket).await;
    }

    fn roll_back(&self, asked_by: Option<SpanContext>) -> Concluded {
        let trace = SwapTrace::start(
            &self.tracer,
            "component.rollback",
            "rollback".into(),
            asked_by,
        );
        let deciding = self.deciding.lock();
        let exchanged = self.slot.roll_back();
        if exchanged.is_some() {
            // Whatever compiles now was offered before.
            self.newest.send_modify(|newest| *newest += 1);
        }
        drop(deciding);
        let exchange = exchanged
            .ok_or(SwapError::NothingBefore)
            .map(|it| Exchange {
                outcome: Outcome::RolledBack,
                now: it.now,
                before: Some(it.before),
            });
        self.conclude(ReloadTrigger::Rollback, trace, exchange)
    }

    /// Records the outcome in the log, the counter and the trace.
    fn conclude(
        &self,
        asked: ReloadTrigger,
        mut trace: SwapTrace,
        exchange: Result<Exchange, SwapError>,
    ) -> Concluded {
        let context = trace.context().clone();
        let source = asked.to_string();
        let mut labels = vec![KeyValue::new("fanlight.swap.source", asked.kind())];
        let swapped = match exchange {
            Ok(exchange) => {
                let Exchange {
                    outcome,
                    now,
                    before,
                } = exchange;
                let changes = before
                    .as_deref()
                    .map(|before| Changes::between(before.inspection(), now.inspection()));
                let changes = changes.unwrap_or_default();
                let list = |names: &[String]| (!names.is_empty()).then(|| text(names.join(", ")));
                trace.identify(&now);
                labels.push(KeyValue::new("fanlight.swap.outcome", outcome.as_str()));
                tracing::info!(
                    otel.trace_id = %context.trace_id(),
                    otel.span_id = %context.span_id(),
                    version = now.version(),
                    generation = now.generation(),
                    digest = now.digest(),
                    source = %now.source(),
                    was = before.as_deref().map(LoadedComponent::version),
                    imports_added = list(&changes.imports.added),
                    imports_removed = list(&changes.imports.removed),
                    "{}",
                    outcome.sentence(),
                );
                trace.end(&Ending {
                    word: outcome.as_str(),
                    serving: Some(&now),
                    before: before.as_deref(),
                    failure: None,
                });
                Ok(ReloadOutcome {
                    outcome,
                    now,
                    changes,
                })
            }
            Err(error) => {
                labels.push(KeyValue::new("fanlight.swap.outcome", error.outcome()));
                labels.push(KeyValue::new("error.type", error.error_type()));
                let reason = error.reason();
                let serving = self.slot.current();
                tracing::warn!(
                    otel.trace_id = %context.trace_id(),
                    otel.span_id = %context.span_id(),
                    source = %asked,
                    serving = serving.version(),
                    "not swapped: {}",
                    reason.lines().next().unwrap_or_default(),
                );
                trace.end(&Ending {
                    word: error.outcome(),
                    serving: None,
                    before: None,
                    failure: Some((error.error_type(), &reason)),
                });
                if let (true, ReloadTrigger::Source(source)) = (error.is_refusal(), asked) {
                    *self.last_refusal.lock() = Some(Refusal {
                        at: SystemTime::now(),
                        source,
                        error_type: error.error_type(),
                        reason,
                    });
                }
                Err(error)
            }
        };
        self.swaps.add(1, &labels);
        self.history
            .lock()
            .record(&swapped, source, context.clone());
        self.recorded.send_modify(|count| *count += 1);
        Concluded {
            swapped,
            trace: Some(context),
        }
    }
}

/// A component that is offered to be served.
pub(crate) struct Offer {
    pub(crate) component: ComponentSource,
    /// What the client lets it import, beside what the operator does.
    pub(crate) policy: ImportPolicy,
    /// The client's span, if it named one.
    pub(crate) asked_by: Option<SpanContext>,
}

/// What was exchanged for what.
struct Exchange {
    outcome: Outcome,
    now: Arc<LoadedComponent>,
    before: Option<Arc<LoadedComponent>>,
}

/// What a client or a watched file asked for.
enum ReloadTrigger {
    Source(Source),
    Rollback,
}

impl ReloadTrigger {
    fn kind(&self) -> &'static str {
        match self {
            Self::Source(Source::File(_)) => "file",
            Self::Source(Source::Upload) => "upload",
            Self::Rollback => "rollback",
        }
    }
}

impl fmt::Display for ReloadTrigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(source) => source.fmt(f),
            Self::Rollback => f.write_str("rollback"),
        }
    }
}
