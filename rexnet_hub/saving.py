"""Save a network as a repo that others load, and push it to a Hub.

A saved network is written as `stage` writes an entry; this one stands in the repo's receipt, and in no index.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rexnet_hub.errors import CheckpointError, PublishError, UsageError
from rexnet_hub.index import Preprocessing
from rexnet_hub.index.entry import is_label, state_input
from rexnet_hub.index.loading import read_own_model
from rexnet_hub.layout import RECEIPT_FILE, WEIGHTS_FILE, expand_home, find_name_danger, is_repo_id
from rexnet_hub.repo.card_fields import CardFields, read_card
from rexnet_hub.repo.config import read_input
from rexnet_hub.terminal import printable
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.weights.receipt import ParentFacts

if TYPE_CHECKING:
    from rexnet_hub.nets.modules import Classifier
    from rexnet_hub.publish.apply import Published

DRAWN = ParentFacts(name="drawn")

#: Doubts about an index that are none about a card: nobody would read it, or all of them another thing.
_REFUSED = {"refused-by-hub", "misplaced-key", "unknown-key", "incomplete-result", "unit-suspect"}

log = logging.getLogger(__name__)


class Origin(NamedTuple):
    """The settings of a network that was loaded or drawn, as far as it does not say them itself.

    Attributes:
        options: The arguments that it was built with, by timm's names, its number of classes aside.
        labels: The names of its classes then; empty where they had none.
    """

    architecture: str
    preprocessing: Preprocessing
    options: Mapping[str, Any]
    labels: tuple[str, ...] = ()
    parent: ParentFacts = DRAWN


#: The input of a network that does not say which it was made for.
_USUAL: dict[str, Any] = {
    "input_size": (3, 224, 224), "crop_pct": 0.875, "interpolation": "bicubic",
    "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225),
}  # fmt: skip


def usual_input(model: Classifier) -> Preprocessing:
    """Return the input that a network was made for, as timm's `pretrained_cfg` says it."""
    given = getattr(model, "pretrained_cfg", None) or {}
    return read_input(_USUAL | {name: value for name, value in given.items() if value})


def make_savable(model: Classifier, origin: Origin) -> None:
    """Add `save_pretrained` and `push_to_hub` to a network, ours or timm's; a copy's are its own."""
    model.save_pretrained = partial(save_network, model, origin)
    model.push_to_hub = partial(push_network, model, origin)


def save_network(
    model: Classifier,
    origin: Origin,
    folder: Path | str,
    *,
    labels: Sequence[str] | Mapping[Any, str] | None = None,
    card: Mapping[str, Any] | None = None,
) -> Path:
    """Write a repo folder of a network: config, weights, card and a receipt that says what it was made from.

    It loads in rexnet_hub, timm and transformers. A repo of ours that is there is replaced, whole.

    Args:
        folder: It, or its last part, is the model's name.
        labels: The names of the classes in their order, or by number; without, those of the model that was
            loaded, while it has as many classes.
        card: What the card says, by the fields of the index, such as `{"License": "mit"}`.

    Returns:
        The folder.

    Raises:
        UsageError: There is not a name for each class, or the card says what no entry can.
        OutputExistsError: The folder holds other things than a repo of ours.
        CheckpointError: The tensors are no longer the network's, or hold NaN or infinity.
        FileProblem: It cannot be written.
    """
    from rexnet_hub.publish.staging import write_staged

    try:
        folder = expand_home(folder).resolve()
    except ValueError as error:  # a null byte
        raise UsageError(f"{str(folder)!r} is no folder's name: {error}") from None
    with _drafted(model, origin, folder, labels, card) as draft:
        try:
            return write_staged(**draft, out=folder, replaces=True).folder
        except CheckpointError as error:  # whose file is one aside
            raise type(error)(folder, f"is not written: the network {error.problem}") from None


def push_network(
    model: Classifier,
    origin: Origin,
    repo_id: str,
    *,
    labels: Sequence[str] | Mapping[Any, str] | None = None,
    card: Mapping[str, Any] | None = None,
    private: bool = False,
    token: str | bool | None = None,
    create_pr: bool = False,
    **options: Any,
) -> Published:
    """Publish a network to a repo on the Hub, in one commit that is read back.

    Args:
        repo_id: OWNER/NAME; it is made if it is not there.
        labels, card: As of `save_network`.
        private: Whether a repo that is made stays private.
        create_pr: Whether to open a pull request instead of committing.
        options: `tag`, `drop_edits`, `drop_files` and `drop_signature`, as of `plan_publish`.

    Raises:
        PublishError: The Hub does not answer or refuses, or what is there must not be replaced.
        RexnetHubError: As of `save_network`.
    """
    from rexnet_hub.publish.run import publish_all
    from rexnet_hub.publish.staging import write_staged

    if not isinstance(repo_id, str) or not is_repo_id(repo_id):
        raise UsageError(f"{repo_id!r} is no OWNER/NAME of a repo on the Hub")
    with tempfile.TemporaryDirectory(prefix="rexnet-hub-") as scratch:
        folder = Path(scratch, repo_id.rpartition("/")[2])
        with _drafted(model, origin, folder, labels, card) as draft:
            write_staged(**draft, out=folder, repo_id=repo_id)
        settings = {"private": private, "token": token, "as_pr": create_pr, **options}
        (outcome,) = publish_all([str(folder)], f"hf:{repo_id}", apply=True, **settings)
    if outcome.published is None:
        raise PublishError(str(outcome.problem))
    return outcome.published


