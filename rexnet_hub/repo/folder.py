"""Write an entry's repo folder whole, and read it back."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rexnet_hub.addresses import HubFile, parse_hub_file, redact_url
from rexnet_hub.errors import (
    FetchError,
    FileProblem,
    HubError,
    MismatchError,
    OutputExistsError,
    RepoError,
    file_problems,
)
from rexnet_hub.hub.snapshot import downloaded_file, is_offline
from rexnet_hub.identity import Facts, Identity, StatedFile, gather, stated_file
from rexnet_hub.index import Entry, Index, Measured, load_index
from rexnet_hub.index.entry import AGREES, DENIES, WeightsSource, Witness
from rexnet_hub.index.loading import read_own_model
from rexnet_hub.index.lock import find_in_lock
from rexnet_hub.index.network import entry_plan
from rexnet_hub.layout import (
    CONFIG_FILE,
    LICENSE_FILE,
    RECEIPT_FILE,
    RELEASED_FOLDER,
    REPO_FILES,
    SIGNATURE_FILES,
    WEIGHTS_FILE,
    find_cache_dir,
    is_file_name,
    is_repo_file,
    real_path,
)
from rexnet_hub.repo.config import RepoConfig, read_config, render_config
from rexnet_hub.terminal import printable
from rexnet_hub.weights.convert import convert_checkpoint
from rexnet_hub.weights.digest import FileDigest, digest_file
from rexnet_hub.weights.fingerprint import digest_weights, fingerprint_of
from rexnet_hub.weights.receipt import ParentFacts, Receipt, read_receipt, render_receipt
from rexnet_hub.weights.safetensors_file import digest_as_written
from rexnet_hub.whole_files import locked, whole_folder, write_whole

if TYPE_CHECKING:
    from rexnet_hub.weights.fetch import FetchedFile

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Repo:
    """A repo folder that can be loaded.

    Attributes:
        receipt: What its weights were made from; None in repos that others wrote.
        identity: What is stated of the weights: by the receipt, by the lock, by the Hub's record.
        renew: Fetches the weights anew, where they came from a cache that may be damaged.
        hub: The weights at their commit, where they are from a Hub.
    """

    folder: Path
    config: RepoConfig
    weights: Path
    receipt: Receipt | None
    identity: Identity = field(default_factory=Identity)
    renew: Callable[[], Repo] | None = field(default=None, compare=False, repr=False)
    hub: HubFile | None = None


def read_repo(folder: Path, *, as_stated: bool = True) -> Repo:
    """Read a repo folder: of ours, of timm's or of transformers'.

    Args:
        as_stated: Whether its config must be the one that its receipt states.

    Raises:
        RepoError: It lacks config.json or model.safetensors, or one of its files is not what it must be.
        MismatchError: The config is not what the receipt states.
        FileProblem: There is no such folder, or its receipt is none.
    """
    if not folder.is_dir():
        raise FileProblem(folder, "there is no such folder")
    config, receipt = read_stated(folder, as_stated=as_stated)
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        pickles = sorted(file.name for file in folder.iterdir() if file.suffix in {".bin", ".pth", ".pt"})
        convert = f"rexnet-hub convert {folder / pickles[0]} --out {weights}" if pickles else ""
        advice = f"; convert its pickle first: {convert}" if pickles else ""
        raise RepoError(f"{folder}: has no {WEIGHTS_FILE}{advice}")
    identity = gather("the receipt", receipt.output if receipt else None, f"{folder / RECEIPT_FILE}, output")
    return Repo(folder=folder, config=config, weights=weights, receipt=receipt, identity=identity)


def find_entry_of(folder: Path, index: Index | None = None) -> Entry | None:
    """Find whose claims a repo folder makes: the entry in its receipt, else that of its name in the index.

    Raises:
        RepoError, FileProblem: Its config cannot be read, or its receipt.
    """
    file, config = folder / RECEIPT_FILE, read_config(folder / CONFIG_FILE)
    receipt = read_receipt(file) if file.exists() else None
    if receipt is None or receipt.model is None:
        return (index or load_index()).get(config.model)
    stated = read_own_model(file, receipt.model)
    if not stated.models:
        raise FileProblem(file, f"its model cannot be read: {stated.problems[0].message}")
    return replace(stated.models[0], class_names=config.label_names)


def require_own_files(folder: Path) -> tuple[str, ...]:
    """Return the files of a repo of ours, signature aside: licence and evidence where its receipt has them.

    Raises:
        FileProblem: One is missing, one is there that belongs to no repo, or the receipt is none.
    """
    file = folder / RECEIPT_FILE
    with file_problems(folder, "cannot be read"):
        there = {each.name for each in folder.iterdir()}
    stated = filter(is_repo_file, read_receipt(file).files) if file.is_file() else ()
    names = tuple(dict.fromkeys((*REPO_FILES, *stated)))
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise FileProblem(folder, f"is not a whole repo: {', '.join(missing)} missing")
    if strange := sorted(there - {*names, *SIGNATURE_FILES}):
        raise FileProblem(folder, f"holds what belongs to no repo: {', '.join(strange)}; move it away")
    return names


def read_stated(folder: Path, *, as_stated: bool = True) -> tuple[RepoConfig, Receipt | None]:
    """Read the config of a folder and the receipt that states it; arguments and errors as of `read_repo`.

    Where nothing states the config, though its receipt should, that is logged.
    """
    file, receipt_file = folder / CONFIG_FILE, folder / RECEIPT_FILE
    config = read_config(file)
    if not receipt_file.exists():
        if config.names_receipt:
            problem = "%s is missing, so nothing states what the files beside it must be"
            log.warning(problem, printable(str(receipt_file)))
        return config, None
    receipt = read_receipt(receipt_file)
    stated = receipt.files.get(CONFIG_FILE, config.sha256)
    if CONFIG_FILE not in receipt.files:
        problem = "%s states nothing of %s, so nothing shows whether that was changed"
        log.warning(problem, printable(str(receipt_file)), CONFIG_FILE)
    if as_stated and stated != config.sha256:
        texts = (f"the receipt ({receipt_file}, files) states SHA-256 {stated}", f"it has {config.sha256}")
        advice = f"Fetch or stage it again; whoever meant to change it removes {RECEIPT_FILE}."
        raise MismatchError(file, texts, advice=advice)
    return config, receipt


#: What of an entry states its released file; a whole section that cannot be read may have stated it.
_IDENTITY_FIELDS = ("weights", "sha256", "file_size", "metadata", "witnesses")


def released_identity(entry: Entry, measured: Measured, *, repo: Repo | None = None) -> Identity:
    """Gather what is stated of an entry's released file, or of the source that a repo's receipt is of.

    It is stated by the index, the lock, and that receipt.
    """
    receipt = repo.receipt if repo else None
    source = entry.source_of(receipt.source.sha256) if receipt else entry.released
    identity = source_identity(entry, measured, source)
    if repo and receipt:
        identity += gather("the receipt", receipt.source, f"{repo.folder / RECEIPT_FILE}, source")
    return identity


def source_identity(entry: Entry, measured: Measured, source: WeightsSource | None) -> Identity:
    """Gather what index and lock state of one of an entry's sources."""
    unread = (claim for claim in entry.unread if claim.field in _IDENTITY_FIELDS)
    unread_texts = tuple(f"the index, {claim.label}: {claim}" for claim in unread)
    identity = Identity(source.statements if source else (), unread_texts)
    if source == entry.released:
        identity += gather("the lock", measured.released, find_in_lock(entry.name, "released"))
    return identity


