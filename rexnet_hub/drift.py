"""Compare what is published, and what is cited, with index and lock.

A head that moved, a file beside ours, a line more in a card: what others change of their own is named, and is
false only where index or lock state otherwise.
"""

from __future__ import annotations

import functools
import itertools
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import Path

from rexnet_hub.addresses import HubFile, host_of, parse_hub_file, redact_url
from rexnet_hub.errors import (
    FetchError,
    FileProblem,
    HubError,
    MismatchError,
    RepoError,
    UnknownModelError,
    UsageError,
    list_some,
)
from rexnet_hub.hub.guard import PUBLIC_HUB
from rexnet_hub.hub.remote import RemoteRepo, RemoteState, hub_url, list_repos
from rexnet_hub.hub.snapshot import RepoFile, downloaded_file, is_offline
from rexnet_hub.identity import StatedFile
from rexnet_hub.index import Entry, load_index, read_lock
from rexnet_hub.index.entry import PublishedTable, Witness
from rexnet_hub.index.ledger import Figures, Place, read_ledger, spell
from rexnet_hub.index.lock import Publication, flatten
from rexnet_hub.layout import (
    CARD_FILE,
    CONFIG_FILE,
    RECEIPT_FILE,
    SIGNATURE_FILE,
    WEIGHTS_FILE,
    find_cache_dir,
)
from rexnet_hub.patience import Patience
from rexnet_hub.publish.releases import differing
from rexnet_hub.publish.there import TITLE, Target, parse_repo_id
from rexnet_hub.repo.folder import find_entry_of, find_sources
from rexnet_hub.verify import verify_model
from rexnet_hub.verify.evidence import Evidence
from rexnet_hub.verify.finding import FALSE, NOT_MEASURED, Finding, verdict_of
from rexnet_hub.weights.download import FetchPolicy, download, fetch_bytes

#: The claims whose findings are of what others did, so that they are shown though they are not false.
NOTES = frozenset({"repo", "head", "others", "source"})
MOST_TITLES, MAX_TEXT_BYTES = 5, 1 << 24
PATIENCE = Patience(step_seconds=30, total_seconds=600, attempts=3)
POLICY = FetchPolicy(total_seconds=600, attempts=3)
#: A file of a repository, as GitHub, the Hub and others like them address it.
_PINNED = re.compile(
    r"https://(?P<host>[^/]+)/(?P<repo>[^/]+/[^/]+)/(?:blob|raw|resolve)/(?P<at>[^/]+)/(?P<path>[^?#]+)"
)
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
#: Where in an entry addresses stand that are asked for more than their text.
_ASKED = re.compile(r"^weights\.|\bwitnesses\.|\.snapshots\.")


def verify_published(target: str) -> list[Finding]:
    """Check one repo on the Hub, `hf:OWNER/NAME`, or each of an owner, as it is now, against index and lock.

    Raises:
        UsageError: The target is neither, or nothing may be asked (HF_HUB_OFFLINE).
        UnknownModelError: The one repo is of no model of the index.
    """
    if not target.startswith("hf:"):
        raise UsageError(f"{target}: is no repo on the Hub; give hf:OWNER or hf:OWNER/NAME, and nothing else")
    require_network()
    index, lock, owner = load_index(), read_lock(), parse_repo_id(target, "any").split("/")[0]
    locked = {hub.repo_id: entry for entry in index.models if (hub := lock.of(entry.name).hub)}
    known = {f"{owner}/{entry.name}": entry for entry in index.models} | locked
    if "/" in target and (repo_id := target.removeprefix("hf:")) not in known:
        if (entry := _read_entry(RemoteRepo(repo_id=repo_id, patience=PATIENCE))) is None:
            there = [f"hf:{repo}" for repo in locked]
            raise UnknownModelError(target, there, kind="repo of a model of the index")
        known[repo_id] = entry
    of_owner = [repo for repo in sorted(locked) if repo.startswith(f"{owner}/")]
    repos = [target.removeprefix("hf:")] if "/" in target else of_owner
    findings = [finding for repo in repos for finding in _check_published(known[repo], repo)]
    if "/" not in target:
        seen = {finding.found for finding in findings if finding.claim == "repo"}  # also where it was renamed
        findings += _asked(owner, "repo", target, _check_others(owner, {*of_owner}, seen, known))
    return findings


