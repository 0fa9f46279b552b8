"""Publish several models in one run: each is staged, planned and applied; one that fails is reported."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rexnet_hub.errors import HubError, PublishError, RexnetHubError, UsageError, refuse_unused
from rexnet_hub.index import load_index
from rexnet_hub.index.lock import (
    Lock,
    MeasuredFile,
    MeasuredHub,
    Publication,
    read_lock,
    require_own_index,
    update_lock,
)
from rexnet_hub.keys import SIGSTORE, read_private_key
from rexnet_hub.layout import CONFIG_FILE, RECEIPT_FILE, SIGNATURE_FILES, find_cache_dir
from rexnet_hub.patience import Patience
from rexnet_hub.publish.apply import Published, apply_plan
from rexnet_hub.publish.plan import Plan, PlanOptions, plan_for
from rexnet_hub.publish.releases import released_repo
from rexnet_hub.publish.staging import merged_repo, render_for, repo_with, stage
from rexnet_hub.publish.there import Target, find_target
from rexnet_hub.repo.config import read_config, render_config
from rexnet_hub.repo.folder import fetch_weights, find_entry_of
from rexnet_hub.signing import read_identity_token, sign_repo
from rexnet_hub.terminal import table
from rexnet_hub.weights.receipt import read_receipt

#: With this the Hub's client exchanges a CI's proof of who runs for a token; it names what the token is for.
TRUSTED = "HF_OIDC_RESOURCE"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of one repo of a run; each part is None where it did not come to it.

    Attributes:
        is_tried: Whether anything was done for it; if not, `problem` is why.
    """

    source: str
    plan: Plan | None = None
    published: Published | None = None
    problem: str | None = None
    is_tried: bool = True

    @property
    def word(self) -> str:
        """What became of it."""
        if self.problem:
            return "error" if self.is_tried else "not tried"
        assert self.plan is not None
        if self.published:
            word = "proposed" if self.published.request else "published"
            return "was there" if self.plan.is_done else word
        return "must not" if self.plan.stops else "nothing to do" if self.plan.is_done else "planned"


@contextlib.contextmanager
def staged_repo(
    source: str, *, to: str | Path = "", is_signed_next: bool = False, token: str | bool | None = None
) -> Iterator[Path]:
    """Yield a folder that is staged for its target, by either road the same bytes.

    Args:
        source: A name of the index, which wins over a folder of that name, or a folder that was staged.
        to: Where it will be published, for the card's snippets.
        is_signed_next: Whether a signature of the folder will be replaced.
        token: For weights that are on a Hub.

    Raises:
        RexnetHubError: A claim about the staged repo is false.
        PublishError: A folder is signed for another place.
    """
    name = _name_of(source)
    remote = find_target(to, name).remote
    repo_id = remote.repo_id if remote else None
    if _is_folder(source):
        texts = render_for(Path(source), repo_id, is_signed_next=is_signed_next)
        with repo_with(Path(source), texts) as folder:
            yield folder
        return
    with tempfile.TemporaryDirectory(prefix="rexnet-hub-") as scratch:
        entry, folder, measured = load_index().find(name), Path(scratch) / name, read_lock().of(name)
        render_config(entry)  # what cannot be staged is not fetched
        checkpoint = fetch_weights(entry, cache_dir=find_cache_dir(), measured=measured, token=token)
        stage(entry, checkpoint, folder, measured=measured, repo_id=repo_id)
        yield folder


def _name_of(source: str) -> str:
    return Path(source).resolve().name if _is_folder(source) else load_index().find(source).name


@contextlib.contextmanager
def _token_for(target: Target) -> Iterator[None]:
    """Scope the token that a CI is given for its proof of who runs (Trusted Publishers) to this repo."""
    asked = os.environ.get(TRUSTED)
    if asked and target.remote:
        os.environ[TRUSTED] = target.remote.repo_id
    try:
        yield
    finally:
        if asked:
            os.environ[TRUSTED] = asked


def _is_folder(source: str) -> bool:
    return Path(source).is_dir() and all(entry.name != source for entry in load_index().models)


@dataclass(frozen=True, kw_only=True)
class RunSettings(PlanOptions):
    """The settings of a run, the same for each of its repos; those of a plan among them.

    Attributes:
        to: As of `plan_publish`.
        apply: Whether to publish, and not only to plan.
        record: Whether to write what was published on a Hub into the lock.
        sign_key: As in `sign_repo`: what each repo is signed with before it is planned.
        sign_version: Which publication the signature states, from 1; with `sign_key`, and only then.
        back_to: A tag of each repo whose files are published again, instead of what would be staged.
    """

    to: str | Path
    apply: bool = False
    token: str | bool | None = None
    patience: Patience | None = None
    record: bool = False
    sign_key: Path | str | None = None
    sign_version: int | None = None
    back_to: str | None = None

    @property
    def options(self) -> PlanOptions:
        """The options of each plan; a release that is not signed anew keeps the tag that it has."""
        options = PlanOptions(**{each.name: getattr(self, each.name) for each in fields(PlanOptions)})
        keeps_tag = self.sign_key is None and not options.as_pr
        return replace(options, tag=options.tag or self.back_to) if keeps_tag else options

    def check(self, sources: Sequence[str]) -> None:
        """Refuse what makes no sense together, before anything is read or asked.

        Raises:
            UsageError: The target is none, several repos cannot have one name, one of key and version lacks
                the other, or an option would change nothing.
            FileProblem: The key is none to sign with.
        """
        is_hub = find_target(self.to, "any").remote is not None
        if (self.sign_key is None) != (self.sign_version is None):
            raise UsageError(
                "--sign KEY and --version-counter N go together; "
                "N is one more than the last publication's, at first 1"
            )
        for place in (*([] if is_hub else [self.to]), *filter(_is_folder, sources)):
            refuse_unused(f"the folder {place}", back_to=self.back_to)
        self.check_use(self.to, record=self.record)
        if not self.apply:
            signs_in_public = {"--sign sigstore": self.sign_key == SIGSTORE}  # it is logged
            refuse_unused("a plan", record=self.record, **signs_in_public)
        if self.record:
            require_own_index()
        if len(sources) > 1 and is_hub and "/" in str(self.to):
            raise UsageError(f"{self.to} names one repo, {len(sources)} are to be published; give hf:OWNER")
        if self.sign_key is not None:
            read_identity_token() if self.sign_key == SIGSTORE else read_private_key(self.sign_key)


