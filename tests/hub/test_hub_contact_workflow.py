"""The workflow that makes contact is run, step by step, with the world on this machine."""

import hashlib
import json
import os
import sys

import pytest
from workflow_machine import Workflow

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the workflow's machine is a Linux"),
]


@pytest.fixture
def workflow(world, hub, tmp_path, certificate, monkeypatch):
    """The workflow in a repository of one model, whose sources serve."""
    world.serve("rexnet_100")
    index = world.index
    for other in (*index.glob("rexnet_*.yml"), index / "ledger.json", *index.glob("*.txt")):
        other.unlink()
    text = (index / "rexnet.yml").read_text()
    (index / "rexnet.yml").write_text(text[: text.index("- Name: rexnet_130")])
    lock = json.loads((index / "lock.json").read_text())
    lock["models"] = {"rexnet_100": lock["models"]["rexnet_100"]}
    (index / "lock.json").write_text(json.dumps(lock, indent=2, sort_keys=True) + "\n")
    monkeypatch.delenv("REXNET_HUB_INDEX")
    (tmp_path / "machines").mkdir()
    made = Workflow("contact", tmp_path / "machines", index, hub)
    made.environment |= {
        "SSL_CERT_FILE": str(certificate),
        "REXNET_HUB_ALLOW": os.environ["REXNET_HUB_ALLOW"],
    }
    steps = made.told["jobs"]["contact"]["steps"]
    (live,) = (step for step in steps if step.get("name") == "Live tests")
    assert live["run"] == "python -m pytest -m live"
    steps.remove(live)  # whom it asks is not on this machine
    made.push()
    return made


def test_what_was_measured_comes_back_as_a_pull_request_once(workflow, world):
    """Digests in a branch of their own name, the table in the summary; not twice, not once it is merged."""
    is_green, printed = workflow.run("contact")
    assert is_green, printed
    (branch, lock) = next(iter(workflow.records().items()))
    released = lock["models"]["rexnet_100"]["released"]
    served = world.web.files[world.stored("rexnet_100")]
    assert released == {"sha256": hashlib.sha256(served).hexdigest(), "size_bytes": len(served)}
    summary = workflow.summary.read_text()
    assert "rexnet_100" in summary
    assert all(line.startswith("    ") for line in summary.splitlines())
    opened = f"pr create --base main --head {branch} --title lock: what contact measured --body-file body.md"
    assert workflow.asked.read_text().splitlines().count(opened) == 1

    is_green, printed = workflow.run("contact")
    assert is_green, printed
    workflow.git("-C", workflow.remote, "branch", "-f", "main", branch)
    is_green, printed = workflow.run("contact")
    assert is_green, printed
    assert list(workflow.records()) == [branch]
    assert workflow.asked.read_text().splitlines().count(opened) == 1


def test_what_is_false_is_red_and_what_was_measured_comes_back(workflow, world):
    """A release that is gone is said, in a block of text; the other source was measured all the same."""
    world.web.lies[world.path("rexnet_100")] = ["status 404"]
    is_green, printed = workflow.run("contact")
    assert (is_green, "answers 404" in printed) == (False, True)
    ((_, lock),) = workflow.records().items()
    assert "safetensors" in lock["models"]["rexnet_100"]
    assert all(line.startswith("    ") for line in workflow.summary.read_text().splitlines())
