"""Whatever `validate` accepts has a card and pages, in which nothing is said that nobody states."""

import copy
import json
import re
from pathlib import Path

import pytest
import yaml
from entries import INPUT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rexnet_hub.cli import main
from rexnet_hub.errors import RexnetHubError
from rexnet_hub.index import load_index
from rexnet_hub.index.network import entry_classes
from rexnet_hub.layout import find_index_dir
from rexnet_hub.pages.card import render_card
from rexnet_hub.pages.families import find_obstacle
from rexnet_hub.pages.site import render_site

SEED = Path(__file__).parents[1] / "data" / "seed_rexnet.md"
OURS = yaml.safe_load((find_index_dir() / "rexnet.yml").read_text(encoding="utf-8"))
#: A network that nobody here knows, with all that an index can say of it.
UNKNOWN = """\
Collections:
- Name: Bigger Nets
  Paper: {Title: Bigger nets, URL: https://arxiv.org/abs/1901.00001}
Models:
- Name: bignet_9
  In Collection: Bigger Nets
  Metadata:
    ID: bignet_9
    Parameters: 11690000
    FLOPs: 2337073152
    File Size: 46827520
    Tasks: [Image Classification]
    Training Data: [ImageNet]
    Crop Pct: 0.875
    Image Size: 288
    Interpolation: bilinear
  Code: https://example.org/bignet.py
  Weights: https://example.org/bignet_9-5c106cde.pth
  Results:
  - Task: Image Classification
    Dataset: ImageNet
    Metrics: {Top 1 Accuracy: 69.74%, Top 5 Accuracy: 89.09%}
- Name: sounds
  Metadata: {Parameters: 1000}
- Name: bare
"""
#: What is true only of a network that is known here, or of settings that are stated.
LOADED = r"AutoModel|create_model|library_name|`model\.safetensors`|rexnet-hub (?:predict|stage|evaluate)"
UNTRUE = rf"{LOADED}|ReXNet|batch.norm|running statistics|centre square|short side|Meant for|siblings"


def words_of(pages, name):
    """All that the site says of one model to people, and its card."""
    return pages[f"models/{name}.md"].split("## The entry in the index")[0] + pages[f"models/{name}.card.txt"]


def test_the_seed_has_cards_and_pages(read, monkeypatch, capsys):
    """The file that this project starts from: every command that only shows answers, and the site renders."""
    monkeypatch.setenv("REXNET_HUB_INDEX", str(SEED))
    for command in (["validate"], ["list"], *([c, "rexnet_150"] for c in ("card", "show", "recipe"))):
        assert main(command) == 0, capsys.readouterr().err
    page = render_site(load_index().models)["models/rexnet_150.md"]
    assert "Stated: Image Size 224, Crop Pct 0.875, Interpolation bicubic. " in page
    assert "Not stated: Image Mean, Image Std." in page
    assert "| Input | 224 \N{MULTIPLICATION SIGN} 224 px | |" in page
    assert "once its entry states what is not stated yet: Num Classes, Image Mean, Image Std." in page
    assert "AutoModel" not in page