def publish_all(sources: Sequence[str], to: str | Path, **settings: Any) -> tuple[Outcome, ...]:
    """Return the outcomes of `publish_each`, when all are there."""
    return tuple(publish_each(sources, to, **settings))


def publish_each(sources: Sequence[str], to: str | Path, **settings: Any) -> Iterator[Outcome]:
    """Plan, and with `apply` publish, one repo after the other; what fails leaves the others to be done.

    Where the Hub asks to wait for longer than the patience is, none of the others is tried: it would answer
    them likewise. Run again, what was done is found done.

    Args:
        sources: Models, or staged folders.
        settings: As of `RunSettings`.

    Raises:
        UsageError, FileProblem: As of `RunSettings.check`.
    """
    run = RunSettings(to=to, **settings)
    run.check(sources)
    limit = ""
    for source in sources:
        outcome = Outcome(source=source)
        if limit:
            yield replace(outcome, problem=limit, is_tried=False)
            continue
        try:
            for reached in _steps(source, run):
                outcome = reached
        except RexnetHubError as error:
            outcome = replace(outcome, problem=str(error))
            if isinstance(error, HubError) and error.kind == "limited":
                limit = str(error).partition(": ")[2]
        except OSError as error:  # the system's own, such as a full disk
            where = f"{error.filename}: " if error.filename else ""
            outcome = replace(outcome, problem=f"{where}{error.strerror or error}")
        yield outcome


def _steps(source: str, run: RunSettings) -> Iterator[Outcome]:
    """Take one repo of a run as far as is asked, and yield the outcome after each step."""
    target = find_target(run.to, _name_of(source), token=run.token, patience=run.patience)
    with _token_for(target), target, prepared_repo(source, target, run) as folder:
        if run.record and (entry := find_entry_of(folder)) and entry.is_in_repo:
            raise UsageError(f"{source} is of no index, so there is no lock to write: leave out --record")
        plan = plan_for(folder, target, run.options, is_release=run.back_to is not None)
        yield (outcome := Outcome(source=source, plan=plan))
        if run.apply:
            published = apply_plan(plan, token=run.token, patience=run.patience)
            yield replace(outcome, published=published)
            if run.record:
                record_publication(plan, published)


@contextlib.contextmanager
def prepared_repo(source: str, target: Target, run: RunSettings) -> Iterator[Path]:
    """Yield the folder that is planned and published: staged and merged, or of a release; then signed."""
    is_signed = run.sign_key is not None
    with contextlib.ExitStack() as stack:
        if run.back_to is not None:  # a release is its bytes
            folder = stack.enter_context(released_repo(target, run.back_to))
        else:
            given = staged_repo(source, to=run.to, is_signed_next=is_signed, token=run.token)
            folder = stack.enter_context(given)
            if not run.drop_edits:
                folder = stack.enter_context(merged_repo(folder, target, is_signed_next=is_signed))
        if run.sign_key is not None and run.sign_version is not None:
            entry = find_entry_of(folder) or load_index().find(str(read_config(folder / CONFIG_FILE).model))
            last = target.copy(SIGNATURE_FILES)
            sign_repo(folder, run.sign_key, entry=entry, version=run.sign_version, earlier=last)
        yield folder


def outcomes_table(outcomes: Sequence[Outcome]) -> str:
    """Render a run for a terminal: a line a repo, what became of it and where it is."""
    rows = [(each.source, each.word, _where_or_why(each)) for each in outcomes]
    return table(("repo", "outcome", "where or why"), rows)


def _where_or_why(outcome: Outcome) -> str:
    """Return where it is, or the first reason why it is not; all of them stand above the table."""
    plan = outcome.plan
    if outcome.problem or outcome.published or plan is None:
        return str(outcome.problem or outcome.published).partition("\n")[0]
    changed = sum(change.kind != "keep" for change in plan.changes)
    return plan.stops[0] if plan.stops else f"{plan.target}: {changed} files change"


def record_publication(plan: Plan, published: Published) -> None:
    """Write where a model was published into the lock, so that its name loads from there.

    Raises:
        PublishError: It was not published as a commit on a Hub's main branch.
    """
    if published.commit is None or published.request is not None or plan.repo_id is None:
        raise PublishError(f"{published.place}: only a commit on a Hub can be locked")
    output = read_receipt(plan.staged / RECEIPT_FILE).output
    model = plan.model or plan.name
    publication = Publication(
        date=datetime.now(UTC).date().isoformat(),
        repo_id=plan.repo_id,
        commit=published.commit,
        weights_sha256=output.sha256,
        tag=published.tag,
    )
    hub = MeasuredHub(repo_id=plan.repo_id, commit=published.commit, tag=published.tag)
    weights = MeasuredFile.of(output)

    def add(lock: Lock) -> Lock:
        before = lock.of(model)
        last = before.published[-1] if before.published else None
        is_new = last is None or (last.commit, last.tag) != (publication.commit, publication.tag)
        every = (*before.published, publication) if is_new else before.published
        return lock.with_model(model, replace(before, published=every, hub=hub, safetensors=weights))

    update_lock(add)
