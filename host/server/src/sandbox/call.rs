//! One guest's run for one request: makes the store, the instance, the call.
//!
//! The only place that makes a `Store`. A guest is polled where its request is
//! handled, not in a task of its own: dropping it ends it where it stands.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
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
use crate::request::context::RequestContext;
use crate::request::cookies;
use crate::request::peer::Scheme;
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

/// One guest that handles one request. Dropped, it ends where it stands.
pub(crate) struct GuestCall {
    guest: Guest,
    response: oneshot::Receiver<GuestResponse>,
}

enum Guest {
    /// It may go on after its response headers, and as a rule writes the body then.
    Running(Pin<Box<dyn Future<Output = GuestEnd> + Send>>),
    Ended(GuestEnd),
}

/// How a guest ended.
#[derive(Default)]
struct GuestEnd {
    failure: Option<HandleError>,
    /// A trapped guest's store: while it stands, so do the ends of the body
    /// that the guest had not finished.
    _store: Option<Store<State>>,
}

/// What a guest sets as its response.
type GuestResponse = Result<Response<HyperOutgoingBody>, ErrorCode>;

impl GuestCall {
    /// Prepares a guest; it runs once its response or its end is polled. Until its end
    /// it holds the component, by which the owner of the component counts guests.
    pub(crate) fn new<C, B>(component: Arc<C>, mut state: State, head: Parts, body: B) -> Self
    where
        C: AsRef<LinkedComponent> + Send + Sync + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<wasmtime_wasi_http::Error>,
    {
        let started_at = Instant::now();
        let (sender, response) = oneshot::channel();
        let run_handle = state.ticks.run_handle().clone();
        // Before the future, which is smaller then and cheaper to move.
        let arguments = arguments(&mut state, head, body, sender);
        let store = store(&(*component).as_ref().pre, state);
        let guest = run(component, store, arguments, started_at);
        Self {
            guest: Guest::Running(Box::pin(Scheduled::new(guest, run_handle))),
            response,
        }
    }

    /// Runs the guest until it has set its response headers. A guest whose response
    /// is an error may go on as well: the caller records the reason before it drops it.
    ///
    /// # Cancel safety
    /// Dropped, it leaves the guest where it stands.
    pub(crate) async fn response(&mut self) -> Result<Response<HyperOutgoingBody>, HandleError> {
        let response = poll_fn(|context| {
            // Not by a poll, which finds nothing once the task has used up its turn
            // by tokio's account; and without a response the guest's end says why.
            if self.poll_end(context).is_ready() {
                return Poll::Ready(self.response.try_recv().ok());
            }
            // A guest may drop the means to respond and go on: then only its end is
            // waited for, and a receiver that has failed must not be polled again.
            if !self.response.is_terminated()
                && let Poll::Ready(Ok(response)) = Pin::new(&mut self.response).poll(context)
            {
                return Poll::Ready(Some(response));
            }
            Poll::Pending
        })
        .await;
        let Some(response) = response else {
            return Err(self.take_failure().unwrap_or(HandleError::NoResponse));
        };
        let response = response.map_err(|code| HandleError::ErrorCode(ErrorCodeError(code)))?;
        if response.status().is_informational() {
            return Err(HandleError::InvalidResponse(response.status().as_u16()));
        }
        Ok(response)
    }

    /// Runs the guest to its end.
    pub(crate) fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Guest::Running(guest) = &mut self.guest {
            let end = ready!(guest.as_mut().poll(context));
            self.guest = Guest::Ended(end);
        }
        Poll::Ready(())
    }

    /// Whether the guest has ended.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.guest, Guest::Ended(_))
    }

    /// How the guest failed, if it has ended by a failure. Given once.
    pub(crate) fn take_failure(&mut self) -> Option<HandleError> {
        match &mut self.guest {
            Guest::Running(_) => None,
            Guest::Ended(end) => end.failure.take(),
        }
    }
}

#[cfg(test)]
impl GuestCall {
    /// A call whose guest has returned.
    pub(crate) fn ended() -> Self {
        let (_, response) = oneshot::channel();
        Self {
            guest: Guest::Ended(GuestEnd::default()),
            response,
        }
    }
}

