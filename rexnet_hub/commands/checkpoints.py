"""Commands about checkpoint files: fetch, convert, verify, watch, lock."""

from __future__ import annotations

import argparse
import secrets
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rexnet_hub.commands import add_json, find_folder, find_model, find_model_of, find_models, open_index
from rexnet_hub.errors import FileProblem, IndexReadError, UsageError, refuse_unused
from rexnet_hub.terminal import noted_table, printable, show, show_json, show_lines, terminal_columns

if TYPE_CHECKING:
    from rexnet_hub.imagenet.evidence.record import Record
    from rexnet_hub.index import Lock
    from rexnet_hub.verify import Finding


def declare_fetch(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `fetch`."""
    parser.add_argument("name", help="a model")
    parser.add_argument("--to", type=Path, metavar="DIR", help="a folder (default: the cache)")
    all_help = "each source of the weights, their tensors compared"
    parser.add_argument("--all", action="store_true", help=all_help)


def run_fetch(args: argparse.Namespace) -> int:
    """Fetch a model's released file, or all sources of its weights, checked, and print the paths."""
    from rexnet_hub.index import read_lock
    from rexnet_hub.layout import find_cache_dir
    from rexnet_hub.repo.folder import compare_sources, describe_witnesses, fetch_released

    entry = open_index().find(args.name)
    measured = read_lock().of(entry.name)
    options = {"cache_dir": find_cache_dir(), "measured": measured, "to": args.to}
    sources = (entry.sources if args.all else ()) or (None,)
    files = [fetch_released(entry, **options, source=source) for source in sources]
    _print_witnesses(describe_witnesses(entry, measured, compare_sources(entry, files)))
    show_lines("\n".join(map(str, files)))
    return 0


def _print_witnesses(said: Iterable[str]) -> None:
    for text in filter(None, said):
        show(text, stream=sys.stderr)


def declare_convert(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `convert`."""
    add = parser.add_argument
    add("source", metavar="NAME|FILE", help="a model, or a checkpoint on disk")
    model_help = "compare a file's tensors with this model's network, and ask its witnesses"
    add("--model", metavar="NAME", help=model_help)
    add("--out", type=Path, metavar="FILE", help="the safetensors file (default: beside the source)")
    add("--weights-key", metavar="KEY", help="the state dict that is meant, such as model.state_dict")
    add("--sha256", metavar="DIGEST", help="refuse a source with another SHA-256 (all 64 digits)")
    add("--float32", action="store_true", help="turn other floating-point numbers into float32")
    add("--allow-nonfinite", action="store_true", help="let NaN, infinity and negative variances pass")


def run_convert(args: argparse.Namespace) -> int:
    """Convert a checkpoint to safetensors, with a receipt beside it.

    A model is fetched and its tensors are compared with its network's. A file is converted as it
    is, and compared with a network only with --model. Every tensor is compared with its source, bit for bit.
    """
    from rexnet_hub.identity import Identity
    from rexnet_hub.index import Measured, read_lock
    from rexnet_hub.index.entry import AGREES
    from rexnet_hub.index.network import entry_plan
    from rexnet_hub.layout import find_cache_dir
    from rexnet_hub.repo.folder import (
        compare_witnesses,
        describe_witnesses,
        fetch_released,
        released_identity,
    )
    from rexnet_hub.weights.convert import convert_checkpoint, find_conversion

    source, model = Path(args.source), args.model
    identity, measured = None, Measured()
    is_file = source.exists() or "/" in args.source or source.suffix
    if not is_file or open_index().get(args.source):
        model = model or args.source
        entry = open_index().find(args.source)
        measured = read_lock().of(entry.name)
        identity = released_identity(entry, measured) + Identity(entry.tensor_statements)
        source = fetch_released(entry, cache_dir=find_cache_dir(), measured=measured)
    is_safetensors = source.suffix == ".safetensors"  # which is not written over
    out = args.out or source.with_suffix(".converted.safetensors" if is_safetensors else ".safetensors")
    expected = entry_plan(open_index().find(model)).tensors if model else None
    key = args.weights_key or (open_index().find(args.source).said("weights_key") if identity else None)
    options = {"wrapper": key, "as_float32": args.float32, "allow_nonfinite": args.allow_nonfinite}
    options["sha256"] = args.sha256
    try:
        receipt = convert_checkpoint(source, out, expected=expected, identity=identity, **options)
    except FileProblem as error:
        if args.out or Path(error.file) not in (out, out.parent):
            raise
        earlier = find_conversion(source, out) if identity and not any(options.values()) else None
        if earlier is None:
            raise FileProblem(error.file, f"{error.problem}; name another place with --out") from None
        receipt = earlier
        show("it was there; nothing new can be written there", stream=sys.stderr)
    if model:
        entry = open_index().find(model)
        answers = compare_witnesses(entry, source, receipt.output, out)
        line, doubt = describe_witnesses(entry, measured, answers)
        own = "witnesses are of the released weights: a checkpoint of your own need not agree"
        is_own = identity is None and AGREES not in answers.values() and line
        _print_witnesses([line, own if is_own else "", doubt if identity else ""])
    show(f"{out}  {receipt.output.size_bytes} bytes  sha256:{receipt.output.sha256}")
    if receipt.is_unchanged:
        show("its bytes are those of the source: nobody converted anything", stream=sys.stderr)
    if receipt.source.left_out:
        show(f"left out: {', '.join(receipt.source.left_out)}", stream=sys.stderr)
    if not receipt.checked_against_network:
        show("not compared with a network: --model does that", stream=sys.stderr)
    return 0


def declare_verify(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `verify`."""
    add = parser.add_argument
    add(
        "names",
        nargs="*",
        metavar="NAME|DIR|hf:ORG[/NAME]",
        help="models, a repo folder, or repos on the Hub (default: all)",
    )
    add("--weights", type=Path, metavar="FILE", help="the released file (default: as fetched)")
    add("--repo", type=Path, metavar="DIR", help="the staged or downloaded repo folder")
    add("--record", type=Path, action="append", default=[], metavar="FILE", help="a run's record")
    data_help = "run on ImageNet's validation set now; with --audit, the images of the records"
    add("--imagenet", "--data", dest="data", type=Path, metavar="DIR", help=data_help)
    add("--sample", type=int, metavar="N", help="of it only N images: a verdict, not a number")
    audit_help = "run N images of --data anew, and compare each answer with the --record"
    add("--audit", type=int, metavar="N", help=audit_help)
    add("--seed", type=int, metavar="N", help="of the audit (default: one that nobody knows before)")
    signature_help = "check --repo by its signature first: a public key (PEM) or IDENTITY@https://ISSUER"
    add("--signature", metavar="KEY", help=signature_help)
    version_help = "the lowest signed version that is taken (default: the highest that was seen here)"
    add("--at-least-version", type=int, metavar="N", help=version_help)
    add("--junit", type=Path, metavar="FILE", help="write a JUnit file for CI too")
    add_json(parser)


def run_verify(args: argparse.Namespace) -> int:
    """Measure every claim of one model, of several or of all; with --repo of the model that it says it is.

    A repo on the Hub is checked as it is now, against index and lock; of an organisation each one.
    Each claim holds, is false, or is not measured; one that is false makes the exit code 1. A record is
    recounted from the predictions beside it, in milliseconds and without images; an --audit runs some of its
    images anew and wants the same answers. With --data the models are run now; on a --sample the verdict says
    whether the claim is consistent with it.
    """
    from rexnet_hub.verify.finding import exit_code, render_json, render_junit
    from rexnet_hub.whole_files import write_whole

    of_hub = any(name.startswith("hf:") for name in args.names)
    findings = _verify_there(args) if of_hub else _verify_here(args)
    if not findings:
        raise UsageError("there is no model, in the index or there, so there is nothing to verify")
    if args.junit:
        write_whole(args.junit, render_junit(findings).encode())
    show_json(render_json(findings)) if args.json else show_lines(findings_table(findings))
    return exit_code(findings)


def _verify_there(args: argparse.Namespace) -> list[Finding]:
    """Check repos on the Hub."""
    from rexnet_hub.drift import verify_published

    of_run = ("record", "data", "sample", "audit", "seed")
    options = ("weights", "repo", *of_run, "signature", "at_least_version")
    refuse_unused(args.names[0], **{name: getattr(args, name) for name in options})
    return [finding for name in dict.fromkeys(args.names) for finding in verify_published(name)]


def _verify_here(args: argparse.Namespace) -> list[Finding]:
    """Check the claims of models of the index, on what the options name."""
    from rexnet_hub.index import read_lock
    from rexnet_hub.index.ledger import read_ledger
    from rexnet_hub.layout import find_cache_dir
    from rexnet_hub.repo.folder import find_sources
    from rexnet_hub.verify import verify_model

    index, lock = open_index(), read_lock()
    if folders := [folder for name in args.names if (folder := find_folder(index, name))]:
        refuse_unused(f"{folders[0]}, a repo folder,", repo=args.repo)
        args.repo = folders[0]
    named = {entry.name: entry for entry in (find_model(index, name) for name in args.names)}
    entries = list(named.values()) or list(index.models)
    if args.repo and not args.names:
        entries = [find_model_of(index, args.repo)]
    if len(entries) > 1 and (args.weights or args.repo):
        raise UsageError("--weights and --repo go with one model: name it")
    if args.data is None:
        refuse_unused("verify without --data", sample=args.sample, audit=args.audit)
    if args.audit is None:
        refuse_unused("verify without --audit", seed=args.seed)
    else:
        refuse_unused("an audit", sample=args.sample)
        if not args.record:
            raise UsageError("--audit compares with a run that was kept: name its --record")
    if args.signature is None:
        refuse_unused("verify without --signature", at_least_version=args.at_least_version)
    else:
        _check_signature(args, entries[0].name)
    records, ledger = _records(args, [entry.name for entry in entries], lock), read_ledger()
    findings: list[Finding] = []
    for entry in entries:
        measured = lock.of_entry(entry)
        files = {"checkpoint": args.weights, "repo": args.repo}
        files["sources"] = find_sources(entry, cache_dir=find_cache_dir(), measured=measured)
        findings += verify_model(entry, **files, measured=measured, records=records, ledger=ledger)
    return [*findings, *_audits(args)]


def _audits(args: argparse.Namespace) -> Iterator[Finding]:
    """Run some images of each record anew."""
    if args.audit is None:
        return
    from rexnet_hub.evaluation import audit_record

    seed = secrets.randbits(32) if args.seed is None else args.seed
    for file in args.record:
        yield audit_record(file, args.data, repo=args.repo, size=args.audit, seed=seed)


def _check_signature(args: argparse.Namespace, name: str) -> None:
    """Check the repo by its signature before anything else is believed of it."""
    from rexnet_hub.signing import verify_signature

    if args.repo is None:
        raise UsageError("--signature goes with --repo: name the folder that was signed")
    signed = verify_signature(args.repo, args.signature, name=name, at_least_version=args.at_least_version)
    show(f"signed: {signed.name}, version {signed.version}", stream=sys.stderr)


def _records(args: argparse.Namespace, names: list[str], lock: Lock) -> list[Record]:
    """Recount the records that were named, and run what is to be run now."""
    locked = {name: lock.of(name).safetensors for name in names}
    by_weights = {file.sha256: name for name, file in locked.items() if file}
    records = [*_recount(args.record, names, by_weights).values()]
    if args.data is not None and args.audit is None:
        from rexnet_hub.evaluation import ready_model
        from rexnet_hub.imagenet.data.dataset import sample_dataset
        from rexnet_hub.imagenet.data.layouts import read_dataset
        from rexnet_hub.imagenet.run.evaluate import evaluate_models

        images = read_dataset(args.data)
        images = images if args.sample is None else sample_dataset(images, args.sample)
        sources = {names[0]: str(args.repo)} if args.repo else {name: name for name in names}
        records += evaluate_models([ready_model(*pair) for pair in sources.items()], images)
    return records


def _recount(
    files: Sequence[Path], names: Sequence[str], by_weights: Mapping[str, str]
) -> dict[Path, Record]:
    """Recount records that must be of these models: a folder's of that which its weights are of."""
    from dataclasses import replace

    from rexnet_hub.imagenet.evidence.record import recount

    records = {file: recount(file) for file in files}
    for file, record in records.items():
        if record.model not in names:
            records[file] = replace(record, model=by_weights.get(str(record.weights_sha256), record.model))
    if strangers := [record.model for record in records.values() if record.model not in names]:
        raise UsageError(f"a record of {strangers[0]} says nothing of {', '.join(names)}")
    return records


def declare_watch(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `watch`."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="models (default: all)")
    help_text = "fetch each released file whole, past the cache, instead of asking for its size"
    parser.add_argument("--fetch", action="store_true", help=help_text)
    add_json(parser)


def run_watch(args: argparse.Namespace) -> int:
    """Check what is published, and every source that the index cites, against index and lock.

    Each repo on the Hub is downloaded and checked as `verify hf:ORG/NAME` does it. Released files, witnesses,
    tables and cited texts are asked for where they are. A line says what is false, or what others changed of
    their own. Exit code 1 is for what is false; 75 says that nothing is, but that somebody did not answer.
    """
    from rexnet_hub.drift import watch
    from rexnet_hub.verify.finding import FALSE, HOLDS, NOT_REACHED, exit_code, render_json

    index = open_index()
    findings = watch(find_models(index, args.names), is_fetched=args.fetch)
    if args.json:
        show_json(render_json(findings))
        return exit_code(findings)
    show_wrong(findings)
    counts = {word: sum(each.verdict == word for each in findings) for word in (HOLDS, FALSE, NOT_REACHED)}
    show(", ".join(f"{count} {word}" for word, count in counts.items()), stream=sys.stderr)
    return exit_code(findings)


def show_wrong(findings: Sequence[Finding]) -> None:
    """Print what is false or not reached, and what others changed of their own, a line for each."""
    from dataclasses import replace

    from rexnet_hub.drift import NOTES
    from rexnet_hub.verify.finding import FALSE, NOT_MEASURED, NOT_REACHED

    for each in findings:
        if each.verdict in (FALSE, NOT_REACHED) or (each.verdict == NOT_MEASURED and each.claim in NOTES):
            told = replace(each, verdict="changed") if each.verdict == NOT_MEASURED else each
            show(f"{shorten(str(told))} ({shorten(each.note)})" if each.note else shorten(str(told)))


def findings_table(findings: Sequence[Finding], *, hide: Sequence[str] = ()) -> str:
    """Render findings as wide as the terminal, each model under its name; a last line counts the verdicts.

    Args:
        hide: Verdicts whose findings are counted alone.

    A note that does not fit beside its finding stands below it; where something is false or not reached, with
    all that is stated and found. Of which weights it all is, is said once.
    """
    from rexnet_hub.verify.finding import FALSE, HOLDS, NOT_MEASURED, NOT_REACHED

    columns = terminal_columns()
    blocks: list[str] = []
    origins: dict[tuple[str, str], list[str]] = {}
    for model in dict.fromkeys(finding.model for finding in findings):
        own = [finding for finding in findings if finding.model == model]
        for origin in (finding for finding in own if finding.claim == "origin"):
            origins.setdefault((origin.found, origin.note), []).append(model)
        if others := [each for each in own if each.claim != "origin" and each.verdict not in hide]:
            blocks.append(f"{printable(model)}\n{_model_table(others, columns)}")
    for (found, note), models in origins.items():
        said = f"{', '.join(models)}: {': '.join(filter(None, (found, note)))}"
        blocks.append("\n".join(textwrap.wrap(printable(said), columns, break_on_hyphens=False)))
    words = (HOLDS, FALSE, NOT_MEASURED, NOT_REACHED)
    counts = {word: sum(finding.verdict == word for finding in findings) for word in words}
    total = ", ".join(f"{count} {word}" for word, count in counts.items() if count or word != NOT_REACHED)
    of = dict.fromkeys(found for found, _ in origins if found)
    return "\n\n".join([*blocks, f"{total}{', of ' if of else ''}{'; of '.join(of)}"])


def _model_table(findings: Sequence[Finding], columns: int) -> str:
    from rexnet_hub.verify.finding import FALSE, NOT_REACHED

    longest = min(28, max(12, (columns - 24 - max(len(f.claim) for f in findings)) // 2))
    rows = []
    for f in findings:
        stated, found, note = shorten(f.stated, longest), shorten(f.found, longest), f.note
        if f.verdict in (FALSE, NOT_REACHED) and "…" in stated[-1:] + found[-1:]:
            note = f"stated {shorten(f.stated)}, found {shorten(f.found)}{note and f' ({note})'}"
        rows.append((f.claim, f.verdict, stated, found, note))
    return noted_table(("claim", "verdict", "stated", "found", "how"), rows)


def shorten(text: str, longest: int = 900) -> str:
    """Return a text as it can be printed, cut where it is too long."""
    text = printable(text)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def declare_lock(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `lock`."""
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="models (default: all)")
    add("--weights", type=Path, metavar="FILE", help="the released file: digest and size")
    add(
        "--repo",
        type=Path,
        metavar="DIR",
        help="the staged repo: its weights' digest and size, golden logits",
    )
    record_help = "a run's record, its predictions beside it: the accuracy"
    add("--record", type=Path, action="append", default=[], metavar="FILE", help=record_help)
    add("--check", action="store_true", help="write nothing, fail where the lock disagrees")


def run_lock(args: argparse.Namespace) -> int:
    """Measure models and record what was found in lock.json, beside the index.

    Counts and sizes are measured from the network; digests from the files that are named. With --repo the
    network is asked too: what it answers to two inputs is kept beside the lock, and the next `stage` puts it
    into the repo as golden.json. What is not measured stays as it was, or absent: also where nobody here
    knows the network, which is said. A model that left the index is dropped, unless it was published. An
    accuracy enters with --record alone: it is counted again from the predictions, weights, classes and input
    are compared, and both files are kept beside the lock. With --check nothing is written, and every
    disagreement of lock, index, network and named files is said.
    """
    from rexnet_hub.evaluation import enter_records
    from rexnet_hub.golden import keep_golden
    from rexnet_hub.imagenet.evidence.record import require_counted
    from rexnet_hub.index import Lock, read_lock
    from rexnet_hub.index.lock import find_lock, require_own_index, update_lock
    from rexnet_hub.layout import find_cache_dir
    from rexnet_hub.measure import compare_lock, find_orphans, measure_model, merge_measured, why_unmeasured
    from rexnet_hub.repo.folder import find_sources

    index = open_index()
    entries = find_models(index, args.names)
    if not entries:
        raise UsageError("the index holds no model, so there is nothing to measure")
    if len(entries) > 1 and (args.weights or args.repo):
        raise UsageError("--weights and --repo go with one model: name it")
    files: dict[str, Any] = {"checkpoint": args.weights, "repo": args.repo}
    if args.repo:
        measured = read_lock().of(entries[0].name)
        files["sources"] = find_sources(entries[0], cache_dir=find_cache_dir(), measured=measured)
    everything = not args.names and not index.errors  # an index that cannot be read whole drops nothing
    reasons = {} if args.names else {entry.name: why_unmeasured(entry) for entry in entries}
    unmeasured = {name: f"{name}: not measured: {reason}" for name, reason in reasons.items() if reason}
    if len(unmeasured) == len(entries):
        raise IndexReadError("\n".join(unmeasured.values()))
    for reason in unmeasured.values():
        show(reason, stream=sys.stderr)
    if args.check:
        refuse_unused("lock --check", record=args.record)
        options = {"everything": everything, "unmeasured": unmeasured, **files}
        wrong = compare_lock(entries, read_lock(), **options)
        for disagreement in wrong:
            show(disagreement)
        sides = ["index", "network", *(str(file) for file in (args.weights, args.repo) if file)]
        count = len(entries) - len(unmeasured)
        of = f"{count} model{'s' * (count != 1)} with {', '.join(sides)}"
        said = f"{len(wrong)} disagree" if wrong else "all agrees"
        show(f"{find_lock()}: compared of {of}: {said}", stream=sys.stderr)
        require_counted(read_lock(), index.models)
        return 1 if wrong else 0
    require_own_index()
    measurable = [entry for entry in entries if entry.name not in unmeasured]
    found = [(entry, measure_model(entry, **files)) for entry in measurable]
    records = _recount(args.record, [entry.name for entry in measurable], {})

    def merge(lock: Lock) -> Lock:
        orphans = find_orphans(lock, entries) if everything else ()
        for name in orphans:
            show(f"{name}: dropped, the index has it no more", stream=sys.stderr)
        kept = {name: measured for name, measured in lock.models.items() if name not in orphans}
        for entry, new in found:
            old = lock.of(entry.name)
            own = [file for file, record in records.items() if record.model == entry.name]
            merged = enter_records(entry, merge_measured(entry, old, new), own, repo=args.repo)
            kept[entry.name] = keep_golden(merged, args.repo) if args.repo else merged
        return Lock(models=kept)

    show(update_lock(merge))
    return 0
