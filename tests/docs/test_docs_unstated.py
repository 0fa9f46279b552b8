"""The site of any index that `validate` accepts builds strictly; what is wrong with one, mkdocs shows."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from built_site import ROOT, build

from rexnet_hub.layout import find_index_dir

sys.path.append(str(Path(__file__).resolve().parents[1] / "pages"))
from test_pages_unstated import UNKNOWN, paths_of, without


@pytest.mark.slow
def test_an_index_that_says_little_builds_strictly(tmp_path):
    """The seed, networks that nobody knows, and our own models without each field or section in turn."""
    ours = yaml.safe_load((find_index_dir() / "rexnet.yml").read_text(encoding="utf-8"))
    models, collections = [], yaml.safe_load(UNKNOWN)["Collections"]
    parts = (("Collections", 0), ("Models", 2))
    fields = (path for path in paths_of(ours) if path[:2] in parts and 3 <= len(path) <= 4)
    paths = [path for path in fields if isinstance(path[-1], str)]
    for number, path in enumerate(paths):
        less = without(ours, [path])
        (family,), model = less["Collections"], less["Models"][2]
        collections.append(family | {"Name": f"family {number}"})
        models.append(model | {"Name": f"less_{number}", "In Collection": f"family {number}"})
    index = {"Collections": collections, "Models": models + yaml.safe_load(UNKNOWN)["Models"]}
    (tmp_path / "index.json").write_text(json.dumps(index), encoding="utf-8")
    for name in (tmp_path / "index.json", ROOT / "tests" / "data" / "seed_rexnet.md"):
        assert build(tmp_path / "site", REXNET_HUB_INDEX=str(name)) == ""
    assert len(models) >= 45


@pytest.mark.slow
@pytest.mark.parametrize(
    ("index", "said"),
    [
        ("nowhere.yml", "ERROR   -  {file}: there is no such file or folder"),
        ("unclosed.yml", "WARNING -  rexnet-hub: {file}:1:17: error[not-yaml]: "),
        ("misread.yml", "WARNING -  rexnet-hub: {file}:1:52: error[wrong-kind]: "),
    ],
)
def test_what_is_wrong_with_the_index_fails_the_build(tmp_path, index, said):
    """One line of mkdocs' own kind says what and where; the build ends with 1, and no traceback."""
    (tmp_path / "unclosed.yml").write_text("Models: [{Name: 'a}]\n")
    (tmp_path / "misread.yml").write_text("Models: [{Name: rexnet_100, Metadata: {Parameters: many}}]\n")
    file = tmp_path / index
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "REXNET_HUB_INDEX": str(file)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    (line,) = (line for line in done.stderr.splitlines() if not line.startswith("INFO"))
    assert line.startswith(said.format(file=file))
    assert (done.returncode, done.stdout[:14]) == (1, "\nAborted with ")
