"""Read a pickle without running any of it: its tensors become notes, all else inert values.

A small machine with the opcodes of pickle, which Python's own `pickletools` tells apart without
obeying them. It imports nothing, looks nothing up and calls nothing. A tensor of the pickle becomes
a note of which stored items it has. Whatever another class or function would have made becomes an
`Opaque`, which is walked past: it swallows what is done to it and never becomes a tensor. So no
name can do harm; one that runs programs is refused all the same (`pickled_names.py`).
"""

from __future__ import annotations

import io
import pickletools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from rexnet_hub.errors import CheckpointError, list_some
from rexnet_hub.weights.checkpoint.manifest import MAX_DIMENSIONS
from rexnet_hub.weights.checkpoint.pickled_names import is_function, is_of_programs, modern_name
from rexnet_hub.weights.digest import ByteSource
from rexnet_hub.weights.dtypes import BY_STORAGE, DTYPES

MAX_OPERATIONS = 1_000_000

_DTYPES = {f"torch.{name}": name for name in DTYPES}
# Where a storage lived when it was saved; its numbers are in the file all the same, but of "meta" none are.
_DEVICE = re.compile("cpu|mps|(cuda|hpu|mtia|npu|privateuseone|xla|xpu)(:[0-9]{1,4})?")
# A storage on a GPU was pickled under torch.cuda.
_STORAGES = {
    f"{module}.{name}": (dtype.name, dtype.item_bytes)
    for module in ("torch", "torch.cuda")
    for name, dtype in BY_STORAGE.items()
}
_STORAGES["torch.storage.UntypedStorage"] = ("uint8", 1)  # bytes; the tensor says what they are
# No safetensors file holds such numbers: their size is known so that they can be walked past.
_OTHERS = {"QInt8": 1, "QUInt8": 1, "QInt32": 4, "QUInt4x2": 1, "QUInt2x4": 1, "ComplexDouble": 16}
_STORAGES |= {f"torch.{name}Storage": (f"{name}Storage", size) for name, size in _OTHERS.items()}


@dataclass(frozen=True, slots=True)
class Global:
    """A name of the pickle, not the thing it names."""

    name: str


@dataclass(slots=True, eq=False)
class Opaque:
    """A value that a class or function would have made, had it been called.

    Attributes:
        name: Of the class or function; of a tensor that cannot be kept, what it is.
        state: The attributes that the pickle gives it.
    """

    name: str
    state: dict[Any, Any] | None = None

    @property
    def is_tensor(self) -> bool:
        """Whether it is a tensor of a kind that cannot be kept."""
        return self.name.startswith(("tensor ", "torch._utils._rebuild_"))


@dataclass(frozen=True, slots=True)
class StorageNote:
    """A run of stored numbers that the pickle speaks of."""

    key: str
    dtype: str
    count: int
    item_bytes: int

    @property
    def size_bytes(self) -> int:
        """The number of bytes that it takes in the file."""
        return self.count * self.item_bytes


@dataclass(frozen=True, slots=True)
class TensorNote:
    """A tensor that the pickle speaks of; offset and stride in items of its own dtype."""

    storage: StorageNote
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Unpickled(NamedTuple):
    """The content of one pickle: its value, the storages it speaks of, where it ended."""

    value: Any
    storages: dict[str, StorageNote]
    end: int


def read_pickle(source: ByteSource, data: bytes, start: int) -> Unpickled:
    """Read the pickle that begins at `start`.

    Raises:
        CheckpointError: It is damaged, contradicts itself, or names what runs programs, which is listed.
    """
    machine, at, result, problem = _Machine(source), start, None, None
    try:
        for operation in _operations(source, data, start):
            at, name, argument = operation
            if name == "STOP":
                result = Unpickled(machine.result(), machine.storages, at + 1)
            else:
                _STEPS[name](machine, argument)
    except CheckpointError as error:
        problem = error
    except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
        why = f": {error}" if type(error) is _NumberError else ""
        problem = source.refuse(f"its pickle makes no sense at byte {at}{why}")
    if machine.programs:
        raise source.refuse(
            f"its pickle names what runs programs, not data: {list_some(machine.programs)}. Nothing of it "
            "was run. Where it was made, save the state dict alone: torch.save(model.state_dict(), file)"
        )
    if result is None:
        raise problem or source.refuse("its pickle has no end")
    return result


