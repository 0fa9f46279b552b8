"""Converting: nothing lost, nothing made up, the same bytes every time, a receipt of it all."""

import hashlib
import json
import math
import os
import subprocess
import sys
from collections import OrderedDict

import pytest
import timm
import torch
from authors_network import Lite, Network
from checkpoints import fingerprint, names_in, save, small_state
from receipts import retell
from safetensors.torch import load_file, save_file

from rexnet_hub.errors import CheckpointError, FileProblem, MismatchError, StateDictError
from rexnet_hub.layout import PACKAGE_DIR
from rexnet_hub.nets import find_network
from rexnet_hub.nets.families.rexnet.keymap import AUTHORS, AUTHORS_LITE
from rexnet_hub.nets.state_dict import require_tensors
from rexnet_hub.weights.convert import convert_checkpoint
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.weights.receipt import read_receipt
from rexnet_hub.weights.safetensors_file import read_tensors


def table(state):
    """List a state dict as `expected` wants it."""
    return {name: (str(value.dtype)[6:], tuple(value.shape)) for name, value in state.items()}


@pytest.fixture(scope="module")
def rexnet():
    """A state dict of rexnet_100, values not all alike."""
    torch.manual_seed(3)
    return timm.create_model("rexnet_100").state_dict()


@pytest.fixture
def out(tmp_path):
    """Name the file to write, in a folder of its own."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "model.safetensors"


def test_rexnet_100_becomes_the_file_that_the_library_writes(rexnet, container, tmp_path, out):
    """From both containers: 19393316 bytes, identical to safetensors' own file, and loadable by it."""
    file = save(rexnet, tmp_path / "a.pth", container)
    save_file(dict(rexnet), tmp_path / "oracle", metadata={"format": "pt"})

    receipt = convert_checkpoint(file, out, expected=table(rexnet))

    assert out.read_bytes() == (tmp_path / "oracle").read_bytes()
    assert out.stat().st_size == receipt.output.size_bytes == 19393316
    assert receipt.checked_against_network
    assert names_in(out.parent) == ["model.safetensors", "receipt.json"]


def test_the_receipt_says_what_happened(container, tmp_path, out):
    """Every fact of the receipt can be checked against the two files, down to each tensor's place."""
    file = save({"model": small_state()}, tmp_path / "a.pth", container)

    receipt = convert_checkpoint(file, out)

    assert receipt == read_receipt(out.parent / "receipt.json")
    assert (receipt.source.format, receipt.source.wrapper, receipt.source.name) == (
        container,
        "model",
        "a.pth",
    )
    assert receipt.source.sha256 == digest_file(file).sha256
    assert (receipt.output.sha256, receipt.output.size_bytes) == (digest_file(out).sha256, out.stat().st_size)
    assert (receipt.key_map, receipt.checked_against_network, receipt.stand_in) == (None, False, False)
    data = file.read_bytes()
    for line in receipt.tensors:
        begin = line.record_offset_bytes + line.offset_bytes
        raw = small_state()[line.name].numpy().tobytes()
        assert data[begin : begin + len(raw)] == raw
        assert line.sha256 == hashlib.sha256(raw).hexdigest()


def test_running_again_gives_the_same_two_files(small_file, out):
    """Conversion is a function of the source: same weights, same receipt."""
    convert_checkpoint(small_file, out)
    before = out.read_bytes(), (out.parent / "receipt.json").read_bytes()
    convert_checkpoint(small_file, out)

    assert before == (out.read_bytes(), (out.parent / "receipt.json").read_bytes())


def test_order_container_and_allocator_do_not_show_in_the_output(tmp_path, out, monkeypatch):
    """Other tensor order, other container, poisoned memory: the same bytes."""
    found = set()
    for container in ("legacy", "zip"):
        for state in (small_state(), OrderedDict(reversed(small_state().items()))):
            convert_checkpoint(save(state, tmp_path / "a.pth", container), out)
            found.add(out.read_bytes())
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from rexnet_hub.weights.convert import convert_checkpoint\n"
        "convert_checkpoint(Path(sys.argv[2]), Path(sys.argv[3]))"
    )
    arguments = [str(PACKAGE_DIR.parent), str(tmp_path / "a.pth"), str(out)]
    environment = os.environ | {"MALLOC_PERTURB_": "165", "PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", script, *arguments], check=True, env=environment)
    found.add(out.read_bytes())

    assert len(found) == 1


