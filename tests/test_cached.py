"""The cache is shown as it is; what goes is what no model needs, and never what is in use or of others."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rexnet_hub.cli import main
from rexnet_hub.index import load_index, read_lock
from rexnet_hub.layout import PACKAGE_DIR, find_cache_dir
from rexnet_hub.locate import find_repo
from rexnet_hub.repo.folder import fetch_weights

DAYS = 86400
KEY = "ab" * 32


@pytest.fixture
def run(capsys):
    """Run `cache` and give the code, what it printed, and the errors."""

    def run_command(*words):
        code = main(["cache", *map(str, words)])
        return code, *capsys.readouterr()

    return run_command


@pytest.fixture
def rows(run):
    """Run `cache --json` and give its items by their place in the cache."""

    def read_rows(*words):
        items = json.loads(run("--json", *words)[1])["items"]
        return {Path(item["place"]).relative_to(find_cache_dir()).as_posix(): item for item in items}

    return read_rows


@pytest.fixture
def cache(own_index):
    """A cache with all kinds: needed, of no model, left by a kill, being written, of others, a link."""
    find_repo("rexnet_100")
    cache = find_cache_dir()
    for folder in (f"released/{KEY}", "repos/gone-0123456789abcdef", "signed", "old"):
        (cache / folder).mkdir()
        (cache / folder / ("config.json" if "gone" in folder else "file")).write_bytes(b"12345")
    (cache / "repos" / ".gone-0123456789abcdef.part").mkdir()
    for name in (f"released/.{KEY}.part", "repos/.young-0123456789abcdef.lock", "released/strange", "note"):
        (cache / name).write_bytes(b"123")
    (cache / "elsewhere").mkdir()
    (cache / "elsewhere" / "file").write_bytes(b"12")
    (cache / "released" / ("cd" * 32)).symlink_to(cache / "elsewhere")
    long_ago = time.time() - 2 * DAYS
    for name in (f"released/.{KEY}.part", "repos/.gone-0123456789abcdef.part"):
        os.utime(cache / name, (long_ago, long_ago))
    return cache


def shown(cache):
    """Name everything in a cache."""
    return {file.relative_to(cache).as_posix() for file in cache.rglob("*")}


UNNEEDED = {f"released/{KEY}", "repos/gone-0123456789abcdef"}
LEFT = {f"released/.{KEY}.part", "repos/.gone-0123456789abcdef.part"}
OTHERS = {"signed", "old", "elsewhere", "note", "released/strange", f"released/{'cd' * 32}"}


def test_each_item_is_said_with_model_size_and_state(cache, rows):
    """The released file and the repo made of it are the model's; all else is what it is."""
    found = rows()
    needed = {place for place, item in found.items() if item["state"] == "needed"}
    assert {place.partition("/")[0] for place in needed} == {"released", "repos"}
    assert all(found[place]["of"] == "rexnet_100" for place in needed)
    (released,) = (place for place in needed if place.startswith("released"))
    assert found[released]["size_bytes"] == sum(
        file.stat().st_size for file in (cache / released).rglob("*.pth")
    )
    states = {
        state: {place for place, item in found.items() if item["state"] == state}
        for state in ("unneeded", "left behind", "at work?", "not ours")
    }
    assert states == {
        "unneeded": UNNEEDED,
        "left behind": LEFT,
        "at work?": {"repos/.young-0123456789abcdef.lock"},
        "not ours": OTHERS,
    }
    assert found[f"released/{KEY}"]["of"] == "file"


def test_what_came_before_the_lock_stated_its_digest_is_needed(own_index, checkpoint, rows):
    """It stays where it is, and is the file that the model is loaded from."""
    find_repo("rexnet_100")
    (before,) = (find_cache_dir() / "released").glob("*/*/*.pth")
    lock, data = own_index / "lock.json", checkpoint.read_bytes()
    released = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    text = lock.read_text()
    stated = json.loads(text)
    stated["models"]["rexnet_100"]["released"] = released
    try:
        lock.write_text(json.dumps(stated))
        assert rows()[f"released/{before.parent.parent.name}"]["state"] == "needed"
        assert (
            fetch_weights(
                load_index().find("rexnet_100"),
                cache_dir=find_cache_dir(),
                measured=read_lock().of("rexnet_100"),
            )
            == before
        )
    finally:
        lock.write_text(text)


def test_the_table_fits_a_terminal(cache, run):
    """No line is wider than eighty columns, and the last one has the sum."""
    code, out, _ = run()
    assert code == 0
    assert all(len(line) <= 80 for line in out.splitlines()[:-2])
    size = sum(file.lstat().st_size for file in cache.rglob("*") if file.is_symlink() or not file.is_dir())
    assert out.splitlines()[-1] == f"{cache}: {size} bytes ({size / 1e6:.1f} MB)"


