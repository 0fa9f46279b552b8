"""Evaluating and predicting beside timm's loops. Evaluating: CPU seconds of one image, in steady state.

There our first tile, where a network is compiled, is left out. One thread each, fp32,
decoding in the same process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.making import NAMES, draw_images, make_repo
from benchmarks.timing import Call, Job, Peer, Program, Spent, by_the_clock

#: What timm's validation and inference take by themselves; on a CPU an image of a smaller batch costs less.
#: Source: `--batch-size` of validate.py and inference.py, huggingface/pytorch-image-models at 0041cb7b.
TIMM_BATCH = 256
SMALLER_BATCHES = (16, 4, 1)

#: The same steps with the same settings as timm's inference.py: the likeliest class of each picture, as CSV.
TIMM_INFERENCE = """
import csv, sys, timm, torch
from timm.data import create_dataset, create_loader, resolve_data_config
model = timm.create_model("local-dir:" + sys.argv[1], pretrained=True).eval()
config = resolve_data_config({}, model=model)
keys = ["input_size", "interpolation", "mean", "std", "crop_pct"]
settings = {key: config[key] for key in keys} | {"batch_size": int(sys.argv[3]), "num_workers": 2}
settings |= {"device": torch.device("cpu"), "use_prefetcher": True, "pin_memory": False}
data, rows = create_dataset("", sys.argv[2]), []
with torch.inference_mode():
    for pixels, _ in create_loader(data, **settings):
        best = model(pixels).softmax(-1).topk(1)
        rows += zip(best.indices[:, 0].tolist(), best.values[:, 0].tolist())
out = csv.writer(sys.stdout)
out.writerows((name, *row) for name, row in zip(data.filenames(basename=True), rows, strict=True))
"""


def _steady(marks: Sequence[tuple[int, float, float]], *, half: bool = False) -> Spent:
    """Divide what came after the first mark by its images; or after the last one within the first half."""
    (last, cpu_end, wall_end), start = marks[-1], marks[0]
    if half:
        start = [start, *(mark for mark in marks if mark[0] <= last / 2)][-1]
    (first, cpu, wall) = start
    return Spent(cpu_s=(cpu_end - cpu) / (last - first), wall_s=(wall_end - wall) / (last - first))


def _mark(images: int) -> tuple[int, float, float]:
    return images, time.process_time(), time.monotonic()


def our_pass(
    folders: Sequence[Path],
    images: Path,
    device: str = "cpu",
    *,
    cache: Path | None = None,
    workers: int = 0,
    dtype: str = "fp32",
    compiled: bool = True,
) -> Callable[[], Spent]:
    """Make a pass of ours over a drawn set, which returns what an image of it took."""
    from rexnet_hub.evaluation import ready_model
    from rexnet_hub.imagenet.data.layouts import read_dataset
    from rexnet_hub.imagenet.run.evaluate import evaluate_models
    from rexnet_hub.imagenet.run.prepare import RunOptions

    models = [ready_model(folder.name, str(folder)) for folder in folders]
    data = read_dataset(images, allow_subset=True)
    how = RunOptions(
        device=device,
        dtype=dtype,
        channels_last=True,
        compiled=compiled,
        workers=workers,
        threads=1,
        quiet=True,
    )

    def run() -> Spent:
        """Evaluate all images once."""
        marks: list[tuple[int, float, float]] = []
        evaluate_models(
            models,
            data,
            options=how,
            cache_dir=cache,
            on_progress=lambda progress: marks.append(_mark(progress.images_done)),
        )
        return _steady(marks, half=workers > 0)

    return run


def timm_pass(
    folders: Sequence[Path],
    images: Path,
    device: str = "cpu",
    *,
    batch: int = TIMM_BATCH,
    workers: int = 0,
    bf16: bool = False,
    compiled: bool = False,
) -> Callable[[], Spent]:
    """Make timm's loop over the same, for one network after the other."""
    import timm
    import torch
    from timm.data import create_dataset, create_loader, resolve_data_config
    from timm.utils import accuracy

    where = torch.device(device)
    networks = [timm.create_model(f"local-dir:{folder}", pretrained=True) for folder in folders]
    networks = [network.eval().to(where) for network in networks]

    def loop(network: torch.nn.Module) -> Spent:
        """Take one network through all images."""
        config = resolve_data_config({}, model=network)
        keys = ["input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode"]
        loader = create_loader(
            create_dataset("", str(images)),
            batch_size=batch,
            num_workers=workers,
            use_prefetcher=where.type != "cpu",
            device=where,
            pin_memory=False,
            **{key: config[key] for key in keys},
        )
        done, marks = 0, [_mark(0)]
        run: Callable[[torch.Tensor], torch.Tensor] = torch.compile(network) if compiled else network
        with torch.inference_mode(), torch.autocast(where.type, torch.bfloat16, enabled=bf16):
            for pixels, target in loader:
                logits = run(pixels)
                accuracy(logits, target, topk=(1, 5))
                done += len(target)
                marks.append(_mark(done))
        return _steady(marks, half=workers > 0)

    def run() -> Spent:
        """Take each network through them, and add up."""
        spent = [loop(network) for network in networks]
        return Spent(cpu_s=sum(s.cpu_s for s in spent), wall_s=sum(s.wall_s for s in spent))

    return run


