"""Build a ReXNet network, from its small parts up to the classifier.

A ReXNet is a MobileNet-like stack of inverted bottlenecks whose channel counts grow linearly with depth
instead of doubling at each stage. Tensor names are timm's, so that one state dict serves both.

Reference implementations:
    rexnetv1.py of the authors, clovaai/rexnet at 61debcc
    timm/models/rexnet.py, huggingface/pytorch-image-models at aa4b5850 (the oracle of our tests)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn
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
from rexnet_hub.nets.modules import Classifier, FeatureMaps, choose_maps


class Conv2d(nn.Conv2d):
    """A convolution that leaves its start to `init_weights`, so that loading pays for none."""

    def reset_parameters(self) -> None:
        """Leave the weights as allocated."""


class Linear(nn.Linear):
    """A linear layer that leaves its start to `init_weights`, so that loading pays for none."""

    def reset_parameters(self) -> None:
        """Leave the weights as allocated."""


class ConvNorm(nn.Module):
    """A convolution that keeps the size (but for its stride), batch norm, and perhaps SiLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        activate: bool = False,
    ) -> None:
        super().__init__()
        self.conv = Conv2d(
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
        self.activate = activate

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H/stride, W/stride)."""
        x = self.bn(self.conv(x))
        return F.silu(x) if self.activate else x


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate in 0..1 that is computed from all channels' means."""

    def __init__(self, channels: int, squeezed_channels: int) -> None:
        super().__init__()
        self.fc1 = Conv2d(channels, squeezed_channels, 1)
        self.bn = nn.BatchNorm2d(squeezed_channels)
        self.fc2 = Conv2d(squeezed_channels, channels, 1)

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
        self, plan: BlockPlan, *, stride: int, dilation: int, shortcut: bool, drop_prob: float
    ) -> None:
        super().__init__()
        wide = plan.expanded_channels
        expands = wide != plan.in_channels
        self.conv_exp = ConvNorm(plan.in_channels, wide, activate=True) if expands else nn.Identity()
        self.conv_dw = ConvNorm(wide, wide, 3, stride=stride, dilation=dilation, groups=wide)
        self.se = SqueezeExcite(wide, plan.se_channels) if plan.se_channels else nn.Identity()
        self.conv_pwl = ConvNorm(wide, plan.out_channels)
        self.drop_path = DropPath(drop_prob)
        self.shortcut_channels = plan.in_channels if shortcut else 0

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H/stride, W/stride)."""
        out: Tensor = self.conv_pwl(F.relu6(self.se(self.conv_dw(self.conv_exp(x)))))
        if not (shared := self.shortcut_channels):
            return out
        out = self.drop_path(out)
        return torch.cat([out[:, :shared] + x, out[:, shared:]], dim=1)


class Head(nn.Module):
    """Pool over space, drop, classify."""

    def __init__(self, channels: int, num_classes: int, global_pool: str, drop_rate: float) -> None:
        super().__init__()
        if global_pool not in POOLS:
            raise UsageError(f"global_pool is {global_pool!r}; there are {', '.join(map(repr, POOLS))}")
        if num_classes and not global_pool:
            raise UsageError("without pooling there is nothing to classify: set num_classes=0 as well")
        self.global_pool = global_pool
        self.num_features = channels * (2 if global_pool == "catavgmax" else 1)
        self.drop = nn.Dropout(drop_rate)
        self.fc = Linear(self.num_features, num_classes) if num_classes else nn.Identity()

    def forward(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Map (B, C, H, W) to logits (B, classes), or to (B, C) before the classifier."""
        x = self.drop(self._pool(x))
        return x if pre_logits else self.fc(x)

    def _pool(self, x: Tensor) -> Tensor:
        match self.global_pool:
            case "":
                return x
            case "avg":
                return x.mean((2, 3))
            case "max":
                return x.amax((2, 3))
            case "avgmax":
                return 0.5 * (x.mean((2, 3)) + x.amax((2, 3)))
            case _:
                return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)


@dataclass(frozen=True)
class Tap:
    """A place where features can be taken: the last block at one stride."""

    block: int  # its index in `features`
    num_chs: int
    reduction: int


class Taps(tuple[Tap, ...]):
    """The taps of a network, from the finest to the coarsest."""

    __slots__ = ()

    def choose(self, indices: Sequence[int] | None) -> Taps:
        """Choose some by `out_indices`, as `choose_maps` does."""
        return Taps(self[index] for index in choose_maps(len(self), indices))

    def channels(self) -> list[int]:
        """Channels of each."""
        return [tap.num_chs for tap in self]

    def reduction(self) -> list[int]:
        """Stride of each: input pixels per feature pixel."""
        return [tap.reduction for tap in self]


