"""Archives beyond the usual: wide fields (zip64), more than 4 GiB, roots in any script, programs by name."""

import io
import struct
import zipfile
import zlib

import pytest
import torch
from checkpoints import read_bytes

from rexnet_hub.errors import CheckpointError
from rexnet_hub.weights.checkpoint.container import list_tensors
from rexnet_hub.weights.checkpoint.sandbox import list_in_child
from rexnet_hub.weights.digest import MAX_FILE_BYTES, ByteSource, open_source
from rexnet_hub.weights.tensor_bytes import tensor_chunks

NOWHERE = 0xFFFFFFFF


def wide_field(numbers):
    """Make the zip64 field of these numbers."""
    return struct.pack(f"<HH{len(numbers)}Q", 1, 8 * len(numbers), *numbers) if numbers else b""


def archive(records, wide_size=(), wide_place=()):
    """Write records as torch's writer does, the named ones with wide fields as it writes them above 4 GiB."""
    body, directory = b"", b""
    for name, data in records.items():
        path, crc, at = f"archive/{name}".encode(), zlib.crc32(data), len(body)
        field, here = (
            wide_field([len(data), packed] * (name in wide_size) + [at] * (name in wide_place))
            for packed in (len(data), 0)  # in a record's own header torch's writer does not know it yet
        )
        start = at + 30 + len(path) + len(field) + 4
        fill = b"Z" * (-start % 64)
        extra = here + b"FB" + struct.pack("<H", len(fill)) + fill
        shared = struct.pack("<HHHHH", 0, 0x0808, 0, 0, 0)
        body += b"PK\x03\x04" + shared + struct.pack("<IIIHH", 0, 0, 0, len(path), len(extra)) + path + extra
        body += data + b"PK\x07\x08" + struct.pack("<IQQ" if field else "<III", crc, len(data), len(data))
        size = NOWHERE if name in wide_size else len(data)
        place = NOWHERE if name in wide_place else at
        directory += b"PK\x01\x02\0\0" + shared + struct.pack("<III", crc, size, size)
        directory += struct.pack("<HHHHHII", len(path), len(field), 0, 0, 0, 0, place) + path + field
    count, at = len(records), len(body)
    end = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 0x31E, 45, 0, 0, count, count, len(directory), at)
    end += b"PK\x06\x07" + struct.pack("<IQI", 0, at + len(directory), 1)
    end += b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), at, 0)
    return body + directory + end


def records_of(data):
    """Take an archive apart into records by name, in their order."""
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        return {info.filename.partition("/")[2]: opened.read(info) for info in opened.infolist()}


@pytest.fixture
def records():
    """Let torch write a small archive; give its records."""
    buffer = io.BytesIO()
    torch.save({"w": torch.arange(3.0), "n": torch.tensor(7)}, buffer)
    assert (
        archive(records_of(buffer.getvalue())) == buffer.getvalue()
    )  # what is written here is what torch writes
    return records_of(buffer.getvalue())


WIDE = {
    "a size": {"wide_size": ["data/0"]},
    "a place": {"wide_place": ["data/1", "version"]},
    "all": {"wide_size": ["data/0", "data/1"], "wide_place": ["data/1"]},
}


@pytest.mark.parametrize("which", list(WIDE))
def test_wide_fields_are_read_as_torch_reads_them(which, records):
    """Sizes and places in zip64 fields lead to the same tensors; torch reads the archive that is tried."""
    data = archive(records, **WIDE[which])
    assert torch.load(io.BytesIO(data), weights_only=True)["n"] == 7

    found = read_bytes(data)
    assert [(tensor.name, tensor.shape) for tensor in found.tensors] == [("w", (3,)), ("n", ())]
    for tensor, number in zip(found.tensors, (b"\0\0\0@", b"\7"), strict=True):
        assert data[tensor.record.offset_bytes :][: tensor.record.length_bytes].rstrip(b"\0").endswith(number)


@pytest.mark.slow
def test_every_flipped_bit_of_a_wide_archive_is_refused(records):
    """Wide fields leave no bit unguarded either: each stands in two headers or follows from the place."""
    small = {name: records[name] for name in ("data.pkl", "data/0", "data/1", "byteorder")}
    data = archive(small, **WIDE["all"])
    read_bytes(data)
    passed = []
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            read_bytes(bytes(changed))
            passed.append(bit)
        except CheckpointError:
            pass
    assert passed == []


@pytest.mark.parametrize(
    "lie",
    [
        lambda d: d.replace(b"\x01\0\x10\0", b"\x01\0\x08\0"),  # shorter than the numbers it must have
        lambda d: d.replace(b"\x01\0\x10\0", b"\x02\0\x10\0"),  # another field
        lambda d: d.replace(struct.pack("<QQ", 12, 12), struct.pack("<QQ", 1 << 60, 1 << 60)),
        lambda d: d.replace(struct.pack("<QQ", 12, 12), struct.pack("<QQ", 12, 13)),
    ],
)
def test_a_wide_field_that_lies_is_refused(lie, records):
    """Other numbers, other lengths or another kind of field end in a refusal, however large they are."""
    data = archive(records, wide_size=["data/0"])
    assert lie(data) != data

    with pytest.raises(CheckpointError):
        read_bytes(lie(data))


