"""Define one ReXNet by its width: every channel, tensor name and shape follows from that.

Nothing here needs torch, so a checkpoint can be checked against its network without one.

Source:
    "Rethinking Channel Dimensions for Efficient Model Design", arXiv 2007.00992, section 4, as the
    authors coded it in rexnetv1.py and rexnetv1_lite.py (clovaai/rexnet at 61debcc); the rounded
    variants follow timm/models/rexnet.py (huggingface/pytorch-image-models at aa4b5850).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from rexnet_hub.nets.state_dict import Shape

#: Blocks in each stage, and the stride of each stage's first block.
STAGE_DEPTHS = (1, 2, 2, 3, 3, 5)
STAGE_STRIDES = (1, 2, 2, 2, 1, 2)
DEPTH = sum(STAGE_DEPTHS)

STEM_CHANNELS = 32
FIRST_CHANNELS = 16  # out of the first block, at width 1
GAINED_CHANNELS = 180  # over all blocks, in equal steps: the linear rule that the paper proposes
HEAD_CHANNELS = 1280
EXPANSION = 6  # of every block but the first
SE_DIVISOR = 12  # squeeze-and-excitation narrows the expanded channels by this
STAGES_WITHOUT_SE = 2
LITE_GAINED_CHANNELS = 164  # from the first block to the last, in equal steps
LITE_HIDDEN_CHANNELS = 1024  # of the layer before the classifier

# What a network can be built with, the usual first.
POOLS = ("avg", "max", "avgmax", "catavgmax", "")
OUTPUT_STRIDES = (32, 16, 8)
DROP_RATE = 0.2


class ReXNetConfig(NamedTuple):
    """One ReXNet.

    Attributes:
        width: Multiplies every channel count; at least 1.
        divisor: Channel counts are rounded to multiples of this; 1 leaves them as they fall.
        is_lite: Whether it is a ReXNet-lite: without squeeze-and-excitation, with ReLU6 alone and with a
            hidden layer before the classifier.
    """

    width: float
    divisor: int = 1
    is_lite: bool = False

    @property
    def step(self) -> float:
        """How many channels a block has more than the one before it, at width 1."""
        return LITE_GAINED_CHANNELS / (DEPTH - 1) if self.is_lite else GAINED_CHANNELS / DEPTH

    @property
    def hidden_channels(self) -> int:
        """Channels of the layer before the classifier; 0 where there is none."""
        return LITE_HIDDEN_CHANNELS if self.is_lite else 0


CONFIGS = {
    "rexnet_100": ReXNetConfig(width=1.0),
    "rexnet_130": ReXNetConfig(width=1.3),
    "rexnet_150": ReXNetConfig(width=1.5),
    "rexnet_200": ReXNetConfig(width=2.0),
    "rexnet_300": ReXNetConfig(width=3.0),
    "rexnetr_100": ReXNetConfig(width=1.0, divisor=8),
    "rexnetr_130": ReXNetConfig(width=1.3, divisor=8),
    "rexnetr_150": ReXNetConfig(width=1.5, divisor=8),
    "rexnetr_200": ReXNetConfig(width=2.0, divisor=8),
    "rexnetr_300": ReXNetConfig(width=3.0, divisor=16),
    "rexnet_lite_100": ReXNetConfig(width=1.0, divisor=8, is_lite=True),
    "rexnet_lite_130": ReXNetConfig(width=1.3, divisor=8, is_lite=True),
    "rexnet_lite_150": ReXNetConfig(width=1.5, divisor=8, is_lite=True),
    "rexnet_lite_200": ReXNetConfig(width=2.0, divisor=8, is_lite=True),
}


class BlockPlan(NamedTuple):
    """The numbers of one linear bottleneck."""

    in_channels: int
    expanded_channels: int
    se_channels: int  # 0: no squeeze-and-excitation
    out_channels: int
    stride: int


def round_channels(channels: float, divisor: int) -> int:
    """Round to the nearest multiple of `divisor`, never losing more than a tenth.

    Source: `make_divisible` of timm/layers/helpers.py at aa4b5850, from MobileNet v2.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def stem_channels(config: ReXNetConfig) -> int:
    """Return the channels out of the stem."""
    return round_channels(round(STEM_CHANNELS * config.width), config.divisor)


def head_channels(config: ReXNetConfig) -> int:
    """Return the channels out of the last convolution: what is pooled."""
    return round_channels(HEAD_CHANNELS * config.width, config.divisor)