def _read_entry(remote: RemoteRepo) -> Entry | None:
    """Read the entry in the receipt of a repo on the Hub; None where it has none."""
    state = remote.read()
    if not {CONFIG_FILE, RECEIPT_FILE} <= state.files.keys():
        return None
    with Target(remote, state) as there:
        entry = find_entry_of(there.copy((CONFIG_FILE, RECEIPT_FILE)))
    return entry if entry and entry.is_in_repo else None


def _check_others(
    owner: str, locked: set[str], seen: set[str], known: Mapping[str, Entry]
) -> Iterator[Finding]:
    """Check the repos of an owner that the lock does not have there, and name those of no model."""
    for repo in sorted({*list_repos(owner, PATIENCE)} - locked):
        if entry := known.get(repo):
            yield from _check_published(entry, repo)
        elif f"hf:{repo}" not in seen:
            texts = {"stated": "nothing", "found": repo, "note": "of no model of the index"}
            yield Finding(model=repo, claim="repo", verdict=NOT_MEASURED, **texts)


def watch(entries: Sequence[Entry], *, is_fetched: bool = False) -> list[Finding]:
    """Check each model that the lock has on a Hub, and each source that the entries cite.

    Args:
        is_fetched: Whether released files are fetched whole, past the cache; else their sizes are asked for.

    Raises:
        UsageError: Nothing may be asked (HF_HUB_OFFLINE), or there is nothing to ask.
    """
    require_network()
    lock = read_lock()
    published = [(entry, hub.repo_id) for entry in entries if (hub := lock.of(entry.name).hub)]
    findings = [finding for entry, repo_id in published for finding in _check_published(entry, repo_id)]
    findings += _check_sources(entries, is_fetched=is_fetched)
    if not findings:
        raise UsageError("nothing is published and the index cites no source, so there is nothing to watch")
    return findings


def require_network(why: str = "what others changed is known to them alone") -> None:
    """Refuse to go on where nothing may be asked of any network.

    Args:
        why: What a network is needed for.

    Raises:
        UsageError: HF_HUB_OFFLINE says so.
    """
    if is_offline():
        raise UsageError(f"{why}, and HF_HUB_OFFLINE forbids to ask")


def _evidence(entry: Entry) -> Evidence:
    measured = read_lock().of_entry(entry)
    return Evidence(entry=entry, checkpoint=None, repo=None, measured=measured, records=())


def _asked(model: str, claim: str, stated: str, check: Iterator[Finding]) -> Iterator[Finding]:
    """Yield what a check finds; that something is gone is false, that nobody answered or may ask is said."""
    try:
        yield from check
    except (HubError, FetchError, MismatchError) as error:
        found = {"verdict": verdict_of(error), "found": str(error)}
        yield Finding(model=model, claim=claim, stated=stated, **found)


def _check_published(entry: Entry, repo_id: str) -> Iterator[Finding]:
    """Check a model's repo: its releases, who changed what since the last, and all that it claims now."""
    say, remote = _evidence(entry), RemoteRepo(repo_id=repo_id, patience=PATIENCE)
    yield from _asked(entry.name, "repo", f"hf:{repo_id}", _check_repo(say, remote))


