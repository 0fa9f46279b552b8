"""Publishing to a folder is planned first, applied whole, and safe to run again."""

import errno
import os
import resource
import signal
import threading
from pathlib import Path

import pytest

from rexnet_hub.errors import FileProblem, PublishError, RepoError, RexnetHubError, UsageError
from rexnet_hub.index import Measured
from rexnet_hub.publish import apply_plan, describe_plan, plan_publish, stage, staged_repo
from rexnet_hub.publish.apply import replace_folder

pytestmark = pytest.mark.usefixtures("seeds")


def read_files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def published(staged, to):
    return Path(apply_plan(plan_publish(staged, to)).place)


def kinds(plan):
    return {change.name: change.kind for change in plan.changes}


def test_a_first_plan_adds_every_file_and_writes_nothing(staged, tmp_path):
    """A plan for a new repo adds its four files; the target does not appear."""
    plan = plan_publish(staged, tmp_path / "hub")
    assert set(kinds(plan).values()) == {"add"}
    assert len(plan.changes) == 4
    assert not (tmp_path / "hub").exists()


def test_an_applied_plan_leaves_nothing_to_do(staged, tmp_path):
    """After applying, the target holds the staged bytes and the next plan is empty."""
    target = published(staged, tmp_path / "hub")
    assert read_files(target) == read_files(staged)
    there = sorted(file.name for file in (tmp_path / "hub").iterdir())
    assert [name for name in there if not name.endswith(".lock")] == ["rexnet_100"]
    again = plan_publish(staged, tmp_path / "hub")
    assert again.is_done
    assert apply_plan(again).place == str(target)


def test_a_second_plan_says_what_changes(staged, tmp_path):
    """Changed, kept and removed files are told apart, and applying removes what may go."""
    target = published(staged, tmp_path / "hub")
    (target / "README.md").write_text("another")
    (target / "statement.json").write_bytes(b"old")
    plan = plan_publish(staged, tmp_path / "hub", drop_edits=True, drop_signature=True)
    assert kinds(plan) == {
        "README.md": "change",
        "config.json": "keep",
        "model.safetensors": "keep",
        "receipt.json": "keep",
        "statement.json": "remove",
    }
    lines = "\n".join(describe_plan(plan))
    assert "~ README.md" in lines
    assert "- statement.json" in lines
    apply_plan(plan)
    assert read_files(target) == read_files(staged)


def test_a_plan_is_refused_when_the_target_moved(staged, tmp_path):
    """A change at the target after the plan is not overwritten."""
    target = published(staged, tmp_path / "hub")
    (target / "README.md").write_text("before")
    plan = plan_publish(staged, tmp_path / "hub", drop_edits=True)
    (target / "README.md").write_text("somebody was here")
    with pytest.raises(PublishError, match="changed since the plan"):
        apply_plan(plan)
    assert (target / "README.md").read_text() == "somebody was here"


def test_half_a_repo_is_not_published(repo, tmp_path):
    """A staged folder that lacks a file is refused by the file's name."""
    (repo / "receipt.json").unlink()
    with pytest.raises(FileProblem, match=r"receipt\.json missing"):
        plan_publish(repo, tmp_path / "hub")
    (repo / "config.json").unlink()
    with pytest.raises(RepoError, match=r"config\.json"):
        plan_publish(repo, tmp_path / "hub")


def test_a_name_is_staged_and_verified_first(own_index, staged):
    """Publishing by name publishes the bytes that staging gives."""
    with staged_repo("rexnet_100") as folder:
        assert read_files(folder) == read_files(staged)
    assert not folder.exists()


def test_a_name_wins_over_a_folder_of_that_name(own_index, staged, tmp_path, monkeypatch):
    """A folder that is called as a model is, in the working folder, is published only if it says `./`."""
    (tmp_path / "rexnet_100").mkdir()
    monkeypatch.chdir(tmp_path)
    with staged_repo("rexnet_100") as folder:
        assert read_files(folder) == read_files(staged)
    with staged_repo("./rexnet_100") as folder:
        assert read_files(folder) == {}


def test_what_a_folder_has_not_is_misuse(staged, tmp_path):
    """A folder has no tags, privacy or pull requests; a Hub target has an owner and a name."""
    for options in ({"tag": "v1"}, {"private": True}, {"as_pr": True}):
        with pytest.raises(UsageError, match="has no use for"):
            plan_publish(staged, tmp_path, **options)
    for target in ("hf:", "hf:/name", "hf:org/a/b"):
        with pytest.raises(UsageError, match="is no target"):
            plan_publish(staged, target)


def test_stand_ins_are_kept_from_a_real_hub(staged):
    """Random weights are refused before anything is asked of a Hub that is not on this machine."""
    with pytest.raises(PublishError, match="its weights are stand-ins, random numbers, and https"):
        plan_publish(staged, "hf:org")


def test_a_strange_file_is_not_published(repo, tmp_path):
    """What belongs to no repo is named and not sent along."""
    (repo / "notes.txt").write_text("mine")
    with pytest.raises(FileProblem, match=r"belongs to no repo: notes\.txt"):
        plan_publish(repo, tmp_path / "hub")


