"""Derive the training command that an entry's hyper-parameters amount to, and what they leave open.

The command is that of timm's `train.py`, whose arguments are taken from
huggingface/pytorch-image-models at 2aabaef0. It divides the images of a step among processes:
its `--batch-size` is the entry's over the number of devices.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from rexnet_hub.index.entry import Entry
from rexnet_hub.index.problems import Location

#: Where the authors state their own command, for the 1.0x network only.
AUTHORS_README = "https://github.com/clovaai/rexnet/blob/61debcc/README.md"

#: Field to argument, in the order of the command.
ARGUMENTS = {
    "optimizer": "--opt",
    "lr": "--lr",
    "momentum": "--momentum",
    "weight_decay": "--weight-decay",
    "epochs": "--epochs",
    "lr_schedule": "--sched",
    "warmup_epochs": "--warmup-epochs",
    "dropout": "--drop",
    "label_smoothing": "--smoothing",
    "auto_augment": "--aa",
    "random_erasing": "--reprob",
    "image_size": "--input-size",
    "interpolation": "--interpolation",
    "crop_pct": "--crop-pct",
}
#: What a listed technique says of an argument, where no number does: the field it stands for, and its value.
TECHNIQUES = {
    "linear warmup with cosine annealing": ("lr_schedule", "cosine"),
    "cosine annealing": ("lr_schedule", "cosine"),
    "nesterov accelerated gradient": ("optimizer", "sgd"),
}
#: What a command needs and an entry may not state: the argument, and what the authors' own command has.
OPEN = {
    "optimizer": ("--opt", "sgd"),
    "lr_schedule": ("--sched", "cosine"),
    "auto_augment": ("--aa", "rand-m9-mstd0.5"),
    "random_erasing": ("--remode pixel --reprob", "0.2"),
    "mixed_precision": ("--amp", ""),
    "warmup_epochs": ("--warmup-epochs", None),
    "lr": ("--lr", "0.5"),
    "epochs": ("--epochs", "400"),
    "weight_decay": ("--weight-decay", "1e-5"),
    "dropout": ("--drop", "0.2"),
}


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

    model: str
    devices: int | None
    flags: tuple[Flag, ...]
    unstated: tuple[Unstated, ...]

    @property
    def command(self) -> str:
        """The command as a shell takes it; `DATA` stands for the folder of pictures."""
        start = (
            ["torchrun", f"--nproc_per_node={self.devices}"]
            if self.devices and self.devices > 1
            else ["python"]
        )
        words = [*start, "train.py", "--data-dir", "DATA"]
        for flag in self.flags:
            words += [flag.argument, *flag.value.split()]
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
    flags = {"model": model, **_batch(entry, devices), **_stated(entry)}
    for field, flag in _listed(entry).items():
        flags.setdefault(field, flag)
    order = ["model", "batch_size", *ARGUMENTS]
    unstated = [*_open_batch(entry, devices), *_left_open(entry, set(flags))]
    return Recipe(
        model=entry.architecture,
        devices=devices,
        flags=tuple(flags[field] for field in order if field in flags),
        unstated=tuple(unstated),
    )


def _devices(entry: Entry) -> int | None:
    """Read `4x NVIDIA V100 GPUs` as four."""
    match = re.match(r"(\d{1,4})\s*x\s", str(entry.value("training_resources") or ""))
    return int(match[1]) if match else None


def _batch(entry: Entry, devices: int | None) -> dict[str, Flag]:
    claim = entry.metadata.get("batch_size")
    if claim is None or not devices or claim.value % devices:
        return {}
    origin = f"{claim.label} {claim.text} over {devices} devices (Training Resources)"
    value = str(claim.value // devices)
    return {"batch_size": Flag(argument="--batch-size", value=value, origin=origin, location=claim.location)}


def _open_batch(entry: Entry, devices: int | None) -> list[Unstated]:
    claim = entry.metadata.get("batch_size")
    if claim is None:
        return [Unstated(argument="--batch-size", note="no Batch Size is stated")]
    if not devices or claim.value % devices:
        note = (
            f"{claim.text} images a step in all; on how many devices is not stated, or does not divide them"
        )
        return [Unstated(argument="--batch-size", note=note)]
    return []


def _stated(entry: Entry) -> dict[str, Flag]:
    flags = {}
    for field, argument in ARGUMENTS.items():
        claim = entry.metadata.get(field)
        if claim is not None:
            text = claim.text.rstrip("%") if claim.text else str(claim.value)
            value = f"3 {text} {text}" if field == "image_size" else text.strip()
            flags[field] = Flag(argument=argument, value=value, origin=claim.label, location=claim.location)
    return flags


def _listed(entry: Entry) -> dict[str, Flag]:
    claim = entry.metadata.get("training_techniques")
    flags: dict[str, Flag] = {}
    for technique in claim.value if claim is not None else ():
        field, value = TECHNIQUES.get(str(technique).lower(), ("", ""))
        if field and claim is not None:
            origin = f"{claim.label}: {technique}"
            flags[field] = Flag(
                argument=ARGUMENTS[field], value=value, origin=origin, location=claim.location
            )
    return flags


def _left_open(entry: Entry, settled: set[str]) -> list[Unstated]:
    is_authors_network = entry.architecture == "rexnet_100"
    found = []
    for field, (argument, theirs) in OPEN.items():
        if field in settled:
            continue
        if theirs is None:
            note = "not stated, nor by the authors; train.py has a default of its own"
        else:
            whose = "the authors' command has" if is_authors_network else "the authors' command for 1.0x has"
            note = f"not stated; {whose} `{f'{argument} {theirs}'.strip()}` ({AUTHORS_README})"
        found.append(Unstated(argument=argument, note=note))
    return found