def _build_blocks(
    config: ReXNetConfig, output_stride: int, drop_path_rate: float
) -> tuple[list[nn.Module], Taps]:
    """Build the blocks; past `output_stride`, dilate instead of striding."""
    plans = plan_blocks(config)
    blocks: list[nn.Module] = []
    taps: list[Tap] = []
    reduction, dilation = 2, 1  # the stem has halved the picture
    for index, plan in enumerate(plans):
        stride, next_dilation = plan.stride, dilation
        if stride > 1:
            taps.append(Tap(index - 1, plan.in_channels, reduction))
            if reduction >= output_stride:
                stride, next_dilation = 1, dilation * stride
        blocks.append(
            LinearBottleneck(
                plan,
                stride=stride,
                dilation=dilation,
                shortcut=plan.stride == 1 and plan.in_channels <= plan.out_channels,
                drop_prob=drop_path_rate * index / (len(plans) - 1),
            )
        )
        reduction, dilation = reduction * stride, next_dilation
    taps.append(Tap(len(plans) - 1, plans[-1].out_channels, reduction))
    return blocks, Taps(taps)


class ReXNet(Classifier):
    """A ReXNet classifier.

    Args:
        config: Its width and rounding.
        num_classes: Classes, or 0 for pooled features in place of logits.
        global_pool: `avg`, `max`, `avgmax`, `catavgmax`, or empty for no pooling (then `num_classes=0`).
        output_stride: 32, 16 or 8: how much smaller the last feature map is than the picture.
        drop_rate: Dropout before the classifier, in 0..1.
        drop_path_rate: Stochastic depth of the last block, in 0..1; it grows linearly from 0 at the first.
        init: Whether to draw start weights; without, they are whatever memory held, to be loaded over.

    Attributes:
        num_features: Channels of the last feature map.
        feature_info: The five taps that `features_only` hands out.
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
        init: bool = True,
    ) -> None:
        super().__init__()
        if output_stride not in OUTPUT_STRIDES:
            problem = f"output_stride is {output_stride}; there are {', '.join(map(str, OUTPUT_STRIDES))}"
            raise UsageError(problem)
        self.config, self.num_classes = config, num_classes
        self.in_chans, self.drop_rate = in_chans, drop_rate
        self.grad_checkpointing = False
        self.num_features = head_channels(config)

        blocks, self.feature_info = _build_blocks(config, output_stride, drop_path_rate)
        last = ConvNorm(plan_blocks(config)[-1].out_channels, self.num_features, activate=True)
        self.stem = ConvNorm(in_chans, stem_channels(config), 3, stride=2, activate=True)
        self.features = nn.Sequential(*blocks, last)
        self.head = Head(self.num_features, num_classes, global_pool, drop_rate)
        if init:
            self.apply(init_weights)

    def forward(self, x: Tensor) -> Tensor:
        """Map normalised RGB pictures (B, 3, H, W) to logits (B, classes)."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to the last feature map (B, num_features, H/32, W/32)."""
        x = self.stem(x)
        for block in self.features:
            x = self._run(block, x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Map the last feature map to logits, or with `pre_logits` to the pooled features."""
        logits: Tensor = self.head(x, pre_logits)
        return logits

    def forward_intermediates(self, x: Tensor, indices: Sequence[int] | None = None) -> list[Tensor]:
        """Return features on the way.

        Args:
            x: (B, 3, H, W).
            indices: Which of the five taps, 0 the finest; negative counts from the coarsest; None for all.

        Returns:
            A map (B, C, H/stride, W/stride) for each tap, in network order.
        """
        return take_features(self.stem(x), self.features, self.feature_info.choose(indices), self._run)

    def _run(self, block: nn.Module, x: Tensor) -> Tensor:
        recompute = self.grad_checkpointing and torch.is_grad_enabled()
        out: Tensor = checkpoint(block, x, use_reentrant=False) if recompute else block(x)
        return out

    def get_classifier(self) -> nn.Module:
        """Return the last linear layer, or the identity when there are no classes."""
        return self.head.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a newly drawn one; 0 classes removes it."""
        require_whole("num_classes", num_classes, 0)
        old = next(self.parameters())
        pool = self.head.global_pool if global_pool is None else global_pool
        head = Head(self.num_features, num_classes, pool, self.drop_rate).apply(init_weights)
        self.head = head.to(device=old.device, dtype=old.dtype).train(self.training)
        self.num_classes = num_classes

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Set whether training stores only each block's input and recomputes the rest backward."""
        self.grad_checkpointing = enable


class ReXNetFeatures(FeatureMaps):
    """A ReXNet cut down to its feature maps; its tensors are named as in the whole network."""

    def __init__(self, network: ReXNet, out_indices: Sequence[int] | None = None) -> None:
        super().__init__()
        self.feature_info = network.feature_info.choose(out_indices)
        self.stem = network.stem
        self.features = network.features[: self.feature_info[-1].block + 1]

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) to a map (B, C, H/stride, W/stride) for each tap, the finest first."""
        return take_features(self.stem(x), self.features, self.feature_info, lambda block, x: block(x))


def take_features(
    x: Tensor, blocks: nn.Sequential, taps: Taps, run: Callable[[nn.Module, Tensor], Tensor]
) -> list[Tensor]:
    """Run blocks up to the last tap, and return what each tap gives, in network order."""
    wanted, taken = {tap.block for tap in taps}, []
    for index, block in enumerate(blocks[: taps[-1].block + 1]):
        x = run(block, x)
        if index in wanted:
            taken.append(x)
    return taken


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
