"""Run a network so that the same image gives the same bits, and rank its answers by a stated rule.

The bits of a convolution depend on how many images go through it together and on how many threads share
the work. So images go through in tiles: always as many, always the same together, a tile that is not full
padded with black, and on a CPU one thread for one tile.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from rexnet_hub.errors import EvaluationError, UsageError, network_problems
from rexnet_hub.imagenet.data.classes import NO_CLASS
from rexnet_hub.imagenet.data.pixels import normalise
from rexnet_hub.imagenet.evidence.predictions import TOP
from rexnet_hub.index import Preprocessing
from rexnet_hub.index.spellings import IMAGENET_CLASSES

#: By device type: a GPU wants many, a CPU as few as stay in its cache from layer to layer. Halved where the
#: memory is too small.
TILE_IMAGES = {"cpu": 4, "cuda": 256}

#: Before torch 2.9 what is set for one compilation is set for all threads.
_COMPILING = threading.Lock()

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUnderTest:
    """A network to evaluate.

    Attributes:
        name: What its record is called.
        network: Takes a batch (N, 3, input_px, input_px), gives logits (N, num_classes). A copy of it runs.
        weights_sha256: Of its weights file, for the record.
        fingerprint: Of its weights in whatever layout, for the record.
        labels: The names of its classes, in the order of the logits, if it has any.
    """

    name: str
    network: torch.nn.Module
    preprocessing: Preprocessing
    weights_sha256: str | None = None
    fingerprint: str | None = None
    num_classes: int = IMAGENET_CLASSES
    labels: tuple[str, ...] = ()


def digest_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    """Compute the SHA-256 of every tensor of a state dict, with names, types and shapes."""
    sha256 = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        plain = tensor.detach().cpu().contiguous()
        sha256.update(json.dumps([name, str(plain.dtype), list(plain.shape)]).encode() + b"\n")
        sha256.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """A network made ready on its device.

    Attributes:
        network: The copy that runs.
        dtype: One of `DTYPES`; other than `fp32` means autocast.
        among: The classes that are ranked; None: all.
    """

    model: ModelUnderTest
    network: Callable[[torch.Tensor], torch.Tensor]
    device: torch.device
    dtype: str
    channels_last: bool
    among: Sequence[int] | None = None

    def run(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return what the network answers, unchecked."""
        memory_format = torch.channels_last if self.channels_last else torch.contiguous_format
        mixed = self.dtype != "fp32"
        autocast = torch.autocast(self.device.type, DTYPES[self.dtype] if mixed else None, enabled=mixed)
        with torch.inference_mode(), autocast, network_problems(f"the network of {self.model.name}"):
            return self.network(pixels.contiguous(memory_format=memory_format))

    def rank(self, pixels: torch.Tensor, names: Sequence[str]) -> np.ndarray:
        """Return the five likeliest classes of a tile's images.

        Args:
            pixels: float32, shape (tile, 3, input_px, input_px), normalised, on the device.
            names: Of the images; the rows after them are padding.

        Returns:
            uint16, shape (len(names), 5): see `Predictions.top5`.

        Raises:
            EvaluationError: The answers are not a finite number of each class for each image.
        """
        logits = self.run(pixels)
        expected = (len(pixels), self.model.num_classes)
        if not isinstance(logits, torch.Tensor) or logits.shape != expected:
            given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            problem = f"{self.model.name} gives {given} where logits of shape {expected} are needed"
            raise EvaluationError(problem)
        logits = logits[: len(names)].float()
        if not (finite := torch.isfinite(logits).all(dim=1)).all():
            name = names[int((~finite).nonzero()[0])]
            problem = f"{self.model.name} gives no finite logits for {name}: its weights are damaged"
            raise EvaluationError(problem)
        if self.among is not None:
            masked = torch.full_like(logits, -torch.inf)
            masked[:, self.among] = logits[:, self.among]
            logits = masked
        ranked = _rank(logits).cpu().numpy().astype(np.uint16)
        return np.pad(ranked, ((0, 0), (0, TOP - ranked.shape[1])), constant_values=NO_CLASS)


def ready_runner(
    model: ModelUnderTest, device: torch.device, *, dtype: str, channels_last: bool, compiled: bool
) -> Runner:
    """Copy a network to its device, in evaluation mode.

    Raises:
        EvaluationError: A tensor of it is not float32: its accuracy would be another network's.
    """
    tensors = model.network.state_dict().items()
    if odd := [f"{n} is {t.dtype}" for n, t in tensors if t.is_floating_point() and t.dtype != torch.float32]:
        raise EvaluationError(f"{model.name} is not a float32 network: {', '.join(odd[:3])}")
    network = copy.deepcopy(model.network).eval().requires_grad_(False).to(device)
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    runnable = _compile(network, model.name, device) if compiled else network
    return Runner(model=model, network=runnable, device=device, dtype=dtype, channels_last=channels_last)


