#!/usr/bin/env python3
"""Checks gateway.py against every vector of vectors/ (see ../vectors/README.md), both ways, and its session rules against
a scripted daemon. Run: python3 -m unittest -v test_gateway"""
from __future__ import annotations

import dataclasses
import json
import socket
import tempfile
import threading
import time
import typing
import unittest
import uuid
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import gateway as g

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
KINDS = {"hello": g.Hello, "welcome": g.Welcome, "sightings": g.Sightings, "ack": g.Ack, "refusal": g.Refusal,
         "ping": g.Ping, "pong": g.Pong, "goodbye": g.Goodbye, "preferences": g.Preferences,
         "gateway_status": g.GatewayStatus, "unknown": g.Unknown}
NAMES = {cls: name for name, cls in KINDS.items()}
LONG = set("boot_epoch first_unacked session last_acked server_time sequence base_time cumulative received token time "
           "updated_at uptime_ms gateway_time dropped_sightings resent_frames packet_number".split())
RENAMED = {"body_bytes": "body"}


def load(name: str) -> list[dict]:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


def to_json(value: object, name: str = "") -> object:
    if dataclasses.is_dataclass(value):
        return {RENAMED.get(f.name, f.name): to_json(getattr(value, f.name), f.name)
                for f in dataclasses.fields(value)}
    if isinstance(value, g.Rejected):
        return value._asdict()
    if isinstance(value, tuple):
        return [to_json(v) for v in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, uuid.UUID):
        return str(value)
    return str(value) if name in LONG and not isinstance(value, bool) else value


def from_json(value: object, kind: object) -> object:
    if kind is g.Rejected:
        return g.Rejected(value["index"], value["code"], value["detail"])
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind, vars(g))
        return kind(**{f.name: from_json(value[RENAMED.get(f.name, f.name)], hints[f.name])
                       for f in dataclasses.fields(kind)})
    if typing.get_origin(kind) is tuple:
        return tuple(from_json(v, typing.get_args(kind)[0]) for v in value)
    if kind is bytes:
        return bytes.fromhex(value)
    return kind(value)


def read(entry: dict) -> g.Message:
    data = bytes.fromhex(entry["hex"])
    return g.decode_frame(data) if entry["transport"] == "frame" else g.decode_datagram(data)[2]


class Vectors(unittest.TestCase):
    def test_checksums(self) -> None:
        for entry in load("checksum.json"):
            with self.subTest(entry["name"]):
                self.assertEqual(f"{g.crc32c(bytes.fromhex(entry['hex'])):08x}", entry["crc32c"])

    def test_valid(self) -> None:
        for entry in load("valid.json") + load("large.json"):
            with self.subTest(entry["name"]):
                data, expected = bytes.fromhex(entry["hex"]), entry["message"]
                message = read(entry)
                self.assertEqual({"kind": NAMES[type(message)], **to_json(message)}, expected)
                made = from_json(expected, KINDS[expected["kind"]])
                self.assertEqual(made, message)
                frame = g.encode(made)
                if entry["transport"] == "datagram":
                    head = entry["datagram"]
                    whole = g.encode_datagram(int(head["session"]), int(head["packet_number"]), frame)
                    self.assertEqual(whole, data)
                    self.assertEqual([str(n) for n in g.decode_datagram(data)[:2]],
                                     [head["session"], head["packet_number"]])
                else:
                    self.assertEqual(frame, data)
                self.assertEqual(frame[8:12].hex(), entry["checksum"])
                self.assertEqual("identity_checksum" in entry, isinstance(message, (g.Sightings, g.Preferences)))
                if "identity_checksum" in entry:
                    self.assertEqual(f"{g.identity_checksum(frame):08x}", entry["identity_checksum"])

    def test_valid_in_pieces(self) -> None:
        """The size of a frame is known from its eighth byte on, and not before."""
        for entry in load("valid.json"):
            if entry["transport"] == "frame":
                data = bytes.fromhex(entry["hex"])
                for size in range(13):
                    self.assertEqual(g.frame_size(data[:size]), None if size < 8 else len(data), entry["name"])

    def test_invalid(self) -> None:
        for entry in load("invalid.json"):
            with self.subTest(entry["name"]):
                with self.assertRaises(g.DecodeError) as caught:
                    read(entry)
                error = caught.exception
                self.assertEqual(error.code, entry["refusal_code"])
                self.assertEqual((error.label, error.field or None), (entry["error"], entry.get("field")))

    def test_invalid_headers_are_seen_at_once(self) -> None:
        """Magic, version and length are judged from the bytes that are there (R2, R3)."""
        for entry in load("invalid.json"):
            if entry["transport"] == "frame" and entry["error"] in ("bad_magic", "unsupported_version", "oversize"):
                with self.subTest(entry["name"]), self.assertRaises(g.DecodeError):
                    g.frame_size(bytes.fromhex(entry["hex"]))


