"""What the valid vectors say: (name, message, datagram header or None)."""

U8, U16, U32, U64 = 2**8 - 1, 2**16 - 1, 2**32 - 1, 2**64 - 1
I32_MIN, I32_MAX, I64_MIN, I64_MAX = -2**31, 2**31 - 1, -2**63, 2**63 - 1

NOON = 1_772_366_400_000_000  # 2026-03-01T12:00:00Z
TABLE_3 = {"uuid": "f7826da6-4fa2-4e98-8024-bc5b71e0893e", "major": 1, "minor": 3}
DOOR = {"uuid": "2f234454-cf6d-4a0f-adf2-f4911ba9ffa6", "major": 1, "minor": 99}


def octets(first, count):
    return bytes((first + i) % 256 for i in range(count)).hex()


def hello(**changes):
    return {"kind": "hello", "min_version": 1, "max_version": 1, "ack_level": 0, "boot_epoch": "7",
            "first_unacked": "1", "client_random": octets(0, 32), "gateway_id": "kitchen-1", "auth_method": 0,
            "auth": "", **changes}


def welcome(**changes):
    return {"kind": "welcome", "version": 1, "ack_level": 1, "session": "81985529216486895", "boot_epoch": "7",
            "last_acked": "0", "client_random_echo": octets(0, 8), "window_frames": 64, "max_frame_bytes": 65_536,
            "max_datagram_bytes": 1_200, "max_sightings": 4_096, "idle_timeout_ms": 30_000, "server_time": str(NOON),
            "server_random": octets(0x80, 32), **changes}


def sighting(customer_id=b"cust123", beacon_index=0, rssi_dbm=-61, time_offset_us=0):
    return {"beacon_index": beacon_index, "rssi_dbm": rssi_dbm, "time_offset_us": time_offset_us,
            "customer_id": customer_id.hex()}


def sightings(*items, **changes):
    return {"kind": "sightings", "sequence": "1", "base_time": str(NOON), "ages": False, "beacons": [TABLE_3],
            "sightings": list(items) or [sighting()], **changes}


def record(sequence=1, status=0, counts=None, exceptions=(), dead_lettered=0):
    by_code = [(counts or {}).get(code, 0) for code in range(11)]
    listed = [{"index": index, "code": code, "detail": detail} for index, code, detail in exceptions]
    return {"sequence": str(sequence), "status": status, "dead_lettered": dead_lettered, "counts": by_code,
            "exceptions": listed}


def ack(*records, cumulative=1, received=0):
    return {"kind": "ack", "cumulative": str(cumulative), "received": str(received), "records": list(records)}


def refusal(code, **changes):
    return {"kind": "refusal", "sequence": "0", "code": code, "retry_after_ms": 0, "text": "", **changes}


def ping(token, time, kind="ping"):
    return {"kind": kind, "token": str(token), "time": str(time)}


def goodbye(reason, deadline_ms):
    return {"kind": "goodbye", "reason": reason, "deadline_ms": deadline_ms}


def pair(key, value):
    return {"key": key.hex(), "value": value.hex()}


def preferences(*pairs, **changes):
    return {"kind": "preferences", "sequence": "2", "updated_at": str(NOON), "ages": False,
            "customer_id": b"cust123".hex(), "pairs": list(pairs) or [pair(b"seat", b"window")], **changes}


def status(**changes):
    return {"kind": "gateway_status", "uptime_ms": "0", "gateway_time": "0", "queued_frames": 0,
            "dropped_sightings": "0", "resent_frames": "0", "firmware": "", **changes}


def unknown(code, body=b""):
    return {"kind": "unknown", "code": code, "body": body.hex()}


def hello_cases():
    yield "hello_typical", hello()
    yield "hello_smallest", hello(gateway_id="g", boot_epoch="0", client_random="00" * 32)
    yield "hello_largest", hello(max_version=U8, ack_level=2, boot_epoch=str(U64), first_unacked=str(U64),
                                 client_random="ff" * 32, gateway_id="g" * 64, auth_method=U8, auth=octets(1, 512))
    yield "hello_journal_level", hello(ack_level=1)
    yield "hello_later_versions_only", hello(min_version=2, max_version=3)
    yield "hello_id_not_ascii", hello(gateway_id="厨房-№1 ☕")
    yield "hello_id_of_64_bytes_not_ascii", hello(gateway_id="é" * 32)
    yield "hello_method_without_data", hello(auth_method=1)