/// The parameters of `wasi:http/incoming-handler`.
type Arguments = (
    Resource<HostIncomingRequest>,
    Resource<HostResponseOutparam>,
);

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
    mut head: Parts,
    body: B,
    sender: oneshot::Sender<GuestResponse>,
) -> wasmtime::Result<Arguments>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<wasmtime_wasi_http::Error>,
{
    let request = state.telemetry.request().clone();
    let scheme = match request.info().scheme() {
        Scheme::Http => GuestsScheme::Http,
        Scheme::Https => GuestsScheme::Https,
    };
    cookies::join(head.version, &mut head.headers);
    state.request_body = Some(if body.is_end_stream() {
        // As most are; to box nothing takes no memory.
        no_body().boxed_unsync()
    } else {
        body.map_err(Into::into).boxed_unsync()
    });
    let mut http = state.http();
    let incoming = http.new_incoming_request(scheme, Request::from_parts(head, no_body()))?;
    let outparam = http.new_response_outparam_from_callback(move |response| {
        request.guest_responded();
        // The handler does not wait when the request is over by then.
        let _ = sender.send(response);
    })?;
    Ok((incoming, outparam))
}

fn no_body() -> impl Body<Data = Bytes, Error = wasmtime_wasi_http::Error> + Send {
    Empty::new().map_err(|never| match never {})
}

async fn run<C>(
    component: Arc<C>,
    store: Store<State>,
    arguments: wasmtime::Result<Arguments>,
    started_at: Instant,
) -> GuestEnd
where
    C: AsRef<LinkedComponent> + Send + Sync,
{
    let _ended = EndedOnDrop(store.data().telemetry.request().clone());
    // Declared later, so dropped earlier: the metrics have the whole guest.
    let mut store = store;
    let result = call((*component).as_ref(), &mut store, started_at, arguments).await;
    let telemetry = &mut store.data_mut().telemetry;
    match result {
        Ok(()) => {
            telemetry.finish(SpansEnded::Returned);
            GuestEnd::default()
        }
        Err(CallError::Host(failure)) => GuestEnd {
            failure: Some(failure),
            _store: None,
        },
        Err(CallError::Guest(error)) => {
            let is_exit = error.is::<I32Exit>();
            let word = if is_exit { "exit" } else { "trap" };
            telemetry.finish(SpansEnded::Failed(word));
            let failure = match is_exit {
                true => HandleError::Exit,
                false => HandleError::Trap(GuestTrap::new(&error, telemetry.stderr_tail())),
            };
            // Here rather than with the response, which may be out already.
            telemetry.request().guest_failed(&failure);
            GuestEnd {
                failure: Some(failure),
                _store: Some(store),
            }
        }
    }
}

/// Records in the metrics what a guest used.
struct EndedOnDrop(RequestContext);

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
    started_at: Instant,
    arguments: wasmtime::Result<Arguments>,
) -> Result<(), CallError> {
    let (request, outparam) = arguments.map_err(CallError::host)?;
    let usage = Arc::clone(store.data().telemetry.request().usage());
    let proxy = match instantiate(&component.pre, store).await {
        Ok(proxy) => proxy,
        Err(CallError::Guest(error)) => return guest_ended(error),
        Err(error) => return Err(error),
    };
    usage.instantiated(started_at);
    let handler = proxy.wasi_http_incoming_handler();
    let mut guest = pin!(handler.call_handle(&mut *store, request, outparam));
    // A guest's waits, for its turn among guests too, are outside of its polls.
    poll_fn(|context| usage.measured(|| guest.as_mut().poll(context)))
        .await
        .or_else(guest_ended)
}

/// The end of a guest that did not return. To exit with success is to return.
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
    async fn the_response_of_a_guest_that_has_ended_is_there_whatever_the_turn_of_the_task() {
        let (sender, response) = oneshot::channel();
        let mut sender = Some(sender);
        let guest = poll_fn(move |context| {
            if let Some(sender) = sender.take() {
                let _ = sender.send(Err(ErrorCode::ConnectionRefused));
            }
            turn::use_up(context);
            Poll::Ready(GuestEnd::default())
        });
        let mut call = GuestCall {
            guest: Guest::Running(Box::pin(guest)),
            response,
        };
        let answered = call.response().await;
        assert!(matches!(answered, Err(HandleError::ErrorCode(_))));
    }
}
