"""What may be a name is one rule: for folders on every system, for words of a command, for the Hub."""

import json

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._validators import validate_repo_id
from hypothesis import given
from hypothesis import strategies as st

from rexnet_hub import load_index
from rexnet_hub.cli import main
from rexnet_hub.errors import IndexReadError, UsageError
from rexnet_hub.index.lock import Measured
from rexnet_hub.index.problems import render_problems
from rexnet_hub.layout import find_name_danger, find_name_problem, find_path_problem, is_file_name, is_repo_id
from rexnet_hub.publish import plan_publish
from rexnet_hub.publish.staging import write_staged
from rexnet_hub.repo.folder import fetch_released

#: Names that are an error wherever they stand; that some disk or the Hub does not take; that all take.
DANGEROUS = (
    *("--drop-edits", "-x", ".hidden", "..", "a/b", "a\\b", "C:x", "a:stream", "", " a", "a ", "a."),
    *(
        "CON",
        "nul",
        "Aux.pth",
        "com1",
        "LPT9.x",
        "conin$",
        "COM\u00b9",
        "a\x1b[2J",
        "a\u202eb",
        "a\u200bb",
        "a\u2028b",
    ),
    *("a\nb", "a" * 201),
)
UNPORTABLE = ("a b", "r\u00e9x", "a--b", "a..b", "a.git", "a*", 'a"b', "a<b", "a" * 97, "a+b", "a$(x)", "a-")
PLAIN = (
    "rexnet_100",
    "tf_efficientnet_b0.ns_jft_in1k",
    "_x",
    "a",
    "1",
    "console",
    "com10",
    "null",
    "a" * 96,
    "A-b_c.d",
)


@pytest.mark.parametrize("name", DANGEROUS)
def test_a_dangerous_name_is_an_error(name):
    """It is named as one, and so is the whole rule's answer."""
    assert find_name_danger(name)
    assert find_name_problem(name) == find_name_danger(name)


@pytest.mark.parametrize("name", UNPORTABLE)
def test_a_name_that_not_all_take_is_a_problem(name):
    """It does no harm, and is not one for all."""
    assert find_name_danger(name) is None
    assert "Hub" in str(find_name_problem(name))


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_name_has_no_problem(name):
    """Names of model zoos pass."""
    assert find_name_problem(name) is None


@given(st.text("ab-_.1é/A", max_size=12) | st.text(max_size=5) | st.integers(90, 100).map("a".__mul__))
def test_the_hubs_rule_is_its_clients(text):
    """For ASCII, what is a repo's id here is one for huggingface_hub, and the other way round."""
    try:
        validate_repo_id(f"owner/{text}")
        taken = text.isascii()
    except HFValidationError:
        taken = False
    assert is_repo_id(f"owner/{text}") == taken


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        *(("configs/a.py", None), ("../a b.txt", None), ("./.github/x", None), ("ImageNet-1k", None)),
        *(
            ("/etc/x", "0 characters"),
            ("a\\b", "has"),
            ("a/CON.txt", "device"),
            ("a./b", "dot"),
            ("a/-x", "hyphen"),
        ),
        *(("a/b?.py", "has one of"), ("a\x00b", "nobody can see"), ("a//b", "0 characters")),
    ],
)
def test_a_path_is_one_on_every_system_or_named(path, problem):
    """Each part is held to what a name is held to; a folder may be hidden, and a path climb."""
    found = find_path_problem(path)
    assert found is None if problem is None else problem in str(found)


def test_the_cache_keeps_plain_files():
    """The name of a released file is one word of plain letters, and no device."""
    assert all(map(is_file_name, ("a-01234567.pth", "x+y.bin")))
    assert not any(map(is_file_name, ("a b.pth", "", "-a.pth", ".a", "nul.pth", "../a", "a\n", "a" * 201)))


def problems_of(tmp_path, *models):
    (tmp_path / "index.json").write_text(json.dumps({"Models": models}))
    return load_index(tmp_path / "index.json").problems


