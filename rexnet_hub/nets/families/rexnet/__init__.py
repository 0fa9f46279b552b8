"""Record what is known of the ReXNets."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rexnet_hub.nets.families.rexnet.shapes import (
    CONFIGS,
    FIRST_CHANNELS,
    GAINED_CHANNELS,
    OUTPUT_STRIDES,
    POOLS,
    SE_DIVISOR,
    ReXNetConfig,
    count_planned_macs,
    count_planned_parameters,
    expected_tensors,
    head_channels,
)
from rexnet_hub.nets.family import Family, KeyMap, Parts, TensorPlan, Words, is_part

if TYPE_CHECKING:
    from rexnet_hub.nets.families.rexnet.blocks import ReXNet, ReXNetFeatures
    from rexnet_hub.nets.modules import OutIndices


def _plan(config: ReXNetConfig, *, num_classes: int = 1000, in_chans: int = 3) -> TensorPlan:
    tensors = expected_tensors(config, num_classes=num_classes, in_chans=in_chans)
    return TensorPlan(
        tensors=tensors,
        parameters=count_planned_parameters(tensors),
        macs=lambda input_px: count_planned_macs(config, tensors, input_px),
    )


def _parts(config: ReXNetConfig) -> Parts:
    return Parts(
        first_conv=("stem.conv",),
        classifier=("head.fc",),
        num_features=config.hidden_channels or head_channels(config),
        pool_size=lambda input_px: input_px // OUTPUT_STRIDES[0],
    )


def _build(config: ReXNetConfig, **options: Any) -> ReXNet:
    from rexnet_hub.nets.families.rexnet.blocks import ReXNet

    return ReXNet(config, **options)


def _take_features(network: ReXNet, out_indices: OutIndices) -> ReXNetFeatures:
    from rexnet_hub.nets.families.rexnet.blocks import ReXNetFeatures

    return ReXNetFeatures(network, out_indices)


def _key_maps() -> tuple[KeyMap, ...]:
    from rexnet_hub.nets.families.rexnet.keymap import AUTHORS, AUTHORS_LITE

    return (AUTHORS, AUTHORS_LITE)


def _fixed(config: ReXNetConfig) -> Mapping[str, tuple[Any, ...]]:
    if config.is_lite:  # timm has none
        return {}
    return {
        "width_mult": (config.width,),
        "ch_div": (config.divisor,),
        "act_layer": ("swish", "silu"),
        "dw_act_layer": ("relu6",),
        "initial_chs": (FIRST_CHANNELS,),
        "final_chs": (GAINED_CHANNELS,),
        "depth_mult": (1.0,),
        "se_ratio": (1 / SE_DIVISOR,),
    }


@functools.cache
def _words() -> Words:
    import yaml  # whoever converts or builds needs none

    return Words(**yaml.safe_load(Path(__file__).with_name("words.yml").read_text(encoding="utf-8")))


FAMILY = Family(
    architectures=CONFIGS,
    plan=_plan,
    parts=_parts,
    build=_build,
    take_features=_take_features,
    options={
        "global_pool": POOLS.__contains__,
        "output_stride": lambda value: type(value) is int and value in OUTPUT_STRIDES,
        "drop_rate": is_part,
        "drop_path_rate": is_part,
    },
    fixed=_fixed,
    key_maps=_key_maps,
    in_timm=lambda config: not config.is_lite,
    channels_last=True,
    words=_words,
)
