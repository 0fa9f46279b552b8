"""Measure every claim that an entry makes, one finding a claim."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from rexnet_hub.errors import FileProblem, RexnetHubError, UsageError
from rexnet_hub.index import Entry
from rexnet_hub.layout import CARD_FILE, CONFIG_FILE
from rexnet_hub.nets import entry_tensors
from rexnet_hub.pages.card import front_matter
from rexnet_hub.pages.config import render_config
from rexnet_hub.repo import Repo, read_repo
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.weights.safetensors_file import read_safetensors_header
from rexnet_hub.weights.standin import is_standin

HOLDS, FALSE, NOT_MEASURED = "holds", "false", "not measured"

#: Between two honest runs of one checkpoint top-1 moved by up to 0.062 points in five years of timm's
#: tables (other torch, CUDA and Pillow releases), so 0.1 accepts every run on record.
ACCURACY_TOLERANCE_POINTS = Decimal("0.1")

#: Published parameter counts are rounded to at most this power of ten: timm's tables give millions
#: with two decimals.
COARSEST_ROUNDING = 4


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What became of one claim.

    Attributes:
        claim: The claim's name, such as `parameters`.
        verdict: `holds`, `false` or `not measured`.
        stated: What the index says.
        found: What was measured; empty where nothing was.
        note: How it was measured, or what is needed to measure it.
    """

    model: str
    claim: str
    verdict: str
    stated: str
    found: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What there is to hold an entry against.

    Attributes:
        checkpoint: The released file.
        repo: The staged or downloaded repo folder.
    """

    entry: Entry
    checkpoint: Path | None = None
    repo: Repo | None = None


def verify_model(
    entry: Entry, *, checkpoint: Path | None = None, repo: Path | None = None
) -> tuple[Finding, ...]:
    """Hold one entry against the network and whatever files there are.

    Args:
        checkpoint: The released file, if it is here.
        repo: The repo folder, if it is here.

    Raises:
        FileProblem: A file that was named is not there.
    """
    if checkpoint is not None and not checkpoint.is_file():
        raise FileProblem(checkpoint, "there is no such file")
    evidence = Evidence(entry=entry, checkpoint=checkpoint, repo=None if repo is None else read_repo(repo))
    return tuple(finding for check in CHECKS.values() for finding in check(evidence))


def require_truth(findings: Sequence[Finding]) -> None:
    """Refuse findings that hold a false claim, or none at all.

    Raises:
        RexnetHubError: Every false claim is named.
    """
    if not findings:
        raise UsageError("there was nothing to verify")
    if wrong := [f for f in findings if f.verdict == FALSE]:
        lines = (f"{f.model}: {f.claim} is false: stated {f.stated}, found {f.found}" for f in wrong)
        raise RexnetHubError("\n".join(lines))


def findings_as_json(findings: Sequence[Finding]) -> str:
    """Print findings as one JSON document: a list of objects with a Finding's keys."""
    return json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False)


def _finding(
    evidence: Evidence, claim: str, *, stated: Any, found: Any, holds: bool, note: str = ""
) -> Finding:
    return Finding(
        model=evidence.entry.name,
        claim=claim,
        verdict=HOLDS if holds else FALSE,
        stated=str(stated),
        found=str(found),
        note=note,
    )


def _unmeasured(evidence: Evidence, claim: str, *, stated: Any, note: str, found: str = "") -> Finding:
    name = evidence.entry.name
    return Finding(model=name, claim=claim, verdict=NOT_MEASURED, stated=str(stated), found=found, note=note)


def check_parameters(evidence: Evidence) -> Iterator[Finding]:
    """Hold `Parameters` against the count: exact, or rounded to at most 10^4."""
    if (stated := evidence.entry.value("parameters")) is None:
        return
    exact = count_planned_parameters(evidence.entry)
    powers = [power for power in range(COARSEST_ROUNDING + 1) if round(exact, -power) == stated]
    note = "counted from the network's tensors"
    if powers and powers[0]:
        note += f"; stated is rounded to 10^{powers[-1]}"
    yield _finding(evidence, "parameters", stated=stated, found=exact, holds=bool(powers), note=note)


def count_planned_parameters(entry: Entry) -> int:
    """Count an entry's trainable numbers from its network's plan; statistics are not among them."""
    tensors = entry_tensors(entry)
    total = 0
    for name, (_, shape) in tensors.items():
        if name.rpartition(".")[2] in {"weight", "bias"}:
            size = 1
            for side in shape:
                size *= side
            total += size
    return total


def check_flops(evidence: Evidence) -> Iterator[Finding]:
    """Show `FLOPs` as what it is: a number of unknown convention, that no counter gives."""
    if (stated := evidence.entry.value("flops")) is not None:
        note = "published without a convention, and no known counter gives it"
        yield _unmeasured(evidence, "flops", stated=stated, note=note)


