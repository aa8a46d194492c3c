//! More clients than are good for the real program, all at once.

use std::net::SocketAddr;
use std::time::Duration;

use fanlight_tests::eventually;
use fanlight_tests::fixture::HELLO;
use fanlight_tests::program::{Program, ServingProgram};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const CLIENTS: usize = 10_000;
/// Nothing, a request, and HTTP/2 without one.
const BEGINNINGS: [&[u8]; 3] = [
    b"",
    b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
];
/// What an idle connection may cost; 16 kB were measured, in a debug build.
const BYTES_EACH: u64 = 32 * 1024;

/// Connects from an address of its own, so that the ports of others do not run
/// out.
async fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    socket.connect(address).await.unwrap()
}

async fn accepted(program: &ServingProgram, sockets: usize) {
    eventually("all of them at once", || {
        (program.open_sockets() >= sockets).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_cost_little_and_end_by_themselves() {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    // Where the system allows fewer, with what other tests need left to them.
    let clients = usize::try_from(limit).unwrap().min(CLIENTS + 3_000) - 3_000;
    let hello = HELLO.path();
    let program = Program::new([
        "serve",
        hello.to_str().unwrap(),
        "--listen=127.0.0.1:0",
        "--admin=off",
        "--max-connections=11000",
        "--max-instances=16",
        "--header-timeout=15s",
    ])
    .serve()
    .await;
    // Before the first request, whose connection may be there for a while.
    let sockets = program.open_sockets();
    assert_eq!(program.get("/hello").send().await.status, 200);
    eventually("the first one's descriptor back", || {
        (program.open_sockets() <= sockets).then_some(())
    })
    .await;
    let memory = program.peak_rss_bytes();
    let mut held = Vec::with_capacity(clients);
    for n in 0..clients {
        let mut stream = connect(program.address).await;
        let beginning = BEGINNINGS[n % BEGINNINGS.len()];
        stream.write_all(beginning).await.unwrap();
        held.push(stream);
        // Where the listener's queue overflows, a client waits for seconds
        // before it tries again.
        if held.len() % 500 == 0 {
            accepted(&program, sockets + held.len()).await;
        }
    }
    accepted(&program, sockets + clients).await;
    assert_eq!(program.get("/hello").send().await.status, 200);
    let each = (program.peak_rss_bytes() - memory) / u64::try_from(clients).unwrap();
    assert!(each < BYTES_EACH, "{each} bytes a connection");
    // They are told nothing more and closed; the client has yet to do so.
    eventually("their descriptors back", || {
        (program.open_sockets() <= sockets).then_some(())
    })
    .await;
    assert_eq!(program.get("/hello").send().await.status, 200);
    drop(held);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_it_waits_says_so_once_and_goes_on() {
    let hello = HELLO.path();
    let program = Program::new([
        "serve",
        hello.to_str().unwrap(),
        "--listen=127.0.0.1:0",
        "--admin=off",
        "--max-instances=16",
        "--header-timeout=60s",
    ])
    .open_files(64)
    .serve()
    .await;
    assert_eq!(program.get("/hello").send().await.status, 200);
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(connect(program.address).await);
    }
    let trouble = "cannot accept a connection";
    eventually("the word that descriptors ran out", || {
        program.said().contains(trouble).then_some(())
    })
    .await;
    let before = program.cpu_ticks();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let taken = program.cpu_ticks() - before;
    assert!(taken < 30, "{taken} hundredths of a second in one");
    assert_eq!(program.said().matches(trouble).count(), 1);
    // One that was accepted before is served, though no other is.
    let kept = &mut held[0];
    kept.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    kept.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    drop(held);
    assert_eq!(program.get("/hello").send().await.status, 200);
    assert_eq!(program.said().matches(trouble).count(), 1);
}
