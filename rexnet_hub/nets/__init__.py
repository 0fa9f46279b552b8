"""Define the networks, and count their parameters and operations.

`shapes` needs no torch; `rexnet` and `counts` do, and are loaded when a network is first built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rexnet_hub.errors import UnknownModelError
from rexnet_hub.nets.shapes import CONFIGS, ReXNetConfig, expected_tensors

if TYPE_CHECKING:
    from rexnet_hub.nets.rexnet import ReXNet

__all__ = ["CONFIGS", "ReXNetConfig", "build_network", "expected_tensors", "find_architecture"]


def find_architecture(architecture: str) -> ReXNetConfig:
    """Find a network's configuration by its name.

    Raises:
        UnknownModelError: There is no such network; the nearest is named.
    """
    if architecture not in CONFIGS:
        raise UnknownModelError(architecture, list(CONFIGS), kind="network")
    return CONFIGS[architecture]


def build_network(architecture: str, **options: Any) -> ReXNet:
    """Build a network by name, with more arguments of `ReXNet`.

    Raises:
        UnknownModelError: There is no such network.
        UsageError: An argument is out of range.
    """
    from rexnet_hub.nets.rexnet import ReXNet

    return ReXNet(find_architecture(architecture), **options)
