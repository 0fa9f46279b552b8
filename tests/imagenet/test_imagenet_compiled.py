"""A compiled network counts only when it ranks the first tile as the plain one does."""

import gc
import os
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from drawn import SPEC, SmallNet, draw_set, write_folders

from rexnet_hub.errors import EvaluationError
from rexnet_hub.imagenet.data.layouts import read_dataset
from rexnet_hub.imagenet.run.evaluate import evaluate_models
from rexnet_hub.imagenet.run.prepare import RunOptions
from rexnet_hub.imagenet.run.runner import ModelUnderTest, _compile, own_compiler_cache, ready_runner


class Drawn(torch.nn.Module):
    """Gives a thousand logits of its pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(12, 1000)

    def forward(self, x):
        """Map (N, 3, 2, 2) to (N, 1000)."""
        return self.fc(x.flatten(1))


@pytest.fixture
def compiling(monkeypatch):
    """Put a compiler in torch's place whose result is bent as the test says: a real one is slow."""

    def bend(how):
        monkeypatch.setattr(torch, "compile", lambda network, **options: lambda x: how(network(x)))
        model = ModelUnderTest(name="drawn", network=Drawn(), preprocessing=SPEC)
        return ready_runner(model, torch.device("cpu"), dtype="fp32", channels_last=False, compiled=True)

    return bend


def test_a_compiled_network_that_ranks_otherwise_is_refused(compiling):
    """Logits that put another class first stop the run, and name the model."""
    runner = compiling(lambda logits: logits.flip(1))
    with pytest.raises(EvaluationError, match="drawn, compiled, ranks other classes first"):
        runner.rank(torch.randn(4, 3, 2, 2), ["a", "b", "c", "d"])


def test_rounding_that_leaves_the_ranks_is_let_through(compiling, fresh_seed):
    """Logits of the same order pass, and the plain network runs for the first tile alone."""
    torch.manual_seed(fresh_seed)
    runner = compiling(lambda logits: logits * 2)
    pixels = torch.randn(4, 3, 2, 2)
    first = runner.rank(pixels, ["a", "b", "c", "d"])
    assert (first == runner.rank(pixels, ["a", "b", "c", "d"])).all()


def test_a_run_compiles_in_a_folder_of_its_own(monkeypatch, tmp_path):
    """It is gone after the run, and what was set before is set again."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    with own_compiler_cache():
        folder = os.environ["TORCHINDUCTOR_CACHE_DIR"]
        assert Path(folder).is_dir()
        assert folder != str(tmp_path)
    assert not Path(folder).exists()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path)


#: Another process compiles the network that the test evaluates.
COMPILE = """
import torch
from drawn import SPEC, SmallNet
from rexnet_hub.imagenet.run.runner import ModelUnderTest, exact_arithmetic, ready_runner
model = ModelUnderTest(name="small", network=SmallNet(), preprocessing=SPEC)
torch.set_num_threads(1)
with exact_arithmetic():
    runner = ready_runner(model, torch.device("cpu"), dtype="fp32", channels_last=False, compiled=True)
    runner.rank(torch.zeros(4, 3, SPEC.input_px, SPEC.input_px), ["a"])
"""


@pytest.mark.slow
def test_weights_are_folded_into_what_is_compiled():
    """What was compiled reads none again, so no batch norm is computed for each tile."""
    network = SmallNet().eval().requires_grad_(False)
    pixels = torch.rand(4, 3, SPEC.input_px, SPEC.input_px)
    with own_compiler_cache(), torch.inference_mode():
        run, plain = _compile(network, "small", torch.device("cpu")), network(pixels)
        run(pixels)
        network.norm.weight.zero_()
        assert torch.allclose(run(pixels), plain, atol=1e-4)
        assert not torch.allclose(network(pixels), plain, atol=1e-4)


@pytest.mark.slow
def test_each_of_many_networks_of_one_kind_is_compiled_and_then_freed():
    """Torch compiles one code eight times at the most, and keeps what it compiled while that lives."""
    pixels, first = torch.rand(4, 3, SPEC.input_px, SPEC.input_px), set(sys.modules)
    with own_compiler_cache(), torch.inference_mode():
        networks = [SmallNet().eval().requires_grad_(False) for _ in range(10)]
        runs = [_compile(network, "small", torch.device("cpu")) for network in networks]
        for network, run in zip(networks, runs, strict=True):
            plain = run(pixels)
            network.norm.weight.zero_()
            assert torch.equal(run(pixels), plain)
    held = [weakref.ref(network.norm.weight) for network in networks]
    del network, networks, run, runs
    gc.collect()
    assert not any(weight() is not None for weight in held)
    assert not [name for name in set(sys.modules) - first if "compile_tasks." in name]


@pytest.mark.slow
def test_objects_that_a_killed_run_cut_short_are_not_loaded(monkeypatch, tmp_path):
    """With empty ones in torch's own cache a run ends in the same bytes, on one core or on several."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    data = read_dataset(write_folders(tmp_path / "val", draw_set(24)), allow_subset=True)
    model = ModelUnderTest(name="small", network=SmallNet(), preprocessing=SPEC)
    plain = evaluate_models([model], data, options=RunOptions(quiet=True))[0]
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path.cwd())])}
    subprocess.run([sys.executable, "-c", COMPILE], env=env, check=True)
    objects = list((tmp_path / "cache").rglob("*.so"))
    assert objects
    for file in objects:
        file.write_bytes(b"")
    for threads in (1, 2):
        options = RunOptions(quiet=True, compiled=True, threads=threads)
        (record,) = evaluate_models([model], data, options=options)
        assert record.predictions_sha256 == plain.predictions_sha256
        assert record.machine == replace(plain.machine, compiled=True)
