"""Check entries for what no single value shows: claims that contradict each other or cannot be."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import combinations
from typing import Any

from rexnet_hub.addresses import find_url_problem
from rexnet_hub.errors import IndexReadError, NetworkError
from rexnet_hub.identity import Identity
from rexnet_hub.index.entry import LEAST_DIGITS, Claim, Entry, Result, split_released
from rexnet_hub.index.fields import key_name
from rexnet_hub.index.network import entry_options
from rexnet_hub.index.reading.doubts import find_doubts
from rexnet_hub.index.reading.inherit import INPUTS
from rexnet_hub.index.reading.values import LANGUAGE, find_dataset_problem, find_license_problem
from rexnet_hub.index.spellings import HUB_NAMES, find_class_problem
from rexnet_hub.layout import find_name_danger, find_name_problem, is_file_name, is_repo_id
from rexnet_hub.nets import Network, built_in_network, known_network

Report = Callable[..., None]

#: What a claim of a technique needs to be true: the field, and what its value must be above.
_TECHNIQUES = {
    "label smoothing": "label_smoothing",
    "weight decay": "weight_decay",
    "dropout": "dropout",
    "nesterov accelerated gradient": "momentum",
    "random erasing": "random_erasing",
}
#: A file holds each parameter in 2, 4 or 8 bytes, and names and shapes beside them: at most a twentieth.
_BYTES_EACH, _OVERHEAD = (2, 4, 8), Decimal("1.05")


def check_entries(
    entries: Sequence[Entry], collections: Sequence[Entry], report: Report, *, count_all: bool = False
) -> None:
    """Check each entry, and all of them against each other.

    Args:
        count_all: Whether networks that only a provider can build are counted too, which takes torch.
    """
    _check_shared_weights(entries, report)
    names = {name: entry.name for entry in entries for name in (entry.name, *entry.other_names)}
    for entry in (*entries, *collections):
        _check_for_card(entry, names, report)
        _check_for_hub(entry, report)
        for result in entry.results:
            _check_result(result, report)
    checks = (_check_weights, _check_witnesses, _check_recipe, _check_input, _check_labels, _check_classes)
    find = known_network if count_all else built_in_network
    for entry in entries:
        _check_size(entry, find(entry.architecture), report)
        for check in checks:
            check(entry, report)
    for collection in collections:
        for witness in collection.witnesses[:1]:
            message = "Witnesses of a collection are of no one file; state them with the model"
            report("unfit-witness", witness.claim.location, message)
    for code, place, message in find_doubts(entries, collections):
        report(code, place, message)


def check_weights_name(claim: Claim | None, report: Report, *, has_digest: bool) -> list[Claim]:
    """Report a released file whose name the cache cannot keep, or gives too few digits to check it by.

    Returns:
        The claim as one that cannot be read, if of the file only the size would be checked.
    """
    if claim is None:
        return []
    name, digits = split_released(str(claim.value))
    if not is_file_name(name):
        what = "is none that the cache keeps: ASCII letters, digits and - _ . +"
        report("unportable-name", claim.location, f"the file's name {name[:80]!a} {what}")
    if digits is None or len(digits) >= LEAST_DIGITS or has_digest:
        return []
    needed = f"{len(digits)} of the {LEAST_DIGITS} digits that a digest needs"
    given = f"the file's name {name[:80]!a} gives {needed}"
    report("short-digest", claim.location, f"{given}: its size alone would decide; state SHA256")
    return [claim._replace(problem=given)]


def check_names(entries: Sequence[Entry], report: Report) -> None:
    """Check that each entry has a name that it can have, and of its own."""
    first: dict[str, Entry] = {}
    for entry in entries:
        if problem := find_name_problem(entry.name):
            code = "bad-name" if find_name_danger(entry.name) else "unportable-name"
            report(code, entry.location, f"the name {entry.name[:80]!a} {problem}")
        other = first.setdefault(unicodedata.normalize("NFKC", entry.name).casefold(), entry)
        if other is not entry:
            same = "" if other.name == entry.name else f": on many disks {other.name!r} is the same"
            message = f"{entry.name!r} is also the model at {other.location}{same}"
            report("duplicate-model", entry.location, message)


def _check_shared_weights(entries: Sequence[Entry], report: Report) -> None:
    first: dict[str, str] = {}
    for entry in entries:
        if (claim := entry.weights) is None or claim.inherited:
            continue
        if (other := first.setdefault(str(claim.value), entry.name)) != entry.name:
            report("same-weights", claim.location, f"{entry.name} has the same weights as {other}")


def _check_weights(entry: Entry, report: Report) -> None:
    claim = entry.weights
    if claim is None or claim.inherited:
        return
    if str(claim.value).startswith("http:"):
        message = "anybody on the way can change what http: brings; give an https: address"
        report("plain-http", claim.location, message)
    digest, released = entry.extra.get("sha256"), entry.released
    wrong = Identity(released.statements).contradictions() if released else ()
    if wrong:
        place = (digest or claim).location
        report("digest-mismatch", place, f"{'; '.join(wrong)}: one of them is another file's")


def _check_witnesses(entry: Entry, report: Report) -> None:
    """Check that no two witnesses state the same twice, or what no file can be."""
    for one, two in combinations(entry.witnesses, 2):
        if (one.of, one.algorithm) != (two.of, two.algorithm):
            continue
        both, is_same_place = f"{one.statement}, and {two.statement}", one.name == two.name
        if one.claim.value == two.claim.value and is_same_place:
            report("duplicate-item", two.claim.location, f"{both}: keep one")
        elif one.claim.value != two.claim.value and (is_same_place or not one.of):
            report("digest-mismatch", two.claim.location, f"{both}: one of them is another file's")


def _check_size(entry: Entry, known: Network | None, report: Report) -> None:
    """Compare parameters, file size and operations with each other and with the network's parameters."""
    exact = _count_parameters(known, entry, report)
    network = known.call(entry.architecture) if known else ""
    stated, size, flops = (entry.metadata.get(name) for name in ("parameters", "file_size", "flops"))
    if exact is not None and stated is not None and not (agreement := stated.compare(exact)).holds:
        message = f"{network} has {exact} parameters, {stated.text} {agreement}"
        report("impossible-parameters", stated.location, message)
    if exact is not None and size is not None:
        fits = any(each * exact <= size.value <= each * exact * _OVERHEAD for each in _BYTES_EACH)
        if not fits and size.value < 8 * exact:  # Above that an optimiser's state may be in the file.
            message = f"{network} takes {4 * exact} bytes and some, or half, {size.text} is neither"
            report("impossible-file-size", size.location, message)
    elif size is not None and stated is not None and stated.value:
        ratio = Decimal(size.value) / (4 * Decimal(stated.value))
        if not Decimal("0.45") <= ratio <= Decimal("1.25"):
            expected = f"four bytes for each of {stated.text} parameters"
            report("unlikely-file-size", size.location, f"{size.text} bytes are {ratio:.2f} times {expected}")
    if flops is not None and stated is not None and flops.value < stated.value:
        message = f"{flops.text} operations are fewer than {stated.text} parameters"
        report("unlikely-flops", flops.location, message)