def test_a_safetensors_file_is_made_canonical(tmp_path, out):
    """A safetensors source with other metadata and order becomes the same canonical file."""
    save_file(dict(small_state()), tmp_path / "a.safetensors", metadata={"other": "x"})

    receipt = convert_checkpoint(tmp_path / "a.safetensors", out)

    save_file(dict(small_state()), tmp_path / "oracle", metadata={"format": "pt"})
    assert out.read_bytes() == (tmp_path / "oracle").read_bytes()
    assert receipt.source.format == "safetensors"


@pytest.mark.parametrize("wrapper", ["state_dict", "state_dict_ema", "model", "model_ema"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_wrappers_and_prefixes_come_off(wrapper, prefix, container, tmp_path, out):
    """One outer dict and the prefixes that torch's wrappers put before every name are unwrapped."""
    state = {prefix + name: value for name, value in small_state().items()}
    value = {
        "epoch": 3,
        "loss": 0.5,
        wrapper: state,
        "optimizer": {"state": {0: torch.ones(2)}},
        "model_x": None,
    }

    receipt = convert_checkpoint(save(value, tmp_path / "a.pth", container), out)

    assert set(read_tensors(out)) == set(small_state())
    assert (receipt.source.wrapper, receipt.source.prefix) == (wrapper, prefix)
    assert {line.source_name for line in receipt.tensors} == set(state)


def test_two_state_dicts_are_ambiguous_until_one_is_named(container, tmp_path, out):
    """Between a model and its average nobody but the caller can choose."""
    other = {name: value + 1 for name, value in small_state().items()}
    file = save({"model": small_state(), "model_ema": other}, tmp_path / "a.pth", container)

    with pytest.raises(CheckpointError, match="under model, model_ema: name the one"):
        convert_checkpoint(file, out)
    convert_checkpoint(file, out, wrapper="model_ema")
    assert torch.equal(read_tensors(out)["stem.weight"], other["stem.weight"])
    with pytest.raises(CheckpointError, match="no state dict under 'state_dict'; there: model, model_ema"):
        convert_checkpoint(file, out, wrapper="state_dict")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([torch.ones(1)], "a list"),
        (torch.ones(1), "a tensor"),
        ({}, "holds no tensor"),
        ({"a": torch.ones(1), "b": "text"}, r"'b' \(str\)"),
        ({"net": {"a": "text"}}, r"'net' \(dict\)"),
        ({"model": {}}, "holds no tensor"),
        ({"module.a": torch.ones(1), "b": torch.ones(1), "module.": torch.ones(1)}, None),
    ],
)
def test_what_holds_no_state_dict_is_refused_by_what_it_holds(value, message, container, tmp_path, out):
    """Anything but tensors by name, or one dict of them, is refused; a partial prefix stays."""
    file = save(value, tmp_path / "a.pth", container)
    if message is None:
        assert {line.name for line in convert_checkpoint(file, out).tensors} == set(value)
        return
    with pytest.raises(CheckpointError, match=message):
        convert_checkpoint(file, out)
    assert names_in(out.parent) == []


@pytest.mark.parametrize("width", [1.0, 1.3, 2.0])
def test_the_authors_layout_becomes_ours_in_the_same_order(width):
    """Names mapped one to one agree with timm's, tensor for tensor in order, and shapes but the head's."""
    authors = Network(width).state_dict()
    ours = timm.create_model(f"rexnet_{int(width * 100)}").state_dict()

    assert [AUTHORS.names[name] for name in authors] == list(ours)
    assert list(AUTHORS.names) == list(authors)
    shapes = [(tuple(a.shape), tuple(b.shape)) for a, b in zip(authors.values(), ours.values(), strict=True)]
    head = tuple(ours["head.fc.weight"].shape)
    assert [pair for pair in shapes if pair[0] != pair[1]] == [((*head, 1, 1), head)]
    assert len(set(AUTHORS.names.values())) == len(AUTHORS.names) == 413