def plan_blocks(config: ReXNetConfig) -> tuple[BlockPlan, ...]:
    """Plan the 16 blocks: channels grow by the same step from each to the next."""
    blocks: list[BlockPlan] = []
    in_channels, linear = stem_channels(config), float(FIRST_CHANNELS)
    for stage, (depth, first_stride) in enumerate(zip(STAGE_DEPTHS, STAGE_STRIDES, strict=True)):
        for position in range(depth):
            out_channels = round_channels(round(linear * config.width), config.divisor)
            expansion = EXPANSION if blocks else 1
            expanded = round_channels(in_channels * expansion, config.divisor) if blocks else in_channels
            squeezed = round_channels(int(expanded * (1 / SE_DIVISOR)), config.divisor)
            blocks.append(
                BlockPlan(
                    in_channels=in_channels,
                    expanded_channels=expanded,
                    se_channels=squeezed if stage >= STAGES_WITHOUT_SE and not config.is_lite else 0,
                    out_channels=out_channels,
                    stride=first_stride if position == 0 else 1,
                )
            )
            in_channels, linear = out_channels, linear + config.step
    return tuple(blocks)


def expected_tensors(
    config: ReXNetConfig, *, num_classes: int = 1000, in_chans: int = 3
) -> dict[str, tuple[str, Shape]]:
    """List every tensor of the network's state dict, in its order.

    Returns:
        Name -> (dtype, shape), dtypes as torch says them: `float32`, and `int64` for the
        batch norms' counters. 413 tensors; of a lite 303.
    """
    stem, tensors = stem_channels(config), dict[str, tuple[str, Shape]]()
    tensors |= _conv_norm("stem", (stem, in_chans, 3, 3))
    blocks = plan_blocks(config)
    for index, block in enumerate(blocks):
        prefix, wide = f"features.{index}", block.expanded_channels
        if wide != block.in_channels:
            tensors |= _conv_norm(f"{prefix}.conv_exp", (wide, block.in_channels, 1, 1))
        tensors |= _conv_norm(f"{prefix}.conv_dw", (wide, 1, 3, 3))
        if narrow := block.se_channels:
            tensors |= _weight_bias(f"{prefix}.se.fc1", (narrow, wide, 1, 1))
            tensors |= _norm(f"{prefix}.se.bn", narrow)
            tensors |= _weight_bias(f"{prefix}.se.fc2", (wide, narrow, 1, 1))
        tensors |= _conv_norm(f"{prefix}.conv_pwl", (block.out_channels, wide, 1, 1))
    head = head_channels(config)
    tensors |= _conv_norm(f"features.{len(blocks)}", (head, blocks[-1].out_channels, 1, 1))
    if hidden := config.hidden_channels:
        tensors |= _weight_bias("head.hidden.fc", (hidden, head)) | _norm("head.hidden.bn", hidden)
    return tensors | (_weight_bias("head.fc", (num_classes, hidden or head)) if num_classes else {})


def count_planned_parameters(tensors: Mapping[str, tuple[str, Shape]]) -> int:
    """Count the trainable numbers of planned tensors, so without the batch norms' running statistics."""
    ends = ("weight", "bias")
    return sum(math.prod(shape) for name, (_, shape) in tensors.items() if name.rpartition(".")[2] in ends)


def count_planned_macs(config: ReXNetConfig, tensors: Mapping[str, tuple[str, Shape]], input_px: int) -> int:
    """Count the multiply-accumulates of planned tensors for one picture; gates and head see one pixel."""
    blocks, side_px, total = plan_blocks(config), input_px, 0
    for name, (_, shape) in tensors.items():
        layer, conv, _ = name.partition(".conv.")
        if layer == "stem" or layer.endswith("conv_dw"):
            side_px = -(-side_px // (2 if layer == "stem" else blocks[int(layer.split(".")[1])].stride))
        if len(shape) > 1:
            total += math.prod(shape) * (side_px**2 if conv else 1)
    return total


def _weight_bias(prefix: str, shape: Shape) -> dict[str, tuple[str, Shape]]:
    return {f"{prefix}.weight": ("float32", shape), f"{prefix}.bias": ("float32", shape[:1])}


def _conv_norm(prefix: str, shape: Shape) -> dict[str, tuple[str, Shape]]:
    return {f"{prefix}.conv.weight": ("float32", shape)} | _norm(f"{prefix}.bn", shape[0])


def _norm(prefix: str, channels: int) -> dict[str, tuple[str, Shape]]:
    names = ("weight", "bias", "running_mean", "running_var")
    floats = {f"{prefix}.{name}": ("float32", (channels,)) for name in names}
    return {**floats, f"{prefix}.num_batches_tracked": ("int64", ())}
