"""A plan names whatever the Hub would refuse before anything is written; a repo is public only when whole."""

import pytest
from loopback import READ, WRITE

from rexnet_hub.cli import main
from rexnet_hub.errors import PublishError
from rexnet_hub.hub.remote import RemoteRepo, RemoteState
from rexnet_hub.hub.snapshot import RepoFile
from rexnet_hub.patience import Patience
from rexnet_hub.publish import apply_plan, describe_plan, plan_publish, publish_all
from rexnet_hub.publish.local import list_staged
from rexnet_hub.publish.preflight import check_push

QUICK = Patience(step_seconds=5, attempts=3, wait_seconds=0)
FINE = "hf_SENTINELfine0123456789abcdefg"

pytestmark = [
    pytest.mark.usefixtures("own_small_index", "quick_claims"),
    pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"),
]


def publish(staged, **options):
    return apply_plan(plan_publish(staged, "hf:org", patience=QUICK, **options), patience=QUICK)


def rewrite(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("License: MIT", "License: GPL-3.0-only", "'gpl-3.0-only'; it has GPL-3.0"),
        ("License: MIT", "License: Apache 2.0", "'apache 2.0'; it has Apache-2.0"),
        ("License: MIT", "License: Proprietary", "'proprietary'; it has other"),
    ],
)
@pytest.mark.parametrize("answers", [True, False])
def test_a_card_that_the_hub_refuses_is_a_stop(hub, own_small_index, old, new, said, answers):
    """A licence is judged by the Hub, or by its list where it is silent; no repo is left."""
    rewrite(own_small_index / "small.yml", old, new)
    if not answers:
        hub.fault("validate-yaml", "status", status=503, times=-1)
    (outcome,) = publish_all(["small"], "hf:org", apply=True, patience=QUICK)
    assert hub.repos == {}
    stops = "\n".join(outcome.plan.stops)
    assert said in stops
    assert outcome.problem == "\n".join(f"hf:org/small: {stop}" for stop in outcome.plan.stops)
    assert ("the Hub says of the card: " in stops) == answers
    assert ["the Hub did not check" in warning for warning in outcome.plan.warnings] == [True] * (not answers)


