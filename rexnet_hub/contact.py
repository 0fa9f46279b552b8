"""Measure all that needs a network, and write the patch that says so."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from tqdm import tqdm

from rexnet_hub.addresses import redact_url
from rexnet_hub.auto import load_network
from rexnet_hub.drift import require_network, watch
from rexnet_hub.errors import (
    FetchError,
    FileProblem,
    HubError,
    RecordError,
    RepoError,
    RexnetHubError,
    UsageError,
    file_problems,
)
from rexnet_hub.evaluation import compare_with_claims, enter_records, ready_model
from rexnet_hub.golden import SEED, TOLERANCE, draw_input, keep_golden
from rexnet_hub.imagenet.data.classes import Benchmark, imagenet_labels
from rexnet_hub.imagenet.data.dataset import IMAGENET_VALIDATION, Dataset
from rexnet_hub.imagenet.data.layouts import read_dataset
from rexnet_hub.imagenet.evidence.record import recount
from rexnet_hub.imagenet.run.evaluate import evaluate_models
from rexnet_hub.imagenet.run.prepare import RunOptions
from rexnet_hub.index import Entry, Measured, read_lock
from rexnet_hub.index.entry import WeightsSource
from rexnet_hub.index.lock import find_evidence_dir, find_lock, require_own_index, update_lock
from rexnet_hub.index.spellings import find_class_problem, is_same_place
from rexnet_hub.layout import (
    EVIDENCE_FOLDER,
    LOCK_FILE,
    RECORD_SUFFIX,
    find_cache_dir,
    find_index_dir,
    is_evidence,
    real_path,
)
from rexnet_hub.measure import measure_model, merge_measured
from rexnet_hub.pages.families import is_in_timm
from rexnet_hub.publish.staging import list_evidence, stage
from rexnet_hub.repo.config import render_config
from rexnet_hub.repo.folder import (
    compare_sources,
    describe_witnesses,
    digest_source,
    fetch_released,
    file_identity,
    find_sources,
    read_repo,
    require_own_files,
)
from rexnet_hub.verify import FALSE, HOLDS, NOT_MEASURED, Finding, verify_model
from rexnet_hub.verify.finding import verdict_of
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.whole_files import write_whole

#: The steps of each model in their order; `watch` and `top-1` are made when the others are done for all.
STEPS = ("fetch", "stage", "load", "lock", "golden", "watch", "top-1")
#: The note of what an earlier run did.
WAS_THERE = "was there"
PATCH_FILE = "contact.patch"
Step = tuple[str, Finding]


@dataclass(kw_only=True)
class _Model:
    """A model on its way, and where it is.

    Attributes:
        repo: The folder that it is staged to.
        given: The file that a person has of its weights.
        show: Called with each step that begins.
        weights: What it was staged of, once it is locked.
    """

    entry: Entry
    repo: Path
    given: Path | None
    show: Callable[[str], None]
    step: str = STEPS[0]
    stated: str = ""
    weights: Path | None = None

    def begin(self, step: str, stated: str) -> None:
        self.step, self.stated = step, stated
        self.show(f"{self.entry.name}: {step}")

    def tell(self, verdict: str, found: str = "", *, claim: str = "", note: str = "") -> Step:
        texts = {"claim": claim or self.step, "stated": self.stated, "note": note}
        found = found or (self.stated if verdict == HOLDS else "")
        return self.step, Finding(model=self.entry.name, verdict=verdict, found=found, **texts)


def make_contact(
    entries: Sequence[Entry],
    out: Path,
    *,
    given: Mapping[str, Path],
    data: Mapping[str, Path],
    quiet: bool = False,
) -> list[Step]:
    """Go through all steps for each model; what fails for one stops no other.

    The lock and the evidence beside it are written model by model, all else into `out` and the cache. Run
    again it does what is missing there.

    Args:
        out: For the staged repos, and the records of runs.
        given: Files of weights that a person has, by model.
        data: Folders or archives of images, by the data set's name.
        quiet: Whether to show no bar, even on a terminal.

    Returns:
        What became of each step.

    Raises:
        UsageError: The index is an installed package's, or holds `out`; or nothing may be
            asked (HF_HUB_OFFLINE).
        RexnetHubError: The images are none; nothing was fetched.
    """
    require_own_index()
    require_network("contact measures what needs a network")
    for place in (find_index_dir(), find_evidence_dir()):
        if real_path(out).is_relative_to(real_path(place)):
            raise UsageError(f"--out {out} lies in {place}, which is the index's own: name another folder")
    images = [_read_images(dataset, place) for dataset, place in data.items()]
    for folder in (out, out / "staged", find_cache_dir()):
        with file_problems(folder, "cannot be written"):
            folder.mkdir(parents=True, exist_ok=True)
    found: list[Step] = []
    layout = "{l_bar}{bar}| {n_fmt}/{total_fmt} {elapsed}"
    total = 6 * len(entries) + 1 + len(data)
    with tqdm(total=total, disable=quiet or None, leave=False, bar_format=layout) as bar:

        def show(what: str) -> None:
            bar.set_description(what)
            bar.update()

        models = [
            _Model(entry=each, repo=out / "staged" / each.name, given=given.get(each.name), show=show)
            for each in entries
        ]
        for number, model in enumerate(models, 1):
            found += _caught(model, _make_steps(model))
            bar.n = 6 * number  # also of one that stopped before
        show("watch")
        with suppress(UsageError):  # nothing is cited
            found += [("watch", finding) for finding in watch(entries)]
        for each in images:
            show(each.benchmark.title)
            found += _evaluate(models, each, out / "runs" / each.benchmark.dataset)
        for model in () if images else models:
            model.begin("top-1", "accuracy")
            found.append(model.tell(NOT_MEASURED, note="needs --imagenet DIR, or --imagenet-v2 DIR"))
    return found


def _caught(model: _Model, steps: Iterator[Step]) -> Iterator[Step]:
    """Yield what became of a model's steps; the one that fails is the last."""
    try:
        yield from steps
    except (RexnetHubError, OSError) as error:
        yield model.tell(verdict_of(error), str(error))


