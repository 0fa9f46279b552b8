"""Find which network a checkpoint is of, and convert it aside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rexnet_hub.errors import StateDictError, UsageError
from rexnet_hub.nets import Network, find_network, fit_networks, how_to_know_more
from rexnet_hub.nets.state_dict import TensorTable, require_tensors
from rexnet_hub.weights.convert import convert_checkpoint
from rexnet_hub.weights.receipt import OutputFacts, Receipt, SourceFacts


@dataclass(frozen=True, kw_only=True)
class Contents:
    """The facts measured of a checkpoint.

    Attributes:
        released: Of the file that others get: the checkpoint, or what is made of it.
    """

    network: Network
    num_classes: int
    in_chans: int
    receipt: Receipt
    parameters: int
    released: SourceFacts | OutputFacts


def read_contents(
    checkpoint: Path, weights: Path, said: Mapping[str, str], *, wrapper: str | None
) -> Contents:
    """Convert a checkpoint to a file aside, find which network its tensors are of, and count.

    Args:
        weights: The file to write.
        said: By whom which network is said to be in it.
        wrapper: As of `convert_checkpoint`.

    Raises:
        UsageError: Its tensors are those of another network than is said.
        CheckpointError: It is damaged, or of no network that is known, or of several.
    """
    receipt = convert_checkpoint(checkpoint, weights, wrapper=wrapper, as_float32=True)
    tensors = {line.name: (line.dtype, line.shape) for line in receipt.tensors}
    network, num_classes = _find_network(checkpoint, tensors, said)
    in_chans = network.count_channels({name: shape for name, (_, shape) in tensors.items()})
    plan = network.plan(num_classes=num_classes, in_chans=in_chans)
    require_tensors(tensors, plan.tensors, file=checkpoint)
    return Contents(
        network=network,
        num_classes=num_classes,
        in_chans=in_chans,
        receipt=receipt,
        parameters=plan.parameters,
        released=receipt.source,
    )


def _find_network(checkpoint: Path, tensors: TensorTable, said: Mapping[str, str]) -> tuple[Network, int]:
    """Find the network that tensors are of, and its classes, by what is said of it and by the tensors."""
    shapes = {name: shape for name, (_, shape) in tensors.items()}
    meant = {by: find_network(name) for by, name in said.items()}
    chosen = {network.architecture: network for network in meant.values()}
    for network in chosen.values() if len(chosen) == 1 else ():
        if (classes := network.find_classes(shapes)) is not None:  # all others need not be built
            return network, classes
    fitting = {network.architecture: (network, classes) for network, classes in fit_networks(shapes)}
    for by, network in meant.items():
        if not fitting:
            require_tensors(tensors, network.plan_like(shapes).tensors, file=checkpoint)
        if network.architecture not in fitting:
            raise UsageError(f"{by}: is of {said[by]}, the checkpoint is a {' or '.join(fitting)}")
        fitting = {network.architecture: fitting[network.architecture]}
    if not fitting:
        problem = f"its {len(tensors)} tensors are those of no network that is known here"
        raise StateDictError(checkpoint, f"{problem}. {how_to_know_more()}")
    if len(fitting) > 1:
        problem = f"its {len(tensors)} tensors are those of {', '.join(fitting)}"
        raise StateDictError(
            checkpoint, f"{problem}; say which with --architecture, or with the training log"
        )
    return fitting.popitem()[1]
