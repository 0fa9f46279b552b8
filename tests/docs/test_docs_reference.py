"""The Python reference describes each argument of what it lists, once, under its short name."""

import html as html_text
import inspect
import re
from pathlib import Path

import pytest

import rexnet_hub
from rexnet_hub import errors
from rexnet_hub.index import Entry
from rexnet_hub.layout import PACKAGE_DIR
from rexnet_hub.pages import reference
from rexnet_hub.pictures import ImageProcessor

PAGE = reference.render_python()
#: What stands under each heading, by the dotted name that it is found by.
PARTS = dict(re.findall(r"(?ms)^##+ [^\n]+ \{ #rexnet_hub\.(\S+) \}\n(.*?)(?=^##|\Z)", PAGE))


def find_listed(name):
    """Import what the page lists, as Python itself has it."""
    first, _, member = name.partition(".")
    known = {"Entry": Entry, "ImageProcessor": ImageProcessor, "errors": errors}
    found = known.get(first) or getattr(rexnet_hub, first)
    member = "__call__" if member == "call" else member
    return inspect.getattr_static(found, member) if member else found


def find_undescribed(part, function):
    """List what the page leaves out of a function, and what it has that is none of the function's."""
    described = re.findall(r"^- `(\w+)`: \S", part.partition("**Returns:**")[0], re.MULTILINE)
    takes = [name for name in inspect.signature(function).parameters if name != "self"]
    returns = ["Returns"] if takes and part.count("**Returns:**") != 1 else []
    return sorted({*takes} ^ {*described}) + returns


@pytest.mark.parametrize("name", PARTS)
def test_every_argument_is_described_and_what_comes_back(name):
    """No argument of a listed function is without a word, and one section says what it returns."""
    listed = getattr(find_listed(name), "__func__", find_listed(name))
    if inspect.isfunction(listed):
        assert find_undescribed(PARTS[name], listed) == []


def test_an_argument_without_a_word_is_seen():
    """Of a part without a line, or without what comes back, the missing is named; a foreign line too."""
    part, function = PARTS["list_models"], rexnet_hub.list_models
    missing = re.sub(r"^- `query`.*\n", "", part, flags=re.MULTILINE).replace("Returns:", "")
    assert find_undescribed(missing, function) == ["query", "Returns"]
    assert find_undescribed("**Parameters:**\n\n- `foreign`: What.\n" + part, function) == ["foreign"]


def test_a_signature_is_the_functions_own():
    """Names, order, kinds and defaults of what is printed are those that Python has of the function."""
    checked = 0
    for name, part in PARTS.items():
        listed = getattr(find_listed(name), "__func__", find_listed(name))
        if not inspect.isfunction(listed):
            continue
        printed = re.search(r"```python\n(.+?)\n```", part, re.DOTALL)[1]
        own: dict[str, object] = {}
        exec(f"from __future__ import annotations\ndef {printed}: ...", own)
        (made,) = (value for value in own.values() if inspect.isfunction(value))
        want = [p for p in inspect.signature(listed).parameters.values() if p.name != "self"]
        got = list(inspect.signature(made).parameters.values())
        assert [(p.name, p.kind, p.default) for p in got] == [(p.name, p.kind, p.default) for p in want], name
        checked += 1
    assert checked > 12


def test_the_wheel_has_each_file_that_is_read():
    """What is listed is found where the page says, and every public name is on it."""
    assert set(rexnet_hub.__all__) - {"__version__"} <= {*reference.PYTHON}
    assert all(Path(PACKAGE_DIR, file).is_file() for file, _ in reference.PYTHON.values())


def test_headings_are_short_names_and_a_function_has_one_signature(site):
    """What stands above each object is the name that people import, and no overload repeats it."""
    html = (site[0] / "reference/python.html").read_text(encoding="utf-8")
    headings = re.findall(r'<h[23] id="rexnet_hub\.([\w.]+)">(.*?)<a', html)
    assert [name for name, _ in headings] == [*PARTS]
    words = [html_text.unescape(words).strip("_") for _, words in headings]
    assert words == [name.rpartition(".")[2] for name in PARTS]
    assert html.count("from_pretrained</span>") <= 2
    assert html.count("Returns:</strong>") <= len(headings)