class Peer:
    """The daemon's end of one session, over either transport."""

    def __init__(self, sock: socket.socket, udp: bool, first: tuple | None = None) -> None:
        self.sock, self.udp, self.first, self.buffer = sock, udp, first, b""
        self.address: tuple | None = None
        self.session, self.packet_number, self.numbers = 0, 0, []
        self.frame = b""
        sock.settimeout(8)

    def recv(self) -> g.Message:
        """The next message that is neither a status nor a ping."""
        while True:
            message = self.recv_any()
            if not isinstance(message, (g.GatewayStatus, g.Ping)) or isinstance(message, g.Pong):
                return message

    def recv_any(self) -> g.Message:
        if self.udp:
            data, self.address = self.sock.recvfrom(65_536)
            session, number, message = g.decode_datagram(data)
            self.frame = data[20:]
            self.numbers.append(number)
            assert session == (0 if isinstance(message, g.Hello) else self.session)
            return message
        while (size := g.frame_size(self.buffer)) is None or len(self.buffer) < size:
            data = self.sock.recv(65_536)
            if not data:
                raise EOFError
            self.buffer += data
        self.frame, self.buffer = self.buffer[:size], self.buffer[size:]
        return g.decode_frame(self.frame)

    def silent(self, seconds: float) -> bool:
        self.sock.settimeout(seconds)
        try:
            self.recv()
            return False
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(8)

    def send_bytes(self, frame: bytes) -> None:
        if self.udp:
            self.packet_number += 1
            self.sock.sendto(g.encode_datagram(self.session, self.packet_number, frame), self.address)
        else:
            self.sock.sendall(frame)

    def send(self, message: g.Message) -> None:
        self.send_bytes(g.encode(message))

    def welcome(self, hello: g.Hello, **changes: object) -> None:
        self.session = 77
        self.send(dataclasses.replace(g.Welcome(
            1, 1, 77, hello.boot_epoch, 0, hello.client_random[:8], 64, 65_536, 1_200, 4_096, 30_000, g.utc_us(),
            bytes(32)), **changes))

    def greeted(self, **changes: object) -> g.Hello:
        hello = self.recv()
        assert isinstance(hello, g.Hello), hello
        self.welcome(hello, **changes)
        return hello

    def ack(self, *frames: g.Sightings, cumulative: int = 0, received: int = 0, undecided: tuple[int, ...] = ()) -> None:
        records = []
        for f in frames:
            counts = [len(undecided), *[0] * 9, len(f.sightings) - len(undecided)]
            records.append(g.Record(f.sequence, 0, 0, tuple(counts), tuple(g.Rejected(i, 0, 1) for i in undecided)))
        self.send(g.Ack(cumulative, received, tuple(records)))

    def finish(self) -> None:
        """Acknowledges what comes until the gateway leaves."""
        while True:
            message = self.recv()
            if isinstance(message, g.Goodbye):
                return
            self.ack(message)


