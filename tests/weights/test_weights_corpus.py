"""The script that converts other packages' checkpoints tells right from wrong."""

import zipfile

import pytest
import torch
from checkpoints import save, small_state

from benchmarks.corpus import measure, render, unpack


@pytest.fixture
def rows(tmp_path):
    """Measure a package with a good file, one only we read, one only torch reads, and one nobody does."""
    (tmp_path / "made").mkdir()
    files = {
        "pkg/good.pth": {"model": small_state(), "epoch": 1},
        "pkg/whole.pt": torch.nn.Linear(2, 1),
        "pkg/turned.ckpt": {"w": torch.ones(2, 3).T},
        "pkg/two.sav": {"a": small_state(), "b": small_state()},
    }
    with zipfile.ZipFile(tmp_path / "made" / "pkg-1.0-py3-none-any.whl", "w") as wheel:
        for name, value in files.items():
            wheel.write(save(value, tmp_path / "one", "legacy"), name)
        wheel.writestr("pkg/text.pth", "no checkpoint")
        wheel.writestr("pkg/code.py", "no checkpoint")
    found = [measure(*each, tmp_path) for each in unpack(tmp_path / "made", tmp_path)]
    return {row.file.strip("`"): row for row in found}


def test_each_file_has_its_row(rows):
    """Ours, what was left out, torch and save_file; bad is only what torch loads and we do not."""
    assert list(rows) == ["pkg/good.pth", "pkg/text.pth", "pkg/turned.ckpt", "pkg/two.sav", "pkg/whole.pt"]
    assert rows["pkg/good.pth"][1:] == (
        "`pkg/good.pth`", "3 tensors under `model`, the same bits", "epoch (int)", "loads", "writes", False
    )  # fmt: skip
    assert rows["pkg/turned.ckpt"].save_file == "refuses (ValueError)"
    assert rows["pkg/whole.pt"].ours == "2 tensors"
    assert rows["pkg/whole.pt"].torch == "refuses (UnpicklingError)"
    assert [name for name, row in rows.items() if row.is_bad] == ["pkg/two.sav"]
    page = render(rows.values())
    assert "Of 5 files we convert 3, torch loads 3, and of these `save_file` writes 1." in page
    assert "1 are not converted to the same bits" in page


def test_other_bits_than_torchs_are_bad(rows, tmp_path, monkeypatch):
    """One changed bit of what torch gives makes the row bad."""
    changed = small_state()
    changed["stem.weight"].view(torch.int32)[0, 0] ^= 1
    file = save({"model": small_state()}, tmp_path / "pkg-1.0-x", "zip")
    assert not measure("pkg", file, tmp_path.parent).is_bad
    monkeypatch.setattr(torch, "load", lambda *args, **options: {"model": changed})
    row = measure("pkg", file, tmp_path.parent)

    assert row.is_bad
    assert "differ from torch's" in row.ours
