"""Both containers: all that torch writes is read as torch reads it, all that is damaged is refused."""

import io
import struct
import tarfile
import zipfile
from collections import OrderedDict

import pytest
import torch
from checkpoints import as_source, names_in, read_bytes, save, small_state
from safetensors.torch import load_file, save_file

from rexnet_hub.errors import CheckpointError
from rexnet_hub.layout import receipt_of
from rexnet_hub.weights.convert import convert_checkpoint
from rexnet_hub.weights.dtypes import DTYPES
from rexnet_hub.weights.receipt import read_receipt
from rexnet_hub.weights.safetensors_file import TensorSpec, read_tensors, render_header
from rexnet_hub.weights.tensor_bytes import tensor_chunks

# torch writes the dtypes of bare bytes into the legacy container too, but cannot read them back there.
DTYPE_NAMES = {
    "zip": [name for name in DTYPES if hasattr(torch, name)],
    "legacy": [name for name, dtype in DTYPES.items() if dtype.storage],
}


def random_tensor(generator, names):
    """Make a tensor of any dtype and shape, often not contiguous, sometimes empty or without axes."""
    dtype = getattr(torch, names[torch.randint(len(names), (), generator=generator)])
    shape = [int(n) for n in torch.randint(0, 6, (int(torch.randint(0, 5, (), generator=generator)),))]
    tensor = torch.randint(0, 100, shape, generator=generator).to(dtype)
    turn = int(torch.randint(6, (), generator=generator))
    if turn == 0 and tensor.dim() > 1:
        tensor = tensor.transpose(0, -1)
    elif turn == 1 and tensor.dim():
        tensor = tensor[::2]
    elif turn == 2:
        tensor = tensor.expand(3, *tensor.shape)
    elif turn == 3 and tensor.dim():
        tensor = tensor[..., 1:]
    elif turn == 4:
        tensor = torch.nn.Parameter(tensor, requires_grad=False)
    return tensor


def read_as_torch(data, name="file"):
    """Read bytes with our reader and make tensors of what it says."""
    with as_source(data, name) as source:
        from rexnet_hub.weights.checkpoint.container import list_tensors

        manifest = list_tensors(source)
        found = {}
        for tensor in manifest.tensors:
            flat = bytearray(b"".join(tensor_chunks(source, tensor)))
            dtype = getattr(torch, tensor.dtype)
            values = torch.frombuffer(flat, dtype=dtype) if flat else torch.empty(0, dtype=dtype)
            found[tensor.name] = values.reshape(tensor.shape)
        return found


def as_bytes(tensor):
    """Give the bytes of a tensor in C order: torch compares no float8."""
    return tensor.detach().clone(memory_format=torch.contiguous_format).reshape(-1).view(torch.uint8)


def same(one, other):
    """Say whether two state dicts agree in order, names, dtypes, shapes and values."""
    return list(one) == list(other) and all(
        one[k].dtype == other[k].dtype
        and one[k].shape == other[k].shape
        and torch.equal(as_bytes(one[k]), as_bytes(other[k]))
        for k in one
    )


@pytest.mark.parametrize("seed", range(60))
def test_random_state_dicts_are_read_as_torch_reads_them(seed, container, tmp_path):
    """Any mix of dtypes, shapes, strides and sharing gives torch.load's tensors, bit for bit."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    state = OrderedDict((f"a.{i}", random_tensor(generator, DTYPE_NAMES[container])) for i in range(8))
    state["tied"] = state["a.0"]
    state["part"] = state["a.1"].flatten()[1:] if state["a.1"].is_contiguous() else state["a.2"]
    file = save(state, tmp_path / "file.pth", container)

    assert same(read_as_torch(file.read_bytes()), torch.load(file, weights_only=True))


def test_a_large_strided_tensor_is_gathered_in_pieces(container, tmp_path):
    """A transposed, a strided and a repeated tensor of several chunks come out right."""
    big = torch.arange(1_500_000, dtype=torch.int32).reshape(1500, 1000)
    state = {"turned": big.T, "thin": big.flatten()[::3], "repeated": torch.tensor([5]).expand(700_000)}
    file = save(state, tmp_path / "file.pth", container)

    assert same(read_as_torch(file.read_bytes()), torch.load(file, weights_only=True))


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_every_protocol_that_torch_can_load_is_read(protocol, container, tmp_path):
    """Pickle protocols 1 to 5 hold the same tensors; torch's own reader without code knows 2 and 3."""
    file, zipped = tmp_path / "a.pth", container == "zip"
    torch.save(small_state(), file, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)

    assert same(read_as_torch(file.read_bytes()), torch.load(file, weights_only=False))


