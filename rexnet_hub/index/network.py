"""Find the network that an entry names: its tensors and counts, without torch."""

from __future__ import annotations

from rexnet_hub.errors import IndexReadError
from rexnet_hub.index.entry import Entry
from rexnet_hub.nets import find_architecture
from rexnet_hub.nets.shapes import Shape, count_planned_parameters, expected_tensors


def entry_tensors(entry: Entry) -> dict[str, tuple[str, Shape]]:
    """List every tensor that an entry's checkpoint must hold; see `expected_tensors`.

    Raises:
        UnknownModelError: The entry's network is not one of ours.
        IndexReadError: The entry does not say how many classes it tells apart.
    """
    return expected_tensors(find_architecture(entry.architecture), num_classes=entry_classes(entry))


def entry_parameters(entry: Entry) -> int:
    """Count an entry's trainable numbers from its network's plan; errors as of `entry_tensors`."""
    return count_planned_parameters(entry_tensors(entry))


def entry_classes(entry: Entry) -> int:
    """Return how many classes an entry tells apart.

    Raises:
        IndexReadError: It does not say.
    """
    if (num_classes := entry.value("num_classes")) is None:
        raise IndexReadError(f"{entry.location}: {entry.name} does not state its Num Classes")
    return int(num_classes)
