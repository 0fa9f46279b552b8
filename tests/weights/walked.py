"""Checkpoints that no program of today writes, made by hand."""

import pickle
import struct

from rexnet_hub.weights.checkpoint.legacy import MAGIC_NUMBER, PROTOCOL_VERSION


def _text(value):
    return b"U" + bytes([len(value)]) + value.encode()


def _numbers(*values):
    return b"(" + b"".join(b"K" + bytes([value]) for value in values) + b"t"


def in_python_2(state):
    """Write float32 tensors as torch 0.4 under Python 2 did: pairs in lists, no hooks, short text."""
    facts = b"\x80\x02}(" + _text("protocol_version") + b"M\xe9\x03" + _text("little_endian") + b"\x88u."
    pairs = b""
    for number, (name, tensor) in enumerate(state.items()):
        place = _text("storage") + b"ctorch\nFloatStorage\n" + _text(str(number)) + _text("cuda:0")
        pairs += b"](" + _text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n((" + place
        pairs += b"\x8a\x01" + bytes([tensor.numel()]) + b"NtQK\x00"
        pairs += _numbers(*tensor.shape) + _numbers(*tensor.stride()) + b"\x89NtRe"
    body = b"\x80\x02ccollections\nOrderedDict\n](" + pairs + b"e\x85R."
    keys = b"\x80\x02](" + b"".join(_text(str(number)) for number in range(len(state))) + b"e."
    head = b"".join(pickle.dumps(number, 2) for number in (MAGIC_NUMBER, PROTOCOL_VERSION))
    stored = b"".join(struct.pack("<q", t.numel()) + t.numpy().tobytes() for t in state.values())
    return head + facts + body + keys + stored
