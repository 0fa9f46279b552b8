"""An entry as the config.json of its repo, and a repo's config.json as what it says.

The shape is the one that timm and transformers both load: no `model_args` (with it transformers fails),
no null, in `pretrained_cfg` only keys that timm knows, and what is ours under one root key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rexnet_hub.errors import RepoError
from rexnet_hub.imagenet.data.classes import read_classes
from rexnet_hub.index import Entry, Preprocessing
from rexnet_hub.nets.config import CONFIGS, head_channels

OWN_KEY = "rexnet_hub"
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
POOLS = ("avg", "max", "avgmax", "catavgmax", "")

# Far above any network; what a hostile file says beyond them would only fill memory.
MAX_CONFIG_BYTES = 16 << 20
MAX_CLASSES, MAX_CHANNELS, MAX_SIDE_PX, MAX_NUMBER = 1_000_000, 1024, 8192, 1e6


@dataclass(frozen=True, kw_only=True)
class RepoConfig:
    """What a config.json says of the network beside it.

    Attributes:
        label_names: One for each class, or none where the file gives none.
    """

    architecture: str
    num_classes: int
    in_chans: int
    global_pool: str
    preprocessing: Preprocessing
    label_names: tuple[str, ...] = ()


def render_config(entry: Entry) -> str:
    """Render an entry as its config.json.

    Raises:
        IndexReadError: The entry lacks an input setting.
    """
    spec = entry.preprocessing
    num_classes = entry.value("num_classes")
    config: dict[str, Any] = {
        "architecture": entry.architecture,
        "num_classes": num_classes,
        "num_features": head_channels(CONFIGS[entry.architecture]),
        "global_pool": "avg",
    }
    if num_classes == len(read_classes()):
        config["label_names"] = [row.label for row in read_classes()]
    config["pretrained_cfg"] = {
        "input_size": [3, spec.input_px, spec.input_px],
        "fixed_input_size": False,
        "interpolation": spec.interpolation,
        "crop_pct": spec.crop_fraction,
        "crop_mode": "center",
        "mean": list(spec.mean),
        "std": list(spec.std),
        "num_classes": num_classes,
        "pool_size": [spec.input_px // 32, spec.input_px // 32],
        "first_conv": "stem.conv",
        "classifier": "head.fc",
    }
    if entry.license:
        config["pretrained_cfg"]["license"] = str(entry.license.value).lower()
    config[OWN_KEY] = {"name": entry.name, "receipt": "receipt.json"}
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def read_config(file: Path) -> RepoConfig:
    """Read a config.json of ours, of timm's or of transformers'.

    Raises:
        RepoError: It is missing, not JSON, or does not say what a network needs; all that is wrong is named.
    """
    given = _read_object(file)
    nested, args = given.get("pretrained_cfg") or {}, given.get("model_args") or {}
    if not isinstance(nested, dict) or not isinstance(args, dict):
        raise RepoError(f"{file}: pretrained_cfg and model_args must be mappings")
    size = nested.get("input_size")
    found: dict[str, Any] = {
        "architecture": given.get("architecture") or nested.get("architecture"),
        "num_classes": given.get("num_classes", nested.get("num_classes")),
        "input_size": size,
        "crop_pct": nested.get("crop_pct"),
        "interpolation": nested.get("interpolation"),
        "mean": nested.get("mean"),
        "std": nested.get("std"),
        "in_chans": args.get("in_chans", size[0] if isinstance(size, list) and size else None),
        "global_pool": args.get("global_pool", given.get("global_pool", "avg")),
    }
    labels = given.get("label_names")
    found["label_names"] = labels if isinstance(labels, list) else []
    wrong = [name for name, value in found.items() if not _is_valid(name, value)]
    if found["label_names"] and len(found["label_names"]) != found["num_classes"]:
        wrong.append(f"label_names ({len(found['label_names'])} for {found['num_classes']} classes)")
    if wrong:
        raise RepoError(f"{file}: missing or not usable: {', '.join(wrong)}")
    return RepoConfig(
        architecture=found["architecture"],
        num_classes=found["num_classes"],
        in_chans=found["in_chans"],
        global_pool=found["global_pool"],
        preprocessing=Preprocessing(
            input_px=found["input_size"][1],
            crop_fraction=float(found["crop_pct"]),
            interpolation=found["interpolation"],
            mean=tuple(found["mean"]),
            std=tuple(found["std"]),
        ),
        label_names=tuple(found["label_names"]),
    )


def _read_object(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            given = json.loads(stream.read(MAX_CONFIG_BYTES + 1)[:MAX_CONFIG_BYTES])
    except FileNotFoundError as error:
        raise RepoError(f"{file.parent}: is no model repo, it has no {file.name}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RepoError(f"{file}: cannot be read as JSON: {error}") from error
    if not isinstance(given, dict):
        raise RepoError(f"{file}: holds no mapping")
    return given


def _is_valid(name: str, value: Any) -> bool:
    """Say whether a value can be what its key needs; JSON's true and false are no numbers here."""
    match name:
        case "architecture":
            return isinstance(value, str)
        case "interpolation":
            return value in INTERPOLATIONS
        case "global_pool":
            return value in POOLS
        case "num_classes":
            return _is_count(value, 0, MAX_CLASSES)
        case "in_chans":
            return _is_count(value, 1, MAX_CHANNELS)
        case "crop_pct":
            return _is_number(value) and 0 < value <= 1
        case "input_size":
            sides = isinstance(value, list) and len(value) == 3 and value[1] == value[2]
            return sides and _is_count(value[0], 1, MAX_CHANNELS) and _is_count(value[1], 1, MAX_SIDE_PX)
        case "label_names":
            return all(isinstance(label, str) and label.isprintable() for label in value)
        case _:
            numbers = isinstance(value, list) and len(value) == 3 and all(_is_number(n) for n in value)
            return numbers and (name != "std" or all(number > 0 for number in value))


def _is_count(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < MAX_NUMBER  # NaN is not
