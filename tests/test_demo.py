"""The demo goes the whole way, offline, and touches nothing but its own folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from rexnet_hub.errors import OutputExistsError
from rexnet_hub.imagenet.data.classes import read_classes
from rexnet_hub.imagenet.data.pixels import decode_image
from rexnet_hub.layout import DEMO_PICTURE
from rexnet_hub.standins.make import is_standin

FILE_SIZES = {"rexnet_100": 19417552, "rexnet_130": 30508197, "rexnet_150": 39227315, "rexnet_200": 65862221}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Run the demo once, as a process, in an empty home and working folder."""
    home = tmp_path_factory.mktemp("home")
    work = tmp_path_factory.mktemp("work")
    root = Path(__file__).resolve().parent.parent
    environment = {
        "HOME": str(home),
        "PYTHONPATH": str(root),
        "PATH": "/usr/bin:/bin",
        "TMPDIR": str(home / "tmp"),
    }
    (home / "tmp").mkdir()
    command = [sys.executable, "-m", "rexnet_hub", "demo", "--out", "out"]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
    return done, work, home


@pytest.mark.slow
def test_the_demo_ends_in_a_table_without_a_false_claim(demo):
    """Every claim of the four models holds or is said to be unmeasured; the exit code is 0."""
    done, _, _ = demo
    assert done.returncode == 0, done.stderr
    assert "\n108 holds, 0 false, 72 not measured, of stand-in weights: random numbers\n" in done.stdout
    for name in FILE_SIZES:
        assert f"\n{name}\n" in f"\n{done.stdout}"
    assert " holds  " not in done.stdout  # what holds is counted
    table, code, _ = done.stdout.partition("loads like a published one:\n")
    assert code
    assert max(map(len, table.splitlines())) <= 80  # the code below it names files, wherever they are
    assert done.stderr == ""  # a progress bar is for terminals


@pytest.mark.slow
def test_the_demo_ends_with_lines_that_load_what_it_made(demo):
    """The last lines of the demo, run where it ran, classify a picture with a model that it made."""
    done, work, home = demo
    lines = done.stdout.partition("loads like a published one:\n")[2]
    environment = {"HOME": str(home), "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    said = subprocess.run(
        [sys.executable, "-c", lines], cwd=work, env=environment, check=True, capture_output=True, text=True
    )
    assert said.stdout.strip() in {row.label for row in read_classes()}


@pytest.mark.slow
def test_the_stand_ins_have_the_released_sizes_and_are_marked(demo):
    """Stand-ins are as many bytes as the index says, and wear the mark wherever they go."""
    _, work, _ = demo
    sizes = sorted(file.stat().st_size for file in (work / "out/released").iterdir())
    assert sizes == sorted(FILE_SIZES.values())
    weights = [*(work / "out/released").iterdir(), *(work / "out").glob("published/*/model.safetensors")]
    assert len(weights) == 8
    assert all(is_standin(file) for file in weights)
    for card in (work / "out").glob("published/*/README.md"):
        assert "**Stand-in weights.**" in card.read_text()
        assert "model-index:" not in card.read_text()


@pytest.mark.slow
def test_nothing_is_written_outside_the_folder(demo):
    """Home, temporary folder and working folder hold nothing new but `out`."""
    _, work, home = demo
    assert [path.name for path in work.iterdir()] == ["out"]
    assert [str(path.relative_to(home)) for path in home.rglob("*")] == ["tmp"]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    """The demo refuses a folder that is not empty."""
    from rexnet_hub.demo import run

    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="--out"):
        run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_bundled_picture_is_a_picture():
    """The picture that the demo classifies decodes."""
    assert decode_image(DEMO_PICTURE.read_bytes(), name="picture").size == (320, 240)
