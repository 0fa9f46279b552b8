"""Every command that writes, on a disk with a fault: one line within seconds, and right on the second run."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rexnet_hub.layout import PACKAGE_DIR

INPUT = ["--image-size", "224", "--crop-pct", "0.875", "--interpolation", "bicubic"]
#: The commands that write, each with all its ways to; OUT is a folder of its own.
COMMANDS = {
    "fetch": ["fetch", "rexnet_100"],
    "fetch to a folder": ["fetch", "rexnet_100", "--to", "OUT"],
    "convert a name": ["convert", "rexnet_100", "--out", "OUT/model.safetensors"],
    "convert a file": ["convert", "CHECKPOINT", "--out", "OUT/model.safetensors"],
    "load": ["predict", "rexnet_100", "PICTURE"],
    "stage": ["stage", "rexnet_100", "--weights", "CHECKPOINT", "--out", "OUT/repo"],
    "publish": ["publish", "STAGED", "--to", "OUT/published", "--apply"],
    "lock": ["lock", "rexnet_100"],
    "add": ["add", "WEIGHTS", "--name", "new", "--collection", "RexNet", "--license", "MIT", *INPUT],
    "evaluate": ["evaluate", "STAGED", "--data", "IMAGES", "--subset", "--record", "OUT/run"],
    "pixel cache": ["evaluate", "STAGED", "--data", "IMAGES", "--subset", "--pixel-cache", "OUT/pixels"],
    "card": ["card", "rexnet_100", "--out", "OUT/README.md"],
    "verify": ["verify", "rexnet_100", "--junit", "OUT/found.xml"],
    "validate": ["validate", "OUT/typo.yml", "--fix"],
    "export": ["export", "STAGED", "--out", "OUT/a.onnx"],
    "demo": ["demo", "--out", "OUT/demo"],
}
SAID = {"full": "File too large", "another's": "Permission denied"}


SCRIPT = Path(__file__).with_name("disk_faults.py")


@pytest.fixture(scope="module")
def open_folder(standins, staged, picture, few_images):
    """A folder that every user may read: the package, an index, its released file, a repo, pictures."""
    index, _, checkpoint = standins
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        shutil.copytree(PACKAGE_DIR, place / PACKAGE_DIR.name)
        shutil.copytree(staged, place / "rexnet_100")
        shutil.copytree(index, place / "zoo" / "index")
        (place / "zoo" / "cache").mkdir()
        shutil.copy(picture, place / "picture.png")
        released = place / checkpoint.name
        shutil.copy(checkpoint, released)
        for file in (place / "zoo" / "index").glob("*.yml"):
            file.write_text(file.read_text().replace(checkpoint.as_uri(), released.as_uri()))
        (place / "zoo" / "typo.yml").write_text("Models:\n- Name: a\n  Metdata: {Epochs: 1}\n")
        shutil.copytree(few_images, place / "images")
        for inner in [file for file in place.rglob("*") if file.is_dir()]:
            inner.chmod(0o755)
        named = {
            "STAGED": "rexnet_100",
            "WEIGHTS": "rexnet_100/model.safetensors",
            "PICTURE": "picture.png",
            "IMAGES": "images",
        }
        yield place, {"CHECKPOINT": released} | {word: place / name for word, name in named.items()}


@pytest.fixture(scope="module")
def told(open_folder):
    """What each command did under each fault, all in one process; and the folder that it did it in."""
    place, files = open_folder
    words = {name: [str(files.get(word, word)) for word in words] for name, words in COMMANDS.items()}
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        settings = {"PYTHONPATH": str(place), "ZOO": str(place / "zoo"), "TMPDIR": base}
        child = subprocess.run(
            [sys.executable, SCRIPT, json.dumps(words), base, "no locks", "full", "another's"],
            env=os.environ | settings | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, check=False, cwd=place,
        )  # fmt: skip
    assert child.returncode == 0, child.stderr
    rows = json.loads(child.stdout)
    assert all(row.keys() == words.keys() for row in rows.values())
    return rows, base


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["no locks", "full", "another's"])
def test_each_command_on_a_disk_with_a_fault(fault, told):
    """Without locks all of them work; where nothing can be written each is refused, and done when it can."""
    rows, base = told
    for name, row in rows[fault].items():
        faulty, again = row["faulty"], row["again"]
        assert row["hidden"] == [], name
        if fault == "no locks":
            assert faulty["code"] == 0, (name, faulty)
            continue
        assert (faulty["code"], again["code"]) == (1, 0), (name, row)
        (line,) = faulty["said"].splitlines()
        assert f"{base}/" in line, (name, line)
        assert SAID[fault] in line, (name, line)
        assert faulty["seconds"] < 30, name
        assert [file for file in row["left"] if not file.endswith(".journal")] == [], name


@pytest.mark.slow
def test_a_cache_of_others_gives_the_conversion_that_is_there(open_folder):
    """`convert NAME` needs no disk for what was converted before; else it names the option that helps."""
    place, _ = open_folder
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)
        zoo = shutil.copytree(place / "zoo", Path(base, "zoo"))
        settings = {"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1", "ZOO": str(zoo), "TMPDIR": base}
        settings |= {"REXNET_HUB_INDEX": str(zoo / "index"), "REXNET_HUB_CACHE": str(zoo / "cache")}

        def run(*words):
            return subprocess.run(
                [sys.executable, *words], env=os.environ | settings, capture_output=True, text=True, cwd=base,
                check=True,
            ).stdout  # fmt: skip

        def convert(*options):
            words = json.dumps({"convert": ["convert", "rexnet_100", *options]})
            return json.loads(run(SCRIPT, words, base, "no locks", "another's"))["another's"]["convert"][
                "faulty"
            ]

        run("-m", "rexnet_hub", "fetch", "rexnet_100")
        refused = convert()
        assert refused["code"] == 1
        assert "Permission denied; name another place with --out" in refused["said"]
        run("-m", "rexnet_hub", "convert", "rexnet_100")
        assert convert()["code"] == 0
        assert "it was there" in convert()["said"]
        assert convert("--float32")["code"] == 1
        (weights,) = zoo.rglob("*.safetensors")
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
        assert convert()["code"] == 1