def file_identity(entry: Entry, measured: Measured, file: Path) -> Identity:
    """Gather what is stated of the source that a file is by its digest, else of the released file."""
    source = entry.source_of(digest_file(file).sha256) if len(entry.sources) > 1 else entry.released
    return source_identity(entry, measured, source)


def digest_source(entry: Entry, file: Path) -> StatedFile:
    """Digest a file of an entry's weights and its tensors, as a statement of its source.

    A file outside the cache is a person's, and is named as itself.
    """
    digest, tensors = digest_weights(file, wrapper=entry.said("weights_key"))
    is_fetched = real_path(file).is_relative_to(real_path(find_cache_dir()))
    source = entry.source_of(digest.sha256) if is_fetched else None
    by = f"the file at {redact_url(source.url)}" if source else str(file)
    place = source.statements[0].place if source and source.statements else ""
    return replace(stated_file(by, digest, place), fingerprint=fingerprint_of(tensors))


def source_tensors(entry: Entry, files: Iterable[Path]) -> Identity:
    """Gather what files of an entry's weights state of the tensors, which is to be the same."""
    found = (digest_source(entry, file) for file in files)
    return Identity(tuple(replace(each, sha256="", size_bytes=None) for each in found))


def compare_witnesses(
    entry: Entry,
    source: Path | None,
    output: Facts | None = None,
    weights: Path | None = None,
    *,
    fetched: Iterable[Path] = (),
) -> dict[Witness, str]:
    """Compare an entry's witnesses with a file and its conversion, in every layout of safetensors.

    Args:
        source: The released file, or what is taken for it, or another source of the weights.
        output: What is known of the converted `weights`.
        fetched: Other sources: a witness agrees if its file has the same tensors, and denies if it has not.
    """
    if not entry.witnesses:
        return {}
    algorithms = {name for witness in entry.witnesses for name in witness.statement.digests}
    asked = {each.claim.value: each.algorithm for each in entry.witnesses if each.of == "safetensors"}
    written = {output.sha256} if output else set()
    layouts = digest_as_written(weights, {*asked.values()}) if weights else iter(())
    while not asked.keys() <= written and (digest := next(layouts, None)):  # until each agrees
        written.add(digest)
    released = digest_file(source, algorithms) if source else None
    if released and entry.source_of(released.sha256) != entry.released:
        written, released = {*written, released.sha256}, None
    answers = entry.compare_witnesses(released, output, written)
    own = getattr(output, "fingerprint", None)
    for file in (digest_source(entry, each) for each in (fetched if own else ())):
        answer = AGREES if file.fingerprint == own else DENIES
        answers |= {each: answer for each in answers if each.claim.value == file.sha256}
    return answers


