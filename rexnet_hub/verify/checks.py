"""Check the claims of an entry: each check takes the evidence and yields a finding a claim."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rexnet_hub.agreement import Standing
from rexnet_hub.errors import FetchError, FileProblem, SignatureProblem
from rexnet_hub.imagenet.data.classes import entry_labels
from rexnet_hub.imagenet.data.protocols import find_protocol
from rexnet_hub.imagenet.evidence.record import Record, recount
from rexnet_hub.imagenet.evidence.verdict import Word, judge_sample
from rexnet_hub.index import Claim, Preprocessing
from rexnet_hub.index.entry import INPUT_FIELDS
from rexnet_hub.index.ledger import list_own, list_places
from rexnet_hub.index.lock import COUNTED, PREFERRED_MACS
from rexnet_hub.index.network import entry_options, entry_plan
from rexnet_hub.index.reading.hub_metadata import read_front_matter
from rexnet_hub.index.scores import Score, list_scores, list_unread
from rexnet_hub.index.spellings import is_same_place, place_name
from rexnet_hub.layout import (
    CARD_FILE,
    CONFIG_FILE,
    LICENSE_FILE,
    RECEIPT_FILE,
    RECORD_SUFFIX,
    SIGNATURE_FILE,
    SIGNATURE_FILES,
    WEIGHTS_FILE,
)
from rexnet_hub.nets import find_network, known_network
from rexnet_hub.pages.card import derive_card
from rexnet_hub.pages.edits import merge_cards
from rexnet_hub.pages.snippets import find_place
from rexnet_hub.repo.config import render_config
from rexnet_hub.repo.folder import Repo
from rexnet_hub.signing import find_damage, verify_signature
from rexnet_hub.verify.evidence import NEEDS_LOCK, NEEDS_REPO, NEEDS_WEIGHTS, Evidence
from rexnet_hub.verify.files import (
    check_golden,
    check_origin,
    check_records,
    check_released,
    check_sources,
    check_weights,
    check_witnesses,
    differing_input,
)
from rexnet_hub.verify.finding import NOT_REACHED, Finding
from rexnet_hub.weights.digest import digest_file


def check_unread(evidence: Evidence) -> Iterator[Finding]:
    """Find each claim false that nobody can read."""
    for name, claim in list_unread(evidence.entry):
        texts = {"stated": claim.text, "found": str(Standing.UNREADABLE)}
        yield evidence.compare(name, **texts, holds=False, note=f"{claim.location}: {claim.problem}")


def check_parameters(evidence: Evidence) -> Iterator[Finding]:
    """Compare `Parameters` with the count."""
    entry = evidence.entry
    if (claim := entry.metadata.get("parameters")) is not None:
        own = (
            "" if entry.value("num_classes") is not None else "; with its own classes, the entry states none"
        )
        network = find_network(entry.architecture).call(entry.architecture)
        how = f"counted from the tensors of {network}{own}"
        yield evidence.compare_claim("parameters", claim, entry_plan(entry).parameters, note=how)


def check_operations(evidence: Evidence) -> Iterator[Finding]:
    """Compare the lock's MACs with the network's; derive `FLOPs` from them, if a cause does."""
    for row in list_own(evidence.entry, evidence.measured, "flops"):
        note = f"published without a convention: {row.cause or 'the lock has no MACs to compare'}"
        if row.holds:
            yield evidence.compare("flops", stated=row.stated, found=row.ours, holds=True, note=note)
        else:
            yield evidence.leave("flops", stated=row.stated, note=note)
    locked = evidence.measured.macs.get(PREFERRED_MACS)
    if locked is None:
        if not evidence.entry.is_in_repo:
            yield evidence.leave("macs", stated="nothing", note=NEEDS_LOCK)
        return
    entry, plan = evidence.entry, entry_plan(evidence.entry)
    if plan.macs:
        found, how = plan.macs(locked.input_px), "the plan of its layers"
    else:
        found, how = _count_running_macs(entry.architecture, locked.input_px, **entry_options(entry)), "a run"
    note = f"{PREFERRED_MACS} at {locked.input_px} px, counted from {how}"
    yield evidence.compare("macs", stated=locked.count, found=found, note=note)


@cache
def _count_running_macs(architecture: str, input_px: int, *, in_chans: int = 3, **options: Any) -> int:
    """Count the multiply-accumulates of a network as it runs; its weights do not matter."""
    from rexnet_hub.nets.counts import count_macs

    network = find_network(architecture)
    built = network.build(in_chans=in_chans, init=False, **options)
    macs: int = network.ask(count_macs, built, input_px=input_px, in_chans=in_chans)
    return macs


def check_accuracy(evidence: Evidence) -> Iterator[Finding]:
    """Compare each metric with the tables that it is cited from, and with runs of our own."""
    for score in list_scores(evidence.entry):
        claim = score.claim
        if score.result is None or claim is None or not isinstance(claim.value, Decimal):
            continue
        for table in score.result.snapshots:
            cited = table.metrics.get(score.metric)
            if cited is not None and isinstance(cited.value, Decimal):
                note = f"table of {table.date or 'unknown date'}"
                name = score.name.replace(score.metric, f"{score.metric}_cited", 1)
                yield evidence.compare_claim(name, claim, cited.value, note=note)
        runs = [record for record in evidence.runs if is_run_of(record, score)]
        if not runs:
            given = {"--data": "DIR", "--dataset": score.dataset, "--split": score.split}
            words = shlex.join(word for pair in given.items() if pair[1] for word in map(str, pair))
            known = find_protocol(score.dataset, score.split)
            run = (known and known.command) or f"rexnet-hub evaluate {evidence.entry.name} {words}"
            can_run = f"{run}, then --record"
            how = can_run if score.metric in COUNTED else f"which counts {score.metric}; nothing here does"
            note = f"needs a run on {place_name(*score.place)}: {how}"
            yield evidence.leave(score.name, stated=claim.text, note=note)
        for record in runs:
            yield _compare_run(evidence, score, claim, record)


def is_run_of(record: Record, score: Score) -> bool:
    """Return whether a run counted a metric on the data set and split that a claim is of."""
    return score.metric in COUNTED and is_same_place(record.benchmark.place, score.place)


def _compare_run(evidence: Evidence, score: Score, claim: Claim, record: Record) -> Finding:
    """Compare a metric with one run, if it is of these weights."""
    if evidence.weights is None:
        return evidence.leave(score.name, stated=claim.text, note=NEEDS_WEIGHTS)
    if record.weights_sha256 != evidence.weights.sha256:
        found = f"a run of weights {str(record.weights_sha256)[:12]}…"
        note = f"these weights are {evidence.weights.sha256[:12]}…"
        return evidence.leave(score.name, stated=claim.text, found=found, note=note)
    return judge_run(evidence, score, claim, record)


def judge_run(evidence: Evidence, score: Score, claim: Claim, record: Record) -> Finding:
    """Compare a metric with a run of the model: exactly on the whole set, by a verdict on a sample."""
    name, right = score.name, record.count(score.metric)
    percent = Decimal(right) * 100 / record.images
    if other := differing_input(evidence, record):
        note = f"a run with another input than the entry's: {other}"
        return evidence.leave(name, stated=claim.text, found=f"{percent:.3f}%", note=note)
    if record.may_enter_index:
        return evidence.compare_claim(name, claim, percent, note=f"{right} of {record.images} images")
    if not record.is_fair_sample or record.unreadable or record.machine.dtype != "fp32":
        note = f"{record.data} in {record.machine.dtype}: not a run that can decide"
        return evidence.leave(name, stated=claim.text, found=f"{percent:.3f}%", note=note)
    assert record.sample is not None  # as a fair one has
    verdict = judge_sample(right, record.images, float(claim.value), of=record.sample.drawn_from)
    note = f"{record.data}: {verdict}"
    if verdict.word is Word.TOO_FEW:
        return evidence.leave(name, stated=claim.text, found=f"{percent:.3f}%", note=note)
    holds = verdict.word is Word.CONSISTENT
    return evidence.compare(name, stated=claim.text, found=f"{percent:.3f}%", holds=holds, note=note)


def check_ledger(evidence: Evidence) -> Iterator[Finding]:
    """Derive what other places state by the cause that the ledger names."""
    for row in list_places(evidence.entry, evidence.measured, evidence.ledger):
        name, texts = f"{row.field} of {row.place}", {"stated": row.stated, "found": row.ours}
        texts["note"] = row.judgement
        if row.holds is None:
            yield evidence.leave(name, **texts)
        else:
            yield evidence.compare(name, **texts, holds=row.holds)


def check_config(evidence: Evidence) -> Iterator[Finding]:
    """Compare the repo's config.json with each input setting of the entry, then as a whole."""
    entry, repo = evidence.entry, evidence.repo
    labels, network = entry_labels(entry), known_network(entry.architecture)
    name = network.architecture if network else entry.architecture  # that of a former name, or with a tag
    stated = _config_claims(name, entry.value("num_classes"), entry.preprocessing)
    if repo is None:
        for claim, value in {**stated, "labels": f"{len(labels)} names"}.items():
            yield evidence.leave(claim, stated=value, note=NEEDS_REPO)
        return
    there = repo.config
    found = _config_claims(there.architecture, there.num_classes, there.preprocessing)
    for claim, value in stated.items():
        yield evidence.compare(claim, stated=value, found=found[claim], note=CONFIG_FILE)
    pairs = zip_longest(labels, there.label_names)
    other = [f"class {index}: {name}" for index, (label, name) in enumerate(pairs) if label != name]
    text = f"{len(there.label_names)} names" + (f", {len(other)} other, {other[0]}" if other else "")
    yield evidence.compare(
        "labels", stated=f"{len(labels)} names", found=text, holds=not other, note=CONFIG_FILE
    )
    same = (repo.folder / CONFIG_FILE).read_text(encoding="utf-8") == render_config(entry)
    text = "as rendered" if same else "another text"
    yield evidence.compare("config", stated="as the entry renders", found=text, holds=same, note=CONFIG_FILE)


