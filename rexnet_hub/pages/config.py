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
from rexnet_hub.imagenet.classes import read_classes
from rexnet_hub.index import Entry, Preprocessing
from rexnet_hub.nets.config import CONFIGS, head_channels

OWN_KEY = "rexnet_hub"


@dataclass(frozen=True, kw_only=True)
class RepoConfig:
    """What a config.json says of the network beside it.

    Attributes:
        label_names: One for each class, or none where the file gives none.
        first_conv, classifier: Where the first convolution and the classifier are.
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
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RepoError(f"{file.parent}: is no model repo, it has no {file.name}") from error
    except (OSError, ValueError) as error:
        raise RepoError(f"{file}: cannot be read as JSON: {error}") from error
    if not isinstance(given, dict):
        raise RepoError(f"{file}: holds no mapping")
    nested = given.get("pretrained_cfg") or {}
    args: dict[str, Any] = given.get("model_args") or {}
    found: dict[str, Any] = {
        "architecture": given.get("architecture") or nested.get("architecture"),
        "num_classes": given.get("num_classes", nested.get("num_classes")),
        "input_size": nested.get("input_size"),
        "crop_pct": nested.get("crop_pct"),
        "interpolation": nested.get("interpolation"),
        "mean": nested.get("mean"),
        "std": nested.get("std"),
    }
    if wrong := [name for name, value in found.items() if not _is_valid(name, value)]:
        raise RepoError(f"{file}: missing or not usable: {', '.join(wrong)}")
    labels = given.get("label_names") or ()
    return RepoConfig(
        architecture=found["architecture"],
        num_classes=found["num_classes"],
        in_chans=args.get("in_chans", found["input_size"][0]),
        global_pool=str(args.get("global_pool", given.get("global_pool", "avg"))),
        preprocessing=Preprocessing(
            input_px=found["input_size"][1],
            crop_fraction=float(found["crop_pct"]),
            interpolation=found["interpolation"],
            mean=tuple(found["mean"]),
            std=tuple(found["std"]),
        ),
        label_names=tuple(labels) if isinstance(labels, list) else (),
    )


def _is_valid(name: str, value: Any) -> bool:
    numbers = isinstance(value, list) and all(isinstance(n, int | float) and n is not True for n in value)
    match name:
        case "architecture" | "interpolation":
            return isinstance(value, str)
        case "num_classes":
            return isinstance(value, int) and value >= 0
        case "crop_pct":
            return isinstance(value, int | float) and 0 < value <= 1
        case "input_size":
            return numbers and len(value) == 3 and value[1] == value[2] > 0
        case _:
            return numbers and len(value) == 3