def _compile(
    network: torch.nn.Module, name: str, device: torch.device
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Compile a network, weights folded in; its first tile must be ranked as the plain network ranks it."""
    from torch._dynamo.eval_frame import remove_from_cache
    from torch._inductor import config, list_options

    is_cpu = device.type == "cpu"
    # On a GPU no kernel is chosen because it is the fastest at the moment; before torch 2.9 it may be.
    has_choice = not is_cpu and "deterministic" in list_options()
    options: dict[str, Any] = {"deterministic": True} if has_choice else {}

    def forward(pixels: torch.Tensor) -> Any:
        """Return the network's logits."""
        return network(pixels)

    # What was compiled hangs on the code that ran: on one of its own, as folded weights are of one network.
    forward.__code__ = forward.__code__.replace()
    # For the shape that it meets: else a second network of another makes kernels for any shape of both.
    fast: Callable[[torch.Tensor], torch.Tensor] = torch.compile(forward, options=options, dynamic=False)
    plain: list[torch.nn.Module] = [network]

    def run(pixels: torch.Tensor) -> torch.Tensor:
        """Return logits, those of the first tile compared with the plain network."""
        if plain:
            # The compiler is at it: other tiles wait. Among `options` freezing has no effect: they are not
            # yet set when weights become constants or arguments.
            with _COMPILING, config.patch(freezing=is_cpu):
                logits = fast(pixels)
                if not torch.equal(_rank(logits), _rank(network(pixels))):
                    raise EvaluationError(f"{name}, compiled, ranks other classes first: run it without")
                plain.clear()
                return logits
        return fast(pixels)

    weakref.finalize(run, remove_from_cache, forward)  # nothing else frees the weights
    return run


@contextlib.contextmanager
def own_compiler_cache() -> Iterator[None]:
    """Set torch's compiler a folder of this run alone: what a killed run left cut short is never loaded."""
    from torch._inductor.codecache import PyCodeCache

    variable = "TORCHINDUCTOR_CACHE_DIR"
    before = os.environ.get(variable)
    with tempfile.TemporaryDirectory(prefix="rexnet-hub-", ignore_cleanup_errors=True) as folder:
        os.environ[variable] = folder
        try:
            yield
        finally:
            os.environ.pop(variable)
            if before is not None:
                os.environ[variable] = before
            # Modules made of its files hold the weights that were folded in.
            for name, module in list(sys.modules.items()):
                if (getattr(module, "__file__", None) or "").startswith(folder):
                    del sys.modules[name]
            PyCodeCache.cache_clear()


def _rank(logits: torch.Tensor) -> torch.Tensor:
    """Return the likeliest classes; a stable sort leaves equals in index order, topk promises nothing."""
    return logits.float().sort(dim=1, descending=True, stable=True).indices[:, :TOP]


def rank_tile(
    runners: Sequence[Runner],
    geometries: Sequence[Preprocessing],
    pixels: Sequence[torch.Tensor],
    names: Sequence[str],
) -> np.ndarray:
    """Run one tile through every network, normalising pixels that several share once.

    Args:
        geometries: What each of `pixels` was resized by.
        pixels: uint8 of shape (tile, px, px, 3), on the device.
        names: Of the images; the rows after them are padding.

    Returns:
        uint16, shape (runners, len(names), 5).
    """
    ready: dict[Preprocessing, torch.Tensor] = {}
    answers = []
    for runner in runners:
        spec = runner.model.preprocessing
        if spec not in ready:
            ready[spec] = normalise(pixels[geometries.index(geometry(spec))], spec)
        answers.append(runner.rank(ready[spec], names))
    return np.stack(answers)


def geometry(spec: Preprocessing) -> Preprocessing:
    """Reduce settings to what the bytes depend on: networks of one geometry share their pixels."""
    mean = spec.mean if spec.crop_mode == "border" else (0.0, 0.0, 0.0)  # a border is of the mean
    return replace(spec, mean=mean, std=(1.0, 1.0, 1.0))


def find_device(name: str) -> torch.device:
    """Choose a device by name.

    Raises:
        UsageError: It is not one of ours, or is not there.
    """
    kind, _, number = name.partition(":")
    if kind not in TILE_IMAGES or not (number or "0").isdecimal():
        raise UsageError(f"{name!r} is no device to evaluate on; there are: {', '.join(TILE_IMAGES)}")
    if int(number or 0) >= (there := torch.cuda.device_count() if kind == "cuda" else 1):
        raise UsageError(f"{name!r} is not here; of {kind} devices there are {there}")
    return torch.device(name)


def count_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_one_thread() -> None:
    """Set this thread's convolutions to be its own work alone."""
    torch.set_num_threads(1)


#: How a setting is read, how it is set, and what is set.
_Setting = tuple[Callable[[], Any], Callable[[Any], None], Any]


def _exact_settings() -> Iterator[_Setting]:
    """Yield what must be set, in order."""
    backends: Any = torch.backends
    cudnn, mkldnn = backends.cudnn, backends.mkldnn
    yield torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, "warn"
    # Whoever reads these two raises where they say otherwise than the settings of today's torch below.
    yield torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"
    values: list[tuple[Any, str, object]] = [
        (cudnn, "allow_tf32", False),
        (cudnn, "deterministic", True),
        (cudnn, "benchmark", False),
        # Only what depends on chance is to change: new memory need not be filled before it is written.
        (torch.utils.deterministic, "fill_uninitialized_memory", False),
    ]
    if hasattr(cudnn, "conv"):  # torch from 2.9 on
        owners = (backends.cuda.matmul, cudnn.conv, cudnn.rnn, mkldnn.matmul, mkldnn.conv, mkldnn.rnn)
        values += [(owner, "fp32_precision", "ieee") for owner in owners]
    for owner, name, value in values:
        yield partial(getattr, owner, name), partial(setattr, owner, name), value


@contextlib.contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Set full fp32 and the same kernels every time, and leave the settings as they were.

    Of an operation that has no deterministic kernel torch warns.
    """
    settings, before = list(_exact_settings()), []
    for read, write, _ in [*settings, (torch.get_num_threads, torch.set_num_threads, None)]:
        with contextlib.suppress(RuntimeError):  # two settings of the caller's contradict each other
            before.append((write, read()))
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it once, when it starts
    for _, write, value in settings:
        write(value)
    try:
        yield
    finally:
        for write, was in before:
            write(was)
