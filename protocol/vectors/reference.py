"""A second implementation of the beacon protocol's codec, from SPEC.md alone: plain, slow, standard library only."""

import struct
import uuid

MAGIC, DATAGRAM_MAGIC, VERSION = 0xBEAC, 0xBEAD, 1
HEADER_BYTES, DATAGRAM_HEADER_BYTES = 12, 20
MAX_FRAME_BYTES = 65_536
MAX_SIGHTINGS, MAX_PAIRS = 4096, 64
MAX_GATEWAY_ID_BYTES, MAX_AUTH_BYTES, MAX_VALUE_BYTES = 64, 512, 1024
CRITICAL, AGES, SEALED = 0x80, 0x01, 0x01

KINDS = {
    "hello": 0x81, "welcome": 0x82, "sightings": 0x83, "ack": 0x84, "refusal": 0x85, "ping": 0x86, "pong": 0x87,
    "goodbye": 0x88, "preferences": 0x89, "gateway_status": 0x0A,
}
NAMES = {code: name for name, code in KINDS.items()}

# The refusal code of each error label; every label that is not here is 1, malformed.
REFUSALS = {
    "bad_checksum": 2, "oversize": 3, "unsupported_version": 4, "unknown_critical_kind": 5, "bad_magic": 17,
    "sealed_unsupported": 18,
}


class Refused(Exception):
    """Bytes that are not a frame: the label of the reason, and the field's name where the reason is a field's value."""

    def __init__(self, label, field=None):
        super().__init__(label)
        self.label, self.field = label, field
        self.refusal_code = REFUSALS.get(label, 1)


def refuse_if(condition, label):
    if condition:
        raise Refused(label)


def refuse_field_if(condition, field):
    if condition:
        raise Refused("field", field)


# ---- checksum: CRC-32C, bit by bit ----

def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def identity_checksum(frame):
    """The checksum that tells a repeat from another frame of the same sequence: an aged base counts as zero."""
    header, body = frame[:8], bytearray(frame[HEADER_BYTES:])
    ages_at = 16  # after sequence and time, in sightings and preferences alike
    if body[ages_at] & AGES:
        body[8:16] = bytes(8)
    return crc32c(header + bytes(body))


# ---- encoding ----

def frame(kind, body, version=VERSION, magic=MAGIC, length=None, checksum=None):
    """A frame around a body; the keywords make the broken ones."""
    start = struct.pack(">HBBI", magic, version, kind, len(body) if length is None else length)
    return start + struct.pack(">I", crc32c(start + body) if checksum is None else checksum) + body


def datagram(session, packet_number, inner, magic=DATAGRAM_MAGIC, flags=0, reserved=0):
    return struct.pack(">HBBQQ", magic, flags, reserved, session, packet_number) + inner


def short(data):
    return struct.pack(">B", len(data)) + data


def encode_body(m):
    return globals()["encode_" + m["kind"]](m)


def encode(m):
    if m["kind"] == "unknown":
        return frame(m["code"], bytes.fromhex(m["body"]))
    return frame(KINDS[m["kind"]], encode_body(m))


def encode_hello(m, flags=0):
    auth = bytes.fromhex(m["auth"])
    return (struct.pack(">BBBBQQ", m["min_version"], m["max_version"], m["ack_level"], flags, int(m["boot_epoch"]),
                        int(m["first_unacked"]))
            + bytes.fromhex(m["client_random"]) + short(m["gateway_id"].encode())
            + struct.pack(">BH", m["auth_method"], len(auth)) + auth)


def encode_welcome(m, flags=0, reserved=0):
    return (struct.pack(">BBBBQQQ", m["version"], m["ack_level"], flags, reserved, int(m["session"]),
                        int(m["boot_epoch"]), int(m["last_acked"]))
            + bytes.fromhex(m["client_random_echo"])
            + struct.pack(">IIHHIq", m["window_frames"], m["max_frame_bytes"], m["max_datagram_bytes"],
                          m["max_sightings"], m["idle_timeout_ms"], int(m["server_time"]))
            + bytes.fromhex(m["server_random"]))


def encode_sightings(m, flags=0):
    out = struct.pack(">QqBBH", int(m["sequence"]), int(m["base_time"]), flags | (AGES if m["ages"] else 0),
                      len(m["beacons"]), len(m["sightings"]))
    for b in m["beacons"]:
        out += uuid.UUID(b["uuid"]).bytes + struct.pack(">HH", b["major"], b["minor"])
    return out + b"".join(
        struct.pack(">Bbi", s["beacon_index"], s["rssi_dbm"], s["time_offset_us"])
        + short(bytes.fromhex(s["customer_id"])) for s in m["sightings"])


def encode_ack(m, reserved=0):
    out = struct.pack(">QQH", int(m["cumulative"]), int(m["received"]), len(m["records"]))
    for r in m["records"]:
        out += struct.pack(">QBBH", int(r["sequence"]), r["status"], reserved, r["dead_lettered"])
        out += struct.pack(">11HH", *r["counts"], len(r["exceptions"]))
        for e in r["exceptions"]:
            out += struct.pack(">HBB", e["index"], e["code"], e["detail"])
    return out


