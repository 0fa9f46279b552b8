"""Count a network's parameters and operations, each by a named convention."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's name for it
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def count_parameters(network: nn.Module) -> int:
    """Count the trainable numbers; batch norms' running statistics are not among them."""
    return sum(parameter.numel() for parameter in network.parameters())


class _ShapesOnly(TorchFunctionMode):
    """Gives shapes where, on the meta device, torch would import its compiler to compute them: a second."""

    KEEPING = (F.batch_norm, F.dropout, F.relu, F.relu6, F.silu, Tensor.sigmoid, Tensor.add, Tensor.mul)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call the function, or give its input back."""
        if func in self.KEEPING:
            return args[0]
        if func is Tensor.mean:
            return args[0].amax(*args[1:], **(kwargs or {}))
        if func is F.linear:
            return args[0].new_empty((*args[0].shape[:-1], len(args[1])))
        if func is torch.cat:
            parts, dim = args[0], (kwargs or {})["dim"]
            shape = list(parts[0].shape)
            shape[dim] = sum(part.shape[dim] for part in parts)
            return parts[0].new_empty(shape)
        return func(*args, **(kwargs or {}))


def count_macs(network: nn.Module, *, input_px: int = 224, in_chans: int = 3) -> int:
    """Count the multiply-accumulates of convolutions and linear layers for one picture.

    Convention `conv_linear`: one multiply with its add is one MAC; biases, batch norms,
    activations, pooling and gates are left out. The network runs once, in eval mode, on zeros; on the
    meta device only what changes shapes runs.
    """
    total = 0

    def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        weight = layer.weight  # (out, in/groups, k, k) or (out, in)
        assert isinstance(weight, Tensor)
        total += output.numel() * weight[0].numel()

    counted = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [module.register_forward_hook(add) for module in counted]
    was_training = network.training
    device = next(network.parameters()).device
    try:
        with torch.inference_mode(), _ShapesOnly() if device.type == "meta" else nullcontext():
            network.eval()(torch.zeros(1, in_chans, input_px, input_px, device=device))
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return total
