"""The checks: each takes the evidence and yields a finding for every claim that it is about."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from rexnet_hub.imagenet.data.dataset import VALIDATION_IMAGES
from rexnet_hub.imagenet.evidence.record import Record
from rexnet_hub.imagenet.evidence.verdict import Word, judge_sample
from rexnet_hub.index import Claim, Entry, Measured
from rexnet_hub.index.lock import PREFERRED_MACS
from rexnet_hub.index.network import entry_parameters, entry_tensors
from rexnet_hub.index.reading.hub_metadata import read_front_matter
from rexnet_hub.layout import CARD_FILE, CONFIG_FILE
from rexnet_hub.nets import build_network
from rexnet_hub.pages.card import derive_card
from rexnet_hub.pages.edits import first_difference, lost_lines
from rexnet_hub.repo.config import render_config
from rexnet_hub.repo.folder import Repo
from rexnet_hub.standins.make import is_standin
from rexnet_hub.standins.sizes import legacy_size_bytes
from rexnet_hub.verify.finding import FALSE, HOLDS, NOT_MEASURED, Finding
from rexnet_hub.weights.digest import FileDigest, digest_file
from rexnet_hub.weights.fingerprint import TensorDigest, digest_weights, fingerprint_of
from rexnet_hub.weights.receipt import Receipt

#: Where a card says that its repo is, as the snippets for timm do.
_REPO_ID = re.compile(r'"hf-hub:([\w.-]+/[\w.-]+)"')

NEEDS_FILE = "needs the released file: rexnet-hub fetch, then --weights"
NEEDS_REPO = "needs the repo: rexnet-hub stage, then --repo"
NEEDS_LOCK = "not in the lock yet: rexnet-hub lock"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What there is to hold an entry against.

    Attributes:
        checkpoint: The released file.
        repo: The staged or downloaded repo folder.
        measured: What the lock says.
        records: Runs of this model on ImageNet.
    """

    entry: Entry
    checkpoint: Path | None
    repo: Repo | None
    measured: Measured
    records: tuple[Record, ...]

    @cached_property
    def released_digest(self) -> FileDigest | None:
        """Digest of the released file, if it is here."""
        return digest_file(self.checkpoint) if self.checkpoint else None

    @cached_property
    def weights_digests(self) -> tuple[FileDigest, list[TensorDigest]] | None:
        """Digest of the repo's weights and of each of their tensors, if they are here."""
        return digest_weights(self.repo.weights) if self.repo else None

    @cached_property
    def has_standin_checkpoint(self) -> bool:
        """Whether the released file is a stand-in."""
        return self.checkpoint is not None and is_standin(self.checkpoint)

    @cached_property
    def has_standin_weights(self) -> bool:
        """Whether the repo's weights are a stand-in's."""
        return self.repo is not None and is_standin(self.repo.weights)

    @cached_property
    def tensors(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Every tensor that the network has."""
        return entry_tensors(self.entry)

    def compare(
        self, claim: str, *, stated: Any, found: Any, note: str, holds: bool | None = None
    ) -> Finding:
        """Make the finding of a claim that was measured; without `holds`, equality decides."""
        verdict = HOLDS if (stated == found if holds is None else holds) else FALSE
        told = {"stated": str(stated), "found": str(found), "note": note}
        return Finding(model=self.entry.name, claim=claim, verdict=verdict, **told)

    def compare_claim(self, name: str, claim: Claim, measured: int | Decimal, *, note: str) -> Finding:
        """Make the finding of a published number that was measured; the note begins with how they agree."""
        agreement = claim.compare(measured)
        shown = str(measured) if isinstance(measured, int) else f"{measured:f}%"
        note = f"{agreement}; {note}"
        return self.compare(name, stated=claim.text, found=shown, holds=agreement.holds, note=note)

    def leave(self, claim: str, *, stated: Any, note: str, found: str = "") -> Finding:
        """Make the finding of a claim that was not measured, with what it would take."""
        told = {"stated": str(stated), "found": found, "note": note}
        return Finding(model=self.entry.name, claim=claim, verdict=NOT_MEASURED, **told)


def check_parameters(evidence: Evidence) -> Iterator[Finding]:
    """Compare `Parameters` with the count."""
    if (claim := evidence.entry.metadata.get("parameters")) is not None:
        exact, how = entry_parameters(evidence.entry), "counted from the network's tensors"
        yield evidence.compare_claim("parameters", claim, exact, note=how)


def check_operations(evidence: Evidence) -> Iterator[Finding]:
    """Compare the lock's MACs with the running network; show `FLOPs` as the number that it is."""
    if (stated := evidence.entry.value("flops")) is not None:
        note = "published without a convention, and no known counter gives it"
        yield evidence.leave("flops", stated=stated, note=note)
    locked = evidence.measured.macs.get(PREFERRED_MACS)
    if locked is None:
        yield evidence.leave("macs", stated="nothing", note=NEEDS_LOCK)
        return
    entry = evidence.entry
    found = count_running_macs(entry.architecture, entry.value("num_classes"), locked.input_px)
    note = f"{PREFERRED_MACS} at {locked.input_px} px, from the running network"
    yield evidence.compare("macs", stated=locked.count, found=found, note=note)


@cache
def count_running_macs(architecture: str, num_classes: int, input_px: int) -> int:
    """Count the multiply-accumulates of a network as it runs; its weights do not matter."""
    from rexnet_hub.nets.counts import count_macs

    network = build_network(architecture, num_classes=num_classes, init=False)
    return count_macs(network, input_px=input_px)


def check_released(evidence: Evidence) -> Iterator[Finding]:
    """Hold the released file's size, digest prefix and full digest against the file."""
    released, digest = evidence.entry.released, evidence.released_digest
    if released is None:
        return
    kind = "of a stand-in" if evidence.has_standin_checkpoint else "of the file"
    if (size := released.size_bytes) is not None:
        note = "size of a legacy torch file of the network's tensors"
        # A checkpoint that is stated by its full digest may be of any container, and hold more than tensors.
        if "sha256" not in evidence.entry.extra:
            yield evidence.compare(
                "file_size_planned", stated=size, found=legacy_size_bytes(evidence.tensors), note=note
            )
        if digest is None:
            yield evidence.leave("file_size", stated=size, note=NEEDS_FILE)
        else:
            yield evidence.compare("file_size", stated=size, found=digest.size_bytes, note=f"bytes {kind}")
    if (prefix := released.digest_prefix) is not None:
        if digest is None:
            yield evidence.leave("digest_prefix", stated=prefix, note=NEEDS_FILE)
        else:
            note = f"first {4 * len(prefix)} bits of the SHA-256 {kind}"
            start = digest.sha256[: len(prefix)]
            yield evidence.compare("digest_prefix", stated=prefix, found=start, note=note)
    locked = evidence.measured.released
    if locked is None:
        yield evidence.leave("released_digest", stated="nothing", note=NEEDS_LOCK)
    elif digest is None:
        yield evidence.leave("released_digest", stated=locked.sha256, note=NEEDS_FILE)
    else:
        note = f"full SHA-256 {kind}"
        yield evidence.compare("released_digest", stated=locked.sha256, found=digest.sha256, note=note)


def check_accuracy(evidence: Evidence) -> Iterator[Finding]:
    """Compare each metric with the tables that it is cited from, and with runs of our own."""
    for result in evidence.entry.results:
        for name, claim in result.metrics.items():
            if not isinstance(claim.value, Decimal):
                continue
            for table in result.snapshots:
                cited = table.metrics.get(name)
                if cited is not None and isinstance(cited.value, Decimal):
                    note = f"table of {table.date or 'unknown date'}"
                    yield evidence.compare_claim(f"{name}_cited", claim, cited.value, note=note)
            is_run = name in ("top1", "top5") and result.dataset == "ImageNet"
            runs = evidence.records if is_run else ()
            if not runs:
                note = f"needs a run on {result.dataset}: rexnet-hub evaluate, then --record"
                yield evidence.leave(name, stated=claim.text, note=note)
            for record in runs:
                yield _compare_run(evidence, name, claim, record)


def _compare_run(evidence: Evidence, name: str, claim: Claim, record: Record) -> Finding:
    """Compare a metric with one run, if it is of these weights."""
    known = evidence.weights_digests[0].sha256 if evidence.weights_digests else None
    known = known or (evidence.measured.safetensors.sha256 if evidence.measured.safetensors else None)
    if known is None:
        note = "a run is of some weights: name them with --repo, or lock them"
        return evidence.leave(name, stated=claim.text, note=note)
    if record.weights_sha256 != known:
        found = f"a run of weights {str(record.weights_sha256)[:12]}…"
        return evidence.leave(name, stated=claim.text, found=found, note=f"these weights are {known[:12]}…")
    return judge_run(evidence, name, claim, record)


def judge_run(evidence: Evidence, name: str, claim: Claim, record: Record) -> Finding:
    """Compare a metric with a run of the model: exactly on the whole set, by a verdict on a sample."""
    right = record.top1_count if name == "top1" else record.top5_count
    percent = Decimal(right) * 100 / record.images
    if record.may_enter_index:
        return evidence.compare_claim(name, claim, percent, note=f"{right} of {record.images} images")
    is_fair = record.sample is not None and record.sample.drawn_from == VALIDATION_IMAGES
    if not is_fair or record.unreadable or record.machine.dtype != "fp32":
        note = f"{record.data} in {record.machine.dtype}: not a run that can decide"
        return evidence.leave(name, stated=claim.text, found=f"{percent:.3f}%", note=note)
    verdict = judge_sample(right, record.images, float(claim.value))
    note = f"{record.data}: {verdict}"
    if verdict.word is Word.TOO_FEW:
        return evidence.leave(name, stated=claim.text, found=f"{percent:.3f}%", note=note)
    holds = verdict.word is Word.CONSISTENT
    return evidence.compare(name, stated=claim.text, found=f"{percent:.3f}%", holds=holds, note=note)


def check_weights(evidence: Evidence) -> Iterator[Finding]:
    """Hold the repo's weights against network, receipt and lock."""
    expected, repo = evidence.tensors, evidence.repo
    stated = f"{len(expected)} tensors of {evidence.entry.architecture}"
    if repo is None or evidence.weights_digests is None:
        yield evidence.leave("tensors", stated=stated, note=NEEDS_REPO)
        return
    digest, tensors = evidence.weights_digests
    found = {tensor.name: (tensor.dtype, tensor.shape) for tensor in tensors}
    names = expected.keys() | found.keys()
    wrong = sorted(name for name in names if expected.get(name) != found.get(name))
    text = f"{len(found)} tensors"
    if wrong:
        text += f", {len(wrong)} not as planned: {', '.join(wrong[:3])}"
    yield evidence.compare(
        "tensors", stated=stated, found=text, holds=not wrong, note="name, dtype and shape"
    )

    if repo.receipt is None:
        yield evidence.leave("weights_digest", stated="nothing", note="the repo has no receipt.json")
    else:
        kind = "stand-in weights, random numbers" if evidence.has_standin_weights else "full SHA-256"
        yield evidence.compare(
            "weights_digest", stated=repo.receipt.output.sha256, found=digest.sha256, note=kind
        )
        yield from check_receipt(evidence, tensors, repo.receipt)
    if (locked := evidence.measured.safetensors) is not None:
        yield evidence.compare("weights_locked", stated=locked.sha256, found=digest.sha256, note="lock.json")


def check_receipt(evidence: Evidence, found: Sequence[TensorDigest], receipt: Receipt) -> Iterator[Finding]:
    """Hold the receipt's words of the tensors against the file, and those of its source against the entry."""
    told = {line.name: (line.dtype, line.shape, line.sha256) for line in receipt.tensors}
    there = {tensor.name: (tensor.dtype, tensor.shape, tensor.sha256) for tensor in found}
    wrong = sorted(name for name in told.keys() | there.keys() if told.get(name) != there.get(name))
    if receipt.output.fingerprint != fingerprint_of(found):
        wrong.append("the fingerprint")
    if receipt.stand_in != evidence.has_standin_weights:
        wrong.append("whether they are a stand-in's")
    text = f"{', '.join(wrong[:3])} differ" if wrong else f"{len(found)} tensors, fingerprint"
    stated = f"{len(told)} tensors, fingerprint"
    yield evidence.compare(
        "receipt", stated=stated, found=text, holds=not wrong, note="each tensor's SHA-256"
    )

    released, source = evidence.entry.released, receipt.source
    if released is None:
        return
    prefix, size = released.digest_prefix or "", released.size_bytes
    same = source.sha256.startswith(prefix) and size in (None, source.size_bytes)
    stated = f"{prefix or 'any'}, {size or 'any'} bytes"
    made_from = f"{source.sha256[: max(8, len(prefix))]}, {source.size_bytes} bytes"
    if not same and evidence.has_standin_weights:
        note = "made from a stand-in, which is nobody's released file"
        yield evidence.leave("receipt_source", stated=stated, found=made_from, note=note)
        return
    note = "the file that the weights were made from, receipt.json"
    yield evidence.compare("receipt_source", stated=stated, found=made_from, holds=same, note=note)


def check_config(evidence: Evidence) -> Iterator[Finding]:
    """Hold the repo's config.json against each input setting of the entry, then as a whole."""
    entry, repo = evidence.entry, evidence.repo
    spec = entry.preprocessing
    stated = {
        "architecture": entry.architecture,
        "num_classes": entry.value("num_classes"),
        "image_size": spec.input_px,
        "crop_pct": spec.crop_fraction,
        "interpolation": spec.interpolation,
        "image_mean": spec.mean,
        "image_std": spec.std,
    }
    if repo is None:
        for claim, value in stated.items():
            yield evidence.leave(claim, stated=value, note=NEEDS_REPO)
        return
    there = repo.config.preprocessing
    found = {
        "architecture": repo.config.architecture,
        "num_classes": repo.config.num_classes,
        "image_size": there.input_px,
        "crop_pct": there.crop_fraction,
        "interpolation": there.interpolation,
        "image_mean": there.mean,
        "image_std": there.std,
    }
    for claim, value in stated.items():
        yield evidence.compare(claim, stated=value, found=found[claim], note=CONFIG_FILE)
    same = (repo.folder / CONFIG_FILE).read_text(encoding="utf-8") == render_config(entry)
    text = "as rendered" if same else "another text"
    yield evidence.compare("config", stated="as the entry renders", found=text, holds=same, note=CONFIG_FILE)


def check_card(evidence: Evidence) -> Iterator[Finding]:
    """Compare the card with the one that entry, lock and receipt give: licence, metadata, every line."""
    repo = evidence.repo
    if repo is None or evidence.weights_digests is None:
        return
    try:
        card = (repo.folder / CARD_FILE).read_text(encoding="utf-8")
    except (OSError, ValueError):
        card = ""
    named = _REPO_ID.search(card)
    own = derive_card(
        evidence.entry,
        repo.receipt.output if repo.receipt else evidence.weights_digests[0],
        measured=evidence.measured,
        standin=evidence.has_standin_weights,
        repo_id=named[1] if named else None,
    )
    stated, found = read_front_matter(own), read_front_matter(card)
    yield evidence.compare(
        "license", stated=stated.get("license"), found=found.get("license"), note=CARD_FILE
    )
    differing = sorted(key for key in stated.keys() | found.keys() if stated.get(key) != found.get(key))
    fields = [(f"{key}: {stated.get(key, 'none')}", f"{key}: {found.get(key, 'none')}") for key in differing]
    lines = f"{len(own.splitlines())} lines"
    line, there = first_difference(own, card) or (fields or [(lines, lines)])[0]
    theirs = len(lost_lines(own, card, own))
    note = f"{CARD_FILE}, derived anew" + (f"; lines that people added: {theirs}" if theirs else "")
    yield evidence.compare("card", stated=line, found=there, note=note)


Check = Callable[[Evidence], Iterable[Finding]]

#: Every check, in the order of the report.
CHECKS: tuple[Check, ...] = (
    check_parameters,
    check_operations,
    check_released,
    check_accuracy,
    check_weights,
    check_config,
    check_card,
)