def test_validate_says_so_before_there_is_anything_to_publish(own_small_index, capsys):
    """The same two are warnings of the index, at their places, and so fail `--strict`."""
    rewrite(own_small_index / "small.yml", "Dataset: ImageNet", "Dataset: flowers-10")
    assert main(["validate", "--strict", str(own_small_index)]) == 0
    rewrite(own_small_index / "small.yml", "License: MIT", "License: GPL-3.0-only")
    rewrite(own_small_index / "small.yml", "Dataset: flowers-10", "Dataset: Flowers 10")
    capsys.readouterr()
    assert main(["validate", "--strict", str(own_small_index)]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert "small.yml:4:12: warning[refused-by-hub]: the Hub has no licence 'GPL-3.0-only'" in first
    assert "warning[refused-by-hub]: the Hub takes no data set 'Flowers 10'" in second


@pytest.mark.parametrize("answers", [True, False])
def test_a_data_set_that_the_hub_refuses_is_a_stop(hub, answers):
    """So is the id of a data set, in the Hub's own words and in ours; one with a `/` is none."""
    if not answers:
        hub.fault("validate-yaml", "status", status=503, times=-1)
    card = """---
license: mit
model-index: [{name: a, results: [{task: {type: x}, dataset: {name: F, type: DATASET}, metrics: []}]}]
---
"""
    remote = RemoteRepo(repo_id="org/small", patience=QUICK)

    def stops(dataset):
        found = check_push(remote, RemoteState(), {}, card.replace("DATASET", dataset), as_pr=False)
        return [text for kind, text in found if kind == "stop"]

    said = [text.partition("data")[2].partition(";")[0] for text in stops("Flowers 10")]
    assert said == ['set.type" with value "Flowers 10" fails to match the required pattern'] * answers + [
        " set 'Flowers 10'"
    ]
    assert stops("org/flowers.10") == []


def test_what_the_hub_warns_of_is_shown(hub, staged):
    """A warning of the Hub is a line of the plan, cut to one line, said once, and stops nothing."""
    hub.warnings = [{"message": 'The pipeline tag "x"\nis not in the official list'}]
    plan = plan_publish(staged, "hf:org")
    assert plan.stops == ()
    shown = '  warning: the Hub says of the card: The pipeline tag "x" is not in the official list'
    assert shown in describe_plan(plan)
    apply_plan(plan, patience=QUICK)  # where a warning of the client would be an error


RIGHTS = {
    "read only": ("hf:org", READ, {}, "admin", "may only read"),
    "no member": ("hf:strangers", WRITE, {}, "admin", "tester is no member of strangers"),
    "member that reads": ("hf:org", WRITE, {}, "read", "tester may only read in org"),
    "scope of another": ("hf:org", FINE, {"other": ["repo.write"]}, "admin", "not the scope"),
    "scope to read": ("hf:org", FINE, {"org": ["repo.content.read"]}, "admin", "not the scope"),
}


@pytest.mark.parametrize("case", RIGHTS)
def test_a_token_that_may_not_make_the_repo_is_a_stop(hub, staged, case):
    """By whoami: the token's role or scopes, and what its owner may do in the organisation."""
    to, token, scopes, role, said = RIGHTS[case]
    hub.scopes, hub.roles = {FINE: scopes}, {"org": role}
    plan = plan_publish(staged, to, token=token)
    (stop,) = plan.stops
    assert said in stop
    assert "/settings/tokens" in stop or "ask" in stop
    with pytest.raises(PublishError, match=said):
        apply_plan(plan, token=token)
    assert hub.repos == {}
    assert "SENTINEL" not in "\n".join(describe_plan(plan))


def test_a_scope_to_write_there_is_enough(hub, staged, files):
    """A fine-grained token with `repo.write` in the organisation publishes."""
    hub.scopes = {FINE: {"org": ["repo.content.read", "repo.write"]}}
    plan = plan_publish(staged, "hf:org", token=FINE)
    assert (plan.stops, plan.warnings) == ((), ())
    apply_plan(plan, token=FINE, patience=QUICK)
    assert hub.repos["org/small"].files() == files


@pytest.mark.parametrize("token", [READ, FINE])
def test_a_token_that_may_not_write_to_a_repo_that_is_there(hub, staged, token):
    """Of a repo that exists the Hub itself says whether the token may write there."""
    hub.create("org/small")
    hub.scopes = {FINE: {"other": ["repo.write"]}}
    (stop,) = plan_publish(staged, "hf:org", token=token).stops
    assert stop == "the token may not write to it; use one that may"
    assert plan_publish(staged, "hf:org", token=WRITE).stops == ()


@pytest.mark.parametrize("is_there", [True, False])
def test_without_a_token_a_plan_is_made_and_says_what_it_did_not_check(hub, staged, monkeypatch, is_there):
    """A plan of a public repo needs no token; whether one may write is then noted as not checked."""
    if is_there:
        hub.create("org/small")
    monkeypatch.delenv("HF_TOKEN")
    plan = plan_publish(staged, "hf:org")
    assert plan.stops == ()
    assert plan.warnings == ("there is no token: whether one may write there was not checked",)


@pytest.mark.parametrize("status", [403, 404, 429, 500])
def test_a_hub_that_does_not_say_whose_token_it_is(hub, staged, status):
    """A token of which whoami says nothing, such as a trusted publisher's, is noted, not refused."""
    hub.fault("whoami", "status", status=status, times=-1)
    plan = plan_publish(staged, "hf:org", patience=QUICK)
    assert plan.stops == ()
    (warning,) = plan.warnings
    assert "not checked for the right to write" in warning
    assert ("asks to wait" if status == 429 else str(status)) in warning


def test_a_run_asks_once_whose_token_it_is(hub, staged):
    """The Hub limits that question strictly: several plans in a row ask it once."""
    for name in ("small", "second", "third"):
        plan_publish(staged, f"hf:org/{name}")
    assert len(hub.requests("whoami")) == 1


def test_a_renamed_repo_is_a_stop(hub, staged):
    """A repo that answers by another id was renamed: the plan says to which, and nothing is sent."""
    hub.create("org/newer")
    hub.moved["org/small"] = "org/newer"
    plan = plan_publish(staged, "hf:org")
    assert plan.stops == ("it was renamed to org/newer; publish to hf:org/newer",)
    assert len(hub.repos["org/newer"].commits) == 1


def test_a_file_beyond_the_hubs_limit_is_a_stop(hub, staged, monkeypatch):
    """The Hub takes no file of more than 500 GB; the plan says so before an hour of upload."""
    assert plan_publish(staged, "hf:org").stops == ()

    def with_huge_weights(folder):
        files = list_staged(folder)
        weights = files["model.safetensors"]
        huge = RepoFile(size_bytes=500 * 10**9 + 1, sha256=weights.sha256, git_id=weights.git_id)
        return files | {"model.safetensors": huge}

    monkeypatch.setattr("rexnet_hub.publish.plan.list_staged", with_huge_weights)
    (stop,) = plan_publish(staged, "hf:org").stops
    assert stop == "model.safetensors has 500000000001 bytes, and the Hub takes at most 500000000000 a file"


def test_a_new_repo_is_private_until_all_is_there(hub, staged, files):
    """It is made private, and is public only after commit, read-back and tag; the mark of it is gone."""
    seen = []
    for on in ("POST .*/commit/", "GET /org/small/", "POST .*/tag/", "PUT .*/settings"):
        hub.fault(on, "before", call=lambda: seen.append(hub.repos["org/small"].private))
    plan = plan_publish(staged, "hf:org")
    assert "  public, once all is there, licence mit" in describe_plan(plan)
    apply_plan(plan)
    repo = hub.repos["org/small"]
    assert seen == [True] * 4
    assert (repo.private, repo.files(), len(repo.tags), list(repo.branches)) == (False, files, 1, ["main"])
    assert plan_publish(staged, "hf:org").is_done


def test_a_failed_first_publication_leaves_a_private_repo_and_the_next_ends_it(hub, staged, files):
    """Refused at the commit, nobody sees an empty repo; the plan says what is left, and then it is public."""
    hub.fault("POST .*/commit/", "status", status=403)
    with pytest.raises(Exception, match="may not do that"):
        publish(staged)
    repo = hub.repos["org/small"]
    assert (repo.private, repo.files()) == (True, {})
    plan = plan_publish(staged, "hf:org")
    assert (plan.visibility, plan.is_done) == ("public", False)
    publish(staged)
    assert (repo.private, repo.files(), list(repo.branches)) == (False, files, ["main"])


def test_a_repo_that_was_made_private_on_purpose_stays_so(hub, staged):
    """By its owner after a publication, by `private`, or empty and by hand: no later run turns it public."""
    publish(staged)
    repo = hub.repos["org/small"]
    repo.private = True
    (staged / "README.md").write_text((staged / "README.md").read_text() + "\nmore\n")
    publish(staged)
    assert (repo.private, len(repo.tags)) == (True, 2)
    publish_all([str(staged)], "hf:org/second", apply=True, private=True, patience=QUICK)
    publish_all([str(staged)], "hf:org/second", apply=True, patience=QUICK)
    assert hub.repos["org/second"].private
    hub.create("org/third", private=True)
    plan = plan_publish(staged, "hf:org/third")
    assert plan.warnings == (
        f"the repo is there, empty and private, and stays private; {hub.url}/org/third/settings changes that",
    )
    apply_plan(plan)
    assert hub.repos["org/third"].private


def test_private_wins_over_a_publication_that_was_not_finished(hub, staged):
    """A run with `private` ends what one without it began, and leaves the repo private for good."""
    hub.fault("PUT .*/settings", "status", status=403)
    with pytest.raises(Exception, match="may not do that"):
        publish(staged)
    publish(staged, private=True)
    publish(staged)
    repo = hub.repos["org/small"]
    assert (repo.private, list(repo.branches)) == (True, ["main"])