def _floor(name: str, macs: int) -> Call:
    """Multiply large matrices: as many multiply-adds as an image takes, at the best pace of this core."""
    import torch

    side = 2048
    left, right = torch.randn(side, side), torch.randn(side, side)

    def run() -> Spent:
        """Multiply once, and count an image's part."""
        started, cpu = time.monotonic(), time.process_time()
        torch.mm(left, right)
        part = macs / side**3
        return Spent(cpu_s=(time.process_time() - cpu) * part, wall_s=(time.monotonic() - started) * part)

    return Call(name=name, call=run)


def _job(folders: Sequence[Path], images: Path, count: int, wanted: tuple[float, float], rounds: int) -> Job:
    from rexnet_hub.index import read_lock

    default, best = wanted  # beside timm's own batch, and beside whichever is its best
    locked = [read_lock().of(folder.name).preferred_macs for folder in folders]
    macs = sum(found.count for found in locked if found)
    what = "one model" if len(folders) == 1 else f"{len(folders)} models at once"
    whole = draw_images(images.parent / "batch", TIMM_BATCH)
    peers = [Peer(task=Call(name="timm's loop", call=timm_pass(folders, whole)), at_least=default)]
    for batch in SMALLER_BATCHES if len(folders) == 1 else SMALLER_BATCHES[1:]:
        task = Call(name=f"timm's loop, {batch} at a time", call=timm_pass(folders, images, batch=batch))
        peers.append(Peer(task=task, at_least=best))
    return Job(
        title=f"evaluate {what}, one image, CPU, fp32, compiled",
        size=f"{', '.join(folder.name for folder in folders)}; {count} images",
        ours=Call(name="ours", call=our_pass(folders, images)),
        peers=peers,
        floor=_floor("its multiply-adds at the pace of a matrix product", macs),
        rounds=rounds,
        warm_up=False,
    )


def _predict(folder: Path, images: Path, count: int) -> Job:
    """Classify pictures by the command, its start included."""
    names, env = (str(folder), str(images)), {"HF_HUB_OFFLINE": "1"}
    ours = ("-m", "rexnet_hub", "predict", *names, "--top", "1", "--csv")
    theirs = ("-c", TIMM_INFERENCE, *names, str(TIMM_BATCH))
    return Job(
        title="predict, fresh process, CPU, fp32",
        size=f"{folder.name}; {count:,} pictures",
        ours=Program(name="ours", argv=ours, env=env),
        peers=(Peer(task=Program(name="timm's inference.py", argv=theirs, env=env), at_least=2),),
        rounds=1,
        warm_up=False,
    )


def _by_images(folder: Path, many: Path, few: Path) -> Job:
    """Evaluate ten times as many images: what one of them costs must stay."""
    return Job(
        title="evaluate more images, each",
        size=f"{folder.name}; 5,000 images",
        ours=Call(name="5,000", call=our_pass([folder], many)),
        peers=(Peer(task=Call(name="of 500 images", call=our_pass([folder], few))),),
        rounds=1,
        warm_up=False,
    )


def _by_processes(folder: Path, images: Path, count: int) -> Job:
    """Run the command in two processes of torchrun, beside itself in one: seconds by the clock."""

    def command(processes: int) -> Callable[[], Spent]:
        """Make the command in so many processes of torchrun."""
        torchrun = f"-m torch.distributed.run --standalone --nproc_per_node={processes} -m rexnet_hub"
        words = ("evaluate", str(folder), "--data", str(images), "--subset", "--json")
        program = Program(name="evaluate", argv=(*torchrun.split(), *words), env={"HF_HUB_OFFLINE": "1"})
        return partial(by_the_clock, program.run)

    return Job(
        title="evaluate in two processes",
        size=f"{folder.name}; {count} images",
        ours=Call(name="two", call=command(2)),
        peers=(Peer(task=Call(name="in one process", call=command(1))),),
        rounds=2,
        warm_up=False,
        note="seconds by the clock, of the whole command",
    )


def jobs(work: Path, *, quick: bool) -> Iterator[Job | str]:
    """Yield the rows."""
    import torch

    torch.set_num_threads(1)
    folders = [make_repo(work, name).folder for name in NAMES]
    images = draw_images(work / "images", 96)
    yield _job(folders[:1], images, 96, (2, 1.6), 3)
    count = TIMM_BATCH if quick else 2000
    yield _predict(folders[0], draw_images(work / "pictures", count), count)
    if not quick:
        yield _job(folders, images, 96, (2.2, 3), 1)
        few, many = draw_images(work / "few", 500), draw_images(work / "many", 5000)
        yield _by_processes(folders[0], few, 500)
        yield _by_images(folders[0], many, few)
    yield "evaluate on a GPU: no GPU has run it; python -m benchmarks.gpu does, in at most eight minutes"