def compare_sources(entry: Entry, files: Sequence[Path]) -> dict[Witness, str]:
    """Compare files of an entry's sources with each other, and with the witnesses.

    Args:
        files: The released file last, if it is among them.

    Raises:
        MismatchError: They have not the same tensors; each is named, with its place.
    """
    if len(files) > 1:
        source_tensors(entry, files).agreed(f"the weights of {entry.name}")
    output = digest_source(entry, files[0]) if len(files) > 1 else None
    return compare_witnesses(entry, files[-1], output, fetched=files[:-1])


def describe_witnesses(entry: Entry, measured: Measured, answers: Mapping[Witness, str]) -> tuple[str, str]:
    """Describe in a line which witnesses agree, and in another what makes the released file doubtful.

    Args:
        measured: What the lock has of the model.
        answers: What the witnesses say of the files that are here; without any the first line is empty.
    """
    agreed = [witness.name for witness, answer in answers.items() if answer == AGREES]
    others = [f"{each.name} {answer}" for each, answer in answers.items() if answer != AGREES]
    line = f"{entry.name}: {len(agreed)} of {len(answers)} witnesses agreed: {'; '.join(agreed + others)}"
    doubt = "" if agreed or entry.released is None else released_identity(entry, measured).doubt
    return line if answers else "", f"{entry.name}: {doubt}" if doubt else ""


def fetch_weights(
    entry: Entry, *, cache_dir: Path, measured: Measured, token: str | bool | None = None
) -> Path:
    """Fetch an entry's weights from the first of its sources that serves: one in the cache, if there is one.

    A source that is not to be had is passed over with a warning; one that gives another file than is stated
    is not.

    Raises:
        FetchError, HubError: None serves; each was said, the last is raised.
        MismatchError, RepoError, IndexReadError: As of `fetch_released`.
    """
    options: dict[str, Any] = {"cache_dir": cache_dir, "measured": measured}
    if fetched := find_sources(entry, **options):
        return fetched[0]
    *first, last = entry.sources or (None,)
    for source in first:
        try:
            return fetch_released(entry, **options, token=token, source=source)
        except (FetchError, HubError) as error:
            log.warning("%s", printable(f"{error}; the next of {entry.name}'s sources is asked"))
    return fetch_released(entry, **options, token=token, source=last)


def no_weights(entry: Entry) -> RepoError:
    """Return the error of an entry without an address of its weights, with what a person can do."""
    page = entry.said("weights_page")
    stage = f"rexnet-hub stage {entry.name} --weights FILE --out DIR makes a folder of it, to be loaded"
    by_hand = f": a person downloads the file from {page}, and {stage}" if page else ""
    problem = f"names no Weights, so there is nothing to fetch{by_hand}"
    return RepoError(f"{entry.location}: {entry.name} {problem}")


def fetch_released(
    entry: Entry,
    *,
    cache_dir: Path,
    measured: Measured,
    to: Path | None = None,
    token: str | bool | None = None,
    source: WeightsSource | None = None,
) -> Path:
    """Fetch an entry's released file to the cache, checked, with a progress bar on a terminal.

    Args:
        measured: What the lock states of the model.
        source: Another of its sources.
        to: A folder to copy it to, where it has its own name.
        token: For a file of a Hub repo, as in huggingface_hub.

    Raises:
        FetchError, HubError: It cannot be fetched.
        MismatchError: It is not the file that index and lock state, or they state two.
        OutputExistsError: Another file has its name in the folder.
        RepoError: The entry names no weights.
        IndexReadError: Its name must be no folder's.
    """
    from tqdm import tqdm

    from rexnet_hub.weights.fetch import fetch

    entry.require_name()
    released = source or entry.released
    identity = source_identity(entry, measured, released).agreed(f"the released file of {entry.name}")
    if released is None:
        raise no_weights(entry)
    hub_file = parse_hub_file(released.url)
    opened = (
        partial(_opened_on_hub, file=hub_file, identity=identity, token=token) if hub_file else nullcontext
    )
    with tqdm(
        desc=released.file_name,
        total=released.size_bytes,
        unit="B",
        unit_scale=True,
        disable=True if hub_file else None,  # the Hub's client has its own
        leave=False,
    ) as bar:

        def show(done_bytes: int, total_bytes: int | None) -> None:
            """Move the bar to where the fetch is."""
            bar.total = total_bytes
            bar.update(done_bytes - bar.n)

        fetched = fetch(
            released.url,
            file_name=released.file_name,
            cache_dir=cache_dir,
            identity=identity,
            progress=show,
            offline=is_offline(),
            opened=opened,
        )
    return fetched.path if to is None else _copy(fetched, to / released.file_name)