def test_a_plan_removes_nothing_and_apply_does_what_it_says(cache, run, rows):
    """--prune shows what goes; --apply removes just that; then nothing is left to remove."""
    before = shown(cache)
    planned = {place for place, item in rows("--prune").items() if item["goes"]}
    assert planned == UNNEEDED | LEFT
    code, out, said = run("--prune")
    assert (code, out.count(", goes")) == (0, 4)
    assert said == "a plan only: rexnet-hub cache --prune --apply does it\n"
    assert shown(cache) == before
    gone = {place for place, item in rows("--prune", "--apply").items() if item["gone"]}
    assert gone == planned
    assert shown(cache) == {place for place in before if not place.startswith(tuple(planned))}
    assert not any(item["gone"] for item in rows("--prune", "--apply").values())


def test_all_empties_it_and_a_model_loads_again(cache, run):
    """--all removes what a model needs too, never what is of others or remembers signed versions."""
    assert run("--prune", "--all", "--apply")[0] == 0
    left = {place for place in shown(cache) if "/" not in place or "young" in place or place in OTHERS}
    assert shown(cache) == left | {"signed/file", "old/file", "elsewhere/file"}
    find_repo("rexnet_100")


def test_what_is_named_as_ours_and_is_not_stays(own_index, run, rows):
    """A folder of ours has only files of ours in it; a lock or a part is of a name of ours."""
    cache, other = find_cache_dir(), "cd" * 32
    for name in (
        "repos/mine-0123456789abcdef/thesis.tex",
        "repos/both-0123456789abcdef/config.json",
        "repos/both-0123456789abcdef/.thesis.tex.part",
        "repos/deep-0123456789abcdef/config.json/thesis.tex",
        "repos/.thesis.lock",
        "repos/.thesis.part/thesis.tex",
        "repos/.mine-0123456789abcdef.part/thesis.tex",
        "repos/.file-0123456789abcdef.part",
        f"released/.{KEY}.lock/thesis.tex",
        f"released/.{KEY}.part/thesis.tex",
        "released/.thesis.part",
        f"released/{'ef' * 32}/chapter/thesis.tex",
        f"released/{'01' * 32}/{other}/{other}/thesis.tex",
    ):
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_text("precious")
    for name in (KEY, other):
        (cache / "released" / name).mkdir()
    os.mkfifo(cache / "released" / KEY / "fifo.pth")
    (cache / "released" / other / "link.pth").symlink_to(cache / "repos" / ".thesis.lock")
    for file in [*cache.rglob("*"), cache]:
        os.utime(file, (1e9, 1e9), follow_symlinks=False)
    before = shown(cache)
    assert {place: item["state"] for place, item in rows().items() if item["state"] != "not ours"} == {}
    assert run("--prune", "--all", "--apply")[0] == 0
    assert shown(cache) == before


def test_use_is_remembered(cache, rows, capsys):
    """A fetch and a load set the time of what they used."""
    places = [place for place, item in rows().items() if item["state"] == "needed"]
    for place in places:
        for file in [cache / place, *(cache / place).rglob("*")]:
            os.utime(file, (1e9, 1e9))
    assert {rows()[place]["last_used"] for place in places} == {"2001-09-09T01:46:40+00:00"}
    assert main(["fetch", "rexnet_100"]) == 0
    find_repo("rexnet_100")
    capsys.readouterr()
    for place in places:
        assert rows()[place]["last_used"] > "2026"


@pytest.mark.parametrize("folder", ["released", "repos"])
def test_a_damaged_file_is_seen_by_check(folder, cache, run, rows):
    """--check reads every file; one whose bytes are others is damaged, and goes with --prune."""
    (place,) = (place for place in rows() if rows()[place]["state"] == "needed" and place.startswith(folder))
    file = max((cache / place).rglob("*.*"), key=lambda file: file.stat().st_size)
    assert rows("--check")[place]["state"] == "needed"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert rows()[place]["state"] == "needed"
    assert rows("--check", "--prune")[place]["goes"]


def test_a_conversion_beside_its_source_is_checked_by_its_receipt(cache, rows, capsys):
    """What `convert NAME` leaves in a released file's folder is whole, until a bit of it is another."""
    assert main(["convert", "rexnet_100"]) == 0
    capsys.readouterr()
    (file,) = (cache / "released").rglob("*.safetensors")
    place = "/".join(file.relative_to(cache).parts[:2])
    assert rows("--check")[place]["state"] == "needed"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    assert rows("--check")[place]["state"] == "damaged"