def _check_repo(say: Evidence, remote: RemoteRepo) -> Iterator[Finding]:
    state, stated, measured = remote.read(), f"hf:{remote.repo_id}", say.measured
    found = f"hf:{state.repo_id}" if state.head else "no such repo, or it is private"
    if state.is_private and found == stated:
        yield say.leave("repo", stated=stated, found="private", note="read with a token")
    else:
        yield say.compare("repo", stated=stated, found=found, note="as the Hub names it")
    if state.head is None:
        return
    if say.entry.is_in_repo:
        pass  # no lock is asked of it
    elif measured.hub is None or measured.hub.repo_id != remote.repo_id:
        yield say.leave("head", stated="nothing", found=state.head, note="not in the lock: publish --record")
    else:
        for release in (each for each in measured.published if each.repo_id == remote.repo_id):
            yield _check_release(say, remote, state, release)
        yield _check_head(say, remote, state, measured.hub.commit)
    remote = replace(remote, repo_id=state.repo_id or remote.repo_id)
    with Target(remote, state) as there:
        if there.others:
            others = list_some(sorted(there.others))
            yield say.leave("others", stated="nothing", found=others, note="files that are not ours")
        folder = str(there.copy(there.ours))
        try:
            fetched = find_sources(say.entry, cache_dir=find_cache_dir(), measured=measured)
            for each in verify_model(say.entry, sources=fetched, repo=Path(folder), measured=measured):
                texts = {n: getattr(each, n).replace(folder, remote.repo_id) for n in ("found", "note")}
                unsigned = each.claim == "signature" and each.verdict == NOT_MEASURED
                if unsigned and say.entry.trusted_key:  # nobody can load it by its name
                    texts |= {"verdict": FALSE, "found": f"no {SIGNATURE_FILE}"}
                yield replace(each, **texts)
        except (FileProblem, RepoError) as error:  # of which no claim can be measured
            found = str(error).replace(folder, remote.repo_id)
            yield say.compare("files", stated="a whole repo", found=found, note=f"at {state.head}")


def _check_release(say: Evidence, remote: RemoteRepo, head: RemoteState, release: Publication) -> Finding:
    """Check that a release is there: its commit with its weights, and its tag on the files of that commit."""
    then, tagged = remote.read(release.commit), head.tags.get(release.tag or "")
    at_tag = remote.read(tagged) if tagged else then
    found = _weights_of(then)
    is_other = differing(then, at_tag) if then.head else _weights_of(at_tag) != release.weights_sha256
    wrong = {
        "no such commit any more": not then.head,
        f"weights {found}": then.head and release.weights_sha256 != found,
        f"no tag {release.tag}": release.tag and not tagged,
        f"{release.tag} on {tagged} with other files": tagged and is_other,
    }
    stated = f"{release.tag or 'no tag'} on {release.commit}, weights {release.weights_sha256}"
    found = "; ".join(text for text, is_so in wrong.items() if is_so) or stated
    return say.compare("release", stated=stated, found=found, note=f"lock, {release.date}")


def _weights_of(state: RemoteState) -> str:
    weights = state.files.get(WEIGHTS_FILE)
    return (weights and weights.sha256) or "gone"


def _check_head(say: Evidence, remote: RemoteRepo, head: RemoteState, commit: str) -> Finding:
    """Name the commits since the lock's; false if a file of ours changed; the card has a check."""
    if head.head == commit:
        return say.compare("head", stated=commit, found=commit, note="no commit since")
    history, then = dict(remote.messages(str(head.head))), remote.read(commit)
    since = [history[at] for at in itertools.takewhile(lambda at: at != commit, history)]
    titles = [text.split("\n")[0] + " (as we publish)" * text.startswith(TITLE) for text in since]
    what = "commits since" if commit in history else "not after the lock's commit; the last"
    note = f"{what} ({len(titles)}): {'; '.join(titles[:MOST_TITLES])}"
    wrong = [text for text in differing(then, head) if not text.startswith(CARD_FILE)] if then.head else []
    same = "weights and config the same" if then.head else "of another history"
    found = f"{head.head}, {', '.join(wrong) or same}"
    if wrong:
        return say.compare("head", stated=commit, found=found, note=note)
    return say.leave("head", stated=commit, found=found, note=note)


class _Upstream:
    """Reads what the index cites, each text and each state of a repo once."""

    def __init__(self) -> None:
        self.text, self.file = functools.cache(_fetch_text), functools.cache(_fetch_hub_text)
        self.state = functools.cache(lambda repo, at: RemoteRepo(repo_id=repo, patience=PATIENCE).read(at))

    def lines(self, url: str, revision: str = "HEAD") -> list[str]:
        """Read a text as it is at a revision; where its address has none, as it is now."""
        if file := _hub_file(url):
            return self.file(file._replace(commit="main" if revision == "HEAD" else revision)).splitlines()
        if at := _PINNED.match(url):
            url = f"https://{at['host']}/{at['repo']}/raw/{revision}/{at['path']}"
        return self.text(url).splitlines()

    def record(self, url: str, revision: str | None = None) -> RepoFile | None:
        """Read the Hub's record of a file at a revision; None where the address is of no Hub."""
        at = _hub_file(url)
        if at is None:
            return None
        file = self.state(at.repo_id, revision).files.get(at.name)
        if file is None:
            raise HubError(at.repo_id, f"{at.repo_id} shows us no {at.name}", kind="no-file")
        return file