def _make_steps(model: _Model) -> Iterator[Step]:
    """Go through the steps of one model up to the lock, and stage it again with what was locked."""
    entry = model.entry
    model.begin("stage", "an entry that can be staged")
    render_config(entry)  # what cannot be staged is not fetched
    model.begin("fetch", "")
    files = yield from _fetch(model)
    if not files:
        return
    model.begin("stage", "a repo as index and lock state it")
    weights, *_ = files.values()
    was_there = _stage(model, weights)
    yield model.tell(HOLDS, note=was_there)
    model.begin("load", "one network")
    yield from (loaded := list(_load(model)))
    if any(finding.verdict == FALSE for _, finding in loaded):
        return
    model.begin("lock", "what was measured")
    new = measure_model(
        entry, checkpoint=files.get(_address(entry.released)), repo=model.repo, sources=[*files.values()]
    )
    before = read_lock().of(entry.name)
    _update(entry, lambda old: merge_measured(entry, old, new))
    yield model.tell(HOLDS, note=WAS_THERE * (read_lock().of(entry.name) == before))
    model.begin("golden", "logits of a seeded input and a picture")
    _update(entry, lambda old: keep_golden(old, model.repo))
    again = _stage(model, weights)
    yield model.tell(HOLDS, note=was_there and again)
    model.weights = weights


def _update(entry: Entry, change: Callable[[Measured], Measured]) -> None:
    update_lock(lambda lock: lock.with_model(entry.name, change(lock.of(entry.name))))


def _address(source: WeightsSource | None) -> str:
    return source.url if source else ""


def _fetch(model: _Model) -> Generator[Step, None, dict[str, Path]]:
    """Fetch each source of the weights, and compare them; one that is not to be had is passed over.

    Returns:
        The files by address.
    """
    entry, given, files = model.entry, model.given, dict[str, Path]()
    measured = read_lock().of(entry.name)
    if given:
        model.stated = f"{given}, by --weights"
        identity = file_identity(entry, measured, given).agreed(f"the weights of {entry.name}")
        identity.require(given, digest_file(given, identity.digests))
        files[_address(entry.source_of(digest_source(entry, given).sha256))] = given
        yield model.tell(HOLDS)
    elif not entry.sources:
        page, model.stated = entry.said("weights_page"), "weights"
        note = f"give --weights {entry.name}=FILE" + (f", from {page}" if page else "")
        yield model.tell(NOT_MEASURED, note=note)
    cached = find_sources(entry, cache_dir=find_cache_dir(), measured=measured)
    for source in (each for each in entry.sources if each.url not in files):
        model.stated = redact_url(source.url)
        try:
            file = fetch_released(entry, cache_dir=find_cache_dir(), measured=measured, source=source)
            yield model.tell(HOLDS, note=WAS_THERE * (file in cached))
            files[source.url] = file
        except (FetchError, HubError) as error:
            yield model.tell(verdict_of(error), str(error))
    if files:
        model.stated = "the same tensors at each place"
        released_last = [files[url] for url in sorted(files, key=_address(entry.released).__eq__)]
        line, doubt = describe_witnesses(entry, measured, compare_sources(entry, released_last))
        if line:
            yield model.tell(HOLDS, line.removeprefix(f"{entry.name}: "), claim="witnesses")
        if doubt:
            yield model.tell(NOT_MEASURED, claim="identity", note=doubt.removeprefix(f"{entry.name}: "))
    return files


