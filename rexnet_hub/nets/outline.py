"""Make networks to be filled: each kind is built once without storage, and copied for every load."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from rexnet_hub.nets.config import ReXNetConfig, Shape
from rexnet_hub.nets.rexnet import ReXNet

Module = TypeVar("Module", bound=nn.Module)


def outline_network(config: ReXNetConfig, **options: Any) -> ReXNet:
    """Give a network in training mode whose tensors have names, dtypes and shapes, but no storage.

    Args:
        config: Its width and rounding.
        options: As `ReXNet` has them.

    Raises:
        UsageError: An argument is out of range.
    """
    return _copy_modules(_build(config, **options))


@functools.lru_cache(maxsize=16, typed=True)  # 3.0 is refused also where 3 was built
def outline_tensors(config: ReXNetConfig, **options: Any) -> Mapping[str, tuple[str, Shape]]:
    """List that network's tensors by name: dtype, as torch says it without its prefix, and shape."""
    own = _build(config, **options).state_dict()
    return {name: (str(t.dtype).removeprefix("torch."), tuple(t.shape)) for name, t in own.items()}


def fill_outline(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give an outline its tensors, by name; they are not copied."""
    for path, module in network.named_modules():
        start = f"{path}." if path else ""
        for name, outlined in module._parameters.items():
            if outlined is not None:
                module._parameters[name] = nn.Parameter(tensors[start + name])
        for name in module._buffers:
            module._buffers[name] = tensors[start + name]


@functools.lru_cache(maxsize=16, typed=True)  # 3.0 is refused also where 3 was built
def _build(config: ReXNetConfig, **options: Any) -> ReXNet:
    with torch.device("meta"):
        return ReXNet(config, **options, init=False).float()  # whatever torch's default dtype is


def _copy_modules(module: Module) -> Module:
    """Copy modules, each with tables of its own for tensors, parts and hooks; a tenth of building them."""
    twin = module.__new__(type(module))
    for name, value in module.__dict__.items():
        twin.__dict__[name] = value.copy() if isinstance(value, dict | set) else value
    for name, part in module._modules.items():
        twin._modules[name] = None if part is None else _copy_modules(part)
    return twin
