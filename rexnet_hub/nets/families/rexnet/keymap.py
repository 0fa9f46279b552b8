"""Map the tensor names of the network's authors to ours: total, one to one, data.

The authors' network (ReXNetV1 in rexnetv1.py of clovaai/rexnet, 104f2184) is one `features`
sequence: convolution, batch norm, activation, sixteen blocks, convolution, batch norm; then a 1x1
convolution as the classifier. A block is a sequence `out` whose numbers depend on what it has: the
first block does not expand, the first three have no squeeze-and-excitation.
"""

from __future__ import annotations

from rexnet_hub.nets.families.rexnet.shapes import CONFIGS, expected_tensors
from rexnet_hub.nets.family import KeyMap
from rexnet_hub.nets.state_dict import Shape

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


def _resembles(name: str) -> bool:
    return name.startswith("output.1.") or (name.startswith("features.") and ".out." in name)


def _our_shape(name: str, shape: Shape) -> Shape:
    """Return the shape under our names: the authors' 1x1 convolution at the end is a matrix."""
    return shape[:2] if name == "head.fc.weight" and shape[2:] == (1, 1) else shape


#: All 413 tensors, in the order in which both networks list them.
AUTHORS = KeyMap(
    name="authors",
    names={_authors_name(ours): ours for ours in expected_tensors(CONFIGS["rexnet_100"])},
    resembles=_resembles,
    our_shape=_our_shape,
)