def welcome_cases():
    yield "welcome_typical", welcome()
    yield "welcome_smallest", welcome(session="1", boot_epoch="0", window_frames=1, max_frame_bytes=1_200,
                                      max_datagram_bytes=576, max_sightings=1, idle_timeout_ms=1_000, server_time="0",
                                      client_random_echo="00" * 8, server_random="00" * 32)
    yield "welcome_largest", welcome(ack_level=2, session=str(U64), boot_epoch=str(U64), last_acked=str(U64),
                                     client_random_echo="ff" * 8, window_frames=U32, max_datagram_bytes=65_507,
                                     idle_timeout_ms=U32, server_time=str(I64_MAX), server_random="ff" * 32)


def sightings_cases():
    yield "sightings_typical", sightings(sighting(), sighting(b"cust124", 1, -72, 250_000), beacons=[TABLE_3, DOOR])
    yield "sightings_one_with_empty_id", sightings(sighting(b""))
    yield "sightings_largest_values", sightings(
        sighting(b"\xff" * 255, 0, 127, I32_MAX), sequence=str(U64), base_time=str(I64_MAX),
        beacons=[{"uuid": "ffffffff-ffff-ffff-ffff-ffffffffffff", "major": U16, "minor": U16}])
    yield "sightings_smallest_values", sightings(
        sighting(b"\0", 0, -128, I32_MIN), base_time=str(I64_MIN),
        beacons=[{"uuid": "00000000-0000-0000-0000-000000000000", "major": 0, "minor": 0}])
    yield "sightings_negative_offsets", sightings(sighting(time_offset_us=-1), sighting(b"cust125", 0, -100, -60_000_000),
                                                  base_time="-1")
    yield "sightings_ids_not_ascii", sightings(*[sighting(name.encode()) for name in
                                                 ("客户-42", "Zoë", "🍜", "עמית", "a" * 62 + "é", "\u0085")])
    yield "sightings_ids_not_utf8", sightings(*[sighting(raw) for raw in (
        b"\xff", b"cust\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"a\0b\x1b")])
    yield "sightings_id_lengths", sightings(*[sighting(b"i" * n) for n in (0, 1, 63, 64, 65, 127, 128, 254, 255)])
    yield "sightings_rssi_edges", sightings(*[sighting(rssi_dbm=r) for r in (-128, -101, -100, -1, 0, 1, 127)])
    yield "sightings_ages", sightings(sighting(), sighting(b"cust126", 0, -64, -1_500_000), base_time="2000000", ages=True)
    yield "sightings_ages_repeated_later", sightings(sighting(), sighting(b"cust126", 0, -64, -1_500_000),
                                                     base_time="2731004", ages=True)
    yield "sightings_age_zero", sightings(base_time="0", ages=True)
    yield "sightings_age_largest", sightings(base_time=str(I64_MAX), ages=True)
    yield "sightings_255_beacons", sightings(
        *[sighting(b"c%d" % i, i) for i in range(255)],
        beacons=[{"uuid": f"{i:08x}-0000-4000-8000-{i:012x}", "major": i, "minor": 65_535 - i} for i in range(255)])
    yield "sightings_beacon_never_used_and_listed_twice", sightings(beacons=[TABLE_3, TABLE_3, DOOR])


def ack_cases():
    yield "ack_nothing_yet", ack(cumulative=0)
    yield "ack_without_records", ack(cumulative=41, received=0b1011)
    yield "ack_bitmap_full", ack(cumulative=U64 - 64, received=U64)
    yield "ack_all_identified", ack(record(1, counts={10: 64}))
    yield "ack_every_outcome", ack(record(5, counts={code: 1 for code in range(11)}, exceptions=[
        (0, 0, 2), (2, 1, 5), (3, 2, 0), (4, 3, 0), (6, 4, 0), (7, 5, 0), (8, 6, 0), (10, 7, 0)]), cumulative=5)
    yield "ack_every_detail_of_invalid", ack(record(counts={1: 5}, exceptions=[(i, 1, i + 1) for i in range(5)]))
    yield "ack_every_detail_of_undecided", ack(record(counts={0: 4}, exceptions=[(i, 0, i + 1) for i in range(4)]))
    yield "ack_dead_lettered", ack(record(counts={9: 2, 10: 3}, dead_lettered=1))
    yield "ack_repeat_known_durable", ack(record(9, 1), cumulative=9)
    yield "ack_preferences", ack(record(2, 2), record(3, 3, exceptions=[(0, 1, 6)]), record(4, 3, exceptions=[(0, 1, 7)]),
                                 record(5, 3, exceptions=[(0, 1, 8)]), record(6, 4, exceptions=[(0, 0, 2)]), cumulative=6)
    yield "ack_out_of_order", ack(record(12, counts={10: 1}), record(9, counts={9: 1}), cumulative=8, received=0b1001)
    yield "ack_many_records", ack(*[record(n, counts={9: 63, 10: 1}) for n in range(1, 301)], cumulative=300)
    yield "ack_many_exceptions", ack(record(counts={4: 300}, exceptions=[(2 * i, 4, 0) for i in range(300)]))
    yield "ack_largest_values", ack(
        {"sequence": str(U64), "status": 0, "dead_lettered": U16, "counts": [U16] * 11,
         "exceptions": [{"index": U16, "code": 7, "detail": U8}]}, cumulative=U64, received=U64)


def control_cases():
    for code in range(1, 19):
        yield f"refusal_{code}", refusal(code)
    yield "refusal_with_everything", refusal(11, sequence=str(U64), retry_after_ms=U32, text="busy " * 51)
    yield "refusal_text_not_ascii", refusal(8, text="passerelle inconnue : « cuisine-1 »")
    yield "refusal_of_a_code_unknown_here", refusal(U16, text="from a later version")
    for kind in ("ping", "pong"):
        yield f"{kind}_typical", ping(42, NOON, kind)
        yield f"{kind}_smallest", ping(0, I64_MIN, kind)
        yield f"{kind}_largest", ping(U64, I64_MAX, kind)
    yield "goodbye_draining", goodbye(1, 10_000)
    yield "goodbye_leaving", goodbye(2, 0)
    yield "goodbye_longest", goodbye(1, U32)


def preferences_cases():
    yield "preferences_typical", preferences(pair(b"seat", b"window"), pair("boisson".encode(), "thé glacé".encode()))
    yield "preferences_smallest", preferences(pair(b"", b""), sequence="1", updated_at=str(I64_MIN), customer_id="")
    yield "preferences_largest_fields", preferences(pair(b"k" * 255, b"v" * 1_024), sequence=str(U64),
                                                    updated_at=str(I64_MAX), customer_id="ff" * 255)
    yield "preferences_64_pairs", preferences(*[pair(b"key%02d" % i, b"%d" % i) for i in range(64)])
    yield "preferences_not_utf8", preferences(pair(b"\xfe", b"\xff\xff"))
    yield "preferences_same_key_twice", preferences(pair(b"seat", b"window"), pair(b"seat", b"bar"))
    yield "preferences_ages", preferences(updated_at="5000000", ages=True)


def status_cases():
    yield "status_smallest", status()
    yield "status_typical", status(uptime_ms="86400000", gateway_time=str(NOON), queued_frames=3, resent_frames="17",
                                   firmware="gateway 1.4.2")
    yield "status_largest", status(uptime_ms=str(U64), gateway_time=str(I64_MAX), queued_frames=U32,
                                   dropped_sightings=str(U64), resent_frames=str(U64), firmware="é" * 127 + "!")
    yield "unknown_kind_to_skip", unknown(0x0B, b"of a later version")
    yield "unknown_kind_to_skip_empty", unknown(0x7F)
    yield "unknown_kind_zero", unknown(0x00, b"\0")
    yield "hello_without_the_critical_bit_is_unknown", unknown(0x01, b"\1\1")


def datagram_cases():
    session = "81985529216486895"
    def at(number, of=session):
        return {"session": of, "packet_number": str(number)}
    yield "datagram_hello", hello(), at(1, "0")
    yield "datagram_hello_repeated", hello(), at(2, "0")
    yield "datagram_hello_largest", hello(gateway_id="g" * 64, auth_method=1, auth=octets(1, 512)), at(1, "0")
    yield "datagram_welcome", welcome(), at(1)
    yield "datagram_sightings", sightings(), at(3)
    yield "datagram_sightings_repeated", sightings(), at(4)
    fitting = [sighting(b"customer-%07d" % i, i % 2, -60 - i % 9, i * 1_000) for i in range(47)] + [sighting(b"c" * 20)]
    yield "datagram_of_1200_bytes", sightings(*fitting, beacons=[TABLE_3, DOOR], sequence="2"), at(5)
    yield "datagram_ack", ack(record(2, counts={10: 48}), cumulative=0, received=0b10), at(2)
    yield "datagram_refusal", refusal(7, text="unknown session, say hello again"), at(1)
    yield "datagram_unknown_kind_to_skip", unknown(0x0B), at(6)
    yield "datagram_largest_numbers", ping(1, 0), at(U64, str(U64))


def cases():
    for group in (hello_cases, welcome_cases, sightings_cases, ack_cases, control_cases, preferences_cases, status_cases):
        yield from group()
    yield from datagram_cases()


def large_cases():
    ids = [b"id-%05d" % i + b"x" * (i < 4_044) for i in range(4_096)]
    yield "frame_of_65536_bytes_with_4096_sightings", sightings(*[sighting(i) for i in ids])
    yield "ack_of_4096_exceptions", ack(record(counts={4: 4_096}, exceptions=[(i, 4, 0) for i in range(4_096)]))
