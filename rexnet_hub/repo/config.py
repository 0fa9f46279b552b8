"""Render an entry as the config.json of its repo, and read one back.

The shape is the one that timm and transformers both load: no `num_classes` in `model_args` (with it
transformers fails), no null, in `pretrained_cfg` only keys that timm knows, and what is ours under one root
key. Read is every key that one of them writes: it is in one of the three tables below, or refused.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rexnet_hub.errors import IndexReadError, RepoError
from rexnet_hub.imagenet.data.classes import entry_labels, imagenet_labels
from rexnet_hub.index import Entry, Preprocessing
from rexnet_hub.index.entry import CROP_MODES, INTERPOLATIONS, is_line
from rexnet_hub.index.network import entry_classes, entry_options
from rexnet_hub.index.spellings import IMAGENET_CLASSES
from rexnet_hub.nets import Network, find_network, how_to_know_more, known_network
from rexnet_hub.nets.family import is_part
from rexnet_hub.terminal import printable

log = logging.getLogger(__name__)

OWN_KEY = "rexnet_hub"
#: How accuracies are measured, as timm's are: EXIF orientations are left alone. `predict` turns pictures.
ORIENTATION = ("exif_orientation", "ignored")
Keys = dict[str, Any]

# Far above any network; what a hostile file says beyond them would only fill memory.
MAX_CONFIG_BYTES = 16 << 20
MAX_CLASSES, MAX_CHANNELS, MAX_SIDE_PX, MAX_NUMBER = 1_000_000, 1024, 8192, 1e6


class RepoConfig(NamedTuple):
    """The settings that a config.json states of the network beside it.

    Attributes:
        sha256: Of the file's own bytes.
        label_names: One for each class, or none where the file gives none.
        model: Whose repo it says that it is, by the name in our index.
        names_receipt: Whether a receipt must be there, as in what we wrote; what transformers fine-tuned
            keeps our keys, and has none.
        options: More arguments of the network, as the file gives them.
        pretrained_cfg: What the file says in all, as timm keeps it with a network.
    """

    architecture: str
    num_classes: int
    in_chans: int
    preprocessing: Preprocessing
    sha256: str
    label_names: tuple[str, ...]
    model: str | None
    names_receipt: bool
    options: Mapping[str, Any]
    pretrained_cfg: Mapping[str, Any]

    @property
    def network_options(self) -> dict[str, Any]:
        """The arguments that the network is built with."""
        return {"num_classes": self.num_classes, "in_chans": self.in_chans, **self.options}


def render_config(entry: Entry) -> str:
    """Render an entry as its config.json.

    Raises:
        IndexReadError: The entry lacks an input setting, or states one that its network does not take, or
            its Labels cannot be read.
        UnknownModelError: Nobody here knows the entry's network.
    """
    spec, labels, network = entry.preprocessing, entry_labels(entry), find_network(entry.architecture)
    if problem := network.find_size_problem(spec.input_px):
        raise IndexReadError(f"{entry.location}: {entry.name}: {problem}")
    parts = network.parts
    num_classes, args = entry_classes(entry), entry_options(entry)
    args.pop("num_classes")
    config: dict[str, Any] = {
        "architecture": network.architecture,
        "num_classes": num_classes,
        "num_features": parts.num_features,
    }
    if pool := args.get("global_pool", parts.global_pool):
        config["global_pool"] = pool
    if args:
        config["model_args"] = args
    if labels:  # transformers reads them here, and puts others in their place when it fine-tunes
        config["id2label"] = {str(number): label for number, label in enumerate(labels)}
    # Without names of their own transformers takes a thousand classes for ImageNet's.
    if num_classes == IMAGENET_CLASSES and labels != imagenet_labels():
        config["label_names"] = labels or [f"LABEL_{number}" for number in range(num_classes)]
    config["pretrained_cfg"] = describe_network(network, spec, num_classes, args.get("in_chans", 3))
    if labels:  # timm reads them here, and drops them when it replaces the classifier
        config["pretrained_cfg"]["label_names"] = labels
    if entry.license_id:
        config["pretrained_cfg"]["license"] = entry.license_id
    config[OWN_KEY] = {"name": entry.name, "receipt": "receipt.json", **dict([ORIENTATION])}
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def describe_network(network: Network, spec: Preprocessing, num_classes: int, in_chans: int = 3) -> Keys:
    """Describe a network and its pictures as timm's `pretrained_cfg` does."""
    parts = network.parts
    told: Keys = {
        "input_size": (in_chans, spec.input_px, spec.input_px),
        "fixed_input_size": parts.is_fixed_size,
        "interpolation": spec.interpolation,
        "crop_pct": spec.crop_fraction,
        "crop_mode": spec.crop_mode,
        "mean": spec.mean,
        "std": spec.std,
        "num_classes": num_classes,
    }
    if pool_size := parts.pool_size(spec.input_px):
        told["pool_size"] = (pool_size, pool_size)
    ends = {"first_conv": parts.first_conv, "classifier": parts.classifier}  # one is a text, as timm has it
    return told | {end: names[0] if len(names) == 1 else names for end, names in ends.items()}


