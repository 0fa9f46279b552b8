"""Small checkpoints, made and read, for the tests of weights."""

import os
import tempfile
from collections import OrderedDict
from contextlib import contextmanager

import torch

from rexnet_hub.weights.checkpoint.container import list_tensors
from rexnet_hub.weights.digest import ByteSource
from rexnet_hub.weights.fingerprint import digest_weights, fingerprint_of


@contextmanager
def as_source(data, name="file"):
    """Put bytes where a reader can have them."""
    with tempfile.TemporaryFile() as stream:
        stream.write(data)
        stream.flush()
        yield ByteSource(name=name, descriptor=stream.fileno(), size_bytes=os.fstat(stream.fileno()).st_size)


def read_bytes(data, **options):
    """List the tensors of these bytes, in this process."""
    with as_source(data) as source:
        return list_tensors(source, **options)


def fingerprint(file):
    """Fingerprint the weights of a file."""
    return fingerprint_of(digest_weights(file)[1])


def save(value, file, container):
    """Save as torch does, in the one or the other container."""
    torch.save(value, file, _use_new_zipfile_serialization=container == "zip")
    return file


def names_in(folder):
    """List a folder's names, hidden ones too."""
    return sorted(file.name for file in folder.iterdir())


def small_state():
    """A state dict with one of each that matters: few bytes, so that every bit can be tried."""
    torch.manual_seed(0)
    return OrderedDict(
        [
            ("stem.weight", torch.randn(2, 3)),
            ("stem.count", torch.tensor(7)),
            ("stem.half", torch.randn(3).half()),
        ]
    )
