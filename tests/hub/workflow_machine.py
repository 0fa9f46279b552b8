"""Run a workflow of this repository as its machine does: fresh clones, the wheel, every step of a job."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import yaml
from loopback import REQUEST_TOKEN

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "LICENSE", "CHANGELOG.md", "docs")
SOURCES = (
    "rexnet_hub",
    "mkdocs.yml",
    "pyproject.toml",
    "constraints.txt",
    ".github",
    ".gitignore",
    *DOCUMENTS,
)
#: GitHub's own program is not here: this says what it was asked, and fails where it has no token.
GH = '#!/bin/sh\n[ -n "$GH_TOKEN" ] && echo "$@" >> "$ASKED"\n'


class Workflow:
    """The workflow as its machine runs it: a repository with a remote, and every step of a job in order.

    `github` gives the proof of who runs, where a job asks for it; `gh` stands for GitHub's own program.
    """

    def __init__(self, name, folder, index, hub, github=None, gh=GH):
        self.folder, self.remote, self.told = (
            folder,
            folder / "remote.git",
            yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text()),
        )
        self.summary, self.asked, self.runs = folder / "summary.md", folder / "asked.txt", 0
        self.values = {"vars.HUB_ORG": "org", "github.token": "SENTINEL-github-token"}
        self.values["github.repository"] = "org/zoo"
        work, tools = folder / "work", folder / "tools"
        work.mkdir()
        tools.mkdir()
        for name in SOURCES:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
            copy(ROOT / name, work / name)
        shutil.copytree(index, work / "model_index")
        (tools / "gh").write_text(gh)
        (tools / "gh").chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if name in ("LANG", "TMPDIR")}
        self.environment = kept | {
            "PATH": f"{tools}:/usr/bin:/bin", "HOME": str(folder / "home"), "ASKED": str(self.asked),
            "OMP_NUM_THREADS": "1", "PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0",
            "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
            "GITHUB_ACTIONS": "true", "GITHUB_REF_NAME": "main", "GITHUB_WORKFLOW": name,
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_STEP_SUMMARY": str(self.summary), "GIT_CONFIG_NOSYSTEM": "1",
        }  # fmt: skip
        self.identity = {
            "ACTIONS_ID_TOKEN_REQUEST_URL": github.url if github else "",
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
        environment["RUNNER_TEMP"] = str(machine)
        is_green, printed = True, ""
        for step in told["steps"]:
            if "uses" in step:
                if is_green:
                    self.use(step, machine / "checkout")
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

    def use(self, step, checkout):
        """Do what an action does: an artifact is a folder here, as its machine packs it."""
        action, given = step["uses"].partition("@")[0].removeprefix("actions/"), step.get("with", {})
        artifact = self.folder / "artifacts" / given.get("name", "github-pages")
        if action == "checkout":
            self.git("clone", "-q", "--branch", self.environment["GITHUB_REF_NAME"], self.remote, checkout)
        elif action in ("upload-artifact", "upload-pages-artifact"):
            shutil.rmtree(artifact, ignore_errors=True)
            shutil.copytree(checkout / given["path"], artifact, ignore=shutil.ignore_patterns(".git"))
        elif action == "download-artifact":
            shutil.copytree(artifact, checkout / given["path"])
        else:
            assert action in ("setup-python", "configure-pages", "deploy-pages")

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
