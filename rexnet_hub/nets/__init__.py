"""Find networks by name or tensors; count parameters and operations.

A built-in family is one record, `family.Family`, in `families/`; every other network is timm's. What is not
in this folder asks here, and knows no family by its name.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterator, Mapping

from rexnet_hub.errors import UnknownModelError
from rexnet_hub.nets import families, timm_networks
from rexnet_hub.nets.family import Family, KeyMap, Network
from rexnet_hub.nets.state_dict import Shape, TensorTable, require_tensors

__all__ = [
    "Family", "KeyMap", "Network", "built_in_network", "choose_key_map", "find_network", "fit_networks",
    "how_to_know_more", "known_network", "list_families",
]  # fmt: skip


@functools.cache
def list_families() -> tuple[Family, ...]:
    """List the families that are built in."""
    names = (module.name for module in pkgutil.iter_modules(families.__path__))
    return tuple(importlib.import_module(f"{families.__name__}.{name}").FAMILY for name in names)


def built_in_network(architecture: str) -> Network | None:
    """Find a network of the built-in families, perhaps by a name with a tag: planned without torch."""
    name = architecture.partition(".")[0]
    family = next((family for family in list_families() if name in family.architectures), None)
    return Network(name, family) if family else None


def known_network(architecture: str) -> Network | None:
    """Find a network by its name, a built-in one first; None where nobody here knows it."""
    return built_in_network(architecture) or timm_networks.find(architecture)


def find_network(architecture: str) -> Network:
    """Find a network by its name.

    Raises:
        UnknownModelError: Nobody here knows it; the nearest is named, or what to install.
    """
    if (network := known_network(architecture)) is None:
        known = [name for family in list_families() for name in family.architectures]
        raise UnknownModelError(
            architecture, [*known, *timm_networks.names()], kind="network", hint=how_to_know_more()
        )
    return network


def how_to_know_more() -> str:
    """Return what could make an unknown network known."""
    if timm_networks.is_installed():
        return f"{timm_networks.version()} does not have it either; another version may."
    return f"timm has many more: pip install 'rexnet-hub[{timm_networks.EXTRA}]'"


def fit_networks(tensors: Mapping[str, Shape]) -> Iterator[tuple[Network, int]]:
    """Find every network that has exactly these tensors by name and shape, and its number of classes."""
    names = set()
    for family in list_families():
        for architecture in family.architectures:
            network = Network(architecture, family)
            if network.fits(tensors):
                names.add(architecture)
                yield network, network.count_classes(tensors)
    yield from (pair for pair in timm_networks.fit(tensors) if pair[0].architecture not in names)


def choose_key_map(shapes: Mapping[str, Shape], expected: TensorTable | None, *, file: str) -> KeyMap | None:
    """Return by whose layout a state dict is named; None where its names stay as they are.

    Args:
        expected: What the state dict should be; without, only every name of a layout shows it.

    Raises:
        StateDictError: It should be of a family and has names of another layout of it, but not exactly all.
    """
    for key_map in (key_map for family in list_families() for key_map in family.key_maps()):
        is_expected = expected is not None and {*expected} == {*key_map.names.values()}
        if shapes.keys() == key_map.names.keys() or (is_expected and any(map(key_map.resembles, shapes))):
            there = {name: ("tensor", shape) for name, shape in shapes.items()}
            all_of_it = {name: ("tensor", shapes.get(name, ())) for name in key_map.names}
            require_tensors(there, all_of_it, file=file)
            return key_map
    return None
