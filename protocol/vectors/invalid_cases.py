"""What the invalid vectors break: (name, transport, bytes, label, field's name or None)."""

import zlib

import valid_cases as valid
from reference import HEADER_BYTES, KINDS, MAX_FRAME_BYTES, datagram, encode, encode_body, frame

ONE_OF_EACH = [
    valid.hello(), valid.welcome(), valid.sightings(), valid.ack(valid.record(exceptions=[(0, 4, 0)], counts={4: 1})),
    valid.refusal(1, text="?"), valid.ping(1, 2), valid.ping(1, 2, "pong"), valid.goodbye(1, 5), valid.preferences(),
    valid.status(firmware="f"),
]


def patched(message, offset, new):
    """The frame of a message with bytes of its body replaced; length and checksum are right."""
    body = encode_body(message)
    return frame(KINDS[message["kind"]], body[:offset] + new + body[offset + len(new):])


def header_cases():
    good = encode(valid.ping(1, 2))
    yield "bad_magic", b"\xbe\xad" + good[2:], "bad_magic"
    yield "bad_magic_seen_after_two_bytes", b"GE", "bad_magic"
    yield "bad_magic_of_http", b"GET / HTTP/1.1\r\n\r\n", "bad_magic"
    yield "bad_magic_byte_order", b"\xac\xbe" + good[2:], "bad_magic"
    for version in (0, 2, 255):
        yield f"version_{version}", frame(KINDS["ping"], good[HEADER_BYTES:], version=version), "unsupported_version"
    yield "version_seen_before_the_length", b"\xbe\xac\x02", "unsupported_version"
    body_too_long = MAX_FRAME_BYTES - HEADER_BYTES + 1
    yield "length_one_over_the_limit", frame(KINDS["sightings"], b"", length=body_too_long), "oversize"
    yield "length_largest", frame(KINDS["sightings"], b"", length=2**32 - 1), "oversize"
    yield "length_that_wraps_with_the_header", frame(0x0B, b"", length=2**32 - HEADER_BYTES), "oversize"
    yield "length_seen_before_the_checksum", frame(0x83, b"", length=body_too_long)[:8], "oversize"
    yield "checksum_zero", frame(KINDS["ping"], good[HEADER_BYTES:], checksum=0), "bad_checksum"
    yield "checksum_of_body_flipped_in_one_bit", good[:-1] + bytes([good[-1] ^ 1]), "bad_checksum"
    yield "checksum_does_not_cover_kind", good[:3] + bytes([KINDS["pong"]]) + good[4:], "bad_checksum"
    yield "checksum_byte_order", good[:8] + good[8:12][::-1] + good[12:], "bad_checksum"
    # The reflected CRC-32 of zlib over the same bytes: the wrong polynomial.
    yield "checksum_of_zlib", frame(KINDS["ping"], good[12:], checksum=zlib.crc32(good[:8] + good[12:])), "bad_checksum"
    yield "unknown_kind_skipped_only_with_right_checksum", frame(0x0B, b"x", checksum=1), "bad_checksum"
    for kind in (0x80, 0x8A, 0xFF):
        yield f"unknown_critical_kind_{kind:02x}", frame(kind, b""), "unknown_critical_kind"
    yield "unknown_critical_kind_with_body", frame(0x8B, b"of a later version"), "unknown_critical_kind"