def encode_refusal(m):
    return struct.pack(">QHI", int(m["sequence"]), m["code"], m["retry_after_ms"]) + short(m["text"].encode())


def encode_ping(m):
    return struct.pack(">Qq", int(m["token"]), int(m["time"]))


encode_pong = encode_ping


def encode_goodbye(m):
    return struct.pack(">BI", m["reason"], m["deadline_ms"])


def encode_preferences(m, flags=0):
    out = struct.pack(">QqB", int(m["sequence"]), int(m["updated_at"]), flags | (AGES if m["ages"] else 0))
    out += short(bytes.fromhex(m["customer_id"])) + struct.pack(">B", len(m["pairs"]))
    for pair in m["pairs"]:
        value = bytes.fromhex(pair["value"])
        out += short(bytes.fromhex(pair["key"])) + struct.pack(">H", len(value)) + value
    return out


def encode_gateway_status(m):
    return (struct.pack(">QqIQQ", int(m["uptime_ms"]), int(m["gateway_time"]), m["queued_frames"],
                        int(m["dropped_sightings"]), int(m["resent_frames"])) + short(m["firmware"].encode()))


# ---- decoding ----

class Cursor:
    """Reads a body from front to back and refuses to read past its end."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        refuse_if(len(self.data) - self.at < count, "unexpected_end")
        self.at += count
        return self.data[self.at - count:self.at]

    def unpack(self, layout):
        return struct.unpack(">" + layout, self.take(struct.calcsize(">" + layout)))

    def one(self, layout):
        return self.unpack(layout)[0]

    def short(self):
        return self.take(self.one("B"))

    def text(self, field):
        return utf8(self.short(), field)

    def end(self):
        refuse_if(self.at != len(self.data), "trailing_data")


def utf8(data, field):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("field", field) from None


def is_control(character):
    return ord(character) < 0x20 or 0x7F <= ord(character) <= 0x9F


def decode_datagram(data):
    refuse_if(len(data) < DATAGRAM_HEADER_BYTES, "unexpected_end")
    magic, flags, reserved, session, packet_number = struct.unpack(">HBBQQ", data[:DATAGRAM_HEADER_BYTES])
    refuse_if(magic != DATAGRAM_MAGIC, "bad_magic")
    refuse_if(flags == SEALED, "sealed_unsupported")
    refuse_field_if(flags, "flags")
    refuse_field_if(reserved, "reserved")
    refuse_field_if(packet_number == 0, "packet_number")
    inner = data[DATAGRAM_HEADER_BYTES:]
    header = {"session": str(session), "packet_number": str(packet_number)}
    return header, decode_frame(inner)


def decode_frame(data):
    """Exactly one frame: the checks in the order of SPEC.md."""
    refuse_if(len(data) >= 2 and struct.unpack(">H", data[:2])[0] != MAGIC, "bad_magic")
    refuse_if(len(data) >= 3 and data[2] != VERSION, "unsupported_version")
    refuse_if(len(data) < 8, "unexpected_end")
    kind, length = struct.unpack(">BI", data[3:8])
    refuse_if(HEADER_BYTES + length > MAX_FRAME_BYTES, "oversize")
    refuse_if(len(data) < HEADER_BYTES, "unexpected_end")
    checksum = struct.unpack(">I", data[8:HEADER_BYTES])[0]
    refuse_if(len(data) < HEADER_BYTES + length, "unexpected_end")
    refuse_if(len(data) > HEADER_BYTES + length, "trailing_data")
    body = data[HEADER_BYTES:]
    refuse_if(crc32c(data[:8] + body) != checksum, "bad_checksum")
    if kind not in NAMES:
        refuse_if(kind & CRITICAL, "unknown_critical_kind")
        return {"kind": "unknown", "code": kind, "body": body.hex()}
    cursor = Cursor(body)
    message = {"kind": NAMES[kind], **globals()["decode_" + NAMES[kind]](cursor)}
    cursor.end()
    return message


def decode_hello(c):
    low, high, level, flags, boot_epoch, first_unacked = c.unpack("BBBBQQ")
    refuse_field_if(low == 0 or low > high, "versions")
    refuse_field_if(level > 2, "ack_level")
    refuse_field_if(flags, "flags")
    refuse_field_if(first_unacked == 0, "first_unacked")
    client_random, gateway_id = c.take(32), c.short()
    refuse_field_if(not 1 <= len(gateway_id) <= MAX_GATEWAY_ID_BYTES, "gateway_id")
    gateway_id = utf8(gateway_id, "gateway_id")
    refuse_field_if(any(map(is_control, gateway_id)), "gateway_id")
    method, auth_length = c.unpack("BH")
    refuse_field_if(auth_length > MAX_AUTH_BYTES or (method == 0 and auth_length), "auth")
    return {"min_version": low, "max_version": high, "ack_level": level, "boot_epoch": str(boot_epoch),
            "first_unacked": str(first_unacked), "client_random": client_random.hex(), "gateway_id": gateway_id,
            "auth_method": method, "auth": c.take(auth_length).hex()}


def decode_welcome(c):
    version, level, flags, reserved, session, boot_epoch, last_acked = c.unpack("BBBBQQQ")
    refuse_field_if(version == 0, "versions")
    refuse_field_if(level not in (1, 2), "ack_level")
    refuse_field_if(flags, "flags")
    refuse_field_if(reserved, "reserved")
    echo = c.take(8)
    window, frame_bytes, datagram_bytes, sightings, idle, server_time = c.unpack("IIHHIq")
    refuse_field_if(window == 0, "window_frames")
    return {"version": version, "ack_level": level, "session": str(session), "boot_epoch": str(boot_epoch),
            "last_acked": str(last_acked), "client_random_echo": echo.hex(), "window_frames": window,
            "max_frame_bytes": frame_bytes, "max_datagram_bytes": datagram_bytes, "max_sightings": sightings,
            "idle_timeout_ms": idle, "server_time": str(server_time), "server_random": c.take(32).hex()}


def sequenced(c):
    """Sequence, time and flags, with which sightings and preferences both begin."""
    sequence, time, flags = c.unpack("QqB")
    refuse_field_if(sequence == 0, "sequence")
    refuse_field_if(flags & ~AGES, "flags")
    refuse_field_if(flags & AGES and time < 0, "base_time")
    return str(sequence), str(time), bool(flags & AGES)


def decode_sightings(c):
    sequence, base_time, ages = sequenced(c)
    beacon_count, sighting_count = c.unpack("BH")
    refuse_field_if(beacon_count == 0, "beacon_count")
    refuse_field_if(not 1 <= sighting_count <= MAX_SIGHTINGS, "sighting_count")
    beacons, sightings = [], []
    for _ in range(beacon_count):
        identity, major, minor = c.unpack("16sHH")
        beacons.append({"uuid": str(uuid.UUID(bytes=identity)), "major": major, "minor": minor})
    for _ in range(sighting_count):
        index, rssi, offset = c.unpack("Bbi")
        refuse_field_if(index >= beacon_count, "beacon_index")
        sightings.append({"beacon_index": index, "rssi_dbm": rssi, "time_offset_us": offset,
                          "customer_id": c.short().hex()})
    return {"sequence": sequence, "base_time": base_time, "ages": ages, "beacons": beacons, "sightings": sightings}


def decode_ack(c):
    cumulative, received, record_count = c.unpack("QQH")
    records = []
    for _ in range(record_count):
        sequence, status, reserved, dead_lettered, *counts, exception_count = c.unpack("QBBH11HH")
        refuse_field_if(sequence == 0, "sequence")
        refuse_field_if(status > 4, "status")
        refuse_field_if(reserved, "reserved")
        exceptions, last = [], -1
        for _ in range(exception_count):
            index, code, detail = c.unpack("HBB")
            refuse_field_if(index <= last, "exception index")
            refuse_field_if(code > 7, "exception code")
            last = index
            exceptions.append({"index": index, "code": code, "detail": detail})
        records.append({"sequence": str(sequence), "status": status, "dead_lettered": dead_lettered,
                        "counts": counts, "exceptions": exceptions})
    return {"cumulative": str(cumulative), "received": str(received), "records": records}


def decode_refusal(c):
    sequence, code, retry_after_ms = c.unpack("QHI")
    refuse_field_if(code == 0, "code")
    return {"sequence": str(sequence), "code": code, "retry_after_ms": retry_after_ms, "text": c.text("text")}


def decode_ping(c):
    token, time = c.unpack("Qq")
    return {"token": str(token), "time": str(time)}


decode_pong = decode_ping


def decode_goodbye(c):
    reason, deadline_ms = c.unpack("BI")
    refuse_field_if(reason not in (1, 2), "reason")
    return {"reason": reason, "deadline_ms": deadline_ms}


def decode_preferences(c):
    sequence, updated_at, ages = sequenced(c)
    customer_id, pair_count = c.short(), c.one("B")
    refuse_field_if(not 1 <= pair_count <= MAX_PAIRS, "pair_count")
    pairs = []
    for _ in range(pair_count):
        key, value_length = c.short(), c.one("H")
        refuse_field_if(value_length > MAX_VALUE_BYTES, "value")
        pairs.append({"key": key.hex(), "value": c.take(value_length).hex()})
    return {"sequence": sequence, "updated_at": updated_at, "ages": ages, "customer_id": customer_id.hex(),
            "pairs": pairs}


def decode_gateway_status(c):
    uptime_ms, gateway_time, queued, dropped, resent = c.unpack("QqIQQ")
    return {"uptime_ms": str(uptime_ms), "gateway_time": str(gateway_time), "queued_frames": queued,
            "dropped_sightings": str(dropped), "resent_frames": str(resent), "firmware": c.text("firmware")}
