"""Make records: keyword-only, frozen, compared by value, as `dataclasses` does but ready at once.

`dataclasses` compiles half a dozen functions a class and imports `inspect`: for the records here that was
half of the time that `list` takes. What asks for dataclasses, such as `dataclasses.replace`, finds one.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar, dataclass_transform

    Kind = TypeVar("Kind", bound=type)
else:

    def dataclass_transform(**told: object) -> Callable[[Any], Any]:
        """Stand in for typing's decorator, which only type checkers read."""
        return lambda decorator: decorator


@dataclass_transform(frozen_default=True, kw_only_default=True)
def record(kind: Kind) -> Kind:
    """Make a class with annotations a record with slots; a default that is a mapping is copied for each."""
    own = list(kind.__annotations__)
    defaults = {name: vars(kind)[name] for name in own if name in vars(kind)}
    left_out = {*own, "__dict__", "__weakref__"}
    body = _METHODS | {name: value for name, value in vars(kind).items() if name not in left_out}
    body |= {"__slots__": tuple(own), "__record_fields__": tuple(own)}
    body["__dataclass_fields__"] = _DataclassFields(defaults)
    made: Any = type(kind)(kind.__name__, kind.__bases__, body)
    made.__init__ = _make_init(made, own, defaults)
    made.__qualname__ = kind.__qualname__
    return made


def _make_init(kind: type, names: list[str], defaults: dict[str, Any]) -> Callable[..., None]:
    plan = [(name, getattr(kind, name).__set__, name in defaults, defaults.get(name)) for name in names]

    def fill(self: Any, *values: Any, **given: Any) -> None:
        if values:
            if len(values) > len(self.__match_args__) or given:
                raise TypeError(f"{kind.__name__}() takes its arguments by name")
            given = dict(zip(self.__match_args__, values, strict=False))
        taken = 0
        for name, put, has_default, default in plan:
            if name in given:
                put(self, given[name])
                taken += 1
            elif has_default:
                put(self, dict(default) if type(default) is dict else default)
            else:
                raise TypeError(f"{kind.__name__}() lacks the argument {name!r}")
        if taken != len(given):
            raise TypeError(
                f"{kind.__name__}() got an unexpected argument {(given.keys() - set(names)).pop()!r}"
            )

    return fill


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in self.__record_fields__)


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))


def _repr(self: Any) -> str:
    told = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__record_fields__)
    return f"{type(self).__qualname__}({told})"


def _refuse(self: Any, name: str, *value: Any) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot change field {name!r}")


def _rebuild(kind: type, values: dict[str, Any]) -> Any:
    return kind(**values)


def _reduce(self: Any) -> Any:
    return _rebuild, (type(self), dict(zip(self.__record_fields__, _values(self), strict=True)))


_METHODS = {
    "__match_args__": (),
    "__eq__": _eq,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
    "__reduce__": _reduce,
}


class _DataclassFields:
    """Make the fields that `dataclasses` looks for when it first looks."""

    def __init__(self, defaults: dict[str, Any]) -> None:
        self.defaults = defaults

    def __get__(self, instance: object, kind: Any) -> Any:
        import dataclasses

        told: list[Any] = []
        for name in kind.__record_fields__:
            options: dict[str, Any] = {"default": self.defaults[name]} if name in self.defaults else {}
            if type(options.get("default")) is dict:
                options = {"default_factory": dict}
            told.append((name, object, dataclasses.field(**options)))
        twin: Any = dataclasses.make_dataclass(kind.__name__, told, kw_only=True)
        fields = twin.__dataclass_fields__
        type.__setattr__(kind, "__dataclass_fields__", fields)
        return fields