def length_cases():
    for message in ONE_OF_EACH:
        kind, body = message["kind"], encode_body(message)
        yield f"{kind}_without_body", frame(KINDS[kind], b""), "unexpected_end"
        yield f"{kind}_one_byte_short", frame(KINDS[kind], body[:-1]), "unexpected_end"
        yield f"{kind}_one_byte_too_long", frame(KINDS[kind], body + b"\0"), "trailing_data"
    yield "hello_auth_cut", patched(valid.hello(auth_method=1), len(encode_body(valid.hello())) - 2, b"\0\1"), "unexpected_end"
    yield "hello_id_cut", patched(valid.hello(), 52, b"\x40"), "unexpected_end"
    yield "sightings_more_counted_than_there", patched(valid.sightings(), 18, b"\x00\x02"), "unexpected_end"
    yield "sightings_fewer_counted_than_there", \
        patched(valid.sightings(valid.sighting(), valid.sighting()), 18, b"\x00\x01"), "trailing_data"
    yield "sightings_4096_counted_one_there", patched(valid.sightings(), 18, b"\x10\x00"), "unexpected_end"
    yield "sightings_255_beacons_counted_one_there", patched(valid.sightings(), 17, b"\xff"), "unexpected_end"
    yield "sightings_id_longer_than_frame", patched(valid.sightings(), 46, b"\xff"), "unexpected_end"
    yield "ack_more_records_than_there", patched(valid.ack(valid.record()), 16, b"\xff\xff"), "unexpected_end"
    yield "ack_more_exceptions_than_there", patched(valid.ack(valid.record()), 52, b"\xff\xff"), "unexpected_end"
    yield "refusal_text_longer_than_frame", patched(valid.refusal(1, text="abc"), 14, b"\xff"), "unexpected_end"
    yield "preferences_value_longer_than_frame", patched(valid.preferences(), 31, b"\x04\x00"), "unexpected_end"
    yield "preferences_more_pairs_than_there", patched(valid.preferences(), 25, b"\x40"), "unexpected_end"


def hello_cases():
    hello = valid.hello()
    for name, low, high in (("zero", 0, 1), ("both_zero", 0, 0), ("reversed", 3, 2)):
        yield f"hello_versions_{name}", encode(valid.hello(min_version=low, max_version=high)), "versions"
    yield "hello_ack_level_unknown", encode(valid.hello(ack_level=3)), "ack_level"
    yield "hello_flags_set", patched(hello, 3, b"\x01"), "flags"
    yield "hello_first_unacked_zero", encode(valid.hello(first_unacked="0")), "first_unacked"
    yield "hello_id_empty", encode(valid.hello(gateway_id="")), "gateway_id"
    yield "hello_id_65_bytes", encode(valid.hello(gateway_id="g" * 65)), "gateway_id"
    yield "hello_id_64_characters_128_bytes", encode(valid.hello(gateway_id="é" * 64)), "gateway_id"
    yield "hello_id_not_utf8", patched(hello, 53, b"\xff"), "gateway_id"
    yield "hello_id_surrogate", patched(hello, 53, b"\xed\xa0\x80"), "gateway_id"
    yield "hello_id_overlong_utf8", patched(hello, 53, b"\xc0\xaf"), "gateway_id"
    for name, character in (("newline", "\n"), ("nul", "\0"), ("delete", "\x7f"), ("c1", "\u0085")):
        yield f"hello_id_with_{name}", encode(valid.hello(gateway_id="kitchen" + character)), "gateway_id"
    yield "hello_auth_513_bytes", encode(valid.hello(auth_method=1, auth="aa" * 513)), "auth"
    yield "hello_auth_without_method", encode(valid.hello(auth="aa")), "auth"