def test_whoever_needs_a_setting_asks_for_it(monkeypatch, capsys):
    """Predicting says what is not stated, in one line, before it fetches or reads anything."""
    monkeypatch.setenv("REXNET_HUB_INDEX", str(SEED))
    assert main(["predict", "rexnet_150", str(SEED)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "rexnet_150 does not state its input settings: image_mean, image_std missing or 0" in line


@pytest.mark.parametrize(
    "absent", ["Num Classes", "Image Size", "Crop Pct", "Interpolation", "Image Mean", "Image Std"]
)
def test_an_obstacle_is_said_where_there_is_one(absent, read):
    """Our own entries can be loaded and show how; without one setting they cannot, and name it."""
    data = copy.deepcopy(OURS)
    for part in (*data["Collections"], *data["Models"]):
        part.get("Metadata", {}).pop(absent, None)
    (entry, *_) = read(yaml.safe_dump(data)).models
    assert find_obstacle(entry).endswith(f": {absent}.")
    assert "AutoModel" not in render_card(entry)
    with pytest.raises(RexnetHubError):
        (entry_classes(entry), entry.preprocessing)
    assert not find_obstacle(load_index().models[0])


def test_of_an_unknown_network_nothing_untrue_is_said(read):
    """Pages and cards of networks that nobody here knows hold what is stated, and no word beyond."""
    index = read(UNKNOWN)
    assert index.errors == ()
    pages = render_site(index.models)
    for entry in index.models:
        words = words_of(pages, entry.name)
        assert re.findall(UNTRUE, words) == []
        assert f"rexnet_hub does not know the network `{entry.name}`: it cannot check or load it." in words
    assert "bignet_9 is an image classifier of the collection Bigger Nets." in pages["models/bignet_9.md"]
    assert "[Bigger nets](https://arxiv.org/abs/1901.00001)" in pages["models/bignet_9.md"]
    assert "[example.org/bignet.py](https://example.org/bignet.py)" in pages["models/bignet_9.md"]
    for words in ("sounds is a model.", "What it is meant for is not stated."):
        assert words in pages["models/sounds.md"]
    for words in ("classifier", "picture", "classes"):
        assert words not in pages["models/sounds.md"].split("## Where the numbers")[0]
    assert "No figure is stated." in pages["models/bare.md"]
    assert "ReXNet" not in pages["index.md"]
    assert "loaded by one line" not in pages["index.md"]
    assert "AutoModel" not in pages["llms.txt"]


def paths_of(value, path=()):
    """List the way to every key and item of nested data."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from paths_of(item, (*path, key))


def without(data, paths):
    """Copy nested data without what these paths lead to; names and lists' places stay."""
    data = copy.deepcopy(data)
    for path in sorted(paths, key=len, reverse=True):
        place = data
        for key in path[:-1]:
            place = place[key]
        if isinstance(place, dict) and path[-1] not in ("Name", "In Collection"):
            place.pop(path[-1], None)
    return data


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.sampled_from(sorted(paths_of(OURS), key=str)), max_size=40), st.booleans())
def test_any_part_of_our_index_may_be_missing(read, paths, is_known):
    """Without any of its fields and sections, if `validate` accepts it, all is rendered."""
    data = without(OURS, paths)
    for model in data.get("Models", []):
        if not is_known:
            model["Name"] = model.get("Metadata", {})["ID"] = model["Name"].replace("rexnet", "bignet")
    index = read(json.dumps(data))
    if index.errors:
        return
    pages = render_site(index.models)
    for entry in index.models:
        assert pages[f"models/{entry.name}.card.txt"] == render_card(entry)
        if not is_known:
            assert (
                re.findall(rf"{LOADED}|Meant for|han2020|Rank Expansion", words_of(pages, entry.name)) == []
            )


def test_lines_of_other_libraries_stand_where_timm_has_the_network(read):
    """Card and page of a lite have our lines alone and no library of the Hub's; the overview counts them."""
    libraries = {"rexnet_lite_100": ["rexnet_hub"], "rexnet_100": ["rexnet_hub", "timm", "transformers"]}
    at = "Weights: hf:{}/rexnet@" + 40 * "a" + "#model.safetensors"
    places = {"rexnet_lite_100": at.format("org"), "rexnet_100": at.format("timm")}
    stated = [
        f"- Name: {name}\n  {place}\n  Metadata:\n    Num Classes: 1000\n{INPUT}"
        for name, place in places.items()
    ]
    models = read("Models:\n" + "".join(stated)).models
    pages = render_site(models)
    for entry in models:
        card = render_card(entry)
        for text in (card, pages[f"models/{entry.name}.md"]):
            every = ("rexnet_hub", "timm", "transformers")
            found = [name for name in every if re.search(f"^ *(import|from) {name}\\b", text, re.MULTILINE)]
            assert found == libraries[entry.name]
        assert ("library_name: timm" in card) == ("timm" in libraries[entry.name])
    assert "each loaded by one line in rexnet_hub, 1 in timm or transformers;" in pages["index.md"]


def test_lines_load_a_folder_where_no_program_may_fetch_the_weights(read):
    """The page says how the folder is made, of which page's file, and the overview counts no such model."""
    at = "Weights Page: https://example.org/file"
    stated = f"- Name: rexnet_100\n  {at}\n  Metadata:\n    Num Classes: 9\n{INPUT}"
    pages = render_site(read("Models:\n" + stated).models)
    page = pages["models/rexnet_100.md"]
    assert "rexnet-hub stage rexnet_100 --weights FILE --out rexnet_100" in page
    assert "[its page](https://example.org/file)" in page
    loaded = re.findall(r"(?:from_pretrained|create_model)\(\"(.*?)\"|rexnet-hub predict (\S+)", page)
    assert {first or second for first, second in loaded} == {"./rexnet_100", "local-dir:./rexnet_100"}
    assert "one line" not in pages["index.md"]
    assert '"loads":[[false]]' in pages["index.md"].replace(" ", "")
