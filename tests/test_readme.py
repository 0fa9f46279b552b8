"""What the README shows works as printed."""

import re
import shlex
from pathlib import Path

import yaml

from rexnet_hub.cli import build_parser

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_python_runs(own_index, picture, tmp_path, monkeypatch, capsys):
    """Every Python block runs as printed, on stand-in weights."""
    (tmp_path / "picture.jpg").write_bytes(picture.read_bytes())
    monkeypatch.chdir(tmp_path)
    found = blocks("python")
    assert found
    for block in found:
        exec(block.replace("rexnet_150", "rexnet_100"), {})
    assert capsys.readouterr().out.strip()


def test_the_commands_are_commands():
    """Every command of the table parses, or is a command by that name."""
    parser = build_parser()
    known = next(action.choices for action in parser._actions if action.choices)
    rows = re.findall(r"^\| (`.*?`) \|", README, re.MULTILINE)
    assert len(rows) > 5
    for row in rows:
        for said in re.findall(r"`([^`]*)`", row):
            words = shlex.split(re.sub(r"\[.*?\]", "", said).replace("…", ""))
            if words[0] == "rexnet-hub":
                assert words[1] in known
                if words[1] in {"list", "show", "predict"}:
                    parser.parse_args([word.replace("-top1", "top1") for word in words[1:]])
            else:
                assert words[0] in known


def test_the_link_to_the_site_is_where_it_is_deployed():
    """The README knows no address: on GitHub the link leads to the deployments of the environment."""
    links = re.findall(r"\]\((\.\./[^)]*)\)", README)
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "docs.yml").read_text())
    environment = workflow["jobs"]["deploy"]["environment"]
    assert links == [f"../../deployments/{environment['name']}"]
    assert environment["url"]


def test_set_up_is_one_command_each():
    """The demo and the tests are one line each, from nothing to done."""
    lines = [line for block in blocks("console") for line in block.splitlines()]
    assert len(lines) == 2
    assert all(line.startswith("python3 -m venv .venv && ") for line in lines)
