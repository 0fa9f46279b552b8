"""The guide to a family of one's own is followed as it is printed: one file, and the whole chain holds."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from rexnet_hub.layout import PACKAGE_DIR

GUIDE = (PACKAGE_DIR.parent / "docs" / "guides" / "add-a-family.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_family_is_one_file(tmp_path):
    """The file, the index and the commands of the guide end in a class of a picture."""
    package = shutil.copytree(PACKAGE_DIR, tmp_path / "code" / "rexnet_hub")
    record, checkpoint = re.findall(r"^```python\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    (index,) = re.findall(r"^```yaml\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    (commands,) = re.findall(r"^```console\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    (package / "nets" / "families" / "pebble.py").write_text(record)
    desk = tmp_path / "desk"
    (desk / "zoo").mkdir(parents=True)
    (desk / "zoo" / "pebbles.yml").write_text(index)
    (desk / "make.py").write_text(checkpoint)
    Image.effect_noise((90, 70), 80).convert("RGB").save(desk / "picture.jpg")
    tool = tmp_path / "bin" / "rexnet-hub"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m rexnet_hub "$@"\n')
    tool.chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": str(package.parent), "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    environment["PATH"] = f"{tool.parent}:{environment['PATH']}"

    subprocess.run([sys.executable, "make.py"], cwd=desk, env=environment, check=True)
    done = subprocess.run(
        ["bash", "-e", "-c", commands], cwd=desk, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "ID: pebble_8" in (desk / "zoo" / "pebbles.yml").read_text()
    assert "of the Pebble family" in (desk / "staged" / "pebble.first" / "README.md").read_text()
