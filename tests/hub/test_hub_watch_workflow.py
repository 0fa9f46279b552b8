"""The workflow that watches is run, step by step: one issue, brought up to date, closed when all is well."""

import json
import re
import shutil
import sys

import pytest
from workflow_machine import Workflow

from rexnet_hub.cli import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the workflow's machine is a Linux"),
    pytest.mark.skipif(shutil.which("jq") is None, reason="GitHub's program has a jq of its own"),
]
#: GitHub's own program is not here: this keeps issues, and filters its list with jq, as that does.
GH = """\
#!/usr/bin/env python3
import argparse, json, os, pathlib, subprocess, sys
assert os.environ["GH_TOKEN"] and os.environ["GH_REPO"] == "org/zoo"
parser = argparse.ArgumentParser()
parser.add_argument("what", choices=["issue"])
parser.add_argument("act", choices=["list", "create", "edit", "close"])
parser.add_argument("number", nargs="?", type=int)
for option in ("state", "limit", "json", "jq", "title", "body-file", "comment"):
    parser.add_argument(f"--{option}")
asked = parser.parse_args()
file = pathlib.Path(os.environ["ASKED"])
issues = json.loads(file.read_text()) if file.exists() else []
body = pathlib.Path(asked.body_file).read_text() if asked.body_file else ""
if asked.act == "list":
    found = (issue for issue in issues if issue["state"] == asked.state)
    rows = [{key: issue[key] for key in asked.json.split(",")} for issue in found]
    subprocess.run(["jq", "-r", asked.jq], input=json.dumps(rows), text=True, check=True)
elif asked.act == "create":
    author = {"login": "app/github-actions", "is_bot": True}
    number = len(issues) + 1
    issues.append({"number": number, "title": asked.title, "body": body, "author": author, "state": "open"})
else:
    (issue,) = (each for each in issues if each["number"] == asked.number)
    issue.update({"body": body} if asked.act == "edit" else {"state": "closed"})
file.write_text(json.dumps(issues))
"""


@pytest.fixture
def workflow(two_models, hub, tmp_path, monkeypatch):
    """The workflow in a repository of two models that are published, and whose index says so."""
    words = ["publish", "small", "second", "--to", "hf:org", "--apply", "--record", "--tag", "v1"]
    assert main(words) == 0
    monkeypatch.delenv("REXNET_HUB_INDEX")
    made = Workflow("watch", tmp_path, two_models, hub, gh=GH)
    made.push()
    return made


def read_issues(workflow):
    """Read what the repository has of issues: title, state, body."""
    return json.loads(workflow.asked.read_text()) if workflow.asked.exists() else []


def test_one_issue_says_what_drifted(workflow, hub):
    """None while all is well, one for all that is found, closed once it is right; a stranger's stays."""
    is_green, printed = workflow.run("watch")
    assert is_green, printed
    assert read_issues(workflow) == []
    stranger = {
        "number": 1,
        "title": "Something is no longer as it is stated",
        "body": "mine",
        "state": "open",
    }
    stranger["author"] = {"login": "somebody", "is_bot": False}
    workflow.asked.write_text(json.dumps([stranger]))

    repo = hub.repos["org/small"]
    tags, repo.tags = dict(repo.tags), {}
    is_green, printed = workflow.run("watch")
    assert is_green, printed
    (_, issue) = read_issues(workflow)
    assert issue["state"] == "open"
    (line,) = re.findall(r"^    small: release is false: .*", issue["body"], re.MULTILINE)
    assert "found no tag v1" in line

    hub.push("org/second", {"config.json": b"{}"}, title="@everybody ``` $(touch ran)")
    is_green, printed = workflow.run("watch")
    assert is_green, printed
    (_, issue) = read_issues(workflow)
    assert "config.json changed (commits since (1): @everybody ``` $(touch ran))" in issue["body"]
    assert all(line.startswith("    ") for line in issue["body"].splitlines()[2:])

    hub.gone = True
    assert workflow.run("watch")[0] is False
    assert read_issues(workflow)[1] == issue

    hub.gone, repo.tags = False, tags
    second = hub.repos["org/second"]
    second.branches["main"] = second.commits[second.head].parent
    is_green, printed = workflow.run("watch")
    assert is_green, printed
    assert read_issues(workflow) == [stranger, issue | {"state": "closed"}]


def test_an_index_that_cannot_be_read_opens_no_issue(workflow):
    """What is no finding of the watch makes the run fail."""
    (workflow.folder / "work" / "model_index" / "small.yml").write_text("Models: [\n")
    workflow.push()
    is_green, printed = workflow.run("watch")
    assert (is_green, "error:" in printed) == (False, True)
    assert read_issues(workflow) == []
