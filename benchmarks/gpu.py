"""Evaluating on a GPU, in at most eight minutes: answers beside the CPU's, speed beside timm's loop.

Run it from the checkout: `python -m benchmarks.gpu [--device NAME] [--images N] [--minutes M] [--eager]
[--out FILE]`; where there is no GPU, `--device cpu --images 32 --eager` rehearses all but the GPU's own. The
page is written after each step; a step that failed, or that there was no time for, is named on it.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.evaluating import our_pass, timm_pass
from benchmarks.making import NAMES, draw_images, make_repo
from benchmarks.report import describe_machine
from benchmarks.timing import Spent
from rexnet_hub.errors import UsageError
from rexnet_hub.evaluation import ready_model
from rexnet_hub.imagenet.data.dataset import Dataset
from rexnet_hub.imagenet.data.layouts import read_dataset
from rexnet_hub.imagenet.data.pixels import normalise
from rexnet_hub.imagenet.data.tiles import ImageTiles, open_decoder, run_ahead
from rexnet_hub.imagenet.run.evaluate import evaluate_models
from rexnet_hub.imagenet.run.prepare import RunOptions
from rexnet_hub.imagenet.run.runner import (
    TILE_IMAGES,
    Runner,
    count_cores,
    exact_arithmetic,
    find_device,
    geometry,
    ready_runner,
)
from rexnet_hub.index import read_lock

ARITHMETICS = ("fp32", "TF32", "bf16")
#: None: eager. Not `max-autotune`: it takes minutes, and chooses kernels by time, as no record may.
MODES = (None, "default", "reduce-overhead")
HEADS = {
    "Answers": "network | same first class | same five, in order | largest logit difference",
    "Speed": "what | images a second | share of the bound | bound, images a second | peak memory",
    "Same bytes": "run | predictions",
}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What is measured on, and what was measured.

    Attributes:
        few: Images whose answers are compared.
        rates: Images a second, of what bounds a whole pass.
    """

    device: torch.device
    work: Path
    images: int
    few: int
    rows: dict[str, list[str]] = field(default_factory=lambda: {title: [] for title in HEADS})
    left_out: list[str] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)

    @property
    def is_gpu(self) -> bool:
        """Whether memory and streams are a GPU's."""
        return self.device.type == "cuda"

    @cached_property
    def folders(self) -> list[Path]:
        """Four repos of stand-ins."""
        return [make_repo(self.work, name).folder for name in NAMES]

    @cached_property
    def model(self) -> Any:
        """The first of them."""
        return ready_model(NAMES[0], str(self.folders[0]))

    @cached_property
    def data(self) -> Dataset:
        """The drawn set."""
        return read_dataset(draw_images(self.work / "images", self.images), allow_subset=True)

    def tiles(self, images: int) -> ImageTiles:
        """Take so many of its images in tiles."""
        return ImageTiles(
            images=self.data.images[:images],
            geometries=[geometry(self.model.preprocessing)],
            tile_images=TILE_IMAGES[self.device.type],
        )

    @cached_property
    def pixels(self) -> list[torch.Tensor]:
        """The few images, decoded, in tiles."""
        tiles = self.tiles(self.few)
        with open_decoder(tiles, 0) as decode:
            return [torch.from_numpy(decode(tile)().pixels[0]) for tile in range(len(tiles))]

    def runner(self, device: torch.device, arithmetic: str, mode: str | None) -> Runner:
        """Make the network ready; what is compiled is not held to the plain one's ranks, as in a run."""
        dtype = "bf16" if arithmetic == "bf16" else "fp32"
        runner = ready_runner(self.model, device, dtype=dtype, channels_last=True, compiled=False)
        network: Any = runner.network
        return replace(runner, network=torch.compile(network, mode=mode, dynamic=False)) if mode else runner

    def logits(self, runner: Runner) -> torch.Tensor:
        """Run the few images through a network."""
        tiles = [_run_tile(runner, tile.to(runner.device)).float().cpu() for tile in self.pixels]
        return torch.cat(tiles)[: self.few]

    @cached_property
    def expected(self) -> torch.Tensor:
        """What the CPU answers in fp32, eager."""
        with exact_arithmetic():
            return self.logits(self.runner(torch.device("cpu"), "fp32", None))

    def evaluate(self, workers: int) -> tuple[str, int]:
        """Evaluate the few images; return the digest of the predictions, and the size of the tiles."""
        few = replace(self.data, images=self.data.images[: self.few])
        options = RunOptions(device=str(self.device), workers=workers, quiet=True)
        (record,) = evaluate_models([self.model], few, options=options)
        return record.predictions_sha256, record.machine.tile_images

    def forget_peak(self) -> None:
        """Begin to count the memory anew."""
        if self.is_gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def add(self, table: str, *cells: str) -> None:
        """Add a row."""
        self.rows[table].append(f"| {' | '.join(cells)} |\n")

    def add_speed(self, what: str, rate: float, bound: str, most: float) -> None:
        """Add a row of speed, with the peak of memory since it was forgotten."""
        peak = (
            f"{torch.cuda.max_memory_allocated(self.device) / 1e6:,.0f} MB" if self.is_gpu else "not a GPU's"
        )
        self.add("Speed", what, f"{rate:,.4g}", f"{rate / most:.0%}", f"{most:,.4g}: {bound}", peak)

    def render(self) -> str:
        """Render all that was measured as Markdown."""
        parts = [", ".join(f"{key} {value}" for key, value in describe_machine().items())]
        for title, head in HEADS.items():
            line = "|".join("---" for _ in head.split("|"))
            parts.append(f"## {title}\n\n| {head} |\n|{line}|\n{''.join(self.rows[title])}")
        return "\n\n".join([*parts, *(f"Not measured: {what}" for what in self.left_out)]) + "\n"