def find_sources(entry: Entry, *, cache_dir: Path, measured: Measured) -> list[Path]:
    """List the sources of an entry's weights that earlier fetches left in the cache, each checked."""
    from rexnet_hub.weights.fetch import find_cached

    found = []
    for source in entry.sources:
        identity = source_identity(entry, measured, source)
        place = cache_dir / RELEASED_FOLDER / identity.address(source.url)
        if is_file_name(source.file_name):
            with file_problems(cache_dir, "cannot be used as a cache"):
                cached = find_cached(place, identity, source.file_name)[1]
            found += [cached.path] if cached else []
    return found


@contextlib.contextmanager
def _opened_on_hub(url: str, *, file: HubFile, identity: Identity, token: str | bool | None) -> Iterator[str]:
    """Download a file of a Hub repo aside, check it by the Hub's own record too, yield its address there."""
    with downloaded_file(file, token=token) as (path, recorded):
        identity += gather("the Hub's own record", recorded, f"{file.repo_id}@{file.commit[:12]}")
        identity.agreed(url).require(url, digest_file(path, identity.digests))
        yield path.as_uri()


def _copy(fetched: FetchedFile, file: Path) -> Path:
    """Copy a file out of the cache, unless it is there already."""
    if file.exists() and digest_file(file).sha256 == fetched.sha256:
        return file
    if file.exists():
        raise OutputExistsError(file, "is another file; move it away")
    with file_problems(file, "cannot be written"):
        file.parent.mkdir(parents=True, exist_ok=True)
        data = fetched.path.read_bytes()
    copied = FileDigest(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
    gather("the cache", fetched.sha256).require(fetched.path, copied)
    write_whole(file, data)
    return file


def write_repo(
    entry: Entry,
    checkpoint: Path,
    out: Path,
    *,
    identity: Identity | None = None,
    beside: Callable[[Receipt], Mapping[str, bytes]] | None = None,
    check: Callable[[Path], None] | None = None,
    parent: ParentFacts | None = None,
    model: Mapping[str, Any] | None = None,
    replaces: bool = False,
) -> Repo:
    """Write an entry's repo, the weights and what lies beside them: aside, then moved into place.

    What an earlier run left aside when it was killed is swept.

    Args:
        checkpoint: The released file, already on this machine.
        out: A folder that does not exist yet or is empty.
        identity: What is stated of the checkpoint.
        beside: Makes the other files, by name, of the weights that the receipt is of: card and evidence.
        check: Called with the whole folder before it is moved into place; what it raises leaves no folder.
        parent, model: Of a network that is saved: what it was made from, and its entry, for the receipt.
        replaces: Whether a repo of ours at `out`, with nothing else in it, is replaced.

    Raises:
        OutputExistsError: `out` holds something.
        MismatchError: The checkpoint is not the file that is stated.
        CheckpointError: The checkpoint is not one, or not of this entry's network.
        FileProblem: It cannot be written.
    """
    entry.require_name()
    expected = entry_plan(entry).tensors
    with locked(out):
        if out.exists() and (not out.is_dir() or any(out.iterdir())) and not (replaces and _is_ours(out)):
            raise OutputExistsError(out, "is not empty; name a new folder or remove it")
        with whole_folder(out) as aside:
            weights = aside / WEIGHTS_FILE
            receipt = convert_checkpoint(
                checkpoint,
                weights,
                expected=expected,
                identity=identity,
                wrapper=entry.said("weights_key"),
                as_float32=True,
            )
            files = {CONFIG_FILE: render_config(entry).encode(), **(beside(receipt) if beside else {})}
            if text := entry.license_text:
                files[LICENSE_FILE] = text.encode()
            for name, data in files.items():
                write_whole(aside / name, data)
            digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
            receipt = replace(receipt, files=digests, parent=parent, model=model)
            write_whole(aside / RECEIPT_FILE, render_receipt(receipt).encode())
            if check is not None:
                check(aside)
    return read_repo(out)


def _is_ours(folder: Path) -> bool:
    """Return whether a folder holds a repo of ours, and nothing else."""
    try:
        return folder.is_dir() and bool(require_own_files(folder))
    except FileProblem:
        return False
