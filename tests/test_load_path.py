"""What a load and a question to the index pass through: few files, nothing heavy, no page."""

import json
import subprocess
import sys

import pytest

FIRST, SECOND = 51, 43
#: Rooms that have no part in a load: whoever imports them for one function is found.
ROOMS = {
    *("commands", "demo", "evaluation", "export", "publish", "verify", "signing", "add", "measure"),
    *("pages", "recipe", "standins", "witness"),
}

COUNT = """
import json, os, sys, threading
import rexnet_hub
from rexnet_hub import AutoModel
root = os.path.dirname(rexnet_hub.__file__) + os.sep
called = set()
def is_import(frame):
    while frame and not (frame.f_code.co_name == "<module>" and frame.f_code.co_filename.startswith(root)):
        frame = frame.f_back
    return frame is not None
def watch(frame, event, _):
    file = frame.f_code.co_filename
    if event == "call" and file.startswith(root) and file[len(root):] not in called and not is_import(frame):
        called.add(file[len(root):])
threading.setprofile(watch)
sys.setprofile(watch)
AutoModel.from_pretrained("rexnet_100")
sys.setprofile(None)
print(json.dumps(sorted(called)))
"""


def files_of_a_load():
    """List the files of ours of which a load in a fresh process calls a function."""
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_load_passes_through_few_files(standins, monkeypatch):
    """A first load, which fetches and converts the released file, and a second one stay as short as now."""
    monkeypatch.setenv("REXNET_HUB_INDEX", str(standins[0]))
    first, second = files_of_a_load(), files_of_a_load()

    assert "weights/convert.py" in first
    assert "weights/convert.py" not in second
    assert len(first) <= FIRST, first
    assert len(second) <= SECOND, second
    rooms = {file.split("/")[0].removesuffix(".py") for file in first + second}
    assert rooms & ROOMS == set()


QUESTIONS = {
    "import": "",
    "list_models": "rexnet_hub.list_models('top1>=79')",
    "load_index": "rexnet_hub.load_index()",
    "list": "rexnet_hub.cli.main(['list', 'top1>=79'])",
    "show": "rexnet_hub.cli.main(['show', 'rexnet_100'])",
    "validate": "rexnet_hub.cli.main(['validate'])",
}
HEAVY = {"torch", "jinja2", "numpy", "PIL", "huggingface_hub", "safetensors"}


def modules_after(statement):
    """List what a fresh process has imported after a statement."""
    lines = ["import json, sys, rexnet_hub", statement]
    if "cli" in statement:
        lines.insert(1, "import rexnet_hub.cli")
    lines.append("print('\\n' + json.dumps(sorted(sys.modules)))")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("question", QUESTIONS)
def test_asking_the_index_is_light(question):
    """Whoever asks the index waits neither for torch nor for templates, nor for a Hub's client."""
    assert set(modules_after(QUESTIONS[question])) & HEAVY == set()


def test_a_heavy_import_is_seen():
    """The check says no: whoever decodes a picture imports what can."""
    assert {"numpy", "PIL"} <= set(modules_after("import rexnet_hub.imagenet.data.pixels"))


def test_a_folder_is_loaded_without_a_reader_of_indexes_and_pictures(staged):
    """Who loads a folder waits for torch, and neither for YAML nor for Pillow nor for a Hub's client."""
    found = modules_after(f"rexnet_hub.AutoModel.from_pretrained({str(staged)!r})")
    assert "rexnet_hub.auto" in found
    assert set(found) & {"yaml", "PIL", "jinja2", "huggingface_hub"} == set()
