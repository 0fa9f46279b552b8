"""Runs compute in full fp32 with fixed kernels, whatever was set, and leave the settings as they were."""

from typing import Any

import pytest
import torch
from drawn import SPEC, draw_set, write_folders

from rexnet_hub.imagenet.data.layouts import read_dataset
from rexnet_hub.imagenet.run.evaluate import evaluate_models
from rexnet_hub.imagenet.run.prepare import RunOptions
from rexnet_hub.imagenet.run.runner import ModelUnderTest, exact_arithmetic

BACKENDS: Any = torch.backends
CUDNN, MKLDNN, MATMUL = BACKENDS.cudnn, BACKENDS.mkldnn, BACKENDS.cuda.matmul
DETERMINISTIC: Any = torch.utils.deterministic
IS_NAMED = hasattr(CUDNN, "conv")  # from torch 2.9 on settings have names
OWNERS = (MATMUL, CUDNN.conv, CUDNN.rnn, MKLDNN.matmul, MKLDNN.conv, MKLDNN.rnn) if IS_NAMED else ()


def all_tf32(owners):
    """Allow TF32 by its newer name."""
    return [(setattr, owner, "fp32_precision", "tf32") for owner in owners]


#: What a caller may have set before, in the older and the newer way, together too: functions and arguments.
BEFORE: dict[str, list[tuple[Any, ...]]] = {
    "nothing": [],
    "older": [(setattr, CUDNN, "allow_tf32", True), (setattr, MATMUL, "allow_tf32", True)],
    "medium": [(torch.set_float32_matmul_precision, "medium")],
    "newer": all_tf32(OWNERS[:3]),
    "of one of two": all_tf32(OWNERS[1:2]),
    "older, then newer": [(torch.set_float32_matmul_precision, "high"), *all_tf32(OWNERS[1:3])],
    "deterministic": [(torch.use_deterministic_algorithms, True)],
}


def settings():
    """Read all settings; one that contradicts another cannot be read."""
    found = [owner.fp32_precision for owner in OWNERS]
    found += [CUDNN.deterministic, CUDNN.benchmark, torch.get_num_threads()]
    found += [torch.get_deterministic_debug_mode(), DETERMINISTIC.fill_uninitialized_memory]
    for read in (
        lambda: CUDNN.allow_tf32,
        lambda: MATMUL.allow_tf32,
        torch.get_float32_matmul_precision,
    ):
        try:
            found.append(read())
        except RuntimeError:
            found.append("contradicted")
    return found


@pytest.fixture
def untouched():
    """Put the settings back, in an order in which none contradicts another."""
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision("highest")
    CUDNN.allow_tf32 = True
    for owner in (MATMUL, *OWNERS[3:]):
        owner.fp32_precision = "none"


@pytest.mark.parametrize("before", BEFORE)
def test_whatever_is_set_a_run_is_exact_and_sets_it_again(untouched, before):
    """Within, everybody may read every setting, in the older and the newer way, as torch's compiler does."""
    for function, *arguments in BEFORE[before]:
        function(*arguments)
    was = settings()
    with exact_arithmetic():
        exact = settings()
        with CUDNN.flags(enabled=True):  # reads them all
            pass

    full = ["ieee"] * len(OWNERS)
    assert exact == [*full, True, False, torch.get_num_threads(), 1, False, False, False, "highest"]
    kept = zip(settings(), was, strict=True)
    assert all(now == then for now, then in kept if then != "contradicted")


class Seeing(torch.nn.Module):
    """A network that notes with what settings it is run."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __deepcopy__(self, memo):
        """Be the copy that runs."""
        return self

    def forward(self, pixels):
        """Note and answer."""
        self.seen.append(settings())
        return torch.zeros(len(pixels), 1000)


def test_a_run_is_exact(tmp_path):
    """A network is run within these settings, on one thread."""
    data = read_dataset(write_folders(tmp_path / "val", draw_set(8)), allow_subset=True)
    model = ModelUnderTest(name="seeing", network=Seeing(), preprocessing=SPEC)
    evaluate_models([model], data, options=RunOptions(quiet=True))

    full = ["ieee"] * len(OWNERS)
    assert model.network.seen == [[*full, True, False, 1, 1, False, False, False, "highest"]] * 2
