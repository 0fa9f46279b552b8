"""Measure a network's answers to two inputs, and compare a file with them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from rexnet_hub.errors import CheckpointError, FileProblem, RexnetHubError, file_problems
from rexnet_hub.imagenet.data.dataset import read_file
from rexnet_hub.index import Entry, Preprocessing
from rexnet_hub.index.lock import Measured, find_evidence_dir
from rexnet_hub.index.network import entry_options
from rexnet_hub.layout import DEMO_PICTURE, golden_name
from rexnet_hub.nets import find_network
from rexnet_hub.pictures import ImageProcessor
from rexnet_hub.records import Count, Sha256, parse_record
from rexnet_hub.repo.folder import Repo, read_repo
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.weights.safetensors_file import read_tensors
from rexnet_hub.whole_files import write_whole

VERSION = ("golden", 1)
SEED = 0
#: How far an answer in float32, without TF32, may be from the logits: as a part of the largest of them.
#: Of the CPU's it was measured, of CUDA's it was not; what it rests on: docs/decisions/0053-golden-logits.md.
TOLERANCE = {"cpu": 2e-4, "cuda": 2e-4}
#: Of the same float64 sums in another order, each rounded to float32.
ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The logits of one input.

    Attributes:
        input_shape: Channels, height, width.
        input_sha256: Of the input's values in that order, each a float32, the low byte first.
        logits: Computed in float64, rounded to float32.
    """

    input_shape: tuple[int, int, int]
    input_sha256: Sha256
    logits: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """The logits of a network with its weights: of numbers drawn from a seed, and of a picture.

    Attributes:
        weights_sha256: Of the weights file.
        tolerance: By device, as `TOLERANCE`.
        seed: Of `draw_input`.
        answers: `seeded`, and of a network for RGB `picture`: golden.png, preprocessed as the config says.
    """

    weights_sha256: Sha256
    tolerance: Mapping[str, float]
    seed: Count
    answers: Mapping[str, Answer]


