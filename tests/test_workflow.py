"""The workflow that publishes gives its token to one job, on main only, and runs nothing unpinned."""

import re
from pathlib import Path

import pytest
import yaml

FILE = Path(__file__).resolve().parent.parent / ".github" / "workflows" / "models.yml"


@pytest.fixture(scope="module")
def workflow():
    return yaml.safe_load(FILE.read_text())


def test_the_token_is_of_one_job_on_main(workflow):
    """Only the publishing job names a secret, and it runs on a push to main, in an environment."""
    with_secret = [name for name, job in workflow["jobs"].items() if "secrets." in yaml.safe_dump(job)]
    assert with_secret == ["publish"]
    job = workflow["jobs"]["publish"]
    assert "github.event_name == 'push'" in job["if"]
    assert (job["environment"], job["needs"]) == ("hub", "check")
    assert workflow[True]["push"]["branches"] == ["main"]  # YAML 1.1 reads `on` as true
    assert workflow["permissions"] == {"contents": "read"}


def test_every_action_is_pinned_to_a_commit(workflow):
    """What others wrote runs at one commit, not at a tag that may move."""
    used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in used)


def test_only_the_publishing_job_applies(workflow):
    """A pull request validates, verifies and plans; nothing it runs writes to a Hub."""
    commands = {
        name: "\n".join(s.get("run", "") for s in job["steps"]) for name, job in workflow["jobs"].items()
    }
    assert "--apply" not in commands["check"]
    assert all(word in commands["check"] for word in ("validate", "verify", "publish", "GITHUB_STEP_SUMMARY"))
    assert "--apply" in commands["publish"]


def test_no_expression_of_others_is_in_a_script(workflow):
    """Text that a pull request can choose is never put into a shell."""
    scripts = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    assert all("${{" not in script for script in scripts)
