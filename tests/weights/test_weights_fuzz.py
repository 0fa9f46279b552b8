"""Random damage ends in a refusal or a sound manifest, never in anything else."""

import json
import struct

import pytest
from checkpoints import read_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from mutation import run

from rexnet_hub.errors import CheckpointError
from rexnet_hub.weights.checkpoint.legacy import MAGIC_BYTES


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_files_are_refused_or_sound(seed, tmp_path):
    """Thousands of damaged files of every kind: some pass, most are refused, none breaks the reader."""
    refused, passed, slowest = run(4000, tmp_path, seed)

    assert refused > 3000
    assert passed > 0
    assert slowest < 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "I64", "BOOL", "F8", ""]) | JSON,
        "shape": st.lists(st.integers(-1, 3), max_size=3) | JSON,
        "data_offsets": st.lists(st.integers(-1, 64), max_size=3) | JSON,
    }
)
HEADERS = st.dictionaries(st.sampled_from(["a", "b", "__metadata__", ""]), FIELDS | JSON, max_size=3) | JSON


@settings(max_examples=300, deadline=None)
@given(HEADERS, st.binary(max_size=64))
def test_any_json_as_a_header_is_refused_or_accounts_for_every_byte(header, data):
    """Whatever JSON a header is, it is refused or describes exactly the bytes behind it."""
    text = json.dumps(header).encode()
    try:
        manifest = read_bytes(struct.pack("<Q", len(text)) + text + data)
    except CheckpointError:
        return
    assert sum(tensor.size_bytes for tensor in manifest.tensors) == len(data)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from([b"", MAGIC_BYTES, b"PK\x03\x04", b"\x80\x02"]), st.binary(max_size=200))
def test_any_bytes_are_refused(start, rest):
    """Bytes that nobody wrote as a checkpoint are no checkpoint."""
    with pytest.raises(CheckpointError):
        read_bytes(start + rest)
