"""Check the files of a model: each is, byte for byte, what index, lock, receipt and record state of it."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rexnet_hub.errors import CheckpointError, RecordError
from rexnet_hub.identity import WHOLE_DIGITS, StatedFile, stated_file
from rexnet_hub.imagenet.data.classes import digest_labels, entry_labels
from rexnet_hub.imagenet.data.dataset import list_problems
from rexnet_hub.imagenet.evidence.record import Record
from rexnet_hub.index.entry import AGREES, DIFFERS, SILENT
from rexnet_hub.index.lock import find_in_lock, flatten
from rexnet_hub.index.network import entry_plan
from rexnet_hub.index.spellings import place_name
from rexnet_hub.layout import (
    CONFIG_FILE,
    GOLDEN_FILE,
    GOLDEN_PICTURE,
    RECEIPT_FILE,
    SIGNATURE_FILE,
    WEIGHTS_FILE,
)
from rexnet_hub.repo.config import render_config
from rexnet_hub.repo.folder import source_identity, source_tensors
from rexnet_hub.standins.legacy_writer import legacy_size_bytes
from rexnet_hub.verify.evidence import FETCH_ALL, NEEDS_FILE, NEEDS_LOCK, NEEDS_REPO, NEEDS_WEIGHTS, Evidence
from rexnet_hub.verify.finding import Finding
from rexnet_hub.weights.convert import convert_checkpoint
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.weights.fingerprint import TensorDigest
from rexnet_hub.weights.receipt import Receipt
from rexnet_hub.weights.safetensors_file import read_tensors


def check_released(evidence: Evidence) -> Iterator[Finding]:
    """Check the released file against all that index and lock state; without it, these against each other."""
    released = evidence.entry.released
    if released is None:
        return
    # Where the file is here, or was measured, its bytes decide; a file of another container has another size.
    if released.size_bytes is not None and not (evidence.released_digest or evidence.measured.released):
        planned = legacy_size_bytes(entry_plan(evidence.entry).tensors)
        note = "size of a legacy torch file of the network's tensors"
        if planned == (size := released.size_bytes):
            yield evidence.compare("file_size_planned", stated=size, found=planned, note=note)
        else:
            yield evidence.leave("file_size_planned", stated=size, found=str(planned), note=note)
    witnesses = [witness.statement for witness in evidence.entry.witnesses]
    for statement in evidence.released_identity.statements:
        if statement not in witnesses:  # which are asked with the others
            yield _check_statement(evidence, statement)
    if evidence.measured.released is None:
        yield evidence.leave("released_digest", stated="nothing", note=NEEDS_LOCK)


def _check_statement(evidence: Evidence, statement: StatedFile) -> Finding:
    """Check one statement of the released file against the file, else against the other statements."""
    size, sha256, digest = statement.size_bytes, statement.sha256, evidence.released_digest
    if statement.by == "the lock":
        claim = "released_digest"
    elif size is not None:
        claim = "file_size"
    else:
        claim = "sha256" if len(sha256) == WHOLE_DIGITS else "digest_prefix"
    if digest is None:
        others = evidence.released_identity.statements
        other = next((other for other in others if other.contradicts(statement)), None)
        if other is None:
            return evidence.leave(claim, stated=_text(statement), note=NEEDS_FILE)
        texts = {"stated": _text(statement), "found": other.value, "note": f"{statement}; {other}"}
        return evidence.compare(claim, **texts, holds=False)
    kind = "of a stand-in" if evidence.has_standin_checkpoint else "of the file"
    note = f"{statement.by} ({statement.place}), {kind}"
    if claim == "digest_prefix":
        note = f"{4 * len(sha256)} bits of the SHA-256 {kind}: shows a wrong file, proves no right one"
    return _check_file(evidence, claim, replace(statement, place=note), stated_file("the file", digest))


def _text(statement: StatedFile) -> str:
    """Render a statement; one of the index is of one number alone."""
    one = statement.sha256 or str(statement.size_bytes)
    return one if statement.by == "the index" else statement.value


def check_witnesses(evidence: Evidence) -> Iterator[Finding]:
    """Compare each witness with the files that are here, else about those that the lock states."""
    needs = {"released": NEEDS_FILE, "other": "needs that very file: --weights"}
    for witness, answer in evidence.witnesses.items():
        texts = {"stated": witness.claim.text, "note": f"{witness.name} {answer}"}
        if answer == SILENT:
            texts["note"] += f"; {FETCH_ALL if witness.is_source else needs.get(witness.of, NEEDS_REPO)}"
        if answer in (SILENT, DIFFERS):
            yield evidence.leave("witness", **texts)
        else:
            found = witness.claim.text if answer == AGREES else "another"
            yield evidence.compare("witness", found=found, holds=answer == AGREES, **texts)


def check_sources(evidence: Evidence) -> Iterator[Finding]:
    """Check that the sources of the weights that are here have the same tensors."""
    checkpoint, texts = evidence.checkpoint, {"stated": "the same tensors in each of its sources"}
    files = [*([checkpoint] if checkpoint else []), *evidence.sources.values()]
    if not evidence.sources:
        return
    if len(files) < 2 or evidence.has_standin_checkpoint:
        yield evidence.leave("sources", **texts, note=FETCH_ALL)
        return
    try:
        identity = source_tensors(evidence.entry, files)
        wrong, note = "; ".join(identity.contradictions()), "; ".join(map(str, identity.statements))
    except CheckpointError as error:
        wrong, note = str(error), "read tensor by tensor"
    yield evidence.compare("sources", **texts, found=wrong or texts["stated"], holds=not wrong, note=note)


def check_origin(evidence: Evidence) -> Iterator[Finding]:
    """State of which weights all else is found, where these are stand-ins or of unknown origin."""
    entry, measured, repo, checkpoint = evidence.entry, evidence.measured, evidence.repo, evidence.checkpoint
    if evidence.has_standin_weights or evidence.has_standin_checkpoint:
        texts = {"found": "stand-in weights: random numbers", "note": "no checkpoint that anybody trained"}
        yield evidence.leave("origin", stated="the released weights", **texts)
        return
    if entry.is_in_repo and repo is not None and repo.receipt and (parent := repo.receipt.parent):
        began = f"of a training that began with {parent.name}" if parent.sha256 else "of a network drawn here"
        found, note = f"weights {began}", f"{RECEIPT_FILE} alone says so"
        yield evidence.leave("origin", stated="the saved weights", found=found, note=note)
        return
    doubt = evidence.released_identity.doubt
    if entry.released is None and doubt:
        doubt = "nobody states a digest of the released file, or an address that brings it"
    is_known = (
        AGREES in evidence.witnesses.values()
        or (checkpoint is not None and not doubt)
        or (repo is not None and measured.safetensors is not None)
        or (repo is not None and entry.trusted_key is not None and (repo.folder / SIGNATURE_FILE).exists())
    )
    if is_known or (not doubt and checkpoint is None and repo is None):
        return
    found = "weights not known to be the released ones" if checkpoint or repo else ""
    note = doubt or "no witness, no lock and no key that the index trusts says where they are from"
    yield evidence.leave("origin", stated="the released weights", found=found, note=note)


def check_weights(evidence: Evidence) -> Iterator[Finding]:
    """Check the repo's weights against network, receipt, lock and the released file."""
    expected, repo = entry_plan(evidence.entry).tensors, evidence.repo
    stated = f"{len(expected)} tensors of {evidence.entry.architecture}"
    if repo is None or evidence.weights is None or evidence.weights_digests is None:
        yield evidence.leave("tensors", stated=stated, note=NEEDS_REPO)
        return
    tensors = evidence.weights_digests[1]
    found = {tensor.name: (tensor.dtype, tensor.shape) for tensor in tensors}
    wrong = _differing(expected, found)
    text = f"{len(found)} tensors"
    if wrong:
        text += f", {len(wrong)} not as planned: {', '.join(wrong[:3])}"
    note = "name, dtype and shape"
    yield evidence.compare("tensors", stated=stated, found=text, holds=not wrong, note=note)
    file = stated_file("found", evidence.weights)
    locked, receipt = evidence.measured.safetensors, repo.receipt
    if receipt is None:
        yield evidence.leave("weights_digest", stated="nothing", note="the repo has no receipt.json")
    else:
        note = "stand-in weights, random numbers" if evidence.has_standin_weights else RECEIPT_FILE
        yield _check_file(evidence, "weights_digest", stated_file("the receipt", receipt.output, note), file)
        yield _check_tensors(evidence, tensors, receipt)
        yield from _check_source(evidence, receipt)
    if locked is not None:
        place = find_in_lock(evidence.entry.name, "safetensors")
        yield _check_file(evidence, "weights_locked", stated_file("the lock", locked, place), file)
    if not evidence.entry.is_in_repo:  # which was converted from no released file
        yield _check_conversion(evidence, file, receipt)


