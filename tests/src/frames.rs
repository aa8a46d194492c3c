//! An HTTP/2 client that writes its frames itself, and so can write any.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinHandle;

use crate::{PATIENCE, eventually};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames (RFC 9113 §6).
pub mod kind {
    #![expect(missing_docs, reason = "the standard's words")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    #![expect(missing_docs, reason = "the standard's words")]
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
}

/// Error codes (RFC 9113 §7).
pub mod code {
    #![expect(missing_docs, reason = "the standard's words")]
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const REFUSED_STREAM: u32 = 7;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// A frame as it is sent or was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// One of [`kind`].
    pub kind: u8,
    /// Some of [`flag`].
    pub flags: u8,
    /// 0 for the connection's own.
    pub stream: u32,
    /// What is in it.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame.
    pub fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        let payload = payload.into();
        Self {
            kind,
            flags,
            stream,
            payload,
        }
    }

    /// The head of a GET of `path`, with these fields, that is all of a request.
    pub fn get(stream: u32, path: &str, fields: &[u8]) -> Self {
        let block = [&head("GET", path)[..], fields].concat();
        Self::new(
            kind::HEADERS,
            flag::END_HEADERS | flag::END_STREAM,
            stream,
            block,
        )
    }

    /// Its bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("it fits");
        let mut bytes = length.to_be_bytes()[1..].to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(self.stream.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }

    /// The 32 bits at `place` of what is in it.
    pub fn number(&self, place: usize) -> u32 {
        let bytes = self.payload.get(place..place + 4).expect("it is there");
        u32::from_be_bytes(bytes.try_into().expect("four bytes"))
    }
}

/// The pseudo-header fields of a request.
pub fn head(method: &str, path: &str) -> Vec<u8> {
    [
        field(":method", method),
        field(":scheme", "http"),
        field(":authority", "x"),
        field(":path", path),
    ]
    .concat()
}

/// A field of a header block, literal and not indexed (RFC 7541 §6.2.2).
pub fn field(name: &str, value: &str) -> Vec<u8> {
    literal(0, name, value)
}

/// The same, and kept in the table, where the newest has the index 62
/// (RFC 7541 §6.2.1).
pub fn indexed_field(name: &str, value: &str) -> Vec<u8> {
    literal(0x40, name, value)
}

fn literal(form: u8, name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![form];
    for text in [name, value] {
        bytes.extend(length(text.len()));
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// A string's length (RFC 7541 §5.1), not in Huffman's code.
pub fn length(length: usize) -> Vec<u8> {
    let Some(mut left) = length.checked_sub(0x7f) else {
        return vec![u8::try_from(length).expect("seven bits")];
    };
    let mut bytes = vec![0x7f];
    while left >= 0x80 {
        bytes.push(u8::try_from(left & 0x7f | 0x80).expect("a byte"));
        left >>= 7;
    }
    bytes.push(u8::try_from(left).expect("seven bits"));
    bytes
}

/// A connection whose frames are read as they come.
pub struct Connection {
    writer: OwnedWriteHalf,
    reader: Option<OwnedReadHalf>,
    seen: Arc<Mutex<Seen>>,
    reading: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    frames: Vec<Frame>,
    is_ended: bool,
}

impl Connection {
    /// Connects and begins, and leaves unread what is sent back.
    pub async fn unread(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address)
            .await
            .expect("the server is there");
        let (reader, writer) = stream.into_split();
        let mut connection = Self {
            writer,
            reader: Some(reader),
            seen: Arc::default(),
            reading: None,
        };
        let settings = Frame::new(kind::SETTINGS, 0, 0, []).bytes();
        let begun = connection.send(&[PREFACE, &settings].concat()).await;
        assert!(begun, "the server reads");
        connection
    }

    /// Connects and begins.
    pub async fn open(address: SocketAddr) -> Self {
        let mut connection = Self::unread(address).await;
        connection.read_with_pauses(Duration::ZERO);
        connection
    }

    /// Connects and begins, and reads less than the server could send.
    pub async fn slow(address: SocketAddr) -> Self {
        let mut connection = Self::unread(address).await;
        connection.read_with_pauses(Duration::from_millis(5));
        connection
    }

    fn read_with_pauses(&mut self, pause: Duration) {
        let seen = Arc::clone(&self.seen);
        let reader = self.reader.take().expect("read once");
        self.reading = Some(tokio::spawn(read(reader, pause, seen)));
    }

    /// Sends bytes; tells whether the server took them.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        let sent = tokio::time::timeout(PATIENCE, self.writer.write_all(bytes)).await;
        sent.is_ok_and(|sent| sent.is_ok())
    }

    /// Sends frames one by one.
    pub async fn send_all(&mut self, frames: &[Frame]) -> bool {
        let bytes: Vec<_> = frames.iter().flat_map(Frame::bytes).collect();
        self.send(&bytes).await
    }

    /// The frames of a kind that came so far.
    pub fn frames(&self, kind: u8) -> Vec<Frame> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let frames = seen.frames.iter().filter(|frame| frame.kind == kind);
        frames.cloned().collect()
    }

    /// Forgets the frames that came so far.
    pub fn forget(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.frames.clear();
    }

    /// Whether the server closed it.
    pub fn is_ended(&self) -> bool {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_ended
    }

    /// Waits until so many frames of a kind have come.
    pub async fn until(&self, kind: u8, count: usize) -> Vec<Frame> {
        eventually(&format!("{count} frames of type {kind}"), || {
            Some(self.frames(kind)).filter(|frames| frames.len() >= count)
        })
        .await
    }

    /// Waits until the server closes it; gives back the error codes of its
    /// GOAWAYs, of which a reset may have swallowed the last.
    pub async fn ended(&self) -> Vec<u32> {
        eventually("the end of the connection", || {
            self.is_ended().then_some(())
        })
        .await;
        let codes = self.frames(kind::GOAWAY);
        codes.iter().map(|frame| frame.number(4)).collect()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(reading) = &self.reading {
            reading.abort();
        }
    }
}

async fn read(mut reader: OwnedReadHalf, pause: Duration, seen: Arc<Mutex<Seen>>) {
    // Few enough bytes that a pause tells.
    let mut bytes = Vec::with_capacity(4096);
    // A reset is an end as well.
    while let Ok(1..) = reader.read_buf(&mut bytes).await {
        let mut at = 0;
        {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            while let Some((frame, length)) = parse(&bytes[at..]) {
                seen.frames.push(frame);
                at += length;
            }
        }
        bytes.drain(..at);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    seen.lock().unwrap_or_else(PoisonError::into_inner).is_ended = true;
}

/// The first frame, and its length on the wire.
fn parse(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (head, rest) = bytes.split_first_chunk::<9>()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let length = usize::try_from(length).ok()?;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    let payload = rest.get(..length)?;
    Some((Frame::new(head[3], head[4], stream, payload), 9 + length))
}