def read_input(told: Mapping[str, Any]) -> Preprocessing:
    """Return the input that timm's `pretrained_cfg` tells; of one number for all channels, as of RGB."""
    mean, std = (each if len(each) == 3 else each[:1] * 3 for each in (told["mean"], told["std"]))
    return Preprocessing(
        input_px=told["input_size"][-1],
        crop_fraction=float(told["crop_pct"]),
        crop_mode=told.get("crop_mode") or CROP_MODES[0],
        interpolation=told["interpolation"],
        mean=tuple(mean),
        std=tuple(std),
    )


def _is_count(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < MAX_NUMBER  # NaN is not


def _is_of_channels(value: Any) -> bool:
    """Check numbers of R, G and B, or as timm writes them for other channels: one number, often once each."""
    is_list = isinstance(value, list) and 0 < len(value) <= MAX_CHANNELS and all(map(_is_number, value))
    return is_list and (len(value) == 3 or len({*value}) == 1)


def _is_square(value: Any) -> bool:
    if not _is_of_channels(value) or len(value) != 3 or value[1] != value[2]:
        return False
    return _is_count(1, MAX_CHANNELS)(value[0]) and _is_count(1, MAX_SIDE_PX)(value[1])


def _names(value: Any) -> tuple[str, ...] | None:
    """Read names for classes, a list or a mapping from 0 on; None where they are neither."""
    if isinstance(value, dict):
        value = [value.get(str(number)) for number in range(len(value))]
    if not isinstance(value, list | None):
        return None
    names = tuple(value or ())
    return names if all(isinstance(name, str) and is_line(name) for name in names) else None


#: What is read: where it is looked for, the first that is there wins, as in timm; and what it must be.
READ: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "architecture": ("architecture pretrained_cfg.architecture", lambda value: isinstance(value, str)),
    "num_classes": ("num_classes pretrained_cfg.num_classes", _is_count(0, MAX_CLASSES)),
    "in_chans": ("model_args.in_chans", _is_count(1, MAX_CHANNELS)),
    "label_names": ("label_names id2label pretrained_cfg.label_names", lambda v: _names(v) is not None),
    "input_size": ("pretrained_cfg.input_size", _is_square),
    "crop_pct": ("pretrained_cfg.crop_pct", lambda value: is_part(value) and value > 0),
    "crop_mode": ("pretrained_cfg.crop_mode", lambda value: value is None or value in CROP_MODES),
    "interpolation": ("pretrained_cfg.interpolation", lambda value: value in INTERPOLATIONS),
    "mean": ("pretrained_cfg.mean", _is_of_channels),
    "std": ("pretrained_cfg.std", lambda value: _is_of_channels(value) and min(value) > 0),
}
_CHECKS = {place: check for places, check in READ.values() for place in places.split()}
NEEDED = ("architecture", "num_classes", "input_size", "crop_pct", "interpolation", "mean", "std")

