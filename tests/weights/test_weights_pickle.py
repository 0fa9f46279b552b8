"""No pickle runs: what would run a program is refused, listed, and never carried out."""

import argparse
import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile

import pytest
import torch
from checkpoints import as_source, read_bytes, save, small_state

from rexnet_hub.errors import CheckpointError
from rexnet_hub.layout import PACKAGE_DIR
from rexnet_hub.weights.checkpoint.legacy import MAGIC_NUMBER, PROTOCOL_VERSION
from rexnet_hub.weights.checkpoint.pickle_reader import read_pickle


class Call:
    """Pickles to a call of `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def raw_call(opcodes):
    """Wrap opcodes as a pickle."""
    return b"\x80\x02" + opcodes + b"."


def hostile_pickles(marker):
    """Pickles that would write `marker` if anybody ran them, one a way of running."""
    touch = f"touch {marker}"
    text = touch.encode()
    name = b"X" + struct.pack("<I", len(text)) + text
    code = f"open({str(marker)!r}, 'w')"
    return {
        "os.system": pickle.dumps(Call(os.system, touch), 2),
        "builtins.exec": pickle.dumps(Call(exec, code), 2),
        "builtins.eval": pickle.dumps(Call(eval, code), 2),
        "subprocess.Popen": pickle.dumps(Call(subprocess.Popen, ["touch", str(marker)]), 2),
        "builtins.open": pickle.dumps(Call(open, str(marker), "w"), 2),
        "inside a tensor's dict": pickle.dumps({"w": Call(os.system, touch)}, 2),
        "a protocol-4 name": pickle.dumps(Call(os.system, touch), 4),
        "an old instance": raw_call(b"(" + name + b"iposix\nsystem\n"),
        "an old object": raw_call(b"(cposix\nsystem\n" + name + b"o"),
        "a new object": raw_call(b"cbuiltins\nopen\n" + name + b"X\x01\x00\x00\x00w\x86\x81"),
        "a state": raw_call(b"ccodeop\nCommandCompiler\n)R}X\x04\x00\x00\x00codeX\x01\x00\x00\x001sb"),
        "an attribute walk": raw_call(b"cbuiltins\ngetattr\ncos\npath\nX\x02\x00\x00\x00os\x86R"),
        "torch.load itself": pickle.dumps(Call(torch.load, str(marker)), 2),
        "an extension": raw_call(b"\x82\x01" + name + b"\x85R"),
    }


def in_legacy(body):
    """Put a pickle where a legacy file has its object."""
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    head = b"".join(pickle.dumps(thing, 2) for thing in (MAGIC_NUMBER, PROTOCOL_VERSION, facts))
    return head + body + pickle.dumps([], 2)


def in_zip(body):
    """Put a pickle into an archive as torch would, by letting torch's own writer do it."""
    buffer = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(buffer)
    writer.write_record("data.pkl", body, len(body))
    writer.write_record("byteorder", b"little", 6)
    writer.write_end_of_file()
    return buffer.getvalue()


@pytest.mark.parametrize("wrap", [in_legacy, in_zip])
@pytest.mark.parametrize("way", list(hostile_pickles("m")))
def test_a_pickle_that_would_run_code_does_not(way, wrap, tmp_path):
    """Each way of running code from a pickle is refused, and its marker is never written."""
    marker = tmp_path / "marker"

    with pytest.raises(CheckpointError):
        read_bytes(wrap(hostile_pickles(marker)[way]))
    assert not marker.exists()


def test_foreign_names_are_all_listed_with_what_to_do(container, tmp_path):
    """The refusal lists what a pickle names, once each, and says how to save it better."""
    body = pickle.dumps({"a": Call(os.system, "x"), "b": Call(eval, "1"), "c": Call(os.system, "y")}, 2)

    with pytest.raises(CheckpointError) as caught:
        read_bytes((in_zip if container == "zip" else in_legacy)(body))
    assert caught.value.problem.count("posix.system") == 1
    assert "eval" in caught.value.problem
    assert "torch.save(model.state_dict(), file)" in caught.value.problem
    assert "\n" not in str(caught.value)


def test_more_foreign_names_than_ten_are_counted():
    """A hostile list of names cannot flood the message."""
    body = raw_call(b"(" + b"".join(b"cos\nname%d\n" % i for i in range(1000)) + b"t")

    with pytest.raises(CheckpointError, match="990 more"):
        read_bytes(in_legacy(body))


