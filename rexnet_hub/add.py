"""Add a new checkpoint to the index, measured.

What can be measured is: the network (by its tensors), classes, parameters, bytes, digests, operations.
What cannot, the caller or the training log says: the collection may, for all its models. Nothing is
guessed; what is missing is named.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import Any

from rexnet_hub.addresses import HubFile, redact_url
from rexnet_hub.contents import Contents, read_contents
from rexnet_hub.edit import as_percent, verbatim_number
from rexnet_hub.errors import FileProblem, UsageError, file_problems, refuse_unused
from rexnet_hub.imagenet.data.classes import imagenet_labels
from rexnet_hub.index import Entry, Index, Lock, Measured, load_index
from rexnet_hub.index.change import Draft, change_index
from rexnet_hub.index.entry import AGREES, INPUT_FIELDS, Location, state_input
from rexnet_hub.index.fields import METADATA_LABELS, key_name
from rexnet_hub.index.lock import MeasuredFile, flatten, read_lock, require_own_index, require_unpublished
from rexnet_hub.index.reading.source import YamlSource
from rexnet_hub.index.spellings import dataset_key, find_class_problem, is_imagenet
from rexnet_hub.index.text_edits import append_model, as_read, read_model, set_value
from rexnet_hub.layout import CONFIG_FILE, WEIGHTS_FILE, is_repo_id, labels_of
from rexnet_hub.locate import HUB_SCHEME, find_repo
from rexnet_hub.measure import measure_model, merge_measured
from rexnet_hub.recipe import list_not_carried, logged_fields, read_log
from rexnet_hub.repo.card_fields import card_of
from rexnet_hub.repo.folder import Repo, released_identity
from rexnet_hub.weights.receipt import Receipt
from rexnet_hub.whole_files import open_regular


@dataclass(frozen=True, kw_only=True)
class NewModel:
    """The claims about a new model; one that is None stays out of the index, or is the collection's.

    Attributes:
        name: It is loaded by this name for ever.
        collection: A collection of the index.
        architecture: The network, where its tensors fit several and no training log says which.
        license: Of the weights; that others of the collection have one says nothing of these.
        weights_url: Where others find the checkpoint; by default its address on this machine; of weights that
            are uploaded the repo, as hf:OWNER/NAME.
        dataset, split: Of the accuracies; of ImageNet by default the validation set.
        top1_percent, top5_percent: In percentage points, as text: `79.5`.
        training_log: timm's args.yaml.
        weights_key: The state dict that is meant, where the checkpoint holds several.
        labels: A text file with the classes' names, one a line, in the classifier's order.
        fine_tuned_from: A model of the index, or a repo of the Hub.
        supersedes: The model that this one replaces; it stays, and says so.
    """

    name: str
    collection: str
    architecture: str | None = None
    weights_url: str | None = None
    title: str | None = None
    license: str | None = None
    code: str | None = None
    dataset: str | None = None
    split: str | None = None
    top1_percent: str | None = None
    top5_percent: str | None = None
    image_size: int | None = None
    crop_pct: str | None = None
    interpolation: str | None = None
    training_data: Sequence[str] = ()
    training_log: Path | None = None
    weights_key: str | None = None
    labels: Path | None = None
    fine_tuned_from: str | None = None
    supersedes: str | None = None


@dataclass(frozen=True, kw_only=True)
class Added:
    """The new entry, as it was added.

    Attributes:
        was_there: Whether the very same checkpoint had this name already.
        not_carried: What the training log says beside, and the entry does not.
        unknown_bases: What the repo says that its weights were made from, and others cannot find by that.
    """

    location: Location
    architecture: str
    was_there: bool
    not_carried: tuple[str, ...] = ()
    unknown_bases: tuple[str, ...] = ()


def add_entry(
    checkpoint: Path | str,
    new: NewModel,
    *,
    index_file: Path | None = None,
    upload: Callable[[Path, Receipt], HubFile] | None = None,
) -> Added:
    """Add a checkpoint to the index and the lock; run again, it changes nothing.

    Args:
        checkpoint: A file, a repo folder, or a repo on the Hub as `hf:OWNER/NAME`, perhaps with `@REVISION`
            or as its weights are named, `hf:OWNER/NAME@COMMIT#model.safetensors`.
            Of a repo, input, names and what it was made from are its own, unless they are stated here.
        index_file: The file to add to; by default the one that has the collection. Every other byte of it
            stays as it is.
        upload: Uploads the converted weights, given their receipt, before the index is touched; they are the
            entry's released file then.

    Raises:
        UsageError: Something is not stated, contradicts the checkpoint, or the name has other weights.
        CheckpointError: The checkpoint is damaged or of no network of ours.
        IndexReadError: The index would not be valid, or its file cannot be added to; nothing is changed.
        FileProblem: A file cannot be read or written.
    """
    require_own_index()
    index, repo = load_index(), _find_repo(checkpoint)
    if repo and repo.hub:
        given = {"to": upload, "weights_url": None if upload else new.weights_url}
        refuse_unused(f"a repo of the Hub, {checkpoint},", **given)
        new = replace(new, weights_url=str(repo.hub))
    file = repo.weights if repo else Path(checkpoint)
    old = index.get(new.name)
    if old is not None and (reason := old.said("withdrawn")) is not None:
        problem = f"{new.name} was withdrawn, and its name is not given again: {reason}"
        raise UsageError(f"{old.location}: {problem}; rexnet-hub edit {new.name} Withdrawn= takes that back")
    there: list[Entry] = []
    with tempfile.TemporaryDirectory(prefix="rexnet-hub-") as scratch:
        weights = Path(scratch) / WEIGHTS_FILE
        log = read_log(new.training_log) if new.training_log else {}
        said = _said_networks(new, log) | ({str(checkpoint): repo.config.architecture} if repo else {})
        contents = read_contents(file, weights, said, wrapper=new.weights_key)
        if upload is not None:
            contents = replace(contents, released=contents.receipt.output)
        collection = _find_collection(index, new.collection)
        place = index_file or collection.location.file
        if new.supersedes is not None:
            index.find(new.supersedes)
        model = _entry(new, contents, log, file, collection, repo, index)
        label, names = _name_classes(place, new.name, new.labels, repo)
        model["Metadata"] |= {"Labels": label} if label else {}

        def change(draft: Draft) -> None:
            if new.supersedes is not None:
                _mark_superseded(draft, new.supersedes, new.name)
            if (entry := draft.index.get(new.name)) is None:
                draft.edit(place, append_model, model)
            else:
                there.append(entry)
                _require_same(entry, contents, home=new.weights_url if upload else None)
                given = dict(model)
                if upload is not None or not new.weights_url:
                    del given["Weights"]
                _require_claims(draft.read(entry.location.file), entry, given)
            if names is not None:
                _write_names(draft, labels_of(place, new.name), names)

        if old is None and upload is not None:
            model["Weights"] = str(upload(weights, contents.receipt))
        entry = change_index(change, partial(_record, new.name, contents)).find(new.name)
    return Added(
        location=entry.location,
        architecture=contents.network.architecture,
        was_there=bool(there),
        not_carried=tuple(list_not_carried(log)),
        unknown_bases=() if new.fine_tuned_from else tuple(_bases(repo, index)[False]),
    )


def update_entry(name: str, checkpoint: Path | str, *, weights_url: str | None = None) -> Location:
    """Replace the checkpoint of a model that was not published, and measure it anew.

    What is measured of it is written over, and what a repo says of its input and classes; witnesses go, if
    none of them is of this checkpoint; every other claim stays, and is to be thought of.

    Args:
        checkpoint: As of `add_entry`.

    Raises:
        UsageError: Others may load the model already.
        CheckpointError, IndexReadError, FileProblem: As of `add_entry`; nothing is changed.
    """
    require_own_index()
    old, repo = load_index().find(name), _find_repo(checkpoint)
    name = old.name
    if repo and repo.hub:
        refuse_unused(f"a repo of the Hub, {checkpoint},", weights_url=weights_url)
        weights_url = str(repo.hub)
    file = repo.weights if repo else Path(checkpoint)
    with tempfile.TemporaryDirectory(prefix="rexnet-hub-") as scratch:
        said = {f"{old.location}, ID": old.architecture}
        wrapper = None if repo else old.said("weights_key")
        contents = read_contents(file, Path(scratch) / WEIGHTS_FILE, said, wrapper=wrapper)
    label, names = _name_classes(old.location.file, name, None, repo)

    def change(draft: Draft) -> None:
        require_unpublished(name, f"a better checkpoint gets a name of its own, with --supersedes {name}")
        entry = draft.index.find(name)
        values = {
            "Metadata/Parameters": contents.parameters,
            "Metadata/File Size": contents.released.size_bytes,
            "Metadata/Num Classes": contents.num_classes,
            "Weights": weights_url or file.resolve().as_uri(),
            "SHA256": contents.released.sha256,
            **(_list_settings(entry, repo, contents) if repo else {}),
            **({"Metadata/Labels": label} if label else {}),
        }
        if names is not None:
            own = labels_of(entry.location.file, name)
            draft.write(own, names) if entry.labels_file == own else _write_names(draft, own, names)
        # From the last place of a file on: an edit moves what stands below it.
        for home in sorted((entry, *entry.others), key=lambda home: home.location, reverse=True):
            edits = values if home is entry else {}
            if not _is_witnessed(home, contents):
                edits = edits | {"Witnesses": None}
            for steps, value in edits.items():
                draft.edit(home.location.file, set_value, home.location, steps.split("/"), value)

    return change_index(change, partial(_record, name, contents, is_new=True)).find(name).location


def _is_witnessed(entry: Entry, contents: Contents) -> bool:
    """Return whether an entry's own witnesses, if it has any, may be of a checkpoint: one of them agrees."""
    others = [witness for other in entry.others for witness in other.witnesses]
    own = [witness for witness in entry.witnesses if witness not in others]
    found = (witness.compare(contents.released, contents.receipt.output, ()) for witness in own)
    return not own or AGREES in found