@contextlib.contextmanager
def arithmetic_of(name: str) -> Iterator[None]:
    """Compute exactly, or with TF32 for matrices and convolutions."""
    backends: Any = torch.backends
    with exact_arithmetic():
        if name == "TF32":
            torch.set_float32_matmul_precision("high")
            backends.cudnn.allow_tf32 = True
        yield


def calls_a_second(bench: Bench, call: Callable[[], object], seconds: float) -> float:
    """Call for so long, and twice unmeasured before."""
    cuda: Any = torch.cuda
    wait = partial(cuda.synchronize, bench.device) if bench.is_gpu else lambda: None
    for _ in range(2):
        call()
    wait()
    calls, started = 0, time.monotonic()
    while not calls or time.monotonic() - started < seconds:
        call()
        calls += 1
        wait()
    return calls / (time.monotonic() - started)


def measure_network(bench: Bench, arithmetic: str, mode: str | None) -> None:
    """Compare logits with the CPU's, then time the network on pixels that are there, normalised there too."""
    name, runner = _name(arithmetic, mode), bench.runner(bench.device, arithmetic, mode)
    with arithmetic_of(arithmetic):
        logits = bench.logits(runner)
    theirs, ours = (of.sort(dim=1, descending=True, stable=True).indices for of in (bench.expected, logits))
    same = [f"{int((theirs[:, :n] == ours[:, :n]).all(dim=1).sum())} of {bench.few}" for n in (1, 5)]
    most = (bench.expected - logits).abs().max()
    bench.add("Answers", name, *same, f"{most:.2g}, where they spread by {logits.std():.2g}")

    side, dtype = 8192 if bench.is_gpu else 1024, torch.bfloat16 if arithmetic == "bf16" else torch.float32
    left, right = (torch.randn(side, side, device=bench.device, dtype=dtype) for _ in range(2))
    locked = read_lock().of(bench.model.name).preferred_macs
    assert locked
    tile = bench.pixels[0].to(bench.device)
    with arithmetic_of(arithmetic), torch.inference_mode():
        pace = calls_a_second(bench, lambda: torch.mm(left, right), 0.5) * side**3 / locked.count
        bench.forget_peak()
        bench.rates[name] = calls_a_second(bench, partial(_run_tile, runner, tile), 2) * len(tile)
    bound = "its multiply-adds at the pace of a matrix product"
    bench.add_speed(f"network alone, {name}, {len(tile)} at a time", bench.rates[name], bound, pace)


