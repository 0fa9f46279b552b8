"""Safetensors: our layout is the library's, our reader refuses what the format does not promise."""

import hashlib
import json
import struct

import pytest
import torch
from checkpoints import as_source, read_bytes
from safetensors.torch import load_file
from safetensors.torch import save as save_safetensors

from rexnet_hub.errors import CheckpointError, FileProblem, MismatchError
from rexnet_hub.identity import gather
from rexnet_hub.weights.dtypes import DTYPES
from rexnet_hub.weights.safetensors_file import (
    TensorSpec,
    canonical_order,
    read_tensors,
    render_header,
)


def make(header, data=b"", pad=0):
    """Make a file from a header, given as text or as an object, and its data."""
    text = header if isinstance(header, str) else json.dumps(header, separators=(",", ":"))
    body = text.encode() + b" " * pad
    return struct.pack("<Q", len(body)) + body + data


def one(**changes):
    """Make a header of one tensor of four bytes, with changed fields; None takes a field away."""
    fields = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | changes
    return {"a": {name: value for name, value in fields.items() if value is not None}}


def the_library_knows(name):
    """Say whether the safetensors that is installed writes this dtype; the newest writes all of ours."""
    try:
        return bool(save_safetensors({"a": torch.zeros(1, dtype=getattr(torch, name))}))
    except KeyError:
        return False


@pytest.mark.parametrize("seed", range(20))
def test_the_header_is_the_one_the_library_writes(seed):
    """Any mix of dtypes and names is laid out byte for byte as safetensors lays it out."""
    torch.manual_seed(seed)
    kinds = [name for name in DTYPES if the_library_knows(name)]
    assert len(kinds) >= 13
    state = {}
    for index in torch.randperm(40).tolist():
        dtype = getattr(torch, kinds[int(torch.randint(len(kinds), ()))])
        shape = torch.randint(0, 4, (int(torch.randint(0, 4, ())),)).tolist()
        state[f"l{index}.w_{index % 7}"] = torch.zeros(shape, dtype=dtype)
    specs = [TensorSpec(name=k, dtype=str(v.dtype)[6:], shape=tuple(v.shape)) for k, v in state.items()]
    header = render_header(canonical_order(specs))

    expected = save_safetensors(state, metadata={"format": "pt"})
    assert header == expected[: len(header)]
    assert len(expected) == len(header) + sum(spec.size_bytes for spec in specs)


