"""Map the tensor names of the networks' authors to ours: total, one to one, data.

The authors' networks (ReXNetV1 in rexnetv1.py of clovaai/rexnet, 104f2184; ReXNetV1_lite in rexnetv1_lite.py,
61debcc) are one `features` sequence: convolution, batch norm, activation, sixteen blocks, convolution, batch
norm, of a lite an activation; then an `output` that ends in a 1x1 convolution as the classifier. A block is a
sequence `out` whose numbers depend on what it has: the first block does not expand, the first three have no
squeeze-and-excitation, those of a lite have none.
"""

from __future__ import annotations

from rexnet_hub.nets.families.rexnet.shapes import CONFIGS, expected_tensors, plan_blocks
from rexnet_hub.nets.family import KeyMap
from rexnet_hub.nets.state_dict import Shape

# In a sequence a batch norm follows its convolution, and in a gate two places lie between the convolutions.
_AFTER_CONV = {"conv": 0, "fc": 0, "bn": 1}
_IN_GATE = {"fc1": 0, "bn": 1, "fc2": 3}


def _make(name: str, architecture: str) -> KeyMap:
    """Make the map of one of the two layouts, all of whose networks have tensors of the same names."""
    config = CONFIGS[architecture]
    blocks, classifier = plan_blocks(config), 4 if config.is_lite else 1

    def authors_name(ours: str) -> str:
        match ours.split("."):
            case ["stem", layer, part]:
                return f"features.{_AFTER_CONV[layer]}.{part}"
            case ["features", index, layer, part]:
                return f"features.{int(index) + 3 + _AFTER_CONV[layer]}.{part}"
            case ["features", index, "se", layer, part]:
                return f"features.{int(index) + 3}.out.5.fc.{_IN_GATE[layer]}.{part}"
            case ["features", index, conv, layer, part]:
                depthwise = 3 if int(index) else 0  # convolution, batch norm, activation
                last = depthwise + 3 + (blocks[int(index)].se_channels > 0)
                at = {"conv_exp": 0, "conv_dw": depthwise, "conv_pwl": last}[conv] + _AFTER_CONV[layer]
                return f"features.{int(index) + 3}.out.{at}.{part}"
            case ["head", "hidden", layer, part]:
                return f"output.{_AFTER_CONV[layer]}.{part}"
        return ours.replace("head.fc", f"output.{classifier}")

    return KeyMap(
        name=name,
        names={authors_name(ours): ours for ours in expected_tensors(config)},
        resembles=_resembles,
        our_shape=_our_shape,
    )


def _resembles(name: str) -> bool:
    return name.startswith("output.") or (name.startswith("features.") and ".out." in name)


def _our_shape(name: str, shape: Shape) -> Shape:
    """Return the shape under our names: the authors' 1x1 convolutions at the end are matrices."""
    is_matrix = name in ("head.fc.weight", "head.hidden.fc.weight") and shape[2:] == (1, 1)
    return shape[:2] if is_matrix else shape


#: All tensors, in the order in which both networks list them: 413, of a lite 303.
AUTHORS = _make("authors", "rexnet_100")
AUTHORS_LITE = _make("authors_lite", "rexnet_lite_100")
