"""Derive a training command from an entry, and its settings from a log.

Command and log, args.yaml, are those of timm's `train.py`, whose arguments are taken from
huggingface/pytorch-image-models at 2aabaef0. It divides the images of a step among processes:
its `--batch-size` is the entry's over the number of devices.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Container, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from rexnet_hub.errors import FileProblem, file_problems
from rexnet_hub.index.entry import Entry, Location
from rexnet_hub.index.fields import METADATA_LABELS
from rexnet_hub.index.network import entry_options, entry_words
from rexnet_hub.index.reading.compose import Loader
from rexnet_hub.nets import known_network
from rexnet_hub.whole_files import open_regular

_TABLES = yaml.load(Path(__file__).with_suffix(".yml").read_text(encoding="utf-8"), Loader)
ARGUMENTS: dict[str, str] = _TABLES["arguments"]
TECHNIQUES: dict[str, tuple[str, str]] = _TABLES["techniques"]
OPEN: dict[str, str] = _TABLES["open"]
OTHERS: dict[str, Any] = _TABLES["others"]
RUNS: dict[str, Any] = _TABLES["runs"]
#: A key of timm's args.yaml, and the field that it states. Its batch size is that of one process alone.
LOGGED = {argument[2:].replace("-", "_"): field for field, argument in ARGUMENTS.items()} | {
    "input_size": "image_size", "img_size": "image_size",
}  # fmt: skip
#: What else of it is looked at: it is compared with the checkpoint, or makes another network.
_COMPARED = ("model", "num_classes", "in_chans", "gp")
MAX_LOG_BYTES = 1 << 20


class Flag(NamedTuple):
    """One argument, its value, and the field that it is from."""

    argument: str
    value: str
    origin: str
    location: Location | None


class Unstated(NamedTuple):
    """One argument that the entry does not settle.

    Attributes:
        argument: As it would be written.
        note: What is known: the authors' own value, where they state one.
    """

    argument: str
    note: str


class Recipe(NamedTuple):
    """A training command with the origin of each argument.

    Attributes:
        devices: Processes that share a step, when the entry's Training Resources say how many.
    """

    devices: int | None
    flags: tuple[Flag, ...]
    unstated: tuple[Unstated, ...]

    @property
    def command(self) -> str:
        """The command as a shell takes it; `DATA` stands for the folder of pictures."""
        many = self.devices and self.devices > 1
        words = ["torchrun", f"--nproc_per_node={self.devices}"] if many else ["python"]
        words += ["train.py", "--data-dir", "DATA"]
        for flag in self.flags:
            if not flag.value:  # a switch
                words.append(flag.argument)
                continue
            # Text is one word of the command, and no option; only several numbers are several.
            values = flag.value.split() if re.fullmatch(r"[\d.]+( [\d.]+)*", flag.value) else [flag.value]
            is_option = values[0].startswith("-")
            words += [f"{flag.argument}={flag.value}"] if is_option else [flag.argument, *values]
        return shlex.join(words)


def make_recipe(entry: Entry) -> Recipe:
    """Derive the command from an entry's claims; nothing is guessed, what is open is listed."""
    devices = _devices(entry)
    network = entry.metadata.get("id")
    model = Flag(
        argument="--model",
        value=entry.architecture,
        origin=network.label if network else "Name",
        location=network.location if network else entry.location,
    )
    batch = _batch(entry, devices)
    settled = {**_listed(entry), **_stated(entry)}
    others = [*_others(entry)]
    flags = [model, batch, *(settled[field] for field in ARGUMENTS if field in settled), *others]
    return Recipe(
        devices=devices,
        flags=tuple(flag for flag in flags if isinstance(flag, Flag)),
        unstated=(
            *_of_no_timm(entry),
            *(each for each in (batch, *others) if isinstance(each, Unstated)),
            *_left_open(entry, {flag.argument for flag in flags}),
        ),
    )


def list_copied(entry: Entry) -> list[str]:
    """List the settings, by labels, that are what the authors' command has for another network."""
    words = entry_words(entry)
    if not entry.cites(words.paper) or entry.architecture == words.command_of:
        return []
    theirs = {name: value for name, value in words.command.items() if re.fullmatch(r"[\d.e-]+", value)}
    stated = ((entry.metadata.get(name), Decimal(value)) for name, value in theirs.items())
    return [claim.label for claim, value in stated if claim and claim.value == value]


def _of_no_timm(entry: Entry) -> Iterator[Unstated]:
    network = known_network(entry.architecture)
    if network and not network.family.in_timm(network.config):
        note = "timm has no such network, so its train.py cannot build it: train one of rexnet_hub by code"
        yield Unstated(argument=f"--model {entry.architecture}", note=note)


def _devices(entry: Entry) -> int | None:
    """Read `4x NVIDIA V100 GPUs` as four."""
    match = re.match(r"(\d{1,4})\s*x\s", str(entry.value("training_resources") or ""))
    return int(match[1]) if match else None