GOOD = make(one(), b"\0\0\x80?")
LIES = {
    "header of 2**63 bytes": struct.pack("<Q", 1 << 63) + GOOD[8:],
    "header longer than the file": struct.pack("<Q", len(GOOD)) + GOOD[8:],
    "header of one byte": struct.pack("<Q", 1) + b"{" + GOOD[9:],
    "no data": make(one()),
    "a tail": GOOD + b"\0",
    "a key twice": make('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' * 2 + '"b":1}', b"1234"),
    "a field twice": make('{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', b"1234"),
    "an unknown field": make(one(more=1), b"1234"),
    "a missing field": make(one(shape=None), b"1234"),
    "an unknown dtype": make(one(dtype="F128"), b"1234"),
    "a dtype that is a list": make(one(dtype=["F32"]), b"1234"),
    "a negative size": make(one(shape=[-1]), b"1234"),
    "a size that is a float": make(one(shape=[1.0]), b"1234"),
    "a size that is true": make(one(shape=[True]), b"1234"),
    "a size that overflows": make(one(shape=[1 << 62, 4]), b"1234"),
    "a shape of too many axes": make(one(shape=[1] * 65), b"1234"),
    "a shape that is too large": make(one(shape=[2]), b"1234"),
    "offsets backwards": make(one(data_offsets=[4, 0]), b"1234"),
    "one offset": make(one(data_offsets=[0]), b"1234"),
    "a hole at the start": make(one(data_offsets=[4, 8]), b"12345678"),
    "an overlap": make(one() | {"b": one(data_offsets=[2, 6])["a"]}, b"123456"),
    "a hole between": make(one() | {"b": one(data_offsets=[8, 12])["a"]}, b"1" * 12),
    "the same bytes twice": make(one() | {"b": one()["a"]}, b"1234"),
    "metadata that is no text": make(one() | {"__metadata__": {"format": 1}}, b"1234"),
    "metadata that is a list": make(one() | {"__metadata__": []}, b"1234"),
    "a name with a control character": make({"a\n": one()["a"]}, b"1234"),
    "an empty name": make({"": one()["a"]}, b"1234"),
    "no tensor": make({"__metadata__": {}}),
    "an empty header": make("{}"),
    "a list as header": make("[]"),
    "not a number": make('{"a":NaN}'),
    "a number of five thousand digits": make('{"a":' + "1" * 5000 + "}"),
    "nested without end": make('{"a":' * 100_000),
    "half a surrogate": make('{"\\ud800":{}}'),
    "no UTF-8": struct.pack("<Q", 4) + b'{"\xff"',
    "a space before": make(" " + json.dumps(one()), b"1234"),
    "a newline behind": make(json.dumps(one()) + "\n", b"1234"),
    "text behind": make(json.dumps(one()) + " x", b"1234"),
    "a header of sixteen megabytes": make(one(), b"1234", pad=16 << 20),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused(lie, tmp_path):
    """Each rule of the format, broken by itself, is refused before a tensor is made."""
    file = tmp_path / "file.safetensors"
    file.write_bytes(LIES[lie])

    with pytest.raises(CheckpointError):
        read_bytes(LIES[lie])
    with pytest.raises(CheckpointError):
        read_tensors(file)


def test_the_file_that_the_lies_are_made_from_is_good(tmp_path):
    """What is refused above is refused for its lie: without one the file is read."""
    (tmp_path / "a").write_bytes(GOOD)

    assert read_tensors(tmp_path / "a")["a"].item() == 1.0


def test_metadata_survives_and_order_is_that_of_the_bytes():
    """Metadata is handed out as it stands; tensors come in the order of their data."""
    header = {"__metadata__": {"format": "pt", "note": "ü"}, "b": one(data_offsets=[4, 8])["a"], **one()}
    manifest = read_bytes(make(header, bytes(8), pad=3))

    assert dict(manifest.metadata) == {"format": "pt", "note": "ü"}
    assert [tensor.name for tensor in manifest.tensors] == ["a", "b"]


@pytest.mark.parametrize("seed", range(20))
def test_tensors_are_those_that_the_library_reads(seed, tmp_path):
    """Every dtype, empty and 0-d tensors, and misaligned data come out as safetensors gives them."""
    torch.manual_seed(seed)
    state = {}
    for index, name in enumerate(name for name in DTYPES if hasattr(torch, name)):
        shape = torch.randint(0, 5, (int(torch.randint(0, 4, ())),)).tolist()
        state[f"t{index}"] = torch.randint(0, 2, shape).to(getattr(torch, name))
    data = save_safetensors(state, metadata={"format": "pt"})
    if seed % 2:  # the same header, padded so that the data begins on an odd byte
        length = int.from_bytes(data[:8], "little")
        data = struct.pack("<Q", length + 1) + data[8 : 8 + length] + b" " + data[8 + length :]
    (tmp_path / "a").write_bytes(data)

    found, expected = read_tensors(tmp_path / "a"), load_file(tmp_path / "a")

    assert found.keys() == expected.keys()
    assert all(found[k].dtype == expected[k].dtype and torch.equal(found[k], expected[k]) for k in expected)
    assert all(found[k].shape == expected[k].shape for k in expected)


def test_misaligned_tensors_are_read(tmp_path):
    """A file whose tensors do not lie on multiples of their item size is valid and is read."""
    header = {"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}, "b": one(data_offsets=[1, 5])["a"]}
    (tmp_path / "a").write_bytes(make(header, b"\x07\0\0\x80?"))

    found = read_tensors(tmp_path / "a")

    assert (found["a"].item(), found["b"].item()) == (7, 1.0)


def test_with_a_digest_every_flipped_bit_is_refused(tmp_path):
    """One bit anywhere, in header or data, and the file is not handed out."""
    data = save_safetensors({"w": torch.arange(3.0)}, metadata={"format": "pt"})
    file, digest = tmp_path / "a", hashlib.sha256(data).hexdigest()
    file.write_bytes(data)
    assert read_tensors(file, identity=gather("the caller", digest))["w"].tolist() == [0, 1, 2]

    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        file.write_bytes(changed)
        with pytest.raises((CheckpointError, MismatchError)):
            read_tensors(file, identity=gather("the caller", digest))


def test_what_was_read_does_not_change_with_the_file(tmp_path):
    """The tensors are private: writing to the file afterwards does not reach them."""
    file = tmp_path / "a"
    file.write_bytes(GOOD)
    found = read_tensors(file)
    with file.open("r+b") as stream:
        stream.seek(-4, 2)
        stream.write(b"\xff\xff\xff\xff")

    assert found["a"].item() == 1.0


def test_tensors_are_read_into_those_that_can_hold_them(tmp_path):
    """One of another dtype, shape, stride or device, or none, is left alone, and new memory is taken."""
    expected = {name: torch.rand(3, 3) for name in "abcdef"} | {"n": torch.tensor(7)}
    (tmp_path / "a").write_bytes(save_safetensors(expected))
    strange = [torch.zeros(3, 3, dtype=torch.int32), torch.zeros(9), torch.zeros(3, 3).T]
    own = {"n": torch.tensor(0), "a": torch.zeros(3, 3)} | dict(zip("bcd", strange, strict=True))
    own["e"] = torch.zeros(3, 3, device="meta")

    found = read_tensors(tmp_path / "a", into=own)

    assert {name for name, tensor in found.items() if own.get(name) is tensor} == {"n", "a"}
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert not any(tensor.any() for tensor in strange)


def test_a_folder_a_pipe_and_nothing_are_problems_of_the_file(tmp_path):
    """What is no regular file is told apart from a bad one, and a pipe is not waited for."""
    import os

    os.mkfifo(tmp_path / "pipe")
    for name, words in (
        ("", "regular|Is a directory"),
        ("pipe", "not a regular file"),
        ("none", "No such file"),
    ):
        with pytest.raises(FileProblem, match=words):
            read_tensors(tmp_path / name if name else tmp_path)


def test_a_cut_file_is_refused_at_every_byte():
    """No beginning of a file is taken for the file."""
    data = save_safetensors({"w": torch.arange(3.0), "n": torch.tensor(1)}, metadata={"format": "pt"})
    for length in range(len(data)):
        with pytest.raises(CheckpointError):
            read_bytes(data[:length])


def test_a_wrapper_of_a_safetensors_file_makes_no_sense():
    """A safetensors file has no outer dict, so naming one is refused."""
    with as_source(GOOD), pytest.raises(CheckpointError, match="nothing under"):
        read_bytes(GOOD, wrapper="model")