def _check_file(evidence: Evidence, claim: str, stated: StatedFile, file: StatedFile) -> Finding:
    """Check a file against one statement, all facts in one finding."""
    known = replace(
        file,
        by=stated.by,
        sha256=file.sha256[: len(stated.sha256)],
        size_bytes=None if stated.size_bytes is None else file.size_bytes,
        fingerprint=stated.fingerprint and file.fingerprint,
    )
    holds = not stated.contradicts(file)
    return evidence.compare(claim, stated=_text(stated), found=_text(known), holds=holds, note=stated.place)


def _check_tensors(evidence: Evidence, found: Sequence[TensorDigest], receipt: Receipt) -> Finding:
    """Check the receipt's lines of the tensors against the file."""
    lines = {line.name: (line.dtype, line.shape, line.sha256) for line in receipt.tensors}
    there = {tensor.name: (tensor.dtype, tensor.shape, tensor.sha256) for tensor in found}
    facts = {
        "stand_in": receipt.stand_in == evidence.has_standin_weights,
        "checked_against_network": receipt.checked_against_network,
        "output.name": receipt.output.name == WEIGHTS_FILE,
    }
    wrong = _differing(lines, there) + [name for name, holds in facts.items() if not holds]
    text = f"{', '.join(wrong[:3])} differ" if wrong else f"{len(found)} tensors"
    stated, note = f"{len(lines)} tensors", "each tensor's name, dtype, shape and SHA-256"
    return evidence.compare("receipt", stated=stated, found=text, holds=not wrong, note=note)


