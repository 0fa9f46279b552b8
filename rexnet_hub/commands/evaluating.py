"""The command that evaluates: accuracy of several models in one pass, compared and explained."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rexnet_hub.commands import add_json, add_trusted_key, open_index
from rexnet_hub.errors import UsageError, refuse_unused
from rexnet_hub.terminal import show, show_json, show_lines, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rexnet_hub.imagenet.data.dataset import Dataset
    from rexnet_hub.imagenet.evidence.record import Record
    from rexnet_hub.imagenet.run.runner import ModelUnderTest


def declare_evaluate(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `evaluate`."""
    add = parser.add_argument
    add("names", nargs="*", default=[], metavar="NAME", help="models, Hub repos or repo folders")
    add("--data", type=Path, metavar="DIR", help="the images: ImageNet's validation set, as you have it")
    add("--dataset", metavar="NAME", help="of another data set, in a folder for each class by label or index")
    add("--split", help="of that data set, such as test")
    add("--labels", type=Path, metavar="FILE", help="to be held to the official ones")
    add("--class-ids", type=Path, metavar="FILE", help="the synset of each id, where the labels are ids")
    add("--record", type=Path, metavar="DIR", help="keep records and predictions there")
    add("--sample", type=int, metavar="N", help="only N images, of each class its share")
    add("--seed", type=int, metavar="N", help="of the sample (default: 0)")
    add("--subset", action="store_true", help="let a part of the validation set do, and say so")
    add("--pixel-cache", type=Path, metavar="DIR", help="keep decoded pixels for the next run")
    add("--skip-unreadable", action="store_true", help="count such images wrong and record them")
    add("--device", default="cpu", metavar="NAME", help="cpu or cuda (default: cpu)")
    add("--dtype", choices=("fp32", "bf16", "fp16"), default="fp32", help="(default: fp32)")
    add("--channels-last", action="store_true", help="run in that memory format")
    add("--compile", action="store_true", help="through torch.compile: a minute or more first, then faster")
    add("--workers", type=int, default=0, metavar="N", help="processes that decode (default: 0)")
    explained = "which change gives this top-1 (default: the index's claim), or another side's .predictions"
    add("--explain", type=_expected, nargs="?", const=True, metavar="PERCENT|FILE", help=explained)
    add("--compare", nargs=2, type=Path, metavar=("A", "B"), help="two .predictions files")
    add("--rescore", choices=("real",), help="count kept runs, records for NAME, by these labels instead")
    add_trusted_key(parser)
    add_json(parser)


def _expected(text: str) -> float | Path:
    """Read what is to be explained: a percentage, or a file of predictions."""
    try:
        return float(text)
    except ValueError:
        return Path(text)


def run_evaluate(args: argparse.Namespace) -> int:
    """Measure the accuracy of several models in one pass over a labelled set of images.

    That is ImageNet's validation set, or with --dataset another one, in a folder for each class: it is named
    by label or by index, as the models have them, and the order of the folders says nothing. Every image is
    decoded once and counted once; start it with torchrun to use several processes. A run that is killed goes
    on where it was when it is started again with the same --record. With --json each step is a line of JSON
    on standard error, and the records are one document. With --compare two kept runs are compared image by
    image; with --rescore the records of kept runs are counted by other labels of the same images; with
    --explain the settings are varied until a number, or the answers of another side, come out.
    """
    _require_used(args)
    if args.compare:
        return _compare(*args.compare, as_json=args.json)
    if args.rescore and args.names:
        return _show(args, _rescore(args))
    if not args.names or args.data is None:
        raise UsageError("evaluate needs at least one model and --data DIR")
    from rexnet_hub.evaluation import name_sources, ready_model
    from rexnet_hub.imagenet.run.evaluate import evaluate_models
    from rexnet_hub.imagenet.run.journal import list_unfinished
    from rexnet_hub.imagenet.run.prepare import RunOptions

    sources = name_sources(args.names).items()
    models = [ready_model(*source, trusted_key=args.trusted_key) for source in sources]
    images = _read_images(args, models[0])
    if args.explain is not None:
        return _explain(args, models, images)
    options = RunOptions(
        device=args.device,
        dtype=args.dtype,
        channels_last=args.channels_last,
        compiled=args.compile,
        skip_unreadable=args.skip_unreadable,
        workers=args.workers,
        quiet=args.json,
    )
    records = evaluate_models(
        models,
        images,
        options=options,
        out_dir=args.record,
        cache_dir=args.pixel_cache,
        on_progress=(lambda at: show_json(at.as_json(), stream=sys.stderr)) if args.json else None,
    )
    if os.environ.get("RANK", "0") != "0":  # of torchrun's processes the first one speaks
        return 0
    for folder, size_bytes in list_unfinished(args.record).items() if args.record else ():
        if args.json:
            show_json(json.dumps({"unfinished": folder, "size_bytes": size_bytes}), stream=sys.stderr)
            continue
        of = f"{size_bytes:,} bytes of a run with other models, settings or versions"
        show(f"{folder}: {of}: started as it was it goes on; else remove it", stream=sys.stderr)
    return _show(args, records)


