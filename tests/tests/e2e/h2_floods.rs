//! HTTP/2 clients that make much of little: the real program ends what they do,
//! holds no memory for it, and serves on.
//!
//! Most of these are hyper's and h2's own protections. They are on by what the
//! host sets and leaves alone, and this is the proof.

use std::time::Duration;

use fanlight_tests::fixture::FAULTS;
use fanlight_tests::frames::{
    Connection, Frame, code, field, flag, head, indexed_field, kind, length,
};
use fanlight_tests::program::{Program, ServingProgram};
use fanlight_tests::{PATIENCE, eventually};

/// What a flood may add to the program's memory.
const ALLOWANCE: u64 = 64 * 1024 * 1024;
/// What h2 calls ENHANCE_YOUR_CALM, at the end of a connection in the log.
const CALM: &str = "detected excessive load generating behavior";
/// A header block that begins with `:status: 431`: the name by its index, the
/// value in Huffman's code.
const STATUS_431: &[u8] = &[0x48, 0x83, 0x69, 0x90, 0xff];

struct Flooded {
    program: ServingProgram,
    before: u64,
    /// Connections that were demanded to end for too much of something.
    calmed: usize,
}

impl Flooded {
    async fn start(flags: &[&str]) -> Self {
        let faults = FAULTS.path();
        let mut arguments = vec![
            "serve",
            faults.to_str().unwrap(),
            "--listen=127.0.0.1:0",
            "--admin=off",
            "--max-instances=16",
        ];
        arguments.extend(flags);
        // Each connection's end is told with its reason.
        let program = Program::new(&arguments).env("FANLIGHT_LOG", "fanlight=debug");
        let program = program.serve().await;
        // All instances there are have been used once.
        let mut warming = Connection::open(program.address).await;
        let ask = |n: u32| Frame::get(2 * n + 1, "/sleep?ms=50", &[]);
        assert!(
            warming
                .send_all(&(0..16).map(ask).collect::<Vec<_>>())
                .await
        );
        warming.until(kind::DATA, 16).await;
        let before = program.peak_rss_bytes();
        Self {
            program,
            before,
            calmed: 0,
        }
    }

    async fn open(&self) -> Connection {
        Connection::open(self.program.address).await
    }

    /// Demands an end for too much of something: ENHANCE_YOUR_CALM.
    async fn demand_calm(&mut self, connection: &Connection, reason: &str) {
        connection.ended().await;
        self.calmed += 1;
        // With bytes of the client unread the socket is reset, and what was
        // said last may not arrive.
        for told in connection.frames(kind::GOAWAY) {
            assert_eq!(told.number(4), code::ENHANCE_YOUR_CALM);
            assert_eq!(&told.payload[8..], reason.as_bytes());
        }
        eventually("the reason in the log", || {
            (self.program.said().matches(CALM).count() == self.calmed).then_some(())
        })
        .await;
    }

    async fn demand_health(&self) {
        // What the system says of the peak is not exact, and may be less later on.
        let grown = self.program.peak_rss_bytes().saturating_sub(self.before);
        assert!(grown < ALLOWANCE, "{grown} bytes more");
        let answer = self.program.get("/status?code=200").send().await;
        assert_eq!(answer.status, 200);
        assert!(!self.program.said().contains("panicked"));
    }
}

