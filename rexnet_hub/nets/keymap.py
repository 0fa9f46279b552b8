"""Map the tensor names of the network's authors to ours: total, one to one, data.

The authors' network (ReXNetV1 in rexnetv1.py of clovaai/rexnet, 104f2184) is one `features`
sequence: convolution, batch norm, activation, sixteen blocks, convolution, batch norm; then a 1x1
convolution as the classifier. A block is a sequence `out` whose numbers depend on what it has: the
first block does not expand, the first three have no squeeze-and-excitation.
"""

from __future__ import annotations

from collections.abc import Mapping

from rexnet_hub.errors import StateDictError
from rexnet_hub.nets.state_dict import require_tensors

NUM_BLOCKS = 16
_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def _norm(authors: str, ours: str) -> dict[str, str]:
    return {f"{authors}.{part}": f"{ours}.{part}" for part in _NORM}


def _conv_norm(authors: str, at: int, ours: str) -> dict[str, str]:
    """Map a convolution at a place in a sequence and the batch norm after it."""
    return {f"{authors}.{at}.weight": f"{ours}.conv.weight"} | _norm(f"{authors}.{at + 1}", f"{ours}.bn")


def _block(index: int) -> dict[str, str]:
    authors, ours, at = f"features.{index + 3}.out", f"features.{index}", 0
    names: dict[str, str] = {}
    if index > 0:
        names |= _conv_norm(authors, at, f"{ours}.conv_exp")
        at += 3  # convolution, batch norm, activation
    names |= _conv_norm(authors, at, f"{ours}.conv_dw")
    at += 2
    if index > 2:
        gate = f"{authors}.{at}.fc"
        names |= {f"{gate}.0.{part}": f"{ours}.se.fc1.{part}" for part in ("weight", "bias")}
        names |= _norm(f"{gate}.1", f"{ours}.se.bn")
        names |= {f"{gate}.3.{part}": f"{ours}.se.fc2.{part}" for part in ("weight", "bias")}
        at += 1
    return names | _conv_norm(authors, at + 1, f"{ours}.conv_pwl")  # an activation lies between


def _all_names() -> dict[str, str]:
    names = _conv_norm("features", 0, "stem")
    for index in range(NUM_BLOCKS):
        names |= _block(index)
    names |= _conv_norm("features", NUM_BLOCKS + 3, f"features.{NUM_BLOCKS}")
    return names | {"output.1.weight": "head.fc.weight", "output.1.bias": "head.fc.bias"}


# All 413 tensors, in the order in which both networks list them.
AUTHORS_TO_OURS: Mapping[str, str] = _all_names()


def choose_key_map(
    shapes: Mapping[str, tuple[int, ...]], *, file: str
) -> tuple[str | None, Mapping[str, str]]:
    """Return which layout a state dict has: `authors`, or None where its names stay as they are.

    Returns:
        The layout's name, and a new name for each name of the file, one to one.

    Raises:
        StateDictError: It has names of the authors' layout, but not exactly all of them.
    """
    if not any(_is_of_authors(name) for name in shapes):
        return None, {name: name for name in shapes}
    expected = {name: ("tensor", shapes.get(name, ())) for name in AUTHORS_TO_OURS}
    require_tensors({name: ("tensor", shape) for name, shape in shapes.items()}, expected, file=file)
    if len(set(AUTHORS_TO_OURS.values())) != len(AUTHORS_TO_OURS):
        raise StateDictError(file, "its names would not stay apart under the map of the authors' layout")
    return "authors", AUTHORS_TO_OURS


def our_shape(layout: str | None, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape under our names: the authors' 1x1 convolution at the end is a matrix."""
    if layout == "authors" and name == "head.fc.weight" and shape[2:] == (1, 1):
        return shape[:2]
    return shape


def _is_of_authors(name: str) -> bool:
    return name.startswith("output.1.") or (name.startswith("features.") and ".out." in name)
