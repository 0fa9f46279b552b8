"""Whatever call on the disk fails, a staged and a published folder is the old or the new, whole."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cases import slow
from small import built_in_index, built_in_staged

from rexnet_hub.layout import PACKAGE_DIR

__all__ = ["built_in_index", "built_in_staged"]

SWEEP = Path(__file__).with_name("failing_calls.py")


def sweep(act, ways, folder, *arguments):
    """Run failing_calls.py; give what it prints."""
    folder.mkdir()
    command = [sys.executable, SWEEP, PACKAGE_DIR.parent, act, ways, folder, *arguments]
    return json.loads(subprocess.check_output([str(word) for word in command], text=True))


def visible(state):
    return {name: digest for name, digest in state.items() if not name.startswith(".")}


def beside(state):
    """Show the old repo that a kill between two renames left, as if it were in its place."""
    old = ".small.part.old"
    return {name.replace(old, "small", 1): digest for name, digest in state.items() if name.startswith(old)}


def assert_said(row):
    """One line of ours that has the system's reason; nothing where a tidying-up failed, or it was killed."""
    if row["way"] == "KILL":
        assert row["said"] == ""
    elif row["said"]:
        assert row["said"].startswith(("FileProblem: ", "RepoError: "))
        assert "\n" not in row["said"]
        assert os.strerror(getattr(errno, row["way"])) in row["said"]


@pytest.mark.slow
@pytest.mark.parametrize("ways", ["KILL", "ENOSPC,EIO,EROFS"])
def test_each_failing_call_of_staging(ways, small_index, small_staged, tmp_path):
    """Whatever call fails: no folder, or the whole one; the next run completes, and sweeps what was left."""
    swept = sweep("stage", ways, tmp_path / "out", small_index, small_staged / "model.safetensors")
    whole, rows = swept["whole"], swept["rows"]

    assert len(rows) >= 10 * len(ways.split(","))
    for row in rows:
        assert_said(row)
        assert visible(row["after"]) in ({}, whole), row
        done = visible(row["after"]) == whole
        assert ("is not empty" in row["again"]) if done else row["again"] == "", row
        assert row["end"] == whole, row
    assert (ways == "KILL") == any(".small.part" in row["after"] for row in rows)


@pytest.mark.parametrize("ways", ["KILL", "ENOSPC,EIO,EROFS"])
@pytest.mark.parametrize("act", ["publish", slow("publish-in-two-steps")])
def test_each_failing_call_of_publishing(act, ways, small_staged, tmp_path):
    """Whatever call fails: the old repo, or the new one; the next run completes, and sweeps what was left.

    Where the system cannot swap two folders, a kill between two renames leaves the old one beside its place.
    """
    new, old = (shutil.copytree(small_staged, tmp_path / name / "small") for name in ("new", "old"))
    for folder, text in ((new, b"new"), (old, b"old")):
        (folder / "model.safetensors").write_bytes(text * 1000)
    swept = sweep(act, ways, tmp_path / "out", old, new)
    whole, rows = swept["whole"], swept["rows"]

    assert len(rows) >= 10 * len(ways.split(","))
    befores = [visible(row["after"]) or beside(row["after"]) for row in rows]
    assert sum(before != whole for before in befores) >= len(rows) // 3
    olds = {before["small/model.safetensors"] for before in befores if before != whole}
    assert olds == {hashlib.sha256(b"old" * 1000).hexdigest()}
    for row, before in zip(rows, befores, strict=True):
        assert_said(row)
        assert before.keys() == whole.keys(), row
        assert "as it was" not in row["said"] or before != whole, row
        assert (row["again"], row["end"]) == ("", whole), row
    hidden = [row for row in rows if not visible(row["after"])]
    assert {row["way"] for row in hidden} == ({"KILL"} & {ways} if act == "publish-in-two-steps" else set())
