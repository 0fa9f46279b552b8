"""What training programs write is converted: the tensors alone, and what was left out is named."""

import argparse
import collections
import decimal
import enum
import pathlib
import types

import numpy as np
import pytest
import timm
import torch
from checkpoints import read_bytes, save, small_state
from safetensors.torch import load_file
from timm.utils import CheckpointSaver, ModelEmaV3, NativeScaler
from walked import in_python_2

from rexnet_hub.errors import CheckpointError, StateDictError
from rexnet_hub.layout import receipt_of
from rexnet_hub.nets.families.rexnet.keymap import AUTHORS
from rexnet_hub.weights.convert import convert_checkpoint
from rexnet_hub.weights.receipt import read_receipt


@pytest.fixture
def out(tmp_path):
    """A place for the converted file."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "model.safetensors"


def equal(file, state):
    """Say whether a safetensors file holds exactly these tensors."""
    found = load_file(file)
    return found.keys() == state.keys() and all(
        found[name].dtype == value.dtype and torch.equal(found[name], value) for name, value in state.items()
    )


def kinds_left_out(receipt):
    """Give what was left out, by its name."""
    return dict(each.rstrip(")").split(" (") for each in receipt.source.left_out)


def test_what_timms_training_saves_is_converted(tmp_path, out):
    """A model_best.pth.tar of timm's own saver, with arguments, optimizer, scaler and average."""
    model = timm.create_model("test_resnet", num_classes=3)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    args = argparse.Namespace(model="test_resnet", lr=0.1, mean=None, aa="rand", opt_betas=[0.9, 0.99])
    for ema in (None, ModelEmaV3(model)):
        saver = CheckpointSaver(
            model,
            optimizer,
            args=args,
            model_ema=ema,
            amp_scaler=NativeScaler(device="cpu"),
            checkpoint_dir=tmp_path,
            recovery_dir=tmp_path,
        )
        saver.save_checkpoint(1, metric=71.5)
        if ema:
            with pytest.raises(CheckpointError, match="under state_dict, state_dict_ema"):
                convert_checkpoint(tmp_path / "model_best.pth.tar", out)
        wrapper = "state_dict_ema" if ema else None
        receipt = convert_checkpoint(tmp_path / "model_best.pth.tar", out, wrapper=wrapper)

        assert equal(out, (ema.module if ema else model).state_dict())
        left_out = kinds_left_out(receipt)
        assert left_out["args"] == "argparse.Namespace"
        assert {"optimizer": "dict", "epoch": "int", "metric": "float"}.items() <= left_out.items()
        assert ("state_dict" in left_out) == bool(ema)
        assert read_receipt(receipt_of(out)) == receipt


class AttributeDict(dict[str, object]):
    """A dict of hyper-parameters, as Lightning has one."""


class Mode(enum.Enum):
    """A choice among hyper-parameters."""

    FAST = "fast"


class Node:
    """An object whose attributes refer to one another and to types, as those of omegaconf do."""

    def __init__(self):
        self._metadata = types.SimpleNamespace(
            ref_type=AttributeDict, key=None, flags={(1, "a"): {2.5, None}}
        )
        self._content = {"lr": 0.1, "betas": (0.9, 0.99), "inner": self}

    def __setstate__(self, state):
        raise AssertionError("somebody made a Node")


