"""Stage a repo, plan against the target, apply the plan, read it back."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rexnet_hub.errors import FileProblem, PublishError, UsageError
from rexnet_hub.index import load_index
from rexnet_hub.layout import REPO_FILES, find_cache_dir
from rexnet_hub.repo import fetch_released, read_repo, write_repo
from rexnet_hub.verify import require_truth, verify_model
from rexnet_hub.weights.digest import digest_file


@dataclass(frozen=True, kw_only=True)
class Change:
    """One file that a plan would change.

    Attributes:
        kind: `add`, `change`, `remove` or `keep`.
        old_sha256, new_sha256: None where there is no such file.
    """

    kind: str
    name: str
    size_bytes: int
    old_sha256: str | None
    new_sha256: str | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What publishing one staged repo would change.

    Attributes:
        name: The repo's name at the target.
        staged: The folder to publish.
        target: The folder that the repo will be.
    """

    name: str
    staged: Path
    target: Path
    changes: tuple[Change, ...]

    @property
    def is_done(self) -> bool:
        """Whether the target already holds exactly this."""
        return all(change.kind == "keep" for change in self.changes)


def plan_publish(staged: Path, to: str | Path, *, name: str | None = None) -> Plan:
    """Compare a staged repo with its target; nothing is written.

    Args:
        to: A folder of repos; the repo becomes `to/name`.
        name: By default the staged folder's own name.

    Raises:
        UsageError: The target is a Hub.
        FileProblem, RepoError: The staged folder is not a whole repo.
    """
    if str(to).startswith("hf:"):
        raise UsageError(f"{to}: publishing to a Hub is not there yet; name a folder")
    read_repo(staged)
    if missing := [file for file in REPO_FILES if not (staged / file).is_file()]:
        raise FileProblem(staged, f"is not a whole repo: {', '.join(missing)} missing")
    target = Path(to) / (name or staged.resolve().name)
    return Plan(name=target.name, staged=staged, target=target, changes=compare_folders(staged, target))


def compare_folders(new: Path, old: Path) -> tuple[Change, ...]:
    """List what would have to change in `old` for it to hold what `new` holds."""
    names = {file.name for folder in (new, old) if folder.is_dir() for file in folder.iterdir()}
    return tuple(_compare_file(new / name, old / name) for name in sorted(names))


def _compare_file(new: Path, old: Path) -> Change:
    new_digest = digest_file(new) if new.is_file() else None
    old_digest = digest_file(old) if old.is_file() else None
    if new_digest is None:
        kind = "remove"
    elif old_digest is None:
        kind = "add"
    else:
        kind = "keep" if new_digest.sha256 == old_digest.sha256 else "change"
    return Change(
        kind=kind,
        name=new.name,
        size_bytes=(new_digest or old_digest).size_bytes,  # type: ignore[union-attr]
        old_sha256=old_digest.sha256 if old_digest else None,
        new_sha256=new_digest.sha256 if new_digest else None,
    )


def apply_plan(plan: Plan) -> Path:
    """Make the target what the plan says: aside first, then swapped in, then read back.

    Raises:
        PublishError: The target changed since the plan was made, or does not read back as written.
    """
    if compare_folders(plan.staged, plan.target) != plan.changes:
        raise PublishError(f"{plan.target} or {plan.staged} changed since the plan was made; plan again")
    if plan.is_done:
        return plan.target
    plan.target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{plan.name}.", dir=plan.target.parent))
    try:
        new, old = aside / "new", aside / "old"
        shutil.copytree(plan.staged, new)
        if plan.target.exists():
            plan.target.rename(old)
        new.rename(plan.target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    _read_back(plan)
    return plan.target


def _read_back(plan: Plan) -> None:
    """Hold the published files against the plan's digests."""
    wrong = [
        change.name
        for change in plan.changes
        if change.new_sha256 and digest_file(plan.target / change.name).sha256 != change.new_sha256
    ]
    if wrong:
        raise PublishError(f"{plan.target}: {', '.join(wrong)} did not read back as written; publish again")


def describe_plan(plan: Plan) -> Sequence[str]:
    """Say a plan in lines: one a file, digests short."""
    signs = {"add": "+", "change": "~", "remove": "-", "keep": "="}
    lines = [f"{plan.name} -> {plan.target}" + ("  (nothing to do)" if plan.is_done else "")]
    for change in plan.changes:
        old, new = ((digest or "")[:12] for digest in (change.old_sha256, change.new_sha256))
        digests = f"{old} -> {new}" if change.kind == "change" else new or old
        lines.append(f"  {signs[change.kind]} {change.name:<20} {change.size_bytes:>12}  {digests}")
    return lines


@contextlib.contextmanager
def staged_repo(source: str) -> Iterator[Path]:
    """Give a staged folder: the one that is named, or a model's, staged for as long as the block runs.

    Raises:
        RexnetHubError: A claim about the staged repo is false.
    """
    if Path(source).is_dir():
        yield Path(source)
        return
    entry = load_index().find(source)
    checkpoint = fetch_released(entry, cache_dir=find_cache_dir())
    with tempfile.TemporaryDirectory(prefix="rexnet-hub-") as scratch:
        folder = Path(scratch) / entry.name
        write_repo(entry, checkpoint, folder)
        require_truth(verify_model(entry, checkpoint=checkpoint, repo=folder))
        yield folder
