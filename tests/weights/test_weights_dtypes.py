"""Every kind of number: its odd values are found, negatives counted, and it widens as torch widens it."""

import pytest
import torch
from checkpoints import save
from safetensors.torch import load_file, save_file

from rexnet_hub import witness
from rexnet_hub.errors import CheckpointError
from rexnet_hub.weights.convert import convert_checkpoint
from rexnet_hub.weights.dtypes import DTYPES, count_negative, count_strange, widen_to_float32

# What the installed torch has: the lowest that we support has no float8_e8m0fnu.
KNOWN = [name for name in DTYPES if hasattr(torch, name)]
NARROW = [name for name in KNOWN if DTYPES[name].is_float and DTYPES[name].item_bytes <= 2]


def every_value(name):
    """Make a tensor of all values that a dtype of one or two bytes has, and their bytes."""
    bits = 8 * DTYPES[name].item_bytes
    values = torch.arange(1 << bits, dtype=torch.int64).to(torch.uint8 if bits == 8 else torch.uint16)
    return values.view(getattr(torch, name)).float(), values.numpy().tobytes()


@pytest.mark.parametrize("name", NARROW)
def test_every_value_of_a_narrow_float_is_what_torch_says(name):
    """All 256 or 65,536 values: which are finite, which are negative, what each is in float32."""
    expected, data = every_value(name)
    found = torch.frombuffer(bytearray(widen_to_float32(DTYPES[name], data)), dtype=torch.float32)

    assert torch.equal(found.isnan(), expected.isnan())
    assert torch.equal(found[~found.isnan()], expected[~expected.isnan()])
    assert count_strange(DTYPES[name], data) == int((~expected.isfinite()).sum()) > 0
    negative = count_negative(DTYPES[name], data)
    assert negative == int((expected < 0).sum())
    assert (negative > 0) == (name != "float8_e8m0fnu")  # which has no sign


def test_a_complex_number_is_strange_once_whichever_part_is():
    """Real, imaginary or both not finite: one item; a number with no real part in sight is none."""
    inf, nan = torch.inf, torch.nan
    values = torch.complex(torch.tensor([1, nan, 1, inf]), torch.tensor([0, 0, inf, -inf]))

    assert count_strange(DTYPES["complex64"], values.numpy().tobytes()) == 3
    assert count_negative(DTYPES["complex64"], (-values).numpy().tobytes()) == 0


@pytest.mark.parametrize("name", ["uint8", "int8", "uint16", "uint32", "int64", "uint64"])
def test_a_whole_number_is_never_strange(name):
    """Whatever the bits, an integer is a value."""
    assert count_strange(DTYPES[name], bytes(range(256)) * 8) == 0


@pytest.mark.parametrize("name", KNOWN)
def test_every_dtype_converts_from_both_containers_to_the_library_file(name, container, tmp_path):
    """What safetensors can hold is converted bit for bit, to the bytes that safetensors itself writes."""
    dtype = getattr(torch, name)
    state = {"a.weight": torch.arange(12).reshape(3, 4).to(dtype), "z": torch.arange(3).to(dtype)}
    file = save(state, tmp_path / "a.pth", container)

    receipt = convert_checkpoint(file, tmp_path / "out.safetensors")

    assert {line.source_dtype for line in receipt.tensors} == {name}
    try:
        save_file(state, tmp_path / "oracle", {"format": "pt"})
    except KeyError:  # an older library knows fewer
        return
    assert (tmp_path / "out.safetensors").read_bytes() == (tmp_path / "oracle").read_bytes()


def test_float32_widens_float8_and_leaves_what_is_no_real_float(tmp_path):
    """Asked for float32, float8 becomes it; complex and whole numbers stay what they are."""
    state = {name: torch.arange(5).to(getattr(torch, name)) for name in KNOWN}
    convert_checkpoint(save(state, tmp_path / "a.pth", "zip"), tmp_path / "out", as_float32=True)

    found = load_file(tmp_path / "out")
    for name, value in found.items():
        assert str(value.dtype)[6:] == ("float32" if DTYPES[name].is_float else name)
    assert torch.equal(found["float8_e4m3fn"], torch.arange(5.0))


@pytest.mark.filterwarnings("ignore:ComplexHalf")
@pytest.mark.parametrize("dtype", [torch.complex128, torch.complex32])
def test_a_kind_that_safetensors_cannot_hold_is_named(dtype, container, tmp_path):
    """complex128 and complex32 have no place in a safetensors file."""
    file = save({"w": torch.zeros(2, dtype=torch.complex64).to(dtype)}, tmp_path / "a.pth", container)

    with pytest.raises(CheckpointError, match=r"complex32|ComplexDouble"):
        convert_checkpoint(file, tmp_path / "out")


@pytest.mark.skipif(not hasattr(torch, "float4_e2m1fn_x2"), reason="this torch has no float4")
def test_two_numbers_in_a_byte_are_refused_by_name(tmp_path):
    """No item of float4 has bytes of its own."""
    tensor = torch.zeros(2, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    with pytest.raises(CheckpointError, match=r"'w' \(tensor of torch\.float4_e2m1fn_x2\)"):
        convert_checkpoint(save({"w": tensor}, tmp_path / "a.pth", "zip"), tmp_path / "out")


def test_the_second_reader_knows_the_same_dtypes():
    """`witness.py` shares no line with the converter, so its table is compared here."""
    assert {dtype.code: (dtype.name, dtype.item_bytes) for dtype in DTYPES.values()} == witness.DTYPES