def odd_things():
    """One of each kind of thing that is found beside a state dict, by its name."""
    recursive: list[object] = []
    recursive.append((recursive, b"bytes", bytearray(b"more")))
    return {
        "config": Node(),
        "hyper_parameters": AttributeDict(mode=Mode.FAST, where=pathlib.PurePosixPath("x"), big=1 << 70),
        "history": collections.defaultdict(list, {"loss": [np.float32(0.5), decimal.Decimal("1.5")]}),
        "array": np.arange(6).reshape(2, 3),
        "scalar": np.float64(0.1),
        "rng": torch.get_rng_state(),
        "types": [torch.float16, torch.device("cpu"), torch.Size([1, 2]), Mode, complex(1, 2)],
        "sets": ({1, 2}, frozenset({"a"}), range(3), slice(1)),
        "recursive": recursive,
        "sparse": {"s": torch.ones(2, 2).to_sparse()},
        "conjugate": {"c": torch.ones(2, dtype=torch.complex64).conj()},
        "none": None,
        "best": torch.tensor(0.5),
        "names": {("a", 1): 1, None: 2, 1.5: 3, b"k": 4, Mode.FAST: 5, False: 6},
    }


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [False, True])
def test_all_that_lies_beside_a_state_dict_is_walked_past(zipped, protocol, tmp_path, out):
    """Objects, arrays, sets and what else there is are named, in every protocol, and none of them is made."""
    file, state = tmp_path / "a.ckpt", small_state()
    value = {"state_dict": state} | odd_things()
    torch.save(value, file, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)

    receipt = convert_checkpoint(file, out)

    assert equal(out, state)
    left_out = kinds_left_out(receipt)
    assert list(left_out) == list(odd_things())
    assert left_out["config"].endswith("Node")
    assert left_out["hyper_parameters"].endswith("AttributeDict")
    assert left_out["history"] == "collections.defaultdict"
    assert "numpy" in left_out["array"]
    assert left_out["best"] == "tensor"


@pytest.mark.parametrize("zipped", [False, True])
def test_protocol_0_is_refused_with_its_reason(zipped, tmp_path):
    """Torch writes it and cannot read it: the storages are text there."""
    file = tmp_path / "a.pth"
    torch.save(small_state(), file, pickle_protocol=0, _use_new_zipfile_serialization=zipped)

    with pytest.raises(AssertionError):
        torch.load(file, weights_only=False)
    with pytest.raises(CheckpointError, match=r"protocol 0 .* protocols 1 to 5 are read"):
        read_bytes(file.read_bytes())


def test_a_pickle_of_python_2_is_read(tmp_path, out):
    """An OrderedDict that is made of a list of pairs, without hooks, with the text of Python 2."""
    state = {"lin.weight": torch.arange(6.0).reshape(2, 3), "lin.bias": torch.tensor([0.5])}
    file = tmp_path / "a.pth"
    file.write_bytes(in_python_2(state))
    assert torch.equal(torch.load(file, map_location="cpu", weights_only=True)["lin.bias"], state["lin.bias"])

    assert convert_checkpoint(file, out).source.left_out == ()
    assert equal(out, state)


@pytest.mark.parametrize(
    ("value", "wrapper"),
    [
        (
            {
                "model_state": small_state(),
                "step": 5,
                "optimizer_state": {"state": {0: {"a": torch.ones(1)}}},
            },
            None,
        ),
        ({"net": {"state_dict": small_state(), "model_args": {"depth": 3}}, "epoch": 1}, None),
        ({"model": {"state_dict": small_state(), "args": {}}, "stats": {"mean": torch.ones(3)}}, None),
        ({"gen": {"w": small_state()}, "disc": {"w": {"x": torch.ones(1)}}}, "gen.w"),
        ({"a": {"b": small_state()}, "c": {"x": torch.ones(1), "y": 1}}, "a.b"),
    ],
)
def test_a_state_dict_under_other_keys_is_found_or_proposed(value, wrapper, container, tmp_path, out):
    """Where there is one it is found, however deep; where there are more they are named."""
    file = save(value, tmp_path / "a.pth", container)
    if wrapper == "gen.w":
        with pytest.raises(CheckpointError, match=r"2 state dicts, under gen\.w, disc\.w: name"):
            convert_checkpoint(file, out)

    receipt = convert_checkpoint(file, out, wrapper=wrapper)

    assert equal(out, small_state())
    assert receipt.source.wrapper.count(".") == (0 if "model_state" in value else 1)
    assert len(receipt.source.left_out) >= 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"model": {"a": torch.ones(1), "b": torch.ones(1), "n": 3}}, r"'n' \(int\)"),
        ({"state_dict": {"a": torch.ones(1), "s": torch.ones(2).to_sparse()}}, r"_rebuild_sparse_tensor"),
        ({"state_dict": {"s": torch.ones(2).to_sparse()}, "other": {"a": torch.ones(1)}}, "'s' "),
        ({"state_dict": {"n": Node()}, "other": {"a": torch.ones(1)}}, "state dicts under other: name one"),
        (
            {"a": torch.ones(1), "b": torch.ones(1), "n": {"x": torch.ones(1)}},
            r"'n' \(dict\)\. There are .* n:",
        ),
        ({"a": {"b.c": {"x": torch.ones(1)}, "b": {"c": {"x": torch.ones(1)}}}}, r"2 state dicts"),
        ({"state_dict": {1: torch.ones(1)}}, r"'state_dict' \(dict\)"),
        ({"w": torch.ones(1, dtype=torch.complex64).conj()}, "conjugate"),
        (Node(), r"no dict of tensors, but a .*Node"),
    ],
)
def test_a_state_dict_with_what_is_no_plain_tensor_is_refused(value, message, container, tmp_path):
    """What is chosen must be tensors alone; no smaller dict is taken in its place."""
    file = save(value, tmp_path / "a.pth", container)
    for wrapper in (None, "a.b.c") if "2 state" in message else (None,):
        with pytest.raises(CheckpointError, match=message):
            read_bytes(file.read_bytes(), wrapper=wrapper)