def render_text(text: object) -> str:
    """Render what a file says in one short line of plain characters."""
    return ascii(str(text)[:80])[1:-1]


def _operations(source: ByteSource, data: bytes, start: int) -> Iterator[tuple[Any, str, Any]]:
    """Walk the opcodes from `start` to STOP, each with its place and argument."""
    stream, frame_end = io.BytesIO(data), 0
    stream.seek(start)
    try:
        for number, (opcode, argument, place) in enumerate(pickletools.genops(stream)):
            at = place or 0
            if number == MAX_OPERATIONS:
                raise source.refuse(f"its pickle has more than {MAX_OPERATIONS} opcodes")
            if frame_end and at >= frame_end:
                _require(at == frame_end)  # no opcode lies across the end of a frame
                frame_end = 0
            if opcode.name == "FRAME":
                _require(not frame_end)
                frame_end = at + 9 + int(argument or 0)
                continue
            if opcode.name not in _STEPS and opcode.name != "STOP":
                code = f"0x{ord(opcode.code):02x} of protocol {opcode.proto}"
                raise source.refuse(
                    f"its pickle has an opcode {code} that tensors do not need, byte {at}: "
                    "protocols 1 to 5 are read, as torch.save writes them"
                )
            _require(opcode.name != "STOP" or frame_end in (0, at + 1))
            yield at, opcode.name, argument
    except (ValueError, DeprecationWarning):  # the latter of an escape in a name, where warnings are errors
        raise source.refuse(f"its pickle is cut short, too long or damaged at byte {stream.tell()}") from None


