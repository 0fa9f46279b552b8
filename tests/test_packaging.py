"""The wheel: what an installed package is made of."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: What `init` begins a zoo with.
BEGINNINGS = ("mkdocs.yml", ".github/workflows/models.yml")
SOURCES = ("rexnet_hub", "model_index", "pyproject.toml", "README.md", "LICENSE", ".gitignore", *BEGINNINGS)


def build_wheel(tree, *, age_s=0, added=""):
    """Build the wheel of a copy of the sources, some seconds older or with a longer index."""
    for name in SOURCES:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, tree / name)
    with (tree / "model_index" / "rexnet.yml").open("a") as stream:
        stream.write(added)
    for file in tree.rglob("*"):
        changed = file.stat().st_mtime - age_s
        os.utime(file, (changed, changed))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)
    (wheel,) = (tree / "dist").iterdir()
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    return build_wheel(tmp_path_factory.mktemp("sources"))


def test_two_builds_are_the_same_bytes(wheel, tmp_path):
    """The wheel depends on what the files hold, not on when they were written."""
    assert build_wheel(tmp_path, age_s=86_400).read_bytes() == wheel.read_bytes()


def test_a_changed_source_is_another_wheel(wheel, tmp_path):
    """Comparing wheels says no: one more byte in the index shows."""
    assert build_wheel(tmp_path, added="\n").read_bytes() != wheel.read_bytes()


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    """Templates, scripts and pictures travel with the code, and the index beside it."""
    tracked = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "rexnet_hub").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    index = {f"rexnet_hub/{file.relative_to(ROOT)}" for file in (ROOT / "model_index").iterdir()}
    index |= {f"rexnet_hub/zoo_files/{Path(name).name}" for name in BEGINNINGS}
    with zipfile.ZipFile(wheel) as archive:
        assert tracked | index == {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_says_that_it_is_typed(wheel):
    """Type checkers read the annotations of an installed package only where this file lies."""
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read("rexnet_hub/py.typed") == b""


def test_an_installed_package_knows_its_models(wheel, tmp_path, zoo):
    """Away from the checkout the wheel's own index is read."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    listed = subprocess.run(
        [sys.executable, "-P", "-m", "rexnet_hub", "list", "--names"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert listed.stdout.split() == [entry.name for entry in zoo.models]