#: Options of a network that timm writes outside of `model_args` too.
OUTSIDE = {"global_pool": "global_pool"}

#: What every network is anyway; another value would be another network, or weights that lie elsewhere.
FIXED: dict[str, tuple[Any, ...]] = {
    "model_type": ("timm_wrapper", None),
    "pretrained_cfg.custom_load": (False, None),
    "pretrained_cfg.label_offset": (0, None),
    "pretrained_cfg.hf_hub_filename": ("model.safetensors", None),
    f"{OWN_KEY}.{ORIENTATION[0]}": (ORIENTATION[1], None),
}

_WITHOUT_EFFECT = {
    "follows from the network": "num_features pretrained_cfg.pool_size pretrained_cfg.test_pool_size "
    "pretrained_cfg.first_conv pretrained_cfg.classifier",
    "says where the weights were; they are those beside the file": "pretrained_cfg.url pretrained_cfg.file "
    "pretrained_cfg.state_dict pretrained_cfg.hf_hub_id pretrained_cfg.source _name_or_path",
    "is a text for people": "label_descriptions pretrained_cfg.label_descriptions pretrained_cfg.tag "
    "pretrained_cfg.license pretrained_cfg.description pretrained_cfg.origin_url pretrained_cfg.paper_name "
    "pretrained_cfg.paper_ids pretrained_cfg.notes",
    "is used by timm only where it is asked for, as here": "pretrained_cfg.test_input_size "
    "pretrained_cfg.test_crop_pct pretrained_cfg.min_input_size",
    "is of transformers' own classes and their training": "transformers_version architectures "
    "output_hidden_states output_attentions return_dict chunk_size_feed_forward is_encoder_decoder "
    "problem_type initializer_range do_pooling",
    "is said by the tensors themselves": "dtype torch_dtype",
    "is the other direction of id2label": "label2id",
    "names code of the repo, which is never run here": "auto_map",
    "names the model in our index": OWN_KEY,
}
#: What changes neither pixels nor logits nor names here, and why.
IGNORED = {key: reason for reason, keys in _WITHOUT_EFFECT.items() for key in keys.split()}


def read_config(file: Path) -> RepoConfig:
    """Read a config.json of ours, of timm's or of transformers'.

    Raises:
        RepoError: It is missing, not JSON, lacks what a network needs, or says what cannot be honoured here;
            all of that is named.
    """
    keys, sha256 = _read_keys(file)
    given = _find_each({name: places for name, (places, _) in READ.items()}, keys)
    network = known_network(str(given.get("architecture")))
    takes = network.family.options if network else {}
    options = _find_each({name: f"model_args.{name} {OUTSIDE.get(name, '')}" for name in takes}, keys)
    if network and options.get("global_pool") == network.parts.global_pool:
        del options["global_pool"]  # which it has by itself
    problems = [f"missing: {name}" for name in NEEDED if name not in given]
    if isinstance(name := given.get("architecture"), str) and network is None:
        problems += [f"no network is named {name!r}. {how_to_know_more()}"]
    problems += [problem for item in keys.items() if (problem := _refuse(*item, given, network))]
    if not problems and network and (problem := network.find_size_problem(given["input_size"][1])):
        problems = [problem]
    if problems:
        raise RepoError(f"{file}: not usable here: {'; '.join(problems)}")
    size, preprocessing = given["input_size"], read_input(given)
    names = _class_names(file, _names(given.get("label_names")) or (), given["num_classes"], keys)
    told = {key.removeprefix("pretrained_cfg."): value for key, value in keys.items() if "cfg." in key}
    told |= {"label_names": [*names] or None, "input_size": [given.get("in_chans", size[0]), *size[1:]]}
    told |= {name: given[name] for name in ("architecture", "num_classes")}
    own = keys.get(OWN_KEY)
    own = own if isinstance(own, dict) else {}
    return RepoConfig(
        architecture=given["architecture"],
        num_classes=given["num_classes"],
        in_chans=given.get("in_chans", size[0]),
        options=options,
        sha256=sha256,
        label_names=names,
        preprocessing=preprocessing,
        pretrained_cfg={key: value for key, value in told.items() if value is not None},
        model=own["name"] if isinstance(own.get("name"), str) else None,
        names_receipt="receipt" in own and "transformers_version" not in keys,
    )