def _check_source(evidence: Evidence, receipt: Receipt) -> Iterator[Finding]:
    """Check what the receipt states of its source against what index and lock state of the released file."""
    source = stated_file("the receipt", receipt.source, f"{RECEIPT_FILE}, source")
    entry, measured = evidence.entry, evidence.measured
    statements = source_identity(entry, measured, entry.source_of(receipt.source.sha256)).statements
    if not statements:
        return
    wrong = [statement for statement in statements if statement.contradicts(source)]
    texts = {"stated": "; ".join(each.value for each in wrong or statements), "found": source.value}
    if wrong and evidence.has_standin_weights and evidence.checkpoint is None:
        note = "made from a stand-in, which is nobody's released file"
        yield evidence.leave("receipt_source", **texts, note=note)
        return
    note = "; ".join(map(str, wrong)) or "the file that the weights were made from, receipt.json"
    yield evidence.compare("receipt_source", **texts, holds=not wrong, note=note)


def _check_conversion(evidence: Evidence, file: StatedFile, receipt: Receipt | None) -> Finding:
    """Convert the released file anew, and compare the repo's weights and every line of its receipt."""
    stated = "the released file's tensors"
    if (checkpoint := evidence.find_source(receipt)) is None:
        return evidence.leave("conversion", stated=stated, note=NEEDS_FILE)
    widened = receipt is not None and any(line.dtype != line.source_dtype for line in receipt.tensors)
    wrapper, note = receipt.source.wrapper if receipt else None, "converted anew"
    try:
        anew = _convert(checkpoint, digest_file(checkpoint).sha256, wrapper, widened)
    except CheckpointError as error:
        return evidence.compare("conversion", stated=stated, found=str(error), holds=False, note=note)
    locked = evidence.measured.released
    fingerprints = {"the weights": file.fingerprint, "released.fingerprint": locked and locked.fingerprint}
    wrong = [name for name, own in fingerprints.items() if own not in (None, anew.output.fingerprint)]
    if receipt is not None:
        if receipt.source.left_out is None:  # a receipt of before
            anew = replace(anew, source=replace(anew.source, left_out=None))
        note += ", each line of the receipt compared"
        wrong += _differing(_facts(receipt), _facts(anew))
    found = f"{', '.join(wrong[:3])} differ" if wrong else stated
    return evidence.compare("conversion", stated=stated, found=found, holds=not wrong, note=note)


