"""Define what every network here has as a torch module, timm's by nature; and adapt its stem."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from rexnet_hub.errors import UsageError

OutIndices = int | Sequence[int] | None
Info = dict[str, Any]


class Classifier(nn.Module):
    """A network from normalised RGB pictures (B, 3, H, W) to logits (B, classes).

    Attributes:
        num_classes: Classes, or 0 for pooled features in place of logits.
        num_features: Channels of the last feature map.
        in_chans: Channels of a picture.
        pretrained_cfg: What a config.json says of it, by timm's names; `default_cfg` is another name of it.
        save_pretrained, push_to_hub: Of a network that `AutoModel` or `create_model` gave, as of `saving.py`.
    """

    if TYPE_CHECKING:  # torch.jit reads an annotation that is there when it runs, and not as text
        save_pretrained: Callable[..., Path]
        push_to_hub: Callable[..., Any]
        num_classes: int
        in_chans: int
        num_features: int
        pretrained_cfg: Info
        default_cfg: Info

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


class FeatureInfo:
    """Describe a network's feature maps, as timm's class of this name does.

    Without `idx` each answer is of the maps that the network gives, with it of any.

    Attributes:
        info: Of each map that there is `num_chs`, `reduction` (the stride), `module` and `index`.
        out_indices: The maps that are given.
    """

    def __init__(self, info: Sequence[Info], out_indices: Sequence[int]) -> None:
        self.info = [{**each, "index": index} for index, each in enumerate(info)]
        self.out_indices = (*out_indices,)

    def __getitem__(self, index: int) -> Info:
        return self.info[index]

    def __len__(self) -> int:
        return len(self.info)

    def get_dicts(self, keys: Sequence[str] | None = None, idx: int | Sequence[int] | None = None) -> Any:
        """Return some or all keys of each."""
        if isinstance(idx, int):
            return {key: self.info[idx][key] for key in keys or self.info[idx]}
        return [self.get_dicts(keys, index) for index in (self.out_indices if idx is None else idx)]

    def get(self, key: str, idx: int | Sequence[int] | None = None) -> Any:
        """Return one key of each."""
        found = self.get_dicts([key], idx)
        return found[key] if isinstance(idx, int) else [each[key] for each in found]

    def channels(self, idx: int | Sequence[int] | None = None) -> Any:
        """Return the channels of each."""
        return self.get("num_chs", idx)

    def reduction(self, idx: int | Sequence[int] | None = None) -> Any:
        """Return the stride of each: input pixels per feature pixel."""
        return self.get("reduction", idx)

    def module_name(self, idx: int | Sequence[int] | None = None) -> Any:
        """Return the module that gives each."""
        return self.get("module", idx)


class FeatureMaps(nn.Module):
    """A network from pictures (B, 3, H, W) to a list of feature maps (B, C, H/stride, W/stride).

    Attributes:
        feature_info: A `FeatureInfo`, or timm's.
        in_chans: Channels of a picture.
        pretrained_cfg: As of a `Classifier`, without what is of classes.
    """

    if TYPE_CHECKING:  # as above
        feature_info: Any
        in_chans: int
        pretrained_cfg: Info
        default_cfg: Info

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Set whether training recomputes instead of storing what is between the blocks."""
        raise NotImplementedError

    def save_pretrained(self, *_: Any, **__: Any) -> Path:
        """Refuse to be saved.

        Raises:
            UsageError: Always.
        """
        raise UsageError("feature maps alone are no repo that others could load: save the whole network")

    push_to_hub = save_pretrained


class IntermediateMaps(FeatureMaps):
    """A network whose maps its own `forward_intermediates` gives; what lies behind the last one is gone."""

    def __init__(self, network: Any, indices: list[int], feature_info: Any) -> None:
        super().__init__()
        self.feature_info = feature_info
        if hasattr(network, "prune_intermediate_layers"):
            network.prune_intermediate_layers(indices, prune_norm=True)
        self.network, self.indices, self.in_chans = network, indices, network.in_chans

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Set whether training recomputes instead of storing what is between the blocks."""
        self.network.set_grad_checkpointing(enable)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) to a map (B, C, H/stride, W/stride) for each index."""
        how = {"output_fmt": "NCHW", "intermediates_only": True}
        maps: list[Tensor] = self.network.forward_intermediates(x, indices=self.indices, **how)
        return maps


class Undrawn(TorchFunctionMode):
    """Leave the weights of layers that are made meanwhile as allocated, to be loaded over.

    Attributes:
        methods: Of a tensor, by name; they leave it as it is too.
    """

    def __init__(self, methods: Collection[str] = ()) -> None:
        super().__init__()
        self.methods = methods

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call anything but what draws."""
        given, is_init = kwargs or {}, getattr(function, "__module__", "") == nn.init.__name__
        if is_init or function.__name__ in self.methods:
            return args[0] if args else given["tensor"]
        return function(*args, **given)


def choose_maps(count: int, indices: OutIndices) -> list[int]:
    """Choose among a network's feature maps by `out_indices`: 0 is the finest, -1 the coarsest; None for all.

    Args:
        indices: A number instead of a list is how many of the coarsest.

    Returns:
        Numbers from 0 on, in the order of the list.

    Raises:
        UsageError: None is asked for, or one that is not there.
    """
    if indices is None:
        return [*range(count)]
    if type(indices) is int and 0 < indices <= count:
        return [*range(count - indices, count)]
    listed = indices if isinstance(indices, Sequence) else ()
    if not listed or any(type(index) is not int or not -count <= index < count for index in listed):
        problem = f"it lists some of the {count} maps, 0 to {count - 1}, or -1 for the last"
        raise UsageError(f"out_indices is {indices!r}; {problem}")
    return [index % count for index in listed]


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