@dataclass(slots=True)
class _Machine:
    """The stack, the memo, the storages and the names of programs met so far."""

    source: ByteSource
    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    storages: dict[str, StorageNote] = field(default_factory=dict)
    programs: dict[str, None] = field(default_factory=dict)
    copied: int = 0

    def result(self) -> Any:
        (value,) = self.stack
        if self.marks:
            raise ValueError
        return value

    def mark(self, _: None) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def push_since_mark(self, make: Callable[[list[Any]], Any]) -> None:
        items = make(self.since_mark())
        self.stack.append(items)

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def pop(self, _: None) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def append_all(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not Opaque:
            _require_type(self.stack[-1], list).extend(items)

    def set_all(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is Opaque:
            return
        target = _require_type(self.stack[-1], dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) in (list, dict):
                raise TypeError
            if type(key) not in (str, int, float, bool, bytes, type(None)):
                # The hash of a nested tuple can take for ever.
                key = Opaque(key.name if type(key) is Opaque else type(key).__name__)
            if key in target:
                raise self.source.refuse(f"its pickle sets {render_text(key)!r} twice in one dict")
            target[key] = value

    def copy(self, things: Any) -> Any:
        """Charge for a copy: few opcodes must not make many of something large."""
        self.copied += len(things)
        if self.copied > MAX_OPERATIONS:
            raise self.source.refuse(f"its pickle copies more than {MAX_OPERATIONS} items")
        return things.copy()

    def name(self, module: str, name: str) -> None:
        module, name = modern_name(_require_type(module, str), _require_type(name, str))
        if is_of_programs(module, name):
            self.programs[render_text(f"{module}.{name}")] = None
        self.stack.append(Global(f"{module}.{name}"))

    def called(self, function: Any) -> str:
        """Return the name of what is called; a function that is no builder of data counts as a program."""
        name: str = _require_type(function, Global).name
        if is_function(name) and name not in _REDUCERS and render_text(name) not in self.programs:
            self.programs[f"{render_text(name)} (a function that it calls)"] = None
        return name

    def old_object(self, made_by: Any, *_arguments: Any) -> None:
        self.stack.append(Opaque(self.called(made_by)))

    def new_object(self, made_by: Any, *_arguments: Any) -> None:
        self.stack.append(Opaque(_require_type(made_by, Global).name))

    def build(self, _: None) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is not Opaque:
            # An OrderedDict's attributes (`_metadata` of a state dict) are versions of modules, no tensors.
            _require_type(state, dict)
            _require_type(target, dict)
        elif target.state is not None:
            raise ValueError
        else:
            target.state = self.copy(state) if type(state) is dict else {}

    def reduce(self, _: None) -> None:
        arguments = _require_type(self.stack.pop(), tuple)
        function = self.stack.pop()
        if type(function) is Opaque:
            raise self.source.refuse(f"its pickle calls what {render_text(function.name)} gave it")
        name = self.called(function)
        if name == "collections.OrderedDict":
            self.stack.append({})
            for pairs in arguments:  # Python 2 wrote them here
                self.set_all([thing for key, value in self.copy(pairs) for thing in (key, value)])
        elif name == "builtins.set":
            (items,) = arguments
            self.stack.append(self.copy(_require_type(items, list)))
        else:
            _require(name not in _STORAGES)
            self.stack.append(_REDUCERS[name](*arguments) if name in _REDUCERS else Opaque(name))

    def persistent(self, _: None) -> None:
        kind, storage_type, key, *rest = _require_type(self.stack.pop(), tuple)
        if kind == "module":  # a class, with the place and text of its source, which nobody reads
            self.stack.append(_require_type(storage_type, Global))
            return
        location, count, *view = rest
        if kind != "storage" or view not in ([], [None]):
            raise ValueError
        if not _DEVICE.fullmatch(_require_type(location, str)):
            raise self.source.refuse(f"its pickle has a storage on {location[:80]!a}, no device with data")
        name = _require_type(storage_type, Global).name
        if name not in _STORAGES:
            raise self.source.refuse(f"its pickle has a {render_text(name)}, whose size is not known here")
        dtype, item_bytes = _STORAGES[name]
        note = StorageNote(_require_type(key, str), dtype, _natural(count, "a storage"), item_bytes)
        if self.storages.setdefault(note.key, note) != note:
            raise self.source.refuse(f"its pickle describes storage {note.key[:80]!a} in two ways")
        self.stack.append(note)


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError


def _require_type(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError
    return value


class _NumberError(ValueError):
    """A number that no tensor can have."""


def _natural(value: Any, what: str) -> int:
    if type(value) is not int:
        raise ValueError
    if not 0 <= value < 1 << 48:
        raise _NumberError(f"{what} of {value if -1 << 48 < value < 1 << 63 else 'more digits than any has'}")
    return value


def _naturals(value: Any, what: str = "a size") -> tuple[int, ...]:
    if len(_require_type(value, tuple)) > MAX_DIMENSIONS:
        raise ValueError
    return tuple(_natural(number, what) for number in value)


def _tensor_v1(storage: Any, offset: Any, shape: Any, stride: Any) -> TensorNote | Opaque:
    dtype = _require_type(storage, StorageNote).dtype
    note = TensorNote(
        storage, dtype, _natural(offset, "an offset"), _naturals(shape), _naturals(stride, "a stride")
    )
    return note if dtype in DTYPES else Opaque(f"tensor of {dtype}")


def _tensor_v2(
    storage: Any, offset: Any, shape: Any, stride: Any, needs_gradient: Any, hooks: Any, metadata: Any = None
) -> TensorNote | Opaque:
    return _plain(_tensor_v1(storage, offset, shape, stride), needs_gradient, hooks, metadata)


def _tensor_v3(*arguments: Any) -> TensorNote | Opaque:
    *view, kind = arguments[:7]
    note, name = _tensor_v2(*view, *arguments[7:]), _require_type(kind, Global).name
    if type(note) is TensorNote and name in _DTYPES:
        return replace(note, dtype=_DTYPES[name])
    return Opaque(f"tensor of {name}")


def _plain(note: Any, needs_gradient: Any, hooks: Any, metadata: Any = None) -> TensorNote | Opaque:
    """Return the tensor; one with hooks, or to be read as conjugate or negative, is none to keep."""
    _require_type(needs_gradient, bool)
    _require(type(note) in (TensorNote, Opaque) and type(hooks) in (dict, type(None)))
    kept: TensorNote | Opaque = Opaque("tensor with hooks or a conjugate view") if hooks or metadata else note
    return kept


def _from_type(function: Any, kind: Any, arguments: Any, _state: Any) -> TensorNote | Opaque:
    """Return a tensor with attributes of its own; one of a subclass means what only that class knows."""
    name, kind_name = (_require_type(thing, Global).name for thing in (function, kind))
    if name not in _TENSORS or kind_name != "torch.Tensor":
        return Opaque(f"tensor of {kind_name} by {name}")
    return _TENSORS[name](*_require_type(arguments, tuple))


_TENSORS: dict[str, Callable[..., TensorNote | Opaque]] = {
    "torch._utils._rebuild_tensor": _tensor_v1,
    "torch._utils._rebuild_tensor_v2": _tensor_v2,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
}
_REDUCERS: dict[str, Callable[..., Any]] = {
    **_TENSORS,
    "torch._utils._rebuild_parameter": _plain,
    "torch._utils._rebuild_parameter_with_state": lambda *arguments: _plain(*arguments[:3]),
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.Size": _naturals,
    "copyreg._reconstructor": lambda kind, _base, _state: Opaque(_require_type(kind, Global).name),
}


#: What is done at each opcode that a checkpoint needs, by its name in `pickletools`; FRAME is no step.
_STEPS: dict[str, Callable[[_Machine, Any], object]] = {
    "PROTO": lambda machine, number: _require(2 <= number <= 5),
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "TUPLE": lambda machine, _: machine.push_since_mark(tuple),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "APPEND": lambda machine, _: machine.append_all([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append_all(machine.since_mark()),
    "EMPTY_SET": lambda machine, _: machine.stack.append([]),
    "ADDITEMS": lambda machine, _: machine.append_all(machine.since_mark()),
    "FROZENSET": lambda machine, _: machine.push_since_mark(list),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "SETITEM": lambda machine, _: machine.set_all([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.set_all(machine.since_mark()),
    "GLOBAL": lambda machine, name: machine.name(*name.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(machine.stack.pop(-2), machine.stack.pop()),
    "OBJ": lambda machine, _: machine.old_object(*machine.since_mark()),
    "NEWOBJ": lambda machine, _: machine.new_object(machine.stack.pop(-2), machine.stack.pop()),
    "NEWOBJ_EX": lambda machine, _: machine.new_object(
        machine.stack.pop(-3), machine.stack.pop(), machine.stack.pop()
    ),
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "BINPERSID": _Machine.persistent,
    "MEMOIZE": lambda machine, _: machine.memo.__setitem__(len(machine.memo), machine.stack[-1]),
}
_VALUES = """NONE INT BININT BININT1 BININT2 LONG LONG1 BINFLOAT BINSTRING SHORT_BINSTRING BINBYTES
    SHORT_BINBYTES BINBYTES8 BYTEARRAY8 SHORT_BINUNICODE BINUNICODE BINUNICODE8"""
for _name in _VALUES.split():
    _STEPS[_name] = lambda machine, value: machine.stack.append(value)
for _width in ("BIN", "LONG_BIN"):
    _STEPS[f"{_width}PUT"] = lambda machine, place: machine.memo.__setitem__(place, machine.stack[-1])
    _STEPS[f"{_width}GET"] = lambda machine, place: machine.stack.append(machine.memo[place])
