"""Publishing to a Hub is planned first, one commit and one tag after, and says what it would lose."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from loopback import READ, TRANSPORTS

from rexnet_hub.auto import AutoModel
from rexnet_hub.cli import main
from rexnet_hub.errors import HubError, PublishError, UsageError
from rexnet_hub.index import load_index
from rexnet_hub.index.lock import read_lock
from rexnet_hub.patience import Patience
from rexnet_hub.publish import (
    Outcome,
    apply_plan,
    describe_plan,
    outcomes_as_json,
    outcomes_as_markdown,
    outcomes_table,
    plan_publish,
    publish_all,
    record_publication,
)
from rexnet_hub.publish.staging import write_staged

QUICK = Patience(step_seconds=5, attempts=3, wait_seconds=0)

pytestmark = [
    pytest.mark.usefixtures("own_small_index", "quick_claims"),
    # The client hands an LFS file to httpx2 under a name that is going out of use.
    pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"),
]


def publish(staged, **options):
    return apply_plan(plan_publish(staged, "hf:org", patience=QUICK, **options), patience=QUICK)


def kinds(plan):
    return {change.name: change.kind for change in plan.changes}


def rewrite(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_plan_of_a_new_repo_writes_nothing(hub, staged):
    """A first plan adds four files, says that the repo would be made, and asks the Hub about the card."""
    plan = plan_publish(staged, "hf:org")
    assert (plan.head, plan.target, set(kinds(plan).values())) == (None, "hf:org/small", {"add"})
    assert (plan.visibility, plan.license, plan.stops) == ("public", "mit", ())
    assert "it would be made" in "\n".join(describe_plan(plan))
    assert hub.repos == {}
    assert hub.requests("(POST|PUT|DELETE) .") == ["POST /api/validate-yaml"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_applied_is_one_commit_and_one_tag_of_the_staged_bytes(hub, staged, files):
    """After apply: one commit on top of the first, one tag on it, the staged bytes; again changes nothing."""
    published = publish(staged)
    repo = hub.repos["org/small"]
    assert repo.files() == files
    assert [commit.title for _, commit in repo.history(repo.head)][1:] == ["initial commit"]
    assert repo.tags == {published.tag: repo.head}
    assert published.commit == repo.head
    plan = plan_publish(staged, "hf:org")
    assert plan.is_done
    hub.log.clear()
    assert apply_plan(plan).commit == repo.head
    assert len(repo.commits) == 2
    assert hub.requests("(POST|PUT) .") == []


def test_a_plan_asks_once_what_is_there(hub, staged):
    """To merge people's lines, and to plan, is one look at a finished repo: its files, and its tags."""
    publish_all([str(staged)], "hf:org", apply=True, patience=QUICK)
    hub.log.clear()
    (outcome,) = publish_all([str(staged)], "hf:org", patience=QUICK)
    assert outcome.plan.is_done
    assert sorted(line.partition("?")[0] for line in hub.requests()) == [
        "GET /api/models/org/small",
        "GET /api/models/org/small/refs",
    ]


def test_what_was_published_loads_by_name(hub, staged, own_small_index):
    """A publication in the lock makes the model's name load from there, at that commit."""
    plan = plan_publish(staged, "hf:org/another-name")
    published = apply_plan(plan)
    record_publication(plan, published)
    locked = read_lock().of("small")
    assert (locked.hub.repo_id, locked.hub.commit) == ("org/another-name", published.commit)
    assert locked.hub.tag == published.tag
    record_publication(plan, published)  # again: the same commit is one publication
    (publication,) = read_lock().of("small").published
    assert (publication.commit, publication.tag) == (published.commit, published.tag)
    assert publication.weights_sha256 == locked.safetensors.sha256
    hub.log.clear()
    AutoModel.from_pretrained("small")
    assert hub.requests(f"HEAD /org/another-name/resolve/{published.commit}/model.safetensors")


def test_a_second_plan_shows_files_fields_metrics_and_tag(hub, staged, own_small_index, tmp_path):
    """Changed metrics and licence are shown old and new; changed and kept files with their digests."""
    publish(staged)
    before = hashlib.sha256((staged / "README.md").read_bytes()).hexdigest()
    rewrite(own_small_index / "small.yml", "77.86%", "78.5%")
    plan = plan_publish(restaged(own_small_index, tmp_path), "hf:org")
    assert kinds(plan) == {
        "README.md": "change",
        "config.json": "change",
        "model.safetensors": "keep",
        "receipt.json": "change",
    }
    told = {field.name: (field.old, field.new) for field in plan.fields}
    assert told["license"] == ("mit", "apache-2.0")
    weights = next(change for change in plan.changes if change.name == "model.safetensors")
    assert weights.old_digest == weights.new_digest == f"sha256:{plan.files['model.safetensors'].sha256}"
    card = next(change for change in plan.changes if change.name == "README.md")
    assert (card.old_digest, card.new_digest) == (
        f"sha256:{before}",
        f"sha256:{plan.files['README.md'].sha256}",
    )
    (line,) = (line for line in describe_plan(plan) if "~ README.md" in line)
    assert line.split()[3:] == [before[:12], "->", plan.files["README.md"].sha256[:12]]
    (outcome,) = json.loads(outcomes_as_json([Outcome(source="small", plan=plan)]))
    told = outcome["plan"]
    digests = [change[f"{age}_digest"] for change in told["changes"] for age in ("old", "new")]
    assert all(digest.startswith("sha256:") for digest in digests)
    assert plan.head == hub.repos["org/small"].head
    assert plan.stops == ()
    first_tag = next(iter(hub.repos["org/small"].tags))
    published = apply_plan(plan)
    assert set(hub.repos["org/small"].tags) == {first_tag, published.tag}


