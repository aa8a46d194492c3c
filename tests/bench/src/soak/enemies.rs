//! Whoever wishes the server ill: guests that take too much, clients that do not
//! behave. Each acts at random until told to stop, and nobody counts on it.

use std::net::SocketAddr;
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::connection::{Connection, Protocol};

/// How many of each there are at once: with the good requests they have to fit
/// into the server's instances.
const HOSTILE_GUESTS: usize = 6;
const HOSTILE_CLIENTS: usize = 12;
/// Longer than the server's bounds on a connection: it is the server that ends it.
const PATIENCE: Duration = Duration::from_secs(8);

const GUESTS: [&str; 9] = [
    "/loop",
    "/memory",
    "/trap",
    "/panic",
    "/recursion",
    "/trap-after-head",
    "/trap-after-last-byte?ms=5",
    "/sleep?ms=60000",
    "/no-response?ms=60000",
];

/// Starts all of them; each has chance of its own, made of the seed.
pub(super) fn start(address: SocketAddr, seed: u64, stop: &CancellationToken) -> JoinSet<()> {
    let mut all = JoinSet::new();
    for number in 0..HOSTILE_GUESTS + HOSTILE_CLIENTS {
        let mut chance = Rng::with_seed(seed.wrapping_mul(1_000).wrapping_add(number as u64));
        let stop = stop.clone();
        all.spawn(async move {
            while !stop.is_cancelled() {
                // What becomes of it is the server's business.
                let _ = if number < HOSTILE_GUESTS {
                    hostile_guest(address, &mut chance).await
                } else {
                    hostile_client(address, &mut chance).await
                };
                tokio::time::sleep(Duration::from_millis(chance.u64(0..300))).await;
            }
        });
    }
    all
}

/// Asks for what a guest should not do, and perhaps does not wait for it.
async fn hostile_guest(address: SocketAddr, chance: &mut Rng) -> anyhow::Result<()> {
    let target = GUESTS[chance.usize(..GUESTS.len())];
    let protocol = match chance.bool() {
        true => Protocol::Http1,
        false => Protocol::Http2,
    };
    let patience = match chance.u8(0..4) {
        0 => Duration::from_millis(chance.u64(0..500)),
        _ => PATIENCE,
    };
    let asked = async {
        let mut connection = Connection::open(address, protocol).await?;
        connection.get(target).await
    };
    tokio::time::timeout(patience, asked).await??;
    Ok(())
}

async fn hostile_client(address: SocketAddr, chance: &mut Rng) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    match chance.u8(0..6) {
        // Silent.
        0 => {}
        // Half a preface.
        1 => stream.write_all(b"PRI * HT").await?,
        // A head that never ends, a byte at a time.
        2 => {
            let slow = async {
                for byte in b"GET /counter HTTP/1.1\r\nhost: soak\r\nx: "
                    .iter()
                    .chain([&b'y'; 999])
                {
                    stream.write_all(&[*byte]).await?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                anyhow::Ok(())
            };
            tokio::time::timeout(PATIENCE, slow).await??;
        }
        // Leaves in the midst of a request, its answer, or its body.
        3 => {
            let requests: [&[u8]; 3] = [
                b"GET /sleep?ms=500 HTTP/1.1\r\nhost: soak\r\n\r\n",
                b"GET /stream?chunks=20&delay_ms=20 HTTP/1.1\r\nhost: soak\r\n\r\n",
                b"POST /sleep?ms=500 HTTP/1.1\r\nhost: soak\r\ncontent-length: 1000\r\n\r\nhalf",
            ];
            stream.write_all(requests[chance.usize(..3)]).await?;
            tokio::time::sleep(Duration::from_millis(chance.u64(0..200))).await;
            return Ok(());
        }
        // Garbage.
        4 => {
            let garbage: Vec<u8> = (0..chance.usize(1..4_096)).map(|_| chance.u8(..)).collect();
            stream.write_all(&garbage).await?;
        }
        // A good preface, and then garbage for frames.
        _ => {
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            bytes.extend((0..chance.usize(1..256)).map(|_| chance.u8(..)));
            stream.write_all(&bytes).await?;
        }
    }
    // Until the server has enough of it, or this one has.
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await??;
    Ok(())
}