def _hub_file(url: str) -> HubFile | None:
    """Parse the address of a file on the Hub, in either form; None for any other."""
    at = _PINNED.match(url)
    if at and at["host"] in (*PUBLIC_HUB, host_of(hub_url())):
        return HubFile(at["repo"], at["at"], at["path"])
    return parse_hub_file(url)


def _fetch_text(url: str) -> str:
    return fetch_bytes(url, policy=POLICY, max_bytes=MAX_TEXT_BYTES).decode(errors="replace")


def _fetch_hub_text(file: HubFile) -> str:
    with downloaded_file(file) as (path, _):
        return path.read_text(encoding="utf-8", errors="replace")


def _check_sources(entries: Sequence[Entry], *, is_fetched: bool) -> Iterator[Finding]:
    """Check what the released files, the witnesses, the tables and the cited texts are now."""
    up, cited = _Upstream(), dict[str, tuple[Evidence, list[str]]]()
    shown = dict[tuple[str, str], list[tuple[Evidence, PublishedTable]]]()
    for entry in entries:
        say, url = _evidence(entry), entry.released.url if entry.released else ""
        if url.startswith(("https:", "hf:")):
            check = _check_weights(say, up, url, is_fetched)
            yield from _asked(entry.name, "weights", redact_url(url), check)
        for witness in entry.witnesses:
            if str(witness.claim.source).startswith(("https:", "hf:")):
                yield from _asked(entry.name, "witness", witness.claim.text, _check_witness(say, up, witness))
        for tables in (result.snapshots for result in entry.results):
            last = {_file(table.url): table for table in sorted(tables, key=lambda table: table.date or "")}
            for table in tables:
                at, is_last = _PINNED.match(table.url), last[_file(table.url)] is table
                for revision in [*([at["at"]] if at else []), *(["HEAD"] if is_last else [])]:
                    shown.setdefault((table.url, revision), []).append((say, table))
        for name, value in flatten(asdict(entry)):
            at = _PINNED.match(str(value))
            if at and _COMMIT.fullmatch(at["at"]) and not _ASKED.search(name):
                label = re.sub(r"\.(source|value|text)$", "", name).rpartition(".")[2]
                cited.setdefault(at[0], (say, []))[1].append(label)
    for (url, revision), rows in shown.items():
        check = _check_table(rows, up, url, revision)
        yield from _asked(rows[0][0].entry.name, "table", redact_url(url), check)
    for url, (say, names) in cited.items():
        yield from _asked(say.entry.name, "source", redact_url(url), _check_text(say, up, url, names))
    for place in read_ledger().places:
        stated = [(_evidence(entry), said) for entry in entries if (said := [*place.list_stated(entry)])]
        if stated and _PINNED.match(str(place.url)):  # others are pages for people
            check = _check_place(stated, up, place)
            yield from _asked(stated[0][0].entry.name, "source", redact_url(str(place.url)), check)


def _file(url: str) -> str:
    return _PINNED.sub(r"\g<host>/\g<repo>/\g<path>", url)


def _check_weights(say: Evidence, up: _Upstream, url: str, is_fetched: bool) -> Iterator[Finding]:
    """Check the released file where it is: by the Hub's record of it, else by its size, or fetched whole."""
    shown, at = redact_url(url), _hub_file(url)
    identity, how = say.released_identity.agreed(shown), "the Hub's record"
    if at and (record := up.record(url, at.commit)):
        identity.require(shown, StatedFile(by="it", sha256=record.sha256 or "", size_bytes=record.size_bytes))
    else:
        how = "fetched whole" if is_fetched else "its size alone: --fetch compares each byte"
        with tempfile.TemporaryFile() as target:
            digest = download(url, target, identity=identity, policy=POLICY, is_head_only=not is_fetched)
        if is_fetched:
            identity.require(shown, digest)
    stated = "; ".join(statement.value for statement in identity.statements)
    yield say.compare("weights", stated=stated, found=stated, note=f"{shown}, {how}")