def _config_claims(architecture: str, num_classes: int | None, spec: Preprocessing) -> dict[str, Any]:
    pixels = {field: getattr(spec, name) for name, field in INPUT_FIELDS.items()}
    claims = {"architecture": architecture, "num_classes": num_classes, "crop_mode": spec.crop_mode}
    return claims | pixels


def check_card(evidence: Evidence) -> Iterator[Finding]:
    """Compare the card with the one that entry, lock and receipt give: licence, metadata, every line."""
    repo = evidence.repo
    if repo is None or evidence.weights_digests is None:
        return
    try:
        card = (repo.folder / CARD_FILE).read_text(encoding="utf-8")
    except (OSError, ValueError):
        card = ""
    own = derive_card(
        evidence.entry,
        repo.receipt.output if repo.receipt else evidence.weights_digests[0],
        measured=evidence.measured,
        standin=evidence.has_standin_weights,
        repo_id=find_place(card),
        like=card,
    )
    lines = f"{len(own.splitlines())} lines"
    if not card:
        yield evidence.compare("card", stated=lines, found="none to read", note=CARD_FILE)
        yield from _check_files(evidence, repo, None)
        return
    stated, found = read_front_matter(own), read_front_matter(card)
    yield evidence.compare(
        "license", stated=stated.get("license"), found=found.get("license"), note=CARD_FILE
    )
    merge = merge_cards(own, card, own)
    pairs = [(each.before.split("\n")[0], each.there.split("\n")[0]) for each in merge.conflicts]
    line, there = (pairs or [(lines, lines)])[0]
    receipt, sha256 = repo.receipt, hashlib.sha256(card.encode()).hexdigest()
    people = () if receipt and receipt.files.get(CARD_FILE) == sha256 else merge.added  # else as we wrote it
    added = f"; lines that people added: {len(people)}, the first: {people[0]}" if people else ""
    yield evidence.compare("card", stated=line, found=there, note=f"{CARD_FILE}, derived anew{added}")
    yield from _check_files(evidence, repo, own)


