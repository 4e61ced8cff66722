//! Builds only while the codec needs neither std (its panic handler would clash with the one here) nor alloc (there
//! is no global allocator), reading and writing every message.

#![no_std]

use core::panic::PanicInfo;

use beacon_protocol::{
    AckEncoder, AckLevel, BeaconRef, DatagramHeader, Deframed, EncodeError, Exception, GatewayStatus,
    Goodbye, GoodbyeReason, Hello, MAX_FRAME_BYTES, Message, OUTCOME_CODES, OutcomeCode, Ping, Pong,
    PreferencesEncoder, RecordStatus, Refusal, RefusalCode, ResultRecord, SightingRef, SightingsEncoder,
    TimeBase, Welcome, decode_datagram, deframe, set_age, set_sequence,
};

#[panic_handler]
fn on_panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// Reads frames from the front of `input` until it ends; the number of sightings, records and pairs in them.
///
/// # Safety
/// `input` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn beacon_read(input: *const u8, length: usize) -> usize {
    // SAFETY: the caller's promise.
    let mut input = unsafe { core::slice::from_raw_parts(input, length) };
    let mut items = usize::from(decode_datagram(input, MAX_FRAME_BYTES).is_ok());
    while let Ok(Deframed::Frame { frame, consumed }) = deframe(input, MAX_FRAME_BYTES) {
        items += match Message::decode(frame) {
            Ok(Message::Sightings(batch)) => {
                let strong =
                    batch.sightings().filter(|seen| seen.rssi_dbm > -60 && !seen.customer_id.is_empty());
                strong.count() + batch.beacons().len() + usize::from(batch.identity_checksum() != 0)
            }
            Ok(Message::Ack(ack)) => ack.records().map(|record| 1 + record.exceptions().count()).sum(),
            Ok(Message::Preferences(preferences)) => preferences.pairs().count(),
            Ok(_) => 1,
            Err(error) => usize::from(error.refusal_code().number()),
        };
        input = input.get(consumed..).unwrap_or_default();
    }
    items
}

/// Writes every message to the front of `output`, each over the one before; the sum of their lengths, 0 without room.
///
/// # Safety
/// `output` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn beacon_write(output: *mut u8, length: usize) -> usize {
    // SAFETY: the caller's promise.
    let output = unsafe { core::slice::from_raw_parts_mut(output, length) };
    write_all(output).unwrap_or(0)
}

fn write_all(output: &mut [u8]) -> Result<usize, EncodeError> {
    let beacon = BeaconRef { uuid: [1; 16], major: 2, minor: 3 };
    let mut encoder = SightingsEncoder::new(output, 1, TimeBase::Age(5), &[beacon])?;
    encoder.push(&SightingRef {
        beacon_index: 0,
        rssi_dbm: -60,
        time_offset_us: 0,
        customer_id: b"customer",
    })?;
    let mut sum = encoder.finish()?;
    let frame = output.get_mut(..sum).unwrap_or_default();
    set_sequence(frame, 2)?;
    set_age(frame, 6)?;

    let mut encoder = PreferencesEncoder::new(output, 1, TimeBase::Utc(5), b"customer")?;
    encoder.push(b"key", b"value")?;
    sum += encoder.finish()?;

    let exceptions = [Exception { index: 0, code: OutcomeCode::Invalid, detail: 1 }];
    let counts = [0; OUTCOME_CODES];
    let record = ResultRecord {
        sequence: 1,
        status: RecordStatus::Decided,
        dead_lettered: 0,
        counts,
        exceptions: &exceptions,
    };
    let mut encoder = AckEncoder::new(output, 1, 0)?;
    encoder.push(&record)?;
    sum += encoder.finish()?;

    let hello = Hello {
        min_version: 1,
        max_version: 1,
        ack_level: None,
        boot_epoch: 1,
        first_unacked: 1,
        client_random: [0; 32],
        gateway_id: "gateway",
        auth_method: 0,
        auth: &[],
    };
    let welcome = Welcome {
        version: 1,
        ack_level: AckLevel::Journal,
        session: 1,
        boot_epoch: 1,
        last_acked: 0,
        client_random_echo: [0; 8],
        window_frames: 1,
        max_frame_bytes: 1,
        max_datagram_bytes: 1,
        max_sightings: 1,
        idle_timeout_ms: 1,
        server_time_us: 1,
        server_random: [0; 32],
    };
    let status = GatewayStatus {
        uptime_ms: 1,
        gateway_time_us: 1,
        queued_frames: 1,
        dropped_sightings: 1,
        resent_frames: 1,
        firmware: "1",
    };
    sum += hello.encode(output)? + welcome.encode(output)? + status.encode(output)?;
    sum += Refusal { sequence: 0, code: RefusalCode::Busy, retry_after_ms: 1, text: "" }.encode(output)?;
    sum += Ping { token: 1, time_us: 1 }.encode(output)? + Pong { token: 1, time_us: 1 }.encode(output)?;
    sum += Goodbye { reason: GoodbyeReason::Leaving, deadline_ms: 1 }.encode(output)?;
    sum += DatagramHeader { session: 1, packet_number: 1 }.encode(output)?;
    Ok(sum)
}
