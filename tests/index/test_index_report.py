"""Problems are printed for people, programs and annotations, and nothing in them breaks out."""

import json
from pathlib import Path

import pytest

from rexnet_hub.cli import main
from rexnet_hub.index.entry import Location
from rexnet_hub.index.problems import Fix, Problem, render_problems

ODD = Problem(
    code="misspelt-key",
    severity="error",
    location=Location(Path("a,b:c%.yml"), 3, 7),
    message="100% of 'x\r\ny' :: é\x1b[31m",
    fix=Fix(old="a", new="b"),
)


def test_text_is_one_line_a_problem():
    """A problem is one line, `file:line:col: severity[code]: message`, harmless to a terminal."""
    text = render_problems([ODD])

    assert text == "a,b:c%.yml:3:7: error[misspelt-key]: 100% of 'x\\r\\ny' :: é\\x1b[31m [fixable]\n"


def test_annotations_are_escaped():
    """A workflow command keeps its properties apart and stays one line."""
    text = render_problems([ODD], "github")

    assert text == (
        "::error file=a%2Cb%3Ac%25.yml,line=3,col=7,title=misspelt-key::100%25 of 'x%0D%0Ay' :: é\x1b[31m\n"
    )


def test_json_is_one_document():
    """JSON holds every part of a problem under stable keys."""
    (record,) = json.loads(render_problems([ODD], "json"))

    assert record == {
        "file": "a,b:c%.yml", "line": 3, "column": 7, "severity": "error", "code": "misspelt-key",
        "message": ODD.message, "fix": {"old": "a", "new": "b"},
    }  # fmt: skip


@pytest.mark.parametrize("style", ["text", "github"])
def test_nothing_is_nothing(style):
    """No problem prints no line; as JSON it is an empty list."""
    assert render_problems([], style) == ""
    assert json.loads(render_problems([], "json")) == []


def test_real_problems_have_their_place(read, tmp_path):
    """What the reader finds is printed with the file as it was asked for."""
    problems = read("Models:\n- Name: a\n  Metdata: {}\n").problems

    assert render_problems(problems) == (
        f"{tmp_path}/index.yml:3:3: error[misspelt-key]: 'Metdata' is no known key. Did you mean 'Metadata'? [fixable]\n"  # noqa: E501
    )


def test_a_command_warns_of_an_index_with_errors(tmp_path, monkeypatch, capsys):
    """`list` goes on with the models that there are and warns of an error; without a model it refuses."""
    file = tmp_path / "index.yml"
    monkeypatch.setenv("REXNET_HUB_INDEX", str(file))
    file.write_text("Models:\n- Name: a\n- Title: x\n")
    assert main(["list", "--names"]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("a\n", 1)
    assert printed.err.startswith(
        f"warning: errors in the index: 1, the first: {file}:3:3: error[missing-name]"
    )

    file.write_text("Models:\n- Title: x\n")
    assert main(["list", "--names"]) == 1
    printed = capsys.readouterr()
    assert (printed.out, "[missing-name]" in printed.err) == ("", True)