def _list_settings(entry: Entry, repo: Repo, contents: Contents) -> dict[str, Any]:
    """List what a repo says of its network and input otherwise than an entry; None is to go."""
    before = {} if entry.unstated_input else state_input(entry.preprocessing)
    settings: dict[str, Any] = {**dict.fromkeys(before), **state_input(repo.config.preprocessing)}
    changed = {f"Metadata/{label}": v for label, v in settings.items() if v != before.get(label)}
    args = _model_args(repo, contents)
    if args != (entry.value("model_args") or {}):
        changed["Metadata/Model Args"] = args or None
    return changed | ({"Weights Key": None} if entry.said("weights_key") else {})


def _record(name: str, contents: Contents, index: Index, lock: Lock, *, is_new: bool = False) -> Lock:
    """Return the lock with what was measured of a model; of new weights nothing else holds."""
    entry = index.find(name)
    fresh = replace(
        measure_model(entry),
        released=MeasuredFile.of(contents.released),
        safetensors=MeasuredFile.of(contents.receipt.output),
    )
    return lock.with_model(name, merge_measured(entry, Measured() if is_new else lock.of(name), fresh))


def _find_repo(checkpoint: Path | str) -> Repo | None:
    """Find the repo that is to be added: on the Hub, or a folder; None of a file."""
    if str(checkpoint).startswith("hf:"):
        source, _, name = str(checkpoint).removeprefix("hf:").partition("#")
        if name not in ("", WEIGHTS_FILE):
            raise UsageError(f"{checkpoint}: of a repo its {WEIGHTS_FILE} is added, with its {CONFIG_FILE}")
        return find_repo(HUB_SCHEME + source)
    return find_repo(Path(checkpoint)) if Path(checkpoint).is_dir() else None


