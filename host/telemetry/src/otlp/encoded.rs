//! A gRPC codec for messages that are bytes already.

use std::marker::PhantomData;

use bytes::{BufMut, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::otlp::error::Unanswered;

/// Sends bytes as they are, and decodes responses of the type `A`.
pub(crate) struct EncodedCodec<A> {
    unanswered: Unanswered,
    response: PhantomData<A>,
}

impl<A> EncodedCodec<A> {
    /// Sets `unanswered` once there is a connection that takes the bytes.
    pub(crate) fn new(unanswered: Unanswered) -> Self {
        Self {
            unanswered,
            response: PhantomData,
        }
    }
}

impl<A: Message + Default + 'static> Codec for EncodedCodec<A> {
    type Encode = Bytes;
    type Decode = A;
    type Encoder = BytesEncoder;
    type Decoder = MessageDecoder<A>;

    fn encoder(&mut self) -> BytesEncoder {
        BytesEncoder(self.unanswered.clone())
    }

    fn decoder(&mut self) -> MessageDecoder<A> {
        MessageDecoder(PhantomData)
    }
}

pub(crate) struct BytesEncoder(Unanswered);

impl Encoder for BytesEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        self.0.set(true);
        buffer.put(item);
        Ok(())
    }
}

pub(crate) struct MessageDecoder<A>(PhantomData<A>);

impl<A: Message + Default> Decoder for MessageDecoder<A> {
    type Item = A;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<A>, Status> {
        // It is the status behind it that says whether the request was taken.
        Ok(Some(A::decode(buffer).unwrap_or_default()))
    }
}