def _show(args: argparse.Namespace, records: Sequence[Record]) -> int:
    """Print what was counted, and how the index's claims fare by it."""
    from rexnet_hub.evaluation import compare_with_claims

    known = [record.model for record in records] if args.rescore else args.names
    entries = {entry.name: entry for entry in open_index().models if entry.name in known}
    claims = [compare_with_claims(entries[r.model], r) if r.model in entries else () for r in records]
    if args.json:
        both = zip(records, claims, strict=True)
        show_json([{**asdict(r), "claims": [asdict(f) for f in own]} for r, own in both])
        return 0
    rows = (
        (r.model, f"{r.top1_percent:.3f}", f"{r.top5_percent:.3f}", r.top1_count, r.top5_count, r.images)
        for r in records
    )
    show_lines(table(("model", "top-1 %", "top-5 %", "top-1", "top-5", "images"), rows, right=range(1, 6)))
    show_lines(f"\n{records[0].conditions}")
    for finding in (finding for own in claims for finding in own):
        show(f"{finding.model}: {finding.claim} claimed {finding.stated}: {finding.verdict}, {finding.note}")
    return 0


def _rescore(args: argparse.Namespace) -> list[Record]:
    """Count kept runs by other labels."""
    from rexnet_hub.imagenet.evidence.predictions import read_predictions, render_predictions
    from rexnet_hub.imagenet.evidence.record import keep_run, predictions_of, recount, require_new
    from rexnet_hub.imagenet.evidence.rescore import rescore

    files = [Path(name) for name in args.names]
    counted = [rescore(recount(file), read_predictions(predictions_of(file)), args.rescore) for file in files]
    records = [record for record, _ in counted]
    require_new([record.model for record in records], args.record)
    for record, predictions in counted if args.record else ():
        keep_run(args.record, record, render_predictions(predictions))
    return records


def _read_images(args: argparse.Namespace, model: ModelUnderTest) -> Dataset:
    """Read the data set that was named, in the order of a model's classes."""
    from rexnet_hub.evaluation import find_benchmark
    from rexnet_hub.imagenet.data.dataset import sample_dataset
    from rexnet_hub.imagenet.data.layouts import read_dataset

    images = read_dataset(
        args.data,
        labels=args.labels,
        class_ids=args.class_ids,
        allow_subset=args.subset,
        benchmark=find_benchmark(model, args.dataset, args.split),
        class_names=model.labels,
    )
    return images if args.sample is None else sample_dataset(images, args.sample, seed=args.seed or 0)


#: What each other kind of run heeds, beside --json and --index.
_HEEDED = {
    "compare": (),
    "rescore": ("names", "record"),
    "explain": (
        *("names", "data", "dataset", "split", "labels", "class_ids"),
        *("sample", "seed", "subset", "device", "trusted_key"),
    ),
}


def _require_used(args: argparse.Namespace) -> None:
    """Refuse options that this kind of run would not heed.

    Raises:
        UsageError: Names all of them.
    """
    if mode := next((mode for mode in _HEEDED if getattr(args, mode) is not None), None):
        heeded = (mode, *_HEEDED[mode], "json", "index")
        rest = {name: value for name, value in vars(args).items() if name not in heeded}
        given = {name: value for name, value in rest.items() if value != args.parser.get_default(name)}
        refuse_unused(f"--{mode}", **given)
    if args.sample is None:
        refuse_unused("a run without --sample", seed=args.seed)


def _explain(args: argparse.Namespace, models: Sequence[ModelUnderTest], images: Dataset) -> int:
    """Print which change gives each model the top-1 that is expected."""
    from rexnet_hub.imagenet.evidence.explain import explain_accuracy
    from rexnet_hub.imagenet.evidence.predictions import read_predictions
    from rexnet_hub.index.scores import list_scores
    from rexnet_hub.index.spellings import is_same_place

    place = images.benchmark.place
    for source, model in zip(dict.fromkeys(args.names), models, strict=True):
        expected = read_predictions(args.explain) if isinstance(args.explain, Path) else args.explain
        if expected is True:  # it stands for what the index claims
            scores = (s for s in list_scores(open_index().find(source)) if is_same_place(s.place, place))
            claimed = next((s.value for s in scores if s.metric == "top1" and s.value is not None), None)
            if claimed is None:
                stated = f"the index claims no top-1 of {source} on {images.benchmark.title}"
                raise UsageError(f"{stated}: give --explain a percentage")
            expected = float(claimed)
        explanation = explain_accuracy(model, images, expected, device=args.device)
        show_json(json.dumps(asdict(explanation))) if args.json else show_lines(str(explanation))
    return 0


def _compare(first: Path, second: Path, *, as_json: bool) -> int:
    from rexnet_hub.imagenet.evidence.predictions import compare_predictions, read_predictions

    a, b = read_predictions(first), read_predictions(second)
    comparison = compare_predictions(a, b)
    if as_json:
        show_json(asdict(comparison))
        return 0
    rows = (
        ("both right", comparison.both_right),
        (f"only {a.head.model} right", comparison.only_first_right),
        (f"only {b.head.model} right", comparison.only_second_right),
        ("both wrong", comparison.both_wrong),
    )
    show_lines(table(("top-1", "images"), rows, right=[1]))
    whole = f"{a.head.images:,} images, not the whole set"
    data = a.head.benchmark.title if comparison.complete else whole
    show_lines(f"\non {data}; McNemar's exact test: p = {comparison.p_value:.4g}")
    return 0
