"""Map the tensor names of the network's authors to ours: total, one to one, data.

The authors' network (ReXNetV1 in rexnetv1.py of clovaai/rexnet, 104f2184) is one `features`
sequence: convolution, batch norm, activation, sixteen blocks, convolution, batch norm; then a 1x1
convolution as the classifier. A block is a sequence `out` whose numbers depend on what it has: the
first block does not expand, the first three have no squeeze-and-excitation.
"""

from __future__ import annotations

from collections.abc import Mapping

from rexnet_hub.nets.shapes import CONFIGS, expected_tensors
from rexnet_hub.nets.state_dict import require_tensors

# In a sequence a batch norm follows its convolution, and in a gate two places lie between the convolutions.
_AFTER_CONV = {"conv": 0, "bn": 1}
_IN_GATE = {"fc1": 0, "bn": 1, "fc2": 3}


def _authors_name(ours: str) -> str:
    """Return what the authors call one of our tensors."""
    match ours.split("."):
        case ["stem", layer, part]:
            return f"features.{_AFTER_CONV[layer]}.{part}"
        case ["features", index, layer, part]:
            return f"features.{int(index) + 3 + _AFTER_CONV[layer]}.{part}"
        case ["features", index, "se", layer, part]:
            return f"features.{int(index) + 3}.out.5.fc.{_IN_GATE[layer]}.{part}"
        case ["features", index, conv, layer, part]:
            depthwise = 3 if int(index) else 0  # convolution, batch norm, activation
            last = depthwise + 3 + (int(index) > 2)
            at = {"conv_exp": 0, "conv_dw": depthwise, "conv_pwl": last}[conv] + _AFTER_CONV[layer]
            return f"features.{int(index) + 3}.out.{at}.{part}"
    return ours.replace("head.fc", "output.1")


# All 413 tensors, in the order in which both networks list them.
AUTHORS_TO_OURS: Mapping[str, str] = {
    _authors_name(ours): ours for ours in expected_tensors(CONFIGS["rexnet_100"])
}


def choose_key_map(
    shapes: Mapping[str, tuple[int, ...]], *, file: str, is_rexnet: bool
) -> tuple[str | None, Mapping[str, str]]:
    """Return which layout a state dict has: `authors`, or None where its names stay as they are.

    Args:
        is_rexnet: Whether somebody said so; others too have names such as `features.3.out.0.weight`.

    Returns:
        The layout's name, and a new name for each name of the file, one to one.

    Raises:
        StateDictError: It should be a ReXNet and has names of the authors' layout, but not exactly all.
    """
    theirs = any(n.startswith("output.1.") or (n.startswith("features.") and ".out." in n) for n in shapes)
    if shapes.keys() != AUTHORS_TO_OURS.keys() and not (is_rexnet and theirs):
        return None, {name: name for name in shapes}
    expected = {name: ("tensor", shapes.get(name, ())) for name in AUTHORS_TO_OURS}
    require_tensors({name: ("tensor", shape) for name, shape in shapes.items()}, expected, file=file)
    return "authors", AUTHORS_TO_OURS


def our_shape(layout: str | None, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape under our names: the authors' 1x1 convolution at the end is a matrix."""
    if layout == "authors" and name == "head.fc.weight" and shape[2:] == (1, 1):
        return shape[:2]
    return shape
