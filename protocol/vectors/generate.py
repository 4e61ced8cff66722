#!/usr/bin/env python3
"""Writes the golden vectors (README.md says how to read them); --check verifies them, --examples prints SPEC.md's."""

import json
import sys
from pathlib import Path

import examples
import invalid_cases
import reference
import valid_cases

HERE = Path(__file__).resolve().parent

CHECKSUM_INPUTS = [
    ("check_value", b"123456789"), ("nothing", b""), ("one_zero", b"\0"), ("zeros_32", bytes(32)),
    ("ones_32", b"\xff" * 32), ("ascending_32", bytes(range(32))), ("descending_32", bytes(range(31, -1, -1))),
    ("every_byte", bytes(range(256))),
]
# RFC 3720 B.4 and the catalogue of parametrised CRC algorithms, typed in: what ties crc32c() to the world outside.
PUBLISHED = {"check_value": 0xE3069283, "zeros_32": 0x8A9136AA, "ones_32": 0x62A8AB43, "ascending_32": 0x46DD794E,
             "descending_32": 0x113FDB5C}


def valid_entry(name, message, datagram=None):
    frame = reference.encode(message)
    entry = {"name": name, "transport": "frame", "hex": frame.hex()}
    if datagram:
        entry["transport"], entry["datagram"] = "datagram", datagram
        entry["hex"] = reference.datagram(int(datagram["session"]), int(datagram["packet_number"]), frame).hex()
    entry["checksum"] = frame[8:12].hex()
    if message["kind"] in ("sightings", "preferences"):
        entry["identity_checksum"] = f"{reference.identity_checksum(frame):08x}"
    return {**entry, "message": message}


def invalid_entry(name, transport, data, label, field=None):
    entry = {"name": name, "transport": transport, "hex": data.hex(), "error": label}
    if field:
        entry["field"] = field
    return {**entry, "refusal_code": reference.Refused(label, field).refusal_code}


def files():
    """Every file's name and its entries."""
    return {
        "valid.json": [valid_entry(*case) for case in valid_cases.cases()],
        "large.json": [valid_entry(*case) for case in valid_cases.large_cases()],
        "invalid.json": [invalid_entry(*case) for case in invalid_cases.cases()],
        "checksum.json": [{"name": name, "hex": data.hex(), "crc32c": f"{reference.crc32c(data):08x}"}
                          for name, data in CHECKSUM_INPUTS],
    }


def text(entries):
    lines = (json.dumps(entry, ensure_ascii=False, separators=(",", ":")) for entry in entries)
    return "[\n" + ",\n".join(lines) + "\n]\n"


def decode(entry):
    data = bytes.fromhex(entry["hex"])
    return reference.decode_datagram(data) if entry["transport"] == "datagram" else (None, reference.decode_frame(data))


def wrong_valid(entry):
    try:
        header, message = decode(entry)
    except reference.Refused as refused:
        return f"refused as {refused.label} {refused.field or ''}"
    if message != entry["message"] or header != entry.get("datagram"):
        return "decodes to other fields"
    return None


def wrong_invalid(entry):
    try:
        decode(entry)
    except reference.Refused as refused:
        got = (refused.label, refused.field, refused.refusal_code)
        want = (entry["error"], entry.get("field"), entry["refusal_code"])
        return None if got == want else f"refused as {got}, not {want}"
    return "not refused"


def check():
    """Every complaint about the files on disk, the decoder and SPEC.md's examples."""
    for name, data in CHECKSUM_INPUTS:
        if name in PUBLISHED and reference.crc32c(data) != PUBLISHED[name]:
            yield f"crc32c of {name} is not the published value"
    for name, entries in files().items():
        if not (HERE / name).exists() or (HERE / name).read_text("utf-8") != text(entries):
            yield f"{name}: not what generate.py writes"
        names = [entry["name"] for entry in entries]
        yield from (f"{name}: {twice} is there twice" for twice in {n for n in names if names.count(n) > 1})
        judge = {"invalid.json": wrong_invalid, "checksum.json": lambda _: None}.get(name, wrong_valid)
        for entry in entries:
            if wrong := judge(entry):
                yield f"{name}: {entry['name']}: {wrong}"
    specification = (HERE.parent / "SPEC.md").read_text("utf-8")
    for title, lines in examples.blocks():
        if "\n".join(lines) not in specification:
            yield f"SPEC.md: the example {title!r} is not what generate.py prints"


def main(arguments):
    if arguments == ["--examples"]:
        for title, lines in examples.blocks():
            print(f"{title}\n\n" + "\n".join(lines) + "\n")
    elif arguments == ["--check"]:
        complaints = list(check())
        print("\n".join(complaints) or ", ".join(f"{name}: {len(entries)}" for name, entries in files().items()))
        return 1 if complaints else 0
    elif not arguments:
        for name, entries in files().items():
            (HERE / name).write_text(text(entries), "utf-8")
    else:
        print("usage: generate.py [--check | --examples]", file=sys.stderr)
        return 64
    return 0


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    sys.exit(main(sys.argv[1:]))