def _check_files(evidence: Evidence, repo: Repo, card: str | None) -> Iterator[Finding]:
    """Compare each file with the digest that the receipt states; name what it does not state.

    Args:
        card: As derived anew: what was staged, if not the one that is there, to which people add lines. None
            where that is none to read, which has its own finding.
    """
    there = {file.name: file for file in repo.folder.iterdir() if file.is_file()}
    receipt_files = repo.receipt.files if repo.receipt else {}
    stated = {name: receipt_files[name] for name in receipt_files if card is not None or name != CARD_FILE}
    known = {name: {digest_file(there[name]).sha256} for name in stated if name in there}
    if card is not None and CARD_FILE in known:
        known[CARD_FILE].add(hashlib.sha256(card.encode()).hexdigest())
    wrong = [name for name, sha256 in stated.items() if sha256 not in known.get(name, ())]
    if repo.receipt is None and repo.config.names_receipt:
        wrong.append(f"{RECEIPT_FILE}, which {CONFIG_FILE} names,")
    if stated or wrong:
        text = f"{', '.join(stated) or 'all'} as written"
        found = f"{', '.join(wrong)} not as written" if wrong else text
        note = f"{CARD_FILE}'s SHA-256" if wrong == [CARD_FILE] else "each file's SHA-256"
        yield evidence.compare("files", stated=text, found=found, holds=not wrong, note=note)
    if licence := evidence.entry.license_text:
        same = LICENSE_FILE in there and there[LICENSE_FILE].read_bytes() == licence.encode()
        note, found = f"{LICENSE_FILE}, the text that the entry names", "that" if same else "another, or none"
        yield evidence.compare("license", stated="the text", found=found, holds=same, note=note)
    in_lock = {run.file_names[0] for run in evidence.measured.evaluations}
    for name in sorted(there.keys() - in_lock):  # a run that the lock has is counted with its claim
        if name.endswith(RECORD_SUFFIX):
            yield _check_stray(evidence, there[name])
    others = SIGNATURE_FILES if SIGNATURE_FILE in there else ()  # which `check_signature` is about
    if omitted := sorted(there.keys() - receipt_files.keys() - {WEIGHTS_FILE, RECEIPT_FILE, *others}):
        note = f"stated in no {RECEIPT_FILE}: of an earlier release, of somebody else, or for a signature"
        yield evidence.leave("other_files", stated="nothing", found=", ".join(omitted), note=note)