@contextlib.contextmanager
def _drafted(
    model: Classifier,
    origin: Origin,
    folder: Path,
    labels: Sequence[str] | Mapping[Any, str] | None,
    card: Mapping[str, Any] | None,
) -> Iterator[dict[str, Any]]:
    """Write a network's weights aside; yield what `write_staged` makes a folder of, by its arguments."""
    from safetensors.torch import save_file

    name, class_names = folder.name, _choose_labels(model, origin, labels)
    said = {} if card is None else read_card(card)
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        raise UsageError(f"{name} cannot be saved: a network on the device meta holds no values")
    with tempfile.TemporaryDirectory(prefix="rexnet-hub-") as scratch:
        weights = Path(scratch, WEIGHTS_FILE)
        state = {k: tensor.detach().cpu().clone().contiguous() for k, tensor in model.state_dict().items()}
        save_file(state, weights, metadata={"format": "pt"})
        is_changed, of = origin.parent.sha256 not in (None, digest_file(weights).sha256), origin.parent.name
        can_be_cited = of != name and (is_repo_id(of) or find_name_danger(of) is None)
        others = [of] if is_changed and can_be_cited else []
        stated = _describe(model, origin, name, others, said)
        read = read_own_model(folder / RECEIPT_FILE, stated)
        refused = [each for each in read.problems if each.severity == "error" or each.code in _REFUSED]
        if wrong := [each.message.rstrip(".") for each in refused]:
            raise UsageError(f"{name} cannot be saved: {'; '.join(wrong)}")
        for doubt in read.problems:
            log.warning("%s", printable(f"{name}: {doubt.message}"))
        entry = replace(read.models[0], class_names=class_names)
        yield {"entry": entry, "checkpoint": weights, "parent": origin.parent, "model": stated}


def _choose_labels(
    model: Classifier, origin: Origin, labels: Sequence[str] | Mapping[Any, str] | None
) -> tuple[str, ...]:
    """Choose the names of the classes: those given, else the loaded model's, if they can be."""
    count = model.num_classes
    if labels is None:
        if origin.labels and len(origin.labels) != count:
            what = f"the names of its {len(origin.labels)} classes are not those of the {count} here"
            log.warning("%s", printable(f"{origin.parent.name}: {what}; give labels"))
        return origin.labels if len(origin.labels) == count else ()
    if isinstance(labels, Mapping):
        named = {str(number): label for number, label in labels.items()}
        labels = [named.get(str(number), "") for number in range(len(named))]
    if isinstance(labels, str | Set) or len(labels := list(labels)) != count:
        problem = f"labels has {len(labels)} names, the network {count} classes; it needs one for each"
        raise UsageError(f"{problem}{', in their order' if isinstance(labels, Set) else ''}")
    names = [str(name) if isinstance(name, int) else name for name in labels]
    are_names = [isinstance(name, str) and is_label(name) for name in names]
    if wrong := [f"{at}: {name!r}" for at, name in enumerate(names) if not are_names[at]]:
        raise UsageError(f"labels are one line of text each, and these are not: {', '.join(wrong)}")
    return tuple(map(str, names))


def _describe(
    model: Classifier, origin: Origin, name: str, others: Sequence[str], card: CardFields
) -> dict[str, Any]:
    """Describe a network as a model of an index, with what its card is to say."""
    metadata: dict[str, Any] = {
        "ID": origin.architecture,
        "Parameters": sum(parameter.numel() for parameter in model.parameters()),
        "Tasks": ["Image Classification"],
        "Num Classes": model.num_classes,
        **state_input(origin.preprocessing),
    }
    channels = {} if model.in_chans == 3 else {"in_chans": model.in_chans}
    if args := {**origin.options, **channels}:
        metadata["Model Args"] = args
    entry: dict[str, Any] = {"Name": name, "Metadata": metadata}
    entry |= {"Base Model": [*others]} if others else {}
    for (owner, label), value in card.items():
        (metadata if owner == "metadata" else entry)[label] = value
    return entry
