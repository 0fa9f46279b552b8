"""Provide any network of timm's as one of a family: its registry says which there are, its code builds them.

Which names timm knows is read from its files; timm, and with it torch, is imported when a network is planned.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rexnet_hub.errors import NetworkError, UsageError
from rexnet_hub.nets.family import Family, Network, Parts, TensorPlan, is_part, plan_of
from rexnet_hub.nets.state_dict import Shape, table_of

if TYPE_CHECKING:
    from torch import nn

    from rexnet_hub.nets.modules import Classifier, FeatureMaps, OutIndices

EXTRA = "timm"
_VERSION = re.compile(r"^__version__ = ['\"](.+)['\"]", re.MULTILINE)
_REGISTERED = re.compile(r"^@register_model\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
_RENAMED = re.compile(r"^register_model_deprecations\(__name__, (\{.*?^\})\)", re.MULTILINE | re.DOTALL)
#: Classes that no network has: a tensor of as many rows is its classifier's.
_CLASSES = 999_983
#: Tensors that building may make and throw away: EfficientNet's builder tries its gate on eight channels, a
#: hybrid cuts its backbone. The networks that timm calls pruned are built whole first.
_THROWN_AWAY = 24
#: Methods of a tensor that change its values and nothing else of it.
_SETS_VALUES = {"add_", "clamp_", "copy_", "div_", "erfinv_", "fill_", "mul_", "normal_", "uniform_", "zero_"}


def is_installed() -> bool:
    """Return whether timm is there, without importing it."""
    return bool(_packages())


def version() -> str:
    """Return which timm this is, as its own files say: a clone on the path has no other record of it."""
    texts = (file.with_name("version.py").read_text(encoding="utf-8") for file in _packages())
    return " ".join(["timm", *(found for text in texts for found in _VERSION.findall(text))])


def _packages() -> list[Path]:
    """List timm's `__init__.py`, if it is there: any folder of its name is no package of networks."""
    spec = importlib.util.find_spec("timm")
    return [Path(spec.origin)] if spec and spec.origin else []


def names() -> list[str]:
    """List the networks that timm has."""
    return [*_read_registry()[0]]


def find(architecture: str) -> Network | None:
    """Find a network of timm's by its name, perhaps with a tag, or by a former one; None if it has none."""
    modules, renamed = _read_registry()
    name = architecture.partition(".")[0]
    name = (renamed.get(architecture) or renamed.get(name) or name).partition(".")[0]
    return Network(name, _family(modules[name])) if name in modules else None


def fit(tensors: Mapping[str, Shape]) -> Iterator[tuple[Network, int]]:
    """Find every network of timm's that has exactly these tensors, and how many classes it has then.

    Each is built without memory, and no further than to the first tensors of a shape that is not there.
    """
    from torch.nn.modules.module import register_module_parameter_registration_hook

    shapes, strange = {*tensors.values()}, 0

    def refuse(_: nn.Module, part: str, parameter: Any) -> None:
        nonlocal strange
        shape = tuple(parameter.shape) if parameter is not None else ()
        strange += bool(shape) and shape not in shapes and shape[0] != _CLASSES
        if strange > _THROWN_AWAY and not name.endswith("_pruned"):
            raise _OtherShapeError(part)

    for name, module in _read_registry()[0].items():
        strange = 0
        network, hook = Network(name, _family(module)), register_module_parameter_registration_hook(refuse)
        try:
            built = network.ask(_build, name, num_classes=_CLASSES, in_chans=3, device="meta")
        except NetworkError:  # of another shape, or not to be built at all
            continue
        finally:
            hook.remove()
        own = {n for n, (_, shape) in table_of(built.state_dict()).items() if shape[:1] != (_CLASSES,)}
        if own <= tensors.keys() and (classes := network.find_classes(tensors)) is not None:
            yield network, classes


class _OtherShapeError(Exception):
    """A tensor is of a shape that the checkpoint does not have."""


@functools.cache
def _read_registry() -> tuple[dict[str, str], dict[str, str]]:
    """Read from timm's files each network's module, and what former names are called now."""
    modules: dict[str, str] = {}
    renamed: dict[str, str] = {}
    for package in _packages():
        for file in sorted(package.with_name("models").glob("*.py")):
            text = file.read_text(encoding="utf-8")
            modules |= dict.fromkeys(_REGISTERED.findall(text), file.stem)
            for table in _RENAMED.findall(text):
                renamed |= {old: new for old, new in ast.literal_eval(table).items() if new}
    return modules, renamed


@functools.cache
def _family(module: str) -> Family:
    names = [name for name, own in _read_registry()[0].items() if own == module]
    return Family(
        architectures={name: name for name in names},
        plan=_plan,
        parts=_parts,
        build=_build_classifier,
        take_features=_take_features,
        fixed=lambda architecture: {name: (value,) for name, value in _arguments(architecture).items()},
        options={"drop_rate": is_part, "drop_path_rate": is_part},
        provider=version(),
    )


def _build(architecture: str, *, device: Any = None, **options: Any) -> Any:
    import timm
    import torch

    from rexnet_hub.nets.modules import Undrawn

    with contextlib.ExitStack() as stack:
        if device:  # without values, so that drawing them costs time alone
            stack.enter_context(torch.device(device))
            stack.enter_context(Undrawn(_SETS_VALUES))
        return timm.create_model(architecture, pretrained=False, **options).float()


@functools.lru_cache(maxsize=512)  # an index names some hundred networks, each asked for several times
def _plan(architecture: str, **options: int) -> TensorPlan:
    return plan_of(_build(architecture, device="meta", **options))


@functools.lru_cache(maxsize=512)
def _arguments(architecture: str) -> dict[str, Any]:
    """Return the arguments that timm writes into a config.json of the network as it is by itself."""
    from timm.models import get_model_args

    own = get_model_args(_build(architecture, device="meta"))
    listed = {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()}
    return {name: value for name, value in listed.items() if name not in ("num_classes", "in_chans")}


@functools.lru_cache(maxsize=512)
def _parts(architecture: str) -> Parts:
    import timm

    network, settings = _build(architecture, device="meta"), timm.get_pretrained_cfg(architecture)
    known = settings.to_dict() if settings else {}
    side_px, pooled = known.get("input_size", (0, 0))[-1], (known.get("pool_size") or (None,))[-1]
    return Parts(
        first_conv=_list(known.get("first_conv")),
        classifier=_list(known.get("classifier")),
        num_features=network.num_features,
        global_pool=_arguments(architecture).get("global_pool", ""),
        pool_size=lambda px: pooled if px == side_px else None,
        input_px=side_px,
        is_fixed_size=bool(known.get("fixed_input_size")),
    )


def _list(named: str | Sequence[str] | None) -> tuple[str, ...]:
    return (named,) if isinstance(named, str) else tuple(named or ())


def _build_classifier(architecture: str, *, in_chans: int = 3, **options: Any) -> Classifier:
    network: Classifier = _build(architecture, in_chans=in_chans, **options)
    network.in_chans = in_chans
    return network


def _take_features(network: Classifier, out_indices: OutIndices) -> FeatureMaps:
    from timm.models import FeatureInfo

    from rexnet_hub.nets.modules import IntermediateMaps, choose_maps

    taps = getattr(network, "feature_info", ())
    if not hasattr(network, "forward_intermediates") or not taps:
        raise UsageError(f"timm's {type(network).__name__} gives no feature maps")
    chosen = sorted({*choose_maps(len(taps), out_indices)})
    return IntermediateMaps(network, chosen, FeatureInfo([*map(dict, taps)], tuple(chosen)))