def _said_networks(new: NewModel, log: Mapping[str, Any]) -> dict[str, str]:
    """Return by whom which network is said to be in the checkpoint."""
    said = {"--architecture": new.architecture} if new.architecture else {}
    return said | (
        {str(new.training_log): model.partition(".")[0]} if isinstance(model := log.get("model"), str) else {}
    )


def _require_same(old: Entry, contents: Contents, *, home: str | None) -> None:
    """Refuse another checkpoint under a name that somebody may already rely on, and another home."""
    url = old.released.url if old.released else "none"
    if home is not None and not url.startswith(f"{home}@"):
        problem = f"has Weights {redact_url(url)}, not in {home}; take the entry out and add it again"
        raise UsageError(f"{old.location}: {old.name} {problem}, or leave out --to")
    source, identity = contents.released, released_identity(old, read_lock().of(old.name))
    wrong = [str(each) for each in identity.statements if each.contradicts(source)]
    if identity.sha256 and not wrong:
        return
    raise UsageError(
        f"{old.name} is another checkpoint already: {'; '.join(wrong) or 'it states no digest'}; "
        f"this one has SHA-256 {source.sha256}; a name never changes its weights: "
        f"give a new --name and --supersedes {old.name}"
    )


def _find_collection(index: Index, name: str) -> Entry:
    for collection in index.collections:
        if collection.name == name:
            return collection
    names = ", ".join(known.name for known in index.collections) or "none"
    raise UsageError(f"the index has no collection {name!r}; there are: {names}")


