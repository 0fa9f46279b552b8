"""Find the network that an entry names, and what its checkpoint must hold."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

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
    return find_network(entry.architecture).plan(**entry_options(entry))


def entry_options(entry: Entry) -> dict[str, Any]:
    """Return what an entry's network is built with: its classes, where they are stated, and its Model Args.

    Raises:
        IndexReadError: These are none that the network takes.
    """
    num_classes, claim = entry.value("num_classes"), entry.metadata.get("model_args")
    stated = claim.value if claim else {}
    args = {name: float(value) if isinstance(value, Decimal) else value for name, value in stated.items()}
    if claim and (problem := find_network(entry.architecture).find_args_problem(args)):
        raise IndexReadError(f"{claim.location}: {claim.label}: {problem}")
    return args if num_classes is None else args | {"num_classes": num_classes}


def entry_words(entry: Entry) -> Words:
    """Find the words about the family of an entry's network; those of any where nothing is known of it."""
    network = known_network(entry.architecture)
    return network.family.words() if network else Words()


def entry_classes(entry: Entry) -> int:
    """Return how many classes an entry tells apart.

    Raises:
        IndexReadError: It does not say.
    """
    if (num_classes := entry.value("num_classes")) is None:
        raise IndexReadError(f"{entry.location}: {entry.name} does not state its Num Classes")
    return int(num_classes)