def beside_tensors(body):
    """Put a hostile pickle's value beside a good state dict, as `args` of a training checkpoint."""
    value = body[body[:1] == b"\x80" and 2 :].removesuffix(b".")
    if value[:1] == b"\x95":
        value = value[9:]  # without its frame, which would have another size
    name, tensors = b"X\x05\x00\x00\x00model", b"X\x01\x00\x00\x00w" + EMPTY_TENSOR
    return b"\x80\x02}(" + name + b"}" + tensors + b"s" + b"X\x04\x00\x00\x00args" + value + b"u."


EMPTY_TENSOR = (
    b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
    b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x00tQK\x00K\x00\x85K\x01\x85\x89}tR"
)


def in_legacy_with_storage(body):
    """Put a pickle that has one empty storage where a legacy file has its object."""
    return in_legacy(body)[: -len(pickle.dumps([], 2))] + pickle.dumps(["0"], 2) + bytes(8)


def test_a_good_value_beside_tensors_is_walked_past():
    """The file that the next test makes hostile is good without that."""
    manifest = read_bytes(in_legacy_with_storage(beside_tensors(pickle.dumps(Call(Data, 1), 2))))

    assert manifest.left_out == (f"args ({__name__}.Data)",)
    assert [tensor.name for tensor in manifest.tensors] == ["w"]


class Data:
    """A class of somebody's program; making one of it fails the test."""

    def __init__(self, *arguments):
        raise AssertionError("somebody made one")


@pytest.mark.parametrize("way", list(hostile_pickles("m")))
def test_a_program_beside_tensors_refuses_the_file(way, tmp_path):
    """No good tensors buy a program its way in."""
    marker = tmp_path / "marker"
    data = in_legacy_with_storage(beside_tensors(hostile_pickles(marker)[way]))

    with pytest.raises(CheckpointError, match=r"what runs programs|opcode"):
        read_bytes(data)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("posix", "system"),
        ("nt", "system"),
        ("__builtin__", "eval"),
        ("__builtin__", "apply"),
        ("commands", "getoutput"),
        ("torch.serialization", "os.system"),
        ("argparse", "Namespace.__init__.__globals__"),
        ("runpy", "run_path"),
        ("ctypes", "CDLL"),
        ("types", "CodeType"),
        ("cloudpickle.cloudpickle", "_make_function"),
        ("importlib", "import_module"),
        ("logging.config", "dictConfig"),
        ("functools", "reduce"),
    ],
)
def test_a_name_of_a_program_is_refused_wherever_it_stands(module, name):
    """Names of Python 2, of other systems and behind dots are known, in old and new opcodes."""
    new = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name)) + b"\x93"
    old = f"c{module}\n{name}\n".encode()
    for opcodes in (old, b"(" + old + b"o", old + b")\x81", new):
        with pytest.raises(CheckpointError, match=r"what runs programs, not data: [\w.]+\."):
            read_bytes(in_legacy_with_storage(beside_tensors(raw_call(opcodes))))


@pytest.mark.parametrize(
    "name",
    [
        "torch.load",
        "torch.hub.load",
        "torch.utils.cpp_extension.load_inline",
        "numpy.load",
        "joblib.load",
        "pip.main",
        "requests.get",
        "popen2.popen2",
        "torch.storage._load_from_bytes",
        "somebody.__init_subclass__",
    ],
)
def test_a_call_of_a_function_is_refused_and_its_name_is_not(name):
    """No list says which functions are evil: only builders of data may be called; a name alone is data."""
    module, _, word = name.rpartition(".")
    there = f"c{module}\n{word}\n".encode()
    for call in (there + b")R", b"(" + there + b"o"):
        with pytest.raises(
            CheckpointError, match=rf"programs, not data: {name} \(a function that it calls\)\."
        ):
            read_bytes(in_legacy_with_storage(beside_tensors(raw_call(call))))
    assert read_bytes(in_legacy_with_storage(beside_tensors(raw_call(there)))).left_out == (f"args ({name})",)


@pytest.mark.parametrize("name", ["somebody.Config", "somebody._Mode", "pandas.core.indexes.base._new_Index"])
def test_a_call_of_a_class_or_of_a_builder_of_data_is_walked_past(name):
    """As enumerations and tables of numbers are pickled."""
    module, _, word = name.rpartition(".")
    call = f"c{module}\n{word}\n)R".encode()
    assert read_bytes(in_legacy_with_storage(beside_tensors(raw_call(call)))).left_out == (f"args ({name})",)


