//! The golden vectors, made by an implementation that shares no code with this one, checked both ways.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: what is unexpected should stop right there"
)]

use std::path::Path;

use beacon_protocol::{
    AckEncoder, AckLevel, BeaconRef, DatagramHeader, DecodeError, EncodeError, Exception, GatewayStatus,
    Goodbye, GoodbyeReason, Hello, MAX_FRAME_BYTES, Message, OutcomeCode, Ping, Pong, PreferencesEncoder,
    RawFrame, RecordStatus, Refusal, RefusalCode, ResultRecord, SightingRef, SightingsEncoder, TimeBase,
    Welcome, decode_datagram, deframe_whole,
};
use serde_json::{Value, json};

fn entries(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let entries: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(!entries.is_empty(), "{file} is empty");
    entries
}

fn from_hex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap().as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn uuid(bytes: &[u8; 16]) -> String {
    let digits = hex(bytes);
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn number<T: TryFrom<i64>>(value: &Value, key: &str) -> T {
    let number = value[key].as_i64().unwrap_or_else(|| panic!("{key} in {value}"));
    T::try_from(number).unwrap_or_else(|_| panic!("{key} in {value}"))
}

fn wide<T: std::str::FromStr>(value: &Value, key: &str) -> T {
    text(value, key).parse().unwrap_or_else(|_| panic!("{key} in {value}"))
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn base(value: &Value, key: &str) -> TimeBase {
    let base = wide(value, key);
    if value["ages"].as_bool().unwrap() { TimeBase::Age(base) } else { TimeBase::Utc(base) }
}

fn base_json(base: TimeBase) -> (String, bool) {
    match base {
        TimeBase::Utc(base) => (base.to_string(), false),
        TimeBase::Age(age) => (age.to_string(), true),
    }
}

/// The message as the vectors write it.
fn to_json(message: &Message<'_>, frame: RawFrame<'_>) -> Value {
    match message {
        Message::Hello(hello) => json!({
            "kind": "hello", "min_version": hello.min_version, "max_version": hello.max_version,
            "ack_level": hello.ack_level.map_or(0, AckLevel::byte), "boot_epoch": hello.boot_epoch.to_string(),
            "first_unacked": hello.first_unacked.to_string(), "client_random": hex(&hello.client_random),
            "gateway_id": hello.gateway_id, "auth_method": hello.auth_method, "auth": hex(hello.auth),
        }),
        Message::Welcome(welcome) => json!({
            "kind": "welcome", "version": welcome.version, "ack_level": welcome.ack_level.byte(),
            "session": welcome.session.to_string(), "boot_epoch": welcome.boot_epoch.to_string(),
            "last_acked": welcome.last_acked.to_string(), "client_random_echo": hex(&welcome.client_random_echo),
            "window_frames": welcome.window_frames, "max_frame_bytes": welcome.max_frame_bytes,
            "max_datagram_bytes": welcome.max_datagram_bytes, "max_sightings": welcome.max_sightings,
            "idle_timeout_ms": welcome.idle_timeout_ms, "server_time": welcome.server_time_us.to_string(),
            "server_random": hex(&welcome.server_random),
        }),
        Message::Sightings(batch) => {
            let (base_time, ages) = base_json(batch.base);
            let beacons: Vec<_> = batch
                .beacons()
                .map(|beacon| json!({"uuid": uuid(&beacon.uuid), "major": beacon.major, "minor": beacon.minor}))
                .collect();
            let sightings: Vec<_> = batch
                .sightings()
                .map(|seen| {
                    json!({
                        "beacon_index": seen.beacon_index, "rssi_dbm": seen.rssi_dbm,
                        "time_offset_us": seen.time_offset_us, "customer_id": hex(seen.customer_id),
                    })
                })
                .collect();
            json!({
                "kind": "sightings", "sequence": batch.sequence.to_string(), "base_time": base_time, "ages": ages,
                "beacons": beacons, "sightings": sightings,
            })
        }
        Message::Ack(ack) => {
            let exception = |exception: Exception| json!({"index": exception.index, "code": exception.code.byte(), "detail": exception.detail});
            let records: Vec<_> = ack
                .records()
                .map(|record| {
                    json!({
                        "sequence": record.sequence.to_string(), "status": record.status.byte(),
                        "dead_lettered": record.dead_lettered, "counts": record.counts,
                        "exceptions": record.exceptions().map(exception).collect::<Vec<_>>(),
                    })
                })
                .collect();
            json!({
                "kind": "ack", "cumulative": ack.cumulative.to_string(), "received": ack.received.to_string(),
                "records": records,
            })
        }
        Message::Refusal(refusal) => json!({
            "kind": "refusal", "sequence": refusal.sequence.to_string(), "code": refusal.code.number(),
            "retry_after_ms": refusal.retry_after_ms, "text": refusal.text,
        }),
        Message::Ping(ping) => {
            json!({"kind": "ping", "token": ping.token.to_string(), "time": ping.time_us.to_string()})
        }
        Message::Pong(pong) => {
            json!({"kind": "pong", "token": pong.token.to_string(), "time": pong.time_us.to_string()})
        }
        Message::Goodbye(goodbye) => {
            json!({"kind": "goodbye", "reason": goodbye.reason as u8, "deadline_ms": goodbye.deadline_ms})
        }
        Message::Preferences(preferences) => {
            let (updated_at, ages) = base_json(preferences.updated_at);
            let pairs: Vec<_> = preferences
                .pairs()
                .map(|pair| json!({"key": hex(pair.key), "value": hex(pair.value)}))
                .collect();
            json!({
                "kind": "preferences", "sequence": preferences.sequence.to_string(), "updated_at": updated_at,
                "ages": ages, "customer_id": hex(preferences.customer_id), "pairs": pairs,
            })
        }
        Message::GatewayStatus(status) => json!({
            "kind": "gateway_status", "uptime_ms": status.uptime_ms.to_string(),
            "gateway_time": status.gateway_time_us.to_string(), "queued_frames": status.queued_frames,
            "dropped_sightings": status.dropped_sightings.to_string(),
            "resent_frames": status.resent_frames.to_string(), "firmware": status.firmware,
        }),
        Message::Skipped(kind) => json!({"kind": "unknown", "code": kind, "body": hex(frame.body())}),
    }
}

/// Encodes what the vectors write; `None` for a kind this version cannot write.
fn encode(value: &Value, buffer: &mut [u8]) -> Option<Result<usize, EncodeError>> {
    let array = |key| from_hex(&value[key]);
    Some(match text(value, "kind") {
        "hello" => Hello {
            min_version: number(value, "min_version"),
            max_version: number(value, "max_version"),
            ack_level: AckLevel::from_byte(number(value, "ack_level")),
            boot_epoch: wide(value, "boot_epoch"),
            first_unacked: wide(value, "first_unacked"),
            client_random: array("client_random").try_into().unwrap(),
            gateway_id: text(value, "gateway_id"),
            auth_method: number(value, "auth_method"),
            auth: &array("auth"),
        }
        .encode(buffer),
        "welcome" => Welcome {
            version: number(value, "version"),
            ack_level: AckLevel::from_byte(number(value, "ack_level")).unwrap(),
            session: wide(value, "session"),
            boot_epoch: wide(value, "boot_epoch"),
            last_acked: wide(value, "last_acked"),
            client_random_echo: array("client_random_echo").try_into().unwrap(),
            window_frames: number(value, "window_frames"),
            max_frame_bytes: number(value, "max_frame_bytes"),
            max_datagram_bytes: number(value, "max_datagram_bytes"),
            max_sightings: number(value, "max_sightings"),
            idle_timeout_ms: number(value, "idle_timeout_ms"),
            server_time_us: wide(value, "server_time"),
            server_random: array("server_random").try_into().unwrap(),
        }
        .encode(buffer),
        "sightings" => encode_sightings(value, buffer),
        "ack" => encode_ack(value, buffer),
        "refusal" => Refusal {
            sequence: wide(value, "sequence"),
            code: RefusalCode::from_number(number(value, "code")),
            retry_after_ms: number(value, "retry_after_ms"),
            text: text(value, "text"),
        }
        .encode(buffer),
        "ping" => Ping { token: wide(value, "token"), time_us: wide(value, "time") }.encode(buffer),
        "pong" => Pong { token: wide(value, "token"), time_us: wide(value, "time") }.encode(buffer),
        "goodbye" => {
            let reason = match number(value, "reason") {
                1_u8 => GoodbyeReason::Draining,
                2 => GoodbyeReason::Leaving,
                other => panic!("reason {other}"),
            };
            Goodbye { reason, deadline_ms: number(value, "deadline_ms") }.encode(buffer)
        }
        "preferences" => encode_preferences(value, buffer),
        "gateway_status" => GatewayStatus {
            uptime_ms: wide(value, "uptime_ms"),
            gateway_time_us: wide(value, "gateway_time"),
            queued_frames: number(value, "queued_frames"),
            dropped_sightings: wide(value, "dropped_sightings"),
            resent_frames: wide(value, "resent_frames"),
            firmware: text(value, "firmware"),
        }
        .encode(buffer),
        "unknown" => return None,
        other => panic!("kind {other}"),
    })
}

fn encode_sightings(value: &Value, buffer: &mut [u8]) -> Result<usize, EncodeError> {
    let beacon = |beacon: &Value| BeaconRef {
        uuid: from_hex(&text(beacon, "uuid").replace('-', "").into()).try_into().unwrap(),
        major: number(beacon, "major"),
        minor: number(beacon, "minor"),
    };
    let beacons: Vec<_> = list(value, "beacons").iter().map(beacon).collect();
    let mut encoder =
        SightingsEncoder::new(buffer, wide(value, "sequence"), base(value, "base_time"), &beacons)?;
    for seen in list(value, "sightings") {
        encoder.push(&SightingRef {
            beacon_index: number(seen, "beacon_index"),
            rssi_dbm: number(seen, "rssi_dbm"),
            time_offset_us: number(seen, "time_offset_us"),
            customer_id: &from_hex(&seen["customer_id"]),
        })?;
    }
    encoder.finish()
}

fn encode_ack(value: &Value, buffer: &mut [u8]) -> Result<usize, EncodeError> {
    let mut encoder = AckEncoder::new(buffer, wide(value, "cumulative"), wide(value, "received"))?;
    for record in list(value, "records") {
        let exception = |exception: &Value| Exception {
            index: number(exception, "index"),
            code: OutcomeCode::from_byte(number(exception, "code")).unwrap(),
            detail: number(exception, "detail"),
        };
        let exceptions: Vec<_> = list(record, "exceptions").iter().map(exception).collect();
        encoder.push(&ResultRecord {
            sequence: wide(record, "sequence"),
            status: RecordStatus::from_byte(number(record, "status")).unwrap(),
            dead_lettered: number(record, "dead_lettered"),
            counts: serde_json::from_value(record["counts"].clone()).unwrap(),
            exceptions: &exceptions,
        })?;
    }
    encoder.finish()
}

fn encode_preferences(value: &Value, buffer: &mut [u8]) -> Result<usize, EncodeError> {
    let (sequence, updated_at) = (wide(value, "sequence"), base(value, "updated_at"));
    let mut encoder =
        PreferencesEncoder::new(buffer, sequence, updated_at, &from_hex(&value["customer_id"]))?;
    for pair in list(value, "pairs") {
        encoder.push(&from_hex(&pair["key"]), &from_hex(&pair["value"]))?;
    }
    encoder.finish()
}

fn is_datagram(entry: &Value) -> bool {
    match text(entry, "transport") {
        "datagram" => true,
        "frame" => false,
        other => panic!("transport {other}"),
    }
}

fn check_valid(entry: &Value) {
    let name = text(entry, "name");
    let bytes = from_hex(&entry["hex"]);
    let frame = if is_datagram(entry) {
        let (header, frame) =
            decode_datagram(&bytes, MAX_FRAME_BYTES).unwrap_or_else(|error| panic!("{name}: {error}"));
        let numbers =
            json!({"session": header.session.to_string(), "packet_number": header.packet_number.to_string()});
        assert_eq!(numbers, entry["datagram"], "{name}");
        frame
    } else {
        deframe_whole(&bytes, MAX_FRAME_BYTES).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    assert_eq!(format!("{:08x}", frame.checksum()), text(entry, "checksum"), "{name}");
    let message = Message::decode(frame).unwrap_or_else(|error| panic!("{name}: {error}"));
    let identity = match message {
        Message::Sightings(batch) => Some(batch.identity_checksum()),
        Message::Preferences(preferences) => Some(preferences.identity_checksum()),
        _ => None,
    };
    let identity = identity.map_or(Value::Null, |checksum| format!("{checksum:08x}").into());
    assert_eq!(identity, entry["identity_checksum"], "{name}");
    assert_eq!(to_json(&message, frame), entry["message"], "{name}");
    check_encodes(entry, &bytes);
}

fn check_encodes(entry: &Value, bytes: &[u8]) {
    let name = text(entry, "name");
    let mut buffer = vec![0; MAX_FRAME_BYTES + 20];
    let header_bytes = if is_datagram(entry) {
        let datagram = &entry["datagram"];
        let (session, packet_number) = (wide(datagram, "session"), wide(datagram, "packet_number"));
        DatagramHeader { session, packet_number }.encode(&mut buffer).unwrap()
    } else {
        0
    };
    if let Some(encoded) = encode(&entry["message"], &mut buffer[header_bytes..]) {
        let length = encoded.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(buffer[..header_bytes + length] == *bytes, "{name} is encoded otherwise");
    }
}

#[test]
fn valid_entries_are_read_and_written_as_the_vectors_say() {
    entries("valid.json").iter().for_each(check_valid);
}

#[test]
fn entries_at_the_limits_of_size_are_read_and_written_as_the_vectors_say() {
    entries("large.json").iter().for_each(check_valid);
}

#[test]
fn invalid_entries_are_refused_as_labelled() {
    for entry in entries("invalid.json") {
        let name = text(&entry, "name");
        let bytes = from_hex(&entry["hex"]);
        let frame = if is_datagram(&entry) {
            decode_datagram(&bytes, MAX_FRAME_BYTES).map(|(_, frame)| frame)
        } else {
            deframe_whole(&bytes, MAX_FRAME_BYTES)
        };
        let Err(error) = frame.and_then(Message::decode) else { panic!("{name} was taken") };
        assert_eq!(error.label(), text(&entry, "error"), "{name}: {error}");
        assert_eq!(error.refusal_code().number(), number::<u16>(&entry, "refusal_code"), "{name}");
        if let DecodeError::Field { field, .. } = error {
            assert_eq!(field.name(), text(&entry, "field"), "{name}");
        }
    }
}

#[test]
fn checksums_are_those_of_the_vectors() {
    for entry in entries("checksum.json") {
        let checksum = crc32c::crc32c(&from_hex(&entry["hex"]));
        assert_eq!(format!("{checksum:08x}"), text(&entry, "crc32c"), "{}", text(&entry, "name"));
    }
}