def field_cases():
    yield "welcome_version_zero", encode(valid.welcome(version=0)), "versions"
    for level in (0, 3):
        yield f"welcome_ack_level_{level}", encode(valid.welcome(ack_level=level)), "ack_level"
    yield "welcome_flags_set", patched(valid.welcome(), 2, b"\x80"), "flags"
    yield "welcome_reserved_set", patched(valid.welcome(), 3, b"\x01"), "reserved"
    yield "welcome_window_zero", encode(valid.welcome(window_frames=0)), "window_frames"

    yield "sightings_sequence_zero", encode(valid.sightings(sequence="0")), "sequence"
    yield "sightings_flags_unknown", patched(valid.sightings(), 16, b"\x02"), "flags"
    yield "sightings_flags_unknown_beside_ages", patched(valid.sightings(), 16, b"\x81"), "flags"
    yield "sightings_age_negative", encode(valid.sightings(base_time="-1", ages=True)), "base_time"
    yield "sightings_no_beacon", encode(valid.sightings(beacons=[])), "beacon_count"
    yield "sightings_none", encode({**valid.sightings(), "sightings": []}), "sighting_count"
    yield "sightings_4097", encode(valid.sightings(*[valid.sighting(b"")] * 4_097)), "sighting_count"
    yield "sightings_beacon_index_at_count", encode(valid.sightings(valid.sighting(beacon_index=1))), "beacon_index"
    yield "sightings_beacon_index_255", \
        encode(valid.sightings(valid.sighting(), valid.sighting(beacon_index=255))), "beacon_index"

    yield "ack_record_sequence_zero", encode(valid.ack(valid.record(0))), "sequence"
    yield "ack_status_unknown", encode(valid.ack(valid.record(1, 5))), "status"
    yield "ack_reserved_set", patched(valid.ack(valid.record()), 27, b"\x01"), "reserved"
    for code in (8, 10, 11, 255):
        yield f"ack_exception_code_{code}", encode(valid.ack(valid.record(exceptions=[(0, code, 0)]))), "exception code"
    for name, first, second in (("twice", 3, 3), ("backwards", 3, 2)):
        listed = valid.record(counts={4: 2}, exceptions=[(first, 4, 0), (second, 4, 0)])
        yield f"ack_exception_index_{name}", encode(valid.ack(listed)), "exception index"

    yield "refusal_code_zero", encode(valid.refusal(0)), "code"
    yield "refusal_text_not_utf8", patched(valid.refusal(1, text="abc"), 15, b"\xff"), "text"
    for reason in (0, 3):
        yield f"goodbye_reason_{reason}", encode(valid.goodbye(reason, 1)), "reason"

    yield "preferences_sequence_zero", encode(valid.preferences(sequence="0")), "sequence"
    yield "preferences_flags_unknown", patched(valid.preferences(), 16, b"\x02"), "flags"
    yield "preferences_age_negative", encode(valid.preferences(updated_at="-1", ages=True)), "base_time"
    yield "preferences_no_pair", encode({**valid.preferences(), "pairs": []}), "pair_count"
    yield "preferences_65_pairs", encode(valid.preferences(*[valid.pair(b"k", b"v")] * 65)), "pair_count"
    yield "preferences_value_1025_bytes", encode(valid.preferences(valid.pair(b"k", b"v" * 1_025))), "value"
    yield "status_firmware_not_utf8", patched(valid.status(firmware="abc"), 37, b"\xff"), "firmware"


def datagram_cases():
    inner = encode(valid.ping(1, 2))
    good = datagram(5, 1, inner)
    yield "datagram_empty", b"", "unexpected_end", None
    yield "datagram_header_cut", good[:19], "unexpected_end", None
    yield "datagram_without_frame", good[:20], "unexpected_end", None
    yield "datagram_frame_header_cut", good[:31], "unexpected_end", None
    yield "datagram_body_cut", good[:-1], "unexpected_end", None
    yield "datagram_bytes_after_the_frame", good + b"\0", "trailing_data", None
    yield "datagram_two_frames", good + inner, "trailing_data", None
    yield "datagram_bad_magic", datagram(5, 1, inner, magic=0xBEAC), "bad_magic", None
    yield "datagram_is_a_frame_without_header", inner, "bad_magic", None
    yield "datagram_sealed", datagram(5, 1, bytes(44), flags=1), "sealed_unsupported", None
    yield "datagram_flags_unknown", datagram(5, 1, inner, flags=2), "field", "flags"
    yield "datagram_reserved_set", datagram(5, 1, inner, reserved=1), "field", "reserved"
    yield "datagram_packet_number_zero", datagram(5, 0, inner), "field", "packet_number"
    yield "datagram_frame_bad_magic", datagram(5, 1, b"\xbe\xad" + inner[2:]), "bad_magic", None
    yield "datagram_frame_version_2", datagram(5, 1, frame(0x86, inner[12:], version=2)), "unsupported_version", None
    yield "datagram_frame_oversize", datagram(5, 1, frame(0x86, b"", length=65_525)), "oversize", None
    yield "datagram_frame_bad_checksum", datagram(5, 1, inner[:-1] + b"\xee"), "bad_checksum", None
    yield "datagram_unknown_critical_kind", datagram(5, 1, frame(0x8A, b"")), "unknown_critical_kind", None


def cases():
    for group in (header_cases, length_cases):
        yield from ((name, "frame", data, label, None) for name, data, label in group())
    for group in (hello_cases, field_cases):
        yield from ((name, "frame", data, "field", field) for name, data, field in group())
    yield from ((name, "datagram", data, label, field) for name, data, label, field in datagram_cases())
