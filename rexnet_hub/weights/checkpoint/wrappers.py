"""Find the state dict in what a pickle held, and name all that is left out.

The rule: a dict whose values are all tensors is the state dict, and a whole module is the state dict
that it would give. Else it is the one under `state_dict`, `state_dict_ema`, `model` or `model_ema`,
or deeper under these; in a file without such keys the only one in its dicts. Where there are several
the caller must name one, by its keys with dots between. A dict counts that holds more tensors than
other things; the one that is chosen is refused if it holds any other. Then `module.` and
`_orig_mod.`, which torch's own wrappers put before every name, are taken off, as long as every
name has them; of a checkpoint of Lightning's so is `model.`, under which its modules have the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rexnet_hub.errors import list_some
from rexnet_hub.weights.checkpoint.manifest import MAX_NAME, MAX_TENSORS
from rexnet_hub.weights.checkpoint.pickle_reader import (
    MAX_OPERATIONS,
    Global,
    Opaque,
    StorageNote,
    TensorNote,
    render_text,
)
from rexnet_hub.weights.digest import ByteSource

_WRAPPERS = ("state_dict", "state_dict_ema", "model", "model_ema")
_PREFIXES = ("module.", "_orig_mod.")
_OF_LIGHTNING = "pytorch-lightning_version"
_MAX_DEPTH = 4
_MAX_LEFT_OUT = 100
_GROUPS = ("_parameters", "_buffers", "_modules")
_Path = tuple[str, ...]


def find_state_dict(
    source: ByteSource, value: Any, wrapper: str | None
) -> tuple[dict[str, TensorNote], str | None, str, list[str]]:
    """Find the state dict, and name what is left out.

    Returns:
        The tensors by name; the keys that they were under, with dots between, or None where they are the
        whole; the prefix that was taken off every name; what else there is, each with its kind.

    Raises:
        CheckpointError: There is no state dict, there are several, or it holds what is no tensor.
    """
    path: _Path = ()
    if _is_module(value) or (_is_tensors(value) and not _others(value)):
        if wrapper is not None:
            raise source.refuse(f"holds plain tensors, nothing under {wrapper!r}")
        chosen = value
    elif type(value) is dict:
        path, chosen = _choose(source, value, wrapper)
    else:
        raise source.refuse(f"holds no dict of tensors, but a {_kind(value)}")
    left_out = list(_beside(value, path))
    if type(chosen) is Opaque:
        what = f"{render_text('.'.join(path) or 'all')} but parameters and buffers, by their own names"
        left_out.append(f"{what} ({_kind(chosen)})")
        chosen, fleeting = _module_tensors(source, chosen)
        left_out += [f"{render_text(name)} (non-persistent buffer)" for name in fleeting]
    if others := _others(chosen):
        raise source.refuse(f"is no state dict: beside tensors it holds {list_some(others)}")
    extra = {name: item for name, item in chosen.items() if _is_extra(name, item)}
    left_out += [f"{render_text(name)} ({_kind(item)})" for name, item in extra.items()]
    chosen = {name: item for name, item in chosen.items() if name not in extra}
    if len(left_out) > _MAX_LEFT_OUT:
        left_out[_MAX_LEFT_OUT:] = [f"and {len(left_out) - _MAX_LEFT_OUT} more"]
    is_lightnings = type(value) is dict and _OF_LIGHTNING in value
    tensors, prefix = _strip(chosen, (*_PREFIXES, "model.") if is_lightnings else _PREFIXES)
    return tensors, ".".join(path) if path else None, prefix, left_out


def _choose(source: ByteSource, value: dict[Any, Any], wrapper: str | None) -> tuple[_Path, Any]:
    """Choose among the state dicts within a dict; return the keys to it, and it."""
    candidates = _candidates(source, value)
    usual = any(type(value.get(key)) in (dict, Opaque) and value[key] != {} for key in _WRAPPERS)
    chosen = [each for each in candidates if not usual or each[0][0] in _WRAPPERS]
    if wrapper is not None:
        chosen = [each for each in candidates if ".".join(each[0]) == wrapper]
    elif not usual and _is_tensors(value):
        chosen = []  # tensors and some other things: one of these is not what is meant
    if not value or (not candidates and any(value.get(key) == {} for key in _WRAPPERS)):
        raise source.refuse("holds no tensor: its state dict is empty")
    there = list_some([render_text(".".join(path)) for path, _ in chosen or candidates])
    if len(chosen) > 1:
        problem = (
            f"holds {len(chosen)} state dicts, under {there}: name the one that is meant (--weights-key)"
        )
        raise source.refuse(problem)
    if wrapper is not None and not chosen:
        raise source.refuse(f"holds no state dict under {wrapper!r}; there: {there or 'none'}")
    if not chosen:
        named = f". There are state dicts under {there}: name one (--weights-key)" if candidates else ""
        others = list_some(_others(value)) or "nothing"
        raise source.refuse(f"is no state dict: beside tensors it holds {others}{named}")
    return chosen[0]


def _candidates(source: ByteSource, value: dict[Any, Any]) -> list[tuple[_Path, Any]]:
    """List the state dicts and modules in dicts within dicts, outer ones first."""
    found: list[tuple[_Path, Any]] = []
    todo: list[tuple[_Path, dict[Any, Any]]] = [((), value)]
    steps = 0
    for path, outer in todo:
        for key, item in outer.items():
            steps += len(item) if type(item) is dict else 0
            if steps > MAX_OPERATIONS:  # few dicts, each many times in another
                raise source.refuse(f"its dicts within dicts have more than {MAX_OPERATIONS} items")
            if type(key) is not str or len(key) > MAX_NAME:
                continue
            if _is_module(item) or _is_tensors(item):
                found.append(((*path, key), item))
            elif type(item) is dict and len(path) + 1 < _MAX_DEPTH:
                todo.append(((*path, key), item))
    return found


def _others(value: dict[Any, Any]) -> list[str]:
    """Name what is no tensor with a name, and nothing that a state dict may have beside them."""
    return [
        f"{_text(name)[:80]!a} ({_kind(item)}{'' if type(name) is str else ', its key is not text'})"
        for name, item in value.items()
        if type(name) is not str or not (type(item) is TensorNote or _is_extra(name, item))
    ]


def _is_extra(name: Any, item: Any) -> bool:
    """Return whether it is None or of `get_extra_state`, which a state dict may have beside tensors."""
    is_extra_state = type(name) is str and name.rpartition(".")[2] == "_extra_state"
    return item is None or (is_extra_state and type(item) is not TensorNote)


def _is_tensors(value: Any) -> bool:
    """Return whether a value has more tensors, also such as cannot be kept, than other things."""
    if type(value) is not dict:
        return False
    extra = sum(item is not None and _is_extra(key, item) for key, item in value.items())
    return len(value) - extra < 2 * sum(
        type(item) is TensorNote or (type(item) is Opaque and item.is_tensor)
        for key, item in value.items()
        if type(key) is str
    )


def _is_module(value: Any) -> bool:
    return (
        type(value) is Opaque
        and value.state is not None
        and all(type(value.state.get(group)) is dict for group in _GROUPS)
        and type(value.state.get("_non_persistent_buffers_set", [])) is list
    )


def _module_tensors(source: ByteSource, module: Opaque) -> tuple[dict[str, Any], list[str]]:
    """Return what a module's state dict would hold, by name, and the buffers that it would not."""
    tensors: dict[str, Any] = {}
    fleeting: list[str] = []
    todo, steps = [("", module)], 0
    while todo:
        prefix, part = todo.pop()
        state = part.state if _is_module(part) else None
        if state is None:
            raise source.refuse(f"its module {prefix[:80]!a} is a {_kind(part)}")
        if part.name.startswith("torch.") and ".quantized." in part.name:
            problem = f"is quantised ({_kind(part)}): its numbers are no plain tensors"
            raise source.refuse(f"its module {prefix[:80]!a} {problem}")
        passing = state.get("_non_persistent_buffers_set", [])
        names = [name for group in _GROUPS for name in state[group]]
        steps += 1 + len(names) + len(passing)
        if steps > MAX_OPERATIONS or len(tensors) > MAX_TENSORS or len(prefix) > MAX_NAME:
            raise source.refuse(f"its modules have no end, or more than {MAX_TENSORS} tensors")
        if any(type(name) is not str or len(name) > MAX_NAME for name in names):
            raise source.refuse(f"its module {prefix[:80]!a} has names that are none")
        passing = {name for name in passing if type(name) is str}
        for group in ("_parameters", "_buffers"):
            for name, item in state[group].items():
                if prefix + name in tensors:
                    raise source.refuse(f"its modules hold two tensors named {(prefix + name)[:80]!a}")
                if group == "_buffers" and item is not None and name in passing:
                    fleeting.append(prefix + name)
                elif item is not None:
                    tensors[prefix + name] = item
        inner = [(f"{prefix}{name}.", item) for name, item in state["_modules"].items() if item is not None]
        todo += reversed(inner)
    return tensors, fleeting


def _beside(value: Any, path: _Path) -> Iterator[str]:
    """Name what lies beside the state dict, and beside each dict on the way to it."""
    for depth, chosen in enumerate(path):
        for key, item in value.items():
            if key != chosen:
                yield f"{render_text('.'.join((*path[:depth], _text(key))))} ({_kind(item)})"
        value = value[chosen]


def _strip(tensors: dict[str, TensorNote], prefixes: tuple[str, ...]) -> tuple[dict[str, TensorNote], str]:
    prefix = ""
    while tensors and (common := next((p for p in prefixes if all(n.startswith(p) for n in tensors)), None)):
        tensors = {name.removeprefix(common): note for name, note in tensors.items()}
        prefix += common
    return tensors, prefix


def _text(key: Any) -> str:
    return f"a {_kind(key)}" if type(key) is Opaque else str(key)


def _kind(value: Any) -> str:
    if type(value) in (Opaque, Global):
        return render_text(value.name)
    kinds = {TensorNote: "tensor", StorageNote: "storage", type(None): "None"}
    return kinds.get(type(value), type(value).__name__)