def _check_witness(say: Evidence, up: _Upstream, witness: Witness) -> Iterator[Finding]:
    """Check that a witness states what it is cited for: at its head, a source at its commit."""
    place, text, value = str(witness.claim.source), witness.claim.text, witness.claim.value
    at, note = parse_hub_file(place), redact_url(place)
    record = up.record(place, at and at.commit)
    note += "" if at else ", at its head"
    if record is not None and (witness.algorithm != "sha256" or record.sha256 is None):
        yield say.leave("witness", stated=text, found="no such digest in the Hub's record", note=note)
        return
    found = record.sha256 if record else "another"
    holds = found == value if record else any(value in line.lower() for line in up.lines(place))
    yield say.compare("witness", stated=text, found=text if holds else found, note=note)


def _check_table(
    cited: Sequence[tuple[Evidence, PublishedTable]], up: _Upstream, url: str, revision: str
) -> Iterator[Finding]:
    """Check that a table, as it is at a revision, has each figure that it is cited for."""
    lines, note = up.lines(url, revision), f"{redact_url(url)}, at {revision}"
    for say, table in cited:
        names = {say.entry.name, say.entry.architecture}
        named = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, names))})(?![\w-])")
        figures = {f"{name} {claim.text}": claim.value for name, claim in table.metrics.items()}
        figures = {name: value for name, value in figures.items() if isinstance(value, Decimal | int)}
        rows = [line for line in lines if named.search(line)]
        numbers = {Decimal(number) for row in rows for number in re.findall(r"\d+(?:\.\d+)?", row)}
        wrong = [figure for figure, value in figures.items() if value not in numbers]
        stated = ", ".join(wrong or figures)
        found = ("; ".join(rows) or "no line that names the model") if wrong else stated
        yield say.compare("table", stated=stated, found=found, note=note)


def _check_text(say: Evidence, up: _Upstream, url: str, names: Sequence[str]) -> Iterator[Finding]:
    """Check that a cited text is still there, and name it where its head has another one."""
    at, shown, note = _PINNED.match(url), redact_url(url), f"cited for {', '.join(dict.fromkeys(names))}"
    commit = at["at"] if at else "HEAD"
    record = up.record(url, commit)
    if record == up.record(url) if record else up.lines(url, commit) == up.lines(url):
        yield say.compare("source", stated=shown, found=shown, note=note)
    else:
        yield say.leave("source", stated=shown, found="there; its head has another text", note=note)


def _check_place(
    stated: Sequence[tuple[Evidence, Sequence[tuple[Figures, str]]]], up: _Upstream, place: Place
) -> Iterator[Finding]:
    """Check that a place has each figure that the ledger has of it, and name those that its head lacks."""
    url, note = str(place.url), f"{place.name}, {redact_url(str(place.url))}"
    at = _PINNED.match(url)
    revision = at["at"] if at else "HEAD"
    there = _read_numbers(up.lines(url, revision))
    try:
        head = _read_numbers(up.lines(url)) if _COMMIT.fullmatch(revision) else there
    except (FetchError, HubError) as error:
        if not error.is_gone:
            raise
        head = set()
    for say, said in stated:
        texts = {f"{each.field} {text}": spell(each.field, text) for each, text in said}
        wrong = [text for text, spelt in texts.items() if not spelt & there]
        shown = ", ".join(wrong or texts)
        yield say.compare("source", stated=shown, found="no such number" if wrong else shown, note=note)
        if left := [text for text, spelt in texts.items() if not spelt & head and text not in wrong]:
            yield say.leave("source", stated=", ".join(left), found="its head has it no more", note=note)


def _read_numbers(lines: Sequence[str]) -> set[Decimal]:
    """Read every number of a text, also where its thousands are set apart."""
    text = "\n".join(lines)
    found = re.findall(r"\d+(?:\.\d+)?", text) + re.findall(r"\d{1,3}(?:[,_]\d{3})+", text)
    return {Decimal(re.sub("[,_]", "", number)) for number in found}