/// The head of a POST whose body is to come.
fn post(stream: u32, path: &str) -> Frame {
    Frame::new(kind::HEADERS, flag::END_HEADERS, stream, head("POST", path))
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_reset_at_once_end_the_connection() {
    let mut flooded = Flooded::start(&[]).await;
    let mut connection = flooded.open().await;
    for n in 0..20_000_u32 {
        let request = Frame::get(2 * n + 1, "/sleep?ms=1000", &[]);
        let reset = Frame::new(kind::RST_STREAM, 0, 2 * n + 1, 8_u32.to_be_bytes());
        if !connection.send_all(&[request, reset]).await {
            break;
        }
    }
    flooded.demand_calm(&connection, "too_many_resets").await;
    flooded.demand_health().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_block_without_end_ends_the_connection() {
    let mut flooded = Flooded::start(&[]).await;
    let large = field("x", &"v".repeat(16_000));
    // As strings that end, as one that does not, and as nothing.
    let endless = [&[0, 1, b'x'][..], &length(100_000_000)].concat();
    for (first, more) in [
        (&large[..], &large[..]),
        (&endless, &[b'v'; 16_000]),
        (&[], &[]),
    ] {
        let mut connection = flooded.open().await;
        let block = [&head("GET", "/headers")[..], first].concat();
        let headers = Frame::new(kind::HEADERS, flag::END_STREAM, 1, block);
        let mut goes_on = connection.send_all(&[headers]).await;
        let continuation = Frame::new(kind::CONTINUATION, 0, 1, more);
        // 16 MB of the larger ones.
        for _ in 0..1_000 {
            goes_on = goes_on
                && connection
                    .send_all(std::slice::from_ref(&continuation))
                    .await;
        }
        flooded
            .demand_calm(&connection, "too_many_continuations")
            .await;
    }
    flooded.demand_health().await;
}

/// Frames that h2 answers one by one, as many as it is sent.
fn answered() -> [(Frame, &'static str); 2] {
    [
        (Frame::new(kind::SETTINGS, 0, 0, []), "SETTINGS"),
        (Frame::new(kind::PING, 0, 0, *b"12345678"), "PING"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_pings_keep_no_connection_open() {
    let flooded = Flooded::start(&["--header-timeout=1s"]).await;
    for (frame, name) in answered() {
        let mut connection = flooded.open().await;
        let many = vec![frame; 1_000];
        let flood = async {
            while connection.send_all(&many).await {
                // Does not take memory here either.
                connection.forget();
            }
        };
        // As long as the server takes them, and it does not for long.
        let ended = tokio::time::timeout(PATIENCE, flood).await;
        assert!(ended.is_ok(), "a flood of {name} goes on");
        connection.ended().await;
    }
    flooded.demand_health().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_the_answers_to_its_flood_slowly_is_let_go() {
    let flooded = Flooded::start(&["--header-timeout=1s"]).await;
    for (frame, name) in answered() {
        let mut connection = Connection::slow(flooded.program.address).await;
        let many = vec![frame; 1_000];
        // The server's writes wait for the client at almost any time.
        let flood = async {
            while connection.send_all(&many).await {
                connection.forget();
            }
        };
        let ended = tokio::time::timeout(PATIENCE, flood).await;
        assert!(ended.is_ok(), "a flood of {name} goes on");
    }
    flooded.demand_health().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_no_answers_to_its_flood_is_let_go() {
    let flags = ["--header-timeout=1s", "--stream-idle-timeout=1s"];
    let flooded = Flooded::start(&flags).await;
    for (frame, name) in answered() {
        let mut connection = Connection::unread(flooded.program.address).await;
        let many = vec![frame; 1_000];
        let flood = async { while connection.send_all(&many).await {} };
        let ended = tokio::time::timeout(PATIENCE, flood).await;
        assert!(ended.is_ok(), "a flood of {name} is held");
    }
    flooded.demand_health().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_does_not_keep_the_program_from_ending() {
    let mut flooded = Flooded::start(&["--shutdown-grace=1s"]).await;
    let mut connection = flooded.open().await;
    let flood = tokio::spawn(async move {
        let many = vec![Frame::new(kind::PING, 0, 0, *b"12345678"); 1_000];
        while connection.send_all(&many).await {
            connection.forget();
        }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!flood.is_finished());
    flooded.program.signal("TERM").await;
    assert_eq!(flooded.program.exit_code().await, Some(0));
    flood.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_data_frames_end_the_connection() {
    let mut flooded = Flooded::start(&[]).await;
    // One guest reads its body, and one does not.
    for path in ["/read", "/sleep?ms=5000"] {
        let mut connection = flooded.open().await;
        let mut goes_on = connection.send_all(&[post(1, path)]).await;
        let many = vec![Frame::new(kind::DATA, 0, 1, []); 1_000];
        for _ in 0..100 {
            goes_on = goes_on && connection.send_all(&many).await;
        }
        flooded
            .demand_calm(&connection, "too_many_data_frames")
            .await;
    }
    flooded.demand_health().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_beyond_its_bound_ends_what_it_belongs_to() {
    let flooded = Flooded::start(&[]).await;
    let most = 0x7fff_ffff_u32.to_be_bytes();
    let mut connection = flooded.open().await;
    let update = |stream| Frame::new(kind::WINDOW_UPDATE, 0, stream, most);
    let request = Frame::get(1, "/sleep?ms=5000", &[]);
    assert!(connection.send_all(&[request, update(1)]).await);
    let resets = connection.until(kind::RST_STREAM, 1).await;
    assert_eq!(
        (resets[0].stream, resets[0].number(0)),
        (1, code::FLOW_CONTROL_ERROR)
    );
    assert!(connection.send_all(&[update(0)]).await);
    let told = connection.ended().await;
    assert_eq!(told, [code::FLOW_CONTROL_ERROR]);
    flooded.demand_health().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_over_the_announced_number_are_refused() {
    let flooded = Flooded::start(&["--queue-timeout=10s"]).await;
    let mut connection = flooded.open().await;
    let ask = |n: u32| Frame::get(2 * n + 1, "/sleep?ms=300", &[]);
    let some: Vec<_> = (0..300).map(ask).collect();
    assert!(connection.send_all(&some).await);
    let refused = connection.until(kind::RST_STREAM, 100).await;
    // Those beyond the 200th, and no other.
    for frame in &refused {
        assert_eq!(frame.number(0), code::REFUSED_STREAM);
        assert!(frame.stream > 400, "{}", frame.stream);
    }
    let settings = connection.until(kind::SETTINGS, 1).await;
    // MAX_CONCURRENT_STREAMS is the setting 3.
    let announced = |setting: &[u8]| *setting == [0, 3, 0, 0, 0, 200];
    assert!(settings[0].payload.chunks(6).any(announced));
    // The others are all answered, and a new one in their place.
    let answers = connection.until(kind::HEADERS, 200).await;
    assert!(answers.iter().all(|frame| frame.stream < 400));
    eventually("the end of all of them", || {
        let data = connection.frames(kind::DATA);
        let ended = data
            .iter()
            .filter(|frame| frame.flags & flag::END_STREAM > 0);
        (ended.count() == 200).then_some(())
    })
    .await;
    assert!(connection.send_all(&[ask(300)]).await);
    connection.until(kind::HEADERS, 201).await;
    assert_eq!(connection.frames(kind::RST_STREAM).len(), 100);
    flooded.demand_health().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_streams_at_once_end_the_connection() {
    let mut flooded = Flooded::start(&[]).await;
    let mut connection = flooded.open().await;
    for n in 0..10_000_u32 {
        let request = Frame::get(2 * n + 1, "/sleep?ms=5000", &[]);
        if !connection.send_all(&[request]).await {
            break;
        }
    }
    flooded
        .demand_calm(&connection, "too_many_internal_resets")
        .await;
    flooded.demand_health().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_are_too_large_or_too_many_get_431() {
    let flooded = Flooded::start(&[]).await;
    let mut connection = flooded.open().await;
    let large = field("x", &"v".repeat(8_000));
    let headers = Frame::new(kind::HEADERS, flag::END_STREAM, 1, head("GET", "/headers"));
    let continuation = |flags, fields: &[&[u8]]| {
        let fields = fields.concat();
        Frame::new(kind::CONTINUATION, flags, 1, fields)
    };
    let frames = [
        headers,
        continuation(0, &[&large, &large]),
        continuation(0, &[&large, &large]),
        continuation(flag::END_HEADERS, &[&large]),
    ];
    assert!(connection.send_all(&frames).await);
    // By h2, which tells no more than the status.
    let answers = connection.until(kind::HEADERS, 1).await;
    assert!(answers[0].payload.starts_with(STATUS_431));
    let fields: Vec<_> = (0..101)
        .flat_map(|n| field(&format!("x-{n}"), "v"))
        .collect();
    assert!(
        connection
            .send_all(&[Frame::get(3, "/headers", &fields)])
            .await
    );
    let data = connection.until(kind::DATA, 1).await;
    let problem = String::from_utf8_lossy(&data[0].payload).into_owned();
    assert!(problem.contains("\"status\":431"), "{problem}");
    assert!(problem.contains("header_fields_too_large"), "{problem}");
    // The connection is none the worse for it.
    assert!(connection.send_all(&[Frame::get(5, "/headers", &[])]).await);
    let answers = connection.until(kind::HEADERS, 3).await;
    assert_eq!(answers[2].payload[0], 0x88, "status 200 by its index");
    flooded.demand_health().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_named_again_and_again_ends_the_connection() {
    let mut flooded = Flooded::start(&[]).await;
    let bomb = |repeated: usize| {
        let kept = indexed_field("x", &"v".repeat(4_000));
        [kept, vec![0x80 | 62; repeated]].concat()
    };
    let mut connection = flooded.open().await;
    // 44 kB, which is too much, and then 48 MB out of 16 KiB.
    let request = Frame::get(1, "/headers", &bomb(10));
    assert!(connection.send_all(&[request]).await);
    let answers = connection.until(kind::HEADERS, 1).await;
    assert!(answers[0].payload.starts_with(STATUS_431));
    let request = Frame::get(3, "/headers", &bomb(12_000));
    connection.send_all(&[request]).await;
    flooded
        .demand_calm(&connection, "header_list_way_too_large")
        .await;
    flooded.demand_health().await;
}
