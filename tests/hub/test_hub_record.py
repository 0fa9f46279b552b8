"""What was published is recorded in the lock: by several processes at once, and in no installed package."""

import shutil
import subprocess
import sys

import pytest

from rexnet_hub.cli import main
from rexnet_hub.index import Measured, read_lock
from rexnet_hub.index.lock import MeasuredHub, update_lock
from rexnet_hub.publish import publish_all

TIMES, NAMES = 10, ("small", "second", "third")
PROGRAM = """
import sys
from pathlib import Path
from types import SimpleNamespace
from rexnet_hub.publish.apply import Published
from rexnet_hub.publish.run import record_publication
staged, name, times = sys.argv[1:]
plan = SimpleNamespace(repo_id=f"org/{name}", staged=Path(staged), model=name, name=name)
print("ready", flush=True)
input()
for number in range(int(times)):
    record_publication(plan, Published(place="hf:org", commit=f"{number:040x}"))
"""


def test_processes_that_record_at_once_lose_nothing(own_small_index, staged):
    """Three processes record ten publications each at the same time, and the lock has all thirty."""
    command = [sys.executable, "-c", PROGRAM, staged]
    pipe = subprocess.PIPE
    children = [
        subprocess.Popen([*command, name, str(TIMES)], stdin=pipe, stdout=pipe, text=True) for name in NAMES
    ]
    for child in children:
        child.stdout.readline()
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    for child in children:
        child.communicate()
    assert [child.returncode for child in children] == [0] * len(NAMES)
    lock = read_lock()
    assert {name: len(lock.of(name).published) for name in NAMES} == dict.fromkeys(NAMES, TIMES)


@pytest.fixture
def installed(small_index, tmp_path, monkeypatch):
    """The index is the one that an installed package brings, and no environment names another."""
    from rexnet_hub import layout
    from rexnet_hub.index import lock

    monkeypatch.delenv("REXNET_HUB_INDEX", raising=False)
    monkeypatch.chdir(tmp_path)
    for module in (layout, lock):
        monkeypatch.setattr(module, "PACKAGE_DIR", tmp_path / "site-packages" / "rexnet_hub")
    return shutil.copytree(small_index, tmp_path / "site-packages" / "rexnet_hub" / "model_index")


@pytest.mark.parametrize(
    "words",
    [
        "lock",
        "validate --fix",
        "add X --name new --collection Small",
        "publish small --to hf:org --apply --record",
    ],
)
def test_nothing_is_written_into_an_installed_package(installed, hub, words, capsys):
    """Each command that writes to the index says so before it does anything, and how to name one's own."""
    before = {file: file.read_bytes() for file in installed.iterdir()}
    assert main(words.split()) == 2
    assert "which rexnet-hub init DIR begins" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in installed.iterdir()} == before
    assert hub.log == []
    assert main(["list"]) == 0


@pytest.fixture
def with_orphans(own_small_index):
    """An index whose lock has two models more: one that was only measured, and one that was published."""
    hub = MeasuredHub(repo_id="org/gone", commit="0" * 40)
    main(["lock"])
    update_lock(lambda lock: lock.with_model("measured", lock.of("small")))
    update_lock(lambda lock: lock.with_model("published", Measured(hub=hub)))
    return own_small_index


def test_a_model_that_left_the_index_leaves_the_lock_unless_it_was_published(with_orphans, capsys):
    """`lock --check` names it, `lock` drops it, and then both agree; what was published is kept."""
    assert main(["lock", "--check"]) == 1
    assert capsys.readouterr().out.count("\n") == 1
    assert main(["lock"]) == 0
    assert "measured: dropped" in capsys.readouterr().err
    assert main(["lock", "--check"]) == 0
    assert read_lock().models.keys() == {"small", "published"}


@pytest.mark.parametrize("broken", [True, False])
def test_nothing_is_dropped_by_who_did_not_see_the_whole_index(with_orphans, broken):
    """A model may be missing since its file cannot be read, or since others were named."""
    if broken:
        (with_orphans / "broken.yml").write_text("Models: [\n")
    assert main(["lock"] if broken else ["lock", "small"]) == 0
    assert "measured" in read_lock().models
    assert main(["lock", "--check"] if broken else ["lock", "--check", "small"]) == 0


@pytest.mark.slow
def test_a_second_tag_on_the_same_commit_is_recorded(hub, own_small_index):
    """What was published untagged and is then named: the lock's two parts name the same tag."""
    for options in ({}, {"tag": "v1"}, {"tag": "v1"}, {"tag": None}):
        (outcome,) = publish_all(["small"], "hf:org", apply=True, record=True, **options)
        assert outcome.problem is None
        measured = read_lock().of("small")
        assert (measured.published[-1].commit, measured.published[-1].tag) == (
            measured.hub.commit,
            measured.hub.tag,
        )
    assert len(measured.published) == 3