class Rules(unittest.TestCase):
    """The gateway against a daemon that says what the script wants."""

    def play(self, *script: Callable[[Peer], None], rows: int = 6, udp: bool = False, expect: int = 0, batch: int = 2,
             **options: object) -> g.Gateway:
        """Runs the gateway over `rows` sightings; each part of the script is one connection (over UDP there is one)."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(10)
        errors: list[BaseException] = []

        def serve() -> None:
            try:
                if udp:
                    return script[0](Peer(listener, True))
                listener.listen()
                for part in script:
                    connection, _ = listener.accept()
                    with connection:
                        part(Peer(connection, False))
            except BaseException as error:  # noqa: BLE001 - shown by the test
                errors.append(error)
                gateway.stopping = True

        with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
            print("detected_at_unix_us,customer_id,beacon_uuid,major,minor,rssi_dbm", file=file)
            for i in range(rows):
                print(f"{g.utc_us() - 1000 + i},customer-{i},{uuid.UUID(int=1)},1,2,-60", file=file)
            file.flush()
            source = g.CsvSource(file.name, False, 1)
        gateway = g.Gateway(g.Target(udp, "127.0.0.1", listener.getsockname()[1]), "test", source, batch=batch,
                            seconds=20, **options)
        thread = threading.Thread(target=serve)
        thread.start()
        with mock.patch.object(gateway, "tell"):
            code = gateway.run()
        thread.join(12)
        listener.close()
        if errors:
            raise errors[0]
        self.assertEqual(code, expect)
        return gateway

    def test_r21_undecided_again_in_a_new_frame(self) -> None:
        def daemon(peer: Peer) -> None:
            peer.greeted()
            first = peer.recv()
            began = time.monotonic()
            peer.ack(first, undecided=(1,))
            again = peer.recv()
            self.assertTrue(0.45 < time.monotonic() - began < 1.2)
            self.assertEqual(again.sequence, 2)
            self.assertEqual(again.base_time + again.sightings[0].time_offset_us,
                             first.base_time + first.sightings[1].time_offset_us)
            peer.ack(again)
            peer.finish()
        gateway = self.play(daemon, rows=2)
        self.assertEqual((gateway.sent, gateway.acked, gateway.outcomes), (2, 2, {"identified": 2}))

    def test_r42_r43_r49_resume(self) -> None:
        frames: list[bytes] = []

        def lost(peer: Peer) -> None:
            self.assertEqual(peer.greeted().first_unacked, 1)
            for _ in range(3):
                message = peer.recv()
                frames.append(peer.frame)
                if message.sequence == 2:
                    peer.ack(message)
            time.sleep(0.1)

        def resumed(peer: Peer) -> None:
            self.assertEqual(peer.greeted().first_unacked, 1)
            for frame in frames:
                peer.recv()
                self.assertEqual(peer.frame, frame)
                peer.ack(g.decode_frame(frame))
            peer.finish()
        gateway = self.play(lost, resumed)
        self.assertEqual((gateway.acked, gateway.resent_frames), (6, 3))

    def test_r44_window(self) -> None:
        def daemon(peer: Peer) -> None:
            peer.greeted(window_frames=2)
            first, second = peer.recv(), peer.recv()
            self.assertTrue(peer.silent(0.3))
            peer.ack(second)
            self.assertTrue(peer.silent(0.3))
            peer.ack(first)
            peer.ack(peer.recv())
            peer.finish()
        self.play(daemon)

    def test_r14_frames_too_large_for_the_next_daemon(self) -> None:
        def wide(peer: Peer, hello: g.Hello) -> None:
            peer.welcome(hello)
            self.assertEqual(len(peer.recv().sightings), 6)

        def narrow(peer: Peer) -> None:
            peer.greeted(max_sightings=4)
            self.assertEqual(peer.recv(), g.Goodbye(g.LEAVING, 0))
        self.new_epoch(wide, [4, 2], between=narrow, limits={"max_sightings": 4}, batch=6)

    def test_r17_a_record_that_does_not_fit_is_none(self) -> None:
        def wrong(peer: Peer) -> None:
            peer.greeted()
            message = peer.recv()
            peer.send(g.Ack(0, 0, (g.Record(1, g.DECIDED, 0, (0,) * 10 + (1,), ()),)))
            while message.KIND != g.Goodbye.KIND:
                message = peer.recv()
            self.assertEqual(message.deadline_ms, 0)

        def right(peer: Peer) -> None:
            self.assertEqual(peer.greeted().first_unacked, 1)
            peer.finish()
        self.assertEqual(self.play(wrong, right).acked, 6)

    def test_r34_what_is_held_is_sent_before_goodbye(self) -> None:
        gateways: list[g.Gateway] = []

        def lost(peer: Peer) -> None:
            peer.greeted()
            [peer.recv() for _ in range(3)]

        def resumed(peer: Peer) -> None:
            peer.greeted(window_frames=1)
            one = peer.recv()
            gateways[0].stop_at = time.monotonic()
            self.assertTrue(peer.silent(1.0))  # no goodbye while the others are not sent
            peer.ack(one)
            peer.ack(peer.recv())
            peer.ack(peer.recv())
            self.assertIsInstance(peer.recv(), g.Goodbye)
        with mock.patch.object(g, "Gateway", side_effect=lambda *a, made=g.Gateway, **k: (
                gateways.append(made(*a, **k)) or gateways[0])):
            self.assertEqual(self.play(lost, resumed).acked, 6)

    def new_epoch(self, begin: Callable[[Peer], None], then: list[int], between: Callable[[Peer], None] | None = None,
                  limits: dict | None = None, **options: object) -> g.Gateway:
        """A first connection that ends the numbering; then are the sizes of the frames of the next one."""
        epochs: list[int] = []

        def first(peer: Peer) -> None:
            hello = peer.recv()
            epochs.append(hello.boot_epoch)
            begin(peer, hello)

        def second(peer: Peer) -> None:
            hello = peer.greeted(**(limits or {}))
            self.assertEqual(hello.first_unacked, 1)
            self.assertGreater(hello.boot_epoch, epochs[0])
            for sequence, size in enumerate(then, 1):
                message = peer.recv()
                self.assertEqual((message.sequence, len(message.sightings)), (sequence, size))
                peer.ack(message)
            peer.finish()
        return self.play(*([first, between, second] if between else [first, second]), **options)

    def test_r51_sequence_reused(self) -> None:
        def reused(peer: Peer, hello: g.Hello) -> None:
            peer.welcome(hello)
            frames = [peer.recv() for _ in range(3)]
            peer.ack(frames[1])
            peer.send(g.Refusal(1, 13, 0, ""))
        self.new_epoch(reused, [2, 2])

    def test_r51_last_acked_ahead(self) -> None:
        self.new_epoch(lambda peer, hello: peer.welcome(hello, last_acked=9), [2, 2, 2])

    def test_malformed_is_left_out(self) -> None:
        def malformed(peer: Peer, hello: g.Hello) -> None:
            peer.welcome(hello)
            [peer.recv() for _ in range(3)]
            peer.send(g.Refusal(2, 1, 0, ""))
        self.assertEqual(self.new_epoch(malformed, [2, 2], expect=1).acked, 4)

    def test_malformed_of_no_frame_leaves_nothing_out(self) -> None:
        def malformed(peer: Peer) -> None:
            peer.greeted()
            [peer.recv() for _ in range(3)]
            peer.send(g.Refusal(0, 1, 0, ""))

        def rest(peer: Peer) -> None:
            self.assertEqual(peer.greeted().first_unacked, 1)
            peer.finish()
        self.assertEqual(self.play(malformed, rest).acked, 6)

    def test_oversize_is_split(self) -> None:
        def oversize(peer: Peer, hello: g.Hello) -> None:
            peer.welcome(hello)
            peer.recv()
            peer.send(g.Refusal(0, 3, 0, ""))
        self.new_epoch(oversize, [3, 3], batch=6)

    def test_oversize_without_a_number_is_the_longest_frame(self) -> None:
        def oversize(peer: Peer, hello: g.Hello) -> None:
            peer.welcome(hello)
            self.assertEqual([len(peer.recv().sightings) for _ in range(2)], [4, 2])
            peer.send(g.Refusal(0, 3, 0, ""))
        self.new_epoch(oversize, [2, 2, 2], batch=4)

    def test_r13_welcomes(self) -> None:
        def wrong(peer: Peer) -> None:
            hello = peer.recv()
            peer.welcome(hello, client_random_echo=bytes(8))
            peer.welcome(hello, session=0)
            with self.assertRaises((EOFError, ConnectionError)):
                peer.recv_any()

        def right(peer: Peer) -> None:
            peer.greeted()
            peer.finish()
        self.play(wrong, right)

    def test_r20_r67_pings_and_unknown_kinds(self) -> None:
        def critical(peer: Peer) -> None:
            peer.greeted()
            message = peer.recv()
            peer.send(g.Unknown(0x33, b"later"))
            peer.send(g.Ping(5, 0))
            while not isinstance(answer := peer.recv(), g.Pong):
                pass
            self.assertEqual(answer.token, 5)
            peer.ack(message)
            peer.send(g.Unknown(0xB3, b"later"))
            with self.assertRaises((EOFError, ConnectionError)):
                while True:
                    peer.recv()

        def rest(peer: Peer) -> None:
            self.assertEqual(peer.greeted().first_unacked, 2)
            peer.finish()
        self.assertEqual(self.play(critical, rest).oddities["unknown kind"], 1)

    def test_r37_draining(self) -> None:
        def drains(peer: Peer) -> None:
            peer.greeted(window_frames=1)
            message = peer.recv()
            peer.send(g.Goodbye(g.DRAINING, 5_000))
            self.assertTrue(peer.silent(0.3))
            peer.ack(message)
            with self.assertRaises((EOFError, ConnectionError)):
                peer.recv()

        def rest(peer: Peer) -> None:
            self.assertEqual(peer.greeted().first_unacked, 2)
            peer.finish()
        self.play(drains, rest)

    def test_r38_r39_silence(self) -> None:
        def silent(peer: Peer) -> None:
            peer.greeted(idle_timeout_ms=1_500)
            began = time.monotonic()
            pings = 0
            try:
                while True:
                    pings += isinstance(peer.recv_any(), g.Ping)
            except (EOFError, ConnectionError):
                pass
            self.assertTrue(1.4 < time.monotonic() - began < 1.9)
            self.assertGreaterEqual(pings, 2)

        def rest(peer: Peer) -> None:
            peer.greeted()
            peer.finish()
        self.play(silent, rest)

    def test_waits_after_refusals(self) -> None:
        for code, retry_after, lowest, highest in ((9, 0, 0.5, 1.0), (16, 90_000, 90, 90), (4, 0, 300, 300)):
            gateway = g.Gateway(g.Target(False, "127.0.0.1", 1), "test", mock.Mock(exhausted=False))
            gateway.link = mock.Mock(datagrams=False, socket=None)
            with mock.patch.object(gateway, "selector"), mock.patch.object(gateway, "tell"):
                gateway.on_refusal(g.Refusal(0, code, retry_after, ""))
            self.assertTrue(lowest <= gateway.connect_at - gateway.now <= highest + 1e-6)

    def test_r30_retry_after_is_for_one_wait(self) -> None:
        gateway = g.Gateway(g.Target(False, "127.0.0.1", 1), "test", mock.Mock(exhausted=False))
        waits = []
        with mock.patch.object(gateway, "selector"), mock.patch.object(gateway, "tell"):
            for retry_after in (90_000, 0):
                gateway.link = mock.Mock(datagrams=False, socket=None)
                gateway.on_refusal(g.Refusal(0, 12, retry_after, ""))
                waits.append(gateway.connect_at - gateway.now)
        self.assertAlmostEqual(waits[0], 90)
        self.assertLess(waits[1], 2.1)

    def test_udp_r26_what_ends_a_session_and_what_does_not(self) -> None:
        def daemon(peer: Peer) -> None:
            first = peer.greeted()
            one = peer.recv()
            peer.send(g.Unknown(0xB3, b"later"))  # R67
            for code in (1, 2, 5, 6, 15):
                peer.send(g.Refusal(0, code, 0, ""))
            peer.ack(one, cumulative=1)
            two = peer.recv()
            self.assertEqual(two.sequence, 2)
            peer.send(g.Refusal(2, 14, 0, ""))
            while not isinstance(message := peer.recv(), g.Goodbye):
                pass
            self.assertEqual(message.deadline_ms, 0)
            again = peer.greeted()
            self.assertEqual((again.boot_epoch, again.first_unacked), (first.boot_epoch, 2))
            self.assertEqual(peer.recv(), two)
            peer.send(g.Refusal(2, 13, 0, ""))
            while not isinstance(message := peer.recv(), g.Goodbye):
                pass
            renumbered = peer.greeted()
            self.assertGreater(renumbered.boot_epoch, first.boot_epoch)
            self.assertEqual(renumbered.first_unacked, 1)
            for sequence in (1, 2):
                message = peer.recv()
                self.assertEqual(message.sequence, sequence)
                peer.ack(message, cumulative=sequence)
            self.assertIsInstance(peer.recv(), g.Goodbye)
        gateway = self.play(daemon, udp=True)
        self.assertEqual((gateway.acked, gateway.oddities["dropped datagram: unknown_critical_kind"]), (6, 1))

    def test_udp_r37_a_drained_daemon_is_not_waited_for(self) -> None:
        def daemon(peer: Peer) -> None:
            peer.greeted()
            frames = [peer.recv() for _ in range(3)]
            peer.ack(frames[0], cumulative=1)
            peer.send(g.Goodbye(g.DRAINING, 60_000))
            while not isinstance(message := peer.recv_any(), g.Ping):
                pass
            self.assertNotIsInstance(message, g.Pong)
            peer.send(g.Pong(message.token, 0))
            self.assertIsInstance(peer.recv_any(), g.Ping)
            peer.send(g.Refusal(0, 16, 0, ""))
            self.assertEqual(peer.greeted().first_unacked, 2)
            for frame in frames[1:]:
                self.assertEqual(peer.recv(), frame)
                peer.ack(frame, cumulative=frame.sequence)
            self.assertIsInstance(peer.recv(), g.Goodbye)
        self.assertEqual(self.play(daemon, udp=True).acked, 6)

    def test_udp_r54_r59_r60_r61(self) -> None:
        def daemon(peer: Peer) -> None:
            hello = peer.recv()
            frame, began = peer.frame, time.monotonic()
            self.assertEqual(peer.recv(), hello)
            self.assertEqual(peer.frame, frame)
            self.assertTrue(0.7 < time.monotonic() - began < 1.3)
            peer.welcome(hello)
            one, two, three = peer.recv(), peer.recv(), peer.recv()
            began = time.monotonic()
            peer.ack(cumulative=0, received=2)  # two has arrived: no repeat for two seconds
            peer.send(g.Refusal(3, 11, 1_000, ""))  # three: room in a second
            again = peer.recv()
            self.assertEqual(again, one)
            self.assertTrue(0.15 < time.monotonic() - began < 0.45)
            peer.ack(cumulative=1)  # answered, its record lost
            self.assertEqual(peer.recv(), one)
            peer.ack(one, cumulative=1)
            self.assertEqual(peer.recv(), three)
            self.assertTrue(0.95 < time.monotonic() - began < 1.4)
            peer.ack(three, cumulative=1, received=3)
            self.assertEqual(peer.recv(), two)
            self.assertTrue(1.9 < time.monotonic() - began < 2.4)
            peer.ack(two, cumulative=3)
            self.assertIsInstance(peer.recv(), g.Goodbye)
            self.assertEqual(peer.numbers, list(range(1, len(peer.numbers) + 1)))
        self.assertEqual(self.play(daemon, udp=True).acked, 6)

    def test_udp_r64_an_age_is_of_its_transmission(self) -> None:
        def daemon(peer: Peer) -> None:
            peer.greeted()
            one, first = peer.recv(), peer.frame
            again = peer.recv()
            self.assertTrue(again.ages)
            self.assertTrue(900_000 < again.base_time - one.base_time < 1_300_000)
            self.assertEqual(g.identity_checksum(peer.frame), g.identity_checksum(first))
            peer.ack(again, cumulative=1)
            self.assertIsInstance(peer.recv(), g.Goodbye)
        self.play(daemon, udp=True, rows=2, ages=True)

    def test_r65_a_wrong_clock_turns_to_ages(self) -> None:
        def daemon(peer: Peer) -> None:
            peer.greeted(server_time=g.utc_us() + 60_000_000)
            message = peer.recv()
            self.assertTrue(message.ages)
            peer.ack(message)
            peer.finish()
        self.play(daemon, rows=2)

    def test_r59_timer(self) -> None:
        timer = g.RetransmissionTimer()
        self.assertEqual(timer.rto, 1.0)
        timer.sample(0.4)
        self.assertAlmostEqual(timer.rto, 0.4 + 4 * 0.2)
        timer.sample(0.4)
        self.assertAlmostEqual(timer.rto, 0.4 + 4 * 0.15)
        for _ in range(9):
            timer.double(1.0)
        self.assertEqual(timer.rto, 8.0)
        for _ in range(200):
            timer.sample(0.001)
        self.assertEqual(timer.rto, 0.2)


if __name__ == "__main__":
    unittest.main()
