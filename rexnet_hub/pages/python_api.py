"""The Python reference: what signatures and docstrings say, read without importing a module."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Collection, Iterator
from typing import Any

import griffe

from rexnet_hub.layout import PACKAGE_DIR
from rexnet_hub.pages.text import fenced, markdown

#: What is described, in the order of use, and the module that holds it.
DESCRIBED = {
    "AutoModel": "auto",
    "AutoImageProcessor": "auto",
    "ImageProcessor": "auto",
    "create_model": "auto",
    "list_models": "auto",
    "load_index": "index.load",
    "Entry": "index.entry",
    "verify_model": "verify",
    "evaluate_models": "imagenet.evaluate",
    "convert_checkpoint": "weights.convert",
    "plan_publish": "publish.plan",
    "apply_plan": "publish.apply",
}
HEAD = """\
# Python

A bare name is imported from `rexnet_hub` itself, a dotted one from its module.
"""
#: A result is one thing, told in one sentence.
GOOGLE = {"warnings": False, "returns_multiple_items": False, "returns_named_value": False}
TITLES = {"parameters": "Arguments", "attributes": "Attributes", "returns": "Returns", "raises": "Raises"}


def render_python(public: Collection[str]) -> str:
    """Render the reference of the package.

    Args:
        public: The names that the package itself gives.
    """
    parts = [HEAD]
    for name, module in DESCRIBED.items():
        title = name if name in public else f"rexnet_hub.{module}.{name}"
        parts += _describe(_read(module)[name], title, 2)
    errors = _read("errors").docstring
    parts += ["## rexnet_hub.errors", "", fenced(errors.value if errors else "", "text"), ""]
    return "\n".join(parts)


def _read(module: str) -> griffe.Module:
    place = PACKAGE_DIR / module.replace(".", "/")
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    return griffe.visit(module, file, file.read_text(encoding="utf-8"), docstring_parser="google")


def _describe(found: Any, title: str, level: int) -> Iterator[str]:
    """Describe a class, a function or a property; of a class also what it can do."""
    yield f"{'#' * level} {markdown(title)}\n"
    if found.is_function:
        yield fenced(_signature(found), "python") + "\n"
    for section in found.docstring.parse("google", **GOOGLE) if found.docstring else ():
        yield from _section(section)
    for name, member in found.members.items() if found.is_class else ():
        if (not name.startswith("_") or name == "__call__") and member.docstring and not member.is_alias:
            yield from _describe(member, f"{found.name}.{name}", level + 1)


def _signature(function: Any) -> str:
    """Print a signature, broken only after commas."""
    flat = function.signature().replace("(self, ", "(").replace("(self)", "()")
    glued = re.sub("(?<!,) ", "\N{NO-BREAK SPACE}", flat)
    return textwrap.fill(glued, 78, subsequent_indent="    ").replace("\N{NO-BREAK SPACE}", " ")


def _section(section: Any) -> Iterator[str]:
    kind = section.kind.value
    if kind in TITLES:
        yield f"**{TITLES[kind]}:**\n"
        yield "\n".join(map(_item, section.value)) + "\n"
    elif kind == "text":
        yield section.value + "\n"
    else:  # a title of ours, such as Source
        yield f"**{section.title}:** {section.value.contents}\n"


def _item(item: Any) -> str:
    """Say one argument, attribute, result or error on one line."""
    name, value = getattr(item, "name", ""), getattr(item, "value", None)
    kind = f"`{str(item.annotation).strip('()')}`" if item.annotation else ""
    default = f", default `{value}`" if value is not None else ""
    told = f"`{name}` ({kind}{default})" if name and kind else f"`{name}`" if name else kind
    return f"- {told}: {' '.join(item.description.split())}"
