"""Publish several models in one run: each is staged, planned and applied; one that fails is reported."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Unpack

from rexnet_hub.errors import PublishError, RexnetHubError, UsageError, refuse_unused
from rexnet_hub.hub.remote import RemoteRepo
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
from rexnet_hub.layout import RECEIPT_FILE, find_cache_dir
from rexnet_hub.patience import Patience
from rexnet_hub.publish.apply import Published, apply_plan
from rexnet_hub.publish.plan import Plan, PlanOptions, check_options, parse_repo_id, plan_publish
from rexnet_hub.publish.releases import released_repo
from rexnet_hub.publish.staging import merged_repo, render_for, repo_with, stage
from rexnet_hub.publish.there import signature_at
from rexnet_hub.repo.folder import fetch_released
from rexnet_hub.signing import read_identity_token, sign_repo
from rexnet_hub.terminal import table
from rexnet_hub.weights.receipt import read_receipt

#: With this the Hub's client exchanges a CI's proof of who runs for a token; it names what the token is for.
TRUSTED = "HF_OIDC_RESOURCE"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of one repo of a run; each part is None where it did not come to it."""

    source: str
    plan: Plan | None = None
    published: Published | None = None
    problem: str | None = None


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
    entry = None if _is_folder(source) else load_index().find(source)
    name = entry.name if entry else Path(source).resolve().name
    repo_id = _repo_at(to, name)
    if entry is None:
        texts = render_for(Path(source), repo_id, is_signed_next=is_signed_next)
        with repo_with(Path(source), texts) as folder:
            yield folder
        return
    with tempfile.TemporaryDirectory(prefix="rexnet-hub-") as scratch:
        folder, measured = Path(scratch) / name, read_lock().of(entry.name)
        checkpoint = fetch_released(entry, cache_dir=find_cache_dir(), measured=measured, token=token)
        stage(entry, checkpoint, folder, measured=measured, repo_id=repo_id)
        yield folder


def _repo_at(to: str | Path, name: str) -> str | None:
    """Return the id of the repo that a target on a Hub means for a model; None for a folder."""
    return parse_repo_id(str(to), name) if str(to).startswith("hf:") else None


@contextlib.contextmanager
def _token_of(repo_id: str | None) -> Iterator[None]:
    """Scope the token that a CI is given for its proof of who runs (Trusted Publishers) to this repo."""
    asked = os.environ.get(TRUSTED)
    if asked and repo_id:
        os.environ[TRUSTED] = repo_id
    try:
        yield
    finally:
        if asked:
            os.environ[TRUSTED] = asked


def _is_folder(source: str) -> bool:
    return Path(source).is_dir() and all(entry.name != source for entry in load_index().models)


def publish_all(
    sources: Sequence[str],
    to: str | Path,
    *,
    apply: bool = False,
    token: str | bool | None = None,
    patience: Patience | None = None,
    record: bool = False,
    sign_key: Path | str | None = None,
    sign_version: int | None = None,
    back_to: str | None = None,
    **options: Unpack[PlanOptions],
) -> tuple[Outcome, ...]:
    """Plan each of several repos, and with `apply` publish it; what fails leaves the others to be done.

    Args:
        sources: Models, or staged folders.
        record: Whether to write what was published on a Hub into the lock.
        sign_key: As in `sign_repo`: what each repo is signed with before it is planned.
        sign_version: Which publication the signature states, from 1; with `sign_key`, and only then.
        back_to: A tag of each repo whose files are published again, instead of what would be staged.

    Raises:
        UsageError: Several repos cannot have one name, one of key and version lacks the other, or an option
            would change nothing.
        FileProblem: The key is none to sign with.
    """
    if (sign_key is None) != (sign_version is None):
        raise UsageError(
            "--sign KEY and --version-counter N go together; "
            "N is one more than the last publication's, at first 1"
        )
    if sign_key is not None:
        refuse_unused("--sign", drop_signature=options.get("drop_signature"), back_to=back_to)
    for place in (*([] if str(to).startswith("hf:") else [to]), *filter(_is_folder, sources)):
        refuse_unused(f"the folder {place}", back_to=back_to)
    check_options(to, record=record, **options)
    if not apply:
        refuse_unused("a plan", record=record, **{"--sign sigstore": sign_key == SIGSTORE})  # as it is logged
    if record:
        require_own_index()
    if len(sources) > 1 and str(to).startswith("hf:") and "/" in str(to):
        raise UsageError(f"{to} names one repo, {len(sources)} are to be published; give hf:OWNER")
    if sign_key is not None:
        read_identity_token() if sign_key == SIGSTORE else read_private_key(sign_key)
    if back_to is not None and not options.get("as_pr"):
        options["tag"] = options.get("tag") or back_to
    outcomes = []
    for source in sources:
        outcome = Outcome(source=source)
        try:
            repo_id = _repo_at(to, Path(source).name)
            with _token_of(repo_id), contextlib.ExitStack() as stack:
                if back_to is None or repo_id is None:
                    given = staged_repo(source, to=to, is_signed_next=sign_key is not None, token=token)
                else:
                    given = released_repo(repo_id, back_to, token=token, patience=patience)
                folder = stack.enter_context(given)
                remote = None
                if repo_id is not None:
                    remote = RemoteRepo(repo_id=repo_id, token=token, patience=patience or Patience())
                if back_to is None and not options.get("drop_edits"):  # a release is its bytes
                    merged = merged_repo(folder, remote, is_signed_next=sign_key is not None)
                    folder = stack.enter_context(merged)
                if sign_key is not None and sign_version is not None:
                    there = remote or Path(to, folder.name)
                    last, entry = stack.enter_context(signature_at(there)), load_index().find(folder.name)
                    sign_repo(folder, sign_key, entry=entry, version=sign_version, earlier=last)
                is_release = back_to is not None
                plan = plan_publish(
                    folder, to, is_release=is_release, token=token, patience=patience, **options
                )
                outcome = replace(outcome, plan=plan)
                if apply:
                    published = apply_plan(plan, token=token, patience=patience)
                    outcome = replace(outcome, published=published)
                    if record:
                        record_publication(plan, published)
        except RexnetHubError as error:
            outcome = replace(outcome, problem=str(error))
        except OSError as error:  # the system's own, such as a full disk
            where = f"{error.filename}: " if error.filename else ""
            outcome = replace(outcome, problem=f"{where}{error.strerror or error}")
        outcomes.append(outcome)
    return tuple(outcomes)


def outcomes_table(outcomes: Sequence[Outcome]) -> str:
    """Render a run for a terminal: a line a repo, what became of it and where it is."""
    return table(("repo", "outcome", "where or why"), [_row(outcome) for outcome in outcomes])


def _row(outcome: Outcome) -> tuple[str, str, str]:
    plan = outcome.plan
    if outcome.problem:
        return outcome.source, "error", ""  # whoever prints the table says why, in full
    if outcome.published:
        was_done = plan is not None and plan.is_done
        return outcome.source, "was there" if was_done else "published", str(outcome.published)
    assert plan is not None
    if plan.stops:
        return outcome.source, "must not", plan.stops[0]
    changed = sum(change.kind != "keep" for change in plan.changes)
    return (
        outcome.source,
        "nothing to do" if plan.is_done else "planned",
        f"{plan.target}: {changed} files change",
    )


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
