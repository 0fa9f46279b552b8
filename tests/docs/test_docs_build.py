"""The build is strict, says nothing, and gives the same bytes each time."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest
from built_site import BUILDER, ROOT, build


def digests(folder):
    """Hash every file of a folder."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.mark.slow
def test_two_builds_are_the_same_to_the_byte(site, tmp_path):
    """Built again, every file of the site is what it was, and no file is new or gone."""
    folder, url = site
    build(tmp_path, REXNET_HUB_SITE_URL=url)

    assert len(digests(folder)) > 60
    assert digests(tmp_path) == digests(folder)


@pytest.mark.slow
def test_the_whole_zoo_is_built_without_a_word(zoo, tmp_path):
    """The strict build of every model of the index says nothing, and each has its page and its card."""
    assert build(tmp_path, REXNET_HUB_INDEX=str(ROOT / "model_index")) == ""
    for entry in zoo.models:
        assert all(
            (tmp_path / f"models/{entry.name}.{end}").is_file() for end in ("html", "json", "card.txt")
        )


def test_the_search_does_not_read_the_table_of_models(site):
    """Each model is found by its own page: the rows of a thousand would be more than a search may hold."""
    folder, _ = site
    places = {"mkdocs": ("search/search_index.json", "docs"), "zensical": ("search.json", "items")}
    file, key = places[BUILDER]
    texts = {each["location"]: each["text"] for each in json.loads((folder / file).read_text())[key]}
    assert "every number says who states it" in texts["index.html"]
    assert "rexnet_130" not in texts["index.html"]  # which is neither the best nor the smallest
    assert "rexnet_150" in texts["models/rexnet_150.html"]


@pytest.mark.slow
def test_a_dead_link_fails_the_build(tmp_path):
    """The strict build says no: to a page that links to one that is not there, which it names."""
    for name in ("docs", "rexnet_hub/pages/theme", "mkdocs.yml", "CHANGELOG.md"):
        place = ROOT / name
        (shutil.copytree if place.is_dir() else shutil.copy)(place, tmp_path / name)
    with (tmp_path / "docs" / "numbers.md").open("a") as page:
        page.write("\n[nowhere](nowhere.md)\n")
    with pytest.raises(AssertionError, match=r"nowhere\.md"):
        build(tmp_path / "site", config=tmp_path / "mkdocs.yml")


def test_without_a_browser_one_line_counts_what_was_not_run():
    """Where no Chromium is found, the tests that need one are counted, and it is said what to install."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n0",
        "-p",
        "no:cacheprovider",
        "tests/docs/test_docs_media.py",
    ]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PATH": ""}, capture_output=True, text=True, check=False
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert line.startswith("SKIPPED [8]")
    assert "apt-get install chromium" in line
    assert (done.returncode, done.stderr) == (0, "")
