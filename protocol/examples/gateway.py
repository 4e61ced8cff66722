#!/usr/bin/env python3
"""A gateway of the beacon protocol, version 1, in one file: Python 3.11, standard library only.

    python3 gateway.py FILE.csv --target tcp://HOST:PORT|udp://HOST:PORT [--gateway-id ID] [--rebase] [--batch 64]
                       [--in-flight 64] [--rate R] [--repeat N | --forever] [--ages] [--json F] [--seconds N]

It reads sightings from a CSV file (columns detected_at_unix_us, customer_id, beacon_uuid, major, minor, rssi_dbm, found
by name, others ignored), sends them to a daemon and keeps each until the daemon has decided it. At the end it prints
what became of them, by outcome. BEACOND_TARGET is the default target. Ctrl-C ends in order, with a goodbye.

Exit code: 0 all acknowledged, 1 not all, 64 wrong arguments, 69 nobody there or refused.

For those who port it, from top to bottom:
  1. codec     every message as a dataclass: `encode(message)`, `decode_frame(bytes)`, `decode_datagram(bytes)`
  2. links     TcpLink and UdpLink: bytes to messages and back, nothing of sessions
  3. sources   the CSV file, and sightings on their way
  4. gateway   sessions, sequences, window, repeats: `Gateway.run()` is the loop, `step()` is what time brings about,
               `on_message()` what the daemon does. `due(at)` asks whether a moment has come and, if it has not, sees
               to it that the loop wakes up then; there are no other timers.
  5. command line
Rules of the specification are named where they are kept, as R1, R2, ...
"""
from __future__ import annotations

import argparse
import csv
import dataclasses
import enum
import errno
import heapq
import json
import math
import os
import random
import secrets
import selectors
import signal
import socket
import struct
import sys
import time
import urllib.parse
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import ClassVar, Iterator, NamedTuple, Union
from uuid import UUID

# ---------------------------------------------------------------------------------------------------- 1. codec

MAGIC, DATAGRAM_MAGIC = b"\xbe\xac", b"\xbe\xad"
FRAME_VERSION = PROTOCOL_VERSION = 1
HEADER, DATAGRAM_HEADER = struct.Struct(">2sBBII"), struct.Struct(">2sBBQQ")
MAX_FRAME = 65_536
CRITICAL, AGES = 0x80, 0x01
I32_MIN, I32_MAX, U64_MAX = -(2**31), 2**31 - 1, 2**64 - 1

OUTCOMES = ("undecided", "invalid", "clock_skew", "too_old", "unknown_beacon", "beacon_mismatch", "beacon_inactive",
            "forbidden", "low_confidence", "duplicate", "identified")
UNDECIDED, CLOCK_SKEW = 0, 2
DECIDED, KNOWN_DURABLE = 0, 1  # of the statuses of a record, those of sightings
DRAINING, LEAVING = 1, 2  # reasons of a goodbye
REFUSALS = {1: "malformed", 2: "bad_checksum", 3: "oversize", 4: "unsupported_version", 5: "unknown_critical_kind",
            6: "unexpected_kind", 7: "unknown_session", 8: "unknown_gateway", 9: "gateway_disabled",
            10: "unauthenticated", 11: "busy", 12: "too_many_sessions", 13: "sequence_reused", 14: "sequence_gap",
            15: "timed_out", 16: "draining", 17: "bad_magic", 18: "sealed_unsupported"}
ONE_DATAGRAM_ONLY = frozenset((1, 2, 3, 5, 6, 11, 13, 14, 15, 17, 18))  # on UDP; all other codes end the session


class DecodeError(Exception):
    """Bytes that break the format. `code` is the refusal code of what is wrong."""

    CODES = {"bad_magic": 17, "unsupported_version": 4, "oversize": 3, "bad_checksum": 2, "unknown_critical_kind": 5,
             "sealed_unsupported": 18, "unexpected_end": 1, "trailing_data": 1, "field": 1}

    def __init__(self, label: str, detail: str = "") -> None:
        super().__init__(f"{label} {detail}".strip())
        self.label, self.field, self.code = label, detail, self.CODES[label]


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC_TABLE = _crc_table()


def crc32c(*parts: bytes) -> int:
    crc, table = 0xFFFFFFFF, _CRC_TABLE
    for part in parts:
        for byte in part:
            crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


