"""Find the network that an entry names, and what its checkpoint must hold."""

from __future__ import annotations

from rexnet_hub.errors import IndexReadError
from rexnet_hub.index.entry import Entry
from rexnet_hub.nets import find_network, known_network
from rexnet_hub.nets.family import TensorPlan, Words


def entry_plan(entry: Entry) -> TensorPlan:
    """List every tensor that an entry's checkpoint must hold, and count what is trained.

    Where the entry does not say how many classes it tells apart, it is as many as the network has by itself.

    Raises:
        UnknownModelError: Nobody here knows the entry's network.
        NetworkError: The network's provider cannot build it.
    """
    return find_network(entry.architecture).plan(num_classes=entry.value("num_classes"))


def entry_words(entry: Entry) -> Words:
    """Find the words about the family of an entry's network; those of any where nothing is known of it."""
    network = known_network(entry.architecture)
    return network.family.words if network else Words()


def entry_classes(entry: Entry) -> int:
    """Return how many classes an entry tells apart.

    Raises:
        IndexReadError: It does not say.
    """
    if (num_classes := entry.value("num_classes")) is None:
        raise IndexReadError(f"{entry.location}: {entry.name} does not state its Num Classes")
    return int(num_classes)