def _find_each(places: Mapping[str, str], keys: Keys) -> Keys:
    """Find the first value that is there for each name."""
    found = {name: [keys[p] for p in at.split() if keys.get(p) is not None] for name, at in places.items()}
    return {name: values[0] for name, values in found.items() if values}


def _read_keys(file: Path) -> tuple[Keys, str]:
    """Read the file's keys, those of `model_args` and `pretrained_cfg` with a dot, and its SHA-256."""
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_CONFIG_BYTES + 1)[:MAX_CONFIG_BYTES]
        keys: Keys = json.loads(data)
    except FileNotFoundError as error:
        raise RepoError(f"{file.parent}: is no model repo, it has no {file.name}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RepoError(f"{file}: cannot be read as JSON: {error}") from error
    if not isinstance(keys, dict):
        raise RepoError(f"{file}: holds no mapping")
    for section in ("model_args", "pretrained_cfg"):
        inner = keys.pop(section, None)
        if not isinstance(inner, dict | None):
            raise RepoError(f"{file}: not usable here: {section} must be a mapping")
        keys |= {f"{section}.{key}": value for key, value in (inner or {}).items()}
    if isinstance(own := keys.get(OWN_KEY), dict) and ORIENTATION[0] in own:
        keys[f"{OWN_KEY}.{ORIENTATION[0]}"] = own[ORIENTATION[0]]
    return keys, hashlib.sha256(data).hexdigest()


def _refuse(key: str, value: Any, given: Keys, network: Network | None) -> str | None:
    """Return why a key cannot be honoured; None where it can."""
    fixed, checks = FIXED | {"model_args.num_classes": (given.get("num_classes"),)}, dict(_CHECKS)
    has_one_size = network is None or network.parts.is_fixed_size
    fixed["pretrained_cfg.fixed_input_size"] = (False, None, True) if has_one_size else (False, None)
    if network is not None:
        takes = network.family.options
        fixed |= {f"model_args.{name}": values for name, values in network.fixed.items()}
        pool = (network.parts.global_pool, None)
        fixed |= {outside: pool for name, outside in OUTSIDE.items() if name not in takes}
        checks |= {f"model_args.{name}": check for name, check in takes.items()}
        checks |= {outside: takes[name] for name, outside in OUTSIDE.items() if name in takes}
    if key in IGNORED or value in fixed.get(key, ()) or (key in checks and checks[key](value)):
        return None
    if network is None and key not in checks and (key.startswith("model_args.") or key in OUTSIDE.values()):
        return None  # what a network takes that nobody knows
    shown = f"{key[:60]!a} is {json.dumps(value)[:60]}"
    if key in fixed:
        return f"{shown}, here it can only be {' or '.join(map(json.dumps, fixed[key]))}"
    return f"{shown}, " + ("which it cannot be" if key in checks else "a key that is not known here")


def _class_names(file: Path, names: tuple[str, ...], num_classes: int, keys: Keys) -> tuple[str, ...]:
    """Return the names of the classes, if they are those of these classes."""
    if len(names) in (0, num_classes):
        # What transformers writes for classes without a name is none.
        return () if names == tuple(f"LABEL_{number}" for number in range(num_classes)) else names
    problem = f"{file}: label_names has {len(names)} names for {num_classes} classes"
    if "transformers_version" not in keys:
        raise RepoError(problem)
    # What transformers fine-tunes keeps the root list of the model that it started from.
    log.warning("%s, those of the model that was fine-tuned; they are left out", printable(problem))
    return ()
