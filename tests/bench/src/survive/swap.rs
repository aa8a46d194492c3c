//! Swaps while requests run: none is lost, and those that run finish on what
//! they began with.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use fanlight_runner::load::Latencies;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::admin::Admin;
use crate::component::Guests;
use crate::connection::{Connection, Protocol};
use crate::load::Load;
use crate::program::Server;
use crate::report::Check;
use crate::request::Good;

const SWAPS: u32 = 200;
/// The longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// One swap each: all of them take 20 s.
const EVERY: Duration = Duration::from_millis(100);
/// Longer than a swap takes, so that the request runs across it.
const LONG_REQUEST: &str = "/version?chunks=3&delay_ms=100";
const ANSWERS: [&str; 2] = ["version-of-faults-0000\n", "version-of-faults-0001\n"];

pub(super) async fn run(server: Server, guests: &Guests) -> anyhow::Result<Vec<Check>> {
    let server = server
        .flags(["--max-instances", "200"])
        .serve(guests.path())
        .await?;
    let admin = Admin::at(server.admin);
    // Both are compiled from here on.
    admin.swap(guests.two()).await?;
    admin.swap(guests.one()).await?;

    let load = Load {
        requests: std::sync::Arc::new([Good::VERSION]),
        ..Load::full_speed(server.address)
    }
    .start();
    let mut watcher = Connection::open(server.address, Protocol::Http1).await?;
    let mut long_requests = JoinSet::new();
    let mut until_new = Vec::new();
    let mut pace = tokio::time::interval(EVERY);
    for swap in 0..SWAPS {
        pace.tick().await;
        let [old, new] = match swap % 2 {
            0 => ANSWERS,
            _ => [ANSWERS[1], ANSWERS[0]],
        };
        let component = if swap % 2 == 0 {
            guests.two()
        } else {
            guests.one()
        };
        let under_way = UnderWay::begin(server.address).await?;
        long_requests.spawn(async move {
            let body = under_way.rest().await?;
            anyhow::ensure!(
                body == old.repeat(3),
                "a request that began on {old:?} got {body:?}"
            );
            anyhow::Ok(())
        });
        let begun = Instant::now();
        let first_new = async {
            while watcher.get(Good::VERSION.target).await?.body != new {}
            anyhow::Ok(begun.elapsed())
        };
        let (first_new, ()) = tokio::try_join!(first_new, admin.swap(component))?;
        until_new.push(first_new);
    }
    let mut finished_on_old = 0;
    let mut wrong = Vec::new();
    while let Some(ended) = long_requests.join_next().await {
        match ended.context("a long request broke down")? {
            Ok(()) => finished_on_old += 1,
            Err(error) => wrong.push(format!("{error:#}")),
        }
    }
    let result = load.stop().await?;
    let until_new: Latencies = until_new.into_iter().collect();
    let time = |percent| until_new.percentile(percent).context("no swap was seen");
    let mut checks = vec![
        Check::count(
            &format!(
                "200 swaps in 20 s: failed of {} requests",
                result.answered.len() as u64 + result.failures
            ),
            0,
            result.failures,
        ),
        Check::count(
            "long requests that finish on the old one",
            SWAPS.into(),
            finished_on_old,
        ),
        Check::time("PUT until the first new answer, median", time(50)?),
        Check::time("PUT until the first new answer, p99", time(99)?),
    ];
    for reason in result.reasons.into_iter().chain(wrong).take(5) {
        checks.push(Check::holds(
            "what went wrong",
            "nothing",
            Err(anyhow::Error::msg(reason)),
        ));
    }
    server.stop().await?;
    Ok(checks)
}

/// A long request that has begun to be answered.
struct UnderWay {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl UnderWay {
    /// Sends it, and waits for the first line of its body: only then is it known
    /// which component it runs on.
    async fn begin(address: SocketAddr) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        // Its body ends with the connection, without framing.
        let request = format!("GET {LONG_REQUEST} HTTP/1.0\r\nhost: bench\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        while !body(&answer).is_some_and(|body| body.contains('\n')) {
            let read = tokio::time::timeout(PATIENCE, stream.read_buf(&mut answer)).await??;
            anyhow::ensure!(read > 0, "a long request broke off before its body");
        }
        Ok(Self { stream, answer })
    }

    /// Reads on to the end; gives back the body.
    async fn rest(mut self) -> anyhow::Result<String> {
        let read = self.stream.read_to_end(&mut self.answer);
        tokio::time::timeout(PATIENCE, read).await??;
        let body = body(&self.answer).context("no text in the answer")?;
        Ok(body.to_owned())
    }
}

fn body(answer: &[u8]) -> Option<&str> {
    let (_, body) = std::str::from_utf8(answer).ok()?.split_once("\r\n\r\n")?;
    Some(body)
}
