//! One guest's run for one request: makes the store, the instance, the call.
//!
//! The only place that makes a `Store`. A guest is polled where its request is
//! handled, not in a task of its own: dropping it ends it where it stands.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use tokio::sync::oneshot;
use wasmtime::component::Resource;
use wasmtime::{Store, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme as GuestsScheme};
use wasmtime_wasi_http::p2::bindings::{Proxy, ProxyPre};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};

use crate::error::{ErrorCodeError, GuestTrap, HandleError, InstantiateError};
use crate::guest_api::SpansEnded;
use crate::request::cookies;
use crate::request::framing::RequestFraming;
use crate::request::info::Scheme;
use crate::request::server_span::ServerSpan;
use crate::sandbox::linked_component::LinkedComponent;
use crate::sandbox::scheduler::Scheduled;
use crate::sandbox::store::State;

/// Bytes that one call to the host may move: the largest chunk and some more.
const HOSTCALL_FUEL: usize = 8 * 1024 * 1024;

/// Handles that a guest holds at once; one more traps. Fewer than the engine's
/// own 100,000: a call such as `poll` goes through all of them while the thread
/// does nothing else, a millisecond for each thousand.
const MAX_HANDLES: usize = 20_000;

/// The tick at which a guest gives way for the first time. At the next one, a
/// guest of some microseconds would now and then find itself behind all others
/// on its thread, for having begun just before it.
const FIRST_TICKS: u64 = 2;

/// A guest that runs, and how it ends.
pub(crate) type Guest = Pin<Box<dyn Future<Output = GuestEnd> + Send>>;

/// A guest whose answer is there: as a rule it has ended by then.
pub(crate) enum Progress {
    /// It may still be writing its answer's body.
    Running(Guest),
    /// It is gone.
    Ended(GuestEnd),
}

impl Progress {
    /// The guest's end, to be waited for.
    pub(crate) fn end(self) -> Guest {
        match self {
            Self::Running(guest) => guest,
            Self::Ended(end) => Box::pin(std::future::ready(end)),
        }
    }
}

/// How a guest ended.
#[derive(Default)]
pub(crate) struct GuestEnd {
    pub(crate) failure: Option<HandleError>,
    /// A trapped guest's store: while it stands, so do the ends of the body
    /// that the guest had not finished.
    _store: Option<Store<State>>,
}

/// What a guest gives as the head of its answer.
type Head = Result<Response<HyperOutgoingBody>, ErrorCode>;

/// A guest on its way to the head of its answer. Dropped, it ends where it stands.
pub(crate) struct GuestCall {
    guest: Guest,
    head: oneshot::Receiver<Head>,
    /// How the guest ended, if it has by now.
    end: Option<GuestEnd>,
}

impl GuestCall {
    /// Prepares a guest; it runs when its answer is waited for. Until its end it
    /// holds the component, by which the owner of the component counts guests.
    pub(crate) fn new<C, B>(component: Arc<C>, state: State, request: Request<B>) -> Self
    where
        C: AsRef<LinkedComponent> + Send + Sync + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<wasmtime_wasi_http::Error>,
    {
        let (sender, head) = oneshot::channel();
        let run_handle = state.ticks.run_handle().clone();
        let prepared = Prepared::new((*component).as_ref(), state, request, sender);
        let guest = run(component, prepared);
        Self {
            guest: Box::pin(Scheduled::new(guest, run_handle)),
            head,
            end: None,
        }
    }

    /// Runs the guest until it has set its response headers. A guest whose response
    /// is an error may go on as well: the caller records the reason before it drops it.
    ///
    /// # Cancel safety
    /// Dropped, it leaves the guest where it stands.
    pub(crate) async fn head(&mut self) -> Result<Response<HyperOutgoingBody>, HandleError> {
        let head = poll_fn(|context| {
            if self.end.is_none()
                && let Poll::Ready(ended) = self.guest.as_mut().poll(context)
            {
                self.end = Some(ended);
            }
            // Not by a poll, which finds nothing once the task has used up its turn
            // by tokio's account; and without an answer the guest's end says why.
            if self.end.is_some() {
                return Poll::Ready(self.head.try_recv().ok());
            }
            // A guest may drop the means to answer and go on: then only its end is
            // waited for, and a receiver that has failed must not be polled again.
            if !self.head.is_terminated()
                && let Poll::Ready(Ok(head)) = Pin::new(&mut self.head).poll(context)
            {
                return Poll::Ready(Some(head));
            }
            Poll::Pending
        })
        .await;
        let Some(head) = head else {
            let failure = self.end.as_mut().and_then(|end| end.failure.take());
            return Err(failure.unwrap_or(HandleError::NoResponse));
        };
        let response = head.map_err(|code| HandleError::ErrorCode(ErrorCodeError(code)))?;
        if response.status().is_informational() {
            return Err(HandleError::InvalidResponse(response.status().as_u16()));
        }
        Ok(response)
    }

