"""The worked examples of SPEC.md: real frames, every byte beside what it says."""

import reference
import valid_cases as valid


def row(offset, data, meaning):
    """One field: offset, bytes, meaning; more than eight bytes go on in further lines."""
    pieces = [data[i:i + 8].hex(" ") for i in range(0, len(data), 8)] or ["(none)"]
    lines = [f"{offset:4}  {pieces[0]:<23}  {meaning}".rstrip()]
    return lines + [f"      {piece}" for piece in pieces[1:]]


def table(data, fields, offset=0):
    """Lays fields (size, meaning) over bytes; together they must cover all of them."""
    lines, at = [], offset
    for size, meaning in fields:
        lines += row(at, data[at:at + size], meaning)
        at += size
    if at != len(data):
        raise ValueError(f"the fields cover {at} of {len(data)} bytes")
    return ["```text", *lines, "```"]


def header(data, name, at=0):
    length = int.from_bytes(data[at + 4:at + 8], "big")
    return [(2, "magic"), (1, "version 1"), (1, f"kind {name}"), (4, f"body length {length}"), (4, "CRC-32C")]


HELLO = valid.hello(boot_epoch="1772366391", first_unacked="1", ack_level=1)
WELCOME = valid.welcome(boot_epoch="1772366391", session="81985529216486895")
SIGHTINGS = valid.sightings(
    valid.sighting(b"cust123", 0, -61, 0), valid.sighting("Zoë".encode(), 1, -74, 250_000),
    valid.sighting(b"", 0, -66, 900_000),
    beacons=[valid.TABLE_3, valid.DOOR])
ACK = valid.ack(valid.record(1, counts={1: 1, 4: 1, 10: 1}, exceptions=[(1, 4, 0), (2, 1, 1)]))
SESSION = 81985529216486895
AGED = valid.sightings(valid.sighting(b"cust123", 0, -61, 0), base_time="2000000", ages=True)
AGED_LATER = {**AGED, "base_time": "2731004"}


def hello_block():
    data = reference.encode(HELLO)
    return table(data, header(data, "hello") + [
        (1, "min_version 1"), (1, "max_version 1"), (1, "ack_level 1, journal"), (1, "flags"),
        (8, "boot_epoch 1,772,366,391"), (8, "first_unacked 1"), (32, "client_random"), (1, "id_len 9"),
        (9, 'gateway id "kitchen-1"'), (1, "auth_method 0, none"), (2, "auth_len 0")])


def welcome_block():
    data = reference.encode(WELCOME)
    return table(data, header(data, "welcome") + [
        (1, "version 1"), (1, "ack_level 1, journal"), (1, "flags"), (1, "reserved"), (8, "session"),
        (8, "boot_epoch, echoed"), (8, "last_acked 0"), (8, "client_random, its first 8 bytes"),
        (4, "window_frames 64"), (4, "max_frame_bytes 65,536"), (2, "max_datagram_bytes 1,200"),
        (2, "max_sightings 4,096"), (4, "idle_timeout_ms 30,000"), (8, "server_time 2026-03-01T12:00:00Z"),
        (32, "server_random")])


def sighting_fields(number, index, rssi, offset, id_length, meaning):
    fields = [(1, f"sighting {number}: beacon_index {index}"), (1, f"rssi_dbm {rssi}"),
              (4, f"time_offset_us {offset:,}"), (1, f"id_len {id_length}")]
    return fields + ([(id_length, meaning)] if id_length else [])


def beacon_fields(number, minor):
    return [(16, f"beacon {number}: uuid"), (2, "major 1"), (2, f"minor {minor}")]


def sightings_block():
    data = reference.encode(SIGHTINGS)
    return table(data, header(data, "sightings") + [
        (8, "sequence 1"), (8, "base_time 2026-03-01T12:00:00Z"), (1, "flags: UTC"), (1, "beacon_count 2"),
        (2, "sighting_count 3"), *beacon_fields(0, 3), *beacon_fields(1, 99),
        *sighting_fields(0, 0, -61, 0, 7, 'customer id "cust123"'),
        *sighting_fields(1, 1, -74, 250_000, 4, 'customer id "Zoë"'),
        *sighting_fields(2, 0, -66, 900_000, 0, "")])


def ack_block():
    data = reference.encode(ACK)
    counts = ["undecided 0", "invalid 1", "clock_skew 0", "too_old 0", "unknown_beacon 1", "beacon_mismatch 0",
              "beacon_inactive 0", "forbidden 0", "low_confidence 0", "duplicate 0", "identified 1"]
    return table(data, header(data, "ack") + [
        (8, "cumulative 1"), (8, "received: nothing beyond"), (2, "record_count 1"), (8, "record: sequence 1"),
        (1, "status 0, sightings decided"), (1, "reserved"), (2, "dead_lettered 0"), *[(2, count) for count in counts],
        (2, "exception_count 2"), (2, "index 1"), (1, "code 4, unknown_beacon"), (1, "detail 0"),
        (2, "index 2"), (1, "code 1, invalid"), (1, "detail 1, customer id empty")])


def datagram_block():
    frame = reference.encode(AGED)
    data = reference.datagram(SESSION, 3, frame)
    fields = [(2, "datagram magic"), (1, "flags: not sealed"), (1, "reserved"), (8, "session"), (8, "packet number 3")]
    return table(data, fields + header(data, "sightings", 20) + [
        (8, "sequence 1"), (8, "base_time: an age of 2,000,000 us"), (1, "flags: AGES"), (1, "beacon_count 1"),
        (2, "sighting_count 1"), *beacon_fields(0, 3), *sighting_fields(0, 0, -61, 0, 7, 'customer id "cust123"')])


def identity_block():
    first, later = reference.encode(AGED), reference.encode(AGED_LATER)
    utc = reference.encode(SIGHTINGS)
    lines = ["```text", "frame                          base_time          checksum in the header  identity checksum"]
    for name, base, data in (("the datagram above, first sent", "0x00000000001e8480", first),
                             ("repeated 731,004 us later", f"0x{int(AGED_LATER['base_time']):016x}", later),
                             ("the sightings over TCP (UTC)", f"0x{int(SIGHTINGS['base_time']):016x}", utc)):
        identity = reference.identity_checksum(data)
        lines.append(f"{name:<30} {base} 0x{data[8:12].hex()}              0x{identity:08x}")
    zeroed = bytearray(first[:8] + first[12:])
    zeroed[16:24] = bytes(8)
    lines += ["", "The bytes under the identity checksum of the first two (header 0..8, then the body, base_time zero):"]
    return lines + [bytes(zeroed[i:i + 32]).hex() for i in range(0, len(zeroed), 32)] + ["```"]


def blocks():
    """Title and lines of each example, in the order of SPEC.md."""
    return [("hello", hello_block()), ("welcome", welcome_block()), ("sightings", sightings_block()),
            ("ack", ack_block()), ("datagram", datagram_block()), ("identity", identity_block())]
