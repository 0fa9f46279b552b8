"""The workflows give each job what it needs and no more, run nothing unpinned, and are well formed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).resolve().parent.parent / ".github"
FILES = sorted((FOLDER / "workflows").glob("*.yml"))
#: The one job of each workflow that may write somewhere, with what, and in which environment.
WRITING = {
    "contact": ("contact", {"contents": "write", "pull-requests": "write"}, None),
    "docs": ("deploy", {"contents": "write", "pages": "write", "id-token": "write"}, "github-pages"),
    "models": ("publish", {"contents": "write", "id-token": "write", "pull-requests": "write"}, "hub"),
    "release": ("publish", {"id-token": "write"}, "pypi"),
    "watch": ("watch", {"contents": "read", "issues": "write"}, None),
}


def read(name):
    return yaml.safe_load((FOLDER / "workflows" / f"{name}.yml").read_text())


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def workflow(request):
    """Give each workflow."""
    return read(request.param.stem)


@pytest.fixture
def models():
    """Give the workflow that publishes models."""
    return read("models")


def scripts_of(job):
    return [step.get("run", "") for step in job["steps"]]


def test_every_action_is_pinned_to_a_commit(workflow):
    """What others wrote runs at one commit, not at a tag that may move."""
    used = [step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action) for action in used)


def test_no_expression_of_others_is_in_a_script(workflow):
    """Text that a pull request can choose is never put into a shell."""
    assert all("${{" not in script for job in workflow["jobs"].values() for script in scripts_of(job))


def test_a_workflow_may_only_read(workflow):
    """By default a job reads this repository, leaves no token behind, and ends."""
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"] == {"persist-credentials": False}


def test_what_is_granted_is_of_one_job_in_an_environment():
    """Only the jobs that publish site, models and package, or bring back what they found, may do more."""
    granted = {
        (file.stem, name): job["permissions"]
        for file in FILES
        for name, job in read(file.stem)["jobs"].items()
        if "write" in job.get("permissions", {}).values()
    }
    assert granted == {(name, job): rights for name, (job, rights, _) in WRITING.items()}
    for name, (job, _, environment) in WRITING.items():
        found = read(name)["jobs"][job]
        given = found.get("environment")
        assert (given["name"] if isinstance(given, dict) else given) == environment
        assert found.get("needs") in (("build", "check") if environment else (None,))
        assert "secrets." not in yaml.safe_dump(read(name))


@pytest.mark.parametrize(("name", "step"), [("watch", "Issue"), ("contact", "Record")])
def test_the_token_of_what_asks_others_is_of_one_step(name, step):
    """What is installed and what others say never runs beside it; only main's own schedule starts it."""
    told = read(name)
    steps = told["jobs"][name]["steps"]
    assert [each.get("name") for each in steps if "token" in yaml.safe_dump(each.get("env", {}))] == [step]
    assert set(told[True]) == {"schedule", "workflow_dispatch"}
    assert told[True]["workflow_dispatch"] is None  # no input that somebody would have to heed


def test_the_token_is_of_one_step_on_main(models):
    """Models are published on a push to main; only the step that brings the record has the job's token."""
    job = models["jobs"]["publish"]
    steps = [step["name"] for step in job["steps"] if "token" in yaml.safe_dump(step.get("env", {})).lower()]
    assert steps == ["Record"]
    assert "github.event_name == 'push'" in job["if"]
    assert models[True]["push"]["branches"] == ["main"]  # YAML 1.1 reads `on` as true


def test_only_the_publishing_job_applies(models):
    """A pull request validates, verifies and plans; nothing it runs writes to a Hub."""
    commands = {name: "\n".join(scripts_of(job)) for name, job in models["jobs"].items()}
    assert "--apply" not in commands["check"]
    assert all(word in commands["check"] for word in ("validate", "verify", "publish", "GITHUB_STEP_SUMMARY"))
    assert "--apply" in commands["publish"]


def test_no_name_is_an_option_of_a_command(models):
    """Names are listed one a line, of a valid index only, and taken line by line after `--`."""
    for job in models["jobs"].values():
        script = "\n".join(scripts_of(job))
        assert script.index("validate --strict") < script.index("list --names > models.txt")
        (line,) = [line for line in script.splitlines() if "xargs" in line]
        assert re.match(r"xargs -d '\\n' rexnet-hub publish .* -- < models\.txt", line)


@pytest.mark.skipif(sys.platform != "linux", reason="the workflow's xargs is GNU's")
def test_the_workflows_line_passes_names_as_they_are(models, tmp_path):
    """A name that looks like an option or like several words reaches the program as one word."""
    names = ["--drop-edits", "a --apply", "it's", 'a"b', "x\\y", "$(touch ran)"]
    (tmp_path / "models.txt").write_text("".join(f"{name}\n" for name in names))
    (tmp_path / "rexnet-hub").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    (tmp_path / "rexnet-hub").chmod(0o755)
    for job in models["jobs"].values():
        (line,) = [line for script in scripts_of(job) for line in script.splitlines() if "xargs" in line]
        environment = {
            "PATH": f"{tmp_path}:/usr/bin:/bin",
            "HUB_ORG": "o",
            "GITHUB_STEP_SUMMARY": "/dev/stdout",
        }
        done = subprocess.run(
            ["bash", "-ec", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        words = done.stdout.splitlines()
        assert words[words.index("--") + 1 :] == names


def test_the_tests_run_on_every_python_that_is_promised():
    """The matrix begins at the lowest Python that the package installs on, on Linux and macOS."""
    matrix = read("tests")["jobs"]["tests"]["strategy"]["matrix"]
    project = (FOLDER.parent / "pyproject.toml").read_text()
    assert f'requires-python = ">={matrix["python"][0]}"' in project
    assert matrix["python"] == [f"3.{minor}" for minor in range(11, 15)]
    assert {system.partition("-")[0] for system in matrix["os"]} == {"ubuntu", "macos"}


def test_a_release_is_tried_before_it_is_published():
    """What is uploaded was checked, and used away from the checkout; only a tag starts it."""
    release = read("release")
    assert release[True] == {"push": {"tags": ["v*"]}}
    build = "\n".join(scripts_of(release["jobs"]["build"]))
    assert all(line in build for line in ("twine check --strict", 'rexnet-hub" list', 'rexnet-hub" demo'))


def actionlint(*files):
    """Run the linter of workflows; give its exit code and what it prints."""
    program = shutil.which("actionlint", path=str(Path(sys.executable).parent))
    if program is None:
        assert sys.platform != "linux", "the dev extra brings actionlint: install it anew"
        pytest.skip("actionlint is installed on Linux alone")
    done = subprocess.run(
        [program, "-shellcheck=", "-pyflakes=", *files], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def test_actionlint_finds_nothing():
    """The linter of workflows has nothing to say of any of them."""
    assert actionlint(*FILES) == (0, "")


def test_actionlint_says_no(tmp_path):
    """A job that needs one that is not there is found."""
    (tmp_path / "wrong.yml").write_text(
        (FOLDER / "workflows" / "release.yml").read_text().replace("needs: build", "needs: biuld")
    )
    code, said = actionlint(tmp_path / "wrong.yml")
    assert code == 1
    assert "biuld" in said