class Reader:
    """The fields of a body, one after another; never reads, and never reserves, beyond what is there (R4)."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise DecodeError("unexpected_end")
        part, self.at = self.data[self.at:end], end
        return part

    def unpack(self, layout: struct.Struct) -> tuple:
        return layout.unpack(self.take(layout.size))

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def finish(self) -> None:
        if self.at != len(self.data):
            raise DecodeError("trailing_data")


def require(condition: bool, name: str) -> None:
    if not condition:
        raise DecodeError("field", name)


def utf8(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise DecodeError("field", name) from None


def gateway_id_is_right(gateway_id: str) -> bool:
    return (1 <= len(gateway_id.encode("utf-8", "replace")) <= 64
            and not any(c < " " or "\x7f" <= c <= "\x9f" or "\ud800" <= c <= "\udfff" for c in gateway_id))


@dataclass(frozen=True, slots=True)
class Hello:
    KIND: ClassVar[int] = 0x81
    LAYOUT: ClassVar = struct.Struct(">BBBBQQ32sB")
    min_version: int
    max_version: int
    ack_level: int
    boot_epoch: int
    first_unacked: int
    client_random: bytes
    gateway_id: str
    auth_method: int = 0
    auth: bytes = b""

    def body(self) -> bytes:
        name = self.gateway_id.encode()
        return (self.LAYOUT.pack(self.min_version, self.max_version, self.ack_level, 0, self.boot_epoch,
                                 self.first_unacked, self.client_random, len(name))
                + name + struct.pack(">BH", self.auth_method, len(self.auth)) + self.auth)

    @classmethod
    def read(cls, r: Reader) -> Hello:
        low, high, level, flags, epoch, first, client_random, id_length = r.unpack(cls.LAYOUT)
        require(1 <= low <= high, "versions")
        require(level <= 2, "ack_level")
        require(flags == 0, "flags")
        require(first >= 1, "first_unacked")
        require(1 <= id_length <= 64, "gateway_id")
        name = utf8(r.take(id_length), "gateway_id")
        require(gateway_id_is_right(name), "gateway_id")
        method, auth_length = r.u8(), r.u16()
        require(auth_length <= 512 and (method != 0 or auth_length == 0), "auth")
        return cls(low, high, level, epoch, first, client_random, name, method, r.take(auth_length))


@dataclass(frozen=True, slots=True)
class Welcome:
    KIND: ClassVar[int] = 0x82
    LAYOUT: ClassVar = struct.Struct(">BBBBQQQ8sIIHHIq32s")
    version: int
    ack_level: int
    session: int
    boot_epoch: int
    last_acked: int
    client_random_echo: bytes
    window_frames: int
    max_frame_bytes: int
    max_datagram_bytes: int
    max_sightings: int
    idle_timeout_ms: int
    server_time: int
    server_random: bytes

    def body(self) -> bytes:
        version, level, *rest = (getattr(self, f.name) for f in dataclasses.fields(self))
        return self.LAYOUT.pack(version, level, 0, 0, *rest)

    @classmethod
    def read(cls, r: Reader) -> Welcome:
        version, level, flags, reserved, *rest = r.unpack(cls.LAYOUT)
        require(version >= 1, "versions")
        require(1 <= level <= 2, "ack_level")
        require(flags == 0, "flags")
        require(reserved == 0, "reserved")
        welcome = cls(version, level, *rest)
        require(welcome.window_frames >= 1, "window_frames")
        return welcome

    def keeps_the_rules(self) -> bool:
        """The values marked with a dagger: rules of the protocol, not of the format (R13)."""
        return (self.session != 0 and 1_024 <= self.max_frame_bytes <= MAX_FRAME
                and 576 <= self.max_datagram_bytes <= 65_507 and 1 <= self.max_sightings <= 4_096
                and self.idle_timeout_ms >= 1_000)


@dataclass(frozen=True, slots=True)
class Beacon:
    LAYOUT: ClassVar = struct.Struct(">16sHH")
    uuid: UUID
    major: int
    minor: int


@dataclass(frozen=True, slots=True)
class Sighting:
    LAYOUT: ClassVar = struct.Struct(">BbiB")
    beacon_index: int
    rssi_dbm: int
    time_offset_us: int
    customer_id: bytes


@dataclass(frozen=True, slots=True)
class Sightings:
    KIND: ClassVar[int] = 0x83
    LAYOUT: ClassVar = struct.Struct(">QqBBH")
    sequence: int
    base_time: int
    ages: bool
    beacons: tuple[Beacon, ...]
    sightings: tuple[Sighting, ...]

    def body(self) -> bytes:
        parts = [self.LAYOUT.pack(self.sequence, self.base_time, AGES if self.ages else 0, len(self.beacons),
                                  len(self.sightings))]
        parts += (Beacon.LAYOUT.pack(b.uuid.bytes, b.major, b.minor) for b in self.beacons)
        for s in self.sightings:
            parts += (Sighting.LAYOUT.pack(s.beacon_index, s.rssi_dbm, s.time_offset_us, len(s.customer_id)),
                      s.customer_id)
        return b"".join(parts)

    @classmethod
    def read(cls, r: Reader) -> Sightings:
        sequence, base_time, flags, beacon_count, sighting_count = r.unpack(cls.LAYOUT)
        require(sequence >= 1, "sequence")
        require(flags & ~AGES == 0, "flags")
        require(not flags or base_time >= 0, "base_time")
        require(beacon_count >= 1, "beacon_count")
        require(1 <= sighting_count <= 4_096, "sighting_count")
        beacons = []
        for _ in range(beacon_count):
            identity, major, minor = r.unpack(Beacon.LAYOUT)
            beacons.append(Beacon(UUID(bytes=identity), major, minor))
        sightings = []
        for _ in range(sighting_count):
            index, rssi, offset, id_length = r.unpack(Sighting.LAYOUT)
            require(index < beacon_count, "beacon_index")
            sightings.append(Sighting(index, rssi, offset, r.take(id_length)))
        return cls(sequence, base_time, bool(flags), tuple(beacons), tuple(sightings))


class Rejected(NamedTuple):
    """An exception of a record: the outcome, 0..=7, of one sighting of the frame."""

    index: int
    code: int
    detail: int


@dataclass(frozen=True, slots=True)
class Record:
    LAYOUT: ClassVar = struct.Struct(">QBBH11HH")
    EXCEPTION: ClassVar = struct.Struct(">HBB")
    sequence: int
    status: int
    dead_lettered: int
    counts: tuple[int, ...]
    exceptions: tuple[Rejected, ...]

    def pack(self) -> bytes:
        return (self.LAYOUT.pack(self.sequence, self.status, 0, self.dead_lettered, *self.counts, len(self.exceptions))
                + b"".join(self.EXCEPTION.pack(*e) for e in self.exceptions))

    @classmethod
    def read(cls, r: Reader) -> Record:
        sequence, status, reserved, dead_lettered, *counts, exception_count = r.unpack(cls.LAYOUT)
        require(sequence >= 1, "sequence")
        require(status <= 4, "status")
        require(reserved == 0, "reserved")
        exceptions: list[Rejected] = []
        for _ in range(exception_count):
            exception = Rejected(*r.unpack(cls.EXCEPTION))
            require(exception.code <= 7, "exception code")
            require(not exceptions or exception.index > exceptions[-1].index, "exception index")
            exceptions.append(exception)
        return cls(sequence, status, dead_lettered, tuple(counts), tuple(exceptions))


@dataclass(frozen=True, slots=True)
class Ack:
    KIND: ClassVar[int] = 0x84
    LAYOUT: ClassVar = struct.Struct(">QQH")
    cumulative: int
    received: int
    records: tuple[Record, ...]

    def body(self) -> bytes:
        return (self.LAYOUT.pack(self.cumulative, self.received, len(self.records))
                + b"".join(record.pack() for record in self.records))

    @classmethod
    def read(cls, r: Reader) -> Ack:
        cumulative, received, count = r.unpack(cls.LAYOUT)
        return cls(cumulative, received, tuple(Record.read(r) for _ in range(count)))


@dataclass(frozen=True, slots=True)
class Refusal:
    KIND: ClassVar[int] = 0x85
    LAYOUT: ClassVar = struct.Struct(">QHIB")
    sequence: int
    code: int
    retry_after_ms: int
    text: str

    def body(self) -> bytes:
        text = self.text.encode()
        return self.LAYOUT.pack(self.sequence, self.code, self.retry_after_ms, len(text)) + text

    @classmethod
    def read(cls, r: Reader) -> Refusal:
        sequence, code, retry_after, text_length = r.unpack(cls.LAYOUT)
        require(code != 0, "code")
        return cls(sequence, code, retry_after, utf8(r.take(text_length), "text"))


@dataclass(frozen=True, slots=True)
class Ping:
    KIND: ClassVar[int] = 0x86
    LAYOUT: ClassVar = struct.Struct(">Qq")
    token: int
    time: int

    def body(self) -> bytes:
        return self.LAYOUT.pack(self.token, self.time)

    @classmethod
    def read(cls, r: Reader) -> Ping:
        return cls(*r.unpack(cls.LAYOUT))


class Pong(Ping):
    KIND: ClassVar[int] = 0x87
    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Goodbye:
    KIND: ClassVar[int] = 0x88
    LAYOUT: ClassVar = struct.Struct(">BI")
    reason: int
    deadline_ms: int

    def body(self) -> bytes:
        return self.LAYOUT.pack(self.reason, self.deadline_ms)

    @classmethod
    def read(cls, r: Reader) -> Goodbye:
        reason, deadline = r.unpack(cls.LAYOUT)
        require(reason in (DRAINING, LEAVING), "reason")
        return cls(reason, deadline)


@dataclass(frozen=True, slots=True)
class Pair:
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Preferences:
    KIND: ClassVar[int] = 0x89
    LAYOUT: ClassVar = struct.Struct(">QqBB")
    sequence: int
    updated_at: int
    ages: bool
    customer_id: bytes
    pairs: tuple[Pair, ...]

    def body(self) -> bytes:
        parts = [self.LAYOUT.pack(self.sequence, self.updated_at, AGES if self.ages else 0, len(self.customer_id)),
                 self.customer_id, bytes([len(self.pairs)])]
        for p in self.pairs:
            parts += (bytes([len(p.key)]), p.key, len(p.value).to_bytes(2, "big"), p.value)
        return b"".join(parts)

    @classmethod
    def read(cls, r: Reader) -> Preferences:
        sequence, updated_at, flags, id_length = r.unpack(cls.LAYOUT)
        require(sequence >= 1, "sequence")
        require(flags & ~AGES == 0, "flags")
        require(not flags or updated_at >= 0, "base_time")
        customer_id, pair_count = r.take(id_length), r.u8()
        require(1 <= pair_count <= 64, "pair_count")
        pairs = []
        for _ in range(pair_count):
            key, value_length = r.take(r.u8()), r.u16()
            require(value_length <= 1_024, "value")
            pairs.append(Pair(key, r.take(value_length)))
        return cls(sequence, updated_at, bool(flags), customer_id, tuple(pairs))


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    KIND: ClassVar[int] = 0x0A
    LAYOUT: ClassVar = struct.Struct(">QqIQQB")
    uptime_ms: int
    gateway_time: int
    queued_frames: int
    dropped_sightings: int
    resent_frames: int
    firmware: str

    def body(self) -> bytes:
        firmware = self.firmware.encode()
        return self.LAYOUT.pack(self.uptime_ms, self.gateway_time, self.queued_frames, self.dropped_sightings,
                                self.resent_frames, len(firmware)) + firmware

    @classmethod
    def read(cls, r: Reader) -> GatewayStatus:
        *numbers, length = r.unpack(cls.LAYOUT)
        return cls(*numbers, utf8(r.take(length), "firmware"))


@dataclass(frozen=True, slots=True)
class Unknown:
    """A frame of a kind not defined here and not critical: skipped and counted (R67)."""

    code: int
    body_bytes: bytes

    @property
    def KIND(self) -> int:
        return self.code

    def body(self) -> bytes:
        return self.body_bytes


Message = Union[Hello, Welcome, Sightings, Ack, Refusal, Ping, Pong, Goodbye, Preferences, GatewayStatus, Unknown]
MESSAGES = {m.KIND: m for m in (Hello, Welcome, Sightings, Ack, Refusal, Ping, Pong, Goodbye, Preferences,
                                GatewayStatus)}


def encode(message: Message) -> bytes:
    body = message.body()
    header = HEADER.pack(MAGIC, FRAME_VERSION, message.KIND, len(body), 0)[:8]
    return header + crc32c(header, body).to_bytes(4, "big") + body


def identity_checksum(frame: bytes) -> int:
    """What tells a repeat from another frame of the same number (8.2): with AGES, the base time does not count."""
    if frame[12 + 16] & AGES:
        return crc32c(frame[:8], frame[12:20], bytes(8), frame[28:])
    return crc32c(frame[:8], frame[12:])


def frame_size(data: bytes | bytearray) -> int | None:
    """The size of the frame that begins here, None while its header is incomplete. Each part of the header is judged
    as soon as it is there, so that nobody waits for a body that cannot come (R2, R3)."""
    if data[:2] != MAGIC[:len(data)]:
        raise DecodeError("bad_magic")
    if len(data) > 2 and data[2] != FRAME_VERSION:
        raise DecodeError("unsupported_version")
    if len(data) < 8:
        return None
    size = HEADER.size + int.from_bytes(data[4:8], "big")
    if size > MAX_FRAME:
        raise DecodeError("oversize")
    return size


def decode_frame(frame: bytes) -> Message:
    """Exactly one whole frame."""
    size = frame_size(frame)
    if size is None or len(frame) < size:
        raise DecodeError("unexpected_end")
    if len(frame) > size:
        raise DecodeError("trailing_data")
    if crc32c(frame[:8], frame[12:]) != int.from_bytes(frame[8:12], "big"):
        raise DecodeError("bad_checksum")
    kind = frame[3]
    message = MESSAGES.get(kind)
    if message is None:
        if kind & CRITICAL:
            raise DecodeError("unknown_critical_kind")
        return Unknown(kind, frame[12:])
    reader = Reader(frame[12:])
    result = message.read(reader)
    reader.finish()
    return result


def encode_datagram(session: int, packet_number: int, frame: bytes) -> bytes:
    return DATAGRAM_HEADER.pack(DATAGRAM_MAGIC, 0, 0, session, packet_number) + frame


def open_datagram(data: bytes) -> tuple[int, int, bytes]:
    """The session, the packet number and the frame, which is not yet looked at (R7)."""
    if data[:2] != DATAGRAM_MAGIC[:len(data)]:
        raise DecodeError("bad_magic")
    if len(data) < DATAGRAM_HEADER.size:
        raise DecodeError("unexpected_end")
    _, flags, reserved, session, packet_number = DATAGRAM_HEADER.unpack_from(data)
    if flags & 1:
        raise DecodeError("sealed_unsupported")
    require(flags == 0, "flags")
    require(reserved == 0, "reserved")
    require(packet_number != 0, "packet_number")
    return session, packet_number, data[DATAGRAM_HEADER.size:]


def decode_datagram(data: bytes) -> tuple[int, int, Message]:
    session, packet_number, frame = open_datagram(data)
    return session, packet_number, decode_frame(frame)


# ---------------------------------------------------------------------------------------------------- 2. links

class LinkLost(Exception):
    """The connection is over, or what came over it cannot be gone on with."""


class TcpLink:
    """Frames over a stream. The sending buffer is kept short, so that ages are true when they leave (R64)."""

    datagrams = False
    SHORT = 16_384

    def __init__(self, family: int, address: tuple) -> None:
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.inbox, self.outbox = bytearray(), bytearray()
        self.connected = False
        error = self.socket.connect_ex(address)
        if error not in (0, errno.EINPROGRESS):
            self.socket.close()
            raise LinkLost(os.strerror(error))

    @property
    def events(self) -> int:
        writes = self.outbox or not self.connected
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if writes else 0)

    @property
    def room(self) -> bool:
        return len(self.outbox) < self.SHORT

    def finish_connecting(self) -> None:
        error = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise LinkLost(os.strerror(error))
        self.connected = True

    def send(self, frame: bytes) -> None:
        self.outbox += frame
        self.flush()

    def flush(self) -> None:
        try:
            while self.outbox:
                del self.outbox[:self.socket.send(self.outbox)]
        except BlockingIOError:
            pass
        except OSError:
            self.outbox.clear()  # reading tells that it is over, after what the daemon still said

    def receive(self) -> Iterator[Message]:
        try:
            data = self.socket.recv(65_536)
        except BlockingIOError:
            return
        except OSError as error:
            raise LinkLost(error.strerror or "reset") from None
        if not data:
            raise LinkLost("the daemon closed the connection")
        self.inbox += data
        try:
            while (size := frame_size(self.inbox)) is not None and len(self.inbox) >= size:
                frame = bytes(self.inbox[:size])
                del self.inbox[:size]
                yield decode_frame(frame)
        except DecodeError as error:
            raise LinkLost(f"unsound frame from the daemon: {error}") from None

    def close(self) -> None:
        self.socket.close()


class UdpLink:
    """One frame a datagram, numbered (R5). Of what comes, only sound datagrams of the session are passed on (R29)."""

    datagrams = True
    room = True
    events = selectors.EVENT_READ
    connected = True
    outbox = b""

    def __init__(self, family: int, address: tuple) -> None:
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        try:
            self.socket.connect(address)  # from now on the kernel drops what comes from other addresses (R29)
        except OSError as error:
            self.socket.close()
            raise LinkLost(error.strerror) from None
        self.session = 0
        self.packet_number = 0
        self.dropped: Counter[str] = Counter()

    def send(self, frame: bytes) -> None:
        self.packet_number += 1
        datagram = encode_datagram(self.session, self.packet_number, frame)
        for _ in range(2):  # a send may report the failure of the one before, and then has sent nothing
            try:
                self.socket.send(datagram)
                return
            except OSError:
                continue  # lost, as datagrams may be; its timer repeats it

    def flush(self) -> None:
        pass

    def receive(self) -> Iterator[Message]:
        for _ in range(64):
            try:
                data = self.socket.recv(65_536)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP message of an earlier datagram: anyone can send those
            try:
                session, _, message = decode_datagram(data)
            except DecodeError as error:
                self.dropped[error.label] += 1
                continue
            greeting = isinstance(message, Welcome) and not self.session and session == message.session
            if session == self.session and not isinstance(message, Welcome) or greeting:
                yield message
            else:
                self.dropped["other session"] += 1

    def close(self) -> None:
        self.socket.close()


# -------------------------------------------------------------------------------------------------- 3. sources

def utc_us() -> int:
    return time.time_ns() // 1_000


def steady_us() -> int:
    """A clock that nobody sets, for ages."""
    return time.monotonic_ns() // 1_000


@dataclass(slots=True)
class Heard:
    """A sighting on its way. When it is first sent, it is settled whether its time is told in UTC or as an age."""

    beacon: Beacon
    customer_id: bytes
    rssi_dbm: int
    utc: int
    steady: int
    heard_at: float
    ages: bool = False
    sent: bool = False
    undecided: int = 0

    @property
    def moment(self) -> int:
        return self.steady if self.ages else self.utc

    @property
    def size(self) -> int:
        return Sighting.LAYOUT.size + len(self.customer_id)


class WrongFile(Exception):
    pass


class CsvSource:
    """The rows of a file, `repeat` times over (None: for ever)."""

    COLUMNS = ("detected_at_unix_us", "customer_id", "beacon_uuid", "major", "minor", "rssi_dbm")

    def __init__(self, path: str, rebase: bool, repeat: int | None) -> None:
        self.rebase, self.repeat = rebase, repeat
        self.rows: list[tuple[int, bytes, Beacon, int]] = []
        self.at = self.passes = self.shift = 0
        beacons: dict[Beacon, Beacon] = {}
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows = csv.reader(file)
                header = next(rows, [])
                try:
                    columns = [header.index(name) for name in self.COLUMNS]
                except ValueError:
                    raise WrongFile(f"{path}: needs the columns {', '.join(self.COLUMNS)}") from None
                for row in rows:
                    try:
                        at, customer, identity, major, minor, rssi = (row[column] for column in columns)
                        beacon = Beacon(UUID(identity), int(major), int(minor))
                        Beacon.LAYOUT.pack(beacon.uuid.bytes, beacon.major, beacon.minor)
                        Sighting.LAYOUT.pack(0, int(rssi), 0, len(customer.encode()))
                        struct.pack(">q", int(at))
                    except (ValueError, IndexError, struct.error):
                        raise WrongFile(f"{path}: line {rows.line_num} is no sighting") from None
                    self.rows.append((int(at), customer.encode(), beacons.setdefault(beacon, beacon), int(rssi)))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise WrongFile(f"{path}: {error.strerror if isinstance(error, OSError) else 'no CSV in UTF-8'}") from None
        self.latest = max((row[0] for row in self.rows), default=0)

    @property
    def total(self) -> int | None:
        return None if self.repeat is None else self.repeat * len(self.rows)

    @property
    def exhausted(self) -> bool:
        return not self.rows or self.passes == self.repeat

    def hear(self, now: float) -> Heard:
        utc, steady = utc_us(), steady_us()
        if self.at == 0 and self.rebase:
            self.shift = utc - self.latest
        at, customer, beacon, rssi = self.rows[self.at]
        at += self.shift
        self.at += 1
        if self.at == len(self.rows):
            self.at, self.passes = 0, self.passes + 1
        return Heard(beacon, customer, rssi, at, at - utc + steady, now)


# -------------------------------------------------------------------------------------------------- 4. gateway

class State(enum.Enum):
    CLOSED = enum.auto()
    CONNECTING = enum.auto()
    GREETING = enum.auto()
    OPEN = enum.auto()
    DRAINING = enum.auto()
    LEAVING = enum.auto()


class Flight(enum.Enum):
    SENT = enum.auto()  # nothing known
    RECEIVED = enum.auto()  # the daemon has it
    ANSWERED = enum.auto()  # its record is on the way, or lost


@dataclass(slots=True)
class Held:
    """A frame that is kept until there are records of it and of all before it (R42)."""

    message: Sightings  # base_time is that of the first sighting, with AGES on the steady clock
    heard: list[Heard]
    frame: bytes
    recorded: bool = False  # in any session; what follows is of the present one
    flight: Flight = Flight.SENT
    ever_sent: bool = False
    sends: int = 0
    first_sent: float = 0.0
    last_sent: float = 0.0
    repeat_at: float = math.inf
    slow_wait: float = 0.0
    refused_busy: bool = False

    @property
    def sequence(self) -> int:
        return self.message.sequence

    def bytes_now(self) -> bytes:
        """The frame for a transmission at this moment: the same bytes, but for the age (R43, R64)."""
        if not self.message.ages:
            return self.frame
        age = max(0, steady_us() - self.message.base_time)
        return encode(dataclasses.replace(self.message, base_time=age))


class RetransmissionTimer:
    """RFC 6298, with the limits of R58."""

    LOWEST, HIGHEST = 0.2, 8.0

    def __init__(self) -> None:
        self.rto = 1.0
        self.srtt: float | None = None
        self.rttvar = 0.0
        self.doubled_at = -math.inf

    def sample(self, r: float) -> None:
        if self.srtt is None:
            self.srtt, self.rttvar = r, r / 2
        else:
            self.rttvar = 0.75 * self.rttvar + 0.25 * abs(self.srtt - r)
            self.srtt = 0.875 * self.srtt + 0.125 * r
        self.rto = min(max(self.srtt + 4 * self.rttvar, self.LOWEST), self.HIGHEST)

    def double(self, now: float) -> None:
        self.rto = min(2 * self.rto, self.HIGHEST)
        self.doubled_at = now


@dataclass(slots=True)
class Session:
    welcome: Welcome
    max_frame: int
    limit: int  # how many frames are kept in flight; over UDP it follows losses (R59)
    next_send: int
    flying: dict[int, Held] = field(default_factory=dict)  # in the order of their sequences
    records: int = 0
    since_growth: int = 0
    timer: RetransmissionTimer = field(default_factory=RetransmissionTimer)

    @property
    def idle(self) -> float:
        return self.welcome.idle_timeout_ms / 1_000

    @property
    def base(self) -> int:
        return next(iter(self.flying), self.next_send)


def doubling(step: int, first: float, highest: float) -> float:
    return min(first * 2 ** min(step, 30), highest)


class Gateway:
    FIRMWARE = "python-example 1.0"
    ACK_LEVEL = 0  # the daemon's default
    TCP_PATIENCE, UDP_PATIENCE = 10.0, 120.0  # until connected, until welcomed
    FIRST_PATIENCE = 30.0  # without any session in this time nobody is there
    VERSION_WAIT = 300.0
    STATUS_EVERY = 60.0
    GOODBYE_MS = 5_000
    LINGER = 0.1  # a frame that is not full waits for more as long as this
    MAX_WAITING = 100_000  # sightings
    LONGEST_SLEEP = 0.25  # so that signals are noticed

    def __init__(self, target: Target, gateway_id: str, source: CsvSource, batch: int = 64, in_flight: int = 64,
                 rate: float | None = None, ages: bool = False, seconds: float | None = None) -> None:
        self.target, self.gateway_id, self.source = target, gateway_id, source
        self.batch, self.in_flight, self.rate, self.ages = batch, in_flight, rate, ages
        self.selector = selectors.DefaultSelector()
        self.started = self.now = self.wake = time.monotonic()
        self.stop_at = self.started + seconds if seconds is not None else math.inf
        self.stopping = False
        self.stop_by: float | None = None
        # the numbering
        self.epoch = utc_us()  # R50
        self.next_sequence = 1
        self.held: dict[int, Held] = {}
        self.unrecorded = 0
        # what waits to be sent
        self.waiting: deque[Heard] = deque()
        self.later: list[tuple[float, int, Heard]] = []  # answered undecided, a heap by time
        # the connection
        self.state = State.CLOSED
        self.link: TcpLink | UdpLink | None = None
        self.session: Session | None = None
        self.connect_at = self.started
        self.attempts = self.failures = 0
        self.retry_after = 0.0
        self.deadline = self.hello_at = self.status_at = self.said_at = self.heard_at = 0.0
        self.hello: Hello | None = None
        self.hellos = 0
        self.hello_utc = 0
        self.pings: dict[int, int] = {}
        # the ledger
        self.heard = self.sent = self.acked = self.dropped = self.resent_frames = self.sessions = 0
        self.outcomes: Counter[str] = Counter()
        self.oddities: Counter[str] = Counter()

    # -- the loop

    def run(self) -> int:
        try:
            while True:
                self.now = time.monotonic()
                self.wake = self.now + self.LONGEST_SLEEP
                self.hear()
                self.step()
                if self.state is State.CLOSED and (self.stopping or self.done):
                    break
                if not self.sessions and self.source.repeat is not None and self.due(self.started + self.FIRST_PATIENCE):
                    self.tell("no session with the daemon; giving up")
                    break
                if self.link:
                    self.selector.modify(self.link.socket, self.link.events)
                for _, events in self.selector.select(max(0.0, self.wake - time.monotonic())):
                    self.now = time.monotonic()
                    self.on_events(events)
        finally:
            self.hang_up()
            self.selector.close()
        expected = self.sent if self.source.total is None else self.source.total
        if self.acked == expected and (self.sessions or self.done):
            return 0
        return 1 if self.sessions else 69

    def due(self, at: float) -> bool:
        if self.now >= at:
            return True
        self.wake = min(self.wake, at)
        return False

    @staticmethod
    def tell(text: str) -> None:
        print(f"gateway: {text}", file=sys.stderr, flush=True)

    @property
    def done(self) -> bool:
        return self.source.exhausted and not (self.waiting or self.later or self.unrecorded)

    @property
    def undecided(self) -> int:
        waiting = sum(1 for h in self.waiting if h.undecided) + len(self.later)
        return waiting + sum(1 for f in self.held.values() if not f.recorded for h in f.heard if h.undecided)

    def hear(self) -> None:
        """Takes sightings from the source: as they come with --rate, otherwise as there is room."""
        if self.due(self.stop_at):
            self.stopping = True
        while self.later and self.due(self.later[0][0]):
            self.waiting.appendleft(heapq.heappop(self.later)[2])
        while not self.stopping and not self.source.exhausted:
            if self.rate is not None:
                if not self.due(self.started + self.heard / self.rate):
                    break
                if len(self.waiting) + len(self.later) >= self.MAX_WAITING:
                    self.drop_oldest()
            elif len(self.waiting) >= 4 * self.batch or len(self.waiting) + len(self.later) >= self.MAX_WAITING:
                break
            self.waiting.append(self.source.hear(self.now))
            self.heard += 1

    def drop_oldest(self) -> None:
        """R22: what is in flight is not touched."""
        if self.later:
            heapq.heappop(self.later)
        else:
            self.waiting.popleft()
        self.dropped += 1

    def step(self) -> None:
        """What the time that has passed brings about."""
        try:
            if self.state is State.CLOSED:
                if not (self.stopping or self.done) and self.due(self.connect_at):
                    self.connect()
            elif self.state in (State.CONNECTING, State.GREETING):
                self.step_greeting()
            else:
                self.step_session()
        except LinkLost as error:
            self.lose(str(error))

    def on_events(self, events: int) -> None:
        link = self.link
        if link is None:
            return
        try:
            if self.state is State.CONNECTING:
                link.finish_connecting()
                self.greet()
                return
            if events & selectors.EVENT_WRITE:
                link.flush()
            if events & selectors.EVENT_READ:
                for message in link.receive():
                    self.on_message(message)
                    if self.link is not link:
                        break
        except LinkLost as error:
            self.lose(str(error))

    # -- opening

    def connect(self) -> None:
        self.attempts += 1
        try:
            kind = socket.SOCK_DGRAM if self.target.udp else socket.SOCK_STREAM
            found = socket.getaddrinfo(self.target.host, self.target.port, type=kind)
        except OSError as error:
            return self.lose(f"{self.target.host}: {error.strerror}")
        family, *_, address = found[(self.attempts - 1) % len(found)]
        self.link = (UdpLink if self.target.udp else TcpLink)(family, address)
        self.selector.register(self.link.socket, self.link.events)
        self.state = State.CONNECTING
        self.deadline = self.now + self.TCP_PATIENCE
        if self.link.datagrams:
            self.greet()

    def greet(self) -> None:
        first = next((s for s, held in self.held.items() if not held.recorded), self.next_sequence)  # R49
        for sequence in [s for s in self.held if s < first]:
            del self.held[sequence]
        self.hello = Hello(PROTOCOL_VERSION, PROTOCOL_VERSION, self.ACK_LEVEL, self.epoch, first,
                           secrets.token_bytes(32), self.gateway_id)
        self.hellos = 0
        self.state = State.GREETING
        self.deadline = self.now + (self.UDP_PATIENCE if self.target.udp else self.TCP_PATIENCE)
        self.send_hello()

    def send_hello(self) -> None:
        self.hello_utc = utc_us()
        self.say(self.hello)
        self.hello_at = self.now + doubling(self.hellos, 1.0, 30.0) * random.uniform(0.75, 1.25)  # R54
        self.hellos += 1

    def step_greeting(self) -> None:
        if self.stopping:
            self.hang_up()
        elif self.due(self.deadline):
            self.lose("no connection in time" if self.state is State.CONNECTING else "no welcome in time")
        elif self.target.udp and self.due(self.hello_at):
            self.send_hello()

    def on_welcome(self, welcome: Welcome) -> None:
        hello = self.hello
        if welcome.boot_epoch != hello.boot_epoch or welcome.client_random_echo != hello.client_random[:8]:
            self.oddities["another one's welcome"] += 1  # R13: dropped
            return
        if (not hello.min_version <= welcome.version <= hello.max_version or welcome.ack_level < hello.ack_level
                or not welcome.keeps_the_rules()):
            return self.lose("the welcome breaks the rules")
        if self.link.datagrams:
            self.link.session = welcome.session
        limit = welcome.max_frame_bytes
        if self.link.datagrams:
            limit = min(limit, welcome.max_datagram_bytes - DATAGRAM_HEADER.size)
        self.session = Session(welcome, limit, min(self.in_flight, welcome.window_frames), hello.first_unacked)
        self.sessions += 1
        self.state = State.OPEN
        self.heard_at = self.now
        self.pings.clear()
        if welcome.server_time and (not self.link.datagrams or self.hellos == 1):  # else: which hello does it answer?
            self.compare_clocks(welcome.server_time, self.hello_utc)
        too_large = any(len(f.frame) > limit or len(f.heard) > welcome.max_sightings for f in self.held.values())
        if too_large or self.next_sequence <= welcome.last_acked:  # R14, R51
            return self.leave("the frames at hand do not fit this daemon", new_epoch=True)
        self.status_at = self.now

    # -- an open session

    def step_session(self) -> None:
        session = self.session
        if self.due(self.heard_at + session.idle):  # R39
            return self.lose("the daemon is silent")
        if self.state is State.OPEN and self.due(self.status_at):
            self.status_at = self.now + self.STATUS_EVERY
            queued = len(session.flying) + math.ceil(len(self.waiting) / self.batch)
            self.say(GatewayStatus(int((self.now - self.started) * 1_000), utc_us(), queued, self.dropped,
                                   self.resent_frames, self.FIRMWARE))
        if self.state is State.OPEN:
            self.send_frames()
        if self.state is State.OPEN and self.may_leave():
            self.say(Goodbye(LEAVING, self.GOODBYE_MS))  # R34
            self.state = State.LEAVING
            self.deadline = self.now + self.GOODBYE_MS / 1_000
        if self.link.datagrams and self.state is not State.DRAINING:
            self.repeat_frames()
        asks = self.link.datagrams and self.state is State.DRAINING  # whether there is more to wait for (R37)
        if self.due(self.said_at + (min(1.0, session.idle / 3) if asks else session.idle / 3)):  # R38
            token = random.getrandbits(64)
            self.pings = {token: utc_us()}
            self.say(Ping(token, self.pings[token]))
        settled = all(held.recorded for held in session.flying.values())
        if self.state is State.LEAVING:
            settled = settled and not self.link.outbox
        if self.state is not State.OPEN and (settled or self.due(self.deadline)):
            if self.state is State.LEAVING:
                self.hang_up()
            else:
                self.lose("the daemon stops")

    def may_leave(self) -> bool:
        """Nothing is left to do; or it has to stop, and what it holds is on its way (R34), or that takes too long."""
        if self.stopping and self.stop_by is None:
            self.stop_by = self.now + self.GOODBYE_MS / 1_000
        return self.done or (self.stopping and (self.session.next_send not in self.held or self.due(self.stop_by)))

    def send_frames(self) -> None:
        """First transmissions of this session: what is held, in order, then new frames (R42, R44)."""
        session = self.session
        while (self.link.room and len(session.flying) < session.limit
               and session.next_send < session.base + session.welcome.window_frames):
            held = self.held.get(session.next_send)
            if held is None:
                if self.stopping or (held := self.build()) is None:
                    break
            session.next_send += 1
            session.flying[held.sequence] = held
            held.sends, held.first_sent, held.flight = 0, self.now, Flight.SENT
            self.transmit(held, session.timer.rto)

    def transmit(self, held: Held, wait: float) -> None:
        self.resent_frames += held.ever_sent
        held.ever_sent = True
        held.sends += 1
        held.refused_busy = False
        held.last_sent, held.repeat_at = self.now, self.now + wait
        self.link.send(held.bytes_now())
        self.said_at = self.now

    def build(self) -> Held | None:
        """A frame of what waits, or None if there is nothing, or not enough yet."""
        if not self.waiting:
            return None
        first = self.waiting[0]
        if not (len(self.waiting) >= self.batch or self.source.exhausted or first.sent
                or self.due(first.heard_at + self.LINGER)):
            return None
        most = min(self.batch, self.session.welcome.max_sightings)
        room = self.session.max_frame - HEADER.size - Sightings.LAYOUT.size
        ages = first.ages if first.sent else self.ages
        first.ages = ages
        base = min(first.moment, steady_us()) if ages else first.moment  # an age is never negative
        beacons: dict[Beacon, int] = {}
        heard: list[Heard] = []
        sightings: list[Sighting] = []
        while self.waiting and len(heard) < most:
            h = self.waiting[0]
            if h.sent and h.ages != ages:  # R65: what has been sent keeps its kind of time
                break
            h.ages = ages
            offset = h.moment - base
            size = h.size + (0 if h.beacon in beacons else Beacon.LAYOUT.size)
            if heard and not (I32_MIN <= offset <= I32_MAX) or size > room:
                break
            if h.beacon not in beacons and len(beacons) == 255:
                break
            room -= size
            index = beacons.setdefault(h.beacon, len(beacons))
            sightings.append(Sighting(index, h.rssi_dbm, min(offset, I32_MAX), h.customer_id))
            heard.append(self.waiting.popleft())
            self.sent += not h.sent
            h.sent = True
        message = Sightings(self.next_sequence, base, ages, tuple(beacons), tuple(sightings))
        held = self.held[self.next_sequence] = Held(message, heard, encode(message))
        self.next_sequence += 1
        self.unrecorded += 1
        return held

    def repeat_frames(self) -> None:
        """Over UDP: R59, R60, R61."""
        session, timer = self.session, self.session.timer
        for held in list(session.flying.values()):
            if not self.due(held.repeat_at):
                continue
            wait = timer.rto
            if held.flight is Flight.RECEIVED:
                wait = held.slow_wait = min(2 * held.slow_wait, 10.0)
            elif held.flight is Flight.SENT and not held.refused_busy:
                if held.last_sent >= timer.doubled_at:  # once for all that were in flight together
                    timer.double(self.now)
                    session.limit, session.since_growth = max(1, session.limit // 2), 0
                wait = timer.rto
            self.transmit(held, wait)

    # -- what the daemon says

    def on_message(self, message: Message) -> None:
        self.heard_at = self.now
        if isinstance(message, Unknown):
            self.oddities["unknown kind"] += 1  # R67: skipped
        elif isinstance(message, Refusal):
            self.on_refusal(message)
        elif self.state is State.GREETING and isinstance(message, Welcome):
            self.on_welcome(message)
        elif self.session is None or isinstance(message, (Welcome, Hello, Sightings, Preferences, GatewayStatus)):
            if not self.link.datagrams:  # R11
                return self.lose("the daemon sent a frame that is not its to send now")
            self.oddities["unexpected kind"] += 1
        elif isinstance(message, Ack):
            self.on_ack(message)
        elif isinstance(message, Pong):
            if (sent := self.pings.pop(message.token, None)) is not None and message.time:
                self.compare_clocks(message.time, sent)
        elif isinstance(message, Ping):
            self.say(Pong(message.token, utc_us()))  # R20
        elif isinstance(message, Goodbye) and self.state is not State.DRAINING:
            deadline = self.now + message.deadline_ms / 1_000
            self.deadline = min(self.deadline, deadline) if self.state is State.LEAVING else deadline
            self.state = State.DRAINING  # R37

    def on_ack(self, ack: Ack) -> None:
        session, timer = self.session, self.session.timer
        if self.link.datagrams:
            recorded = {record.sequence for record in ack.records}
            for sequence, held in session.flying.items():
                ahead = sequence - ack.cumulative - 1
                answered = ahead < 0
                arrived = answered or sequence in recorded or (ahead < 64 and ack.received >> ahead & 1)
                if not arrived or held.flight is Flight.ANSWERED:
                    continue
                if held.flight is Flight.SENT:
                    if held.sends == 1:  # Karn
                        timer.sample(self.now - held.first_sent)
                    held.flight = Flight.RECEIVED
                    held.slow_wait = max(2.0, timer.rto)
                    held.repeat_at = self.now + held.slow_wait
                if answered:
                    held.flight = Flight.ANSWERED
                    held.repeat_at = self.now + timer.rto
            for held in session.flying.values():  # R59: a shorter RTO counts for timers that run already
                if held.flight is Flight.SENT and not held.refused_busy:
                    held.repeat_at = min(held.repeat_at, held.last_sent + timer.rto)
        for record in ack.records:
            self.on_record(record)

    def on_record(self, record: Record) -> None:
        session = self.session
        held = session.flying.get(record.sequence)
        if held is None:
            self.oddities["a record again"] += 1
            return
        if not held.recorded:
            self.settle(held, record)
        del session.flying[record.sequence]
        session.records += 1
        self.failures = 0  # R30
        session.since_growth += 1
        if session.since_growth >= session.limit:  # R59
            session.since_growth = 0
            session.limit = min(session.limit + 1, self.in_flight, session.welcome.window_frames)
        while self.held and (lowest := next(iter(self.held))) < session.base:  # R42
            del self.held[lowest]

    def settle(self, held: Held, record: Record) -> None:
        """The first record of a frame: the end of its sightings, but for the undecided."""
        size = len(held.heard)
        undecided = [e.index for e in record.exceptions if e.code == UNDECIDED]
        if record.status == KNOWN_DURABLE and not record.exceptions and not any(record.counts):
            self.outcomes["known_durable"] += size
        elif (record.status != DECIDED or sum(record.counts) != size or len(undecided) != record.counts[UNDECIDED]
                or record.exceptions and record.exceptions[-1].index >= size):
            self.say(Goodbye(LEAVING, 0))
            raise LinkLost("the daemon's record does not fit its frame")  # R17
        else:
            for name, count in zip(OUTCOMES[1:], record.counts[1:]):
                if count:
                    self.outcomes[name] += count
            undecided_cut = random.uniform(0.5, 1.0)
            for index in undecided:  # R21: again, later, in a new frame
                h = held.heard[index]
                at = self.now + doubling(h.undecided, 1.0, 60.0) * undecided_cut
                h.undecided += 1
                heapq.heappush(self.later, (at, id(h), h))
            if record.counts[CLOCK_SKEW] and not self.ages:
                self.tell("the daemon finds sightings in its future; telling ages from now on")
                self.ages = True
        self.acked += size - (len(undecided) if record.status == DECIDED else 0)
        held.recorded = True
        self.unrecorded -= 1

    def on_refusal(self, refusal: Refusal) -> None:
        code, name = refusal.code, REFUSALS.get(refusal.code, f"code {refusal.code}")
        udp, wait = self.link.datagrams, refusal.retry_after_ms / 1_000
        text = "".join(c if c.isprintable() else "?" for c in refusal.text)
        why = f"refused as {name}" + (f": {text}" if text else "")
        self.oddities[f"refused: {name}"] += 1
        if udp and name == "busy":
            if self.session is None:
                self.hello_at = max(self.hello_at, self.now + wait)
            elif ((held := self.session.flying.get(refusal.sequence)) is not None
                    and held.flight is not Flight.ANSWERED):  # R61
                held.flight, held.refused_busy = Flight.SENT, True
                held.repeat_at = self.now + max(wait, self.session.timer.rto)
            return
        self.retry_after = wait
        if self.session is not None:
            if name in ("sequence_reused", "sequence_gap"):
                return self.leave(why, new_epoch=name == "sequence_reused", closed=not udp)
            if name in ("malformed", "oversize") and (held := self.refused_frame(refusal)):
                if name == "oversize" and len(held.heard) > 1:
                    self.batch = len(held.heard) // 2
                else:
                    self.leave_out(held)
                return self.leave(why, new_epoch=True, closed=not udp)
        if udp and code in ONE_DATAGRAM_ONLY:
            self.retry_after = 0.0
            return  # a timer repeats what was in it, if anything
        if name == "unknown_session" and self.session is not None and self.session.records:
            return self.lose(why, at_once=True)
        self.lose(why, at_least=self.VERSION_WAIT if name == "unsupported_version" else 0.0)

    def refused_frame(self, refusal: Refusal) -> Held | None:
        """Which frame a refusal of content is about (section 6)."""
        flying = self.session.flying
        if refusal.sequence or REFUSALS[refusal.code] == "malformed":
            return flying.get(refusal.sequence)
        return max(flying.values(), key=lambda held: len(held.frame), default=None)  # the first of equals

    def leave_out(self, held: Held) -> None:
        """What the daemon cannot read is not sent again."""
        if not held.recorded:
            held.recorded = True
            self.unrecorded -= 1
            self.dropped += len(held.heard)
            self.tell(f"{len(held.heard)} sightings left out: the daemon does not take them")

    def compare_clocks(self, daemons: int, sent: int) -> None:
        """R65."""
        difference = daemons - (sent + utc_us()) // 2
        if abs(difference) > 1_000_000 and not self.ages:
            self.tell(f"the clock here differs from the daemon's by {difference / 1e6:+.1f} s; telling ages from now on")
            self.ages = True

    # -- ending

    def say(self, message: Message) -> None:
        self.link.send(encode(message))
        self.said_at = self.now

    def leave(self, why: str, new_epoch: bool, closed: bool = False) -> None:
        """R34: out of a session before its time; a daemon that still has it is told so."""
        if not closed:
            self.say(Goodbye(LEAVING, 0))
        if new_epoch:
            self.start_epoch()
        self.lose(why)

    def start_epoch(self) -> None:
        """R51: a new numbering, what has no record in new frames."""
        self.epoch = max(self.epoch + 1, utc_us())
        for held in reversed(self.held.values()):
            if not held.recorded:
                self.waiting.extendleft(reversed(held.heard))
        self.held.clear()
        self.next_sequence, self.unrecorded = 1, 0

    def hang_up(self) -> None:
        if self.link is not None:
            if isinstance(self.link, UdpLink):
                self.oddities.update({f"dropped datagram: {k}": n for k, n in self.link.dropped.items()})
            self.selector.unregister(self.link.socket)
            self.link.close()
        self.link = self.session = None
        self.state = State.CLOSED

    def lose(self, why: str, at_once: bool = False, at_least: float = 0.0) -> None:
        """The session, or the attempt at one, is over; there may be another one (R30)."""
        self.hang_up()
        if at_once:
            self.connect_at = self.now + self.retry_after
        else:
            wait = doubling(self.failures, 1.0, 60.0) * random.uniform(0.5, 1.0)
            self.connect_at = self.now + max(wait, self.retry_after, at_least)
            self.failures += 1
        self.retry_after = 0.0  # it is for one wait (R30)
        if not (self.stopping or self.done):
            self.tell(f"{why}; next attempt in {self.connect_at - self.now:.1f} s")

    def report(self, out=sys.stdout) -> dict:
        outcomes = {name: self.outcomes[name] for name in (*OUTCOMES[1:], "known_durable") if self.outcomes[name]}
        if self.undecided:
            outcomes["undecided"] = self.undecided
        print(f"sent {self.sent}, acknowledged {self.acked} in {time.monotonic() - self.started:.1f} s; sessions "
              f"{self.sessions}, frames sent again {self.resent_frames}, sightings dropped {self.dropped}", file=out)
        for name, count in outcomes.items():
            print(f"  {name:<16}{count:>10}", file=out)
        for name, count in sorted(self.oddities.items()):
            print(f"  ({name}: {count})", file=out)
        return {"sent": self.sent, "acked": self.acked, "outcomes": outcomes}


# --------------------------------------------------------------------------------------------- 5. command line

class Target(NamedTuple):
    udp: bool
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Target:
        url = urllib.parse.urlsplit(text)
        try:
            port = url.port
        except ValueError:
            port = None
        if url.scheme not in ("tcp", "udp") or not url.hostname or not port or url.path or url.query:
            raise argparse.ArgumentTypeError("a target is tcp://HOST:PORT or udp://HOST:PORT")
        return cls(url.scheme == "udp", url.hostname, port)


class Arguments(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        self.print_usage(sys.stderr)
        self.exit(64, f"{self.prog}: {message}\n")


def at_least(kind: type, lowest: float):
    def parse(text: str):
        value = kind(text)
        if not lowest <= value < math.inf:
            raise argparse.ArgumentTypeError(f"must be {lowest} or more")
        return value
    return parse


def an_id(text: str) -> str:
    if not gateway_id_is_right(text):
        raise argparse.ArgumentTypeError("a gateway id has 1 to 64 bytes of UTF-8 and no control characters")
    return text


def main(arguments: list[str] | None = None) -> int:
    parser = Arguments(description="Sends the sightings of a CSV file to a daemon of the beacon protocol.")
    parser.add_argument("file", metavar="FILE.csv")
    parser.add_argument("--target", default=os.environ.get("BEACOND_TARGET"), type=Target.parse,
                        help="tcp://HOST:PORT or udp://HOST:PORT; default: $BEACOND_TARGET")
    parser.add_argument("--gateway-id", default="python-gateway", type=an_id)
    parser.add_argument("--rebase", action="store_true", help="shift all times so that the latest is now")
    parser.add_argument("--batch", default=64, type=at_least(int, 1), help="sightings in a frame, at most")
    parser.add_argument("--in-flight", default=64, type=at_least(int, 1), help="frames without a record, at most")
    parser.add_argument("--rate", type=at_least(float, 0.001), help="sightings a second")
    times = parser.add_mutually_exclusive_group()
    times.add_argument("--repeat", default=1, type=at_least(int, 1), help="send the file so many times")
    times.add_argument("--forever", action="store_true")
    parser.add_argument("--ages", action="store_true", help="tell ages instead of times, as without a clock")
    parser.add_argument("--json", metavar="F", help="write the result to this file")
    parser.add_argument("--seconds", type=at_least(float, 0), help="stop after so long")
    options = parser.parse_args(arguments)
    if options.target is None:
        parser.error("no --target, and BEACOND_TARGET is not set")
    try:
        source = CsvSource(options.file, options.rebase, None if options.forever else options.repeat)
    except WrongFile as error:
        parser.error(str(error))
    gateway = Gateway(options.target, options.gateway_id, source, min(options.batch, 4_096), options.in_flight,
                      options.rate, options.ages, options.seconds)

    def stop(number: int, _frame: object) -> None:
        gateway.stopping = True
        signal.signal(number, signal.SIG_DFL)  # a second one does not wait

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    code = gateway.run()
    result = gateway.report()
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(result, file)
            file.write("\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
