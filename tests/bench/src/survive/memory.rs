//! Memory and descriptors after many swaps, good ones and bad ones.

use std::time::Duration;

use crate::admin::Admin;
use crate::component::Guests;
use crate::connection::{Connection, Protocol};
use crate::load::Load;
use crate::program::{Server, Serving};
use crate::report::Check;
use crate::request::Good;

const WARM_UP: usize = 100;
const SWAPS: usize = 1_000;
/// What is lost by an allocator's habits and not by a leak: 17 KiB a swap.
const BAR: u64 = 16 * 1024 * 1024;
/// How long connections and versions that nobody uses take to go away.
const REST: Duration = Duration::from_secs(1);

pub(super) async fn run(server: Server, guests: &Guests) -> anyhow::Result<Vec<Check>> {
    let server = server
        .flags(["--max-instances", "64"])
        .serve(guests.path())
        .await?;
    let admin = Admin::at(server.admin);

    swap_good(&server, admin, guests, WARM_UP).await?;
    let before = Held::by(&server).await?;
    swap_good(&server, admin, guests, SWAPS - WARM_UP).await?;
    let after = Held::by(&server).await?;
    let mut checks = after.since(&before, "good");

    swap_bad(&server, admin, guests, WARM_UP).await?;
    let before = Held::by(&server).await?;
    swap_bad(&server, admin, guests, SWAPS - WARM_UP).await?;
    let after = Held::by(&server).await?;
    checks.extend(after.since(&before, "bad"));
    server.stop().await?;
    Ok(checks)
}

/// Swaps between two versions while a few requests use them.
async fn swap_good(
    server: &Serving,
    admin: Admin,
    guests: &Guests,
    count: usize,
) -> anyhow::Result<()> {
    let load = Load {
        connections: 4,
        pause: Duration::from_millis(2),
        ..Load::full_speed(server.address)
    }
    .start();
    for swap in 0..count {
        let component = match swap % 2 {
            0 => guests.two(),
            _ => guests.one(),
        };
        admin.swap(component).await?;
    }
    load.stop().await?.demand_no_failure()?;
    // A component opens its memory's image when it is first asked, which under
    // load may be before the next swap or never: here both are.
    let mut connection = Connection::open(server.address, Protocol::Http1).await?;
    for component in [guests.two(), guests.one()] {
        admin.swap(component).await?;
        connection.get(Good::COUNTER.target).await?;
    }
    Ok(())
}

async fn swap_bad(
    server: &Serving,
    admin: Admin,
    guests: &Guests,
    count: usize,
) -> anyhow::Result<()> {
    let load = Load {
        connections: 4,
        pause: Duration::from_millis(2),
        ..Load::full_speed(server.address)
    }
    .start();
    for component in guests.bad()?.into_iter().cycle().take(count) {
        let (status, said) = admin.put(component).await?;
        anyhow::ensure!(status == 422, "not refused: {status} {said}");
    }
    load.stop().await?.demand_no_failure()
}

/// What the server holds at rest.
struct Held {
    rss_bytes: u64,
    descriptors: usize,
}

impl Held {
    async fn by(server: &Serving) -> anyhow::Result<Self> {
        tokio::time::sleep(REST).await;
        Ok(Self {
            rss_bytes: server.rss_bytes()?,
            descriptors: server.descriptors()?,
        })
    }

    fn since(&self, before: &Self, kind: &str) -> Vec<Check> {
        vec![
            Check::bytes_at_most(
                &format!("1,000 {kind} swaps: memory since the 100th"),
                BAR,
                self.rss_bytes.cast_signed() - before.rss_bytes.cast_signed(),
            ),
            Check::count(
                &format!("1,000 {kind} swaps: descriptors"),
                before.descriptors as u64,
                self.descriptors as u64,
            ),
        ]
    }
}