def test_frames_that_lie_about_their_size_are_refused(tmp_path):
    """A frame of protocol 4 ends between two opcodes, and not after the pickle."""
    torch.save(small_state(), tmp_path / "a.pth", pickle_protocol=4, _use_new_zipfile_serialization=False)
    data = (tmp_path / "a.pth").read_bytes()
    places = [at for at in range(len(data) - 9) if data[at : at + 3] == b"\x80\x04\x95"]
    assert len(places) == 5

    lies = [(at, lambda size: size + 1) for at in places] + [(at, lambda size: 1 << 40) for at in places]
    in_a_name = data.index(b"stem.weight") + 3
    for at, lie in [*lies, (places[3], lambda size: in_a_name - places[3] - 11)]:
        size = lie(int.from_bytes(data[at + 3 : at + 11], "little"))
        with pytest.raises(CheckpointError):
            read_bytes(data[: at + 3] + size.to_bytes(8, "little") + data[at + 11 :])


def test_tensors_that_lived_on_a_gpu_are_read(small_file, container):
    """Where a storage lived does not matter: a CUDA location gives the same tensors."""
    if container == "legacy":
        data = small_file.read_bytes().replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
        data = data.replace(b"ctorch\nFloatStorage", b"ctorch.cuda\nFloatStorage")
        assert data != small_file.read_bytes()
    else:
        data = small_file.read_bytes()
    assert same(read_as_torch(data), small_state())


def test_a_cut_file_is_refused_at_every_byte(small_file):
    """No beginning of a file is taken for the file."""
    data = small_file.read_bytes()
    for length in range(len(data)):
        with pytest.raises(CheckpointError):
            read_bytes(data[:length])


def test_a_longer_file_is_refused(small_file):
    """A tail belongs to nothing, so it is refused."""
    for tail in (b"\0", b"PK", small_file.read_bytes()):
        with pytest.raises(CheckpointError):
            read_bytes(small_file.read_bytes() + tail)


@pytest.mark.slow
def test_every_flipped_bit_of_a_zip_is_refused(tmp_path):
    """Checksums, double headers and fixed padding leave no bit of a zip container unguarded."""
    data = save({"w": torch.arange(3.0)}, tmp_path / "a.pth", "zip").read_bytes()
    passed = [bit for bit in range(8 * len(data)) if not refused(flip(data, bit))]

    assert passed == []


