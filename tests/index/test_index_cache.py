"""A copy of a reading is used only while every file is what it was, and gives the same index."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rexnet_hub.index import load_index
from rexnet_hub.layout import find_cache_dir

ROOT = Path(__file__).resolve().parents[2]


def _copies():
    return sorted((find_cache_dir() / "index").glob("*"))


@pytest.mark.parametrize("path", ["model_index", "tests/data/seed_rexnet.md", "tests/data/corpora"])
def test_the_copy_is_equal(path, monkeypatch):
    """What comes from the copy equals what was read, in every attribute and problem."""
    fresh = load_index(ROOT / path)
    monkeypatch.setattr("rexnet_hub.index.reading.read.read_index", None)  # nothing is read any more
    cached = load_index(ROOT / path)

    assert cached == fresh
    assert [repr(entry) for entry in cached.models] == [repr(entry) for entry in fresh.models]


CHANGES = {
    "value": ("m.yml", "Models: {Name: changed}"),
    "same size": ("m.yml", "Models: {Name: b}"),
    "new match of a pattern": ("z.yml", "Models: {Name: z}"),
    "new README": ("docs.md", "text"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(read, tmp_path, change):
    """Any change of a file, or of what a pattern matches, is seen, also with the old time stamp."""
    read("Import: '[mz].yml'\nModels: {Name: i, README: docs.md}", **{"m.yml": "Models: {Name: a}"})
    before = load_index(tmp_path / "index.yml")
    stamp = (tmp_path / "m.yml").stat()
    name, text = CHANGES[change]
    (tmp_path / name).write_text(text)
    os.utime(tmp_path / "m.yml", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    after = load_index(tmp_path / "index.yml")
    assert after != before
    assert after == load_index(tmp_path / "index.yml", cached=False)


def test_a_new_file_in_a_folder_is_seen(read, tmp_path):
    """A folder that gains a file is read again."""
    read("Models: {Name: a}", file="a.yml")
    assert len(load_index(tmp_path).models) == 1
    (tmp_path / "b.yml").write_text("Models: {Name: b}")

    assert len(load_index(tmp_path).models) == 2


DAMAGES = {
    "cut": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "flipped": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "other JSON": lambda data: b"[]\n{}",
    "lines lost": lambda data: data.rsplit(b"\n", 1)[0],
    "not text": lambda data: b"\xff" * 100,
    "deep": lambda data: b"[" * 200_000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_copy_is_not_used(read, tmp_path, damage):
    """A copy that is cut, changed or something else is read over, and written anew."""
    read("Models: [{Name: a}, {Name: b}]")
    expected = load_index(tmp_path / "index.yml")
    (copy_file,) = _copies()
    whole = copy_file.read_bytes()
    copy_file.write_bytes(DAMAGES[damage](whole))

    assert load_index(tmp_path / "index.yml") == expected
    assert copy_file.read_bytes() == whole


def test_what_was_unreadable_is_tried_again(read, tmp_path):
    """A reading with a file that could not be read is not kept."""
    read("Import: a.csv", **{"a.csv": "x"})
    load_index(tmp_path / "index.yml")

    assert _copies() == []


def test_no_place_for_a_copy_is_no_error(read, tmp_path, monkeypatch):
    """Where the cache cannot be written, the index is read all the same."""
    read("Models: {Name: a}")
    blocked = tmp_path / "blocked"
    blocked.write_text("a file, not a folder")
    monkeypatch.setenv("REXNET_HUB_CACHE", str(blocked))

    assert load_index(tmp_path / "index.yml").models[0].name == "a"


def test_the_copies_do_not_pile_up(read, tmp_path):
    """A bounded number of copies is kept, and nothing half-written beside them."""
    for number in range(20):
        read(f"Models: {{Name: a{number}}}", file=f"{number}.yml")
        load_index(tmp_path / f"{number}.yml")

    assert len(_copies()) == 16
    assert {file.suffix for file in _copies()} == {".index"}
    assert json.loads(_copies()[0].read_bytes().split(b"\n")[0]).keys() == {"files", "globs", "body"}


def test_a_warm_start_imports_neither_yaml_nor_torch():
    """With a copy at hand, a list imports no YAML parser; reading never imports torch."""
    program = (
        "import sys; from rexnet_hub import load_index\n"
        "print([e.name for e in load_index().models if e.metric('top1')], [m for m in ('yaml','torch','numpy','difflib','hypothesis') if m in sys.modules])"  # noqa: E501
    )
    run = [sys.executable, "-c", program]
    cold = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    warm = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    names = "['rexnet_100', 'rexnet_130', 'rexnet_150', 'rexnet_200']"
    assert cold.strip() == f"{names} ['yaml']"
    assert warm.strip() == f"{names} []"
