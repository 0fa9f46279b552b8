"""Write torch's legacy container: a flat OrderedDict of dense tensors.

The pickle is the one that `torch.save(..., _use_new_zipfile_serialization=False)` writes, so the file has
exactly the size of torch's. Only the storages' keys differ from run to run there (they are addresses, of
fourteen digits on 64-bit Linux); here they count up.
"""

from __future__ import annotations

import functools
import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

from rexnet_hub.nets.state_dict import TensorTable
from rexnet_hub.weights.checkpoint.legacy import MAGIC_NUMBER, PROTOCOL_VERSION
from rexnet_hub.weights.checkpoint.manifest import dense_stride
from rexnet_hub.weights.dtypes import DTYPES
from rexnet_hub.weights.safetensors_file import TensorSpec

_FIRST_KEY = 94_000_000_000_000
_MACHINE = {
    "protocol_version": PROTOCOL_VERSION,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}


class _Tensor(NamedTuple):
    """A tensor of the pickle; its storage has all of it, and the same key."""

    spec: TensorSpec
    key: str


class _Storage(NamedTuple):
    """The storage of a tensor."""

    tensor: _Tensor


@functools.cache  # each is pickled once, then referred to
def _name(module: str, name: str) -> _Name:
    return _Name(module, name)


class _Name(NamedTuple):
    """Something of torch's, by its name: torch is not imported for it."""

    module: str
    name: str

    def __call__(self) -> None:
        """Return nothing: the pickler asks whether it can be called, and does not call it."""


class _Pickler(pickle._Pickler):  # Python's own: the one in C looks each name up
    """Pickle tensors that are not there as torch pickles those that are."""

    def save_name(self, obj: _Name) -> None:
        """Write a name, as of something that is imported."""
        self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())  # type: ignore[attr-defined]
        self.memoize(obj)  # type: ignore[attr-defined]

    dispatch: ClassVar = {**pickle._Pickler.dispatch, _Name: save_name}  # type: ignore[dict-item]

    def reducer_override(self, obj: Any) -> Any:
        """Return what rebuilds a tensor."""
        if not isinstance(obj, _Tensor):
            return NotImplemented
        # Tuples of its own, so that none is written as a reference to that of another tensor.
        shape, stride = ((*numbers,) for numbers in (obj.spec.shape, dense_stride(obj.spec.shape)))
        rebuild = _name("torch._utils", "_rebuild_tensor_v2")
        return rebuild, (_Storage(obj), 0, shape, stride, False, OrderedDict())

    def persistent_id(self, obj: Any) -> Any:
        """Return what names a storage."""
        if not isinstance(obj, _Storage):
            return None
        spec, dtype = obj.tensor.spec, DTYPES[obj.tensor.spec.dtype]
        if dtype.storage is None:
            raise ValueError(f"torch's legacy container has no {dtype.name}")
        kind, count = _name("torch", dtype.storage), spec.size_bytes // dtype.item_bytes
        return ("storage", kind, obj.tensor.key, "cpu", count, None)


def render_preamble(tensors: Iterable[TensorSpec]) -> bytes:
    """Render all that stands before the first storage."""
    listed = [_Tensor(spec, str(_FIRST_KEY + 64 * index)) for index, spec in enumerate(tensors)]
    stream = io.BytesIO()
    for facts in (MAGIC_NUMBER, PROTOCOL_VERSION, _MACHINE):
        pickle.dump(facts, stream, protocol=2)
    _Pickler(stream, protocol=2).dump(OrderedDict((tensor.spec.name, tensor) for tensor in listed))
    pickle.dump([tensor.key for tensor in listed], stream, protocol=2)
    return stream.getvalue()


def legacy_size_bytes(tensors: TensorTable) -> int:
    """Count the bytes of torch's legacy, non-zip file of an `OrderedDict` of these tensors in this order.

    Files of before torch 1.6 were saved so: the sizes that an index gives of them come out to the byte.
    """
    specs = specs_of(tensors)
    return len(render_preamble(specs)) + sum(len(render_count(spec)) + spec.size_bytes for spec in specs)


def render_count(tensor: TensorSpec) -> bytes:
    """Render what stands before a storage's items: how many there are."""
    return struct.pack("<q", tensor.size_bytes // DTYPES[tensor.dtype].item_bytes)


def specs_of(tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> list[TensorSpec]:
    """Return a table of tensors as specs, in its order."""
    return [TensorSpec(name=n, dtype=dtype, shape=tuple(shape)) for n, (dtype, shape) in tensors.items()]
