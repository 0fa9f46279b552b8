"""Publishing to a folder is planned first, applied whole, and safe to run again."""

import pytest

from rexnet_hub.errors import FileProblem, PublishError, RepoError, UsageError
from rexnet_hub.publish import apply_plan, describe_plan, plan_publish, staged_repo


def read_files(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


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
    target = apply_plan(plan_publish(staged, tmp_path / "hub"))
    assert read_files(target) == read_files(staged)
    assert [file.name for file in (tmp_path / "hub").iterdir()] == ["rexnet_100"]
    again = plan_publish(staged, tmp_path / "hub")
    assert again.is_done
    assert apply_plan(again) == target


def test_a_second_plan_says_what_changes(staged, tmp_path):
    """Changed, kept and removed files are told apart, and applying removes what is gone."""
    target = apply_plan(plan_publish(staged, tmp_path / "hub"))
    (target / "README.md").write_text("another")
    (target / "old.bin").write_bytes(b"old")
    plan = plan_publish(staged, tmp_path / "hub")
    assert kinds(plan) == {
        "README.md": "change",
        "config.json": "keep",
        "model.safetensors": "keep",
        "old.bin": "remove",
        "receipt.json": "keep",
    }
    lines = "\n".join(describe_plan(plan))
    assert "~ README.md" in lines
    assert "- old.bin" in lines
    apply_plan(plan)
    assert read_files(target) == read_files(staged)


def test_a_plan_is_refused_when_the_target_moved(staged, tmp_path):
    """A change at the target after the plan is not overwritten."""
    target = apply_plan(plan_publish(staged, tmp_path / "hub"))
    (target / "README.md").write_text("before")
    plan = plan_publish(staged, tmp_path / "hub")
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


def test_a_hub_target_is_refused_for_now(staged):
    """A Hub target is misuse until publishing there exists."""
    with pytest.raises(UsageError, match="hf:org"):
        plan_publish(staged, "hf:org")