def _run_tile(runner: Runner, tile: torch.Tensor) -> torch.Tensor:
    return runner.run(normalise(tile, runner.model.preprocessing))


def measure_decoding(bench: Bench) -> None:
    """Time the processes that decode, from their first tile on."""
    tiles, workers, marks = bench.tiles(bench.images), count_cores(), []
    with open_decoder(tiles, workers) as decode:
        jobs = map(decode, range(len(tiles)))
        for tile, _ in enumerate(run_ahead(jobs, threads=1, ahead=tiles.ahead(workers))):
            marks.append((tiles.rows(tile).stop, time.monotonic()))
    (first, started), (last, ended) = marks[0], marks[-1]
    bench.rates["decoding"] = rate = (last - first) / (ended - started)
    bench.add("Speed", f"decoding alone, in {workers} processes", f"{rate:,.4g}", "", "", "")


def measure_pass(
    bench: Bench, what: str, make: Callable[[], Callable[[], Spent]], arithmetic: str, bounds: Sequence[str]
) -> None:
    """Time a whole pass by the clock, its second half; what bounds it is the slowest of its parts alone."""
    bench.forget_peak()
    with arithmetic_of(arithmetic):
        rate = 1 / make()().wall_s
    slower = min(bounds, key=lambda name: bench.rates[name])
    bench.add_speed(what, rate, slower, bench.rates[slower])


def measure_bytes(bench: Bench) -> None:
    """Evaluate again, without workers, and in two processes of torchrun on one device."""
    first, size = bench.evaluate(count_cores())
    for workers in (count_cores(), 0):
        same = "the same" if bench.evaluate(workers)[0] == first else "OTHERS"
        bench.add("Same bytes", f"again, {workers} processes decode, tiles of {size}", same)
    few, bytes_of = draw_images(bench.work / "few", bench.few), []
    device = "cuda:0" if bench.is_gpu else "cpu"
    for processes in (1, 2):
        out = bench.work / f"in-{processes}"
        torchrun = f"-m torch.distributed.run --standalone --nproc_per_node={processes} -m rexnet_hub"
        words = ["evaluate", bench.folders[0], "--data", few, "--subset", "--json"]
        words += ["--device", device, "--record", out]
        command = [sys.executable, *torchrun.split(), *map(str, words)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().rpartition("\n")[2])
        bytes_of.append((out / f"{bench.model.name}.predictions").read_bytes())
    same = "the same" if bytes_of[0] == bytes_of[1] else "OTHERS"
    bench.add("Same bytes", "two processes of torchrun on one device, beside one", same)


def measure_halving(bench: Bench) -> None:
    """Leave a run 60 % of the memory that it takes."""
    if not bench.is_gpu:
        raise UsageError("it takes a GPU's memory away")
    bench.forget_peak()
    bench.evaluate(0)
    share = 0.6 * torch.cuda.max_memory_reserved(bench.device)
    whole = torch.cuda.get_device_properties(bench.device).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(share / whole, bench.device)
    try:
        _, size = bench.evaluate(0)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, bench.device)
    bench.add("Same bytes", f"with {share / 1e6:,.0f} MB", f"of tiles of {size}")


def _name(arithmetic: str, mode: str | None) -> str:
    return f"{arithmetic}, {'eager' if mode is None else f'compiled ({mode})'}"


