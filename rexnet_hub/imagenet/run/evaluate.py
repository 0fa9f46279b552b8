"""Measure the accuracy of several networks in one pass: exact, and the same bytes however it is run."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from rexnet_hub.errors import NetworkError
from rexnet_hub.imagenet.data.dataset import Dataset
from rexnet_hub.imagenet.data.pixel_cache import fill_cache, open_cache
from rexnet_hub.imagenet.data.tiles import Decoder, open_decoder, run_ahead
from rexnet_hub.imagenet.evidence.predictions import (
    UNREADABLE,
    Predictions,
    PredictionsHead,
    render_predictions,
)
from rexnet_hub.imagenet.evidence.record import Record, keep_run
from rexnet_hub.imagenet.run.journal import open_journal
from rexnet_hub.imagenet.run.prepare import (
    Run,
    RunOptions,
    describe_machine,
    halve_tiles,
    prepare_run,
    require_sense,
)
from rexnet_hub.imagenet.run.progress import RunProgress, open_meter
from rexnet_hub.imagenet.run.ranks import join_ranks
from rexnet_hub.imagenet.run.runner import (
    ModelUnderTest,
    Runner,
    exact_arithmetic,
    own_compiler_cache,
    rank_tile,
    ready_runner,
    use_one_thread,
)
from rexnet_hub.imagenet.run.upload import Upload, upload_tiles
from rexnet_hub.whole_files import write_whole


def evaluate_models(
    models: Sequence[ModelUnderTest],
    data: Dataset,
    *,
    options: RunOptions | None = None,
    out_dir: Path | None = None,
    cache_dir: Path | None = None,
    on_progress: Callable[[RunProgress], None] | None = None,
    command: str | None = None,
) -> tuple[Record, ...]:
    """Count, for each network, the images of a data set that it has right.

    Every image is decoded once for all networks and counted once, by one process or by those of `torchrun`.

    Args:
        models: The networks; each has a name of its own.
        data: The images, and what is right of each.
        options: Device, precision, batch and processes; what is usual for the machine by default.
        out_dir: Where to keep each model's record and predictions, and the manifest. A run that is killed
            goes on from there when it is started again.
        cache_dir: Where to keep decoded pixels for further runs (7.5 GB for 50,000 images of 224 pixels).
        on_progress: Called after each tile.
        command: What the record says was typed; else what this process was started with.

    Returns:
        A record for each model, in order; the same in every process.

    Raises:
        NotAnImageError: An image cannot be decoded; it is named.
        EvaluationError: A network's answers cannot be counted.
        OutputExistsError: A record is there already.
        UsageError: The request makes no sense.
    """
    require_sense(models, data.benchmark, out_dir)
    with join_ranks() as ranks, exact_arithmetic():
        run = prepare_run(models, data, options or RunOptions(), ranks, out_dir, cache_dir)
        while True:
            started = time.monotonic()
            parts = ranks.share_all(_run_if_it_fits(run, on_progress))
            records = None
            if ranks.rank == 0 and None not in parts:
                merged = {tile: classes for part in [run.finished, *parts] for tile, classes in part.items()}
                records = _finish(run, merged, time.monotonic() - started, command or shlex.join(sys.argv))
            answer: tuple[Record, ...] | None = ranks.share(records)
            if answer is not None:
                return answer
            run = halve_tiles(run)


def _run_if_it_fits(
    run: Run, on_progress: Callable[[RunProgress], None] | None
) -> dict[int, np.ndarray] | None:
    """Compute this process's share of the tiles; None where the device has no memory for one of them."""
    try:
        return _run(run, on_progress)
    except (torch.OutOfMemoryError, NetworkError) as error:
        if not isinstance(error.__cause__ or error, torch.OutOfMemoryError):
            raise
    if run.device.type == "cuda":
        torch.cuda.empty_cache()
    return None


def _run(run: Run, on_progress: Callable[[RunProgress], None] | None) -> dict[int, np.ndarray]:
    """Compute this process's share of the tiles."""
    unfinished = [tile for tile in range(len(run.tiles)) if tile not in run.finished]
    pending = unfinished[run.ranks.rank :: run.ranks.world]
    earlier = [tile for tile in run.finished if tile % run.ranks.world == run.ranks.rank]
    names = [model.name for model in run.models]
    all_labels = run.labels
    labels = {tile: all_labels[run.tiles.rows(tile)] for tile in [*earlier, *pending]}
    total, mine = sum(map(len, labels.values())), {}
    quiet = run.options.quiet or run.ranks.rank > 0
    first = "compiling, a minute or more for each model" if run.options.compiled else ""
    meter = open_meter(names, total, on_progress, quiet=quiet, first=first)
    with meter as count, _journal(run) as add_to_journal:
        for tile in earlier:
            count(run.finished[tile], labels[tile], is_new=False)
        for tile, classes in _rank_tiles(run, pending):
            add_to_journal(tile, classes)
            mine[tile] = classes
            count(classes, labels[tile])
            run.ranks.require_peers()
    return mine


