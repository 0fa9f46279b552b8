"""Compare a staged repo with its target, and list what publishing would change; nothing is written."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from rexnet_hub.addresses import is_loopback
from rexnet_hub.errors import PublishError, UsageError, refuse_unused
from rexnet_hub.hub.remote import RemoteRepo, RemoteState, hub_url
from rexnet_hub.hub.snapshot import RepoFile, digest_both
from rexnet_hub.index.lock import read_lock
from rexnet_hub.index.reading.hub_metadata import read_front_matter
from rexnet_hub.layout import CARD_FILE, CONFIG_FILE, LICENSE_FILE, SIGNATURE_FILES
from rexnet_hub.pages.edits import FieldChange, Merge, compare_cards, merge_cards
from rexnet_hub.patience import Patience
from rexnet_hub.publish.local import content_tag, list_staged, readable
from rexnet_hub.publish.preflight import STOP, check_place, check_push
from rexnet_hub.publish.there import OWN_NAMES, Target, find_target
from rexnet_hub.repo.folder import Repo, find_entry_of, read_repo
from rexnet_hub.signing import read_claimed
from rexnet_hub.standins.make import is_standin
from rexnet_hub.terminal import counted
from rexnet_hub.verify import FALSE, verify_model

#: A stricter rule than git's own, so that no name is refused once the commit is there.
_TAG = re.compile(r"(?!.*(\.\.|//|/\.|\./|\.lock(/|$)))[A-Za-z0-9_][\w./+-]*(?<![./])", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """The settings for publishing; attributes as the arguments of `plan_publish`."""

    tag: str | None = None
    private: bool = False
    as_pr: bool = False
    drop_edits: bool = False
    drop_files: bool = False
    drop_signature: bool = False

    def check_use(self, to: str | Path, *, record: bool = False) -> None:
        """Refuse options of which this target has no use.

        Args:
            record: Whether the lock is to be written.
        """
        of_commit = {"tag": self.tag, "private": self.private, "record": record}
        if not str(to).startswith("hf:"):
            refuse_unused(f"the folder {to}", **of_commit, pr=self.as_pr)
        if self.as_pr:
            refuse_unused("a pull request", **of_commit)
        if self.tag and not _TAG.fullmatch(self.tag):
            problem = "git takes no such tag; give letters, digits and . - _ such as v1.1"
            raise UsageError(f"--tag {self.tag!a}: {problem}")


@dataclass(frozen=True, kw_only=True)
class FileChange:
    """One file that a plan would change.

    Attributes:
        kind: `add`, `change`, `remove` or `keep`.
        size_bytes: Of the new file; of the old one where it is removed.
        old_digest, new_digest: `sha256:…`; `git:…` (git's id of a blob) of a removed file of which the target
            records only that; None where there is no such file.
    """

    kind: str
    name: str
    size_bytes: int
    old_digest: str | None
    new_digest: str | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The changes that publishing one staged repo would make.

    Attributes:
        name: The repo's name at the target, without its owner.
        target: The folder, or `hf:OWNER/NAME`.
        head: What it was made against: the target's commit, of a folder the digest of its files; None
            where there is nothing yet, so that the repo would be made.
        fields: Of the card's metadata, metrics among them.
        tag: To be set on the commit; None for a folder and for a pull request.
        tag_is_set: Whether it is there already, on a commit that has our files as this plan leaves them.
        visibility: `public` or `private`, when all is done; None for a folder.
        is_unfinished: Whether the repo was made private for a publication that did not end.
        false_claims: The claims of the staged repo that are false.
        stops: Why it must not be applied: false claims, and whatever else.
        edits: Lines that somebody wrote into the card at the target and that would be lost.
        others: Files at the target that no publication of ours wrote; they stay.
        notes: What card and config of an earlier release say otherwise than the index does now.
        warnings: What the Hub warns of, and what could not be checked before anything is written.
    """

    name: str
    model: str | None
    staged: Path
    target: str
    head: str | None
    files: Mapping[str, RepoFile] = field(repr=False)
    changes: tuple[FileChange, ...]
    fields: tuple[FieldChange, ...] = ()
    tag: str | None = None
    tag_is_set: bool = False
    license: str | None = None
    visibility: str | None = None
    is_unfinished: bool = False
    options: PlanOptions = PlanOptions()
    false_claims: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    edits: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether our files at the target are already exactly these."""
        return all(change.kind == "keep" for change in self.changes)

    def missing_in(self, there: Mapping[str, RepoFile]) -> list[str]:
        """List our files that are not in `there` as this plan leaves them."""
        names = OWN_NAMES | {change.name for change in self.changes}
        return [each.name for each in compare_files(self.files, there, names) if each.kind != "keep"]

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do: files and tag are there, in a repo that is finished."""
        return self.holds and (self.tag is None or self.tag_is_set) and not self.is_unfinished

    @property
    def opens_repo(self) -> bool:
        """Whether the repo is private until all is there, and is then turned public."""
        return self.visibility == "public" and (self.head is None or self.is_unfinished)

    @property
    def repo_id(self) -> str | None:
        """The id on the Hub; None for a folder."""
        return self.target.removeprefix("hf:") if self.target.startswith("hf:") else None


def plan_publish(
    staged: Path,
    to: str | Path,
    *,
    name: str | None = None,
    tag: str | None = None,
    private: bool = False,
    as_pr: bool = False,
    drop_edits: bool = False,
    drop_files: bool = False,
    drop_signature: bool = False,
    token: str | bool | None = None,
    patience: Patience | None = None,
) -> Plan:
    """Compare a staged repo with its target; nothing is written, and of a public repo no token is needed.

    Args:
        staged: The folder that `stage` wrote.
        to: `hf:OWNER` or `hf:OWNER/NAME`; else a folder of repos, in which the repo becomes `to/name`.
        name: By default the staged folder's own name.
        tag: By default one that names the files' content.
        private: Whether a repo that is made stays private; one that exists stays as it is.
        as_pr: Whether to open a pull request and not to commit.
        drop_edits: Whether lines that somebody wrote into the card at the target may be lost.
        drop_files: Whether files that an earlier publication wrote may be removed.
        drop_signature: Whether the signature at the target may be lost, or be another's or an older one.
        token: For the Hub, as in huggingface_hub.
        patience: How long a Hub is waited for; the usual by default.

    Returns:
        What would be written, removed and tagged; `apply_plan` does it.

    Raises:
        UsageError: The target makes no sense, or has no use for one of the others.
        FileProblem, RepoError: The staged folder is not a whole repo.
        PublishError: The weights are stand-ins and the target is a real Hub; nothing was asked of it.
        HubError: The target could not be read.
    """
    options = PlanOptions(
        tag=tag,
        private=private,
        as_pr=as_pr,
        drop_edits=drop_edits,
        drop_files=drop_files,
        drop_signature=drop_signature,
    )
    options.check_use(to)
    with find_target(to, name or staged.resolve().name, token=token, patience=patience) as target:
        return plan_for(staged, target, options)


def plan_for(
    staged: Path,
    target: Target,
    options: PlanOptions,
    *,
    is_release: bool = False,
    checked: Plan | None = None,
) -> Plan:
    """Compare a staged repo with a target that was found; errors as of `plan_publish`.

    Args:
        is_release: Whether it was published before: then card and config may say what the index said then.
        checked: An earlier plan; while the staged files are those, their claims are not measured again.
    """
    repo, files = read_repo(staged, as_stated=False), list_staged(staged)  # its claims say what is not
    if target.remote:
        require_trained(repo.folder, stand_in=has_standins(repo))
    if checked and checked.files == files:
        claims, notes = checked.false_claims, checked.notes
    else:
        found = _false_claims(repo)
        notes = tuple(claim for claim, is_text in found.items() if is_release and is_text)
        claims = tuple(claim for claim in found if claim not in notes)
    with readable(staged):
        card = (staged / CARD_FILE).read_text(encoding="utf-8")
    card_there, base = target.read_cards(card)
    changes = _with_digests(compare_files(files, target.state.files, target.ours), target)
    merge = merge_cards(base, card_there, card)
    model = repo.config.model
    stops = [*claims, *(_unreachable(staged) if target.remote else ())]
    stops += [*(() if options.drop_edits else _lost(merge, base)), *_removals(changes, options)]
    stops += () if options.drop_signature else _signed_otherwise(changes, staged, target)
    plan = Plan(
        name=target.name,
        model=model,
        staged=staged,
        target=str(target),
        head=target.state.head,
        files=files,
        changes=changes,
        fields=compare_cards(card_there, card),
        license=read_front_matter(card).get("license"),
        options=options,
        false_claims=claims,
        stops=(*stops, *_overwritten(changes, target.ours)),
        edits=merge.added,
        others=tuple(sorted(target.others - files.keys())),
        notes=notes,
    )
    return _plan_commit(plan, target.remote, target.state, card) if target.remote else plan


def _plan_commit(plan: Plan, remote: RemoteRepo, state: RemoteState, card: str) -> Plan:
    """Add what a Hub has beside files: tag, visibility and rights, and what it says of the card."""
    as_pr, private = plan.options.as_pr, plan.options.private
    is_unfinished = state.is_unfinished and not as_pr
    is_private = private if state.head is None else state.is_private and (private or not is_unfinished)
    tag, stops = None if as_pr else plan.options.tag or content_tag(plan.files), [*plan.stops]
    tagged = state.tags.get(tag) if tag else None
    wrong = plan.missing_in((state if tagged == state.head else remote.read(tagged)).files) if tagged else []
    if wrong:
        stops.append(
            f"the tag {tag} is on {str(tagged)[:12]} with another {', '.join(wrong)} "
            "and is never moved; name another tag"
        )
    if as_pr and state.head is None:
        stops.append("there is no repo to open a pull request in")
    plan = replace(
        plan,
        tag=tag,
        tag_is_set=tagged is not None and not wrong,
        visibility="private" if is_private else "public",
        is_unfinished=is_unfinished,
    )
    found = [*check_place(state, remote.repo_id, stays_private=is_private)]
    if not plan.is_done:
        found += check_push(remote, state, plan.files, card, as_pr=as_pr)
    stops += [text for kind, text in found if kind == STOP]
    return replace(plan, stops=tuple(stops), warnings=tuple(text for kind, text in found if kind != STOP))


def _unreachable(folder: Path) -> list[str]:
    """Refuse to publish on a real Hub a model whose released file nobody else can fetch."""
    entry = find_entry_of(folder)
    url = entry.released.url if entry and entry.released else ""
    if is_loopback(hub_url()) or urlsplit(url).scheme != "file":
        return []
    return [
        f"its Weights address is of this machine: {url}; take the entry out and let `add FILE --to hf:ORG` "
        "give the weights a home on the Hub, or write where others find the file"
    ]


def _lost(merge: Merge, base: str | None) -> list[str]:
    """Return why a card there must not be replaced: it would lose what people wrote."""
    if merge.conflicts or not merge.added:
        advice = "write that there too, or let our card win with --drop-edits"
        return [f"{CARD_FILE}: {conflict}; {advice}" for conflict in merge.conflicts]
    lines = counted(len(merge.added), "line")
    why = "published by name, or signed as it is published (--sign KEY), it keeps them"
    if base is None:
        why = (
            "nothing shows which are ours (squashed, a folder, by others, or no UTF-8), so none can be merged"
        )
    return [f"the card would lose {lines} that somebody wrote there; {why}; with --drop-edits they go"]


def _removals(changes: Iterable[FileChange], options: PlanOptions) -> Iterator[str]:
    """List what of an earlier publication a plan would remove without leave."""
    names = [change.name for change in changes if change.kind == "remove"]
    files = [name for name in names if name not in SIGNATURE_FILES]
    if files and not options.drop_files:
        yield f"{', '.join(files)} of an earlier publication would be removed; --drop-files lets them go"
    if len(files) < len(names) and not options.drop_signature:
        yield (
            "the signature there would be lost; sign this too with --sign KEY --version-counter N, "
            "or let it go with --drop-signature"
        )


def _signed_otherwise(changes: Iterable[FileChange], staged: Path, target: Target) -> Iterator[str]:
    """Return why whoever trusts the signature there would refuse this one: another's, or no newer version."""
    if not any(change.kind == "change" and change.name in SIGNATURE_FILES for change in changes):
        return
    there, ours = read_claimed(target.copy(SIGNATURE_FILES)), read_claimed(staged)
    if there is None or ours is None:  # nothing to lose, or a false claim
        return
    (who, last), (by, this) = there, ours
    advice = "or let the one there go with --drop-signature"
    if who != by:
        yield f"the signature there is by {who}, this one by {by}; sign it as that one, {advice}"
    elif this.version <= last.version and this != last:
        yield (
            f"signed there is version {last.version}, this one version {this.version}; "
            f"sign it with --sign KEY --version-counter {last.version + 1}, {advice}"
        )


def _overwritten(changes: Iterable[FileChange], ours: Container[str]) -> list[str]:
    names = [change.name for change in changes if change.kind == "change" and change.name not in ours]
    whose = "there is of others and would be overwritten; take its text into the index, or remove it there"
    return [f"{', '.join(names)} {whose}"] if names else []


def compare_files(
    new: Mapping[str, RepoFile], old: Mapping[str, RepoFile], ours: Iterable[str]
) -> tuple[FileChange, ...]:
    """List what would have to change in `old` for it to hold what `new` holds.

    Args:
        ours: Names of which `old` must hold nothing more; other files of it are no difference.
    """
    names = sorted(new.keys() | (old.keys() & set(ours)))
    return tuple(_compare_file(name, new.get(name), old.get(name)) for name in names)


def _compare_file(name: str, new: RepoFile | None, old: RepoFile | None) -> FileChange:
    kind = "add" if old is None else "remove" if new is None else "change"
    new_digest = f"sha256:{new.sha256}" if new else None
    old_digest = f"sha256:{old.sha256}" if old and old.sha256 else f"git:{old.git_id}" if old else None
    if new and old_digest in (new_digest, f"git:{new.git_id}"):
        kind, old_digest = "keep", new_digest
    size_bytes = new.size_bytes if new else old.size_bytes if old else 0
    return FileChange(
        kind=kind, name=name, size_bytes=size_bytes, old_digest=old_digest, new_digest=new_digest
    )


def _with_digests(changes: tuple[FileChange, ...], target: Target) -> tuple[FileChange, ...]:
    """Read the old file of each change that the Hub records by git's id only, for its SHA-256."""
    return tuple(
        replace(change, old_digest=f"sha256:{digest_both(target.read(change.name)).sha256}")
        if change.kind == "change" and str(change.old_digest).startswith("git:")
        else change
        for change in changes
    )


def has_standins(repo: Repo) -> bool:
    """Return whether a repo's weights are stand-ins, by its receipt or by their own mark."""
    return (repo.receipt is not None and repo.receipt.stand_in) or is_standin(repo.weights)


def require_trained(place: Path | str, *, stand_in: bool) -> None:
    """Refuse stand-ins for any Hub but one of this machine; no byte is sent to ask."""
    if stand_in and not is_loopback(hub_url()):
        raise PublishError(
            f"{place}: its weights are stand-ins, random numbers, and {hub_url()} is a real Hub; "
            "publish them to a folder, or stage the released file"
        )


def _false_claims(repo: Repo) -> dict[str, bool]:
    """Check the staged repo against entry and lock; a false claim stops a plan, and so does no entry.

    Returns:
        Each that is false, and whether it is one of card or config, which say what the entry says.
    """
    if (entry := find_entry_of(repo.folder)) is None:
        problem = f"the index has no model {repo.config.model!r}, so no claim of the repo can be checked"
        return {f"{problem} against an entry: rexnet-hub add makes one": False}
    measured = read_lock().of_entry(entry)
    if is_standin(repo.weights):
        measured = measured.of_standin()
    findings = verify_model(entry, repo=repo.folder, measured=measured)
    stops = {
        f"{finding.claim} is false: stated {finding.stated}, found {finding.found}": finding.note.startswith(
            (CARD_FILE, CONFIG_FILE, LICENSE_FILE)
        )
        for finding in findings
        if finding.verdict == FALSE
    }
    if entry.trusted_key is not None and not (repo.folder / SIGNATURE_FILES[-1]).is_file():
        stops["the index demands a signature: --sign KEY --version-counter N"] = False
    return stops