def test_what_a_pickle_made_is_not_called(tmp_path):
    """An attribute may be named, as of an enumeration's member; calling it is refused."""
    attribute = b"cbuiltins\ngetattr\ncsomebody\nThing\nX\x03\x00\x00\x00run\x86R"
    assert read_bytes(in_legacy_with_storage(beside_tensors(raw_call(attribute)))).left_out == (
        "args (builtins.getattr)",
    )
    with pytest.raises(CheckpointError, match=r"calls what builtins\.getattr gave it"):
        read_bytes(in_legacy_with_storage(beside_tensors(raw_call(attribute + b")R"))))


MANY = [b"M" + struct.pack("<H", number) for number in range(3000)]


@pytest.mark.parametrize(
    ("large", "copied"),
    [
        (b"](" + b"".join(key + b"N\x86" for key in MANY) + b"e", b"ccollections\nOrderedDict\nh\x00\x85R"),
        (b"](" + b"".join(MANY) + b"e", b"cbuiltins\nset\nh\x00\x85R"),
        (b"}(" + b"".join(key + b"N" for key in MANY) + b"u", b"cm\nC\n)\x81h\x00b"),
    ],
)
def test_few_opcodes_cannot_copy_without_end(large, copied):
    """A dict of pairs, a set and a state that are made of one memo again and again are counted."""
    for times, message in ((300, "holds no tensor"), (400, "copies more than 1000000 items")):
        with pytest.raises(CheckpointError, match=message):
            read_bytes(in_legacy(raw_call(large + b"q\x000" + (copied + b"0") * times + b"}")))


def test_dicts_within_dicts_without_end_are_refused():
    """A dict that holds one dict a thousand times, which holds another a thousand times, is cut off."""
    keys = [b"X\x04\x00\x00\x00%04d" % number for number in range(1000)]
    body = b"}q\x000"
    for depth in range(3):
        within = b"h" + bytes([depth])
        body += b"}(" + b"".join(key + within for key in keys) + b"uq" + bytes([depth + 1]) + b"0"

    with pytest.raises(CheckpointError, match="dicts within dicts"):
        read_bytes(in_legacy(raw_call(body + b"h\x03")))


def test_modules_without_end_are_refused():
    """A module within itself, and modules that share two children each, are cut off."""

    def module(children):
        groups = b"X\x0b\x00\x00\x00_parameters}X\x08\x00\x00\x00_buffers}X\x08\x00\x00\x00_modules}("
        return b"csomebody\nModule\n)\x81q%c}(" + groups + children + b"uub"

    itself = module(b"X\x01\x00\x00\x00ah\x00").replace(b"q%c", b"q\x00")
    doubled = module(b"").replace(b"q%c", b"q\x00")
    for depth in range(1, 60):
        doubled = module(b"X\x01\x00\x00\x00a" + doubled + b"X\x01\x00\x00\x00bh" + bytes([depth - 1]))
        doubled = doubled.replace(b"q%c", b"q" + bytes([depth]))
    for body in (itself, doubled):
        with pytest.raises(CheckpointError, match="no end"):
            read_bytes(in_legacy(raw_call(body)))


@pytest.mark.parametrize(
    "opcodes",
    [
        b"t",  # a tuple without a mark
        b"u",
        b"h\x05",  # a memo that was never put
        b"R",
        b"Q",
        b"K\x01K\x02",  # two values at the end
        b"(K\x01",  # an open mark
        b"}K\x01s",
        b"}]K\x01s",  # an unhashable key
        b"}}K\x01s",  # an unhashable key
        b"cm\nC\n)\x81}b}b",  # a state twice
        b"cm\nC\n)\x81\x93",  # a name of no text
        b"(o",  # an old object of no class
        b"K\x01)\x81",  # an object of no class
        b"\x94",  # nothing to remember
        b"K\x01K\x02a",
        b"ccollections\nOrderedDict\nK\x01R",
        b"ccollections\nOrderedDict\nK\x01\x85R",
        b"ctorch._utils\n_rebuild_tensor_v2\n)R",
        b"ctorch\nFloatStorage\n)R",
        b"X\xff\xff\xff\xffabc",
        b"X\x01\x00\x00\x00\xff",
        b"\x8a\xff\x01",
        b"q",
        b"ctorch",
        b"}X\x01\x00\x00\x00aK\x01X\x01\x00\x00\x00aK\x02" + b"ss",
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000NK\x01K\x01tQ",  # a storage view
        b"(X\x06\x00\x00\x00moduleNNttQ",
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000NJ\xff\xff\xff\xfftQ",
    ],
)
def test_a_pickle_that_makes_no_sense_is_refused(opcodes):
    """Opcodes in an impossible order or with impossible arguments end in a refusal, nothing else."""
    data = raw_call(opcodes)

    with as_source(data) as source, pytest.raises(CheckpointError):
        read_pickle(source, data, 0)


