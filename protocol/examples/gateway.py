#!/usr/bin/env python3
"""A gateway in Python, from the specification alone: standard library only, one thread, TCP and UDP.

    python3 gateway.py tracks.csv --target tcp://127.0.0.1:7400 --rebase

The rules it keeps are named where it keeps them (R..., see ../SPEC.md). It is written to be read and ported: the codec first,
then what both transports share, then each transport, then the command line.
"""

import argparse
import csv
import json
import os
import random
import select
import socket
import struct
import sys
import time
import uuid
from collections import OrderedDict, deque

MAGIC, DATAGRAM_MAGIC, VERSION = 0xBEAC, 0xBEAD, 1
HELLO, WELCOME, SIGHTINGS, ACK, REFUSAL = 0x81, 0x82, 0x83, 0x84, 0x85
PING, PONG, GOODBYE, PREFERENCES, STATUS = 0x86, 0x87, 0x88, 0x89, 0x0A
MAX_FRAME, HEADER, DATAGRAM_HEADER = 65_536, 12, 20
OUTCOMES = ("undecided invalid clock_skew too_old unknown_beacon beacon_mismatch beacon_inactive forbidden "
            "low_confidence duplicate identified").split()
# Refusals that end a session on UDP; on TCP all but `busy` do (section 6).
ENDS_SESSION = {4, 7, 8, 9, 10, 12, 16}
MALFORMED, BAD_CHECKSUM, OVERSIZE, UNKNOWN_SESSION, BUSY, SEQUENCE_REUSED = 1, 2, 3, 7, 11, 13
KNOWN_REFUSALS = range(1, 19)


# ---------------------------------------------------------------- the codec

def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _crc_table()


def crc32c(data, crc=0):
    """The Castagnoli CRC of section 2; goes on from `crc`."""
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


class Unsound(Exception):
    """A frame that breaks the format: R2, R4."""


def frame(kind, body):
    head = struct.pack(">HBBI", MAGIC, VERSION, kind, len(body))
    return head + struct.pack(">I", crc32c(body, crc32c(head))) + body


def deframe(data):
    """The first frame of a stream: (kind, body, bytes consumed); None while it is not whole. Checks as R2 orders them."""
    if len(data) >= 2 and struct.unpack_from(">H", data)[0] != MAGIC:
        raise Unsound("magic")
    if len(data) >= 3 and data[2] != VERSION:
        raise Unsound("version")
    if len(data) < 8:
        return None
    length = struct.unpack_from(">I", data, 4)[0]
    if length > MAX_FRAME - HEADER:
        raise Unsound("length")
    if len(data) < HEADER + length:
        return None
    body = bytes(data[HEADER:HEADER + length])
    if struct.unpack_from(">I", data, 8)[0] != crc32c(body, crc32c(data[:8])):
        raise Unsound("checksum")
    return data[3], body, HEADER + length


def unpack(layout, body, offset=0, whole=False):
    """Fields of a body; one that ends inside a field, or goes on behind the last, is unsound (R4)."""
    size = struct.calcsize(layout)
    if len(body) < offset + size or whole and len(body) != offset + size:
        raise Unsound("body")
    return struct.unpack_from(layout, body, offset)


def hello(gateway_id, epoch, first_unacked, client_random):
    name = gateway_id.encode()
    return frame(HELLO, struct.pack(">BBBBQQ32sB", 1, 1, 0, 0, epoch, first_unacked, client_random, len(name))
                 + name + struct.pack(">BH", 0, 0))


class Welcome:
    """Section 4.2, with the values that R13 asks of it."""

    def __init__(self, body):
        (self.version, self.level, flags, reserved, self.session, self.epoch, self.last_acked, self.echo, self.window,
         self.max_frame, self.max_datagram, self.max_sightings, self.idle_ms, self.server_time, _) = unpack(
            ">BBBBQQQ8sIIHHIq32s", body, whole=True)
        if flags or reserved or not self.version or self.level not in (1, 2) or not self.window:
            raise Unsound("welcome")
        self.is_lawful = (self.version == 1 and self.session != 0 and 1_024 <= self.max_frame <= MAX_FRAME
                          and 576 <= self.max_datagram <= 65_507 and 1 <= self.max_sightings <= 4_096
                          and self.idle_ms >= 1_000)


