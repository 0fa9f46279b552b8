"""Read a pickle of plain tensors without running any of it.

A small machine with the opcodes that a checkpoint needs. It imports nothing and calls nothing:
a tensor of the pickle becomes a note of which stored items it has, and any name that is not on
the list below is refused before the first opcode is obeyed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from rexnet_hub.errors import CheckpointError
from rexnet_hub.weights.digest import ByteSource
from rexnet_hub.weights.dtypes import BY_STORAGE

MAX_OPERATIONS = 1_000_000
MAX_LISTED = 10

_REBUILD_V2 = "torch._utils _rebuild_tensor_v2"
_REBUILD_V1 = "torch._utils _rebuild_tensor"
_REBUILD_PARAMETER = "torch._utils _rebuild_parameter"
_ORDERED_DICT = "collections OrderedDict"
_SIZE = "torch Size"
# A storage on a GPU was pickled under torch.cuda; where it lived does not matter here.
_STORAGES = {
    f"{module} {name}": dtype.name for module in ("torch", "torch.cuda") for name, dtype in BY_STORAGE.items()
}
ALLOWED_GLOBALS = frozenset({_REBUILD_V2, _REBUILD_V1, _REBUILD_PARAMETER, _ORDERED_DICT, _SIZE, *_STORAGES})

# Opcode: its name, and how its argument is read (see _argument).
_OPCODES = {
    0x80: ("PROTO", "u1"),
    ord("."): ("STOP", ""),
    ord("("): ("MARK", ""),
    ord("N"): ("NONE", ""),
    0x88: ("TRUE", ""),
    0x89: ("FALSE", ""),
    ord("J"): ("INTEGER", "i4"),
    ord("K"): ("INTEGER", "u1"),
    ord("M"): ("INTEGER", "u2"),
    0x8A: ("INTEGER", "long1"),
    ord("G"): ("FLOAT", "f8"),
    ord("X"): ("TEXT", "text4"),
    ord("U"): ("TEXT", "text1"),
    ord(")"): ("EMPTY_TUPLE", ""),
    0x85: ("TUPLE1", ""),
    0x86: ("TUPLE2", ""),
    0x87: ("TUPLE3", ""),
    ord("t"): ("TUPLE", ""),
    ord("]"): ("EMPTY_LIST", ""),
    ord("a"): ("APPEND", ""),
    ord("e"): ("APPENDS", ""),
    ord("}"): ("EMPTY_DICT", ""),
    ord("s"): ("SETITEM", ""),
    ord("u"): ("SETITEMS", ""),
    ord("q"): ("PUT", "u1"),
    ord("r"): ("PUT", "u4"),
    ord("h"): ("GET", "u1"),
    ord("j"): ("GET", "u4"),
    ord("c"): ("GLOBAL", "lines"),
    ord("R"): ("REDUCE", ""),
    ord("b"): ("BUILD", ""),
    ord("Q"): ("PERSISTENT", ""),
}
_FIXED = {
    kind: struct.Struct(form)
    for kind, form in {"u1": "<B", "u2": "<H", "u4": "<I", "i4": "<i", "f8": ">d"}.items()
}


@dataclass(frozen=True, slots=True)
class Global:
    """A name on the list, not the thing it names."""

    name: str


@dataclass(frozen=True, slots=True)
class StorageNote:
    """A run of stored numbers that the pickle speaks of."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True, slots=True)
class TensorNote:
    """A tensor that the pickle speaks of; offset and stride in items."""

    storage: StorageNote
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(slots=True)
class Unpickled:
    """What one pickle says: its value, the storages it speaks of, where it ended."""

    value: Any
    storages: dict[str, StorageNote]
    end: int


def read_pickle(source: ByteSource, data: bytes, start: int) -> Unpickled:
    """Read the pickle that begins at `start`.

    Raises:
        CheckpointError: An opcode, a name or a structure that plain tensors do not need; the
            foreign names are listed.
    """
    _require_known_globals(source, data, start)
    machine = _Machine(source)
    try:
        for position, name, argument in _operations(source, data, start):
            if name == "STOP":
                return Unpickled(machine.result(), machine.storages, position + 1)
            _STEPS[name](machine, argument)
    except (IndexError, KeyError, TypeError, ValueError, AttributeError):
        pass
    raise source.refuse(f"its pickle makes no sense at byte {position}")


def _require_known_globals(source: ByteSource, data: bytes, start: int) -> None:
    foreign: dict[str, None] = {}
    damage = None
    try:
        for _, name, argument in _operations(source, data, start):
            if name == "GLOBAL" and argument not in ALLOWED_GLOBALS:
                foreign[str(argument).replace(" ", ".")[:80]] = None
    except CheckpointError as error:
        damage = error
    if foreign:
        listed = ", ".join(ascii(name)[1:-1] for name in list(foreign)[:MAX_LISTED])
        more = f" and {len(foreign) - MAX_LISTED} more" if len(foreign) > MAX_LISTED else ""
        raise source.refuse(
            f"its pickle names things that are not plain tensors: {listed}{more}. Nothing of it was run. "
            "In the program that made it, save the state dict alone: torch.save(model.state_dict(), file)"
        ) from None
    if damage:
        raise damage


def _operations(source: ByteSource, data: bytes, start: int) -> Iterator[tuple[int, str, Any]]:
    """Walk the opcodes from `start` to STOP, each with its place and argument."""
    at = start
    for _ in range(MAX_OPERATIONS):
        if at >= len(data):
            raise source.refuse(f"its pickle is cut short, or too long, at byte {at}")
        if data[at] not in _OPCODES:
            raise source.refuse(
                f"its pickle has an opcode 0x{data[at]:02x} that tensors do not need, byte {at}"
            )
        name, kind = _OPCODES[data[at]]
        argument, after = _argument(source, data, at + 1, kind) if kind else (None, at + 1)
        yield at, name, argument
        if name == "STOP":
            return
        at = after
    raise source.refuse(f"its pickle has more than {MAX_OPERATIONS} opcodes")