def test_a_tensor_outside_its_storage_is_refused(container, tmp_path):
    """Offset, size and stride that reach past the stored numbers are refused."""
    data = save({"w": torch.arange(3.0)}, tmp_path / "a.pth", "legacy").read_bytes()
    # The tensor's offset 0, then its shape (3,).
    assert data.count(b"QK\x00K\x03\x85") == 1

    for lie in (b"QK\x01K\x03\x85", b"QK\x00K\x04\x85", b"QJ\xff\xff\xff\x7fK\x03\x85"):
        with pytest.raises(CheckpointError, match=r"needs \d+ bytes of record"):
            read_bytes(data.replace(b"QK\x00K\x03\x85", lie))


def test_a_number_that_no_tensor_can_have_is_named(tmp_path):
    """A negative offset, size and stride: the message says which, and what it is."""
    data = save({"w": torch.arange(3.0)}, tmp_path / "a.pth", "legacy").read_bytes()
    start, below = b"QK\x00K\x03\x85", b"J\xff\xff\xff\xff"
    at = data.index(start) + len(start)
    stride = data[at : data.index(b"\x85", at) + 1]
    for lie, message in (
        (data.replace(start, b"Q" + below + b"K\x03\x85"), "an offset of -1"),
        (data.replace(start, b"QK\x00" + below + b"\x85"), "a size of -1"),
        (data[:at] + stride.replace(b"K\x01", below) + data[at + len(stride) :], "a stride of -1"),
    ):
        with pytest.raises(CheckpointError, match=rf"makes no sense at byte \d+: {message}$"):
            read_bytes(lie)


def test_reading_causes_no_event_but_reading():
    """An audit hook sees no import, code, process, socket or opened file while a file is read."""
    script = """
import sys
sys.path.insert(0, sys.argv[1])
import os
from rexnet_hub.weights.checkpoint import pickled
from rexnet_hub.weights.checkpoint.container import list_tensors
from rexnet_hub.weights.digest import ByteSource
from rexnet_hub.errors import CheckpointError
seen = []
sources = []
for file in sys.argv[2:]:
    descriptor = os.open(file, os.O_RDONLY)
    sources.append(ByteSource(name=file, descriptor=descriptor, size_bytes=os.fstat(descriptor).st_size))
sys.addaudithook(lambda event, arguments: seen.append(event))
for source in sources:
    try:
        list_tensors(source)
    except CheckpointError:
        pass
found = sorted(set(seen))
print(found)
"""
    with zipfile.ZipFile(io.BytesIO(in_zip(b"\x80\x02}."))) as archive:
        assert archive.namelist()  # the archives that this test relies on are archives
    names = []
    folder = PACKAGE_DIR.parent
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        for index, body in enumerate(hostile_pickles(f"{place}/marker").values()):
            for wrap in (in_legacy, in_zip):
                names.append(f"{place}/{index}{wrap.__name__}")
                with open(names[-1], "wb") as stream:  # noqa: PTH123
                    stream.write(wrap(body))
        odd = {"model": torch.nn.Sequential(torch.nn.Linear(1, 1)), "args": argparse.Namespace(cls=Data)}
        for protocol in range(6):
            names.append(f"{place}/odd{protocol}")
            torch.save(odd, names[-1], pickle_protocol=protocol)
        for container in ("legacy", "zip"):
            names.append(str(save(small_state(), f"{place}/{container}", container)))
        child = subprocess.run(
            [sys.executable, "-I", "-S", "-c", script, str(folder), *names],
            capture_output=True,
            text=True,
            check=True,
        )
    assert child.stdout.strip() == "[]"
