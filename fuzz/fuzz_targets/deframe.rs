//! Sound frames and then anything, as a stream cut anywhere: the same frames, and never more wanted than the limit.
#![no_main]

use beacon_protocol::{Deframed, MAX_FRAME_BYTES, decode_datagram, deframe};
use libfuzzer_sys::fuzz_target;

fn frames(mut stream: &[u8]) -> Vec<(u8, &[u8])> {
    let mut frames = Vec::new();
    loop {
        match deframe(stream, MAX_FRAME_BYTES) {
            Ok(Deframed::Frame { frame, consumed }) => {
                assert!(consumed <= stream.len() && consumed == frame.body().len() + 12);
                frames.push((frame.kind(), frame.body()));
                stream = &stream[consumed..];
            }
            Ok(Deframed::Need(wanted)) => {
                assert!(wanted > stream.len() && wanted <= MAX_FRAME_BYTES);
                return frames;
            }
            Err(error) => {
                assert!(error.refusal_code().number() > 0);
                return frames;
            }
        }
    }
}

/// Frames by kind and body, bytes behind them, and where the stream is cut.
type Input = (Vec<(u8, Vec<u8>)>, Vec<u8>, u16);

fuzz_target!(|input: Input| {
    let (sound, tail, cut) = input;
    let mut stream = Vec::new();
    for (kind, body) in &sound {
        let mut header = vec![0xBE, 0xAC, 1, *kind];
        header.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&header), body);
        header.extend(checksum.to_be_bytes());
        stream.extend(header);
        stream.extend(body);
    }
    stream.extend(&tail);
    let _ = decode_datagram(&tail, MAX_FRAME_BYTES);
    let whole = frames(&stream);
    assert!(whole.iter().zip(&sound).all(|(found, sent)| found.0 == sent.0 && found.1 == sent.1));
    assert!(whole.len() >= sound.len());
    let cut = usize::from(cut).min(stream.len());
    assert!(whole.starts_with(&frames(&stream[..cut])), "a cut stream has other frames");
});
