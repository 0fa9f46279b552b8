"""What a file claims beside its numbers: place, strides, variances, name, digest; each lie is told."""

import pytest
import torch
from checkpoints import names_in, read_bytes, save, small_state
from safetensors.torch import save_file

from rexnet_hub.cli import main
from rexnet_hub.errors import CheckpointError, StateDictError, UsageError
from rexnet_hub.nets.state_dict import require_tensors
from rexnet_hub.weights.convert import convert_checkpoint
from rexnet_hub.weights.digest import digest_file
from rexnet_hub.weights.safetensors_file import read_tensors


def at_place(data, place):
    """Say of every storage of a legacy file that it lived there."""
    cpu = b"X\x03\x00\x00\x00cpu"
    assert cpu in data
    return data.replace(cpu, b"X" + len(place).to_bytes(4, "little") + place.encode())


@pytest.mark.parametrize("place", ["cpu", "cuda:0", "cuda:15", "mps", "xpu:1", "npu:0", "xla:0"])
def test_a_storage_may_have_lived_on_any_device(place, tmp_path):
    """Its numbers lie in the file in the same way, whatever machine wrote it."""
    data = save(small_state(), tmp_path / "a.pth", "legacy").read_bytes()

    assert [tensor.name for tensor in read_bytes(at_place(data, place)).tensors] == list(small_state())


@pytest.mark.parametrize(
    "place", ["", "meta", "cpt", "cpu:", "cuda:x", "/etc/passwd", "https://a.example", "cpu\n"]
)
def test_a_storage_that_lived_on_no_device_is_refused(place, tmp_path):
    """So does torch refuse such a place; on `meta` there are no numbers at all."""
    data = save(small_state(), tmp_path / "a.pth", "legacy").read_bytes()

    with pytest.raises(CheckpointError, match="no device with data"):
        read_bytes(at_place(data, place))


def test_a_place_that_is_no_text_is_refused(tmp_path):
    """A number where the place should be is a contradiction of the format."""
    data = save({"w": torch.ones(2)}, tmp_path / "a.pth", "legacy").read_bytes()
    changed = data.replace(b"X\x03\x00\x00\x00cpuq\x06", b"K\x03q\x06")
    assert changed != data

    with pytest.raises(CheckpointError, match="makes no sense"):
        read_bytes(changed)


BASE = torch.arange(24.0).reshape(2, 3, 4)
SOUND_VIEWS = {
    "repeated": BASE[:1, :1, :1].expand(5, 6, 7),
    "repeated rows": BASE[0].expand(3, 3, 4),
    "turned": BASE.permute(2, 0, 1),
    "steps": BASE[:, ::2, 1::2],
    "diagonal": BASE.diagonal(dim1=1, dim2=2),
    "diagonal of the outer": BASE.diagonal(dim1=0, dim2=1),
    "windows side by side": BASE.flatten().unfold(0, 3, 3),
    "channels last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "one of one": torch.as_strided(BASE, (1, 3, 1), (1, 1, 9)),
    "nothing": torch.as_strided(BASE, (0, 3, 3), (1, 1, 1)),
}
OVERLAPPING_VIEWS = {
    "rows that overlap": torch.as_strided(BASE, (3, 3), (1, 1)),
    "windows that overlap": BASE.flatten().unfold(0, 4, 2),
    "three axes": torch.as_strided(BASE, (2, 3, 4), (6, 3, 1)),
}


def test_views_whose_items_are_apart_or_repeated_are_written_as_torch_loads_them(container, tmp_path):
    """Slices, turns, diagonals, and what `expand` repeats along an axis: bit for bit."""
    file = save(SOUND_VIEWS, tmp_path / "a.pth", container)
    state = {name.replace(" ", "_"): view for name, view in SOUND_VIEWS.items()}
    convert_checkpoint(save(state, file, container), tmp_path / "out")

    found, expected = read_tensors(tmp_path / "out"), torch.load(file, weights_only=True)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("which", list(OVERLAPPING_VIEWS))
def test_strides_that_let_items_overlap_are_refused(which, container, tmp_path):
    """No layer's weight is made so; a wrong stride is. The message says how to save it if it is meant."""
    file = save({"w": OVERLAPPING_VIEWS[which]}, tmp_path / "a.pth", container)

    with pytest.raises(
        CheckpointError, match=r"tensor w: its stride .* lets items overlap; .*contiguous\(\)"
    ):
        convert_checkpoint(file, tmp_path / "out")
    convert_checkpoint(save({"w": OVERLAPPING_VIEWS[which].contiguous()}, file, container), tmp_path / "out")


def batch_norm(variance, dtype=torch.float32):
    """Make the state of a network with one batch norm."""
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 1), torch.nn.BatchNorm2d(3)).to(dtype)
    net.load_state_dict(net.state_dict() | {"1.running_var": torch.tensor(variance)})
    return net


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("compared", [False, True])
def test_a_negative_variance_is_refused_unless_allowed(compared, dtype, container, tmp_path):
    """No data has it, and the network's output is NaN: refused by name, with a network and without."""
    net = batch_norm([1.0, -0.5, 2.0], dtype)
    assert net.eval()(torch.ones(1, 1, 2, 2, dtype=dtype)).isnan().any()
    state = net.state_dict()
    file = save(state, tmp_path / "a.pth", container)
    table = {name: (str(value.dtype)[6:], tuple(value.shape)) for name, value in state.items()}
    expected = table if compared else None

    with pytest.raises(CheckpointError, match=r"negative variance .* in 1.running_var \(1\)"):
        convert_checkpoint(file, tmp_path / "out", expected=expected)
    assert names_in(tmp_path) == ["a.pth"]
    convert_checkpoint(file, tmp_path / "out", expected=expected, allow_nonfinite=True)
    assert torch.equal(read_tensors(tmp_path / "out")["1.running_var"], state["1.running_var"])