def test_what_a_run_is_using_stays(cache, run):
    """A place that another process has locked is left, in one line; the rest goes."""
    place = cache / "released" / KEY
    script = (
        "import sys; from pathlib import Path; from rexnet_hub.whole_files import locked\n"
        "with locked(Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(place)]
    env = os.environ | {"PYTHONPATH": str(PACKAGE_DIR.parent)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as other:
        assert other.stdout.readline() == "locked\n"
        code, _, said = run("--prune", "--apply")
        assert code == 1
        assert len(said.splitlines()) == 2, said  # of the file, and of what an earlier run left of it
        assert all(line.startswith("error: ") and KEY in line for line in said.splitlines())
        assert (place / "file").exists()
        assert not (cache / "repos" / "gone-0123456789abcdef").exists()
        other.stdin.close()
    assert run("--prune", "--apply")[0] == 0
    assert not place.exists()


def test_what_cannot_be_removed_is_one_line_and_the_rest_goes(cache, run):
    """A lock that cannot be had, as in a cache of others, is said; everything else goes."""
    (cache / "repos" / ".gone-0123456789abcdef.lock").mkdir()
    code, out, said = run("--prune", "--apply")
    assert code == 1
    assert out.count(", gone") == 2
    assert len(said.splitlines()) == 2
    assert all("gone-0123456789abcdef: cannot be" in line for line in said.splitlines())
    assert (cache / "repos" / "gone-0123456789abcdef").exists()


def test_a_file_in_the_place_of_the_cache_is_one_line(own_index, run, monkeypatch, tmp_path):
    """What is no folder is not an empty cache."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("REXNET_HUB_CACHE", str(tmp_path / "file"))
    code, _, said = run()
    assert (code, said) == (1, f"error: {tmp_path / 'file'}: Not a directory\n")


def test_nothing_goes_while_the_index_has_errors(cache, run, monkeypatch, tmp_path):
    """A model that cannot be read may need what looks unneeded."""
    (tmp_path / "index.yml").write_text("Type: model-index\nModels:\n- Name: a\n  Metadata: {ID: x}\n- 5\n")
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path / "index.yml"))
    before = shown(cache)
    code, _, said = run("--prune", "--apply")
    assert code == 1
    assert "error: nothing goes while the index has errors" in said
    assert shown(cache) == before


def test_the_last_line_says_what_was_and_what_is(cache, run):
    """A plan says what would go of what there is; what was done, what is left."""
    size = sum(file.lstat().st_size for file in cache.rglob("*") if file.is_symlink() or not file.is_dir())
    assert run("--prune")[1].splitlines()[-1].startswith(f"{cache}: {size} bytes (")
    assert run("--prune")[1].splitlines()[-1].endswith(", to be removed: 13 bytes (0.0 MB)")
    last = run("--prune", "--apply")[1].splitlines()[-1]
    assert last.startswith(f"{cache}: {size - 13} bytes (")
    assert last.endswith(", removed: 13 bytes (0.0 MB)")
    assert run()[1].splitlines()[-1].startswith(f"{cache}: {size - 13} bytes (")


def test_a_cache_that_is_not_there_is_empty(own_index, run, rows):
    """Nothing is made by looking."""
    assert run()[:2] == (0, f"{find_cache_dir()}: nothing in it\n")
    assert rows("--prune", "--apply") == {}
    assert not find_cache_dir().exists()


@pytest.mark.parametrize("name", ["released", "repos"])
def test_a_cache_of_any_name_keeps_what_is_not_ours(name, own_index, run, rows, monkeypatch, tmp_path):
    """A cache that is called as one of its folders makes nothing beside them ours; nor does a link."""
    cache = tmp_path / name
    monkeypatch.setenv("REXNET_HUB_CACHE", str(cache))
    for place in (KEY, "mine-0123456789abcdef", f".{KEY}.part", "data/gone-0123456789abcdef"):
        (cache / place).mkdir(parents=True)
        os.utime(cache / place, (1e9, 1e9))
    (cache / "repos").symlink_to(cache / "data")
    assert {item["state"] for item in rows().values()} == {"not ours"}
    before = shown(cache)
    assert run("--prune", "--all", "--apply")[0] == 0
    assert shown(cache) == before


def test_files_of_the_hubs_client_are_named_with_the_command_that_removes_them(
    own_index, run, monkeypatch, tmp_path
):
    """What the client keeps of a published model is listed, and left to the client."""
    from huggingface_hub import constants

    from rexnet_hub.index import lock as index_lock

    blobs = tmp_path / "hub" / "models--org--rexnet_100" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / KEY).write_bytes(b"1234567")
    snapshot = blobs.parent / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").symlink_to(blobs / KEY)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    copy = tmp_path / "index"
    shutil.copytree(own_index, copy)
    lock = json.loads((copy / "lock.json").read_text())
    lock["models"]["rexnet_100"]["hub"] = {"repo_id": "org/rexnet_100", "commit": "a" * 40}
    (copy / "lock.json").write_text(json.dumps(lock))
    monkeypatch.setenv("REXNET_HUB_INDEX", str(copy))
    assert index_lock.read_lock().of("rexnet_100").hub
    code, out, said = run("--prune", "--all", "--apply")
    assert code == 0
    line = "org/rexnet_100: 7 bytes (0.0 MB) in the Hub client's cache; hf cache rm model/org/rexnet_100"
    assert out.splitlines()[-1] == line
    assert said == ""
    assert (snapshot / "config.json").exists()
