"""Prepare a run before the first image: on what, with what, how, and what of it is already done."""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import PIL
import torch

import rexnet_hub
from rexnet_hub.errors import EvaluationError, UsageError
from rexnet_hub.imagenet.data.classes import Benchmark, digest_labels
from rexnet_hub.imagenet.data.dataset import Dataset, DatasetManifest, read_manifest
from rexnet_hub.imagenet.data.tiles import ImageTiles
from rexnet_hub.imagenet.evidence.record import Machine, require_new
from rexnet_hub.imagenet.run.journal import UNFINISHED, read_journals
from rexnet_hub.imagenet.run.ranks import Ranks
from rexnet_hub.imagenet.run.runner import (
    DTYPES,
    TILE_IMAGES,
    ModelUnderTest,
    count_cores,
    digest_tensors,
    find_device,
    geometry,
)
from rexnet_hub.layout import find_name_danger

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The settings of a run; only the first four can change a bit of the result, and the record names them.

    Attributes:
        device: `cpu`, `cuda` or `cuda:1`; with `torchrun`, `cuda` is each process's own GPU.
        dtype: `fp32`; `bf16` and `fp16` mean autocast, and a number that may not enter the index.
        skip_unreadable: Count an image that cannot be decoded as wrong, and record it, instead of stopping.
        workers: Processes that decode; with none, the threads that compute decode too.
        threads: Tiles that are computed at a time on a CPU; None: one for each core.
        quiet: Show no bar, even on a terminal.
    """

    device: str = "cpu"
    dtype: str = "fp32"
    channels_last: bool = False
    compiled: bool = False
    skip_unreadable: bool = False
    workers: int = 0
    threads: int | None = None
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UsageError(f"{self.dtype!r} is no dtype to evaluate in; there are: {', '.join(DTYPES)}")
        if self.workers < 0:
            raise UsageError(f"{self.workers} decoding processes cannot be had")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads must be at least 1, not {self.threads}")


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Run:
    """All that is settled before the first image."""

    models: Sequence[ModelUnderTest]
    data: Dataset
    manifest: DatasetManifest
    options: RunOptions
    device: torch.device
    tiles: ImageTiles
    ranks: Ranks
    tensors: tuple[str, ...]
    out_dir: Path | None
    cache_dir: Path | None
    unfinished_dir: Path | None = None
    finished: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def labels(self) -> np.ndarray:
        """The true classes: uint16, shape (images,)."""
        return np.array([image.label for image in self.data.images], np.uint16)

    @property
    def threads(self) -> int:
        """Tiles that are computed at a time: a GPU takes one."""
        if self.device.type != "cpu":
            return 1
        return self.options.threads or max(1, count_cores() // self.ranks.local_world)


def require_sense(models: Sequence[ModelUnderTest], benchmark: Benchmark, out_dir: Path | None) -> None:
    """Refuse what cannot be run, before anything is read."""
    names = [model.name for model in models]
    if not names:
        raise UsageError("there is no model to evaluate")
    if odd := [f"{name[:80]!a} {danger}" for name in names if (danger := find_name_danger(name))]:
        raise UsageError(f"a model's name becomes a file's, and {', '.join(odd)}")
    for model in models:
        sha256 = None if benchmark.protocol else digest_labels(model.labels)
        if model.num_classes != benchmark.num_classes or sha256 not in (None, benchmark.labels_sha256):
            stated = f"not the {benchmark.num_classes} classes that {benchmark.title} was read with"
            raise UsageError(f"{model.name} has {model.num_classes} classes, {stated}: run it by itself")
    require_new(names, out_dir)


def prepare_run(
    models: Sequence[ModelUnderTest],
    data: Dataset,
    options: RunOptions,
    ranks: Ranks,
    out_dir: Path | None,
    cache_dir: Path | None,
) -> Run:
    """Prepare what is run, and find what of it an earlier run has finished."""
    own_gpu = options.device == "cuda" and ranks.world > 1
    device = find_device(f"cuda:{ranks.local_rank}" if own_gpu else options.device)
    tiles = ImageTiles(
        images=data.images,
        geometries=list(dict.fromkeys(geometry(model.preprocessing) for model in models)),
        tile_images=TILE_IMAGES[device.type],
        skip_unreadable=options.skip_unreadable,
    )
    read = read_manifest(data) if ranks.local_rank == 0 else None  # once on each machine, of its own disk
    manifest = ranks.share(read)
    tensors = tuple(digest_tensors(model.network.state_dict()) for model in models)
    run = Run(
        models=models,
        data=data,
        manifest=manifest,
        options=options,
        device=device,
        tiles=tiles,
        ranks=ranks,
        tensors=tensors,
        out_dir=out_dir,
        cache_dir=cache_dir,
    )
    ranks.require_same({"images": read and read.sha256, **_facts(run)})
    return _go_on(run, [tiles.tile_images >> times for times in range(tiles.tile_images.bit_length())])


def halve_tiles(run: Run) -> Run:
    """Prepare the same run anew in tiles of half as many images, in every process; what it has done goes.

    Raises:
        EvaluationError: A tile is one image already.
    """
    images = run.tiles.tile_images
    if images == 1:
        raise EvaluationError(f"{run.device} has no memory for one image of {run.models[0].name}'s")
    if run.ranks.rank == 0:
        then = "it starts anew in tiles of half as many, as its record will say"
        what = "no memory on %s for tiles of %d images, which this run began with: %s"
        log.warning(what, run.device, images, then)
        if run.unfinished_dir:
            shutil.rmtree(run.unfinished_dir, ignore_errors=True)
    return _go_on(run, [images // 2])


def _go_on(run: Run, sizes: Sequence[int]) -> Run:
    """Go on with an earlier run, in the first of these sizes of tiles that one was begun in."""
    runs = [_in_tiles(run, size) for size in sizes]
    begun = [of for of in runs if of.unfinished_dir and of.unfinished_dir.exists()]
    run = _in_tiles(run, run.ranks.share([*begun, *runs][0].tiles.tile_images))
    finished = None
    if run.ranks.rank == 0 and run.unfinished_dir:
        skips = run.options.skip_unreadable
        finished = read_journals(run.unfinished_dir, run.tiles, len(run.models), with_unreadable=skips)
    return replace(run, finished=run.ranks.share(finished) or {})


def _in_tiles(run: Run, tile_images: int) -> Run:
    """Take as many images together; what is finished has a folder for each set of what decides the bits."""
    run = replace(run, tiles=replace(run.tiles, tile_images=tile_images))
    if run.out_dir is None:
        return run
    key = hashlib.sha256(json.dumps([run.manifest.sha256, _facts(run)]).encode()).hexdigest()[:32]
    return replace(run, unfinished_dir=run.out_dir / f"{UNFINISHED}{key}")


def _facts(run: Run) -> dict[str, object]:
    """List, beside the images, what decides the bits of a run."""
    models = zip(run.models, run.tensors, strict=True)
    machine = asdict(replace(describe_machine(run), processes=0))
    return {
        "models": [model.name for model in run.models],
        **{f"weights and input of {m.name}": [tensors, asdict(m.preprocessing)] for m, tensors in models},
        **machine,
    }


def describe_machine(run: Run) -> Machine:
    """Describe what a run runs on and how."""
    is_gpu = run.device.type == "cuda"
    capability = "" if is_gpu else f", {torch.backends.cpu.get_cpu_capability()}"
    return Machine(
        device_type=run.device.type,
        device_name=torch.cuda.get_device_name(run.device) if is_gpu else f"{platform.machine()}{capability}",
        dtype=run.options.dtype,
        channels_last=run.options.channels_last,
        compiled=run.options.compiled,
        tile_images=run.tiles.tile_images,
        processes=run.ranks.world,
        versions={
            "numpy": np.__version__,
            "pillow": PIL.__version__,
            "python": platform.python_version(),
            "rexnet_hub": rexnet_hub.__version__,
            "torch": torch.__version__,
        },
    )