@functools.lru_cache(maxsize=4)  # one verification asks for a model once, a run of several for each repo
def _convert(checkpoint: Path, sha256: str, wrapper: str | None, as_float32: bool) -> Receipt:
    with tempfile.TemporaryDirectory(prefix="rexnet-hub-") as scratch:
        out = Path(scratch, WEIGHTS_FILE)
        return convert_checkpoint(
            checkpoint, out, sha256=sha256, wrapper=wrapper, as_float32=as_float32, allow_nonfinite=True
        )


#: What of a receipt another conversion of the same file may state otherwise.
_FREE = ("checked_against_network", "versions", "source.name", "files", "parent", "model")


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """List what two sides have otherwise, or one alone."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def _facts(receipt: Receipt) -> dict[str, Any]:
    """Return the facts of a receipt by name, but those that another conversion may state otherwise."""
    facts = asdict(receipt)
    facts["tensors"] = {line["name"]: line for line in facts["tensors"]}
    return {name: value for name, value in flatten(facts) if not name.startswith(_FREE)}


def check_golden(evidence: Evidence) -> Iterator[Finding]:
    """Compare the golden logits with what the repo's network answers in float32, on the CPU."""
    entry, repo, locked = evidence.entry, evidence.repo, evidence.measured.golden
    texts, measure = {"stated": f"the logits in {GOLDEN_FILE}"}, f"rexnet-hub lock {entry.name} --repo DIR"
    if repo is None or not (file := repo.folder / GOLDEN_FILE).is_file():
        if locked:
            is_gone = repo is not None and repo.receipt is not None and GOLDEN_FILE in repo.receipt.files
            since = "the receipt states it" if is_gone else "it was staged before they were measured"
            note = NEEDS_REPO if repo is None else f"is not there, and {since}: stage it again"
            yield evidence.leave("golden", **texts, note=note)
        elif repo is not None and not (evidence.has_standin_weights or entry.is_in_repo):
            yield evidence.leave(
                "golden", stated="nothing", note=f"no {GOLDEN_FILE} yet: {measure}, then stage"
            )
        return
    if entry.is_in_repo or (repo.folder / CONFIG_FILE).read_text(encoding="utf-8") != render_config(entry):
        yield evidence.leave("golden", **texts, note=f"{CONFIG_FILE} is no index's: its network is not run")
        return
    from rexnet_hub.golden import TOLERANCE, judge_golden  # it imports torch

    wrong, largest = judge_golden(file, repo, picture=repo.folder / GOLDEN_PICTURE)
    if locked not in (None, sha256 := digest_file(file).sha256):
        wrong.append(f"the file has SHA-256 {sha256}, the lock states {locked}")
    note = f"in float32 on the CPU, where {TOLERANCE['cpu']:g} is allowed"
    note += f"; to measure anew: rexnet-hub lock {entry.name}, stage, {measure}, stage" if wrong else ""
    found = "; ".join(wrong) or f"within {largest}"
    yield evidence.compare("golden", **texts, found=found, holds=not wrong, note=note)


