"""Read torch's zip container: a pickle and one stored record for each storage.

Stricter than a zip reader: every byte belongs to a record that the directory names, the two
headers of a record say the same, nothing is compressed, padding is padding, every CRC-32 holds.
So a flipped bit anywhere is refused. Where torch was told to compute no CRC-32, all are 0 and none
is compared.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, NamedTuple

from rexnet_hub.weights.checkpoint.legacy import MAX_PICKLE_BYTES
from rexnet_hub.weights.checkpoint.manifest import TORCH_SCRIPT, StoredBytes
from rexnet_hub.weights.checkpoint.pickle_reader import StorageNote, read_pickle
from rexnet_hub.weights.digest import ByteSource

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_AFTER = struct.Struct("<4sIII")
_AFTER64 = struct.Struct("<4sIQQ")
_END64 = struct.Struct("<4sQHHIIQQQQ")
_LOCATOR = struct.Struct("<4sIQI")
_END = struct.Struct("<4sHHHHIIH")

# In a field of 32 bits: the number stands in a wide field elsewhere (zip64).
_WIDE = 0xFFFFFFFF

# As torch's writer sets them: UTF-8 names (bit 11), sizes after the data (bit 3) unless a record is empty.
_SIZES_AFTER = 0x0008
_FLAGS = (0, 0x0800, 0x0808)
_MAX_DIRECTORY_BYTES = 4 << 20
# What TorchScript writes today, and what it wrote before torch 1.4.
_PROGRAM_PARTS = {"constants.pkl", "model.json", "attributes.pkl"}
_REZIPPED = "; another program zipped it anew: load it with torch.load and save it with torch.save once"
# Beside the pickle and the data; each at most a line of text.
_NOTES = {".format_version", ".storage_alignment", "byteorder", "version", ".data/serialization_id"}


class _Entry(NamedTuple):
    """The directory entry of one record."""

    name: str
    crc: int
    size: int
    packed_size: int
    header_at: int
    wide: bytes  # the zip64 field; empty below 4 GiB
    shared: tuple[int, ...]  # version needed, flags, method, time, date: the same in both headers
    others: tuple[int, ...]  # what is 0 in all that torch writes

    @property
    def flags(self) -> int:
        """Return how the record was written."""
        return self.shared[1]


def read_zip(source: ByteSource) -> tuple[Any, dict[str, StoredBytes], bool]:
    """Read the object, where each of its storages lies, and whether the file has checksums.

    Raises:
        CheckpointError: The file is not what `torch.save` writes, byte for byte accounted for.
    """
    entries, directory_at = _read_directory(source)
    _require_plain(source, entries)
    records = _find_records(source, entries, directory_at)
    if "data.pkl" not in records:
        raise source.refuse("is a zip archive, but holds no data.pkl: not one of torch's")
    _require_notes(source, records)
    pickle = records["data.pkl"]
    if pickle.length_bytes > MAX_PICKLE_BYTES:
        raise source.refuse(f"its pickle is longer than {MAX_PICKLE_BYTES} bytes")
    data = source.read(pickle.offset_bytes, pickle.length_bytes)
    body = read_pickle(source, data, 0)
    if body.end != len(data):
        raise source.refuse("has bytes after the end of its pickle")
    return body.value, _match_storages(source, records, body.storages), _has_checksums(entries)


def _read_directory(source: ByteSource) -> tuple[list[_Entry], int]:
    """Read the directory at the end of the archive; return its entries and its place."""
    count, size, directory_at = _read_end(source)
    if size > _MAX_DIRECTORY_BYTES:
        raise source.refuse(f"its zip directory is longer than {_MAX_DIRECTORY_BYTES} bytes")
    data, at, entries = source.read(directory_at, size), 0, []
    while at < len(data):
        try:
            entry, at = _read_entry(data, at)
        except (struct.error, ValueError):
            raise source.refuse(f"its zip directory is damaged at byte {at}") from None
        entries.append(entry)
    if len(entries) != count:
        raise source.refuse(f"its zip directory has {len(entries)} entries and says {count}")
    return entries, directory_at


def _read_end(source: ByteSource) -> tuple[int, int, int]:
    """Return the count of entries, the length and the place of the directory, as the archive's end says.

    torch writes the same facts twice: in wide fields, then in narrow ones, as far as they have room.
    """
    end_at = source.size_bytes - _END.size
    if end_at < 0:
        raise source.refuse("is cut short: no zip directory")
    end = source.read(end_at, _END.size)
    *_, count, size, directory_at, _ = _END.unpack(end)
    wide_at, wide = end_at - _END64.size - _LOCATOR.size, b""
    if wide_at >= 0 and source.read(wide_at, 4) == b"PK\x06\x06":
        *_, count, size, directory_at = _END64.unpack(source.read(wide_at, _END64.size))
        # Version fields as torch's zip writer sets them: made by Unix 3.0, needs 4.5.
        wide = _END64.pack(b"PK\x06\x06", 44, 0x031E, 45, 0, 0, count, count, size, directory_at)
        wide += _LOCATOR.pack(b"PK\x06\x07", 0, wide_at, 1)
    entries, place = min(count, 0xFFFF), min(directory_at, _WIDE)
    if end != _END.pack(b"PK\x05\x06", 0, 0, entries, entries, min(size, _WIDE), place, 0):
        raise source.refuse("does not end with a zip directory: it is cut short or damaged")
    after = directory_at + size
    if after + len(wide) != end_at or source.read(after, len(wide)) != wide:
        raise source.refuse("has other bytes between its zip directory and its end")
    return count, size, directory_at


def _read_entry(data: bytes, at: int) -> tuple[_Entry, int]:
    """Read the entry at a place of the directory; return it and the place after it."""
    fields = [int(field) for field in _CENTRAL.unpack_from(data, at)[1:]]
    made_by, *shared, crc, packed, size, name_len, extra_len, note_len, disk, inner, outer, header_at = fields
    name_at = at + _CENTRAL.size
    end = name_at + name_len + extra_len
    name, extra = data[name_at : name_at + name_len], data[name_at + name_len : end]
    if data[at : at + 4] != b"PK\x01\x02" or end > len(data):
        raise ValueError
    numbers = [size, packed, header_at]
    if extra or _WIDE in numbers:
        # The zip64 field: the numbers that are too large for their own place, in this order.
        wide = [index for index, number in enumerate(numbers) if number == _WIDE]
        kind, length, *found = struct.unpack(f"<HH{len(wide)}Q", extra)
        if not wide or (kind, length) != (1, 8 * len(wide)):
            raise ValueError
        for index, number in zip(wide, found, strict=True):
            numbers[index] = number
    entry = _Entry(
        name=name.decode(),
        crc=crc,
        size=numbers[0],
        packed_size=numbers[1],
        header_at=numbers[2],
        wide=extra,
        shared=tuple(shared),
        others=(made_by, note_len, disk, inner, outer),
    )
    return entry, end + note_len


def _require_plain(source: ByteSource, entries: list[_Entry]) -> None:
    """Refuse an archive with anything that torch does not write into one of plain weights."""
    names = {entry.name.partition("/")[2] for entry in entries}
    if names & _PROGRAM_PARTS or any(name.startswith("code/") for name in names):
        raise source.refuse(TORCH_SCRIPT)
    for entry in entries:
        if entry.shared[2] != 0 or entry.packed_size != entry.size:
            problem = f"is compressed, which torch does not do{_REZIPPED}"
            raise source.refuse(f"its record {entry.name[:80]!a} {problem}")
        if any(entry.others) or entry.flags not in _FLAGS:
            problem = f"has flags or attributes that torch does not write{_REZIPPED}"
            raise source.refuse(f"its record {entry.name[:80]!a} {problem}")


def _has_checksums(entries: list[_Entry]) -> bool:
    """Return whether any CRC-32 is stated: none is after `torch.serialization.set_crc32_options(False)`."""
    return any(entry.crc for entry in entries)


def _find_records(source: ByteSource, entries: list[_Entry], directory_at: int) -> dict[str, StoredBytes]:
    """Walk the archive from its first byte to its directory, which must be record upon record."""
    records: dict[str, StoredBytes] = {}
    folders = {entry.name.partition("/")[0] for entry in entries}
    at = 0
    for entry in entries:
        name = entry.name.partition("/")[2]
        if entry.header_at != at or not name or len(folders) != 1 or name in records:
            problem = f"its zip records are not one after another, each once, at {entry.name[:80]!a}"
            raise source.refuse(problem)
        data_at = _require_local_header(source, entry)
        records[name] = StoredBytes(name=name, offset_bytes=data_at, length_bytes=entry.size)
        crc = 0
        for chunk in source.chunks(data_at, entry.size):
            crc = zlib.crc32(chunk, crc)
        if crc != entry.crc and _has_checksums(entries):
            problem = f"its record {entry.name[:80]!a} is damaged: CRC-32 {crc:08x}, stated {entry.crc:08x}"
            raise source.refuse(problem)
        at = data_at + entry.size
        if entry.flags & _SIZES_AFTER:
            after = _AFTER64 if entry.wide else _AFTER
            trailer = after.pack(b"PK\x07\x08", entry.crc, entry.size, entry.size)
            if source.read(at, len(trailer)) != trailer:
                raise source.refuse(f"its record {entry.name[:80]!a} ends otherwise than its directory says")
            at += len(trailer)
    if at != directory_at:
        raise source.refuse("has bytes between its last zip record and its directory")
    return records


def _require_local_header(source: ByteSource, entry: _Entry) -> int:
    """Compare a record's own header with the directory's; return the place of its data."""
    header = _LOCAL.unpack(source.read(entry.header_at, _LOCAL.size))
    sign, *shared, crc, packed, size, name_len, extra_len = header
    stated = (0, 0, 0) if entry.flags & _SIZES_AFTER else (entry.crc, entry.size, entry.size)
    tail = source.read(entry.header_at + _LOCAL.size, name_len + extra_len)
    # In the zip64 field here the packed size, the second number, is not yet known to the writer: 0.
    wide = entry.wide[:12] + bytes(8) + entry.wide[20:] if len(entry.wide) >= 20 else entry.wide
    # After it only padding, which puts the data on a round place: "FB", its length, then Z's.
    fill = extra_len - len(wide) - 4
    padding = b"FB" + struct.pack("<H", fill) + b"Z" * fill if fill >= 0 else b""
    if (
        sign != b"PK\x03\x04"
        or tuple(shared) != entry.shared
        or (crc, packed, size) != stated
        or tail != entry.name.encode() + wide + padding
    ):
        problem = f"its record {entry.name[:80]!a} has a header that is not the one of the directory"
        raise source.refuse(problem)
    return int(entry.header_at + _LOCAL.size + name_len + extra_len)


def _require_notes(source: ByteSource, records: dict[str, StoredBytes]) -> None:
    """Refuse records that torch does not write, and numbers in another byte order."""
    for name, record in records.items():
        if name in _NOTES and record.length_bytes <= 100:
            continue
        if name != "data.pkl" and not name.startswith("data/"):
            raise source.refuse(f"holds a record {name[:80]!a} that plain weights do not need")
    order = records.get("byteorder")
    if order and source.read(order.offset_bytes, order.length_bytes) != b"little":
        raise source.refuse("was not written by a little-endian machine")


def _match_storages(
    source: ByteSource, records: dict[str, StoredBytes], storages: dict[str, StorageNote]
) -> dict[str, StoredBytes]:
    by_key = {name[5:]: record for name, record in records.items() if name.startswith("data/")}
    if set(by_key) != set(storages):
        raise source.refuse("its data records are not the ones that its tensors need")
    for key, note in storages.items():
        if (needed := note.size_bytes) != by_key[key].length_bytes:
            problem = f"storage {key[:80]!a} has {by_key[key].length_bytes} bytes, its tensors say {needed}"
            raise source.refuse(problem)
    return by_key