def _stage(model: _Model, weights: Path) -> str:
    """Stage the repo, unless a whole one is there of which nothing is false."""
    entry, measured = model.entry, read_lock().of(model.entry.name)
    if model.repo.exists():
        with suppress(FileProblem, RepoError):
            is_whole = list_evidence(measured).keys() <= set(require_own_files(model.repo))
            found = verify_model(entry, checkpoint=weights, repo=model.repo, measured=measured)
            if is_whole and not any(each.verdict == FALSE for each in found):
                return WAS_THERE
    stage(entry, weights, model.repo, measured=measured, replaces=True)
    return ""


def _load(model: _Model) -> Iterator[Step]:
    """Load the staged repo in each library, and compare logits."""
    repo = read_repo(model.repo)
    network = load_network(repo).eval()
    px = repo.config.preprocessing.input_px
    pixels = torch.from_numpy(draw_input(SEED, (repo.config.in_chans, px, px)))[None]
    with torch.inference_mode():
        ours = network(pixels)
    yield model.tell(HOLDS, claim="rexnet_hub")
    for library, load in {"timm": _load_in_timm, "transformers": _load_in_transformers}.items():
        missing = next((name for name in ("timm", library) if not find_spec(name)), None)
        if missing or not is_in_timm(model.entry):
            known = f"{missing} is not installed" if missing else "no network of timm's"
            yield model.tell(NOT_MEASURED, claim=library, note=known)
            continue
        try:
            with torch.inference_mode():
                far = float((load(model.repo)(pixels) - ours).abs().max() / ours.abs().max())
        except Exception as error:  # whatever a library raises of its own
            yield model.tell(FALSE, " ".join(f"{type(error).__name__}: {error}".split()), claim=library)
            continue
        verdict = HOLDS if far <= TOLERANCE["cpu"] else FALSE
        yield model.tell(verdict, f"logits {far:.1e} of the largest from ours", claim=library)