def test_a_variance_of_zero_and_other_negative_numbers_pass(container, tmp_path):
    """Zero of either sign is a variance; a mean, or a counter that is called so, may be what it is."""
    state = batch_norm([0.0, -0.0, 1e-30]).state_dict()
    state["1.running_mean"] -= 5
    state["2.running_var"] = torch.tensor([-1, 1])
    convert_checkpoint(save(state, tmp_path / "a.pth", container), tmp_path / "out")

    assert torch.equal(read_tensors(tmp_path / "out")["1.running_var"], state["1.running_var"])


@pytest.mark.parametrize("name", ["model.safetensors", "MODEL.SafeTensors"])
def test_a_pickle_named_safetensors_is_refused(name, container, tmp_path):
    """The name promises a file that can run nothing, and who believes it hands the pickle on."""
    file = save(small_state(), tmp_path / name, container)

    with pytest.raises(CheckpointError, match="is a pickle of torch's, though its name says"):
        convert_checkpoint(file, tmp_path / "out")


@pytest.mark.parametrize("name", ["model.pth", "model.bin", "model"])
def test_safetensors_under_another_name_are_read_by_their_bytes(name, tmp_path):
    """The other way round nothing is promised that is not kept; the receipt says which format it was."""
    save_file(dict(small_state()), tmp_path / name)

    assert convert_checkpoint(tmp_path / name, tmp_path / "out").source.format == "safetensors"


@pytest.mark.parametrize("digest", ["1b4dddf4", "0" * 63, "0" * 65, "g" * 64, "0" * 64 + "\n"])
def test_a_digest_that_is_not_whole_is_misuse(digest, small_file, tmp_path, capsys):
    """Fewer digits prove nothing, so they are not taken for a check, by the function or the command."""
    with pytest.raises(UsageError, match="not 64 hexadecimal digits"):
        convert_checkpoint(small_file, tmp_path / "out", sha256=digest)
    assert main(["convert", str(small_file), f"--sha256={digest}"]) == 2
    assert "64 hexadecimal digits" in capsys.readouterr().err
    assert names_in(tmp_path) == ["small.pth"]


def test_the_command_holds_a_file_to_the_stated_digest(small_file, tmp_path, capsys):
    """The right one converts, in capitals too; another is refused with both, and nothing is written."""
    digest = digest_file(small_file).sha256
    assert main(["convert", str(small_file), "--sha256", "0" * 64]) == 1
    assert digest in capsys.readouterr().err
    assert names_in(tmp_path) == ["small.pth"]

    assert main(["convert", str(small_file), "--sha256", digest.upper()]) == 0
    assert (tmp_path / "small.safetensors").is_file()


@pytest.mark.slow
def test_a_flip_is_found_by_a_stated_digest_whatever_the_container(small_file, tmp_path):
    """Every one of the bits of the pickle and the numbers, of a small file: none is converted."""
    digest, data = digest_file(small_file).sha256, bytearray(small_file.read_bytes())
    for at in range(0, len(data), 7):
        data[at] ^= 1
        small_file.write_bytes(data)
        assert main(["convert", str(small_file), "--sha256", digest]) == 1
        data[at] ^= 1
    assert names_in(tmp_path) == ["small.pth"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_float32_is_named_where_another_float_stops_a_comparison(dtype, container, tmp_path, capsys):
    """Half-precision weights are of this model: the message says what converts them, and that does."""
    net = torch.nn.Linear(3, 2)
    expected = {name: ("float32", tuple(value.shape)) for name, value in net.state_dict().items()}
    file = save(net.to(dtype).state_dict(), tmp_path / "a.pth", container)

    with pytest.raises(StateDictError, match=r"Convert with --float32 \(as_float32=True\)") as caught:
        convert_checkpoint(file, tmp_path / "out", expected=expected)
    assert "another model" not in str(caught.value)
    convert_checkpoint(file, tmp_path / "out", expected=expected, as_float32=True)


def test_float32_is_not_named_where_it_would_not_help():
    """Another shape or a whole number is asked about as before; both questions where both stand."""
    expected = {"a": ("float32", (2,)), "b": ("float32", (2,))}
    for found, words in (
        ({"a": ("float16", (3,)), "b": ("float32", (2,))}, ["another model"]),
        ({"a": ("int8", (2,)), "b": ("float32", (2,))}, ["another model"]),
        ({"a": ("float16", (2,))}, ["makes float32 of 1.", "another model"]),
    ):
        with pytest.raises(StateDictError) as caught:
            require_tensors(found, expected)
        said = [word for word in ("makes float32 of 1.", "another model") if word in str(caught.value)]
        assert said == words
