"""The workflow that publishes models is run, step by step, in fresh clones with the wheel of it."""

import re
import sys

import pytest
from keyless import ISSUER, WORKFLOW, LoopbackSigstore
from loopback import CLAIMS
from workflow_machine import ROOT, Workflow

from rexnet_hub.signing import verify_signature

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the workflow's machine is a Linux"),
]


@pytest.fixture
def workflow(two_models, hub, github, tmp_path, monkeypatch):
    """The workflow in a repository of two models, whose repos on the Hub trust it."""
    from rexnet_hub.cli import main

    assert main(["lock"]) == 0
    for name in ("small", "second"):
        hub.create(f"org/{name}")
        hub.trusted[f"org/{name}"] = CLAIMS
    monkeypatch.delenv("REXNET_HUB_INDEX")
    made = Workflow("models", tmp_path, two_models, hub, github)
    made.push()
    return made


def test_what_was_published_comes_back_as_a_pull_request_once(workflow, hub):
    """Green before, published, recorded in a branch; once that is merged nothing is left to do."""
    is_green, printed = workflow.run("check")
    assert is_green, printed
    assert "org/small" in workflow.summary.read_text()
    assert workflow.records() == {}
    is_green, printed = workflow.run("publish")
    assert is_green, printed
    (branch, lock) = next(iter(workflow.records().items()))
    assert {name: lock["models"][name]["hub"]["commit"] for name in ("small", "second")} == {
        name: hub.repos[f"org/{name}"].head for name in ("small", "second")
    }
    assert f"pr create --base main --head {branch}" in workflow.asked.read_text()
    workflow.git("-C", workflow.remote, "branch", "-f", "main", branch)
    heads = {name: repo.head for name, repo in hub.repos.items()}
    for job in ("check", "publish"):
        is_green, printed = workflow.run(job)
        assert is_green, printed
    assert {name: repo.head for name, repo in hub.repos.items()} == heads
    assert list(workflow.records()) == [branch]


def test_one_model_that_fails_loses_no_record_of_another(workflow, hub):
    """The job is red, and the record of what was published comes back all the same."""
    del hub.trusted["org/small"]
    is_green, printed = workflow.run("publish")
    assert not is_green
    assert "no trusted publisher" in printed
    (lock,) = workflow.records().values()
    assert ["hub" in lock["models"][name] for name in ("small", "second")] == [False, True]


def test_a_stop_is_shown_and_turns_no_pull_request_red(workflow, hub):
    """What a person wrote into a card on the Hub stops that repo's plan, and nobody's change."""
    hub.push("org/small", {"README.md": b"---\nlicense: mit\n---\nOurs.\n"})
    is_green, printed = workflow.run("check")
    assert is_green, printed
    assert "Ours." in workflow.summary.read_text()


def test_a_problem_is_shown_at_its_line_of_the_change(workflow):
    """What a pull request brings is checked, not what is installed; the place is a path of the repository."""
    file = workflow.folder / "work" / "model_index" / "small.yml"
    file.write_text(file.read_text().replace("License: MIT", "License: MIT\n  Licence: MIT"))
    workflow.push()
    is_green, printed = workflow.run("check")
    assert not is_green
    assert re.search(r"^::\w+ file=model_index/small\.yml,line=5,", printed, re.MULTILINE)


def test_the_guides_lines_sign_every_model_once(workflow, hub, tmp_path, monkeypatch):
    """With them in place the job signs as itself; a second run, with a higher number, changes nothing."""
    guide = (ROOT / "docs" / "guides" / "sign.md").read_text()
    lines = re.search(r"```yaml\n(xargs.*?--sign sigstore.*?)```", guide, re.DOTALL)[1]
    for step in workflow.told["jobs"]["publish"]["steps"]:
        if step.get("name") == "Publish":
            step["run"], replaced = re.subn(r"xargs.*\n", lambda found: lines, step["run"])
            assert replaced == 1
    index = tmp_path / "work" / "model_index" / "small.yml"
    trusted = f"  License: MIT\n  Trusted Key: {WORKFLOW}@{ISSUER}\n"
    index.write_text(index.read_text().replace("  License: MIT\n", trusted))
    workflow.push()
    with LoopbackSigstore() as sigstore:
        (tmp_path / "trust.json").write_text(sigstore.trust())
        workflow.identity = sigstore.job()
        workflow.environment["REXNET_HUB_SIGSTORE"] = str(tmp_path / "trust.json")
        heads = []
        for number in ("41", "42"):
            workflow.environment["GITHUB_RUN_NUMBER"] = number
            is_green, printed = workflow.run("publish")
            assert is_green, printed
            heads.append({name: repo.head for name, repo in hub.repos.items()})
        assert heads[0] == heads[1]
        assert len(sigstore.entries) == 2
    monkeypatch.setenv("REXNET_HUB_SIGSTORE", str(tmp_path / "trust.json"))
    for name in ("small", "second"):
        (tmp_path / name).mkdir()
        for file, data in hub.repos[f"org/{name}"].files().items():
            (tmp_path / name / file).write_bytes(data)
        assert verify_signature(tmp_path / name, f"{WORKFLOW}@{ISSUER}", name=name).version == 41
