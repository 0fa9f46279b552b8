"""Compare the tensors that are there with the ones that must be there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rexnet_hub.errors import StateDictError, list_some

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, ...]
# Name to dtype (as torch says it without its prefix, such as `float32`) and shape.
TensorTable = Mapping[str, tuple[str, Shape]]


def require_tensors(tensors: TensorTable, expected: TensorTable, *, file: Path | str = "state dict") -> None:
    """Refuse a state dict that is not, name for name and shape for shape, the expected one.

    Raises:
        StateDictError: Lists at most ten missing, extra and misshapen tensors each, and counts all.
    """
    if tensors == expected:
        return
    missing = [name for name in expected if name not in tensors]
    extra = [name for name in tensors if name not in expected]
    differing = [name for name in expected if name in tensors and tensors[name] != expected[name]]
    unlike = [f"{name} is {_render(tensors[name])}, not {_render(expected[name])}" for name in differing]
    floats = [name for name in differing if "float" in tensors[name][0]]
    floats = [name for name in floats if expected[name] == ("float32", tensors[name][1])]
    parts = [
        f"{len(names)} {what} ({list_some(names)})"
        for what, names in (("missing", missing), ("extra", extra), ("of another shape or dtype", unlike))
        if names
    ]
    if not parts:
        return
    advice = []
    if floats:
        advice.append(f"Convert with --float32 (as_float32=True): it makes float32 of {len(floats)}.")
    if len(floats) < len(missing) + len(extra) + len(unlike):
        advice.append("Is it a checkpoint of another model?")
    problem = f"its {len(tensors)} tensors are not the {len(expected)} that the network has"
    raise StateDictError(file, f"{problem}: {'; '.join(parts)}. {' '.join(advice)}")


def _render(tensor: tuple[str, Iterable[int]]) -> str:
    return f"{tensor[0]} {list(tensor[1])}"


def table_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[str, Shape]]:
    """List the tensors of a state dict as a table."""
    return {n: (str(t.dtype).removeprefix("torch."), tuple(t.shape)) for n, t in tensors.items()}
