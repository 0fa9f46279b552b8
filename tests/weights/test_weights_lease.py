"""Reading a file in place while the system keeps writers away."""

import os
import subprocess
import sys

import pytest
import torch
from checkpoints import names_in, save

from rexnet_hub.errors import FileProblem
from rexnet_hub.weights import lease
from rexnet_hub.weights.convert import convert_checkpoint
from rexnet_hub.weights.digest import digest_file, held_still
from rexnet_hub.weights.tensors import read_tensors


def can_lease(file):
    """Say whether this disk gives leases."""
    with file.open("rb") as stream:
        return lease.take_lease(stream.fileno())


@pytest.fixture
def file(tmp_path):
    """Save a checkpoint; a disk without leases has nothing to prove here but the fallback."""
    return save({"w": torch.arange(6.0).reshape(2, 3), "v": torch.ones(2)}, tmp_path / "a.pth", "legacy")


def test_leased_or_copied_the_bytes_are_the_files(file, monkeypatch):
    """Both ways hand out the same bytes and the same digest."""
    found = []
    for kinds in (lease.LOCAL_KINDS, frozenset()):
        monkeypatch.setattr(lease, "LOCAL_KINDS", kinds)
        with held_still(file) as (source, digest):
            found.append((source.read(0, source.size_bytes), digest))
            source.require_unchanged()

    assert found[0] == found[1] == (file.read_bytes(), digest_file(file))


def test_a_file_that_is_open_for_writing_is_copied(file):
    """With a writer about there is no lease."""
    with file.open("r+b"), held_still(file) as (source, _):
        assert not source.leased


def test_a_writer_waits_and_is_seen(file):
    """Who opens a leased file for writing gets no further meanwhile, and what was read is then refused."""
    if not can_lease(file):
        return
    before = file.read_bytes()
    with held_still(file) as (source, _):
        writer = subprocess.Popen([sys.executable, "-c", f"open({str(file)!r}, 'r+b').write(b'x')"])
        while lease.lease_holds(source.descriptor):
            assert writer.poll() is None
        assert source.read(0, source.size_bytes) == before
        with pytest.raises(FileProblem, match="changed while it was read"):
            source.require_unchanged()
    assert writer.wait() == 0
    assert file.read_bytes() == b"x" + before[1:]


def test_a_conversion_whose_lease_is_broken_writes_nothing(file, tmp_path, monkeypatch):
    """At the last moment before the files get their names, a waiting writer is one refusal."""
    if not can_lease(file):
        return
    folder = tmp_path / "out"
    folder.mkdir()
    from rexnet_hub.weights import convert

    def compare(source, moves, part, out, really=convert._compare):
        with pytest.raises(BlockingIOError):
            os.open(file, os.O_WRONLY | os.O_NONBLOCK)
        return really(source, moves, part, out)

    monkeypatch.setattr(convert, "_compare", compare)
    with pytest.raises(FileProblem, match="changed while it was read"):
        convert_checkpoint(file, folder / "model.safetensors")
    assert names_in(folder) == []


def test_a_strided_tensor_is_read_from_a_private_copy(tmp_path):
    """What must be mapped into memory is copied first; the result is torch's own."""
    base = torch.arange(24.0).reshape(4, 6)
    file = save({"turned": base.T}, tmp_path / "a.pth", "zip")

    receipt = convert_checkpoint(file, tmp_path / "model.safetensors")

    assert receipt.source.sha256 == digest_file(file).sha256
    assert torch.equal(read_tensors(tmp_path / "model.safetensors")["turned"], base.T)


def test_a_file_that_cannot_be_leased_is_another_users_or_elsewhere(monkeypatch):
    """A disk that is not known to be local gives no lease."""
    monkeypatch.setattr(lease, "kind_of_disk", lambda descriptor: "nfs4")
    with open(__file__, "rb") as stream:  # noqa: PTH123 - its descriptor is what is wanted
        assert not lease.take_lease(stream.fileno())