def _argument(source: ByteSource, data: bytes, at: int, kind: str) -> tuple[Any, int]:
    """Read the argument of an opcode; give it and the place after it."""
    try:
        if kind in _FIXED:
            return _FIXED[kind].unpack_from(data, at)[0], at + _FIXED[kind].size
        if kind == "lines":
            middle = data.index(b"\n", at, at + 200)
            end = data.index(b"\n", middle + 1, middle + 200)
            return data[at:middle].decode() + " " + data[middle + 1 : end].decode(), end + 1
        wide = kind == "text4"
        length, begin = struct.unpack_from("<I" if wide else "<B", data, at)[0], at + (4 if wide else 1)
        body = data[begin : begin + length]
        if len(body) != length or (kind == "long1" and length > 16):
            raise ValueError
        return int.from_bytes(
            body, "little", signed=True
        ) if kind == "long1" else body.decode(), begin + length
    except (ValueError, struct.error):
        raise source.refuse(f"its pickle is cut short or damaged at byte {at}") from None


@dataclass(slots=True)
class _Machine:
    """The stack, the memo, and the storages met so far."""

    source: ByteSource
    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    storages: dict[str, StorageNote] = field(default_factory=dict)

    def result(self) -> Any:
        (value,) = self.stack
        if self.marks:
            raise ValueError
        return value

    def protocol(self, number: int) -> None:
        if number not in (2, 3):
            raise self.source.refuse(f"its pickle has protocol {number}; torch.save writes 2")

    def mark(self, _: None) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def tuple_since_mark(self, _: None) -> None:
        items = tuple(self.since_mark())
        self.stack.append(items)

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def append_all(self, items: list[Any]) -> None:
        _require_type(self.stack[-1], list)
        self.stack[-1].extend(items)

    def set_all(self, items: list[Any]) -> None:
        target = _require_type(self.stack[-1], dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Only these keys: the hash of a nested tuple can take for ever.
            if type(key) not in (str, int):
                raise TypeError
            if key in target:
                raise self.source.refuse(f"its pickle sets {str(key)[:80]!a} twice in one dict")
            target[key] = value

    def find_global(self, name: str) -> None:
        self.stack.append(Global(name))

    def build(self, _: None) -> None:
        # An OrderedDict's attributes (`_metadata` of a state dict) are versions of modules, no tensors.
        _require_type(self.stack.pop(), dict)
        _require_type(self.stack[-1], dict)

    def reduce(self, _: None) -> None:
        arguments = _require_type(self.stack.pop(), tuple)
        name = _require_type(self.stack.pop(), Global).name
        self.stack.append(_REDUCERS[name](*arguments))

    def persistent(self, _: None) -> None:
        kind, storage_type, key, _location, count, *view = _require_type(self.stack.pop(), tuple)
        if kind != "storage" or view not in ([], [None]):
            raise ValueError
        note = StorageNote(
            _require_type(key, str), _STORAGES[_require_type(storage_type, Global).name], _natural(count)
        )
        if self.storages.setdefault(note.key, note) != note:
            raise self.source.refuse(f"its pickle describes storage {note.key[:80]!a} in two ways")
        self.stack.append(note)


def _require_type(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError
    return value


def _natural(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 48:
        raise ValueError
    return value


def _naturals(value: Any) -> tuple[int, ...]:
    return tuple(_natural(number) for number in _require_type(value, tuple))


def _tensor_v2(
    storage: Any, offset: Any, shape: Any, stride: Any, needs_gradient: Any, hooks: Any, metadata: Any = None
) -> TensorNote:
    _require_type(needs_gradient, bool)
    if len(_require_type(hooks, dict)) or metadata:
        raise ValueError
    return _tensor_v1(storage, offset, shape, stride)


def _tensor_v1(storage: Any, offset: Any, shape: Any, stride: Any) -> TensorNote:
    _require_type(storage, StorageNote)
    return TensorNote(storage, _natural(offset), _naturals(shape), _naturals(stride))


def _parameter(data: Any, needs_gradient: Any, hooks: Any) -> TensorNote:
    _require_type(needs_gradient, bool)
    if len(_require_type(hooks, dict)):
        raise ValueError
    note: TensorNote = _require_type(data, TensorNote)
    return note


_REDUCERS: dict[str, Callable[..., Any]] = {
    _ORDERED_DICT: lambda: {},
    _SIZE: _naturals,
    _REBUILD_V2: _tensor_v2,
    _REBUILD_V1: _tensor_v1,
    _REBUILD_PARAMETER: _parameter,
}

_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine.protocol,
    "MARK": _Machine.mark,
    "NONE": lambda machine, _: machine.stack.append(None),
    "TRUE": lambda machine, _: machine.stack.append(True),
    "FALSE": lambda machine, _: machine.stack.append(False),
    "INTEGER": lambda machine, number: machine.stack.append(number),
    "FLOAT": lambda machine, number: machine.stack.append(number),
    "TEXT": lambda machine, text: machine.stack.append(text),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "TUPLE": _Machine.tuple_since_mark,
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "APPEND": lambda machine, _: machine.append_all([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append_all(machine.since_mark()),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "SETITEM": lambda machine, _: machine.set_all([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.set_all(machine.since_mark()),
    "PUT": lambda machine, place: machine.memo.__setitem__(place, machine.stack[-1]),
    "GET": lambda machine, place: machine.stack.append(machine.memo[place]),
    "GLOBAL": _Machine.find_global,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "PERSISTENT": _Machine.persistent,
}