@pytest.mark.parametrize("name", [name for name in DANGEROUS if name])
def test_validate_refuses_a_dangerous_name(tmp_path, name, capsys):
    """With or without --strict, at its place; `list --names` still prints a line for it."""
    problems = problems_of(tmp_path, {"Name": name})
    assert [problem.code for problem in problems if problem.code.endswith("-name")] == ["bad-name"]
    assert main(["validate", str(tmp_path)]) == 1
    assert len(capsys.readouterr().out.splitlines()) == len(problems)


@pytest.mark.parametrize("name", UNPORTABLE)
def test_only_strict_refuses_a_name_that_not_all_take(tmp_path, name):
    """The index of others passes, one's own does not."""
    assert [problem.code for problem in problems_of(tmp_path, {"Name": name})] == ["unportable-name"]
    assert [main(["validate", str(tmp_path)]), main(["validate", "--strict", str(tmp_path)])] == [0, 1]


@pytest.mark.parametrize("pair", [("RexNet", "rexnet"), ("a-\u212a", "a-k"), ("caf\u00e9", "cafe\u0301")])
def test_names_that_many_disks_take_for_one_are_an_error(tmp_path, pair):
    """Equal but for case or for how a letter is composed."""
    assert "duplicate-model" in [p.code for p in problems_of(tmp_path, *({"Name": name} for name in pair))]


@pytest.mark.parametrize("field", ["Config", "Image", "README", "Labels"])
def test_a_path_of_an_entry_is_checked(tmp_path, field):
    """Every field that holds a path."""
    stated = {"Metadata": {field: "a/CON.md"}} if field == "Labels" else {field: "a/CON.md"}
    codes = [problem.code for problem in problems_of(tmp_path, {"Name": "a", **stated})]
    assert "unportable-name" in codes


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://h.example/a%20b-01234567.pth", "unportable-name"),
        ("file:///x/NUL.pth", "unportable-name"),
        ("https://h.example/", "page-as-weights"),
    ],
)
def test_a_released_file_that_the_cache_cannot_keep_is_named(tmp_path, url, code):
    """Before it is fetched."""
    assert [p.code for p in problems_of(tmp_path, {"Name": "a", "Weights": url})] == [code]


def test_a_text_is_no_path(tmp_path):
    """A README may be the text itself, and a picture's address is none of ours to judge."""
    model = {"Name": "a", "README": "What it is: a text. And more?", "Image": "https://h.example/x?.png"}
    assert problems_of(tmp_path, model) == ()


@pytest.mark.parametrize("name", ["--drop-edits", "CON", "a:b"])
def test_nothing_is_loaded_staged_or_published_under_a_dangerous_name(
    name, standins, staged, checkpoint, tmp_path, monkeypatch
):
    """Not from an index that has it, nor a staged folder under it."""
    import shutil
    from dataclasses import replace

    from rexnet_hub import AutoModel

    with pytest.raises(IndexReadError, match="can name no folder"):
        write_staged(replace(standins[1], name=name), checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="can name no repo"):
        plan_publish(staged, tmp_path / "hub", name=name)
    with pytest.raises(IndexReadError, match="can name no folder"):
        fetch_released(replace(standins[1], name=name), cache_dir=tmp_path / "cache", measured=Measured())
    assert not (tmp_path / "cache").exists()
    folder = shutil.copytree(standins[0], tmp_path / "index")
    (file,) = folder.glob("*.yml")
    file.write_text(file.read_text().replace("- Name: rexnet_100\n", f"- Name: '{name}'\n"))
    monkeypatch.setenv("REXNET_HUB_INDEX", str(folder))
    with pytest.raises(IndexReadError, match="can name no folder"):
        AutoModel.from_pretrained(name)


def test_a_problem_names_what_is_wrong_in_plain_characters(tmp_path):
    """Also where the name itself is none."""
    shown = render_problems(problems_of(tmp_path, {"Name": "a\u202eb"}))
    assert r"the name 'a\u202eb' has a character that nobody can see" in shown
