"""Stand-ins: the released files' exact size and shape, and a mark that nothing washes off."""

import pytest
import timm
import torch
from checkpoints import save, small_state

from rexnet_hub.errors import CheckpointError, FileProblem, UsageError
from rexnet_hub.standins.make import is_standin, write_standin
from rexnet_hub.weights.convert import convert_checkpoint
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.weights.tensor_bytes import MARK

# The seed's file sizes of the released checkpoints.
RELEASED_BYTES = {
    "rexnet_100": 19417552,
    "rexnet_130": 30508197,
    "rexnet_150": 39227315,
    "rexnet_200": 65862221,
}


def table(network):
    """List a network's tensors as `write_standin` wants them."""
    return {name: (str(value.dtype)[6:], tuple(value.shape)) for name, value in network.state_dict().items()}


@pytest.mark.parametrize("name", RELEASED_BYTES)
def test_a_standin_has_the_released_size_and_runs(name, tmp_path):
    """To the byte the size in the index; torch loads it, the network runs on it, its outputs differ."""
    network = timm.create_model(name).eval()

    file = write_standin(tmp_path, tensors=table(network), seed=1, stem=name)

    assert file.stat().st_size == RELEASED_BYTES[name]
    assert file.name == f"{name}-{digest_file(file).sha256[:8]}.pth"
    state = torch.load(file, weights_only=True)
    assert list(state) == list(network.state_dict())
    network.load_state_dict(state, strict=True)
    with torch.inference_mode():
        logits = network(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert torch.isfinite(logits).all()
    assert 0.1 < logits.std() < 100
    assert not torch.allclose(logits[0], logits[1], atol=0.01)


def test_a_standin_is_the_size_that_torch_saves(tmp_path):
    """Fresh random tables, small and of over 256 memo entries: the size of torch.save's own legacy file."""
    for seed in range(10):
        torch.manual_seed(seed)
        state = small_state()
        state.pop("stem.half")
        for index in range(30 * seed):
            state[f"l.{index}"] = torch.zeros(
                torch.randint(1, 300, (index % 6,)).tolist() if index % 6 < 3 else [1] * 5
            )
        state["bn.num_batches_tracked"] = torch.tensor(0)
        tensors = {name: (str(value.dtype)[6:], tuple(value.shape)) for name, value in state.items()}

        file = write_standin(tmp_path, tensors=tensors, seed=seed, stem="x")

        # torch's storage keys are addresses; it has as many digits as ours where the two agree.
        size = save(state, tmp_path / "torch.pth", "legacy").stat().st_size
        digits = len(str(next(iter(state.values())).untyped_storage()._cdata)) - 14
        assert file.stat().st_size == size - 2 * digits * len(state)
        assert torch.load(file, weights_only=True).keys() == state.keys()


def test_the_same_seed_gives_the_same_file(tmp_path):
    """A stand-in is a function of its arguments; another seed gives another file."""
    tensors = {"w": ("float32", (40, 30)), "bn.num_batches_tracked": ("int64", ())}
    names = [write_standin(tmp_path, tensors=tensors, seed=seed, stem="x").name for seed in (1, 1, 2)]

    assert names[0] == names[1] != names[2]


def test_the_mark_survives_conversion_renaming_and_saving_again(tmp_path):
    """In the .pth, the safetensors, the repo folder, and after training in a network, the mark is found."""
    network = timm.create_model("rexnet_100")
    file = write_standin(tmp_path, tensors=table(network), seed=1, stem="x")
    assert is_standin(file)
    receipt = convert_checkpoint(file, tmp_path / "model.safetensors")
    assert receipt.stand_in
    assert is_standin(tmp_path / "model.safetensors")
    assert is_standin(tmp_path)

    network.load_state_dict(torch.load(file, weights_only=True))
    network.train()(torch.randn(2, 3, 64, 64))  # a step of training counts one up
    renamed = {f"x.{name}": value for name, value in network.state_dict().items()}
    assert is_standin(save({"model": renamed}, tmp_path / "again.pth", "zip"))


def test_trained_weights_are_not_standins(tmp_path):
    """A network of timm's, and one counter just outside the mark, are not taken for stand-ins."""
    state = timm.create_model("rexnet_100").state_dict()
    assert not is_standin(save(state, tmp_path / "a.pth", "zip"))
    assert not is_standin(save({"n": torch.tensor(MARK + (1 << 25))}, tmp_path / "b.pth", "zip"))
    assert not is_standin(save({"n": torch.tensor([MARK])}, tmp_path / "c.pth", "zip"))
    assert is_standin(save({"n": torch.tensor(MARK)}, tmp_path / "d.pth", "zip"))


def test_the_values_suit_their_tensors(tmp_path):
    """Weights have the mean square of their fan-in, norms are near one, all is finite."""
    tensors = {
        "conv.weight": ("float32", (64, 32, 3, 3)),
        "bn.weight": ("float32", (5000,)),
        "bn.running_var": ("float32", (5000,)),
        "bn.bias": ("float32", (5000,)),
        "bn.num_batches_tracked": ("int64", ()),
    }

    state = torch.load(write_standin(tmp_path, tensors=tensors, seed=3, stem="x"), weights_only=True)

    assert state["conv.weight"].square().mean().sqrt() == pytest.approx((2 / 288) ** 0.5, rel=0.03)
    assert abs(state["conv.weight"].mean()) < 0.005
    for name in ("bn.weight", "bn.running_var"):
        assert 1 <= state[name].min() <= state[name].max() < 1.125
    assert state["bn.bias"].square().mean().sqrt() == pytest.approx(0.05, rel=0.05)


def test_a_table_that_cannot_bear_the_mark_is_misuse(tmp_path):
    """No counter, no stand-in; and nothing is left behind."""
    for tensors in ({"w": ("float32", (2,))}, {"w": ("float16", (2,)), "num_batches_tracked": ("int64", ())}):
        with pytest.raises(UsageError):
            write_standin(tmp_path, tensors=tensors, seed=1, stem="x")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_checkpoint_is_neither_yes_nor_no(tmp_path):
    """An unreadable file, or none, is an error, never `not a stand-in`."""
    (tmp_path / "a.pth").write_bytes(b"hello")
    with pytest.raises(CheckpointError):
        is_standin(tmp_path / "a.pth")
    with pytest.raises(FileProblem):
        is_standin(tmp_path / "none.pth")