def test_a_flipped_bit_of_a_legacy_file_is_refused_or_changes_what_is_read(tmp_path):
    """The legacy container has no checksum: a flip can change a value or a name, but breaks nothing.

    The test keeps that limit in sight: some flips do pass, and only a digest finds them.
    """
    data = save({"w": torch.arange(3.0)}, tmp_path / "a.pth", "legacy").read_bytes()
    passed = [bit for bit in range(8 * len(data)) if not refused(flip(data, bit))]

    assert 0 < len(passed) < len(data) * 8 * 0.6
    assert {bit // 8 for bit in passed} >= set(range(len(data) - 12, len(data)))


def flip(data, bit):
    """Give the bytes with one bit turned."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def refused(data):
    """Say whether the reader refuses; any other exception fails the test."""
    try:
        read_bytes(data)
    except CheckpointError:
        return True
    return False


def rezip(file, change, kind=zipfile.ZIP_STORED):
    """Write a torch archive anew with one thing changed."""
    records = {info.filename: zipfile.ZipFile(file).read(info) for info in zipfile.ZipFile(file).infolist()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, body in change(records).items():
            info = zipfile.ZipInfo(name)
            info.create_system = info.create_version = 0
            archive.writestr(info, body, compress_type=kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda r: r, {"kind": zipfile.ZIP_DEFLATED}, "compressed"),
        (lambda r: r | {"small/code/x.py": b"1"}, {}, "TorchScript"),
        (lambda r: r | {"small/constants.pkl": b"1"}, {}, "TorchScript"),
        (lambda r: {k: v for k, v in r.items() if "pkl" not in k}, {}, "flags or attributes|no data.pkl"),
    ],
)
def test_an_archive_that_torch_did_not_write_is_refused(change, options, message, tmp_path):
    """Compression, programs and missing parts are refused by name."""
    file = save(small_state(), tmp_path / "small.pth", "zip")

    with pytest.raises(CheckpointError, match=message):
        read_bytes(rezip(file, change, **options))


def test_a_zip_bomb_takes_no_memory(tmp_path):
    """A record that would unpack to gigabytes is refused before anything is unpacked."""
    file = save(small_state(), tmp_path / "small.pth", "zip")
    bomb = rezip(file, lambda r: r | {"small/data/0": bytes(50_000_000)}, kind=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 200_000

    with pytest.raises(CheckpointError, match="compressed"):
        read_bytes(bomb)


def test_a_real_torchscript_archive_is_refused_by_name(tmp_path):
    """What torch.jit.save would write is a program; a genuine archive of that layout is named as one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/code/__torch__.py", "op_version_set = 1")
        archive.writestr("model/data.pkl", b"\x80\x02.")
        archive.writestr("model/constants.pkl", b"\x80\x02).")

    with pytest.raises(CheckpointError, match="TorchScript"):
        read_bytes(buffer.getvalue())


def make_tar():
    """Make a tar archive with the name that torch's oldest format begins with."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (make_tar(), "tar archive"),
        (b"<!DOCTYPE html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"\x80\x04}.", "not one of torch's containers"),
        (b"hello", "neither a torch checkpoint nor a safetensors file"),
    ],
)
def test_a_stranger_is_called_by_its_name(data, message):
    """What is no checkpoint at all is recognised, so the message says what it is."""
    with pytest.raises(CheckpointError, match=message):
        read_bytes(data)


def legacy_parts(data):
    """Split a legacy file into the bytes before the storages' keys list and the rest, by its known key."""
    at = data.rindex(b"\x80\x02]")
    return data[:at], data[at:]


@pytest.mark.parametrize(
    ("lie", "message"),
    [
        (lambda d: d[:-20] + struct.pack("<q", 4) + d[-12:], "its tensors say 3"),
        (lambda d: d[:-20] + struct.pack("<q", -1) + d[-12:], "its tensors say 3"),
        (
            lambda d: d.replace(b"K\x03tq\x05" if b"K\x03tq\x05" in d else b"K\x03N", b"K\x7fN"),
            "127|cut|sense",
        ),
        (lambda d: legacy_parts(d)[0] + b"\x80\x02]q\x00." + d[-20:], "list of storages"),
        (lambda d: legacy_parts(d)[0] + b"\x80\x02K\x01." + d[-20:], "list of storages"),
        (lambda d: d.replace(b"little_endianq\x02\x88", b"little_endianq\x02\x89"), "little-endian"),
        (lambda d: d.replace(b"M\xe9\x03.", b"M\xea\x03.", 1), "does not begin"),
    ],
)
def test_a_legacy_file_that_contradicts_itself_is_refused(lie, message, tmp_path):
    """Counts, keys and facts that do not agree with one another are refused."""
    data = save({"w": torch.arange(3.0)}, tmp_path / "a.pth", "legacy").read_bytes()
    assert lie(data) != data

    with pytest.raises(CheckpointError, match=message):
        read_bytes(lie(data))


def test_every_name_that_safetensors_can_hold_is_kept(container, tmp_path):
    """Whatever a state dict calls its tensors, the file is the one that safetensors writes of them."""
    names = [
        "a-b",
        "blocks/0/w:0",
        "w[0]",
        "重み",
        "a b",
        "\U0001f600",
        'q"\\',
        "metadata__",
        "x" * 1024,
        "a\u202e",
    ]
    state, out = (
        {name: torch.full((2,), float(at)) for at, name in enumerate(names)},
        tmp_path / "b.safetensors",
    )
    receipt = convert_checkpoint(save(state, tmp_path / "a.pth", container), out)

    assert {line.name for line in receipt.tensors} == set(names)
    assert read_receipt(receipt_of(out)) == receipt
    save_file(state, tmp_path / "theirs", metadata={"format": "pt"})
    assert out.read_bytes() == (tmp_path / "theirs").read_bytes()
    assert {name: value.tolist() for name, value in load_file(out).items()} == {
        name: value.tolist() for name, value in read_tensors(out).items()
    }


def test_names_that_no_file_can_hold_and_too_many_are_refused(container, tmp_path):
    """What safetensors calls its metadata, an empty or endless name, and characters that no text has."""
    for state, message in (
        ({"__metadata__": torch.ones(1)}, "'__metadata__'"),
        ({"module.__metadata__": torch.ones(1)}, "'__metadata__'"),
        ({"": torch.ones(1)}, "tensor name ''"),
        ({"x" * 1025: torch.ones(1)}, "1 to 1024 characters"),
        ({"a\x1b[2J": torch.ones(1)}, r"control"),
        ({"a\x9b": torch.ones(1)}, r"control"),
        ({"a\ud800": torch.ones(1)}, r"tensor name 'a\\ud800'"),
        ({f"w.{i}": torch.ones(0) for i in range(10_001)}, "10001 tensors"),
    ):
        with pytest.raises(CheckpointError, match=message):
            read_bytes(save(state, tmp_path / "file.pth", container).read_bytes())
    with pytest.raises(ValueError, match="__metadata__"):
        render_header([TensorSpec(name="__metadata__", dtype="float32", shape=(1,))])


def test_what_nobody_could_read_again_is_not_written(tmp_path):
    """Names that are each allowed, and together longer than a header or a receipt may be, are refused."""
    for letter, message in (("\U0001f600", "header"), ("é", "receipt")):
        state = {f"{at}{letter * 1000}": torch.ones(0) for at in range(3000)}
        with pytest.raises(CheckpointError, match=message):
            convert_checkpoint(save(state, tmp_path / "a.pth", "zip"), tmp_path / "b.safetensors")
        assert names_in(tmp_path) == ["a.pth"]


def test_a_tensor_that_repeats_its_items_without_end_is_refused(container, tmp_path):
    """A few bytes may not become gigabytes."""
    state = {"w": torch.zeros(1).expand(1 << 30)}

    with pytest.raises(CheckpointError, match="far more than the file has"):
        read_bytes(save(state, tmp_path / "file.pth", container).read_bytes())