def _entry(
    new: NewModel,
    contents: Contents,
    log: Mapping[str, Any],
    checkpoint: Path,
    collection: Entry,
    repo: Repo | None,
    index: Index,
) -> dict[str, Any]:
    """Render the model as the index's file does."""
    _require_logged(log, new.training_log, contents)
    args = _model_args(repo, contents)
    args |= {"global_pool": log["gp"]} if log.get("gp") else {}
    said = card_of(repo.receipt) if repo else {}
    beside, within = ({k: v for (o, k), v in said.items() if o == owner} for owner in ("model", "metadata"))
    stated = {field: getattr(new, field) for field in ("image_size", "crop_pct", "interpolation")}
    stated["crop_pct"] = new.crop_pct and verbatim_number(new.crop_pct)
    stated["training_data"] = list(new.training_data)
    metadata: dict[str, Any] = {
        "ID": contents.network.architecture,
        "Parameters": contents.parameters,
        "File Size": contents.released.size_bytes,
        "Num Classes": contents.num_classes,
        "Tasks": ["Image Classification"],
        **({"Model Args": args} if args else {}),
        **(within | state_input(repo.config.preprocessing) if repo else {}),
        **logged_fields(log),
        **{METADATA_LABELS[field]: value for field, value in stated.items() if value},
    }
    labels = (METADATA_LABELS[field] for field in INPUT_FIELDS.values())
    shared = collection.metadata
    problems = []
    if absent := [label for label in labels if label not in metadata and key_name(label) not in shared]:
        options = {METADATA_LABELS[field]: f" (--{field.replace('_', '-')})" for field in stated}
        missing = ", ".join(label + options.get(label, "") for label in absent)
        problems.append(
            f"{missing} not stated: by no option, no training log (args.yaml), nor the Metadata of "
            f"the collection {new.collection}"
        )
    input_px = metadata.get(METADATA_LABELS["image_size"], collection.value("image_size"))
    if type(input_px) is int and (problem := contents.network.find_size_problem(input_px)):
        problems.append(problem)
    if not new.license and not beside.keys() & {"License", "License Name"}:
        problems.append(
            "under which licence are these weights? give --license"
            + (f"; the collection's is {common.text}" if (common := collection.named_license) else "")
        )
    if problems:
        raise UsageError(f"{new.name}: {'; '.join(problems)}")
    model: dict[str, Any] = {"Name": new.name, "In Collection": new.collection, "Metadata": metadata}
    texts: dict[str, Any] = {"Title": new.title, "License": new.license, "Code": new.code}
    beside.pop("Base Model", None)
    known = _bases(repo, index)[True]
    texts["Fine-tuned From"] = new.fine_tuned_from or (known[0] if len(known) == 1 else known)
    model |= beside | {label: text for label, text in texts.items() if text}
    model["Weights"] = new.weights_url or checkpoint.resolve().as_uri()
    model["SHA256"] = contents.released.sha256
    if contents.receipt.source.wrapper and new.weights_key and contents.released is contents.receipt.source:
        model["Weights Key"] = new.weights_key
    model |= _results(new, contents, beside.get("Results", ()))
    return model


def _results(new: NewModel, contents: Contents, said: Sequence[Any]) -> dict[str, Any]:
    """Render the accuracies that were given, before the results that a repo's card has on other data sets."""
    metrics = {"Top 1 Accuracy": new.top1_percent, "Top 5 Accuracy": new.top5_percent}
    claims = {label: as_percent(label, value) for label, value in metrics.items() if value}
    if not claims:
        refuse_unused("a model without top1 and top5", dataset=new.dataset, split=new.split)
        return {}
    if not (dataset := new.dataset):
        raise UsageError(f"{new.name}: on which data set are top1 and top5? give --dataset")
    if problem := find_class_problem(dataset, contents.num_classes):
        raise UsageError(f"{new.name}: --dataset {dataset}: the checkpoint {problem}")
    split = new.split or ("validation" if is_imagenet(dataset) else None)
    result = {"Task": "Image Classification", "Dataset": dataset, "Metrics": claims}
    result |= {"Split": split} if split else {}
    return {"Results": [result, *(each for each in said if not _is_on(each, dataset))]}


