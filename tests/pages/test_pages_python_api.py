"""The Python reference says of each name what Python itself says of it."""

import html
import importlib
import inspect
import re

import pytest

import rexnet_hub
from rexnet_hub import errors
from rexnet_hub.pages.python_api import DESCRIBED, render_python


@pytest.fixture(scope="module")
def sections():
    """The page by heading."""
    parts = re.split(r"^#{2,3} (.+)$", render_python(rexnet_hub.__all__), flags=re.MULTILINE)
    return dict(zip(map(html.unescape, parts[1::2]), parts[2::2], strict=True))


def test_every_public_name_is_described(sections):
    """What the package gives has a section, and so does nothing that is not there."""
    assert {*rexnet_hub.__all__} - {"__version__"} <= {*sections}
    for name, module in DESCRIBED.items():
        found = getattr(importlib.import_module(f"rexnet_hub.{module}"), name)
        assert found.__module__ == f"rexnet_hub.{module}"
        if name in rexnet_hub.__all__:
            assert getattr(rexnet_hub, name) is found


def described_functions():
    """Each function of the page with what Python imports under its heading."""
    for name, module in DESCRIBED.items():
        found = getattr(importlib.import_module(f"rexnet_hub.{module}"), name)
        if inspect.isfunction(found):
            yield name, found
        else:
            members = inspect.getmembers(found, inspect.isfunction)
            yield from (
                (f"{name}.{key}", each) for key, each in members if key[0] != "_" or key == "__call__"
            )


def test_signatures_are_pythons_own(sections):
    """Every parameter stands in the printed signature, in order, and every argument told of is one."""
    checked = 0
    for title, function in described_functions():
        if title not in sections:
            assert not function.__doc__ or function.__module__ == "dataclasses", title
            continue
        parameters = [name for name in inspect.signature(function).parameters if name != "self"]
        signature = sections[title].split("```")[1]
        assert re.findall(r"(?:\(|, |,\n +)\*{0,2}(\w+):", signature) == parameters, title
        told = re.findall(r"^- `\*{0,2}(\w+)` ", sections[title].partition("**Returns:**")[0], re.MULTILINE)
        assert {*told} <= {*parameters}, title
        checked += 1
    assert checked >= 12


def test_errors_that_are_told_of_exist(sections):
    """Each error under Raises is one of ours or of Python's."""
    told = [
        name
        for text in sections.values()
        for names in re.findall(r"^- `([\w, ]+)`:", text.partition("**Raises:**")[2], re.MULTILINE)
        for name in names.split(", ")
    ]
    assert len(told) > 20
    assert [name for name in told if not hasattr(errors, name)] == []