def check_records(evidence: Evidence) -> Iterator[Finding]:
    """Check that each run is of these weights and pixels, and that the lock states its own run as it was."""
    for record in evidence.runs:
        facts = dict(record_facts(evidence, record))
        if not facts:
            yield evidence.leave("record", stated=record.weights_sha256, note=NEEDS_WEIGHTS)
            continue
        wrong = {name: pair for name, pair in facts.items() if pair[0] != pair[1]}
        texts = [", ".join(f"{name} {pair[at]}" for name, pair in (wrong or facts).items()) for at in (0, 1)]
        note = f"weights, classes and pixels of the run {record.conditions}, {record.machine}"
        yield evidence.compare("record", stated=texts[0], found=texts[1], holds=not wrong, note=note)
    for locked, found in evidence.locked_runs:
        counts = f"{locked.top1_count} and {locked.top5_count} of {locked.images} images of "
        counts += place_name(*locked.place)
        holds = isinstance(found, Record)
        note = "top-1 and top-5, counted again from the predictions of every image" if holds else str(found)
        there = counts if holds else "not counted"
        yield evidence.compare("evaluation", stated=counts, found=there, holds=holds, note=note)


def record_facts(evidence: Evidence, record: Record) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Pair what a record states with what is here, by name."""
    weights = evidence.weights
    if weights is not None:
        yield "weights_sha256", (record.weights_sha256, weights.sha256)
        if None not in (record.fingerprint, weights.fingerprint):
            yield "fingerprint", (record.fingerprint, weights.fingerprint)
        yield from _input_facts(evidence, record)
        counted, labels = record.benchmark, digest_labels(entry_labels(evidence.entry))
        if (classes := evidence.entry.value("num_classes")) is not None:
            yield "num_classes", (counted.num_classes, classes)
        if None not in (counted.labels_sha256, labels):
            yield "labels_sha256", (counted.labels_sha256, labels)
    if evidence.repo is not None:
        from rexnet_hub.imagenet.run.runner import digest_tensors  # it imports torch

        yield "tensors_sha256", (record.tensors_sha256, digest_tensors(read_tensors(evidence.repo.weights)))


def _input_facts(evidence: Evidence, record: Record) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Pair each setting of a run's input with the entry's, by name."""
    stated, own = asdict(record.preprocessing), asdict(evidence.entry.preprocessing)
    return ((name, (value, own[name])) for name, value in stated.items())


def require_run_of(evidence: Evidence, record: Record) -> None:
    """Refuse a run whose counts are not the accuracy of an entry's own weights.

    Raises:
        RecordError: Names all that speaks against it.
    """
    facts = dict(record_facts(evidence, record))
    wrong = [f"{name} is {own}, the record says {one}" for name, (one, own) in facts.items() if one != own]
    if evidence.weights is None:
        wrong.append(NEEDS_WEIGHTS)
    if not record.may_enter_index:
        whole = "an accuracy is of every image of the whole set, all of them readable, in fp32"
        wrong.append(f"it is a run {record.conditions}; {whole}")
    if wrong:
        raise RecordError(f"the record of {record.model}", list_problems(wrong))


def differing_input(evidence: Evidence, record: Record) -> str:
    """Return what of a run's input is not the entry's, in words; empty where all is, or nothing is stated."""
    if evidence.entry.unstated_input:
        return ""
    wrong = (f"{name} {one}, not {own}" for name, (one, own) in _input_facts(evidence, record) if one != own)
    return ", ".join(wrong)