class Stateful(torch.nn.Linear):
    """A layer with a state of its own, which torch puts into the state dict."""

    def get_extra_state(self):
        """Return a number and a tensor in a dict, as a layer that calibrates itself does."""
        return {"calls": 3, "scale": torch.ones(1)}


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"model": state, "epoch": 1}])
def test_extra_state_and_nothing_are_left_out_of_a_state_dict(wrap, container, tmp_path, out):
    """A state dict may have what `get_extra_state` gives beside its tensors, and None: they are named."""
    network = torch.nn.Sequential(Stateful(2, 2, bias=False), Stateful(2, 2, bias=False))
    state = network.state_dict() | {"none": None}
    receipt = convert_checkpoint(save(wrap(state), tmp_path / "a.pth", container), out)

    assert equal(out, {name: value for name, value in state.items() if name.endswith("weight")})
    assert {"0._extra_state": "dict", "none": "None"}.items() <= kinds_left_out(receipt).items()


def test_keys_that_are_not_text_are_said(container, tmp_path):
    """What the key is, and that it is not text."""
    for key, text in ((("a", 1), "a tuple"), (1, "1")):
        message = rf"'{text}' \(tensor, its key is not text\)"
        with pytest.raises(CheckpointError, match=message):
            read_bytes(save({key: torch.ones(1)}, tmp_path / "a.pth", container).read_bytes())


@pytest.mark.filterwarnings("ignore")  # torch means to give quantised tensors up
def test_a_quantised_tensor_is_refused_in_a_state_dict_and_walked_past_beside_one(container, tmp_path, out):
    """Safetensors has no such numbers; how many bytes they take must be known all the same."""
    made = {
        kind: torch.quantize_per_tensor(torch.ones(5), 0.1, 0, kind) for kind in (torch.qint8, torch.qint32)
    }
    beside = {"q": list(made.values()), "c": torch.ones(3, dtype=torch.complex128)}
    file = save({"model": small_state(), **beside}, tmp_path / "a.pth", container)
    assert kinds_left_out(convert_checkpoint(file, out)) == {
        "q": "list",
        "c": "tensor of ComplexDoubleStorage",
    }
    assert equal(out, small_state())

    with pytest.raises(CheckpointError, match=r"'w' \(torch\._utils\._rebuild_qtensor\)"):
        read_bytes(save({"w": made[torch.qint8]}, file, container).read_bytes())


@pytest.mark.filterwarnings("ignore")  # torch means to give quantised modules up
def test_a_whole_module_with_a_quantised_one_is_refused(container, tmp_path):
    """Its packed numbers are no parameters: to leave them out would convert half a network."""
    quantised = torch.ao.nn.quantized.Linear(2, 2)
    for module, name in (
        (quantised, "''"),
        (torch.nn.Sequential(torch.nn.Linear(2, 2), quantised), r"'1\.'"),
    ):
        with pytest.raises(
            CheckpointError, match=rf"its module {name} is quantised \(torch\.ao\.nn\.quantized"
        ):
            read_bytes(save(module, tmp_path / "a.pth", container).read_bytes())