def _batch(entry: Entry, devices: int | None) -> Flag | Unstated:
    claim, argument = entry.metadata.get("batch_size"), "--batch-size"
    if claim is None:
        return Unstated(argument=argument, note="no Batch Size is stated")
    if not devices or claim.value % devices:
        note = "images a step in all; on how many devices is not stated, or does not divide them"
        return Unstated(argument=argument, note=f"{claim.text} {note}")
    origin = f"{claim.label} {claim.text} over {devices} devices (Training Resources)"
    value = str(claim.value // devices)
    return Flag(argument=argument, value=value, origin=origin, location=claim.location)


def _stated(entry: Entry) -> dict[str, Flag]:
    flags, channels = {}, entry_options(entry).get("in_chans", 3)
    for field, argument in ARGUMENTS.items():
        if claim := entry.metadata.get(field):
            parts = claim.value if isinstance(claim.value, tuple) else (claim.value,)
            text = claim.text.rstrip("%") if claim.text else " ".join(map(str, parts))
            value = f"{channels} {text} {text}" if field == "image_size" else text.strip()
            flags[field] = Flag(argument=argument, value=value, origin=claim.label, location=claim.location)
    return flags


def _others(entry: Entry) -> Iterator[Flag | Unstated]:
    """List what the entry states as Training Arguments."""
    claim = entry.metadata.get("training_arguments")
    if claim is None or not isinstance(claim.value, dict):
        return
    for name, value in claim.value.items():
        argument = f"--{name.replace('_', '-')}"
        if name not in OTHERS:
            yield Unstated(argument=argument, note="a Training Argument; train.py has none of that name")
        elif value is not False:
            parts = value if isinstance(value, list | tuple) else [] if value is True else [value]
            text = " ".join(map(str, parts))
            origin = f"{claim.label}: {name}"
            yield Flag(argument=argument, value=text, origin=origin, location=claim.location)


def _listed(entry: Entry) -> dict[str, Flag]:
    claim = entry.metadata.get("training_techniques")
    flags = {}
    for technique in claim.value if claim else ():
        if claim and (known := TECHNIQUES.get(str(technique).lower())):
            field, value = known
            origin = f"{claim.label}: {technique}"
            argument = ARGUMENTS[field]
            flags[field] = Flag(argument=argument, value=value, origin=origin, location=claim.location)
    return flags


def _left_open(entry: Entry, settled: Container[str]) -> Iterator[Unstated]:
    """List what a command needs and none of the settled arguments says."""
    words = entry_words(entry)
    network = "" if entry.architecture == words.command_of else f" for {words.command_of}"
    for field, argument in OPEN.items():
        if argument.split()[-1] not in settled:
            note = "not stated"
            if words.paper and entry.cites(words.paper):
                note = "not stated, nor by the authors; train.py has a default of its own"
                if field in words.command:
                    theirs = f"`{f'{argument} {words.command[field]}'.strip()}` ({words.command_source})"
                    note = f"not stated; the authors' command{network} has {theirs}"
            yield Unstated(argument=argument, note=note)


def read_log(file: Path) -> Mapping[str, Any]:
    """Read timm's args.yaml.

    Raises:
        FileProblem: It cannot be read, or is none.
    """
    try:
        with file_problems(file, "cannot be read"), open_regular(file) as stream:
            log = yaml.safe_load(stream.read(MAX_LOG_BYTES))
    except (yaml.YAMLError, RecursionError, ValueError):
        problem = "is not YAML; timm's train.py writes args.yaml beside its checkpoints"
        raise FileProblem(file, problem) from None
    if not isinstance(log, Mapping):
        raise FileProblem(file, "holds no mapping; timm's train.py writes args.yaml beside its checkpoints")
    return log


def logged_fields(log: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a log states that the index has a field for, by labels; what is null there is left out."""
    size = log.get("input_size")
    log = {**log, "input_size": size[1] if isinstance(size, list) and len(size) == 3 else None}
    for name in ("mean", "std"):
        if isinstance(given := log.get(name), list) and len(given) == 1:
            log[name] = given * 3
    stated = {METADATA_LABELS[field]: log[key] for key, field in LOGGED.items() if _is_set(log.get(key))}
    others = {name: log[name] for name, usual in OTHERS.items() if _is_set(log.get(name), usual)}
    return stated | ({"Training Arguments": others} if others else {})


def _is_set(value: Any, usual: Any = None) -> bool:
    """Return whether an argument of a log says something, other than what train.py takes by itself."""
    return value not in (None, "", [], {}, usual)


def list_not_carried(log: Mapping[str, Any]) -> Iterator[str]:
    """List what a training log says that no field of the index has."""
    known = {*LOGGED, *OTHERS, *_COMPARED}
    for name, value in log.items():
        if name not in known and value is not False and _is_set(value, RUNS.get(name)):
            yield str(name)
