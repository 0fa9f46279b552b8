"""A Hub that says yes and has not done it: each act is seen to be done, or the run says what is not."""

import pytest
from loopback import READ
from test_hub_publish_faults import (
    COMMIT,
    CREATE,
    MARK,
    QUICK,
    SETTINGS,
    TAG,
    UNMARK,
    assert_ends_right,
    assert_old_or_new,
    publish,
)

from rexnet_hub.errors import HubError, PublishError
from rexnet_hub.publish import apply_plan, plan_publish

pytestmark = [
    pytest.mark.usefixtures("own_small_index", "quick_claims"),
    pytest.mark.filterwarnings("ignore:Use 'content=<...>' to upload raw bytes:DeprecationWarning"),
]

#: What a first publication asks for, and what is said where the Hub's yes is not so.
ACTS = {
    CREATE: "it was made",
    MARK: "it has a branch not-yet-public",
    COMMIT: "it has the commit",
    TAG: "it was tagged files-",
    SETTINGS: "it is public",
    UNMARK: "it lost its branch not-yet-public",
}


@pytest.mark.parametrize("on", ACTS)
@pytest.mark.parametrize("times", [1, -1])
def test_a_yes_is_seen_to_be_so(hub, staged, files, on, times):
    """Said once and not done, it is asked for again; said for ever, the run says what is not done.

    The next run ends it. A repo that could not be marked is not told from one that is private on purpose.
    """
    hub.fault(on, "yes", times=times)
    if times == 1:
        publish(staged)
    else:
        with pytest.raises(HubError, match=f"the Hub says that {ACTS[on]}.*, and it is not so") as caught:
            publish(staged)
        assert "\n" not in str(caught.value)
    assert_old_or_new(hub, files)
    hub.faults.clear()
    assert_ends_right(hub, staged, files, is_private=(on, times) == (MARK, -1))


def test_a_pull_request_is_seen_to_be_open(hub, staged, files):
    """A request that the Hub says to have opened is looked for; then one is opened, not two."""
    hub.create("org/small")
    hub.fault(COMMIT, "yes", times=-1)
    plan = plan_publish(staged, "hf:org", as_pr=True, token=READ, patience=QUICK)
    with pytest.raises(HubError, match="the Hub says that it has the pull request, and it is not so"):
        apply_plan(plan, token=READ, patience=QUICK)
    hub.faults.clear()
    assert apply_plan(plan, token=READ, patience=QUICK).request == "refs/pr/1"
    assert len(hub.repos["org/small"].prs) == 1


@pytest.mark.parametrize("private", [True, False])
def test_a_repo_that_is_made_public_gets_no_file(hub, staged, private):
    """Asked to make it private, the Hub makes it public: that is said, and nothing is sent there."""
    hub.fault(CREATE, "after", call=lambda: setattr(hub.repos["org/small"], "private", False))
    plan = plan_publish(staged, "hf:org", private=private, patience=QUICK)
    with pytest.raises(PublishError, match=r"was to be private and is public; .*/org/small/settings changes"):
        apply_plan(plan, patience=QUICK)
    assert hub.repos["org/small"].files() == {}


def test_a_commit_that_is_on_no_branch_is_made_again(hub, staged, files):
    """The Hub gives a commit that is not the head: only what the head holds is published."""

    def put_back():
        repo = hub.repos["org/small"]
        repo.branches["main"] = repo.commits[repo.head].parent

    hub.fault(COMMIT, "after", call=put_back)
    published = publish(staged)
    repo = hub.repos["org/small"]
    assert (repo.files(), published.commit) == (files, repo.head)
    assert repo.tags == {published.tag: repo.head}
    assert len(list(repo.history(repo.head))) == 2


def test_a_tag_that_was_set_elsewhere_is_said(hub, staged):
    """The Hub tags another commit than asked for: the repo stays private, and the line says where it is."""

    def move():
        repo = hub.repos["org/small"]
        repo.tags = dict.fromkeys(repo.tags, repo.commits[repo.head].parent)

    hub.fault(TAG, "after", call=move)
    with pytest.raises(PublishError, match=r"the tag files-.* is on [0-9a-f]{40}, and is not moved"):
        publish(staged)
    assert hub.repos["org/small"].private


def test_a_repo_that_is_gone_in_the_end_is_not_published(hub, staged):
    """Turned public, and gone: it is not said to be published."""
    hub.fault(SETTINGS, "after", call=hub.repos.clear)
    with pytest.raises(HubError, match="there is no such repo"):
        publish(staged)