def sightings_frame(sequence, sightings, age_us=None):
    """Sightings are (detected_at_us, customer id, (uuid, major, minor), rssi). With an age, the base is told as one."""
    beacons = list(OrderedDict.fromkeys(beacon for _, _, beacon, _ in sightings))
    index = {beacon: number for number, beacon in enumerate(beacons)}
    base = sightings[0][0]
    body = [struct.pack(">QqBBH", sequence, base if age_us is None else age_us, age_us is not None, len(beacons), len(sightings))]
    body += [struct.pack(">16sHH", *beacon) for beacon in beacons]
    for at, customer, beacon, rssi in sightings:
        body.append(struct.pack(">BbiB", index[beacon], rssi, at - base, len(customer)) + customer)
    return frame(SIGHTINGS, b"".join(body))


def fit(sightings, most, room):
    """How many of the first sightings go into a frame of at most `room` bytes."""
    size, beacons = HEADER + 20, set()
    for count, (at, customer, beacon, _) in enumerate(sightings):
        size += 7 + len(customer) + (0 if beacon in beacons else 20)
        beacons.add(beacon)
        too_far = abs(at - sightings[0][0]) >= 2**31
        if count == most or count and (size > room or len(beacons) > 255 or too_far):
            return count
    return len(sightings)


def ack(body):
    """(cumulative, bitmap, records); a record is (sequence, status, dead lettered, counts, exceptions)."""
    cumulative, received, count = unpack(">QQH", body)
    offset, records = 18, []
    for _ in range(count):
        sequence, status, reserved, dead, *counts, exceptions = unpack(">QBBH11HH", body, offset)
        if not sequence or status > 4 or reserved:
            raise Unsound("record")
        listed = [unpack(">HBB", body, offset + 36 + 4 * number) for number in range(exceptions)]
        if any(code > 7 for _, code, _ in listed) or any(a[0] >= b[0] for a, b in zip(listed, listed[1:])):
            raise Unsound("exceptions")
        offset += 36 + 4 * exceptions
        records.append((sequence, status, dead, counts, listed))
    if offset != len(body):
        raise Unsound("ack")
    return cumulative, received, records


def refusal(body):
    """(sequence, code, retry after in seconds, text)."""
    sequence, code, retry_ms, length = unpack(">QHIB", body)
    text = body[15:]
    if not code or len(text) != length:
        raise Unsound("refusal")
    return sequence, code, retry_ms / 1_000, text.decode("utf-8", "replace")


# ---------------------------------------------------------------- what both transports share

def waits(first, most):
    """Doubling waits, each cut by a random part of up to a half (R21, R30)."""
    wait = first
    while True:
        yield wait * random.uniform(0.5, 1.0)
        wait = min(wait * 2, most)


class Frame:
    """A frame that is kept until its record is there (R17), and those of all before it (R42)."""

    def __init__(self, sightings, data, tries, heard_at):
        self.sightings, self.data, self.tries, self.heard_at = sightings, data, tries, heard_at
        self.has_record = False      # from any session: R49
        self.in_session = False      # its record came in this session: the window counts by it
        self.sent_at = self.first_sent_at = None
        self.sends = 0
        self.received = False        # the bitmap told of it
        self.answered = False        # the cumulative number told of it, the record is missing
        self.not_before = 0.0        # busy
        self.slow = 2.0


class Stop(Exception):
    """Nobody is there, or nobody wants us: the exit code and why."""

    def __init__(self, code, why):
        super().__init__(why)
        self.code = code


