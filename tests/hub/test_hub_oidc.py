"""A job on GitHub publishes without a stored token: it proves who it is, and the Hub gives one (OIDC)."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from loopback import CLAIMS, REQUEST_TOKEN
from small import built_in_index, built_in_staged

from rexnet_hub.publish.staging import render_for

__all__ = ["built_in_index", "built_in_staged"]

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import logging, sys
from rexnet_hub.cli import main
logging.basicConfig(level=logging.DEBUG)
sys.exit(main(["publish", *sys.argv[1:], "--to", "hf:org", "--apply"]))
"""


def publish(hub, github, sources, tmp_path, **environment):
    """Publish as a job on GitHub does: with no token in its environment."""
    known = dict(
        os.environ, HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path / "home"), HF_HUB_DISABLE_XET="1",
        HF_HUB_DISABLE_TELEMETRY="1", PYTHONPATH=str(ROOT), HF_OIDC_RESOURCE="org",
        GITHUB_ACTIONS="true", ACTIONS_ID_TOKEN_REQUEST_URL=github.url,
        ACTIONS_ID_TOKEN_REQUEST_TOKEN=REQUEST_TOKEN,
    ) | environment  # fmt: skip
    known.pop("HF_TOKEN", None)
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *sources], env=known, capture_output=True, text=True, check=False
    )


def trust(hub, *names, **other):
    """Let a person make the repos, and state in each which job may publish it."""
    for name in names:
        hub.create(f"org/{name}")
        hub.trusted[f"org/{name}"] = CLAIMS | other


@pytest.mark.usefixtures("own_small_index")
def test_a_job_on_github_publishes_without_a_stored_token(hub, github, staged, files, tmp_path):
    """The proof is asked for once, exchanged for a token, and the repo is published; no secret is printed."""
    trust(hub, "small")
    child = publish(hub, github, [staged], tmp_path)
    assert child.returncode == 0, child.stderr
    there = {name: text.encode() for name, text in render_for(staged, "org/small").items()}
    assert there.keys() == {"README.md", "receipt.json"}  # which are rendered for the place
    assert hub.repos["org/small"].files() == files | there
    ((path, authorization),) = github.asked
    assert authorization == f"Bearer {REQUEST_TOKEN}"
    assert parse_qs(urlsplit(path).query)["audience"] == [hub.url]
    assert hub.requests("oauth") == ["POST /oauth/token"]
    assert "SENTINEL" not in child.stdout + child.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("two_models")
def test_each_repo_of_a_run_takes_a_token_of_its_own(hub, github, tmp_path):
    """A token is of one repo alone; two repos, two proofs, two tokens, and both are published."""
    trust(hub, "small", "second")
    child = publish(hub, github, ["small", "second"], tmp_path)
    assert child.returncode == 0, child.stderr
    assert all("model.safetensors" in repo.files() for repo in hub.repos.values())
    assert list(hub.tokens.values()) == ["org/small", "org/second"]
    assert "SENTINEL" not in child.stdout + child.stderr


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.usefixtures("two_models")
def test_a_job_that_is_another_publishes_nothing(hub, github, tmp_path, claim):
    """Where one claim is another than the repo's publisher states, that repo alone is refused."""
    trust(hub, "small", **{claim: "another"})
    trust(hub, "second")
    child = publish(hub, github, ["small", "second"], tmp_path)
    assert child.returncode == 1
    assert "no trusted publisher fits the claims" in child.stderr
    assert [len(repo.commits) for repo in hub.repos.values()] == [1, 2]
    assert "SENTINEL" not in child.stdout + child.stderr


@pytest.mark.usefixtures("own_small_index")
def test_a_proof_that_is_elsewhere_is_not_asked_for_there(hub, github, staged, tmp_path):
    """The address may not lead on to another, even of its own host; one line says so."""
    github.away = github.url.replace("/idtoken", "/elsewhere")
    child = publish(hub, github, [staged], tmp_path)
    assert child.returncode == 1
    assert "leads to http://localhost" in child.stderr
    assert [urlsplit(path).path for path, _ in github.asked] == ["/idtoken"]
    assert hub.repos == {}


@pytest.mark.usefixtures("own_small_index")
def test_a_job_that_may_not_prove_who_it_is_is_told_so(hub, github, staged, tmp_path):
    """Without `id-token: write` GitHub names no address; the client's own words say which line is missing."""
    child = publish(hub, github, [staged], tmp_path, ACTIONS_ID_TOKEN_REQUEST_URL="")
    assert child.returncode == 1
    assert "id-token: write" in child.stderr
    assert github.asked == hub.log == []


NAMED = "https://run.actions.githubusercontent.com/1/idtoken?api-version=2.0"


@pytest.mark.parametrize(
    ("method", "url", "resource", "named", "passes"),
    [
        ("GET", NAMED + "&audience=x", "org/small", NAMED, True),
        ("POST", NAMED, "org/small", NAMED, False),
        ("GET", NAMED, "", NAMED, False),
        ("GET", NAMED, "org/small", "", False),
        ("GET", NAMED.replace("idtoken", "other"), "org/small", NAMED, False),
        ("GET", NAMED.replace("run.", "evil."), "org/small", NAMED, False),
        ("GET", NAMED.replace("com/", "com:8443/"), "org/small", NAMED, False),
        ("GET", NAMED.replace("https", "http"), "org/small", NAMED.replace("https", "http"), False),
        ("GET", NAMED.replace("run", "user:word@run"), "org/small", NAMED, False),
    ],
)
def test_only_the_named_address_gives_the_proof(monkeypatch, method, url, resource, named, passes):
    """Exactly the address that the environment names may be asked, over https, while a proof is wanted."""
    from rexnet_hub.hub.guard import ForeignHostError, refuse_foreign_host

    monkeypatch.setenv("HF_OIDC_RESOURCE", resource)
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", named)
    request = SimpleNamespace(method=method, url=url)
    if passes:
        refuse_foreign_host(request)
        return
    with pytest.raises(ForeignHostError, match="nothing was asked there"):
        refuse_foreign_host(request)