def restaged(index, tmp_path):
    """Stage the model anew, under another licence."""
    rewrite(index / "small.yml", "License: MIT", "License: Apache-2.0")
    entry = load_index().find("small")
    released = Path(unquote(urlsplit(entry.released.url).path))
    return write_staged(entry, released, tmp_path / "new" / "small").folder


@pytest.mark.parametrize("times", [1, 9])
def test_a_card_that_is_served_damaged_is_not_a_persons(hub, staged, own_small_index, tmp_path, times):
    """A flipped bit in the card that is read is no edit: it is read again, and twice wrong is said."""
    publish(staged)
    again = restaged(own_small_index, tmp_path)
    hub.fault("GET .*/resolve/.*README.md", "flip", times=times)
    if times == 1:
        assert plan_publish(again, "hf:org").edits == ()
        return
    with pytest.raises(
        HubError, match=r"README\.md at .* reads otherwise than the Hub records it; run it again"
    ):
        plan_publish(again, "hf:org")


def test_metrics_that_change_are_named():
    """A metric of the card's model-index is compared by data set and name."""
    from rexnet_hub.pages.edits import compare_cards

    def card(value):
        metric = {"type": "accuracy", "name": "Top 1 Accuracy", "value": value}
        results = [{"dataset": {"name": "ImageNet-1k"}, "metrics": [metric]}]
        return "---\n" + json.dumps({"model-index": [{"name": "small", "results": results}]}) + "\n---\n"

    (change,) = compare_cards(card(77.86), card(78.5))
    assert (change.name, change.old, change.new) == ("ImageNet-1k: Top 1 Accuracy", "77.86", "78.5")


def test_two_results_of_one_name_are_both_shown():
    """Two results with a metric of one name: a change of the first is not hidden by the second."""
    from rexnet_hub.pages.edits import compare_cards

    def card(*values):
        metrics = [{"type": "accuracy", "value": value} for value in values]
        results = [{"dataset": {"name": "Pets"}, "metrics": [metric]} for metric in metrics]
        return "---\n" + json.dumps({"model-index": [{"results": results}]}) + "\n---\n"

    (change,) = compare_cards(card(1, 2), card(3, 2))
    assert (change.name, change.old, change.new) == ("Pets: accuracy", "1, 2", "3, 2")


def test_a_hostile_card_at_the_target_is_text(hub, staged):
    """A card there whose metadata cannot be read stops nobody's plan with a traceback."""
    for bad in ("date: 2024-13-45", "a: [" * 3000, "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]"):
        hub.create("org/small", {"README.md": f"---\n{bad}\n---\n# theirs\n".encode()})
        plan = plan_publish(staged, "hf:org", drop_edits=True)
        assert "license" in {field.name for field in plan.fields}
        assert plan.stops == ()
    hub.create("org/small", {"README.md": b'---\nlicense: "\\e[2J"\n---\n# \x1b]0;theirs\x07\n'})
    lines = "\n".join(describe_plan(plan_publish(staged, "hf:org")))
    assert r"card license: \x1b[2J -> mit" in lines
    assert r"written there: # \x1b]0;theirs\x07" in lines
    assert "\x1b" not in lines


def test_a_run_is_json_and_markdown(hub, staged):
    """A run for machines has stable keys, what failed too, and one for a CI's summary is inert."""
    plan = plan_publish(staged, "hf:org")
    done, failed = publish_all([str(staged), "nobody"], "hf:org", apply=True, patience=QUICK)
    first, second = json.loads(outcomes_as_json([done, failed]))
    assert first.keys() == second.keys() == {"source", "plan", "published", "problem", "is_tried"}
    assert first["published"] == {
        "place": "hf:org/small",
        "commit": hub.repos["org/small"].head,
        "tag": done.plan.tag,
        "request": None,
    }
    assert (second["plan"], "no model is named" in second["problem"]) == (None, True)
    told = first["plan"]
    assert told["target"] == "hf:org/small"
    assert told["changes"][0].keys() == {"kind", "name", "size_bytes", "old_digest", "new_digest"}
    assert told["files"]["config.json"]["size_bytes"] == (staged / "config.json").stat().st_size
    odd = replace(plan, edits=("````", "<b>bold</b>"))
    lines = outcomes_as_markdown([Outcome(source="small", plan=odd), failed]).splitlines()
    assert [line for line in lines if "````" in line] == ["````text", "````"] * 2
    assert lines.index("  written there: <b>bold</b>") < lines.index("````")
    assert f"error: nobody: {failed.problem}" in lines


