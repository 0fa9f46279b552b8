"""The Python reference describes each argument of what it lists, once, under its short name."""

import re
from pathlib import Path

import griffe
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/reference/python.md").read_text(encoding="utf-8")
#: What the page lists: the dotted name, and its members where it says which.
LISTED = {
    name: (yaml.safe_load(options) or {}).get("options", {}).get("members", True)
    for name, options in re.findall(r"^::: (\S+)\n((?:    .*\n)*)", PAGE, re.MULTILINE)
}


@pytest.fixture(scope="module")
def package():
    """The package as griffe reads it, which the reference is made with."""
    return griffe.load("rexnet_hub", search_paths=[ROOT], docstring_parser="google")


def list_functions(package, name, members):
    """List the functions of a listed object that the page shows."""
    listed = package[name.removeprefix("rexnet_hub.")]
    if listed.is_function:
        return [listed]
    own = listed.members.values() if members else ()
    shown = members if isinstance(members, list) else [m.name for m in own if m.is_public]
    return [member for member in own if member.name in shown and member.is_function and member.docstring]


def find_undescribed(function):
    """List what the docstring of a function leaves out, or says twice."""
    sections = {section.kind.value: section.value for section in function.docstring.parse("google")}
    described = {parameter.name for parameter in sections.get("parameters", ())}
    missing = [
        p.name for p in function.parameters if p.name not in ("self", "cls") and p.name not in described
    ]
    takes = [p for p in function.parameters if p.name not in ("self", "cls")]
    returns = function.docstring.value.count("Returns:")
    return missing + (["Returns"] if takes and returns != 1 else [])


@pytest.mark.parametrize("name", LISTED)
def test_every_argument_is_described_and_what_comes_back(package, name):
    """No argument of a listed function is without a word, and one section says what it returns."""
    functions = list_functions(package, name, LISTED[name])
    assert {f.name: wrong for f in functions if (wrong := find_undescribed(f))} == {}


def test_an_argument_without_a_word_is_seen(package):
    """A function that nobody lists, and whose docstring names no argument, is found out."""
    assert find_undescribed(package["index.query.find_number"]) == [
        "entry", "name", "measured", "scope", "Returns",
    ]  # fmt: skip
    assert sum(len(list_functions(package, *row)) for row in LISTED.items()) > 12


def test_headings_are_short_names_and_a_function_has_one_signature(site):
    """What stands above each object is the name that people import, and no overload repeats it."""
    html = (site[0] / "reference/python.html").read_text(encoding="utf-8")
    headings = re.findall(r'<h2 id="rexnet_hub\.([\w.]+)".*?</h2>', html, re.DOTALL)
    assert [name.rpartition(".")[2] for name in headings] == [name.rpartition(".")[2] for name in LISTED]
    for heading in re.findall(r"<h2 id=.*?</h2>", html, re.DOTALL):
        assert "rexnet_hub." not in re.sub(r"<[^>]+>|&para;", "", heading)
    assert html.count("doc-overload") == 0
    assert html.count("<b>Returns:</b>") <= len(re.findall(r"<h[23] id=", html))