def _check_stray(evidence: Evidence, file: Path) -> Finding:
    """Count a run anew that lies in the repo and that the lock does not have."""
    try:
        run = recount(file)
    except FileProblem as error:
        return evidence.compare("evaluation", stated=file.name, found=error, holds=False, note="counted anew")
    note = f"{file.name} agrees with its predictions; the lock does not have it"
    return evidence.leave("evaluation", stated="not in the lock", found=str(run), note=note)


def check_signature(evidence: Evidence) -> Iterator[Finding]:
    """Check the signature by whom the index trusts; where that is nobody, that it is of these files."""
    key, repo = evidence.entry.trusted_key, evidence.repo
    if repo is None or not (repo.folder / SIGNATURE_FILE).exists():
        note = NEEDS_REPO if repo is None else "not signed yet: rexnet-hub publish --sign"
        if key is not None:
            yield evidence.leave("signature", stated=key.label, note=note)
        return
    if key is None:
        texts = {"stated": "of these files", "note": "the index has no Trusted Key that says by whom"}
        if damage := find_damage(repo.folder):
            yield evidence.compare("signature", found=damage, holds=False, **texts)
        else:
            yield evidence.leave("signature", found="of these files", **texts)
        return
    try:
        signed = verify_signature(repo.folder, key.value, name=evidence.entry.name)
        found, holds, note = f"version {signed.version}", True, f"{SIGNATURE_FILE}, trusted at {key.location}"
    except SignatureProblem as error:
        found, holds, note = "not so", False, str(error)
    except FetchError as error:
        unknown = evidence.leave("signature", stated=key.label, found=str(error), note="ask again later")
        yield replace(unknown, verdict=NOT_REACHED)
        return
    yield evidence.compare("signature", stated=key.label, found=found, holds=holds, note=note)


Check = Callable[[Evidence], Iterable[Finding]]

#: Every check, in the order of the report.
CHECKS: tuple[Check, ...] = (
    check_unread,
    check_parameters,
    check_operations,
    check_released,
    check_sources,
    check_witnesses,
    check_accuracy,
    check_ledger,
    check_weights,
    check_records,
    check_golden,
    check_config,
    check_card,
    check_signature,
    check_origin,
)