def _journal(run: Run) -> AbstractContextManager[Callable[[int, np.ndarray], None]]:
    if run.unfinished_dir is None:
        return nullcontext(lambda tile, classes: None)
    return open_journal(run.unfinished_dir / f"{run.ranks.rank}-{os.getpid()}-{time.time_ns()}.journal")


def _rank_tiles(run: Run, tiles: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Decode and compute tiles, in order, a few at a time."""
    how = run.options
    runners = [
        ready_runner(m, run.device, dtype=how.dtype, channels_last=how.channels_last, compiled=how.compiled)
        for m in run.models
    ]
    runners = [replace(runner, among=run.data.benchmark.mask) for runner in runners]
    ahead = max(2 * run.threads, run.tiles.ahead(how.workers))
    start = use_one_thread if run.device.type == "cpu" else None
    with own_compiler_cache() if how.compiled else nullcontext(), _open_pixels(run) as decode:
        uploads = upload_tiles(map(decode, tiles), run.device, ahead=ahead)
        jobs = (
            partial(_rank_tile, run, runners, tile, upload)
            for tile, upload in zip(tiles, uploads, strict=True)
        )
        answers = run_ahead(jobs, threads=run.threads, ahead=ahead, initializer=start)
        yield from zip(tiles, answers, strict=True)


def _rank_tile(run: Run, runners: Sequence[Runner], tile: int, upload: Callable[[], Upload]) -> np.ndarray:
    """Compute one tile: uint16, shape (models, rows, 5)."""
    uploaded = upload()
    names = [image.name for image in run.data.images[run.tiles.rows(tile)]]
    classes = rank_tile(runners, run.tiles.geometries, uploaded.pixels, names)
    classes[:, list(uploaded.unreadable)] = UNREADABLE
    return classes


def _open_pixels(run: Run) -> AbstractContextManager[Decoder]:
    """Decode, or take decoded pixels from the cache; process 0 fills it first."""
    if run.cache_dir is None:
        return open_decoder(run.tiles, run.options.workers)
    if run.ranks.rank == 0:
        fill_cache(run.cache_dir, run.manifest.sha256, run.tiles, run.options.workers)
    run.ranks.share(None)  # the others wait here
    return nullcontext(open_cache(run.cache_dir, run.manifest.sha256, run.tiles))


def _finish(run: Run, tiles: dict[int, np.ndarray], seconds: float, command: str) -> tuple[Record, ...]:
    """Count, and keep the evidence; the journal goes when all is written."""
    classes = np.concatenate([tiles[tile] for tile in range(len(tiles))], axis=1)
    assert classes.shape[1] == len(run.data.images)
    records = []
    for number, top5 in enumerate(classes):
        head = PredictionsHead(
            model=run.models[number].name,
            tensors_sha256=run.tensors[number],
            manifest_sha256=run.manifest.sha256,
            images=len(top5),
            benchmark=run.data.benchmark,
        )
        predictions = Predictions(head=head, labels=run.labels, top5=top5)
        rendered = render_predictions(predictions)
        sha256 = hashlib.sha256(rendered).hexdigest()
        record = _record(run, run.models[number], predictions, sha256, seconds, command)
        if run.out_dir:
            keep_run(run.out_dir, record, rendered)
        records.append(record)
    if run.out_dir and run.unfinished_dir:
        write_whole(run.out_dir / f"manifest-{run.manifest.sha256[:16]}.tsv", run.manifest.text.encode())
        shutil.rmtree(run.unfinished_dir, ignore_errors=True)
    return tuple(records)


def _record(
    run: Run, model: ModelUnderTest, predictions: Predictions, sha256: str, seconds: float, command: str
) -> Record:
    unreadable = np.flatnonzero(predictions.top5[:, 0] == UNREADABLE)
    return Record(
        model=model.name,
        weights_sha256=model.weights_sha256,
        fingerprint=model.fingerprint,
        tensors_sha256=predictions.head.tensors_sha256,
        top1_count=predictions.top1_count,
        top5_count=predictions.top5_count,
        images=predictions.head.images,
        data=f"{run.data.description}{run.manifest.remarks}",
        benchmark=run.data.benchmark,
        complete=run.data.is_complete,
        sample=run.data.sample,
        unreadable=tuple(run.data.images[i].name for i in unreadable),
        manifest_sha256=run.manifest.sha256,
        tar_bytes=run.manifest.tar_bytes,
        predictions_sha256=sha256,
        preprocessing=model.preprocessing,
        machine=describe_machine(run),
        seconds=round(seconds, 3),
        command=command,
    )
