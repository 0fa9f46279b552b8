"""Run every step for every model, offline, with stand-in weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from rexnet_hub.addresses import parse_hub_file
from rexnet_hub.errors import FileProblem, OutputExistsError, UsageError
from rexnet_hub.index import Entry, load_index, read_lock
from rexnet_hub.index.network import entry_plan
from rexnet_hub.layout import DEMO_PICTURE, LEDGER_FILE, LOCK_FILE, find_index_dir
from rexnet_hub.publish import apply_plan, plan_publish
from rexnet_hub.publish.staging import write_staged
from rexnet_hub.repo.config import render_config
from rexnet_hub.repo.folder import fetch_released
from rexnet_hub.standins.legacy_writer import legacy_size_bytes
from rexnet_hub.standins.make import write_standin
from rexnet_hub.verify import HOLDS, Finding, require_truth, verify_model
from rexnet_hub.whole_files import write_whole

STEPS_A_MODEL = 7
SEED = 2007_00992  # any number would do; this one is the paper's


def run(out: Path) -> tuple[Finding, ...]:
    """Run the whole way for every model of `list_shown`, writing into `out` alone.

    Returns:
        What became of every claim, checked on the published repos and the stand-ins of the released files.

    Raises:
        OutputExistsError: `out` holds something.
        IndexReadError, UnknownModelError, NetworkError: A network cannot be staged as its entry says, or not
            here; nothing is written.
        FileProblem: It cannot be written; `out` is empty again, so that the next run finds it so.
        RexnetHubError: A step failed; what was made so far stays in `out`.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputExistsError(out, "is not empty; name a new folder with --out")
    for entry in list_shown():
        render_config(entry)
    try:
        out.mkdir(parents=True, exist_ok=True)
        return _run(out.resolve())
    except shutil.Error as error:
        problem = FileProblem(error.args[0][0][1], f"cannot be written: {error.args[0][0][2]}")
    except OSError as error:
        problem = FileProblem(error.filename or out, f"cannot be written: {error.strerror}")
    except FileProblem as error:
        problem = error
    for made in out.glob("*"):
        shutil.rmtree(made, ignore_errors=True)
    raise problem


def _run(out: Path) -> tuple[Finding, ...]:
    originals = list_shown()
    total = len(originals) * STEPS_A_MODEL
    with tqdm(
        total=total, unit="step", disable=None, bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} {elapsed}"
    ) as bar:

        def step(what: str) -> None:
            bar.set_description(what)
            bar.update()

        index = write_index(originals, out, step)
        entries = list(map(load_index(index).find, (entry.name for entry in originals)))
        return tuple(finding for entry in entries for finding in go_one_way(entry, out, step))


def list_shown() -> tuple[Entry, ...]:
    """List the models whose released file a stand-in can be: one of torch's, of the size that is stated.

    Raises:
        UsageError: There is none.
    """
    shown = tuple(entry for entry in load_index().models if _can_stand_in(entry))
    if not shown:
        raise UsageError("no model of the index has Weights that a stand-in can be: a file of torch's")
    return shown


def _can_stand_in(entry: Entry) -> bool:
    released = entry.released
    if released is None or parse_hub_file(released.url):
        return False
    return released.size_bytes in (None, legacy_size_bytes(entry_plan(entry).tensors))


def write_index(entries: tuple[Entry, ...], out: Path, step: Callable[[str], None]) -> Path:
    """Make the stand-ins of all released files, and an index whose weights are those.

    Everything else in the index stays as it is, to the byte.
    """
    given, copied = find_index_dir(), out / "model_index"
    (out / "released").mkdir()
    if given.is_dir():
        shutil.copytree(given, copied, ignore=shutil.ignore_patterns(LOCK_FILE, LEDGER_FILE))
    else:
        copied.mkdir()
        shutil.copyfile(given, copied / given.name)
    for entry in entries:
        released = entry.released
        assert released is not None
        step(f"{entry.name}: make a stand-in of the released file")
        tensors = entry_plan(entry).tensors
        stem = released.file_name.rpartition(".")[0].removesuffix(f"-{released.digest_prefix}")
        standin = write_standin(out / "released", tensors=tensors, seed=SEED, stem=stem)
        top = given.resolve() if given.is_dir() else given.resolve().parent
        file = copied / entry.location.file.resolve().relative_to(top)
        write_whole(file, file.read_bytes().replace(released.url.encode(), standin.as_uri().encode()))
    return copied


def go_one_way(entry: Entry, out: Path, step: Callable[[str], None]) -> tuple[Finding, ...]:
    """Run one model from its released file to a classifier; every claim is in what is returned."""
    step(f"{entry.name}: fetch the released file")
    # What the lock says of real files says nothing of stand-ins.
    measured = read_lock().of(entry.name).of_standin()
    checkpoint = fetch_released(entry, cache_dir=out / "cache", measured=measured)
    step(f"{entry.name}: convert and stage")
    staged = write_staged(entry, checkpoint, out / "staged" / entry.name, measured=measured)
    step(f"{entry.name}: verify")
    require_truth(verify_model(entry, checkpoint=checkpoint, repo=staged.folder, measured=measured))
    step(f"{entry.name}: publish to a folder")
    published = Path(apply_plan(plan_publish(staged.folder, out / "published")).place)
    step(f"{entry.name}: load and classify")
    guess = classify_picture(published)
    step(f"{entry.name}: verify what was published")
    findings = verify_model(entry, checkpoint=checkpoint, repo=published, measured=measured)
    note = "random weights: any class is as good as another"
    texts = {"claim": "classifies", "stated": "a picture", "found": guess, "note": note}
    return (*findings, Finding(model=entry.name, verdict=HOLDS, **texts))


def classify_picture(repo: Path) -> str:
    """Load a published repo and name the likeliest class of the bundled picture."""
    from rexnet_hub.prediction import classify, find_pictures

    (prediction,) = classify(repo, find_pictures([str(DEMO_PICTURE)]), top=1)
    return f"{prediction.guesses[0].label} ({prediction.guesses[0].probability:.1%})"
