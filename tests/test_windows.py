"""What holds on Windows: tried there, and elsewhere with what Windows lacks taken away."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rexnet_hub import create_model
from rexnet_hub.index import load_index
from rexnet_hub.layout import PACKAGE_DIR
from rexnet_hub.weights.digest import digest_file

pytestmark = pytest.mark.slow  # all commands in one process: some seconds at once
SCRIPT = Path(__file__).with_name("windows.py")
PICKLE = "PICKLE"
LOADED = "rexnet_100"
REFUSED = "is a pickle, and Windows has no limits to read one under: convert it on Linux, macOS or in WSL"
DATA = ["--data", "IMAGES", "--subset"]
#: What is typed, and the exit code.
COMMANDS = {
    "list": (["list"], 0),
    "list as JSON": (["list", "--json"], 0),
    "show": (["show", LOADED], 0),
    "validate": (["validate"], 0),
    "validate and fix": (["validate", "TYPO", "--fix"], 0),
    "recipe": (["recipe", LOADED], 0),
    "card": (["card", LOADED], 0),
    "card to a file": (["card", LOADED, "--out", "OUT/README.md"], 0),
    "lock": (["lock", LOADED], 0),
    "fetch": (["fetch", LOADED], 0),
    "fetch to a folder": (["fetch", LOADED, "--to", "OUT"], 0),
    "convert a safetensors file": (["convert", LOADED, "--out", "OUT/model.safetensors"], 0),
    "convert a pickle": (["convert", PICKLE, "--out", "OUT/pickle.safetensors"], 1),
    "verify a pickle": (["verify", LOADED, "--weights", PICKLE], 1),
    "stage": (["stage", LOADED, "--out", "OUT/repo"], 0),
    "verify": (["verify", LOADED, "--repo", "OUT/repo"], 0),
    "publish": (["publish", "OUT/repo", "--to", "OUT/published", "--apply"], 0),
    "publish again": (["publish", "OUT/repo", "--to", "OUT/published", "--apply"], 0),
    "predict": (["predict", "OUT/published/repo", "PICTURE"], 0),
    "predict by name": (["predict", LOADED, "PICTURE"], 0),
    "evaluate": (["evaluate", "OUT/repo", *DATA, "--record", "OUT/run"], 0),
    "pixel cache": (["evaluate", "OUT/repo", *DATA, "--pixel-cache", "OUT/pixels"], 0),
}


@pytest.fixture(scope="module")
def windows(tmp_path_factory, picture, few_images):
    """Run every command, the released file a safetensors file: the folder, and what each did."""
    out = tmp_path_factory.mktemp("windows")
    torch.manual_seed(0)
    state = create_model(LOADED).state_dict()
    torch.save({"weight": torch.ones(3)}, out / "pickle.pth")
    save_file(state, out / "unnamed", metadata={"format": "pt"})
    sha256 = digest_file(out / "unnamed").sha256
    released = (out / "unnamed").rename(out / f"rexnetv1_100-{sha256[:8]}.safetensors")
    (entry,) = (entry for entry in load_index().models if entry.name == LOADED)
    (out / "index").mkdir()
    text = entry.location.file.read_text(encoding="utf-8")
    text = text.replace(entry.released.url, released.as_uri())
    text = text.replace("File Size: 19417552", f"File Size: {released.stat().st_size}")
    (out / "index" / "rexnet.yml").write_text(text, encoding="utf-8", newline="\r\n")
    (out / "typo.yml").write_text("Models:\n- Name: a\n  Metdata: {Epochs: 1}\n", encoding="utf-8")
    words = {"OUT": out, PICKLE: out / "pickle.pth", "TYPO": out / "typo.yml", "IMAGES": few_images}
    words["PICTURE"] = picture

    def spell(word):
        head, slash, rest = word.partition("/")
        return f"{words[head]}{slash}{rest}" if head in words else word

    commands = {name: [spell(word) for word in typed] for name, (typed, _) in COMMANDS.items()}
    settings = {"REXNET_HUB_INDEX": str(out / "index"), "REXNET_HUB_CACHE": str(out / "cache")}
    child = subprocess.run(
        [sys.executable, SCRIPT, json.dumps(commands), str(out / "repo")],
        env=os.environ | settings | {"PYTHONPATH": str(PACKAGE_DIR.parent)},
        capture_output=True, text=True, check=False, cwd=out, encoding="utf-8",
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    return out, json.loads(child.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_works_on_windows_or_refuses_in_one_line(name, windows):
    """Each ends as it does elsewhere, but for a pickle, which is refused in one line that says what to do."""
    code, out, err = windows[1][name]
    assert code == COMMANDS[name][1], (out, err)
    assert "Traceback" not in err
    if PICKLE in COMMANDS[name][0]:
        (line,) = err.splitlines()
        assert line.startswith(f"error: {windows[0] / 'pickle.pth'}: {REFUSED}")
    if name == "predict":
        assert out == windows[1]["predict by name"][1]


def test_a_model_loads_and_the_site_is_rendered_on_windows(windows):
    """`from rexnet_hub import AutoModel` needs nothing of POSIX, nor does a load, nor the site."""
    assert windows[1]["load"] == sum(parameter.numel() for parameter in create_model(LOADED).parameters())
    assert windows[1]["site"] > 20


def test_nothing_is_left_beside_what_was_written_on_windows(windows):
    """No part and no lock outlives its command."""
    assert list(windows[0].rglob(".*")) == []
