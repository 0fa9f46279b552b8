"""Export a model to another format, and compare its outputs."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from rexnet_hub.auto import load_network
from rexnet_hub.errors import (
    FileProblem,
    OutputExistsError,
    RexnetHubError,
    UsageError,
    file_problems,
    network_problems,
)
from rexnet_hub.hub.snapshot import Access
from rexnet_hub.locate import find_repo, name_of
from rexnet_hub.nets.modules import Classifier
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.whole_files import whole_files

#: Logits of two exact runtimes differ by rounding alone; a classifier's are of the order of 1 to 10, and
#: float32 keeps seven digits of each of the some sixty layers on the way.
MAX_DIFFERENCE = 1e-3
BATCHES = (1,) * 8 + (2,) * 4 + (5,) * 2


@dataclass(frozen=True, kw_only=True)
class ExportReceipt:
    """The source of an exported file, and the measured difference between the two.

    Attributes:
        largest_difference: Of any logit, over all fresh inputs, in absolute value.
        top1_agreement: Part of the inputs whose likeliest class is the same, in 0..1.
        images: Fresh random inputs that were compared, in batches of several sizes.
    """

    model: str
    format: str
    weights_sha256: str
    file: str
    size_bytes: int
    sha256: str
    input_px: int
    largest_difference: float
    allowed_difference: float
    top1_agreement: float
    images: int
    versions: dict[str, str]


def export_onnx(
    source: str | Path,
    out: Path,
    *,
    max_difference: float = MAX_DIFFERENCE,
    trusted_key: Path | str | None = None,
) -> ExportReceipt:
    """Export a model to ONNX with a free batch size, run it in onnxruntime and compare.

    The file gets its name only when its logits are the network's; a receipt, `NAME.onnx.receipt.json`, is
    kept beside it.

    Args:
        max_difference: The largest difference of a logit that is let pass.
        trusted_key: As in `AutoModel.from_pretrained`.

    Raises:
        OutputExistsError: `out` is there already.
        UsageError: The packages of the extra `onnx` are not installed.
        RexnetHubError: The exported model's logits are not the network's.
    """
    if out.exists():
        raise OutputExistsError(out, "is there already; name another file or remove it")
    if not out.parent.is_dir():
        raise FileProblem(out.parent, "there is no such folder")
    versions = require_packages()
    repo = find_repo(source, Access(trusted_key=trusted_key))
    network = load_network(repo).eval()
    input_px = repo.config.preprocessing.input_px
    with whole_files(out, out.with_name(f"{out.name}.receipt.json")) as (stream, receipt_stream):
        part = Path(stream.name)
        write_onnx(network, part, input_px)
        with network_problems("the network as ONNX"):
            difference, agreement, images = compare_onnx(network, part, input_px, 0)
        digest = digest_file(part)
        receipt = ExportReceipt(
            model=name_of(source),
            format="onnx",
            weights_sha256=digest_file(repo.weights).sha256,
            file=out.name,
            size_bytes=digest.size_bytes,
            sha256=digest.sha256,
            input_px=input_px,
            largest_difference=difference,
            allowed_difference=max_difference,
            top1_agreement=agreement,
            images=images,
            versions=versions,
        )
        if not difference <= max_difference:  # also when it is not a number
            problem = f"a logit differs by {difference:.3g}, allowed is {max_difference:.3g}; not written"
            raise RexnetHubError(f"{out.name}: {problem}")
        receipt_stream.write((json.dumps(asdict(receipt), indent=2) + "\n").encode())
    return receipt


def require_packages() -> dict[str, str]:
    """Return the versions of what exporting needs.

    Raises:
        UsageError: Something is not installed; all of it is named.
    """
    import importlib.metadata
    import importlib.util

    needed = ("onnx", "onnxscript", "onnxruntime")
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        raise UsageError(f"exporting needs {', '.join(missing)}: pip install 'rexnet-hub[onnx]'")
    return {name: importlib.metadata.version(name) for name in ("torch", *needed)}


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's own messages on the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


def write_onnx(network: Classifier, file: Path, input_px: int) -> None:
    """Write a network as ONNX: input `pixels` (N, C, H, W), output `logits` (N, classes), N free."""
    pixels = torch.zeros(2, network.in_chans, input_px, input_px)
    # Before minutes of work: torch keeps notes in the temporary folder, and says nothing plain of it.
    with file_problems(file, "cannot be written"):
        file.write_bytes(b"\0")
        tempfile.TemporaryFile().close()
    with _quiet(), network_problems("the network as ONNX"):
        program = torch.onnx.export(
            network,
            (pixels,),
            dynamo=True,
            input_names=["pixels"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
        assert program is not None
        program.save(str(file), external_data=False)


def compare_onnx(network: Classifier, file: Path, input_px: int, seed: int) -> tuple[float, float, int]:
    """Run an ONNX file and the network on fresh random inputs, in batches of several sizes.

    Returns:
        The largest difference of a logit, the part of inputs with the same likeliest class, the inputs.
    """
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(seed)
    difference, agreeing = 0.0, 0
    for batch in BATCHES:
        pixels = torch.randn(batch, network.in_chans, input_px, input_px, generator=generator)
        with torch.inference_mode():
            expected = network(pixels)
        answers: list[Any] = session.run(["logits"], {"pixels": pixels.numpy()})
        logits = torch.from_numpy(answers[0])
        difference = max(difference, float((logits - expected).abs().max()))
        agreeing += int((logits.argmax(1) == expected.argmax(1)).sum())
    return difference, agreeing / sum(BATCHES), sum(BATCHES)
