"""Build a ReXNet network, from its small parts up to the classifier.

A ReXNet is a MobileNet-like stack of inverted bottlenecks whose channel counts grow linearly with depth
instead of doubling at each stage. Tensor names are timm's, so that one state dict serves both; the lites,
which timm does not have, continue them.

Reference implementations:
    rexnetv1.py and rexnetv1_lite.py of the authors, clovaai/rexnet at 61debcc
    timm/models/rexnet.py, huggingface/pytorch-image-models at aa4b5850 (the oracle of our tests)
"""

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn
from torch.jit import is_scripting  # type: ignore[attr-defined]  # exported, but not as mypy asks
from torch.utils.checkpoint import checkpoint

from rexnet_hub.errors import UsageError
from rexnet_hub.nets.families.rexnet.shapes import (
    DROP_RATE,
    OUTPUT_STRIDES,
    POOLS,
    BlockPlan,
    ReXNetConfig,
    head_channels,
    plan_blocks,
    stem_channels,
)
from rexnet_hub.nets.family import require_whole
from rexnet_hub.nets.modules import Classifier, FeatureInfo, FeatureMaps, Info, OutIndices, choose_maps


class ConvNorm(nn.Module):
    """A convolution that keeps the size (but for its stride), batch norm, and perhaps an activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        act: type[nn.Module] = nn.Identity,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=dilation * (kernel - 1) // 2,
            dilation=dilation,
            groups=groups,
            bias=False,
        )
        self.bn = nn.BatchNorm2d(out_channels)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H/stride, W/stride)."""
        x = self.act(self.bn(self.conv(x)))
        return x


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate in 0..1 that is computed from all channels' means."""

    def __init__(self, channels: int, squeezed_channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed_channels, 1)
        self.bn = nn.BatchNorm2d(squeezed_channels)
        self.fc2 = nn.Conv2d(squeezed_channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        gate: Tensor = x.mean((2, 3), keepdim=True)  # (B, C, 1, 1)
        gate = self.fc2(F.relu(self.bn(self.fc1(gate))))
        return x * gate.sigmoid()


class DropPath(nn.Module):
    """Stochastic depth: in training, leave a sample's branch out and scale the kept ones up."""

    def __init__(self, drop_prob: float) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape; one draw a sample."""
        if not self.training or self.drop_prob == 0:
            return x
        keep_prob = 1 - self.drop_prob
        kept = x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(keep_prob)
        return x * (kept / keep_prob if keep_prob else kept)


class LinearBottleneck(nn.Module):
    """Expand, filter each channel, gate, project; the input is added to the first channels."""

    def __init__(
        self,
        plan: BlockPlan,
        act: type[nn.Module],
        *,
        stride: int,
        dilation: int,
        shortcut: bool,
        drop_prob: float,
    ) -> None:
        super().__init__()
        wide = plan.expanded_channels
        expands = wide != plan.in_channels
        self.conv_exp = ConvNorm(plan.in_channels, wide, act=act) if expands else nn.Identity()
        self.conv_dw = ConvNorm(wide, wide, 3, stride=stride, dilation=dilation, groups=wide)
        self.se = SqueezeExcite(wide, plan.se_channels) if plan.se_channels else nn.Identity()
        self.conv_pwl = ConvNorm(wide, plan.out_channels)
        self.drop_path = DropPath(drop_prob)
        self.shortcut_channels = plan.in_channels if shortcut else 0

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H/stride, W/stride)."""
        out: Tensor = self.conv_pwl(F.relu6(self.se(self.conv_dw(self.conv_exp(x)))))
        shared = self.shortcut_channels
        if not shared:
            return out
        out = self.drop_path(out)
        return torch.cat([out[:, :shared] + x, out[:, shared:]], dim=1)


class Hidden(nn.Module):
    """A linear layer, batch norm, ReLU6."""

    def __init__(self, in_channels: int, out_channels: int, **new: Any) -> None:
        super().__init__()
        self.fc = nn.Linear(in_channels, out_channels, **new)
        self.bn = nn.BatchNorm1d(out_channels, **new)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C) to (B, C')."""
        return F.relu6(self.bn(self.fc(x)))


class Head(nn.Module):
    """Pool over space, perhaps run a hidden layer, drop, classify."""

    def __init__(
        self, channels: int, num_classes: int, global_pool: str, drop_rate: float, hidden: int, **new: Any
    ) -> None:
        super().__init__()
        if global_pool not in POOLS:
            raise UsageError(f"global_pool is {global_pool!r}; there are {', '.join(map(repr, POOLS))}")
        if num_classes and not global_pool:
            raise UsageError("without pooling there is nothing to classify: set num_classes=0 as well")
        self.global_pool = global_pool
        pooled = channels * (2 if global_pool == "catavgmax" else 1)
        has_hidden = hidden > 0 and global_pool != ""
        self.hidden = Hidden(pooled, hidden, **new) if has_hidden else nn.Identity()
        self.num_features = hidden if has_hidden else pooled
        self.drop = nn.Dropout(drop_rate)
        self.fc = nn.Linear(self.num_features, num_classes, **new) if num_classes else nn.Identity()

    def forward(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Map (B, C, H, W) to logits (B, classes), or to (B, C) before the classifier."""
        x = self.drop(self.hidden(self._pool(x)))
        return x if pre_logits else self.fc(x)

    def _pool(self, x: Tensor) -> Tensor:
        if self.global_pool == "":
            return x
        if self.global_pool == "avg":
            return x.mean((2, 3))
        if self.global_pool == "max":
            return x.amax((2, 3))
        if self.global_pool == "avgmax":
            return 0.5 * (x.mean((2, 3)) + x.amax((2, 3)))
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)


def _activation(config: ReXNetConfig) -> type[nn.Module]:
    return nn.ReLU6 if config.is_lite else nn.SiLU


def _build_blocks(
    config: ReXNetConfig, output_stride: int, drop_path_rate: float
) -> tuple[list[nn.Module], list[Info]]:
    """Build the blocks; past `output_stride`, dilate instead of striding.

    Returns:
        The blocks; and of the last one at each stride what timm's `FeatureInfo` says of it.
    """
    plans = plan_blocks(config)
    blocks: list[nn.Module] = []
    taps: list[Info] = []
    reduction, dilation = 2, 1  # the stem has halved the picture
    for index, plan in enumerate(plans):
        stride, next_dilation = plan.stride, dilation
        if stride > 1:
            taps.append(_tap(index - 1, plan.in_channels, reduction))
            if reduction >= output_stride:
                stride, next_dilation = 1, dilation * stride
        blocks.append(
            LinearBottleneck(
                plan,
                _activation(config),
                stride=stride,
                dilation=dilation,
                shortcut=plan.stride == 1 and plan.in_channels <= plan.out_channels,
                drop_prob=drop_path_rate * index / (len(plans) - 1),
            )
        )
        reduction, dilation = reduction * stride, next_dilation
    taps.append(_tap(len(plans) - 1, plans[-1].out_channels, reduction))
    return blocks, taps


def _tap(block: int, channels: int, reduction: int) -> Info:
    return {"num_chs": channels, "reduction": reduction, "module": f"features.{block}"}


class Trunk(nn.Module):
    """The stem and the blocks of a ReXNet."""

    def __init__(self, stem: nn.Module, features: nn.Sequential) -> None:
        super().__init__()
        self.stem, self.features = stem, features
        self.grad_checkpointing = False

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Set whether training stores only each block's input and recomputes the rest backward."""
        self.grad_checkpointing = enable

    def _run(self, x: Tensor, ends: list[int] | None, until: int) -> tuple[Tensor, list[Tensor]]:
        """Run the blocks up to one; return what it gave, and what those of `ends` gave on the way."""
        x = self.stem(x)
        maps: list[Tensor] = []
        for number, block in enumerate(self.features):
            if number <= until:
                if self.grad_checkpointing and not is_scripting():
                    x = checkpoint(block, x, use_reentrant=False)
                else:
                    x = block(x)
                if ends is not None and number in ends:
                    maps.append(x)
        return x, maps


class ReXNet(Trunk, Classifier):
    """A ReXNet classifier.

    Args:
        config: Its width and rounding, and whether it is a lite.
        num_classes: Classes, or 0 for pooled features in place of logits.
        global_pool: `avg`, `max`, `avgmax`, `catavgmax`, or empty for no pooling (then `num_classes=0`).
        output_stride: 32, 16 or 8: how much smaller the last feature map is than the picture.
        drop_rate: Dropout before the classifier, in 0..1.
        drop_path_rate: Stochastic depth of the last block, in 0..1; it grows linearly from 0 at the first.

    Attributes:
        num_features: Channels of the last feature map.
        head_hidden_size: Channels before the classifier.
        feature_info: Of each of the five taps that `features_only` hands out, what timm says of it.
        stage_ends: The block at each.
    """

    def __init__(
        self,
        config: ReXNetConfig,
        *,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        output_stride: int = 32,
        drop_rate: float = DROP_RATE,
        drop_path_rate: float = 0.0,
    ) -> None:
        if output_stride not in OUTPUT_STRIDES:
            problem = f"output_stride is {output_stride}; there are {', '.join(map(str, OUTPUT_STRIDES))}"
            raise UsageError(problem)
        channels = head_channels(config)
        # In the order of timm, so that the same seed draws the same numbers.
        act = _activation(config)
        stem = ConvNorm(in_chans, stem_channels(config), 3, stride=2, act=act)
        blocks, taps = _build_blocks(config, output_stride, drop_path_rate)
        last = ConvNorm(plan_blocks(config)[-1].out_channels, channels, act=act)
        super().__init__(stem, nn.Sequential(*blocks, last))
        self.head = Head(channels, num_classes, global_pool, drop_rate, config.hidden_channels)
        self.config, self.num_classes = config, num_classes
        self.in_chans, self.drop_rate = in_chans, drop_rate
        self.num_features, self.head_hidden_size = channels, self.head.num_features
        self.feature_info = taps
        self.stage_ends = [int(tap["module"].rpartition(".")[2]) for tap in taps]
        # What timm's savers write besides classes, channels and pooling.
        self._model_args = {} if output_stride == OUTPUT_STRIDES[0] else {"output_stride": output_stride}
        self.apply(init_weights)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised RGB pictures (B, 3, H, W) to logits (B, classes)."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to the last feature map (B, num_features, H/32, W/32)."""
        return self._run(x, None, len(self.features))[0]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Map the last feature map to logits, or with `pre_logits` to the pooled features."""
        logits: Tensor = self.head(x, pre_logits)
        return logits

    def forward_intermediates(
        self,
        x: Tensor,
        indices: OutIndices = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Return the last feature map, and features on the way, with timm's arguments.

        Args:
            x: (B, 3, H, W).
            indices: Which of the five taps, 0 the finest; negative counts from the coarsest; a number for so
                many of the coarsest; None for all.
            norm: Without effect: there is no norm behind the blocks.
            stop_early: Whether to run no block behind the last tap that is asked for.
            output_fmt: Only NCHW.
            intermediates_only: Whether to return the features on the way alone.

        Returns:
            Of the features on the way a map (B, C, H/stride, W/stride) for each tap, in network order.
        """
        if output_fmt != "NCHW":
            raise UsageError(f"output_fmt is {output_fmt!r}; maps here are NCHW")
        ends = [self.stage_ends[index] for index in choose_maps(len(self.stage_ends), indices)]
        stops = stop_early and max(ends) < self.stage_ends[-1]  # behind the last tap is a part of the result
        x, maps = self._run(x, ends, max(ends) if stops else len(self.features))
        return maps if intermediates_only else (x, maps)

    def prune_intermediate_layers(
        self, indices: OutIndices = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Remove what lies behind the last of some taps, with timm's arguments; return their numbers.

        Args:
            indices: As of `forward_intermediates`.
            prune_norm: Whether the last convolution goes also where the last tap stays.
            prune_head: Likewise.
        """
        chosen = choose_maps(len(self.stage_ends), indices)
        last = max(chosen)
        if prune_norm or prune_head or last < len(self.stage_ends) - 1:
            self.features = self.features[: self.stage_ends[last] + 1]
            self.num_features = self.feature_info[last]["num_chs"]
            self.reset_classifier(0, "")
        return chosen

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Return by which names parameters belong together, the first layers first, as timm does."""
        return {"stem": r"^stem", "blocks": r"^features\.(\d+)"}

    def get_classifier(self) -> nn.Module:
        """Return the last linear layer, or the identity when there are no classes."""
        return self.head.fc

    def reset_classifier(
        self,
        num_classes: int,
        global_pool: str | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Replace the classifier by a newly drawn one, of the device and dtype of the rest; 0 removes it."""
        require_whole("num_classes", num_classes, 0)
        rest = next(self.parameters())
        new = {"device": device or rest.device, "dtype": dtype or rest.dtype}
        pool = self.head.global_pool if global_pool is None else global_pool
        hidden, width = self.head.hidden, self.config.hidden_channels
        head = Head(self.num_features, num_classes, pool, self.drop_rate, width, **new)
        if [p.shape for p in hidden.parameters()] == [p.shape for p in head.hidden.parameters()]:
            head.hidden = hidden
        self.head = head.train(self.training)
        self.num_classes, self.head_hidden_size = num_classes, self.head.num_features


class ReXNetFeatures(Trunk, FeatureMaps):
    """A ReXNet cut down to its feature maps; its tensors are named as in the whole network."""

    def __init__(self, network: ReXNet, out_indices: OutIndices = None) -> None:
        chosen = sorted({*choose_maps(len(network.feature_info), out_indices)})
        ends = [network.stage_ends[index] for index in chosen]
        super().__init__(network.stem, network.features[: ends[-1] + 1])
        self.ends, self.in_chans = ends, network.in_chans
        self.feature_info = FeatureInfo(network.feature_info, chosen)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) to a map (B, C, H/stride, W/stride) for each tap, the finest first."""
        return self._run(x, self.ends, self.ends[-1])[1]


def init_weights(module: nn.Module) -> None:
    """Draw the start weights of one layer.

    Source: the rule of EfficientNet, `_init_weight_goog` of timm/models/_efficientnet_builder.py at
    aa4b5850; timm starts its ReXNets with it.
    """
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0, math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        bound = 1 / math.sqrt(module.out_features)
        nn.init.uniform_(module.weight, -bound, bound)
        nn.init.zeros_(module.bias)