    /// The guest, which may still be writing the body of its answer.
    pub(crate) fn into_guest(self) -> Progress {
        match self.end {
            Some(end) => Progress::Ended(end),
            None => Progress::Running(self.guest),
        }
    }
}

/// What a guest is called with. Made before its future is, which is the smaller
/// and the cheaper to move for it.
struct Prepared {
    begun: Instant,
    store: Store<State>,
    arguments: wasmtime::Result<Arguments>,
}

/// The parameters of `wasi:http/incoming-handler`.
type Arguments = (
    Resource<HostIncomingRequest>,
    Resource<HostResponseOutparam>,
);

impl Prepared {
    fn new<B>(
        component: &LinkedComponent,
        state: State,
        request: Request<B>,
        head: oneshot::Sender<Head>,
    ) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<wasmtime_wasi_http::Error>,
    {
        let begun = Instant::now();
        let mut store = store(&component.pre, state);
        let arguments = arguments(store.data_mut(), request, head);
        Self {
            begun,
            store,
            arguments,
        }
    }
}

fn store(pre: &ProxyPre<State>, state: State) -> Store<State> {
    let mut store = Store::new(pre.engine(), state);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(HOSTCALL_FUEL);
    store.set_max_component_handles(MAX_HANDLES);
    store.set_epoch_deadline(FIRST_TICKS);
    // A guest that computes gives way at every tick: others on its thread run,
    // and the request's deadline is looked at, as is what it holds.
    store.epoch_deadline_callback(|mut store| {
        let state = store.data_mut();
        state.check_holdings()?;
        Ok(UpdateDeadline::YieldCustom(1, state.ticks.tick()))
    });
    store
}

fn arguments<B>(
    state: &mut State,
    request: Request<B>,
    head: oneshot::Sender<Head>,
) -> wasmtime::Result<Arguments>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<wasmtime_wasi_http::Error>,
{
    state.asked = RequestFraming::by(&request);
    let span = state.telemetry.server_span().clone();
    let scheme = match span.scheme() {
        Scheme::Http => GuestsScheme::Http,
        Scheme::Https => GuestsScheme::Https,
    };
    let (mut parts, body) = request.into_parts();
    cookies::join(parts.version, &mut parts.headers);
    state.request_body = Some(if body.is_end_stream() {
        // As most are; to box nothing takes no memory.
        no_body().boxed_unsync()
    } else {
        body.map_err(Into::into).boxed_unsync()
    });
    let mut http = state.http();
    let request = http.new_incoming_request(scheme, Request::from_parts(parts, no_body()))?;
    let answer = http.new_response_outparam_from_callback(move |answer| {
        span.answered();
        // The handler does not wait when the request is over by then.
        let _ = head.send(answer);
    })?;
    Ok((request, answer))
}

fn no_body() -> impl Body<Data = Bytes, Error = wasmtime_wasi_http::Error> + Send {
    Empty::new().map_err(|never| match never {})
}

