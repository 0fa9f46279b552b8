"""Read torch's legacy container: five pickles, then the stored numbers one after another.

The pickles are: a magic number, a protocol number, facts on the machine, the object itself, and
the keys of its storages. Each storage follows as its count (eight bytes) and its items. There is
no checksum: without a digest of the file a flipped bit of a number cannot be seen.
"""

from __future__ import annotations

import re
from typing import Any

from rexnet_hub.weights.checkpoint.manifest import StoredBytes
from rexnet_hub.weights.checkpoint.pickle_reader import StorageNote, read_pickle
from rexnet_hub.weights.digest import ByteSource

# torch/serialization.py: MAGIC_NUMBER and PROTOCOL_VERSION.
MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
# How the file begins: the magic number as `pickle` writes it with protocol 2, and with any other.
MAGIC_BYTES = b"\x80\x02\x8a\x0a" + MAGIC_NUMBER.to_bytes(10, "little") + b"."
IS_LEGACY = re.compile(
    rb"(?s:\x80[\x02-\x05](\x95.{8})?%s|L%dL\n\.)" % (re.escape(MAGIC_BYTES[2:]), MAGIC_NUMBER)
).match

MAX_PICKLE_BYTES = 16 << 20


def read_legacy(source: ByteSource) -> tuple[Any, dict[str, StoredBytes]]:
    """Read the object, and where each of its storages lies.

    Raises:
        CheckpointError: The file is not what `torch.save` writes, byte for byte accounted for.
    """
    data = source.read(0, min(source.size_bytes, MAX_PICKLE_BYTES))
    magic = read_pickle(source, data, 0)
    protocol = read_pickle(source, data, magic.end)
    machine = read_pickle(source, data, protocol.end)
    if magic.value != MAGIC_NUMBER or protocol.value != PROTOCOL_VERSION:
        raise source.refuse("does not begin as torch's legacy container does")
    if type(machine.value) is not dict or machine.value.get("little_endian") is not True:
        raise source.refuse("was not written by a little-endian machine")
    body = read_pickle(source, data, machine.end)
    keys = read_pickle(source, data, body.end)
    if magic.storages or protocol.storages or machine.storages or keys.storages:
        raise source.refuse("speaks of stored numbers outside its object")
    return body.value, _find_storages(source, keys.value, keys.end, body.storages)


def _find_storages(
    source: ByteSource, keys: Any, at: int, storages: dict[str, StorageNote]
) -> dict[str, StoredBytes]:
    if type(keys) is not list or any(type(key) is not str for key in keys):
        raise source.refuse("its list of storages is not one")
    if len(set(keys)) != len(keys) or set(keys) != set(storages):
        raise source.refuse("its list of storages is not the one that its tensors need")
    records = {}
    for key in keys:
        note, count = storages[key], int.from_bytes(source.read(at, 8), "little", signed=True)
        if count != note.count:
            raise source.refuse(f"storage {key[:80]!a} has {count} items, its tensors say {note.count}")
        records[key] = StoredBytes(name=key, offset_bytes=at + 8, length_bytes=note.size_bytes)
        at += 8 + note.size_bytes
        if at > source.size_bytes:
            problem = f"is cut short: storage {key[:80]!a} ends at {at}, it has {source.size_bytes} bytes"
            raise source.refuse(problem)
    if at != source.size_bytes:
        raise source.refuse(f"has {source.size_bytes - at} bytes after its last storage")
    return records