def test_an_empty_state_dict_is_said_to_be_one(container, tmp_path):
    """Nobody is told what it holds beside no tensors."""
    for value in ({}, collections.OrderedDict(), {"state_dict": {}, "epoch": 1}):
        with pytest.raises(CheckpointError, match="holds no tensor"):
            read_bytes(save(value, tmp_path / "a.pth", container).read_bytes())


class Block(torch.nn.Module):
    """A module with a parameter, two buffers of which one is not saved, a child, and attributes."""

    def __init__(self, depth=2):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.randn(3))
        self.register_buffer("mean", torch.randn(3))
        self.register_buffer("table", torch.randn(3), persistent=False)
        self.register_parameter("absent", None)
        self.inner = Block(depth - 1) if depth else torch.nn.BatchNorm1d(3)
        self.tied = self.inner
        self.settings = {"loose": torch.randn(2), "args": argparse.Namespace(depth=depth)}


@pytest.mark.parametrize("protocol", [1, 2, 4])
@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: {"model": m, "epoch": 1}, torch.nn.DataParallel])
def test_a_whole_module_gives_its_state_dict(wrap, protocol, container, tmp_path, out):
    """Names, order of tensors, ties and what is not persistent are as its own state_dict has them."""
    module, file = Block(), tmp_path / "a.pth"
    torch.save(
        wrap(module),
        file,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=container == "zip",
    )

    receipt = convert_checkpoint(file, out)

    assert equal(out, module.state_dict())
    assert any("Block" in each or "DataParallel" in each for each in receipt.source.left_out)
    assert "inner.table (non-persistent buffer)" in [
        each.removeprefix("module.") for each in receipt.source.left_out
    ]


@pytest.mark.parametrize(
    ("group", "name", "message"),
    [
        ("_parameters", "inner.weight", "two tensors named 'inner.weight'"),
        ("_parameters", "odd", r"beside tensors it holds 'odd' \(argparse\.Namespace\)"),
        ("_modules", "odd", r"its module 'odd\.' is a argparse\.Namespace"),
        ("_buffers", 5, "has names that are none"),
    ],
)
def test_a_module_that_torch_would_not_save_so_is_refused(group, name, message, container, tmp_path):
    """Names that collide, and members that are no tensors or modules, are told by their names."""
    module = Block(depth=0)
    value = torch.nn.Parameter(torch.ones(3)) if name == "inner.weight" else argparse.Namespace()
    module.__dict__[group][name] = value

    with pytest.raises(CheckpointError, match=message):
        read_bytes(save(module, tmp_path / "a.pth", container).read_bytes())


def test_tensors_with_attributes_are_read_and_subclasses_refused(container, tmp_path, out):
    """An attribute changes no number; what a subclass means only its class knows."""
    state = {"t": torch.ones(2), "b": torch.nn.Buffer(torch.zeros(2)), "p": torch.nn.Parameter(torch.ones(1))}
    for tensor in state.values():
        tensor.__dict__["note"] = argparse.Namespace(x=1)
    file = save(state, tmp_path / "a.pth", container)
    convert_checkpoint(file, out)
    assert equal(out, state)

    save(state | {"odd": torch.ones(1).as_subclass(Odd)}, file, container)
    with pytest.raises(CheckpointError, match=r"'odd' \(tensor of .*Odd"):
        convert_checkpoint(file, out)


class Odd(torch.Tensor):
    """A tensor of a class of its own."""


def test_names_like_the_authors_are_kept_where_no_model_is_said(rexnet_shapes, tmp_path, out):
    """Another network has such names too: only a model makes the layout a must."""
    state = {"features.3.out.0.weight": torch.ones(1), "output.1.bias": torch.ones(2)}
    file = save(state, tmp_path / "a.pth", "zip")

    assert convert_checkpoint(file, out).key_map is None
    assert equal(out, state)
    with pytest.raises(StateDictError, match="411 missing"):
        convert_checkpoint(file, out, expected=rexnet_shapes)


@pytest.fixture
def rexnet_shapes():
    """What a ReXNet must have, in names alone."""
    return dict.fromkeys(AUTHORS.names.values(), ("float32", ()))