def _count_parameters(network: Network | None, entry: Entry, report: Report) -> int | None:
    """Count the parameters of an entry's network; None for one that is not known here, or cannot be built."""
    try:
        return _count_planned(network, **entry_options(entry)) if network else None
    except NetworkError:
        return None
    except IndexReadError as error:
        where = entry.metadata["model_args"].location
        report("impossible-input", where, str(error).removeprefix(f"{where}: "))
        return None


@functools.cache  # an index names few networks, each many times
def _count_planned(network: Network, **options: Any) -> int:
    return network.plan(**options).parameters


def _check_recipe(entry: Entry, report: Report) -> None:
    listed = entry.metadata.get("training_techniques")
    techniques = {str(word).lower() for word in listed.value} if listed else set()
    for technique, field in _TECHNIQUES.items():
        claim = entry.metadata.get(field)
        if technique in techniques and claim is not None and claim.value == 0:
            message = f"{technique!r} is among the Training Techniques, yet {claim.label} is 0"
            report("contradicting-recipe", claim.location, message)
    epochs, warmup = entry.metadata.get("epochs"), entry.metadata.get("warmup_epochs")
    if epochs is not None and warmup is not None and warmup.value >= epochs.value:
        message = f"{warmup.text} epochs of warm-up leave none of {epochs.text}"
        report("contradicting-recipe", warmup.location, message)


def _check_input(entry: Entry, report: Report) -> None:
    for name in ("image_size", "crop_pct", "image_std"):
        claim = entry.metadata.get(name)
        if claim is not None and 0 in (claim.value if isinstance(claim.value, tuple) else (claim.value,)):
            report("impossible-input", claim.location, f"{claim.label} is divided by, so it cannot be 0")