@pytest.mark.parametrize("width", [1.0, 1.3, 1.5, 2.0])
def test_an_authors_lite_converts_whole(width, tmp_path, out):
    """All 303 tensors of a lite arrive in the authors' order, the two layers of its head as matrices."""
    authors, network = Lite(width).state_dict(), find_network(f"rexnet_lite_{width * 100:.0f}")
    assert list(AUTHORS_LITE.names) == list(authors)

    receipt = convert_checkpoint(
        save(authors, tmp_path / "a.pth", "zip"), out, expected=network.plan().tensors
    )

    assert receipt.key_map == "authors_lite"
    found = load_file(out)
    ours = {AUTHORS_LITE.names[name]: tensor for name, tensor in authors.items()}
    reshaped = [name for name in ours if ours[name].shape != found[name].shape]
    assert reshaped == ["head.hidden.fc.weight", "head.fc.weight"]
    assert all(torch.equal(found[name], tensor.view_as(found[name])) for name, tensor in ours.items())
    assert len(found) == 303


def test_an_authors_checkpoint_converts_whole(rexnet, container, tmp_path, out):
    """All 413 tensors arrive, the head as a matrix, and the fingerprint sees the same weights."""
    back = {ours: authors for authors, ours in AUTHORS.names.items()}
    authors = OrderedDict((back[name], value) for name, value in rexnet.items())
    authors["output.1.weight"] = authors["output.1.weight"][:, :, None, None]
    file = save(authors, tmp_path / "authors.pth", container)

    receipt = convert_checkpoint(file, out, expected=table(rexnet))

    assert receipt.key_map == "authors"
    found = load_file(out)
    assert all(torch.equal(found[name], value) for name, value in rexnet.items())
    assert len(found) == 413
    assert fingerprint(file) == fingerprint(out)


@pytest.mark.parametrize(
    "lost", ["output.1.bias", "features.5.out.0.weight", "features.9.out.5.fc.1.running_var"]
)
def test_a_truncated_authors_checkpoint_is_refused(lost, tmp_path, out):
    """One tensor short of the layout, and it is told which."""
    ours = dict.fromkeys(AUTHORS.names.values(), ("float32", (1,)))
    state = {name: torch.ones(1) for name in AUTHORS.names if name != lost}

    with pytest.raises(StateDictError, match=f"1 missing.*{lost}"):
        convert_checkpoint(save(state, tmp_path / "a.pth", "legacy"), out, expected=ours)


def test_other_tensors_than_the_networks_are_refused(rexnet, tmp_path, out):
    """Missing, extra and misshapen tensors are listed, ten at most of each, all counted."""
    state = dict(list(rexnet.items())[25:]) | {f"more.{i}": torch.ones(1) for i in range(12)}
    state["head.fc.bias"] = torch.ones(10)
    state["head.fc.weight"] = state["head.fc.weight"].half()

    with pytest.raises(StateDictError) as caught:
        convert_checkpoint(save(state, tmp_path / "a.pth", "legacy"), out, expected=table(rexnet))

    problem = caught.value.problem
    for words in (
        "400 tensors are not the 413",
        "25 missing (stem.conv.weight, ",
        "and 15 more",
        "12 extra (more.0, ",
        ", and 2 more)",
        "2 of another shape or dtype",
        "head.fc.bias is float32 [10], not float32 [1000]",
        "head.fc.weight is float16",
    ):
        assert words in problem
    assert names_in(out.parent) == []


