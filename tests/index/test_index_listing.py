"""What `list` keeps of the index says what the entries say, and never more than the files do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from test_index_cache import DAMAGES
from test_index_query import LOCK, MODELS, QUERIES, SORTS

from rexnet_hub.index import load_index
from rexnet_hub.index.listing import Listing, load_listing, render_listing
from rexnet_hub.index.query import EntryColumns, pick, pick_unbeaten
from rexnet_hub.layout import find_cache_dir

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    """Make an index of our own, with a lock beside it."""
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "index.yml").write_text("Models: [{Name: a, Metadata: {Parameters: 5}}, {Name: b}]")
    (tmp_path / "zoo" / "lock.json").write_text('{"version": 1, "models": {"b": {"parameters": 7}}}')
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path / "zoo"))
    return tmp_path / "zoo"


def kept():
    return sorted((find_cache_dir() / "index").glob("*.list"))


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_picks_the_same_rows(query):
    """The kept columns answer every query as the entries do."""
    listing = Listing(render_listing(load_index(cached=False), LOCK))
    entries = EntryColumns(MODELS, LOCK)
    for sort in SORTS:
        assert pick(listing, query, sort=sort) == pick(entries, query, sort=sort)


def test_the_front_is_the_same():
    """The kept columns have the same unbeaten rows as the entries."""
    listing = Listing(render_listing(load_index(cached=False), LOCK))
    for axes in (("top1", "macs"), ("top5", "params"), ("flops", "size")):
        assert pick_unbeaten(listing, range(4), *axes) == pick_unbeaten(
            EntryColumns(MODELS, LOCK), range(4), *axes
        )


def test_a_custom_number_is_kept(read):
    """A field that no table knows can be asked for as in the entries, under both of its names."""
    index = read("Models: [{Name: a, Metadata: {Layer Count: 50}}, {Name: b, Metadata: {Layer Count: 1.5}}]")
    listing = Listing(render_listing(index, LOCK))
    assert pick(listing, "layer_count<2") == [1]
    assert listing.shown("layer_count") == [50, "1.5"]


def test_nothing_is_read_again(zoo, monkeypatch):
    """While index and lock are what they were, neither is parsed."""
    first = load_listing()
    for module in ("reading.read.read_index", "lock.read_lock"):
        monkeypatch.setattr(f"rexnet_hub.index.{module}", None)
    second = load_listing()
    assert first.shown("parameters") == second.shown("parameters") == [5, 7]
    assert len(kept()) == 1


CHANGES = {
    "index": ("index.yml", "Models: {Name: c}", [None]),
    "lock": ("lock.json", '{"version": 1, "models": {"b": {"parameters": 8}}}', [5, 8]),
    "no lock": ("lock.json", None, [5, None]),
    "one file more": ("more.yml", "Models: {Name: d, Metadata: {Parameters: 9}}", [5, 7, 9]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(zoo, change):
    """Whatever of index or lock changes, comes or goes is seen at the next listing."""
    load_listing()
    name, text, parameters = CHANGES[change]
    if text is None:
        (zoo / name).unlink()
    else:
        (zoo / name).write_text(text)
    assert load_listing().shown("parameters") == parameters


def test_a_lock_that_comes_is_seen(zoo):
    """A listing that was kept without a lock is not used once there is one."""
    text = (zoo / "lock.json").read_text()
    (zoo / "lock.json").unlink()
    assert load_listing().shown("parameters") == [5, None]
    (zoo / "lock.json").write_text(text)
    assert load_listing().shown("parameters") == [5, 7]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_listing_is_not_used(zoo, damage):
    """A kept listing that is cut, changed or something else is made anew."""
    load_listing()
    (file,) = kept()
    whole = file.read_bytes()
    file.write_bytes(DAMAGES[damage](whole))
    assert load_listing().shown("parameters") == [5, 7]
    assert file.read_bytes() == whole


def test_an_index_that_could_not_be_read_whole_is_not_kept(zoo):
    """What a file outside the digests caused is tried again each time."""
    (zoo / "index.yml").write_text("Import: a.csv\nModels: {Name: a}")
    (zoo / "a.csv").write_text("x")
    errors, first = load_listing().errors
    assert errors == 1
    assert "a.csv" in first
    assert kept() == []


def test_a_warm_list_makes_no_record():
    """With a listing at hand, `list` needs no parser, no dataclass and no decimal number."""
    program = (
        "import json, sys; from rexnet_hub.cli import main\n"
        "code = main(['list', '--names'])\n"
        "print(json.dumps([m for m in ('yaml', 'torch', 'dataclasses', 'decimal') if m in sys.modules]))"
    )
    run = [sys.executable, "-c", program]
    for _ in range(2):
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    *names, modules = done.stdout.splitlines()
    assert names == [entry.name for entry in MODELS]
    assert json.loads(modules) == []