def _load_in_timm(folder: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    import timm

    return timm.create_model(f"local-dir:{folder}", pretrained=True).eval()


def _load_in_transformers(folder: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    from transformers import AutoModelForImageClassification
    from transformers.utils import logging

    logging.disable_progress_bar()  # of each load; ours is of the whole
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    return lambda pixels: model(pixels).logits


def _read_images(dataset: str, place: Path) -> Dataset:
    named = Benchmark(dataset=dataset, split=None, labels_sha256=IMAGENET_VALIDATION.labels_sha256)
    benchmark = IMAGENET_VALIDATION if named.is_imagenets else named
    return read_dataset(place, benchmark=benchmark, class_names=imagenet_labels())


def _evaluate(models: Sequence[_Model], images: Dataset, runs: Path) -> Iterator[Step]:
    """Run the staged models on one data set in one pass, enter the records into the lock, stage again."""
    dataset, able = images.benchmark.dataset, list[_Model]()
    for model in models:
        model.step, model.stated = "top-1", images.benchmark.title
        if problem := find_class_problem(dataset, model.entry.value("num_classes")):
            yield model.tell(NOT_MEASURED, note=problem)
        elif model.weights is None:
            yield model.tell(NOT_MEASURED, note="needs the steps before")
        else:
            able.append(model)
    pending = [model for model in able if not _find_record(model, images, runs)]
    try:
        if pending:
            device = "cuda" if torch.cuda.is_available() else "cpu"
            ready = [ready_model(model.entry.name, str(model.repo)) for model in pending]
            evaluate_models(ready, images, options=RunOptions(device=device), out_dir=runs)
    except RexnetHubError as error:
        yield from (model.tell(verdict_of(error), str(error)) for model in pending)
        return
    for model in able:
        yield from _caught(model, _enter(model, images, runs, is_new=model in pending))


def _find_record(model: _Model, images: Dataset, runs: Path) -> Path | None:
    """Find the record of a model's run on a data set: that which the lock states, or one not entered yet."""
    for run in read_lock().of(model.entry.name).evaluations:
        if is_same_place(run.place, images.benchmark.place):
            return find_evidence_dir() / run.file_names[0]
    file = runs / f"{model.entry.name}{RECORD_SUFFIX}"
    return file if file.exists() else None


def _enter(model: _Model, images: Dataset, runs: Path, *, is_new: bool) -> Iterator[Step]:
    entry, file = model.entry, _find_record(model, images, runs)
    assert file
    assert model.weights  # as of all that are able
    try:
        record = recount(file)
        _update(entry, lambda old: enter_records(entry, old, [file], repo=model.repo))
    except RecordError as error:  # which says nothing of the claim
        yield model.tell(NOT_MEASURED, note=f"{error}; remove {file}, and run again")
        return
    claims = compare_with_claims(entry, record)
    found = f"top-1 {record.top1_percent:.3f} %, top-5 {record.top5_percent:.3f} %"
    by = f"by {record.machine.device_name}, {record.machine.dtype}"
    yield model.tell(HOLDS, found, note=by if is_new else f"{WAS_THERE}; {by}")
    yield from ((model.step, finding) for finding in claims)
    if not any(finding.verdict == FALSE for finding in claims):  # of which no repo is staged
        _stage(model, model.weights)


def write_patch(out: Path) -> tuple[Path | None, str]:
    """Write what the lock and its evidence have otherwise than the last commit, as a patch for git.

    Returns:
        The file, None where nothing differs or no patch can be written; and why none can.
    """
    folder, file = real_path(find_lock().parent), out / PATCH_FILE
    with file_problems(file, "is of an earlier run, and cannot be removed"):
        file.unlink(missing_ok=True)
    if links := [str(folder / name) for name in (LOCK_FILE, EVIDENCE_FOLDER) if (folder / name).is_symlink()]:
        return None, f"{', '.join(links)}: a link, and git has nothing of what it leads to"
    try:
        patch = _read_patch(folder)
    except subprocess.CalledProcessError as error:
        words = os.fsdecode(error.stderr).strip() or f"fatal: nothing is committed in {folder}"
        return None, words.splitlines()[0].removeprefix("fatal: ")
    except OSError as error:
        return None, f"git cannot be run: {error.strerror or error}"
    if patch:
        write_whole(file, patch)
    return (file if patch else None), ""


def _read_patch(folder: Path) -> bytes:
    """Read from git what lock and evidence have otherwise than the last commit of the tree they are in."""
    # As a hook of another tree may have set them; what configures git stays.
    foreign = [name for name in os.environ if name.startswith("GIT_") and not name.startswith("GIT_CONFIG_")]

    def git(*words: str, **more: str) -> bytes:
        env = {name: value for name, value in os.environ.items() if name not in foreign} | more
        return subprocess.run(
            ["git", "-C", str(folder), *words], env=env, capture_output=True, check=True
        ).stdout

    objects = folder / os.fsdecode(git("rev-parse", "--git-path", "objects")).strip()
    git("rev-parse", "--verify", "--quiet", "HEAD")
    with tempfile.TemporaryDirectory(prefix="rexnet-hub-") as scratch:
        # What is not committed is added to an index and a store aside: the tree's own stay as they are.
        Path(scratch, "info").mkdir()
        Path(scratch, "info", "alternates").write_bytes(os.fsencode(real_path(objects)) + b"\n")
        own = partial(git, GIT_INDEX_FILE=str(Path(scratch, "index")), GIT_OBJECT_DIRECTORY=scratch)
        own("read-tree", "HEAD")
        there = own("ls-files", "-z", "--", LOCK_FILE, EVIDENCE_FOLDER).decode().split("\0")
        there += [f"{EVIDENCE_FOLDER}/{file.name}" for file in (folder / EVIDENCE_FOLDER).glob("*")]
        names = {name for name in there if is_evidence(Path(name).name)}
        if (folder / LOCK_FILE).exists() or LOCK_FILE in there:
            names.add(LOCK_FILE)
        if names:
            own("add", "-Af", "--", *sorted(names))
        return own("diff-index", "--cached", "--patch", "--binary", "HEAD")
