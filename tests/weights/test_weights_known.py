"""A digest that is remembered, and what makes it forgotten."""

import hashlib
import os
import tempfile
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rexnet_hub.errors import FileProblem, MismatchError
from rexnet_hub.weights import known, lease
from rexnet_hub.weights.tensors import read_tensors


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Save a file, old enough to be stamped, on a disk that gives leases and keeps times."""
    monkeypatch.setattr(known, "SETTLED_NS", 0)
    for folder in (tmp_path, "/var/tmp", Path(__file__).parent):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            file = Path(place) / "a.safetensors"
            save_file({"w": torch.arange(4096.0)}, file)
            with file.open("rb") as stream:
                leased = known.take_stamp(stream.fileno()) is not None
            if leased:
                yield file
                return
    pytest.fail("no disk here gives leases and keeps times")


@pytest.fixture
def hashed(monkeypatch):
    """Count the digests that reading makes."""
    made = []
    real = hashlib.sha256
    monkeypatch.setattr(
        "rexnet_hub.weights.tensors.hashlib.sha256", lambda data: made.append(data) or real(data)
    )
    return made


def digest_of(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def flip_a_bit(file):
    """Change the last byte in place, and put back what times can be put back."""
    before = file.stat()
    with file.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        last = stream.read(1)[0]
        stream.seek(-1, os.SEEK_END)
        stream.write(bytes([last ^ 1]))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns


def test_an_unchanged_file_is_hashed_once(file, hashed):
    """The second reading hands out the same tensors without a digest."""
    stated = digest_of(file)
    hashed.clear()
    first, second = (read_tensors(file, sha256=stated)["w"] for _ in range(2))
    assert len(hashed) == 1
    assert torch.equal(first, second)


def test_another_digest_is_never_taken_for_the_known_one(file):
    """That a file was hashed does not let it pass for what it is not."""
    read_tensors(file, sha256=digest_of(file))
    with pytest.raises(MismatchError):
        read_tensors(file, sha256="0" * 64)


def test_a_changed_file_is_hashed_again_though_its_times_are_put_back(file):
    """The time of the last change cannot be put back, so the flipped bit is found."""
    stated = digest_of(file)
    read_tensors(file, sha256=stated)
    time.sleep(0.02)  # longer than a tick of the disk's clock, as SETTLED_NS is
    flip_a_bit(file)
    with pytest.raises(MismatchError):
        read_tensors(file, sha256=stated)


def test_another_file_of_the_same_name_is_hashed_again(file):
    """What takes the place of a known file is another file."""
    stated = digest_of(file)
    read_tensors(file, sha256=stated)
    save_file({"w": torch.arange(4096.0) + 1}, file.with_name("b"))
    file.with_name("b").replace(file)
    with pytest.raises(MismatchError):
        read_tensors(file, sha256=stated)


def test_a_file_that_was_just_written_is_not_remembered(file, hashed, monkeypatch):
    """Two changes within one tick of the disk's clock look alike, so a young file is hashed each time."""
    monkeypatch.setattr(known, "SETTLED_NS", 3_600_000_000_000)
    stated = digest_of(file)
    hashed.clear()
    for _ in range(2):
        read_tensors(file, sha256=stated)
    assert len(hashed) == 2


def test_a_file_that_somebody_may_write_is_hashed_each_time(file, hashed):
    """With a writer about there is no lease, so no stamp."""
    stated = digest_of(file)
    hashed.clear()
    with file.open("r+b"):
        for _ in range(2):
            read_tensors(file, sha256=stated)
    assert len(hashed) == 2


def test_without_leases_a_file_is_hashed_each_time(file, hashed, monkeypatch):
    """On a disk whose writers this system does not see nothing is remembered."""
    monkeypatch.setattr(lease, "LOCAL_KINDS", frozenset())
    stated = digest_of(file)
    hashed.clear()
    for _ in range(2):
        read_tensors(file, sha256=stated)
    assert len(hashed) == 2


def test_in_memory_nothing_is_remembered(hashed):
    """On tmpfs a write through a shared map moves no time, so a file there is hashed each time."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        file = Path(place) / "a.safetensors"
        save_file({"w": torch.arange(4096.0)}, file)
        stated = digest_of(file)
        hashed.clear()
        for _ in range(2):
            read_tensors(file, sha256=stated)
    assert len(hashed) == 2


def test_a_lease_that_is_lost_while_reading_is_a_refusal(file, monkeypatch):
    """Bytes that somebody could change meanwhile are not those that were hashed."""
    stated = digest_of(file)
    read_tensors(file, sha256=stated)
    monkeypatch.setattr("rexnet_hub.weights.digest.lease_holds", lambda _: False)
    with pytest.raises(FileProblem, match="changed while it was read"):
        read_tensors(file, sha256=stated)
