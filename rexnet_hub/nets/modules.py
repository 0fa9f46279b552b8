"""Define what every network here has as a torch module, timm's by nature; and adapt its stem."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from rexnet_hub.errors import UsageError


class Classifier(nn.Module):
    """A network from normalised RGB pictures (B, 3, H, W) to logits (B, classes).

    Attributes:
        num_classes: Classes, or 0 for pooled features in place of logits.
        num_features: Channels of the last feature map.
        in_chans: Channels of a picture.
    """

    num_classes: int
    in_chans: int
    num_features: int

    def forward_features(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to the last features, before pooling."""
        raise NotImplementedError

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Map the last features to logits, or with `pre_logits` to the pooled features."""
        raise NotImplementedError

    def get_classifier(self) -> nn.Module:
        """Return the layer that gives the logits, or the identity when there are no classes."""
        raise NotImplementedError

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a newly drawn one; 0 classes removes it."""
        raise NotImplementedError

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Set whether training recomputes instead of storing what is between the blocks."""
        raise NotImplementedError


class FeatureMaps(nn.Module):
    """A network from pictures (B, 3, H, W) to a list of feature maps (B, C, H/stride, W/stride).

    Attributes:
        feature_info: Of each map its `channels()` and its `reduction()`, the stride.
    """

    feature_info: Any


class IntermediateMaps(FeatureMaps):
    """A network whose maps its own `forward_intermediates` gives; what lies behind the last one is gone."""

    def __init__(self, network: Any, indices: list[int], feature_info: Any) -> None:
        super().__init__()
        self.feature_info = feature_info
        if hasattr(network, "prune_intermediate_layers"):
            network.prune_intermediate_layers(indices, prune_norm=True)
        self.network, self.indices = network, indices

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) to a map (B, C, H/stride, W/stride) for each index."""
        how = {"output_fmt": "NCHW", "intermediates_only": True}
        maps: list[Tensor] = self.network.forward_intermediates(x, indices=self.indices, **how)
        return maps


def choose_maps(count: int, indices: Sequence[int] | None) -> list[int]:
    """Choose among a network's feature maps by `out_indices`: 0 is the finest, -1 the coarsest; None for all.

    Raises:
        UsageError: None is asked for, or one that is not there.
    """
    if indices is None:
        return [*range(count)]
    is_list = isinstance(indices, Sequence) and len(indices)
    if not is_list or any(type(index) is not int or not -count <= index < count for index in indices):
        problem = f"it lists some of the {count} maps, 0 to {count - 1}, or -1 for the last"
        raise UsageError(f"out_indices is {indices!r}; {problem}")
    return sorted({index % count for index in indices})


def adapt_stem(weight: Tensor, in_chans: int) -> Tensor:
    """Make a stem for RGB fit another number of channels.

    One channel gets the sum over RGB, so that a grey picture gives what it gave as RGB; more repeat
    R, G, B, R… scaled by 3 / in_chans, so that activations keep their size.

    Args:
        weight: (C, 3, k, k); with other channels than RGB, only for as many.
        in_chans: At least 1.

    Returns:
        (C, in_chans, k, k), in the weight's dtype.

    Raises:
        UsageError: The stem is not one for RGB.
    """
    if in_chans == weight.shape[1]:
        return weight
    if weight.shape[1] != 3:
        raise UsageError(f"in_chans is {in_chans}; a stem for {weight.shape[1]} channels takes no others")
    full = weight.float()
    if in_chans == 1:
        return full.sum(dim=1, keepdim=True).to(weight.dtype)
    repeats = math.ceil(in_chans / 3)
    return (full.repeat(1, repeats, 1, 1)[:, :in_chans] * (3 / in_chans)).to(weight.dtype)