def test_a_moved_head_is_refused(hub, staged):
    """A commit after the plan is not overwritten."""
    publish(staged)
    (staged / "README.md").write_text((staged / "README.md").read_text() + "\nmore\n")
    plan = plan_publish(staged, "hf:org")
    hub.push("org/small", {"notes.txt": b"mine"})
    head = hub.repos["org/small"].head
    with pytest.raises(PublishError, match="changed since the plan was made"):
        apply_plan(plan)
    assert hub.repos["org/small"].head == head


def test_a_changed_staged_folder_is_refused(hub, staged):
    """What was not planned is not published."""
    plan = plan_publish(staged, "hf:org")
    (staged / "README.md").write_text((staged / "README.md").read_text() + "\nmore\n")
    with pytest.raises(PublishError, match="changed since the plan"):
        apply_plan(plan)
    assert hub.repos == {}


def test_a_tag_is_never_moved(hub, staged):
    """A tag that is on another commit stops a plan."""
    publish(staged, tag="v1")
    first = hub.repos["org/small"].head
    (staged / "README.md").write_text((staged / "README.md").read_text() + "\nmore\n")
    plan = plan_publish(staged, "hf:org", tag="v1")
    assert "the tag v1 is on" in plan.stops[0]
    with pytest.raises(PublishError, match="is never moved"):
        apply_plan(plan)
    assert hub.repos["org/small"].tags == {"v1": first}
    assert publish(staged, tag="v2").tag == "v2"


def test_a_false_claim_is_not_published(hub, staged):
    """A claim of the staged repo that is false stops the plan by its name."""
    rewrite(staged / "config.json", '"crop_pct": 0.875', '"crop_pct": 0.9')
    with pytest.raises(PublishError, match=r"crop_pct is false: stated 0\.875, found 0\.9"):
        publish(staged)
    assert hub.repos == {}


def test_lines_that_a_person_wrote_are_not_lost(hub, staged, own_small_index, tmp_path):
    """An edit of the card in the Hub's editor stops the next publication, with the lines, unless let go."""
    publish(staged)
    card = (staged / "README.md").read_text()
    hub.push("org/small", {"README.md": (card + "\nTrained by us, with care.\n").encode()})
    staged = restaged(own_small_index, tmp_path)
    plan = plan_publish(staged, "hf:org")
    assert plan.edits == ("Trained by us, with care.",)
    assert "written there: Trained by us, with care." in "\n".join(describe_plan(plan))
    with pytest.raises(PublishError, match="would lose 1 line"):
        apply_plan(plan)
    assert b"with care" in hub.repos["org/small"].files()["README.md"]
    assert publish(staged, drop_edits=True)
    assert b"with care" not in hub.repos["org/small"].files()["README.md"]


def test_our_own_old_lines_are_not_a_persons(hub, staged, own_small_index, tmp_path):
    """What we published ourselves may change without asking."""
    publish(staged)
    plan = plan_publish(restaged(own_small_index, tmp_path), "hf:org")
    assert kinds(plan)["README.md"] == "change"
    assert (plan.edits, plan.stops) == ((), ())


def test_a_card_that_we_never_wrote_is_a_persons(hub, staged):
    """A repo that somebody else made keeps its card's lines until they are let go."""
    hub.create("org/small", {"README.md": b"---\nlicense: mit\n---\n# Somebody's own words\n"})
    assert plan_publish(staged, "hf:org").edits == ("# Somebody's own words",)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_pull_request_is_opened_once(hub, staged, files):
    """With `as_pr` main stays, a request with the files is open, and a second run finds it."""
    hub.create("org/small")
    repo = hub.repos["org/small"]
    head = repo.head
    first = publish(staged, as_pr=True, token=READ)
    second = publish(staged, as_pr=True, token=READ)
    assert first.request == second.request == "refs/pr/1"
    assert (repo.head, len(repo.prs), repo.tags) == (head, 1, {})
    assert repo.files("refs/pr/1") == files
    with pytest.raises(PublishError, match="no repo to open a pull request in"):
        apply_plan(plan_publish(staged, "hf:org/none", as_pr=True))