def test_require_tensors_is_content_with_the_expected_ones(rexnet):
    """The same table in another order passes."""
    require_tensors(dict(reversed(table(rexnet).items())), table(rexnet))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_dtype_is_kept_unless_float32_is_asked_for(dtype, container, tmp_path, out):
    """Halves and doubles stay what they are; asked for float32 they become torch's float32."""
    torch.manual_seed(0)
    values = torch.cat([torch.randn(1000), torch.tensor([0.0, -0.0, 1e-7, 6e-8, 1e4])]).to(dtype)
    file = save({"w": values, "n": torch.tensor(3)}, tmp_path / "a.pth", container)

    convert_checkpoint(file, out)
    assert read_tensors(out)["w"].dtype == dtype
    receipt = convert_checkpoint(file, out, as_float32=True)

    found = read_tensors(out)
    assert torch.equal(found["w"], values.float())
    assert found["n"].dtype == torch.int64
    assert {line.source_dtype for line in receipt.tensors} == {str(dtype)[6:], "int64"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_refused_unless_allowed(value, dtype, tmp_path, out):
    """A weight that is no number is refused by name; allowed, it passes bit for bit."""
    values = torch.linspace(-1, 1, 5000).to(dtype)
    values[4321] = value
    file = save({"w": values, "v": torch.ones(1)}, tmp_path / "a.pth", "zip")

    with pytest.raises(CheckpointError, match=r"in w \(1\)"):
        convert_checkpoint(file, out)
    assert names_in(out.parent) == []
    convert_checkpoint(file, out, allow_nonfinite=True)
    assert torch.equal(read_tensors(out)["w"].nan_to_num(7), values.nan_to_num(7))


def test_the_largest_finite_numbers_are_not_taken_for_infinity(tmp_path, out):
    """The check looks at top bytes first, but only a true infinity is refused."""
    state = {
        str(d)[6:]: torch.tensor([torch.finfo(d).max, torch.finfo(d).min], dtype=d)
        for d in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    }

    convert_checkpoint(save(state, tmp_path / "a.pth", "zip"), out)

    assert all(torch.isfinite(value).all() for value in read_tensors(out).values())


def test_a_double_that_no_float32_can_hold_is_refused(tmp_path, out):
    """Turning float64 into float32 may round, but may not make an infinity."""
    file = save({"w": torch.tensor([1e300], dtype=torch.float64)}, tmp_path / "a.pth", "zip")

    with pytest.raises(CheckpointError, match="infinity"):
        convert_checkpoint(file, out, as_float32=True)


def test_a_bool_that_is_neither_is_refused(tmp_path, out):
    """A bool has two values; other bytes are damage."""
    data = save({"b": torch.tensor([True, False])}, tmp_path / "a.pth", "legacy").read_bytes()
    (tmp_path / "a.pth").write_bytes(data[:-1] + b"\x02")

    with pytest.raises(CheckpointError, match="no proper values in b"):
        convert_checkpoint(tmp_path / "a.pth", out)


def test_a_stated_digest_is_held_before_anything_is_read(small_file, out):
    """With a digest every flipped bit is refused, and nothing is left behind."""
    digest, data = digest_file(small_file).sha256, small_file.read_bytes()
    convert_checkpoint(small_file, out, sha256=digest)
    out.unlink()
    (out.parent / "receipt.json").unlink()

    for bit in range(0, 8 * len(data), 41):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        small_file.write_bytes(changed)
        with pytest.raises(MismatchError, match="SHA-256"):
            convert_checkpoint(small_file, out, sha256=digest)
    assert names_in(out.parent) == []


def test_shared_and_strided_tensors_are_each_written_whole(container, tmp_path, out):
    """Tied, sliced, transposed, repeated, empty and 0-d tensors arrive as torch.load gives them."""
    base = torch.arange(24.0).reshape(4, 6)
    state = {
        "base": base,
        "tied": base,
        "column": base[:, 2],
        "turned": base.T,
        "steps": base[::2, 1::3],
        "repeated": base[0, :1].expand(5),
        "empty": base[:0],
        "scalar": base[3, 5],
        "parameter": torch.nn.Parameter(base[1]),
    }
    file = save(state, tmp_path / "a.pth", container)

    convert_checkpoint(file, out)

    found, expected = load_file(out), torch.load(file, weights_only=True)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_fingerprint_ignores_names_order_and_container_alone(tmp_path):
    """Renamed, reordered, reshaped by ones and in another container is the same; one bit is not."""
    state = small_state()
    renamed = {f"x{i}": value for i, value in enumerate(reversed(state.values()))}
    renamed["x2"] = renamed["x2"][:, :, None, None]
    first = save(state, tmp_path / "a.pth", "legacy")
    second = save(renamed, tmp_path / "b.pth", "zip")
    save_file({k: v.contiguous() for k, v in renamed.items()}, tmp_path / "c.safetensors")
    assert fingerprint(first) == fingerprint(second) == fingerprint(tmp_path / "c.safetensors")

    for change in (lambda t: t + 1e-7, lambda t: t.T, lambda t: t.double(), lambda t: t.flatten()):
        other = dict(state) | {"stem.weight": change(state["stem.weight"]).contiguous()}
        assert fingerprint(first) != fingerprint(save(other, tmp_path / "d.pth", "zip"))
    assert fingerprint(first) != fingerprint(save(dict(list(state.items())[1:]), tmp_path / "d.pth", "zip"))


def test_the_fingerprint_is_the_one_that_its_definition_gives(tmp_path):
    """The documented text, digested by hand, is the fingerprint."""
    file = save({"w": torch.ones(2, 1, 3), "n": torch.tensor(5)}, tmp_path / "a.pth", "zip")
    ones, five = (hashlib.sha256(b).hexdigest() for b in (b"\0\0\x80?" * 6, b"\5" + bytes(7)))
    text = f"rexnet_hub weights 1\nfloat32 2x3 {ones}\nint64  {five}\n"

    assert fingerprint(file) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r | {"receipt": 2}, '"receipt": 1'),
        (lambda r: r | {"more": 1}, "more"),
        (lambda r: {k: v for k, v in r.items() if k != "versions"}, "versions"),
        (lambda r: r | {"stand_in": 0}, "stand_in"),
        (lambda r: r | {"output": r["output"] | {"size_bytes": "1"}}, "size_bytes"),
        (lambda r: r | {"tensors": [r["tensors"][0] | {"shape": ["1"]}]}, "shape"),
        (lambda r: r | {"tensors": r["tensors"][1:]}, "fingerprint"),
        (lambda r: [r], "receipt"),
    ],
)
def test_a_receipt_that_is_not_one_is_refused(change, message, small_file, out):
    """Missing, unknown, mistyped and contradicting parts of a receipt are refused."""
    convert_checkpoint(small_file, out)
    file = out.parent / "receipt.json"
    retell(file, change)

    with pytest.raises(FileProblem, match=message):
        read_receipt(file)


