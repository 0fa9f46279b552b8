"""The network, whole, and its counts.

`config` needs no torch; `rexnet` and `counts` do, and are loaded when a network is first built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rexnet_hub.errors import IndexReadError, UnknownModelError
from rexnet_hub.index import Entry
from rexnet_hub.nets.config import CONFIGS, ReXNetConfig, Shape, expected_tensors

if TYPE_CHECKING:
    from rexnet_hub.nets.rexnet import ReXNet

__all__ = [
    "CONFIGS",
    "ReXNetConfig",
    "build_network",
    "entry_network",
    "entry_tensors",
    "expected_tensors",
    "find_config",
]


def find_config(architecture: str) -> ReXNetConfig:
    """Find a network's configuration by its name.

    Raises:
        UnknownModelError: There is no such network; the nearest is named.
    """
    if architecture not in CONFIGS:
        raise UnknownModelError(architecture, list(CONFIGS), kind="network")
    return CONFIGS[architecture]


def entry_tensors(entry: Entry) -> dict[str, tuple[str, Shape]]:
    """List every tensor that an entry's checkpoint must hold; see `expected_tensors`.

    Raises:
        UnknownModelError: The entry's network is not one of ours.
        IndexReadError: The entry does not say how many classes it tells apart.
    """
    return expected_tensors(find_config(entry.architecture), num_classes=_num_classes(entry))


def entry_network(entry: Entry) -> ReXNet:
    """Build an entry's network with its weights not yet set; under `torch.device("meta")` none are stored.

    Raises:
        As `entry_tensors` does.
    """
    return build_network(entry.architecture, num_classes=_num_classes(entry), init=False).eval()


def _num_classes(entry: Entry) -> int:
    if (num_classes := entry.value("num_classes")) is None:
        raise IndexReadError(f"{entry.location}: {entry.name} does not state its Num Classes")
    return int(num_classes)


def build_network(
    architecture: str,
    *,
    num_classes: int = 1000,
    in_chans: int = 3,
    global_pool: str = "avg",
    output_stride: int = 32,
    drop_rate: float = 0.2,
    drop_path_rate: float = 0.0,
    init: bool = True,
) -> ReXNet:
    """Build a network by name; arguments as in `ReXNet`.

    Raises:
        UnknownModelError: There is no such network.
        UsageError: An argument is out of range.
    """
    from rexnet_hub.nets.rexnet import ReXNet

    return ReXNet(
        find_config(architecture),
        num_classes=num_classes,
        in_chans=in_chans,
        global_pool=global_pool,
        output_stride=output_stride,
        drop_rate=drop_rate,
        drop_path_rate=drop_path_rate,
        init=init,
    )