@pytest.mark.parametrize(
    ("file", "old", "new", "claim"),
    [
        ("config.json", '"crop_pct": 0.875', '"crop_pct": 0.9', "crop_pct is false"),
        ("README.md", "license: mit", "license: gpl-3.0", "license is false"),
    ],
)
def test_a_false_claim_stops_a_plan(repo, tmp_path, file, old, new, claim):
    """A plan says which claim is false, and cannot be applied."""
    (repo / file).write_text((repo / file).read_text().replace(old, new))
    plan = plan_publish(repo, tmp_path / "hub")
    assert any(claim in stop for stop in plan.stops)
    with pytest.raises(PublishError, match=claim):
        apply_plan(plan)
    assert not (tmp_path / "hub").exists()


def test_a_repo_of_no_entry_is_not_published(repo, tmp_path):
    """A repo that names no model of the index has nothing to be held against."""
    config = (repo / "config.json").read_text()
    (repo / "config.json").write_text(config.replace('"name": "rexnet_100"', '"name": "nobody"'))
    assert "the index has no model 'nobody'" in plan_publish(repo, tmp_path / "hub").stops[0]


def test_a_swap_is_one_step(staged, tmp_path, monkeypatch):
    """A reader that lists the target while it is replaced always sees a whole repo."""
    target = published(staged, tmp_path / "hub")
    seen, stop = set(), threading.Event()

    def watch():
        while not stop.is_set():
            folder, names = target.stat().st_ino, tuple(sorted(file.name for file in target.iterdir()))
            if target.stat().st_ino == folder:  # else it was replaced while it was listed
                seen.add(names)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(20):
        (target / "README.md").write_text(f"changed {number}")
        replace_folder(target, staged)
    stop.set()
    watcher.join()
    assert seen == {("README.md", "config.json", "model.safetensors", "receipt.json")}


def test_what_a_killed_run_left_is_recovered(staged, tmp_path):
    """Where a swap takes two steps and was killed between them, the next run brings the old repo back."""
    target = published(staged, tmp_path / "hub")
    old = target.with_name(f".{target.name}.part.old")
    target.rename(old)
    (target.with_name(f".{target.name}.part")).mkdir()
    assert published(staged, tmp_path / "hub") == target
    assert read_files(target) == read_files(staged)
    assert not old.exists()


def test_a_disk_that_fails_between_two_renames_is_told_of(staged, tmp_path, monkeypatch):
    """Where neither the new repo nor the old can be put in place, it says where the old one lies."""
    target = published(staged, tmp_path / "hub")
    before, renames = read_files(target), []

    def fail_after_one(source, to):
        renames.append(to)
        if len(renames) > 1:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        real(source, to)

    real = os.rename
    monkeypatch.setattr("rexnet_hub.whole_files._exchange", lambda one, other: False)
    with monkeypatch.context() as broken:
        broken.setattr("os.rename", fail_after_one)
        with pytest.raises(FileProblem, match="Read-only file system; it lies whole in") as caught:
            replace_folder(target, staged)
    old = target.with_name(f".{target.name}.part.old")
    assert str(old) in str(caught.value)
    assert read_files(old) == before
    assert published(staged, tmp_path / "hub") == target
    assert not old.exists()


def test_a_full_disk_leaves_the_target(staged, tmp_path):
    """A copy that cannot be finished leaves the old repo and nothing beside it."""
    target = published(staged, tmp_path / "hub")
    (target / "README.md").write_text("another")
    before = read_files(target)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(FileProblem, match="cannot be written"):
            replace_folder(target, staged)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read_files(target) == before
    assert {file.name for file in target.parent.iterdir()} <= {target.name, f".{target.name}.lock"}


@pytest.mark.slow
def test_what_is_not_ours_is_never_removed(staged, tmp_path):
    """Files at the target that are of others, in folders and links too, are named and stay."""
    target = published(staged, tmp_path / "hub")
    (target / "onnx").mkdir()
    (target / "onnx" / "model.onnx").write_text("theirs")
    (target / "notes.txt").write_text("mine")
    (target / "link.txt").symlink_to("notes.txt")
    assert plan_publish(staged, tmp_path / "hub").is_done
    (target / "config.json").write_text("another")
    plan = plan_publish(staged, tmp_path / "hub")
    assert (plan.stops, plan.others) == ((), ("link.txt", "notes.txt", "onnx/model.onnx"))
    assert published(staged, tmp_path / "hub") == target
    assert (target / "onnx" / "model.onnx").read_text() == "theirs"
    assert (target / "link.txt").readlink() == Path("notes.txt")
    assert {name.name for name in target.iterdir()} == {*read_files(staged), "notes.txt", "link.txt", "onnx"}
    (target / "gone.txt").symlink_to("nowhere")
    with pytest.raises(FileProblem, match="cannot be read"):
        plan_publish(staged, tmp_path / "hub")


def test_a_stage_that_is_false_leaves_no_folder(index, checkpoint, tmp_path):
    """Weights that are not the entry's released file are refused by name, and nothing stays."""
    entry = index.find("rexnet_100")
    with pytest.raises(RexnetHubError, match="states SHA-256 beginning 1b4dddf4"):
        stage(entry, checkpoint, tmp_path / "repo", measured=Measured())
    assert list(tmp_path.iterdir()) == []