def draw_input(seed: int, shape: tuple[int, int, int]) -> np.ndarray:
    """Draw an input by a formula that any language has, of numbers that any float holds exactly.

    Byte by byte the SHA-256 of the text "SEED/0", then of "SEED/1" and so on; a byte b gives (b - 128) / 64.
    """
    count = math.prod(shape)
    blocks = (hashlib.sha256(f"{seed}/{number}".encode()).digest() for number in range(-(-count // 32)))
    drawn = np.frombuffer(b"".join(blocks)[:count], np.uint8).astype(np.float32)
    return ((drawn - 128) / 64).reshape(shape)


def _draw_inputs(spec: Preprocessing, in_chans: int, picture: Path) -> dict[str, torch.Tensor]:
    """Make both inputs of a network."""
    drawn = torch.from_numpy(draw_input(SEED, (in_chans, spec.input_px, spec.input_px)))
    return {"seeded": drawn} | ({"picture": ImageProcessor(spec)(picture)[0]} if in_chans == 3 else {})


def _digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.numpy().astype("<f4").tobytes()).hexdigest()


def measure_golden(repo: Repo, *, picture: Path, dtype: torch.dtype) -> Golden:
    """Run a repo's network on its two inputs.

    Raises:
        CheckpointError: The weights are no sound file, or give no finite logits.
        NetworkError: They are not the network's.
        NotAnImageError, FileProblem: The picture is none, or cannot be read.
    """
    config, known = repo.config, find_network(repo.config.architecture)
    inputs = _draw_inputs(config.preprocessing, config.in_chans, picture)
    network = known.build(**config.network_options, init=False).to(dtype).eval()
    known.ask(network.load_state_dict, read_tensors(repo.weights))
    batch = torch.stack([*inputs.values()]).to(dtype)
    with torch.inference_mode():
        logits = known.ask(lambda: network(batch).reshape(len(batch), -1).float().numpy())
    if not np.isfinite(logits).all():
        raise CheckpointError(repo.weights, "gives logits that are no finite numbers")
    px = config.preprocessing.input_px
    answers = {
        name: Answer(
            input_shape=(config.in_chans, px, px),
            input_sha256=_digest(tensor),
            logits=tuple(float(str(logit)) for logit in row),
        )
        for (name, tensor), row in zip(inputs.items(), logits, strict=True)
    }
    weights_sha256 = digest_file(repo.weights).sha256
    return Golden(weights_sha256=weights_sha256, tolerance=TOLERANCE, seed=SEED, answers=answers)


def render_golden(golden: Golden) -> bytes:
    """Render golden logits as JSON, a number a line: the fewest digits that give each float32 again."""
    document = dict([VERSION]) | asdict(golden)
    return (json.dumps(document, indent=0, separators=(",", ":")) + "\n").encode()


def read_golden(file: Path) -> Golden:
    """Read golden logits.

    Raises:
        FileProblem: They cannot be read, or are none; all that is missing or foreign is named.
    """
    try:
        return parse_record(Golden, read_file(file), version=VERSION)
    except ValueError as error:
        raise FileProblem(file, f"holds no golden logits: {error}") from None


def compare_golden(stated: Golden, own: Golden, within: float) -> tuple[list[str], str]:
    """Compare what is stated with what was measured.

    Args:
        within: How far a logit may be from the stated one, as a part of the largest that is stated.

    Returns:
        Each thing that differs; and where all can be compared, the largest difference of a logit in words.
    """
    facts, found = _list_facts(stated), _list_facts(own)
    others = (name for name in facts | found if facts.get(name) != found.get(name))
    if wrong := [f"{name} is {facts.get(name)}, not {found.get(name)}" for name in others]:
        return wrong, ""
    far = []
    for name, answer in stated.answers.items():
        one, other = np.array(answer.logits), np.array(own.answers[name].logits)
        parts = np.abs(one - other) / (np.abs(one).max() or 1)
        at = int(parts.argmax())
        far.append((float(parts[at]), f"{name}, class {at}: stated {one[at]}, found {other[at]}"))
    part, where = max(far)
    words = f"{part:.1e} of the largest logit ({where})"
    return ([] if part <= within else [words]), words


def _list_facts(golden: Golden) -> dict[str, object]:
    """List what golden logits state beside the numbers, by name."""
    facts: dict[str, object] = {n: getattr(golden, n) for n in ("weights_sha256", "tolerance", "seed")}
    for name, answer in golden.answers.items():
        facts |= {f"{name}: input_{of}": getattr(answer, f"input_{of}") for of in ("shape", "sha256")}
        facts[f"{name}: number of logits"] = len(answer.logits)
    return facts


def _read_kept(measured: Measured) -> Golden | None:
    """Read the golden logits beside the lock; None where there are none, whatever the lock states."""
    with contextlib.suppress(FileProblem):
        return read_golden(find_evidence_dir() / golden_name(measured.golden)) if measured.golden else None
    return None


def is_golden_of(entry: Entry, measured: Measured) -> bool:
    """Return whether the golden logits in a lock are of the entry's input and the locked weights."""
    if (golden := _read_kept(measured)) is None:
        return False
    inputs = _draw_inputs(entry.preprocessing, entry_options(entry).get("in_chans", 3), DEMO_PICTURE)
    stated = {name: answer.input_sha256 for name, answer in golden.answers.items()}
    same = stated == {name: _digest(tensor) for name, tensor in inputs.items()}
    return same and golden.weights_sha256 == (measured.safetensors and measured.safetensors.sha256)


def keep_golden(measured: Measured, folder: Path) -> Measured:
    """Measure the golden logits of a repo's weights, keep them beside the lock, and state them in it.

    To be called while nobody else can change the lock: within `update_lock`. What the lock states stays while
    it is right to the rounding, so that another machine changes no byte.

    Args:
        measured: What the lock has of the model.
        folder: The repo.

    Raises:
        RexnetHubError: As of `measure_golden`; nothing was written.
    """
    own = measure_golden(read_repo(folder), picture=DEMO_PICTURE, dtype=torch.float64)
    kept = _read_kept(measured)
    if kept and not compare_golden(kept, own, ROUNDING)[0]:
        return measured
    sha256, evidence = hashlib.sha256(data := render_golden(own)).hexdigest(), find_evidence_dir()
    with file_problems(evidence, "cannot be written"):
        evidence.mkdir(exist_ok=True)
    write_whole(evidence / golden_name(sha256), data)
    return replace(measured, golden=sha256)


def judge_golden(file: Path, repo: Repo, *, picture: Path) -> tuple[list[str], str]:
    """Compare golden logits with a repo's network in float32, as `compare_golden`; an error differs too."""
    try:
        own = measure_golden(repo, picture=picture, dtype=torch.float32)
        return compare_golden(read_golden(file), own, TOLERANCE["cpu"])
    except RexnetHubError as error:
        return [" ".join(str(error).split())], ""
