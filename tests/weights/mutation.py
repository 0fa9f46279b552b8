"""Damage good files at random and count how the readers take it.

    OMP_NUM_THREADS=1 python tests/weights/mutation.py 1000000

runs the large version; `test_weights_fuzz.py` runs a small one. Anything but a manifest or a
CheckpointError is a fault of the reader and ends the run with the input that did it.
"""

import random
import sys
import time
from argparse import Namespace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import torch  # noqa: E402
from checkpoints import as_source, save, small_state  # noqa: E402
from safetensors.torch import save as save_safetensors  # noqa: E402

from rexnet_hub.errors import CheckpointError  # noqa: E402
from rexnet_hub.weights.checkpoint.container import list_tensors  # noqa: E402
from rexnet_hub.weights.tensor_bytes import tensor_chunks  # noqa: E402

OPCODES = (
    b"\x80.(N\x88\x89JKM\x8aGXU)\x85\x86\x87t]ae}suqrhjcRbQ\x81\x93io\x82\x8c\x8f\x90\x91\x92\x94\x95\x96C01I"
)
NUMBERS = [0, 1, 2, 127, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1]


def good_files(folder):
    """Make one small good file of each kind."""
    wrapped = {"epoch": 1, "model": small_state(), "turned": torch.ones(2, 3).T}
    kinds = [save(small_state(), folder / f"{name}.pth", name) for name in ("legacy", "zip")]
    kinds.append(save(wrapped, folder / "wrapped.pth", "legacy"))
    module = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.BatchNorm1d(1))
    walked = {"args": Namespace(lr=0.1, sets={1}), "state_dict": small_state(), "model": [module]}
    for protocol, value in ((2, walked), (4, walked), (5, module), (1, module)):
        kinds.append(folder / f"{protocol}.pth")
        torch.save(value, kinds[-1], pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    safetensors = save_safetensors(dict(small_state()), metadata={"format": "pt"})
    return [*(file.read_bytes() for file in kinds), safetensors]


def damage(data, dice):
    """Change bytes in one to four of the ways in which files go bad or are made bad."""
    data = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        at = dice.randrange(len(data) + 1) if data else 0
        way = dice.randrange(8)
        if way == 0:
            del data[at:]
        elif way == 1 and at < len(data):
            data[at] ^= 1 << dice.randrange(8)
        elif way == 2 and at < len(data):
            data[at] = dice.choice(OPCODES)
        elif way == 3:
            width = dice.choice((1, 2, 4, 8))
            number = dice.choice(NUMBERS) & (1 << 8 * width) - 1
            data[at : at + width] = number.to_bytes(width, dice.choice(("little", "big")))
        elif way == 4:
            data[at:at] = dice.randbytes(dice.randrange(1, 9))
        elif way == 5:
            del data[at : at + dice.randrange(1, 9)]
        elif way == 6:
            other = dice.randrange(len(data) + 1)
            data[at:at] = data[other : other + dice.randrange(1, 64)]
        elif way == 7:
            other = dice.randrange(len(data) + 1)
            data[at : at + 16] = data[other : other + 16]
    return bytes(data)


def run(number, folder, seed):
    """Read so many damaged files; give how many were refused, passed, and the longest time of one."""
    dice, files = random.Random(seed), good_files(folder)
    refused = passed = 0
    slowest = 0.0
    for _ in range(number):
        data = damage(dice.choice(files), dice)
        started = time.process_time()
        try:
            with as_source(data) as source:
                for tensor in list_tensors(source).tensors:
                    size = sum(len(chunk) for chunk in tensor_chunks(source, tensor))
                    assert size == tensor.size_bytes
            passed += 1
        except CheckpointError as error:
            said, refused = str(error), refused + 1
            if "\n" in said or len(said) > 2000:
                raise ValueError(said) from error
        except BaseException:
            print(f"THE INPUT: {data!r}", file=sys.stderr)
            raise
        slowest = max(slowest, time.process_time() - started)
    return refused, passed, slowest


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        begun = time.process_time()
        print(run(int(sys.argv[1]), Path(place), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
        print(f"{time.process_time() - begun:.0f} s of CPU")