class Sparse(io.FileIO):
    """A file that has holes where zeros are written, so that 4 GiB take no room."""

    def write(self, data):
        """Write, or leave a hole of the same length."""
        data = bytes(data)
        if data.count(0) < len(data):
            return super().write(data)
        self.seek(len(data), io.SEEK_CUR)
        return len(data)


@pytest.mark.slow
def test_an_archive_of_more_than_4_gib_is_read(tmp_path):
    """What torch writes, on a disk that stores none of the zeros: the tensors behind 4 GiB arrive."""
    state = {"zeros": torch.zeros((4 << 30) + 100, dtype=torch.uint8), "last": torch.arange(5.0)}
    with Sparse(tmp_path / "large.pth", "wb") as stream:
        torch.save(state, stream)

    with open_source(tmp_path / "large.pth") as source:
        zeros, last = list_in_child(source).tensors
        assert zeros.size_bytes == (4 << 30) + 100
        assert b"".join(tensor_chunks(source, last)) == torch.arange(5.0).numpy().tobytes()


def test_more_than_the_limit_is_refused_before_anything_is_read():
    """A size alone is enough; the message has both numbers."""
    source = ByteSource(name="file", descriptor=-1, size_bytes=MAX_FILE_BYTES + 1)

    with pytest.raises(CheckpointError, match=f"{MAX_FILE_BYTES + 1} bytes; more than {MAX_FILE_BYTES}"):
        list_tensors(source)


def written_by_torch(file, records):
    """Let torch's own writer name the root by the file, as its `save` did before it wrote to streams."""
    writer = torch._C.PyTorchFileWriter(str(file))
    for name, data in records.items():
        writer.write_record(name, data, len(data))
    writer.write_end_of_file()
    return file.read_bytes()


def test_a_root_in_any_script_is_read(records, tmp_path):
    """A checkpoint named in Russian or Korean has a root of that name."""
    parts = {name: records[name] for name in ("data.pkl", "data/0", "data/1", "byteorder")}
    for name in ("модель", "모델 가중치"):
        data = written_by_torch(tmp_path / f"{name}.pth", parts)
        assert f"{name}/data.pkl".encode() in data

        assert [tensor.name for tensor in read_bytes(data).tensors] == ["w", "n"]


def test_a_record_in_another_script_is_refused(records):
    """Only the root may be anything; a name of no sense is refused, and printed without its letters."""
    for name in ("data/ж", "ж"):
        with pytest.raises(CheckpointError, match=r"data records|u0436"):
            read_bytes(archive(records | {name: b"1"}))
    with pytest.raises(CheckpointError, match="directory is damaged"):
        read_bytes(archive(records).replace(b"archive/", b"archiv\xff/"))


def test_numbers_of_a_big_endian_machine_are_named(records, tmp_path):
    """Bytes in the other order would be other numbers."""
    with pytest.raises(CheckpointError, match="little-endian"):
        read_bytes(archive(records | {"byteorder": b"big"}))


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_refused_by_name_whenever_it_was_written(tmp_path):
    """What torch.jit.save writes today, the layout of before torch 1.4, and the file of torch 1.0."""
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "модель.pt")
    old = {"version": b"1\n", "model.json": b"{}", "tensors/0": bytes(4)}

    for data in ((tmp_path / "модель.pt").read_bytes(), archive(old), b"PYTORCH1" + bytes(100)):
        with pytest.raises(CheckpointError, match="TorchScript archive: a program"):
            read_bytes(data)


def test_an_archive_without_checksums_is_read_and_that_is_said(tmp_path):
    """Torch can be told to compute no CRC-32, all are 0 then; where only some are, the record is damaged."""
    state, file = {"w": torch.arange(3.0)}, tmp_path / "a.pth"
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state, file)
    finally:
        torch.serialization.set_crc32_options(before)
    manifest = read_bytes(file.read_bytes())
    assert [tensor.name for tensor in manifest.tensors] == ["w"]
    assert manifest.left_out == ("checksums (the file states none)",)

    torch.save(state, file)
    data = file.read_bytes()
    assert read_bytes(data).left_out == ()
    for info in zipfile.ZipFile(file).infolist():
        crc = struct.pack("<I", info.CRC)
        assert data.count(crc) == 2
        with pytest.raises(CheckpointError, match=r"is damaged: CRC-32 \w+, stated 00000000"):
            read_bytes(data.replace(crc, bytes(4)))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_that_was_zipped_anew_is_refused_with_what_to_do(method, tmp_path):
    """Torch still loads what another program made of it, so loading and saving it once mends it."""
    file, anew = tmp_path / "a.pth", tmp_path / "b.pth"
    torch.save({"w": torch.arange(3.0)}, file)
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(anew, "w", method) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))

    with pytest.raises(CheckpointError, match=r"zipped it anew: load it with torch\.load and save it"):
        read_bytes(anew.read_bytes())
    torch.save(torch.load(anew), anew)
    assert [tensor.name for tensor in read_bytes(anew.read_bytes()).tensors] == ["w"]