def check_released(evidence: Evidence) -> Iterator[Finding]:
    """Hold the released file's size and digest prefix against the file."""
    released = evidence.entry.released
    if released is None:
        return
    need = "needs the released file: rexnet-hub fetch"
    digest = digest_file(evidence.checkpoint) if evidence.checkpoint else None
    kind = "of a stand-in" if evidence.checkpoint and is_standin(evidence.checkpoint) else "of the file"
    if released.size_bytes is not None:
        if digest is None:
            yield _unmeasured(evidence, "file_size", stated=released.size_bytes, note=need)
        else:
            same = digest.size_bytes == released.size_bytes
            found, note = digest.size_bytes, f"bytes {kind}"
            yield _finding(
                evidence, "file_size", stated=released.size_bytes, found=found, holds=same, note=note
            )
    if (prefix := released.digest_prefix) is not None:
        if digest is None:
            yield _unmeasured(evidence, "digest_prefix", stated=prefix, note=need)
        else:
            same = digest.sha256.startswith(prefix)
            note = f"first {4 * len(prefix)} bits of the SHA-256 {kind}"
            start = digest.sha256[: len(prefix)]
            yield _finding(evidence, "digest_prefix", stated=prefix, found=start, holds=same, note=note)


def check_accuracy(evidence: Evidence) -> Iterator[Finding]:
    """Hold each metric against the tables it is cited from, and say that no run of ours is on record."""
    for result in evidence.entry.results:
        for name, claim in result.metrics.items():
            cited = [(s, s.metrics[name].value) for s in result.snapshots if name in s.metrics]
            for snapshot, value in cited:
                near = abs(claim.value - value) <= ACCURACY_TOLERANCE_POINTS
                note = (
                    f"table of {snapshot.date or 'unknown date'}, within {ACCURACY_TOLERANCE_POINTS} points"
                )
                yield _finding(
                    evidence, f"{name}_cited", stated=claim.text, found=value, holds=near, note=note
                )
            note = f"needs a run on {result.dataset}: rexnet-hub evaluate"
            yield _unmeasured(evidence, name, stated=claim.text, note=note)


def check_tensors(evidence: Evidence) -> Iterator[Finding]:
    """Hold the repo's weights against the network: every tensor's name, dtype and shape."""
    entry = evidence.entry
    expected = entry_tensors(entry)
    stated = f"{len(expected)} tensors of {entry.architecture}"
    if evidence.repo is None:
        yield _unmeasured(evidence, "tensors", stated=stated, note="needs the repo: rexnet-hub stage")
        return
    header = read_safetensors_header(evidence.repo.weights)
    found = {tensor.name: (tensor.dtype, tensor.shape) for tensor in header.tensors}
    wrong = [name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name)]
    text = f"{len(found)} tensors" + (
        f", {len(wrong)} not as planned: {', '.join(sorted(wrong)[:3])}" if wrong else ""
    )
    yield _finding(
        evidence, "tensors", stated=stated, found=text, holds=not wrong, note="name, dtype and shape"
    )


def check_weights_digest(evidence: Evidence) -> Iterator[Finding]:
    """Hold the repo's weights against its receipt: bytes and full SHA-256."""
    if evidence.repo is None:
        return
    if evidence.repo.receipt is None:
        yield _unmeasured(evidence, "weights_digest", stated="none", note="the repo has no receipt.json")
        return
    stated, found = evidence.repo.receipt.output, digest_file(evidence.repo.weights)
    same = (stated.sha256, stated.size_bytes) == (found.sha256, found.size_bytes)
    note = (
        "stand-in weights, random numbers"
        if is_standin(evidence.repo.weights)
        else "full SHA-256, receipt.json"
    )
    yield _finding(
        evidence, "weights_digest", stated=stated.sha256, found=found.sha256, holds=same, note=note
    )


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
            yield _unmeasured(evidence, claim, stated=value, note="needs the repo: rexnet-hub stage")
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
        same = value == found[claim]
        yield _finding(evidence, claim, stated=value, found=found[claim], holds=same, note=CONFIG_FILE)
    text = (repo.folder / CONFIG_FILE).read_text(encoding="utf-8")
    same = text == render_config(entry)
    found_text = "as rendered" if same else "another text"
    yield _finding(
        evidence, "config", stated="as the entry renders", found=found_text, holds=same, note=CONFIG_FILE
    )


def check_card(evidence: Evidence) -> Iterator[Finding]:
    """Hold the card's metadata against the entry: licence first, then every field."""
    if evidence.repo is None:
        return
    card = evidence.repo.folder / CARD_FILE
    found = read_front_matter(card)
    stated = front_matter(evidence.entry, standin=is_standin(evidence.repo.weights))
    licence = stated.get("license"), found.get("license")
    same = licence[0] == licence[1]
    yield _finding(evidence, "license", stated=licence[0], found=licence[1], holds=same, note=CARD_FILE)
    differing = sorted(key for key in stated.keys() | found.keys() if stated.get(key) != found.get(key))
    text = ", ".join(differing) + " differ" if differing else f"{len(found)} fields equal"
    said = f"{len(stated)} fields of metadata"
    yield _finding(evidence, "card", stated=said, found=text, holds=not differing, note=CARD_FILE)


def read_front_matter(card: Path) -> dict[str, Any]:
    """Read a card's metadata; an empty mapping where there is none."""
    try:
        text = card.read_text(encoding="utf-8")
        block = text.split("---\n", 2)[1] if text.startswith("---\n") else ""
        data = yaml.safe_load(block)
    except (OSError, UnicodeDecodeError, IndexError, yaml.YAMLError):
        return {}
    return data if isinstance(data, dict) else {}


#: Every check, in the order of the report.
CHECKS: dict[str, Callable[[Evidence], Iterable[Finding]]] = {
    "parameters": check_parameters,
    "flops": check_flops,
    "released": check_released,
    "accuracy": check_accuracy,
    "tensors": check_tensors,
    "weights_digest": check_weights_digest,
    "config": check_config,
    "card": check_card,
}
