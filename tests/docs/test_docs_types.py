"""Every printed line of Python passes pyright, as an editor shows it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rexnet_hub.index import load_index
from rexnet_hub.pages import snippets

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def check(folder):
    """Run pyright over a folder of scripts; list its errors as `file:line: message`."""
    settings = {
        "include": ["."],
        "extraPaths": [str(ROOT)],
        "typeCheckingMode": "standard",
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [
        sys.executable,
        "-m",
        "pyright",
        "--pythonpath",
        sys.executable,
        "--outputjson",
        "-p",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)
    assert found["summary"]["filesAnalyzed"] == len(list(folder.glob("*.py")))
    return [
        f"{Path(each['file']).name}:{each['range']['start']['line'] + 1}: {each['message']}"
        for each in found["generalDiagnostics"]
    ]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """Each document's blocks as one script, as a reader would type them, and our own snippets."""
    folder = tmp_path_factory.mktemp("scripts")
    for file in [ROOT / "README.md", *(ROOT / "docs" / "guides").glob("*.md")]:
        if blocks := BLOCK.findall(file.read_text(encoding="utf-8")):
            (folder / f"{file.stem.replace('-', '_')}.py").write_text("\n".join(blocks))
    assert len([*folder.iterdir()]) == 12  # one guide is of commands alone
    entry = load_index().find("rexnet_100")
    extracting = snippets.extracting(entry.name, entry)
    for kind in (extracting, snippets.tuning(entry.name, entry), snippets.predicting("rexnet_100")):
        (own,) = (each for each in kind if each.library == "rexnet_hub")
        (folder / f"snippet_{len([*folder.iterdir()])}.py").write_text(own.lines)
    return folder


def test_every_printed_line_is_well_typed(scripts):
    """Pyright has nothing to say of README, guides and the snippets of our own library."""
    assert check(scripts) == []


def test_a_wrong_line_is_seen(tmp_path):
    """Pyright says no: a public name that is not there, and an argument of another type."""
    (tmp_path / "wrong.py").write_text(
        "from rexnet_hub import AutoModel, nothing\n\nAutoModel.from_pretrained(5)\n"
    )

    assert [line.split(":")[:2] for line in check(tmp_path)] == [["wrong.py", "1"], ["wrong.py", "3"]]
