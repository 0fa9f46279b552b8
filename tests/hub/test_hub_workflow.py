"""The workflow that publishes models is run, step by step, in fresh clones with the wheel of it."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml
from keyless import ISSUER, WORKFLOW, LoopbackSigstore
from loopback import CLAIMS, REQUEST_TOKEN

from rexnet_hub.signing import verify_signature

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("rexnet_hub", "pyproject.toml", "README.md", "LICENSE", ".gitignore", ".github")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the workflow's machine is a Linux"),
]
#: GitHub's own program is not here: this says what it was asked, and fails where it has no token.
GH = '#!/bin/sh\n[ -n "$GH_TOKEN" ] && echo "$@" >> "$ASKED"\n'


class Workflow:
    """The workflow as its machine runs it: a repository with a remote, and every step of a job in order."""

    def __init__(self, folder, index, hub, github):
        self.folder, self.remote, self.told = (
            folder,
            folder / "remote.git",
            yaml.safe_load((ROOT / ".github" / "workflows" / "models.yml").read_text()),
        )
        self.summary, self.asked, self.runs = folder / "summary.md", folder / "asked.txt", 0
        self.values = {"vars.HUB_ORG": "org", "github.token": "SENTINEL-github-token"}
        work, tools = folder / "work", folder / "tools"
        work.mkdir()
        tools.mkdir()
        for name in SOURCES:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
            copy(ROOT / name, work / name)
        shutil.copytree(index, work / "model_index")
        (tools / "gh").write_text(GH)
        (tools / "gh").chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if name in ("LANG", "TMPDIR")}
        self.environment = kept | {
            "PATH": f"{tools}:/usr/bin:/bin", "HOME": str(folder / "home"), "ASKED": str(self.asked),
            "OMP_NUM_THREADS": "1", "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0",
            "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
            "GITHUB_ACTIONS": "true", "GITHUB_REF_NAME": "main", "GITHUB_WORKFLOW": "models",
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_STEP_SUMMARY": str(self.summary), "GIT_CONFIG_NOSYSTEM": "1",
        }  # fmt: skip
        self.identity = {
            "ACTIONS_ID_TOKEN_REQUEST_URL": github.url,
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": REQUEST_TOKEN,
        }
        self.git("init", "-q", "--bare", "--initial-branch=main", self.remote)
        self.git("init", "-q", "--initial-branch=main", work)
        self.git("-C", work, "remote", "add", "origin", self.remote)

    def git(self, *words):
        """Run git as somebody, with no settings of this machine; return what it prints."""
        who = ("-c", "user.name=a", "-c", "user.email=a@b.example")
        environment = self.environment | {"GIT_CONFIG_GLOBAL": os.devnull}
        done = subprocess.run(
            ["git", *who, *words], env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout

    def push(self):
        """Commit what the folder holds, as whoever changes the index does."""
        self.git("-C", self.folder / "work", "add", "-A")
        self.git("-C", self.folder / "work", "commit", "-q", "-m", "changed")
        self.git("-C", self.folder / "work", "push", "-q", "origin", "main")

    def run(self, job):
        """Run a job on a new machine: whether it is green, and all that it printed."""
        self.runs += 1
        machine, told = self.folder / f"machine-{self.runs}", self.told["jobs"][job]
        make_python(machine / "python")
        environment = self.environment | {"GITHUB_RUN_ID": str(self.runs)} | self.told.get("env", {})
        if told.get("permissions", {}).get("id-token") == "write":
            environment |= self.identity
        environment["PATH"] = f"{machine / 'python' / 'bin'}:{environment['PATH']}"
        environment |= {"REXNET_HUB_CACHE": str(machine / "cache"), "HF_HOME": str(machine / "hf")}
        is_green, printed = True, ""
        for step in told["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                self.git("clone", "-q", self.remote, machine / "checkout")
            elif "uses" in step:
                assert step["uses"].startswith("actions/setup-python@")
            elif is_green or "!cancelled()" in step.get("if", ""):
                stated = {name: self.value(text) for name, text in step.get("env", {}).items()}
                done = subprocess.run(
                    ["bash", "-e", "-c", step["run"]], cwd=machine / "checkout", env=environment | stated,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                )  # fmt: skip
                printed += done.stdout
                is_green &= done.returncode == 0 or step.get("continue-on-error", False)
        assert "SENTINEL" not in printed
        return is_green, printed

    def value(self, text):
        """Put in what GitHub puts in the place of an expression."""
        return re.sub(r"\$\{\{ (\S+) \}\}", lambda found: self.values[found[1]], text)

    def records(self):
        """Read the lock of each branch that came back: branch -> lock."""
        names = self.git("-C", self.remote, "branch", "--format=%(refname:short)").split()
        text = "{}:model_index/lock.json".format
        return {n: json.loads(self.git("-C", self.remote, "show", text(n))) for n in names if n != "main"}


def make_python(folder):
    """Make a Python that has all of this one's libraries, but this package only once it is installed."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    paths = {"base": str(folder), "platbase": str(folder)}
    own = Path(sysconfig.get_path("purelib", "venv", paths))
    (own / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (folder / "bin" / "pip").write_text(f'#!/bin/sh\nexec "{folder}/bin/python" -m pip "$@"\n')
    (folder / "bin" / "pip").chmod(0o755)


@pytest.fixture
def workflow(two_models, hub, github, tmp_path, monkeypatch):
    """The workflow in a repository of two models, whose repos on the Hub trust it."""
    from rexnet_hub.cli import main

    assert main(["lock"]) == 0
    for name in ("small", "second"):
        hub.create(f"org/{name}")
        hub.trusted[f"org/{name}"] = CLAIMS
    monkeypatch.delenv("REXNET_HUB_INDEX")
    made = Workflow(tmp_path, two_models, hub, github)
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
    guide = (ROOT / "docs" / "guides" / "publish.md").read_text()
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