def _check_labels(entry: Entry, report: Report) -> None:
    if (claim := entry.metadata.get("labels")) is None:
        return
    try:
        entry.labels  # noqa: B018 - its file is read
    except IndexReadError as error:
        report("wrong-labels", claim.location, str(error).removeprefix(f"{claim.location}: "))


def _check_classes(entry: Entry, report: Report) -> None:
    """Report a result on a data set of which a network with so many classes cannot be."""
    for result in entry.results:
        is_classified = result.task is None or "classification" in result.task.lower()
        if is_classified and (problem := find_class_problem(result.dataset, entry.value("num_classes"))):
            report("classes-differ", result.location, f"{entry.name} {problem}")


def _check_for_card(entry: Entry, names: Mapping[str, str], report: Report) -> None:
    """Check what is said for the card: models that there are, codes and addresses that the Hub takes.

    Args:
        names: Each name that a model has, and its first.
    """

    def check(name: str, values: Iterable[Any], holds: Callable[[str], Any], problem: str) -> None:
        """Report each value of a field of the entry's own that does not hold."""
        claim = entry.extra.get(name)
        for value in values:
            if claim and not claim.inherited and not holds(str(value)):
                first = names.get(str(value), str(value))
                said = problem if first == str(value) else f"is another name of {first}: write that"
                report("unfit-for-card", claim.location, f"{claim.label}: {str(value)[:80]!r} {said}")

    def is_other(name: str) -> bool:
        """Return whether a name is the first of another model."""
        return names.get(name) == name != entry.name

    unknown = "is neither another model of this index nor a repo of the Hub, such as owner/name"
    check("base_model", entry.said("base_model") or (), lambda v: is_other(v) or is_repo_id(v), unknown)
    check("superseded_by", [entry.said("superseded_by")], is_other, "is no other model of this index")
    iso = "is no language code that the Hub takes: ISO 639 in small letters, such as en"
    check("language", entry.said("language") or (), LANGUAGE.fullmatch, iso)
    widget, text = entry.said("widget"), str(entry.said("license_file"))
    pictures = widget if isinstance(widget, dict) else {}
    untitled = "is no https address of a picture: write a title, and its address"
    check("widget", pictures.values(), _is_https, untitled)
    try:
        problem = "is no https address" if "://" in text and not _is_https(text) else ""
        entry.license_text  # noqa: B018 - its file is read
    except IndexReadError as error:
        problem = f"is not there to read: {error}"
    check("license_file", [text], lambda _: not problem, problem)


def _is_https(text: str) -> bool:
    return text.startswith("https://") and find_url_problem(text) is None


def _check_for_hub(entry: Entry, report: Report) -> None:
    """Report what the Hub refuses on a card: a licence that it does not list, a data set of no id."""
    claim = entry.license if "license_name" not in entry.extra else None
    if claim and not claim.inherited and (problem := find_license_problem(str(claim.value))):
        report("refused-by-hub", claim.location, problem)
    for result in entry.results:
        known = HUB_NAMES.get(result.known_as, (str(result.dataset),))[0]
        claim = result.extra.get("dataset_type")
        if problem := find_dataset_problem(str(claim.value if claim else known)):
            where = claim.location if claim else result.location
            report("refused-by-hub", where, f"{problem}; write the id as Dataset Type")


def _check_result(result: Result, report: Report) -> None:
    claim = result.extra.get("dataset_args")
    for name, value in claim.value.items() if claim and isinstance(claim.value, dict) else ():
        is_number = isinstance(value, (int, Decimal)) and not isinstance(value, bool) and value > 0
        if claim and key_name(name) in INPUTS and value is not None and not is_number:
            message = f"{claim.label}: expected {name} as a number, found {value!r}"
            report("wrong-kind", claim.location, message)
    for metrics in (result.metrics, *(snapshot.metrics for snapshot in result.snapshots)):
        read = {name: claim for name, claim in metrics.items() if not claim.problem}
        top1, top5 = read.get("top1"), read.get("top5")
        if top1 is not None and top5 is not None and not top5.inherited and top5.value < top1.value:
            message = f"top 5 is {top5.text}, below top 1, which is {top1.text}"
            report("top5-below-top1", top5.location, message)