class Gateway:
    """Numbering, frames without records, what is to be sent again, and the counts."""

    def __init__(self, options, source):
        self.options, self.source = options, source
        self.new_epoch()
        self.again = []                       # (due, tries, sightings): undecided
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.sent = self.acked = self.repeated = 0
        self.backoff, self.wait_until, self.refused = waits(1, 60), 0.0, None
        self.welcome, self.rtt = None, Rtt()
        self.started, self.resent, self.leaving = time.monotonic(), 0, False
        self.deadline = self.started + options.seconds if options.seconds else None

    def new_epoch(self):
        """R50, R51."""
        self.epoch = random.getrandbits(64)
        self.next_sequence, self.frames = 1, OrderedDict()

    def begin_again(self, sightings_of):
        """R51: what has no record goes into new frames of a new epoch."""
        held = [(kept.sightings, kept.tries) for kept in self.frames.values() if not kept.has_record]
        self.new_epoch()
        self.again += [(0.0, tries, part) for held_part, tries in held for part in sightings_of(held_part)]

    def first_unacked(self):
        """The lowest sequence without a record from any session (R49); frames before it are not kept."""
        while self.frames:
            sequence, kept = next(iter(self.frames.items()))
            if not kept.has_record:
                return sequence
            del self.frames[sequence]
        return self.next_sequence

    def base(self):
        """The lowest sequence whose record is missing in this session (R44)."""
        return next((sequence for sequence, kept in self.frames.items() if not kept.in_session), self.next_sequence)

    def is_done(self):
        return self.source.is_over() and not self.again and all(kept.has_record for kept in self.frames.values())

    def room(self):
        on_their_way = sum(not kept.in_session for kept in self.frames.values())
        in_window = self.next_sequence < self.base() + self.welcome.window
        return in_window and on_their_way < self.options.in_flight

    def next_frame(self, now, room):
        """A new frame, if there is one to send: first what was undecided and has waited (R21)."""
        most = min(self.options.batch, self.welcome.max_sightings)
        due = next((entry for entry in self.again if entry[0] <= now), None)
        if due:
            self.again.remove(due)
            _, tries, sightings = due
            taken = fit(sightings, most, room)
            if taken < len(sightings):
                self.again.append((now, tries, sightings[taken:]))
            sightings = sightings[:taken]
        else:
            sightings, tries = self.source.take(now, most, room), 0
            self.sent += len(sightings)
        if not sightings:
            return None
        heard_at = self.source.heard_at(sightings[0][0])
        data = sightings_frame(self.next_sequence, sightings, 0 if self.options.ages else None)
        kept = self.frames[self.next_sequence] = Frame(sightings, data, tries, heard_at)
        self.next_sequence += 1
        return kept

    def data_of(self, kept, now):
        """The frame byte for byte, but for its age, which is taken anew (R43, R64)."""
        if not self.options.ages:
            return kept.data
        body = bytearray(kept.data[HEADER:])
        struct.pack_into(">q", body, 8, max(0, int((now - kept.heard_at) * 1e6)))
        return frame(SIGHTINGS, bytes(body))

    def take_record(self, record, now):
        sequence, status, _, counts, exceptions = record
        kept = self.frames.get(sequence)
        if kept is None or kept.in_session:
            return
        kept.in_session = True
        # Only a record sets the waits back (R30).
        self.backoff, self.refused = waits(1, 60), None
        if kept.has_record:
            return
        kept.has_record = True
        undecided = [kept.sightings[index] for index, code, _ in exceptions if code == 0 and index < len(kept.sightings)]
        if status == 1:
            self.acked += len(kept.sightings)
            self.repeated += len(kept.sightings)
        else:
            self.acked += len(kept.sightings) - len(undecided)
            for name, count in zip(OUTCOMES, counts):
                self.outcomes[name] += count
        if undecided:
            wait = min(2 ** kept.tries, 60) * random.uniform(0.5, 1.0)
            self.again.append((now + wait, kept.tries + 1, undecided))

    def failed(self, retry_after=0.0):
        """The next attempt waits (R30)."""
        self.wait_until = time.monotonic() + max(next(self.backoff), retry_after)

    def refusal_ends(self, code, text, retry_after):
        """What a refusal that ends the session means for the next one (section 6)."""
        self.refused = f"refused ({code}): {text}"
        if code == SEQUENCE_REUSED or code == MALFORMED:
            self.begin_again(lambda part: [part])
        if code == OVERSIZE:
            self.begin_again(lambda part: [part[:len(part) // 2], part[len(part) // 2:]] if len(part) > 1 else [part])
        self.failed(max(retry_after, 300.0 if code == 4 else 0.0))

    def is_welcome(self, welcome, client_random):
        """R13: another hello's is dropped (False); an unlawful one is left (Unsound)."""
        if welcome.epoch != self.epoch or welcome.echo != client_random[:8]:
            return False
        if not welcome.is_lawful:
            raise Unsound("welcome")
        if welcome.last_acked >= self.next_sequence:
            self.begin_again(lambda part: [part])
            raise Unsound("the daemon knows another numbering")
        self.welcome = welcome
        for kept in self.frames.values():
            kept.in_session = kept.received = kept.answered = False
            kept.sent_at = kept.first_sent_at = None
            kept.sends, kept.not_before, kept.slow = 0, 0.0, 2.0
        return True

    def status(self):
        """Section 4.9; once after the welcome and once a minute."""
        uptime = int((time.monotonic() - self.started) * 1_000)
        name = b"gateway.py"
        return frame(STATUS, struct.pack(">QqIQQB", uptime, time.time_ns() // 1_000, min(len(self.again), 2**32 - 1), 0,
                                         self.resent, len(name)) + name)

    def is_out_of_time(self, now):
        return self.deadline is not None and now >= self.deadline


class Rtt:
    """RFC 6298, kept within 200 ms and 8 s (R58)."""

    def __init__(self):
        self.srtt = self.var = None
        self.rto, self.doubled_at = 1.0, 0.0

    def sample(self, took):
        if self.srtt is None:
            self.srtt, self.var = took, took / 2
        else:
            self.var += (abs(self.srtt - took) - self.var) / 4
            self.srtt += (took - self.srtt) / 8
        self.rto = min(max(self.srtt + 4 * self.var, 0.2), 8.0)

    def expired(self, sent_at, now):
        """Doubles, once for all that were on their way together (R59)."""
        if sent_at > self.doubled_at:
            self.rto, self.doubled_at = min(self.rto * 2, 8.0), now


class Source:
    """The sightings of a file, at a rate if one is given, over and over if asked."""

    def __init__(self, path, options):
        with open(path, newline="", encoding="utf-8") as file:
            self.all = [(int(row["detected_at_unix_us"]), row["customer_id"].encode(),
                         (uuid.UUID(row["beacon_uuid"]).bytes, int(row["major"]), int(row["minor"])), int(row["rssi_dbm"]))
                        for row in csv.DictReader(file)]
        if options.rebase and self.all:
            shift = time.time_ns() // 1_000 - max(sighting[0] for sighting in self.all)
            self.all = [(at + shift, *rest) for at, *rest in self.all]
        self.options, self.next, self.rounds = options, 0, 1
        self.started, self.taken, self.stopped = time.monotonic(), 0, False
        # The two clocks at one moment: ages are told by the monotonic one.
        self.clocks = time.time_ns() // 1_000, time.monotonic()

    def heard_at(self, at_us):
        return self.clocks[1] + (at_us - self.clocks[0]) / 1e6

    def is_over(self):
        rounds = None if self.options.forever else self.options.repeat
        return self.stopped or not self.all or self.next == len(self.all) and rounds is not None and self.rounds >= rounds

    def take(self, now, most, room):
        if self.is_over():
            return []
        if self.next == len(self.all):
            self.next, self.rounds = 0, self.rounds + 1
        rest = self.all[self.next:self.next + most]
        if self.options.rate:
            allowed = int((now - self.started) * self.options.rate) - self.taken
            rest = rest[:max(allowed, 0)]
        taken = rest[:fit(rest, most, room)] if rest else []
        self.next += len(taken)
        self.taken += len(taken)
        return taken


# ---------------------------------------------------------------- sessions

class Session:
    """What is the same over TCP and UDP once the welcome is there."""

    def __init__(self, gateway, address):
        self.gateway, self.address = gateway, address
        self.client_random = os.urandom(32)
        now = time.monotonic()
        self.heard_at = self.spoke_at = self.status_at = now
        self.is_open = self.is_draining = self.is_over = False
        self.leave_by = None

    def handle(self, kind, body, now):
        """A sound frame."""
        self.heard_at = now
        gateway = self.gateway
        if kind == WELCOME and not self.is_open:
            welcome = Welcome(body)
            if gateway.is_welcome(welcome, self.client_random):
                self.is_open = True
                self.opened(welcome)
                self.send(gateway.status(), now)
        elif kind == ACK and self.is_open:
            self.acked(*ack(body), now)
        elif kind == REFUSAL:
            self.refused(*refusal(body), now)
        elif kind == PING and self.is_open:
            token, _ = unpack(">Qq", body, whole=True)
            self.send(frame(PONG, struct.pack(">Qq", token, time.time_ns() // 1_000)), now)     # R20
        elif kind == PONG and self.is_open:
            unpack(">Qq", body, whole=True)
        elif kind == GOODBYE and self.is_open:
            reason, deadline_ms = unpack(">BI", body, whole=True)
            if reason not in (1, 2):
                raise Unsound("goodbye")
            self.is_draining = True                                                             # R37
            self.leave_by = min(self.leave_by or now + 60, now + deadline_ms / 1_000)
        elif kind in (WELCOME, ACK, PING, PONG, GOODBYE, HELLO, SIGHTINGS, PREFERENCES, STATUS):
            self.unexpected()                                                                   # R11
        elif kind & 0x80:
            raise Unsound("unknown critical kind")                                              # R67

    def tick(self, now):
        """What time brings: pings, silence, new frames, the end."""
        gateway = self.gateway
        idle = gateway.welcome.idle_ms / 1_000
        if now - self.heard_at >= idle:                                                         # R39
            self.is_over = True
            return gateway.failed()
        if now - self.spoke_at >= idle / 3:                                                     # R38
            self.send(frame(PING, struct.pack(">Qq", random.getrandbits(64), time.time_ns() // 1_000)), now)
        if now - self.status_at >= 60:
            self.status_at = now
            self.send(gateway.status(), now)
        if gateway.is_out_of_time(now):
            gateway.source.stopped = True
        if not self.is_draining and not gateway.leaving:
            while gateway.room():
                kept = gateway.next_frame(now, self.frame_room())
                if kept is None:
                    break
                self.transmit(kept, now)
        all_there = all(kept.in_session for kept in gateway.frames.values())
        if gateway.is_done() and all_there and not self.is_draining and not gateway.leaving:
            gateway.leaving = True                                                              # R34
            self.send(frame(GOODBYE, struct.pack(">BI", 2, 1_000)), now)
            self.is_over = True
        elif self.is_draining and (all_there or now >= self.leave_by):
            self.is_over = True
            gateway.failed()

    def transmit(self, kept, now):
        kept.sends += 1
        kept.sent_at = now
        kept.first_sent_at = kept.first_sent_at or now
        if kept.sends > 1:
            self.gateway.resent += 1
        self.send(self.gateway.data_of(kept, now), now)

    def acked(self, cumulative, received, records, now):
        for record in records:
            self.gateway.take_record(record, now)


class TcpSession(Session):
    """Section 9."""

    def __init__(self, gateway, address):
        super().__init__(gateway, address)
        self.socket = socket.create_connection(address, timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.input, self.output = bytearray(), bytearray()
        self.begun_at = time.monotonic()
        self.send(hello(gateway.options.gateway_id, gateway.epoch, gateway.first_unacked(), self.client_random), self.begun_at)

    def frame_room(self):
        return self.gateway.welcome.max_frame

    def send(self, data, now):
        self.output += data
        self.spoke_at = now

    def opened(self, welcome):
        now = time.monotonic()
        for kept in self.gateway.frames.values():                                               # R49
            self.transmit(kept, now)

    def unexpected(self):
        raise Unsound("unexpected kind")

    def refused(self, sequence, code, retry_after, text, now):
        self.is_over = True
        self.gateway.refusal_ends(code, text, retry_after)

    def turn(self, wait):
        """Waits for something, and deals with it."""
        wants_out = [self.socket] if self.output else []
        readable, writable, _ = select.select([self.socket], wants_out, [], wait)
        now = time.monotonic()
        if writable:
            del self.output[:self.socket.send(self.output)]
        if readable:
            data = self.socket.recv(65_536)
            if not data:
                raise ConnectionError("the daemon closed")
            self.input += data
            while not self.is_over and (found := deframe(self.input)):
                kind, body, consumed = found
                del self.input[:consumed]
                self.handle(kind, body, now)
        if self.is_open and not self.is_over:
            # What waits in the send buffer is bounded by the window; nothing is added to a full one.
            self.tick(now)
        elif not self.is_open and not self.is_over and now - self.begun_at > 10:
            raise ConnectionError("no welcome")

    def close(self):
        self.socket.settimeout(1)
        try:
            self.socket.sendall(self.output)
            self.socket.shutdown(socket.SHUT_WR)
            while self.socket.recv(65_536):
                pass
        except OSError:
            pass
        self.socket.close()


class UdpSession(Session):
    """Section 10."""

    def __init__(self, gateway, address):
        super().__init__(gateway, address)
        family = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
        self.socket = socket.socket(family[0], socket.SOCK_DGRAM)
        self.socket.connect(family[4])                                                          # R29: from nobody else
        self.packet = self.session = 0
        self.most = 1_200
        self.in_flight = gateway.options.in_flight
        self.begun_at, self.hello_wait = time.monotonic(), 1.0
        self.hello = hello(gateway.options.gateway_id, gateway.epoch, gateway.first_unacked(), self.client_random)
        self.say_hello(self.begun_at)

    def say_hello(self, now):
        """R54: the same frame, a fresh packet number."""
        self.send(self.hello, now)
        self.hello_at = now + self.hello_wait * random.uniform(0.75, 1.25)
        self.hello_wait = min(self.hello_wait * 2, 30.0)

    def frame_room(self):
        """A datagram, with 16 bytes left free for a seal (R9)."""
        return min(self.gateway.welcome.max_frame, self.most - DATAGRAM_HEADER - 16)

    def send(self, data, now):
        self.packet += 1                                                                        # R5
        header = struct.pack(">HBBQQ", DATAGRAM_MAGIC, 0, 0, self.session, self.packet)
        try:
            self.socket.send(header + data)
        except OSError:
            pass        # as good as lost on the way
        self.spoke_at = now

    def opened(self, welcome):
        self.most = welcome.max_datagram
        for kept in self.gateway.frames.values():
            self.transmit(kept, time.monotonic())

    def unexpected(self):
        pass        # dropped (R11)

    def refused(self, sequence, code, retry_after, text, now):
        gateway = self.gateway
        if code == BUSY and not self.is_open:
            self.hello_at = max(self.hello_at, now + retry_after)
        elif code == BUSY:
            kept = gateway.frames.get(sequence)
            if kept:                                                                            # R61
                kept.received = kept.answered = False
                kept.not_before = now + max(retry_after, gateway.rtt.rto)
        elif code == UNKNOWN_SESSION:
            self.is_over = True
            if not any(kept.in_session for kept in gateway.frames.values()):
                gateway.failed(retry_after)
        elif code in ENDS_SESSION or code not in KNOWN_REFUSALS:
            self.is_over = True
            gateway.refusal_ends(code, text, retry_after)
        elif code in (SEQUENCE_REUSED, MALFORMED, OVERSIZE):
            self.is_over = True
            gateway.refusal_ends(code, text, retry_after)

    def acked(self, cumulative, received, records, now):
        rtt = self.gateway.rtt
        told = {record[0] for record in records}
        for sequence, kept in self.gateway.frames.items():
            behind = sequence - cumulative - 1
            is_there = sequence <= cumulative or 0 <= behind < 64 and received >> behind & 1 or sequence in told
            if is_there and not kept.received and not kept.answered and not kept.in_session:
                if kept.sends == 1 and kept.first_sent_at:
                    rtt.sample(now - kept.first_sent_at)                                        # R58, Karn
                kept.received = True
            if sequence <= cumulative:
                kept.answered = True
        before = sum(kept.in_session for kept in self.gateway.frames.values())
        super().acked(cumulative, received, records, now)
        grown = sum(kept.in_session for kept in self.gateway.frames.values()) - before
        self.in_flight = min(self.in_flight + grown / max(self.in_flight, 1), self.gateway.options.in_flight)

    def repeat(self, now):
        """Section 10.3."""
        rtt = self.gateway.rtt
        for kept in self.gateway.frames.values():
            if kept.in_session or kept.sent_at is None or now < kept.not_before:
                continue
            waited = now - kept.sent_at
            if kept.not_before > kept.sent_at:                                                  # R61: that wait is no expiry
                self.transmit(kept, now)
            elif kept.answered and waited >= rtt.rto:                                           # R60
                self.transmit(kept, now)
            elif kept.received and not kept.answered and waited >= max(kept.slow, rtt.rto):
                kept.slow = min(kept.slow * 2, 10.0)
                self.transmit(kept, now)
            elif not kept.received and not kept.answered and waited >= rtt.rto:                 # R59
                before = rtt.doubled_at
                rtt.expired(kept.sent_at, now)
                if rtt.doubled_at != before:
                    self.in_flight = max(self.in_flight / 2, 1)
                self.transmit(kept, now)

    def turn(self, wait):
        readable, _, _ = select.select([self.socket], [], [], wait)
        now = time.monotonic()
        if readable:
            try:
                self.take(self.socket.recv(65_536), now)
            except (Unsound, ConnectionError):
                pass        # dropped (section 1)
        if self.is_over:
            return
        if self.is_open:
            if not self.is_draining:
                self.repeat(now)
            most, self.gateway.options.in_flight = self.gateway.options.in_flight, max(int(self.in_flight), 1)
            self.tick(now)
            self.gateway.options.in_flight = most
        elif now - self.begun_at > 120:
            raise ConnectionError("no welcome")
        elif now >= self.hello_at:
            self.say_hello(now)

    def take(self, data, now):
        magic, flags, reserved, session, packet = unpack(">HBBQQ", data)
        if magic != DATAGRAM_MAGIC or flags or reserved or not packet or len(data) > self.most:  # R6, R7, R9
            return
        found = deframe(data[DATAGRAM_HEADER:])
        if not found or found[2] != len(data) - DATAGRAM_HEADER:                                # R8
            return
        kind, body, _ = found
        if self.is_open and session != self.session:                                            # R29
            return
        if not self.is_open:
            if kind == WELCOME and Welcome(body).session != session:
                return
            if kind == WELCOME:
                self.session = session
            elif kind != REFUSAL or session != 0:
                return
        self.handle(kind, body, now)
        if kind == WELCOME and not self.is_open:
            self.session = 0

    def close(self):
        self.socket.close()


# ---------------------------------------------------------------- the command

def serve(gateway, transport, address):
    """Session after session until everything has its record."""
    session = None
    connected = False
    try:
        while not gateway.is_done():
            now = time.monotonic()
            if now < gateway.wait_until:
                time.sleep(min(gateway.wait_until - now, 0.5))
            if gateway.is_out_of_time(time.monotonic()):
                gateway.source.stopped = True
                if time.monotonic() > gateway.deadline + 10:
                    return
            if time.monotonic() < gateway.wait_until:
                continue
            gateway.leaving = False
            try:
                session = transport(gateway, address)
                while not session.is_over:
                    session.turn(0.02)
                    connected = connected or session.is_open
            except (OSError, Unsound) as error:
                gateway.refused = gateway.refused or str(error)
                gateway.failed()
            if not connected and gateway.options.give_up and gateway.refused:
                raise Stop(69, gateway.refused)
            if session:
                session.close()
            session = None
    except KeyboardInterrupt:
        if session and session.is_open:
            session.send(frame(GOODBYE, struct.pack(">BI", 2, 1_000)), time.monotonic())
            session.close()
        raise


def target(text):
    scheme, separator, rest = text.partition("://")
    host, _, port = rest.rpartition(":")
    if not separator or scheme not in ("tcp", "udp") or not host or not port.isdigit():
        raise argparse.ArgumentTypeError("tcp://HOST:PORT or udp://HOST:PORT is wanted")
    return scheme, (host.strip("[]"), int(port))


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(64, f"{self.prog}: {message}\n")


def arguments():
    parser = Parser(description="Sends recorded sightings to a beacon daemon.")
    parser.add_argument("file", help="CSV: detected_at_unix_us,customer_id,beacon_uuid,major,minor,rssi_dbm")
    parser.add_argument("--target", type=target, default=os.environ.get("BEACOND_TARGET"), help="tcp://HOST:PORT or udp://...")
    parser.add_argument("--gateway-id", default="python")
    parser.add_argument("--rebase", action="store_true", help="shift all times so that the latest is now")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--rate", type=float, help="sightings a second")
    parser.add_argument("--repeat", type=int, default=1, help="send the file so many times")
    parser.add_argument("--forever", action="store_true")
    parser.add_argument("--seconds", type=float, help="send nothing new after so long")
    parser.add_argument("--ages", action="store_true", help="tell ages instead of times: a gateway without a clock")
    parser.add_argument("--json", help="write the result to this file")
    parser.add_argument("--keep-trying", dest="give_up", action="store_false", help="also if nobody is there at first")
    options = parser.parse_args()
    if isinstance(options.target, str):
        options.target = target(options.target)
    if options.target is None:
        parser.error("--target or BEACOND_TARGET is wanted")
    return options


def main():
    options = arguments()
    try:
        gateway = Gateway(options, Source(options.file, options))
    except (OSError, KeyError, ValueError) as error:
        print(f"gateway.py: {options.file}: {error}", file=sys.stderr)
        return 65
    scheme, address = options.target
    code = 0
    try:
        serve(gateway, TcpSession if scheme == "tcp" else UdpSession, address)
    except Stop as stop:
        print(f"gateway.py: {scheme}://{address[0]}:{address[1]}: {stop}", file=sys.stderr)
        code = stop.code
    except KeyboardInterrupt:
        code = 130
    print(f"{gateway.sent} sightings sent, {gateway.acked} acknowledged")
    for name, count in reversed(gateway.outcomes.items()):
        if count:
            print(f"  {name:<16} {count:>10}")
    if gateway.repeated:
        print(f"  {'repeated':<16} {gateway.repeated:>10}")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"sent": gateway.sent, "acked": gateway.acked, "outcomes": gateway.outcomes}, file)
    return code or int(gateway.acked < gateway.sent)


if __name__ == "__main__":
    sys.exit(main())
