"""Derive the training command from an entry's hyper-parameters.

The command is that of timm's `train.py`, whose arguments are taken from
huggingface/pytorch-image-models at 2aabaef0. It divides the images of a step among processes:
its `--batch-size` is the entry's over the number of devices.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from rexnet_hub.index.entry import Entry, Location
from rexnet_hub.index.network import entry_words

_TABLES = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text(encoding="utf-8"))
ARGUMENTS: dict[str, str] = _TABLES["arguments"]
TECHNIQUES: dict[str, tuple[str, str]] = _TABLES["techniques"]
OPEN: dict[str, str] = _TABLES["open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One argument, its value, and the field that it is from."""

    argument: str
    value: str
    origin: str
    location: Location | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unstated:
    """One argument that the entry does not settle.

    Attributes:
        argument: As it would be written.
        note: What is known: the authors' own value, where they state one.
    """

    argument: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
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
            # Text is one word of the command, and no option; only three numbers are three.
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
    flags = [model, batch, *(settled[field] for field in ARGUMENTS if field in settled)]
    return Recipe(
        devices=devices,
        flags=tuple(flag for flag in flags if isinstance(flag, Flag)),
        unstated=(*([batch] if isinstance(batch, Unstated) else []), *_left_open(entry, settled)),
    )


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
    flags = {}
    for field, argument in ARGUMENTS.items():
        if claim := entry.metadata.get(field):
            text = claim.text.rstrip("%").strip() if claim.text else " ".join(map(str, claim.value))
            value = f"3 {text} {text}" if field == "image_size" else text
            flags[field] = Flag(argument=argument, value=value, origin=claim.label, location=claim.location)
    return flags


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
    words = entry_words(entry)
    network = "" if entry.architecture == words.command_of else f" for {words.command_of}"
    for field, argument in OPEN.items():
        if field not in settled:
            note = "not stated"
            if words.paper and entry.cites(words.paper):
                note = "not stated, nor by the authors; train.py has a default of its own"
                if field in words.command:
                    theirs = f"`{f'{argument} {words.command[field]}'.strip()}` ({words.command_source})"
                    note = f"not stated; the authors' command{network} has {theirs}"
            yield Unstated(argument=argument, note=note)
