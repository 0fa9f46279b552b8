"""Read a pickle of plain tensors without running any of it.

A small machine with the opcodes that a checkpoint needs, which Python's own `pickletools` tells apart without
obeying them. It imports nothing and calls nothing:
a tensor of the pickle becomes a note of which stored items it has, and any name that is not on
the list below is refused before the first opcode is obeyed.
"""

from __future__ import annotations

import io
import pickletools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from rexnet_hub.errors import CheckpointError
from rexnet_hub.weights.digest import ByteSource
from rexnet_hub.weights.dtypes import BY_STORAGE, DTYPES

MAX_OPERATIONS = 1_000_000
MAX_LISTED = 10

_REBUILD_V3 = "torch._utils _rebuild_tensor_v3"
_REBUILD_V2 = "torch._utils _rebuild_tensor_v2"
_REBUILD_V1 = "torch._utils _rebuild_tensor"
_REBUILD_PARAMETER = "torch._utils _rebuild_parameter"
_ORDERED_DICT = "collections OrderedDict"
_SIZE = "torch Size"
# Where a storage lived when it was saved; its numbers are in the file all the same, but of "meta" none are.
_DEVICE = re.compile("cpu|mps|(cuda|hpu|mtia|npu|privateuseone|xla|xpu)(:[0-9]{1,4})?")
# A storage on a GPU was pickled under torch.cuda.
_STORAGES = {
    f"{module} {name}": dtype.name for module in ("torch", "torch.cuda") for name, dtype in BY_STORAGE.items()
}
_STORAGES["torch.storage UntypedStorage"] = "uint8"  # bytes; the tensor says what they are
_KINDS = {f"torch {name}": name for name in DTYPES}
_FUNCTIONS = {_REBUILD_V3, _REBUILD_V2, _REBUILD_V1, _REBUILD_PARAMETER, _ORDERED_DICT, _SIZE}
ALLOWED_GLOBALS = frozenset({*_FUNCTIONS, *_STORAGES, *_KINDS})


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
    """A tensor that the pickle speaks of; offset and stride in items of its own dtype."""

    storage: StorageNote
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(slots=True)
class Unpickled:
    """The content of one pickle: its value, the storages it speaks of, where it ended."""

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


def _operations(source: ByteSource, data: bytes, start: int) -> Iterator[tuple[Any, str, Any]]:
    """Walk the opcodes from `start` to STOP, each with its place and argument."""
    stream = io.BytesIO(data)
    stream.seek(start)
    try:
        for number, (opcode, argument, at) in enumerate(pickletools.genops(stream)):
            if number == MAX_OPERATIONS:
                raise source.refuse(f"its pickle has more than {MAX_OPERATIONS} opcodes")
            if opcode.name not in _STEPS and opcode.name != "STOP":
                code = f"0x{ord(opcode.code):02x}"
                raise source.refuse(f"its pickle has an opcode {code} that tensors do not need, byte {at}")
            yield at, opcode.name, argument
    except (ValueError, DeprecationWarning):  # the latter of an escape in a name, where warnings are errors
        raise source.refuse(f"its pickle is cut short, too long or damaged at byte {stream.tell()}") from None


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

    def build(self, _: None) -> None:
        # An OrderedDict's attributes (`_metadata` of a state dict) are versions of modules, no tensors.
        _require_type(self.stack.pop(), dict)
        _require_type(self.stack[-1], dict)

    def reduce(self, _: None) -> None:
        arguments = _require_type(self.stack.pop(), tuple)
        name = _require_type(self.stack.pop(), Global).name
        self.stack.append(_REDUCERS[name](*arguments))

    def persistent(self, _: None) -> None:
        kind, storage_type, key, location, count, *view = _require_type(self.stack.pop(), tuple)
        if kind != "storage" or view not in ([], [None]):
            raise ValueError
        if not _DEVICE.fullmatch(_require_type(location, str)):
            raise self.source.refuse(f"its pickle has a storage on {location[:80]!a}, no device with data")
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
    dtype = _require_type(storage, StorageNote).dtype
    return TensorNote(storage, dtype, _natural(offset), _naturals(shape), _naturals(stride))


def _tensor_v3(
    storage: Any, offset: Any, shape: Any, stride: Any, gradient: Any, hooks: Any, kind: Any, *metadata: Any
) -> TensorNote:
    note = _tensor_v2(storage, offset, shape, stride, gradient, hooks, *metadata)
    return replace(note, dtype=_KINDS[_require_type(kind, Global).name])


def _parameter(data: Any, needs_gradient: Any, hooks: Any) -> TensorNote:
    _require_type(needs_gradient, bool)
    if len(_require_type(hooks, dict)):
        raise ValueError
    note: TensorNote = _require_type(data, TensorNote)
    return note


_REDUCERS: dict[str, Callable[..., Any]] = {
    _ORDERED_DICT: lambda: {},
    _SIZE: _naturals,
    _REBUILD_V3: _tensor_v3,
    _REBUILD_V2: _tensor_v2,
    _REBUILD_V1: _tensor_v1,
    _REBUILD_PARAMETER: _parameter,
}

#: What is done at each opcode that a checkpoint needs, by its name in `pickletools`.
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine.protocol,
    "MARK": _Machine.mark,
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
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
    "GLOBAL": lambda machine, name: machine.stack.append(Global(name)),
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
}
for _name in ["NONE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING"]:
    _STEPS[_name] = lambda machine, value: machine.stack.append(value)
for _width in ("BIN", "LONG_BIN"):
    _STEPS[f"{_width}PUT"] = lambda machine, place: machine.memo.__setitem__(place, machine.stack[-1])
    _STEPS[f"{_width}GET"] = lambda machine, place: machine.stack.append(machine.memo[place])
