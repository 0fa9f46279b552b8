"""Count a network's parameters and operations, each by a named convention."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def count_parameters(network: nn.Module) -> int:
    """Count the trainable numbers; batch norms' running statistics are not among them."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module, *, input_px: int = 224, in_chans: int = 3) -> int:
    """Count the multiply-accumulates of convolutions and linear layers for one picture.

    Convention `conv_linear`: one multiply with its add is one MAC; biases, batch norms,
    activations, pooling and gates are left out. The network runs once, in eval mode, on zeros, on the
    device that it is on: `meta` too. On a CPU it runs in one thread: many wait longer than one picture takes.
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
    device, threads = next(network.parameters()).device, torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, in_chans, input_px, input_px, device=device))
    finally:
        torch.set_num_threads(threads)
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return total