def _model_args(repo: Repo | None, contents: Contents) -> dict[str, Any]:
    """Return what a network is built with that is not usual: as a repo says, and its channels."""
    args = dict(repo.config.options) if repo else {}
    return args | ({"in_chans": contents.in_chans} if contents.in_chans != 3 else {})


def _bases(repo: Repo | None, index: Index) -> dict[bool, list[str]]:
    """Return what a repo says that its weights were made from, by whether others can find it."""
    said = card_of(repo.receipt).get(("model", "Base Model"), ()) if repo else ()
    bases = [said] if isinstance(said, str) else said
    known = {base: is_repo_id(base) or index.get(base) is not None for base in map(str, bases)}
    return {is_known: [base for base in known if known[base] == is_known] for is_known in (True, False)}


def _is_on(result: Any, dataset: str) -> bool:
    return isinstance(result, dict) and dataset_key(str(result.get("Dataset"))) == dataset_key(dataset)


def _name_classes(
    place: Path, name: str, given: Path | None, repo: Repo | None
) -> tuple[str | None, bytes | None]:
    """Return what names the classes; and of a file that is to lie beside the index its bytes."""
    own = repo.config.label_names if repo else ()
    if given is not None and given.resolve().parent == place.resolve().parent:
        return given.name, None
    if given is not None:
        with file_problems(given, "cannot be read"), open_regular(given) as stream:
            return labels_of(place, name).name, stream.read()
    if own == imagenet_labels() or not own:
        return "ImageNet-1k" if own else None, None
    return labels_of(place, name).name, "".join(f"{each}\n" for each in own).encode()


def _write_names(draft: Draft, file: Path, names: bytes) -> None:
    """Write the file of the names, unless others have that place."""
    with file_problems(file, "cannot be read"):
        if file.exists() and file.read_bytes() != names:
            raise FileProblem(file, "holds other names; if they are wrong, edit it, if no model's, remove it")
    draft.write(file, names)


def _require_logged(log: Mapping[str, Any], file: Path | None, contents: Contents) -> None:
    """Refuse the log of a training that cannot have made the checkpoint."""
    for name, found in {"num_classes": contents.num_classes, "in_chans": contents.in_chans}.items():
        if log.get(name) not in (None, found):
            raise UsageError(f"{file}: says {name} {log[name]}, the checkpoint has {found}")


def _require_claims(source: YamlSource, old: Entry, model: Mapping[str, Any]) -> None:
    """Refuse claims that the entry which is there does not make: to be changed, it is edited."""
    there = dict(flatten(read_model(source, old.location)))
    wanted = flatten(as_read(model))
    unlike = {key: text for key, text in wanted if not _is_same(there.get(key), text)}
    labels = {key: [part for part in key.split(".") if part not in ("Metadata", "Metrics")] for key in unlike}
    labels = {key: [part for part in parts if not part.isdecimal()] for key, parts in labels.items()}
    wrong = [f"{labels[key][-1]} is {there[key]} there, not {unlike[key]}" for key in unlike if key in there]
    wrong += dict.fromkeys(f"there are no such {labels[key][0]}" for key in unlike if key not in there)
    if wrong:
        problem = "is there already, and this says otherwise"
        advice = f"to change it: rexnet-hub edit {old.name} 'FIELD=VALUE'"
        raise UsageError(f"{old.location}: {old.name} {problem}: {'; '.join(wrong)}; {advice}")


def _is_same(one: str | None, other: str) -> bool:
    """Return whether two texts state the same, a percentage with its sign or without."""
    try:
        return one == other or Decimal(str(one).rstrip("%")) == Decimal(other.rstrip("%"))
    except InvalidOperation:
        return False


def _mark_superseded(draft: Draft, name: str, by: str) -> None:
    """Write into the old entry what replaced it."""
    old = draft.index.find(name)
    claim = old.extra.get("superseded_by")
    if claim is not None and claim.text != by:
        raise UsageError(f"{old.location}: {name} is superseded by {claim.text} already")
    if claim is None:
        draft.edit(old.location.file, set_value, old.location, ["Superseded By"], by)