def test_a_receipt_of_before_is_read(small_file, out):
    """`checked_against_network` was `held_against_network`; there were neither `files` nor an own digest."""
    receipt = convert_checkpoint(small_file, out)
    file = out.parent / "receipt.json"
    told = json.loads(file.read_text())
    told["held_against_network"] = told.pop("checked_against_network")
    del told["files"], told["receipt_sha256"]
    file.write_text(json.dumps(told))

    assert read_receipt(file) == receipt


def test_a_receipt_states_its_own_digest(small_file, out):
    """The last line is the SHA-256 of all before it, as hashlib gives it; another is refused, in words."""
    convert_checkpoint(small_file, out)
    file = out.parent / "receipt.json"
    body, seal = file.read_bytes().split(b',\n "receipt_sha256": ')
    assert seal == b'"%s"\n}\n' % hashlib.sha256(body).hexdigest().encode()
    file.write_bytes(file.read_bytes().replace(b'"python": "3', b'"python": "2'))

    with pytest.raises(FileProblem, match="its bytes are not those of which it states the SHA-256"):
        read_receipt(file)


def test_converting_never_imports_torch_or_numpy(small_file, out):
    """Neither the converter nor the stand-in's check nor the fetcher loads what takes seconds to load."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "import rexnet_hub.weights.fetch, rexnet_hub.standins.make, rexnet_hub.weights.safetensors_file\n"
        "from rexnet_hub.weights.convert import convert_checkpoint\n"
        "convert_checkpoint(Path(sys.argv[2]), Path(sys.argv[3]))\n"
        "print([name for name in ('torch', 'numpy', 'huggingface_hub') if name in sys.modules])"
    )
    arguments = [str(PACKAGE_DIR.parent), str(small_file), str(out)]
    child = subprocess.run(
        [sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True
    )

    assert child.stdout.strip() == "[]"


@pytest.mark.parametrize("words", [b"builtins\n__import__", b"collections\nCounter"])
def test_a_refusal_is_one_line_that_names_the_file(words, tmp_path, out):
    """A refusal in the child process arrives as one line, with file and rule, and no traceback."""
    file = tmp_path / "bad.pth"
    data = save(small_state(), file, "legacy").read_bytes()
    file.write_bytes(
        data.replace(b"collections\nOrderedDict", words + b"\nx" if b"\n" not in words else words)
    )

    with pytest.raises(CheckpointError) as caught:
        convert_checkpoint(file, out)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
