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


#: GitHub's own program: it lists the pull requests that it opened, and opens none while it is told to refuse.
GH = """\
#!/bin/sh
[ -n "$GH_TOKEN" ] || exit 1
if [ "$2" = list ]; then grep "pr create .*--head $4 " "$ASKED" || true; exit 0; fi
if [ "$2" = create ] && [ -e "$ASKED.refuses" ]; then exit 1; fi
echo "$@" >> "$ASKED"
"""


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
    made = Workflow("contact", tmp_path / "machines", index, hub, gh=GH)
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
    """Of a red run too, with what is false; what could not be proposed is later, what was is not again."""
    led = world.web.lies.pop(world.path("rexnet_100"))
    world.web.lies[world.path("rexnet_100")] = ["status 404"]
    is_green, printed = workflow.run("contact")
    assert (is_green, "answers 404" in printed) == (False, True)
    ((first, lock),) = workflow.records().items()
    assert lock["models"]["rexnet_100"].keys() >= {"safetensors"}
    assert "released" not in lock["models"]["rexnet_100"]

    world.web.lies[world.path("rexnet_100")] = led
    refuses = workflow.asked.with_name(f"{workflow.asked.name}.refuses")
    refuses.touch()
    assert not workflow.run("contact")[0]
    refuses.unlink()
    for _ in range(2):
        is_green, printed = workflow.run("contact")
        assert is_green, printed
    (second,) = workflow.records().keys() - {first}
    served = world.web.files[world.stored("rexnet_100")]
    released = workflow.records()[second]["models"]["rexnet_100"]["released"]
    assert released == {"sha256": hashlib.sha256(served).hexdigest(), "size_bytes": len(served)}
    opened = "pr create --base main --head {} --title lock: what contact measured --body-file body.md"
    asked = [line for line in workflow.asked.read_text().splitlines() if line.startswith("pr ")]
    assert asked == [opened.format(first), opened.format(second)]
    summary = workflow.summary.read_text()
    assert "rexnet_100" in summary
    assert all(line.startswith("    ") for line in summary.splitlines())