async fn run<C>(component: Arc<C>, prepared: Prepared) -> GuestEnd
where
    C: AsRef<LinkedComponent> + Send + Sync,
{
    // Before the store, so that it goes after it: the guest is whole in the
    // metrics, whatever ends it.
    let _ended = EndedOnDrop(prepared.store.data().telemetry.server_span().clone());
    let Prepared {
        begun,
        mut store,
        arguments,
    } = prepared;
    let result = call((*component).as_ref(), &mut store, begun, arguments).await;
    let state = store.data_mut();
    match result {
        Ok(()) => {
            state.telemetry.finish(SpansEnded::Returned);
            GuestEnd::default()
        }
        Err(CallError::Host(failure)) => GuestEnd {
            failure: Some(failure),
            _store: None,
        },
        Err(CallError::Guest(error)) => {
            let is_exit = error.is::<I32Exit>();
            let word = if is_exit { "exit" } else { "trap" };
            state.telemetry.finish(SpansEnded::Failed(word));
            let failure = match is_exit {
                true => HandleError::Exit,
                false => HandleError::Trap(GuestTrap::new(&error, state.telemetry.stderr_tail())),
            };
            // Here rather than with the answer: it may be out already.
            state.telemetry.server_span().guest_failed(&failure);
            GuestEnd {
                failure: Some(failure),
                _store: Some(store),
            }
        }
    }
}

/// Has the metrics take what a guest took.
struct EndedOnDrop(ServerSpan);

impl Drop for EndedOnDrop {
    fn drop(&mut self) {
        self.0.guest_ended();
    }
}

enum CallError {
    Host(HandleError),
    Guest(wasmtime::Error),
}

impl CallError {
    fn host(error: wasmtime::Error) -> Self {
        Self::Host(HandleError::Instantiate(InstantiateError(error)))
    }
}

async fn instantiate(pre: &ProxyPre<State>, store: &mut Store<State>) -> Result<Proxy, CallError> {
    match pre.instantiate_async(&mut *store).await {
        Ok(proxy) => Ok(proxy),
        // A start function may trap, or exit: that is the guest's doing.
        Err(error) if error.is::<wasmtime::Trap>() || error.is::<WasmBacktrace>() => {
            Err(CallError::Guest(error))
        }
        Err(error) => Err(CallError::host(error)),
    }
}

/// Makes an instance as for a request, and drops it without a call.
///
/// # Errors
/// Where it traps as it starts, or there is no room for it.
pub(crate) async fn try_instance(pre: &ProxyPre<State>, state: State) -> Result<(), HandleError> {
    let run_handle = state.ticks.run_handle().clone();
    let mut store = store(pre, state);
    let made = Scheduled::new(instantiate(pre, &mut store), run_handle).await;
    made.map(|_| ()).map_err(|error| match error {
        CallError::Host(failure) => failure,
        CallError::Guest(error) => {
            let stderr = store.data().telemetry.stderr_tail();
            HandleError::Trap(GuestTrap::new(&error, stderr))
        }
    })
}

async fn call(
    component: &LinkedComponent,
    store: &mut Store<State>,
    begun: Instant,
    arguments: wasmtime::Result<Arguments>,
) -> Result<(), CallError> {
    let (request, answer) = arguments.map_err(CallError::host)?;
    let usage = Arc::clone(store.data().telemetry.server_span().usage());
    let proxy = match instantiate(&component.pre, store).await {
        Ok(proxy) => proxy,
        Err(CallError::Guest(error)) => return guest_ended(error),
        Err(error) => return Err(error),
    };
    usage.instantiated(begun);
    let handler = proxy.wasi_http_incoming_handler();
    let mut guest = pin!(handler.call_handle(&mut *store, request, answer));
    // What a guest waits for, a turn among others too, is outside of its polls.
    poll_fn(|context| usage.measured(|| guest.as_mut().poll(context)))
        .await
        .or_else(guest_ended)
}

/// The end of a guest that did not return. Who exits with success has ended as well as
/// who returns.
fn guest_ended(error: wasmtime::Error) -> Result<(), CallError> {
    match error.downcast_ref() {
        Some(I32Exit(0)) => Ok(()),
        Some(I32Exit(_)) | None => Err(CallError::Guest(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn;

    #[tokio::test]
    async fn an_answer_of_a_guest_that_has_ended_is_there_whatever_the_turn_of_the_task() {
        let (sender, head) = oneshot::channel();
        let mut sender = Some(sender);
        let guest = poll_fn(move |context| {
            if let Some(sender) = sender.take() {
                let _ = sender.send(Err(ErrorCode::ConnectionRefused));
            }
            turn::use_up(context);
            Poll::Ready(GuestEnd::default())
        });
        let mut invocation = GuestCall {
            guest: Box::pin(guest),
            head,
            end: None,
        };
        let answer = invocation.head().await;
        assert!(matches!(answer, Err(HandleError::ErrorCode(_))));
    }
}
