"""Apply a plan to its target: one commit, read back, one tag; safe to run again after any failure."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rexnet_hub import __version__
from rexnet_hub.addresses import HubFile
from rexnet_hub.errors import HubError, PublishError
from rexnet_hub.hub.remote import UNFINISHED, RemoteRepo, RemoteState, hub_url
from rexnet_hub.hub.snapshot import digest_both
from rexnet_hub.layout import CARD_FILE, WEIGHTS_FILE
from rexnet_hub.pages.edits import mark_added
from rexnet_hub.pages.snippets import find_place
from rexnet_hub.patience import Patience, is_transient, retry
from rexnet_hub.publish.local import list_files
from rexnet_hub.publish.plan import Plan, compare_files, plan_for, require_trained
from rexnet_hub.publish.staging import derive_own
from rexnet_hub.publish.there import HUBS_OWN, TITLE, find_target
from rexnet_hub.weights.receipt import Receipt
from rexnet_hub.whole_files import sweep_beside, whole_folder

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Published:
    """The outcome of publishing.

    Attributes:
        place: The folder, or `hf:OWNER/NAME`.
        commit: On a Hub; None for a folder.
        tag: None for a folder and for a pull request.
        request: `refs/pr/N`, where one was opened.
    """

    place: str
    commit: str | None = None
    tag: str | None = None
    request: str | None = None

    def __str__(self) -> str:
        at = f"@{self.commit}" if self.commit else ""
        marks = [mark for mark in (self.tag and f"tag {self.tag}", self.request) if mark]
        return f"{self.place}{at}" + (f" ({', '.join(marks)})" if marks else "")


def apply_plan(plan: Plan, *, token: str | bool | None = None, patience: Patience | None = None) -> Published:
    """Make the target what the plan says, then read it back.

    On a Hub it is one commit on top of the head that the plan names; its files are downloaded and
    compared with the staged ones; then the commit is tagged. A repo that is made is private until then. A
    failure leaves the target as it was or at the new commit, never between. After one, plan and apply again:
    what was done is found done.

    Args:
        plan: Of `plan_publish`.
        token: For the Hub, as in huggingface_hub.
        patience: How long a Hub is waited for; the usual by default.

    Returns:
        What is there now, as it was read back.

    Raises:
        PublishError: The plan must not be applied, the target or the staged files changed since, or what
            is there now is not what was staged.
        HubError: The Hub does not answer, or refuses.
        FileProblem: A folder cannot be written.
    """
    to = plan.target if plan.repo_id else Path(plan.target).parent
    with find_target(to, plan.name, token=token, patience=patience) as target:
        fresh = plan_for(plan.staged, target, plan.options, checked=plan)
    if fresh.files != plan.files or fresh.target != plan.target:
        raise PublishError(f"{plan.staged} changed since the plan was made; plan again")
    if fresh.stops:
        raise PublishError("\n".join(f"{plan.target}: {stop}" for stop in fresh.stops))
    if fresh.head != plan.head and not fresh.holds:
        raise PublishError(
            f"{plan.target} changed since the plan was made: it was at {plan.head}, it is at {fresh.head}; "
            "plan again"
        )
    if target.remote is None:
        if fresh.holds:
            sweep_beside(Path(plan.target))
        else:
            replace_folder(Path(plan.target), plan.staged, keep=fresh.others)
        if wrong := fresh.missing_in(list_files(Path(plan.target))):
            problem = f"{', '.join(wrong)} did not read back as written; publish again"
            raise PublishError(f"{plan.target}: {problem}")
        return Published(place=plan.target)
    return _apply_to_hub(fresh, target.remote)


def replace_folder(target: Path, source: Path, *, keep: Iterable[str] = ()) -> None:
    """Copy `source` beside `target`, and swap the two in one step.

    Args:
        keep: Files of `target` that are copied along, by their paths in it.

    Raises:
        FileProblem: It cannot be written, and the target is as it was; or it is, and the disk does not
            confirm it.
    """
    with whole_folder(target) as aside:
        for file in sorted(source.iterdir()):
            shutil.copyfile(file, aside / file.name)
        for name in keep:
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(target / name, aside / name, follow_symlinks=False)


def _apply_to_hub(plan: Plan, remote: RemoteRepo, *, more_follows: bool = False) -> Published:
    """Commit, read back, tag, open; where more follows, a repo that is made stays as unfinished."""
    if plan.is_done and plan.head:
        return Published(place=plan.target, commit=plan.head, tag=plan.tag)
    commit, request = plan.head, None
    if not plan.holds or commit is None:
        commit, request = _commit(plan, remote, commit or _make_repo(plan, remote))
    _read_back(plan, remote, commit)
    if plan.tag is not None and not plan.tag_is_set:
        _tag(plan, remote, commit)
    if plan.opens_repo and not more_follows:
        _do(remote, remote.make_public, lambda state, _: not state.is_private, "is public")
    if (plan.opens_repo or plan.is_unfinished) and not more_follows:
        lost = f"lost its branch {UNFINISHED}"
        _do(remote, remote.mark_finished, lambda state, _: not state.is_unfinished, lost)
    return Published(place=plan.target, commit=commit, tag=plan.tag, request=request)


def _do(
    remote: RemoteRepo, act: Callable[[], object], find: Callable[[RemoteState, object], T | None], said: str
) -> T:
    """Act, and return what shows that it is done: an answer may be lost, or say yes where nothing was done.

    Args:
        find: Find that in the repo as it then is, given what the act returned: None where it failed.
        said: What the Hub says of the repo with its yes.

    Raises:
        PublishError: As `find` does, of what trying again cannot change.
        HubError: It is not done.
    """

    def attempt() -> T:
        answer, failure = None, None
        try:
            answer = act()
        except HubError as error:
            if error.kind in ("limited", "led-away"):  # not to be asked before its time, or any more
                raise
            failure = error
        state = remote.read()
        if state.head and (found := find(state, answer)):
            return found
        problem = f"{remote.repo_id}: the Hub says that it {said}, and it is not so; run it again"
        raise failure or HubError(remote.repo_id, problem, kind="no-answer")

    def may_fare_better(error: Exception) -> bool:  # it may be done, and not be shown yet
        return is_transient(error) or getattr(error, "kind", None) in ("exists", "moved")

    return retry(attempt, remote.patience, on=may_fare_better)


def _make_repo(plan: Plan, remote: RemoteRepo) -> str:
    """Make the repo and give its first commit; one that somebody else made meanwhile is left alone.

    It is marked before anything else can fail: only one that is marked is known not to be private on purpose.
    """

    def find(state: RemoteState, _: object) -> str | None:
        if state.files.keys() - {HUBS_OWN}:
            raise PublishError(f"{plan.target} appeared since the plan was made; plan again")
        if not state.is_private:
            settings = f"{hub_url()}/{remote.repo_id}/settings"
            raise PublishError(f"{plan.target} was to be private and is public; {settings} changes that")
        return state.head

    head = _do(remote, remote.create, find, "was made")
    if plan.opens_repo:
        has = f"has a branch {UNFINISHED}"
        _do(remote, remote.mark_unfinished, lambda state, _: state.is_unfinished, has)
    return head


def _commit(plan: Plan, remote: RemoteRepo, parent: str) -> tuple[str, str | None]:
    """Commit once, or open one pull request, and give the commit and the request."""
    title = f"{TITLE}{plan.name}" + (f" ({plan.tag})" if plan.tag else "")
    sending = sorted(change.name for change in plan.changes if change.kind in ("add", "change"))

    def commit() -> str | None:
        if plan.options.as_pr and _find_request(plan, remote, title):
            return None
        return remote.commit(
            {name: plan.staged / name for name in sending},
            [change.name for change in plan.changes if change.kind == "remove"],
            parent=parent,
            title=title,
            message=_message(plan) if CARD_FILE in plan.files else "The weights; the rest follows.",
            as_pr=plan.options.as_pr,
        )

    def find(state: RemoteState, commit: object) -> tuple[str, str | None] | None:
        if plan.options.as_pr:
            return _find_request(plan, remote, title)
        if state.head in (None, parent):
            return None
        if state.head == commit or not plan.missing_in(state.files):
            return state.head, None
        raise PublishError(f"{plan.target}: somebody committed in between, it is at {state.head}; plan again")

    said = "has the pull request" if plan.options.as_pr else "has the commit"
    return _do(remote, commit, find, said)


def _message(plan: Plan) -> str:
    """Write the commit's message: what made it, and which lines of its card are people's."""
    card = (plan.staged / CARD_FILE).read_text("utf-8")
    added = mark_added(derive_own(plan.staged, find_place(card), like=card) or card, card)
    made = f"Published by rexnet_hub {__version__}.\n\nWeights-SHA256: {plan.files[WEIGHTS_FILE].sha256}"
    return made + (f"\nCard-Added: {added}" if added else "")


def _find_request(plan: Plan, remote: RemoteRepo, title: str) -> tuple[str, str] | None:
    """Find an open pull request that leaves exactly these files of ours."""
    for request in remote.open_requests(title):
        state = remote.read(request)
        if state.head and not plan.missing_in(state.files):
            return state.head, request
    return None


def _read_back(plan: Plan, remote: RemoteRepo, commit: str) -> None:
    """Download every file at the commit; what the store lost or damaged is sent and read once more."""
    wrong = _differing(plan, remote, commit)
    if wrong:
        remote.send({name: plan.staged / name for name in wrong})
        wrong = _differing(plan, remote, commit)
    if wrong:
        raise PublishError(
            f"{plan.target}@{commit}: {', '.join(wrong)} did not read back as staged, so the commit is not "
            "tagged; run it again, and if it fails again, tell the Hub's people"
        )


def _differing(plan: Plan, remote: RemoteRepo, commit: str) -> list[str]:
    wrong = []
    with remote.scratch() as scratch:
        for name, file in plan.files.items():
            try:
                same = digest_both(remote.download(name, commit, scratch)) == file
            except HubError as error:
                if error.is_transient:
                    raise
                same = False
            if not same:
                wrong.append(name)
    return wrong


def _tag(plan: Plan, remote: RemoteRepo, commit: str) -> None:
    """Tag the commit; a tag that is on equal files already is as good, one on others is not moved."""
    tag = str(plan.tag)

    def find(state: RemoteState, _: object) -> str | None:
        tagged = state.tags.get(tag)
        if tagged not in (None, commit) and plan.missing_in(remote.read(tagged).files):
            raise PublishError(f"{plan.target}: the tag {tag} is on {tagged}, and is not moved")
        return tagged

    _do(remote, lambda: remote.tag(tag, commit), find, f"was tagged {tag}")


def upload_weights(weights: Path, receipt: Receipt, *, repo_id: str) -> HubFile:
    """Commit converted weights, and nothing else, to their home; a repo that is made stays private.

    The publication that follows turns it public. Weights that are there, byte for byte, are found done; what
    else the repo holds stays.

    Raises:
        PublishError: The repo has other weights, these are stand-ins and the Hub is a real one, or what is
            there now is not what was sent.
        HubError: The Hub does not answer, or refuses.
    """
    require_trained(receipt.source.name, stand_in=receipt.stand_in)
    remote = RemoteRepo(repo_id=repo_id)
    state, files = remote.read(), {weights.name: digest_both(weights)}
    plan = Plan(
        name=repo_id.rpartition("/")[2],
        model=None,
        staged=weights.parent,
        target=f"hf:{repo_id}",
        head=state.head,
        files=files,
        changes=compare_files(files, state.files, ()),
        visibility="public",
    )
    if other := next((change.old_digest for change in plan.changes if change.kind == "change"), None):
        problem = f"has other weights already ({other}), and a name never changes its weights: give a new one"
        raise PublishError(f"{plan.target}: {problem}")
    return HubFile(repo_id, str(_apply_to_hub(plan, remote, more_follows=True).commit), weights.name)
