"""Find the state dict in what a checkpoint holds.

The rule: a dict whose values are all tensors is the state dict. Else it is the one dict of tensors
under `state_dict`, `state_dict_ema`, `model` or `model_ema`; where there are two of them, the
caller must name one. Then `module.` and `_orig_mod.`, which torch's own wrappers put before every
name, are taken off, as long as every name has them.
"""

from __future__ import annotations

from typing import Any

from rexnet_hub.weights.checkpoint.pickle_reader import MAX_LISTED, TensorNote
from rexnet_hub.weights.digest import ByteSource

WRAPPERS = ("state_dict", "state_dict_ema", "model", "model_ema")
PREFIXES = ("module.", "_orig_mod.")


def find_state_dict(
    source: ByteSource, value: Any, wrapper: str | None
) -> tuple[dict[str, TensorNote], str | None, str]:
    """Return the tensors by name, the key they were under, and the prefix that was taken off.

    Args:
        source: For errors.
        value: What the pickle held.
        wrapper: The key that the caller names, where a file has several.

    Raises:
        CheckpointError: There is no state dict, or more than one.
    """
    if type(value) is not dict:
        raise source.refuse(f"holds no dict of tensors, but a {_kind(value)}")
    if _is_state_dict(value):
        if wrapper is not None:
            raise source.refuse(f"holds plain tensors, nothing under {wrapper!r}")
        found = None
    else:
        found = _choose(source, value, wrapper)
        value = value[found]
    tensors, prefix = _strip(value)
    return tensors, found, prefix


def _choose(source: ByteSource, value: dict[Any, Any], wrapper: str | None) -> str:
    candidates = [key for key in WRAPPERS if _is_state_dict(value.get(key))]
    if wrapper is not None:
        if not _is_state_dict(value.get(wrapper)):
            there = f"there: {', '.join(candidates)}" if candidates else "there is none"
            raise source.refuse(f"holds no state dict under {wrapper!r}; {there}")
        return wrapper
    if len(candidates) > 1:
        raise source.refuse(
            f"holds {len(candidates)} state dicts, under {', '.join(candidates)}: name the one that is meant"
        )
    if not candidates:
        others = [
            f"{str(key)[:80]!a} ({_kind(item)})"
            for key, item in value.items()
            if type(item) is not TensorNote
        ]
        listed = ", ".join(others[:MAX_LISTED]) or "nothing"
        more = f" and {len(others) - MAX_LISTED} more" if len(others) > MAX_LISTED else ""
        raise source.refuse(f"is no state dict: beside tensors it holds {listed}{more}")
    return candidates[0]


def _is_state_dict(value: Any) -> bool:
    return (
        type(value) is dict
        and bool(value)
        and all(type(key) is str and type(item) is TensorNote for key, item in value.items())
    )


def _strip(tensors: dict[str, TensorNote]) -> tuple[dict[str, TensorNote], str]:
    prefix = ""
    while common := next((p for p in PREFIXES if all(name.startswith(p) for name in tensors)), None):
        tensors = {name.removeprefix(common): note for name, note in tensors.items()}
        prefix += common
    return tensors, prefix


def _kind(value: Any) -> str:
    return {TensorNote: "tensor", type(None): "None"}.get(type(value), type(value).__name__)
