"""A compiled network counts only when it ranks the first tile as the plain one does."""

import pytest
import torch
from drawn import SPEC

from rexnet_hub.errors import EvaluationError
from rexnet_hub.imagenet.run.runner import ModelUnderTest, ready_runner


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
        monkeypatch.setattr(torch, "compile", lambda network, options: lambda x: how(network(x)))
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