def steps(bench: Bench, *, eager: bool) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield what is measured, the weightiest first."""

    def networks(mode: str | None) -> Iterator[tuple[str, Callable[[], None]]]:
        for arithmetic in ARITHMETICS:
            yield f"network, {_name(arithmetic, mode)}", partial(measure_network, bench, arithmetic, mode)

    def passes(how: str, *, compiled: bool) -> Iterator[tuple[str, Callable[[], None]]]:
        images, one, cores = bench.work / "images", bench.folders[:1], count_cores()
        ours = partial(our_pass, images=images, device=str(bench.device), workers=cores, compiled=compiled)
        theirs = partial(timm_pass, images=images, device=str(bench.device), workers=cores, compiled=compiled)
        rows: list[tuple[str, Callable[[], Callable[[], Spent]], str, list[str]]] = []
        for name in ARITHMETICS[:1] if compiled else ARITHMETICS:
            parts = ["decoding", _name(name, MODES[compiled])]
            if name != "TF32":  # which is off in every run of ours
                rows.append((f"ours, {name}, {how}", partial(ours, one, dtype=name), name, parts))
            timms = partial(theirs, one, bf16=name == "bf16")
            rows.append((f"timm's loop, {name}, {how}", timms, name, parts))
        if not compiled:
            kept = partial(ours, one, cache=bench.work / "pixels")
            rows.append(("ours, fp32, eager, from kept pixels", kept, "fp32", ["fp32, eager"]))
            for what, each in (("ours, four models at once", ours), ("timm's loop, four in turn", theirs)):
                rows.append((f"{what}, fp32, eager", partial(each, bench.folders), "fp32", ["decoding"]))
        for what, make, name, parts in rows:
            yield what, partial(measure_pass, bench, what, make, name, parts)

    yield from networks(None)
    yield "decoding", partial(measure_decoding, bench)
    yield from passes("eager", compiled=False)
    yield "same bytes", partial(measure_bytes, bench)
    yield "less memory", partial(measure_halving, bench)
    if not eager:
        yield from networks(MODES[1])
        yield from passes("compiled", compiled=True)
        yield from networks(MODES[2])


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--device", default="cuda", metavar="NAME", help="(default: cuda)")
    parser.add_argument("--images", type=int, default=16384, metavar="N", help="drawn (default: 16384)")
    parser.add_argument(
        "--minutes", type=float, default=8, metavar="M", help="no step begins later (default: 8)"
    )
    parser.add_argument("--eager", action="store_true", help="compile nothing, which takes minutes on a CPU")
    parser.add_argument("--out", type=Path, default=Path("gpu.md"), metavar="FILE", help="(default: gpu.md)")
    args = parser.parse_args()
    started = time.monotonic()
    try:
        device = find_device(args.device)
    except UsageError as error:
        sys.exit(f"error: {error}; to rehearse without: --device cpu --images 32 --eager")
    if device.type == "cpu":
        torch.set_num_threads(1)
    if args.images < 2 * TILE_IMAGES[device.type]:
        sys.exit(f"error: {args.images} images are no two tiles of {TILE_IMAGES[device.type]}")
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as work:
        bench = Bench(device=device, work=Path(work), images=args.images, few=min(args.images, 512))
        print(f"{len(bench.data.images)} images, on {device}", flush=True)
        for what, step in steps(bench, eager=args.eager):
            try:
                # A step takes some ten seconds, one that compiles or starts processes a minute.
                if time.monotonic() - started > 60 * (args.minutes - 1.5):
                    raise UsageError("no time was left")
                step()
            except Exception as error:  # of whatever kind: no step costs the others their time
                reason = [*str(error).splitlines(), type(error).__name__][0]
                bench.left_out.append(f"{what}: {reason}")
            print(f"{time.monotonic() - started:4.0f} s  {what}", flush=True)
            args.out.write_text(bench.render())
    print(bench.render(), end="")


if __name__ == "__main__":
    main()
