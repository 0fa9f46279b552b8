"""Export a model to another format, and compare its outputs."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

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
from rexnet_hub.imagenet.data.pixels import normalise
from rexnet_hub.index import Preprocessing
from rexnet_hub.locate import find_repo, name_of
from rexnet_hub.repo.config import ORIENTATION, RepoConfig
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
    takes_bytes: bool = False,
    max_difference: float = MAX_DIFFERENCE,
    trusted_key: Path | str | None = None,
) -> ExportReceipt:
    """Export a model to ONNX with a free batch size, run it in onnxruntime and compare.

    The file gets its name only when its logits are the network's; a receipt, `NAME.onnx.receipt.json`, is
    kept beside it. The file's own metadata are those of `describe`.

    Args:
        takes_bytes: Whether the graph takes the bytes of pictures, uint8 (N, input_px, input_px, 3), and
            normalises them itself. To resize and crop them is left to the caller all the same.
        max_difference: The largest difference of a logit that is let pass.
        trusted_key: As in `AutoModel.from_pretrained`.

    Raises:
        OutputExistsError: `out` is there already.
        UsageError: The packages of the extra `onnx` are not installed, or `takes_bytes` is asked of a network
            that does not take RGB.
        RexnetHubError: The exported model's logits are not the network's.
    """
    if out.exists():
        raise OutputExistsError(out, "is there already; name another file or remove it")
    if not out.parent.is_dir():
        raise FileProblem(out.parent, "there is no such folder")
    versions = require_packages()
    repo = find_repo(source, Access(trusted_key=trusted_key))
    network: nn.Module = load_network(repo).eval()
    spec, weights_sha256 = repo.config.preprocessing, digest_file(repo.weights).sha256
    shape = (repo.config.in_chans, spec.input_px, spec.input_px)
    if takes_bytes:
        if repo.config.in_chans != 3:
            problem = f"takes {repo.config.in_chans} channels; bytes are normalised for RGB alone"
            raise UsageError(f"{source}: {problem}")
        network, shape = Normalising(network, spec), (*shape[1:], 3)
    with whole_files(out, out.with_name(f"{out.name}.receipt.json")) as (stream, receipt_stream):
        part = Path(stream.name)
        write_onnx(network, part, shape, describe(repo.config, weights_sha256, takes_bytes=takes_bytes))
        with network_problems("the network as ONNX"):
            difference, agreement, images = compare_onnx(network, part, shape, 0)
        digest = digest_file(part)
        receipt = ExportReceipt(
            model=name_of(source),
            format="onnx",
            weights_sha256=weights_sha256,
            file=out.name,
            size_bytes=digest.size_bytes,
            sha256=digest.sha256,
            input_px=spec.input_px,
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


class Normalising(nn.Module):
    """A network that takes the bytes of pictures, uint8 (N, H, W, 3), in place of normalised floats."""

    def __init__(self, network: nn.Module, spec: Preprocessing) -> None:
        super().__init__()
        self.network, self.spec = network, spec

    def forward(self, pixels: Tensor) -> Tensor:
        """Map bytes to logits."""
        logits: Tensor = self.network(normalise(pixels, self.spec))
        return logits


def describe(config: RepoConfig, weights_sha256: str, *, takes_bytes: bool) -> dict[str, str]:
    """List the metadata of an ONNX file: all that it takes to use it right, and where it is from.

    Its `input` says in words what `pixels` must be; `preprocessing` and `labels` are JSON.
    """
    spec = config.preprocessing
    channels = {1: "grey", 3: "RGB"}.get(config.in_chans, f"{config.in_chans} channels")
    square = f"resized and cropped to {spec.input_px} by {spec.input_px} as in preprocessing, {channels}"
    done = "mean and std are applied in the graph" if takes_bytes else "scaled to 0..1, minus mean, by std"
    layout = "uint8 (N, H, W, C)" if takes_bytes else "float32 (N, C, H, W)"
    return {
        "model": config.model or config.architecture,
        "weights_sha256": weights_sha256,
        "input": f"{layout}: {square}, {done}",
        "preprocessing": json.dumps(asdict(spec) | dict([ORIENTATION])),
        "labels": json.dumps(config.label_names, ensure_ascii=False),
    }


def write_onnx(network: nn.Module, file: Path, shape: Sequence[int], metadata: Mapping[str, str]) -> None:
    """Write a network as ONNX: input `pixels` (N, *shape), output `logits` (N, classes), N free."""
    # Before minutes of work: torch keeps notes in the temporary folder, and says nothing plain of it.
    with file_problems(file, "cannot be written"):
        file.write_bytes(b"\0")
        tempfile.TemporaryFile().close()
    with _quiet(), network_problems("the network as ONNX"):
        program = torch.onnx.export(
            network,
            (_draw(network, 2, shape),),
            dynamo=True,
            input_names=["pixels"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props.update(metadata)
        program.save(str(file), external_data=False)


def _draw(
    network: nn.Module, pictures: int, shape: Sequence[int], generator: torch.Generator | None = None
) -> Tensor:
    """Draw random input: noise, or the bytes of it."""
    if isinstance(network, Normalising):
        return torch.randint(0, 256, (pictures, *shape), dtype=torch.uint8, generator=generator)
    return torch.randn(pictures, *shape, generator=generator)


def compare_onnx(network: nn.Module, file: Path, shape: Sequence[int], seed: int) -> tuple[float, float, int]:
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
        pixels = _draw(network, batch, shape, generator)
        with torch.inference_mode():
            expected = network(pixels)
        answers: list[Any] = session.run(["logits"], {"pixels": pixels.numpy()})
        logits = torch.from_numpy(answers[0])
        difference = max(difference, float((logits - expected).abs().max()))
        agreeing += int((logits.argmax(1) == expected.argmax(1)).sum())
    return difference, agreeing / sum(BATCHES), sum(BATCHES)
