"""The Xet side of the loopback Hub: pieces of files (xorbs), and lists of which pieces make a file (shards).

A xorb is a row of chunks, each with a header of eight bytes: version, stored bytes (24 bits), compression,
plain bytes (24 bits). A shard is 48 bytes of header, then for each file a line, its terms (xorb, chunks from,
to), perhaps as many lines of checks, and a line with the file's SHA-256; all lines are of 48 bytes. The tests
tell the client not to compress. Every content is put together and held against the SHA-256 that it is sent
under.
"""

# ruff: noqa: D102 - what a method does, its name says

import hashlib
import itertools
import struct
from dataclasses import dataclass
from typing import Any

TOKEN = "xet_SENTINEL0123456789abcdef"
LINE, CHUNK_HEAD, CHUNK_BYTES = 48, 8, 1 << 16
HAS_CHECKS, HAS_SHA256 = 1 << 31, 1 << 30


class NotXet(Exception):  # noqa: N818
    """What was sent is not what this store takes."""


@dataclass(frozen=True)
class Term:
    """The chunks `start` to before `end` of a xorb, a stretch of a file."""

    xorb: str
    size: int
    start: int
    end: int


def as_hex(raw):
    """Write a hash as the protocol does: four numbers of 64 bits, each in its own byte order."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))


def split(xorb):
    """List the places of a xorb's chunks, headers included, and of its end."""
    places, at = [0], 0
    while at + CHUNK_HEAD <= len(xorb) and not xorb.startswith(b"XETBLOB", at):
        stored, plain = (int.from_bytes(xorb[at + i : at + i + 3], "little") for i in (1, 5))
        if xorb[at] or xorb[at + 4] or stored != plain:
            raise NotXet("a chunk of another version, or compressed")
        at += CHUNK_HEAD + stored
        places.append(at)
    return places


def read_shard(data):
    """Give each file of a shard: its hash, the SHA-256 of its content, its terms."""
    lines = (data[at : at + LINE] for at in range(LINE, len(data), LINE))
    for head in lines:
        if head[:32] == b"\xff" * 32:
            return
        flags, count = struct.unpack_from("<II", head, 32)
        rows = [next(lines) for _ in range(count)]
        terms = [Term(as_hex(row[:32]), *struct.unpack_from("<3I", row, 36)) for row in rows]
        for _ in range(count if flags & HAS_CHECKS else 0):
            next(lines)
        if not flags & HAS_SHA256:
            raise NotXet("a file without SHA-256")
        # Written word by word too, so that reading it as a hash gives other digits than hashlib's.
        yield as_hex(head[:32]), struct.pack(">4Q", *struct.unpack("<4Q", next(lines)[:32])).hex(), terms


class XetStore:
    """What clients sent: xorbs by hash, and files by hash."""

    def __init__(self):
        self.xorbs, self.files, self.hashes = {}, {}, {}

    def add_shard(self, data):
        """Enter a shard's files; give their contents, each held against its SHA-256."""
        contents = []
        for name, sha256, terms in read_shard(data):
            content = b"".join(self.content(term) for term in terms)
            if hashlib.sha256(content).hexdigest() != sha256:
                raise NotXet("the content has another SHA-256")
            self.files[name], self.hashes[sha256] = terms, name
            contents.append(content)
        return contents

    def add(self, content):
        """Take a content as if sent by a client, in one xorb; the names are not the protocol's digests."""
        name = hashlib.sha256(content).hexdigest()
        chunks = [content[at : at + CHUNK_BYTES] for at in range(0, len(content), CHUNK_BYTES)]
        sizes = [len(chunk).to_bytes(3, "little") for chunk in chunks]
        heads = [b"\0" + size + b"\0" + size for size in sizes]
        self.xorbs[name] = b"".join(head + chunk for head, chunk in zip(heads, chunks, strict=True))
        self.files[name], self.hashes[name] = [Term(name, len(content), 0, len(chunks))], name

    def content(self, term):
        if term.xorb not in self.xorbs:
            raise NotXet("a term of a xorb that was never sent")
        xorb = self.xorbs[term.xorb]
        places = split(xorb)[term.start : term.end + 1]
        plain = b"".join(xorb[at + CHUNK_HEAD : end] for at, end in itertools.pairwise(places))
        if len(plain) != term.size:
            raise NotXet("a term of another size")
        return plain

    def reconstruction(self, name, url, asked, *, version):
        """Say from which stretches of which xorbs the asked bytes (start, before end) of a file come."""
        start, end = asked
        fetch: dict[str, list[dict[str, Any]]] = {}
        terms, at, skip = [], 0, None
        for term in self.files[name]:
            before, at = at, at + term.size
            if at <= start or before >= end:
                continue
            skip = start - before if skip is None else skip
            chunks = {"start": term.start, "end": term.end}
            places = split(self.xorbs[term.xorb])
            stretch = {"start": places[term.start], "end": places[term.end] - 1}
            terms.append({"hash": term.xorb, "unpacked_length": term.size, "range": chunks})
            where: dict[str, Any] = {"url": f"{url}/xorb/{term.xorb}?signature=SIGNED"}
            if version == "v2":
                where["ranges"] = [{"chunks": chunks, "bytes": stretch}]
            else:
                where |= {"range": chunks, "url_range": stretch}
            fetch.setdefault(term.xorb, []).append(where)
        rows = "xorbs" if version == "v2" else "fetch_info"
        return {"offset_into_first_range": skip or 0, "terms": terms, rows: fetch}
