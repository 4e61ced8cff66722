//! What the tests at the foot of every message have in common.

use crate::error::{DecodeError, EncodeError};
use crate::framing::{Deframed, deframe, deframe_whole, encode_frame};
use crate::header::{HEADER_BYTES, Kind};
use crate::limits::MAX_FRAME_BYTES;
use crate::message::Message;

/// The frame `encode` writes, in a buffer that is exactly large enough; every smaller one must be refused.
pub(crate) fn frame_of(encode: impl Fn(&mut [u8]) -> Result<usize, EncodeError>) -> Vec<u8> {
    let mut buffer = vec![0xAA; MAX_FRAME_BYTES];
    let length = encode(&mut buffer).unwrap();
    buffer.truncate(length);
    for short in 0..length {
        let error = encode(&mut vec![0; short]).unwrap_err();
        assert!(error.is_full(), "room for {short} of {length}: {error}");
    }
    buffer
}

/// Its body alone.
pub(crate) fn body_of(encode: impl Fn(&mut [u8]) -> Result<usize, EncodeError>) -> Vec<u8> {
    frame_of(encode).split_off(HEADER_BYTES)
}

/// Decodes `body` as a frame of `kind` whose header is right.
pub(crate) fn decode_body(kind: Kind, body: &[u8]) -> Result<(), DecodeError> {
    let mut buffer = vec![0; MAX_FRAME_BYTES];
    let length = encode_frame(&mut buffer, kind, |writer| writer.bytes(body)).unwrap();
    Message::decode(deframe_whole(&buffer[..length], MAX_FRAME_BYTES)?).map(|_| ())
}

/// Encodes, decodes, hands the message to `expect`; then checks that every cut and one byte more are errors.
pub(crate) fn check_message(
    encode: impl Fn(&mut [u8]) -> Result<usize, EncodeError>,
    expect: impl FnOnce(Message<'_>),
) {
    let frame = frame_of(encode);
    let raw = deframe_whole(&frame, MAX_FRAME_BYTES).unwrap();
    let kind = Kind::from_byte(raw.kind()).unwrap();
    expect(Message::decode(raw).unwrap());
    for cut in 0..frame.len() {
        let on_a_stream = deframe(&frame[..cut], MAX_FRAME_BYTES).unwrap();
        let wanted = if cut < HEADER_BYTES { HEADER_BYTES } else { frame.len() };
        assert_eq!(on_a_stream, Deframed::Need(wanted), "cut at {cut}");
        let in_a_datagram = deframe_whole(&frame[..cut], MAX_FRAME_BYTES);
        assert!(matches!(in_a_datagram, Err(DecodeError::UnexpectedEnd { .. })), "cut at {cut}");
    }
    let body = &frame[HEADER_BYTES..];
    for cut in 0..body.len() {
        let error = decode_body(kind, &body[..cut]).unwrap_err();
        assert!(matches!(error, DecodeError::UnexpectedEnd { .. }), "body cut at {cut}: {error}");
    }
    let mut longer = body.to_vec();
    longer.push(0);
    let error = decode_body(kind, &longer).unwrap_err();
    assert_eq!(error, DecodeError::TrailingData { offset: frame.len(), extra: 1 });
}