def test_a_request_is_said_to_be_proposed(hub, staged, capsys):
    """Nobody reads of a pull request that it is published."""
    hub.create("org/small")
    assert main(["publish", str(staged), "--to", "hf:org", "--pr", "--apply"]) == 0
    out = capsys.readouterr().out
    assert re.search(r" proposed +hf:org/small@\w+ \(refs/pr/1\)\n", out)
    assert "published" not in out


def test_a_private_repo_is_made_private(hub, staged):
    """Visibility is planned, and is that of a repo that exists already."""
    assert plan_publish(staged, "hf:org", private=True).visibility == "private"
    publish(staged, private=True)
    assert hub.repos["org/small"].private
    assert plan_publish(staged, "hf:org").visibility == "private"


def test_several_are_one_run(hub, staged, tmp_path, monkeypatch):
    """One that fails leaves the others done, and the table says both; several cannot share a name."""
    outcomes = publish_all(
        ["small", "nobody", str(staged)], "hf:org", apply=True, patience=QUICK, record=True
    )
    assert [bool(outcome.published) for outcome in outcomes] == [True, False, True]
    assert "no model is named 'nobody'" in outcomes[1].problem
    lines = outcomes_table(outcomes).splitlines()
    assert lines[2].split()[:2] == ["small", "published"]
    assert lines[3].split(maxsplit=2) == ["nobody", "error", outcomes[1].problem]
    assert read_lock().of("small").hub.commit == outcomes[2].published.commit
    with monkeypatch.context() as full:
        full.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
        first, second = publish_all(["small", str(staged)], tmp_path / "repos", apply=True)
    assert "nowhere" in first.problem
    assert second.published
    with pytest.raises(UsageError, match="names one repo, 2 are"):
        publish_all(["a", "b"], "hf:org/one")
    with pytest.raises(UsageError, match="hf:org/a/b: is no target"):  # told once
        publish_all(["a", "b"], "hf:org/a/b")


REFUSALS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "no token": ({"token": False}, HubError, "there is no token .*; log in"),
    "wrong token": ({"token": "hf_SENTINELwrong00"}, HubError, "the token is not valid"),
    "no write right": ({"token": READ}, PublishError, "may only read"),
    "no right there": ({"to": "hf:strangers"}, PublishError, "no member of strangers"),
    "an address": ({"to": "https://huggingface.co/org"}, UsageError, "is no target"),
    "bad id": ({"to": "hf:org/a--b"}, UsageError, "is no target"),
    "bad target": ({"to": "hf:org//"}, UsageError, "is no target"),
    "capitals": ({"to": "HF:org"}, UsageError, "is no target"),
    "a token of two lines": ({"token": "SENTINEL\n SENTINEL"}, HubError, "the token has a character that no"),
    "a token with an accent": ({"token": "hf_SENTINELé"}, HubError, "the token has a character that no"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_each_refusal_says_what_to_do(hub, staged, case):
    """Each is one line of ours, without a token, and nothing is changed."""
    options, kind, said = REFUSALS[case]
    options = {"to": "hf:org", "token": None} | options

    def attempt():
        plan = plan_publish(staged, options["to"], token=options["token"], patience=QUICK)
        apply_plan(plan, token=options["token"], patience=QUICK)

    with pytest.raises(kind, match=said) as caught:
        attempt()
    assert "\n" not in str(caught.value)
    assert "SENTINEL" not in str(caught.value)
    assert hub.repos == {}


@pytest.mark.parametrize("tag", ["v 1", "v..1", "-v1", "v1.lock", "v1/", "v~1", "a/.b", "v:1"])
def test_a_tag_that_git_would_refuse_is_refused_first(hub, staged, tag):
    """Before anything is asked: else the commit would be there, and never be tagged."""
    with pytest.raises(UsageError, match="git takes no such tag"):
        plan_publish(staged, "hf:org", tag=tag)
    assert hub.requests() == []
    assert plan_publish(staged, "hf:org", tag="release/v1.1-rc_2").stops == ()


def test_a_file_of_this_machine_is_not_published_to_a_real_hub(hub, staged, tmp_path, monkeypatch):
    """An entry whose Weights nobody else can fetch stops a plan, unless the Hub is of this machine too."""
    assert plan_publish(staged, "hf:org").stops == ()
    monkeypatch.setattr("rexnet_hub.publish.plan.is_loopback", lambda url: False)
    monkeypatch.setattr("rexnet_hub.publish.plan.require_trained", lambda place, stand_in: None)
    plan = plan_publish(staged, "hf:org")
    assert [stop.partition(":")[0] for stop in plan.stops] == ["its Weights address is of this machine"]
    assert "`add FILE --to hf:ORG`" in plan.stops[0]
    with pytest.raises(PublishError, match="of this machine: file:///"):
        apply_plan(plan)
    assert plan_publish(staged, tmp_path / "hub").stops == ()
