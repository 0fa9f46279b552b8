"""The site is a pure function of entries and lock: same bytes, honest words, no page that hides another."""

import csv
import io
import json
import posixpath
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from entries import INPUT
from hostile_index import lock, measured  # noqa: F401

from rexnet_hub.agreement import SIGNS
from rexnet_hub.index import load_index, read_lock
from rexnet_hub.index.ledger import read_ledger
from rexnet_hub.index.lock import Lock, Publication
from rexnet_hub.nets.families.rexnet import FAMILY
from rexnet_hub.pages.card import render_card
from rexnet_hub.pages.chart import place_labels
from rexnet_hub.pages.facts import list_facts
from rexnet_hub.pages.families import MOST_SIBLINGS
from rexnet_hub.pages.site import list_speeds, nearest_siblings, pack, render_chart, render_site
from rexnet_hub.pages.text import short
from rexnet_hub.pages.views import view_models

REXNET = FAMILY.words()


ROOT = Path(__file__).resolve().parents[2]


def test_the_same_input_gives_the_same_bytes(index, lock):  # noqa: F811
    """Two renderings are equal, file by file."""
    assert render_site(index.models, lock) == render_site(index.models, lock)


def test_what_is_not_measured_is_never_called_measured(index):
    """Without a lock no page, record or row says that we measured anything."""
    pages = render_site(index.models)
    for entry in index.models:
        page = pages[f"models/{entry.name}.md"]
        assert "not measured yet" in page
        assert "not recorded yet" in page
        figures = json.loads(pages[f"models/{entry.name}.json"])["figures"]
        assert {figure["standing"] for figure in figures.values()} <= {"claimed", "second source", None}
    table = pages["index.md"].split("hub-table")[1]
    assert {sign: table.count(sign) for sign in SIGNS} == {"✓": 0, "○": 20, "✗": 0}


def test_what_was_measured_stands_beside_the_claim(index, lock):  # noqa: F811
    """With a lock the page shows count, digest and accuracy in full, and the claim stays as published."""
    page = render_site(index.models, lock)["models/rexnet_150.md"]
    for words in (
        "9,730,000",
        "9,728,593",
        "80.31 %",
        "80.314 % (40,157 of 50,000 images)",
        "bd1a6aa8" + 56 * "0",
    ):
        assert words in page
    assert '| MACs | <b>✓</b> <abbr title="876,000,000">876\u00a0M</abbr> | [measured](' in page
    assert '"hf-hub:someone/rexnet_150"' in page


def test_table_page_and_card_have_one_sign_of_one_colour(entry, measured):  # noqa: F811
    """Of what is measured, claimed and differing; each explains the signs that it has, and no others."""
    wrong = replace(measured, parameters=9735001)
    pages = render_site([entry], Lock(models={entry.name: wrong}))
    page, card = pages["models/rexnet_150.md"], render_card(entry, measured=wrong)
    for label, sign, colour in (("MACs", "✓", "b"), ("FLOPs", "○", "i"), ("Parameters", "✗", "s")):
        assert re.search(rf"^\| {label} \| <{colour}>{sign}</{colour}> ", page, re.MULTILINE)
        assert re.search(rf"^\| {label} \| {sign} ", card, re.MULTILINE)
    (row,) = re.findall(r"^\| \[rexnet_150.*", pages["index.md"], re.MULTILINE)
    shown = re.findall(r"<(\w)>(.)</\1> ([\d.]+)", row)[2:5]
    assert shown == [("s", "✗", "9.74"), ("b", "✓", "876"), ("i", "○", "1.12")]
    told = (pages["index.md"], card, render_card(entry))
    for text, signs in zip(told, ("✓○✗", "✓○✗", "○"), strict=True):
        words = (words for sign, words in SIGNS.items() if sign in signs)
        assert ", ".join(f"{sign} {said}" for sign, said in zip(signs, words, strict=True)) + "." in re.sub(
            "</?[bis]>", "", text
        ).replace("&nbsp;", " ")


AT, FILE = f"@{40 * 'a'}", "#model.safetensors"


@pytest.mark.parametrize(
    ("stated", "repo"),
    [
        (f"Weights: hf:timm/a.b{AT}{FILE}", "timm/a.b"),
        ("Weights Page: https://huggingface.co/timm/a.b", "timm/a.b"),
        (f"Weights: hf:someone/a.b{AT}{FILE}", None),
        (f"Weights: hf:timm/a.b{AT}#other.safetensors", None),
        ("Weights Page: https://huggingface.co/timm/a.b/blob/main/x.bin", None),
    ],
)
def test_timm_and_transformers_load_the_repo_that_the_entry_names(read, stated, repo):
    """One of timm's own, whose layout both read; any other place may hold another, so a folder is staged."""
    (entry,) = read(
        f"Models:\n- Name: rexnet_100\n  {stated}\n  Metadata:\n    Num Classes: 1000\n{INPUT}"
    ).models
    page = render_site([entry])["models/rexnet_100.md"]
    ours = "./rexnet_100" if "Page" in stated else "rexnet_100"
    assert (f'timm.create_model("local-dir:{ours}", pretrained=True)' in page) == (repo is None)
    assert ("rexnet-hub stage rexnet_100 --out rexnet_100" in page) == (repo is None and "Page" not in stated)
    assert f'AutoModelForImageClassification.from_pretrained("{repo or "./rexnet_100"}")' in page
    assert page.count(f'AutoModel.from_pretrained("{ours}"') >= 4  # transformers' lines have an AutoModel too
    if repo:
        for library in ("", ", features_only=True", ", num_classes=10"):
            assert f'timm.create_model("hf-hub:{repo}", pretrained=True{library})' in page
        assert f"load [{repo}](https://huggingface.co/{repo}), a repo of timm's" in page


def test_the_zoos_own_models_load_from_timms_repos():
    """By their index entries: of a published one the lines are of its own repo."""
    pages = render_site(load_index(ROOT / "model_index").models)
    named = {
        name: re.findall(r'"hf-hub:(\S+)", pretrained=True\)\.eval', page) for name, page in pages.items()
    }
    assert named["models/rexnet_150.md"] == ["timm/rexnet_150.nav_in1k"]
    assert named["models/rexnet_130.md"] == []


def test_a_page_begins_with_paper_and_code(index):
    """The paper at arXiv, the network's code, the authors' own where the model is of their paper."""
    entry = index.models[0]
    other = replace(entry, paper=entry.paper._replace(title="Another"), current_paper=None)
    heads = [render_site([each])["models/rexnet_100.md"].split("hub-figures")[0] for each in (entry, other)]
    theirs = (
        "- The authors' code: [clovaai/rexnet's README.md, 61debcc](https://github.com/clovaai/rexnet/blob/"
    )
    for words in ("](https://arxiv.org/abs/2007.00992)", "- Code of the network: [timm's", theirs):
        assert words in heads[0]
    assert "- Paper: [Another](" in heads[1]
    assert theirs not in heads[1]


def test_each_file_is_a_download_with_its_digest(index, lock):  # noqa: F811
    """Or the words that none is recorded; a published file is at its commit, one of a Hub at its bytes."""
    pages = render_site(index.models, lock)
    page = pages["models/rexnet_150.md"]
    release = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-rexnet"
    released = f"| [rexnetv1_150-bd1a6aa8.pth]({release}/rexnetv1_150-bd1a6aa8.pth) | 39,227,315 | `bd1a"
    ours = f"https://huggingface.co/someone/rexnet_150/resolve/{40 * 'c'}/model.safetensors"
    assert released in page
    assert f"| [model.safetensors]({ours}) | 39,000,000 | `{64 * 'a'}` |" in page
    assert "rexnetv1_100-1b4dddf4.pth) | 19,417,552 | not recorded yet |" in pages["models/rexnet_100.md"]
    files = json.loads(pages["models/rexnet_150.json"])["files"]
    assert [file["url"] for file in files] == [f"{release}/rexnetv1_150-bd1a6aa8.pth", ours]
    at_hub = render_site([load_index(ROOT / "model_index").find("rexnet_300.nav_in1k")])
    page = at_hub["models/rexnet_300.nav_in1k.md"]
    assert re.findall(r"^\| .*model\.safetensors.*not recorded yet \|$", page, re.MULTILINE) == [
        "| [model.safetensors](https://huggingface.co/timm/rexnet_300.nav_in1k/resolve/"
        "a87f47a77b38c8f1f53177beef5475d8900e6f81/model.safetensors) | not recorded yet | not recorded yet |"
    ]


def test_the_first_screen_has_promise_status_install_repository_and_paper(index):
    """In this order; a repository where one is given, a paper where all models are of one family's."""
    pages = render_site(index.models, repository="https://example.org/zoo")
    start = pages["index.md"].split("hub-overview")[0]
    parts = (
        "every number says",
        "**Measured here**",
        "```console\npip install .",
        "[Repository](https://example.org/zoo)",
        "Paper: [Rethinking",
    )
    assert sorted(parts, key=start.index) == [*parts]
    assert "Repository" not in render_site(index.models)["index.md"]
    assert "Repository" not in render_site(index.models, repository="javascript:x")["index.md"]
    family = pages["families/RexNet.md"]
    assert "Paper: [Rethinking" in family.split("hub-overview")[0]
    assert "pip install" not in family
    paperless = [replace(e, paper=None, current_paper=None, collection=None) for e in index.models]
    assert "Paper" not in render_site(paperless)["index.md"].split("hub-overview")[0]


def test_a_page_and_its_json_show_what_each_place_states():
    """Each place stands beside ours with its address, how they stand and why; the JSON has the same rows."""
    pages = render_site(load_index().models, read_lock(), read_ledger())
    page = pages["models/rexnet_100.md"]
    address = "https://github.com/frgfm/Holocron/blob/cbe2ac6/holocron/models/classification/rexnet.py"
    why = "differs by 687; the biases that a batch norm follows are left out"
    assert f"| Parameters | 4796186 | 4,796,873 | [Holocron]({address}), 2026-11-28 | {why} |" in page
    of_timm = "[timm's rexnet.md, b9843f95](https://github.com/rwightman/pytorch-image-models/blob/b9843f95"
    assert f"| FLOPs | 509989377 | 796,740,784 | {of_timm}" in page
    assert page.count("differs by 286751407; no cause known |") == 1
    told = json.loads(pages["models/rexnet_100.json"])["ledger"]
    assert page.count("\n| ") > len(told) > 20
    assert {row["holds"] for row in told} == {True, None}


def test_a_measurement_that_contradicts_is_said(entry, measured):  # noqa: F811
    """One parameter too many for the claim's rounding is said to differ."""
    wrong = replace(measured, parameters=9735001)
    facts = {fact.key: fact for fact in list_facts(entry, wrong)}
    assert facts["parameters"].standing == "differs"
    assert {fact.key: fact for fact in list_facts(entry, measured)}[
        "parameters"
    ].standing == "agrees as rounded"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (4796873, "4.80 M"),
        (9999999, "10.0 M"),
        (999999, "1.00 M"),
        (510 * 10**6, "510 M"),
        (65862221, "65.9 M"),
        (12, "12"),
    ],
)
def test_short_counts_have_three_digits(value, words):
    """A short count is rounded, never cut, and takes the next prefix where rounding reaches it."""
    assert short(value).replace("\N{NO-BREAK SPACE}", " ") == words


def test_the_page_renders_the_whole_seed(index):
    """Description, snippets, features, fine-tuning, training, citation: all that the seed's page has."""
    from pathlib import Path

    seed = Path(__file__).parents[1].joinpath("data", "seed_rexnet.md").read_text(encoding="utf-8")
    bibtex = seed.split("```BibTeX\n")[1].split("```")[0]
    assert [line.rstrip() for line in bibtex.strip().splitlines()] == REXNET.bibtex.splitlines()
    assert "Rank Expansion Networks" in seed
    assert REXNET.description.split("Authors")[0] in seed
    for entry in index.models:
        page = render_site(index.models)[f"models/{entry.name}.md"]
        assert REXNET.bibtex in page
        assert REXNET.description in page
        for part in ("Load and predict", "Extract features", "Fine-tune", "Training", "4x NVIDIA V100 GPUs"):
            assert part in page


def test_the_overview_names_the_most_accurate_and_the_smallest(index):
    """A reader in a hurry is told two names with their figures; where nothing is known, none."""
    page = render_site(index.models)["index.md"]
    assert "The most accurate: [rexnet_200](models/rexnet_200.md), 81.63 % top-1." in page
    assert "The smallest: [rexnet_100](models/rexnet_100.md), 4.80\u00a0M parameters." in page
    entry = index.models[0]
    unsized = {name: claim for name, claim in entry.metadata.items() if name != "parameters"}
    bare = [replace(entry, metadata=unsized, results=())]
    assert "The most accurate" not in render_site(bare)["index.md"]
    assert "The smallest" not in render_site(bare)["index.md"]


def test_the_overview_says_how_much_is_measured_and_how_much_differs(index, lock):  # noqa: F811
    """Of how many models, and of how many figures that were compared."""
    lines = [render_site(index.models, each)["index.md"] for each in (Lock(), lock)]
    nothing = "of 4: Parameters 0, File size 0, Top-1 accuracy 0. <i>"
    assert f"**Measured here**, {nothing}" in lines[0]
    facts = [f for e in index.models for f in list_facts(e, lock.of(e.name))]
    counts = [
        sum(f.key == key and f.measured is not None for f in facts)
        for key in ("parameters", "macs", "file_size", "top1")
    ]
    compared = [f.agreement.holds for f in facts if f.agreement]
    found = re.search(r"\*\*Measured here\*\*, (.*)", lines[1])
    assert found
    assert [int(n) for n in re.findall(r"(?<!-)\d+", found[1])] == [
        len(index.models),
        *counts,
        len(compared),
        compared.count(False),
    ]
    assert any(counts)


def test_the_chart_of_the_readme_is_the_index_s():
    """As `make chart` writes it, in the page's own colours, light and dark."""
    drawn = render_chart(load_index(ROOT / "model_index").models, read_lock(ROOT / "model_index/lock.json"))
    assert (ROOT / "docs/chart.svg").read_text() == drawn
    parts = ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}style")
    style = "".join(part.text or "" for part in parts)
    colours = re.findall(r"--hub-mark: (#\w+)", style)
    assert len({*colours}) == 2
    assert style.index(colours[0]) < style.index("prefers-color-scheme: dark") < style.index(colours[1])


def test_no_name_stands_on_another(index):
    """Where models are twins; one that fits nowhere is left out."""
    marks: list[dict[str, Any]] = [
        {"name": f"twin_{n}", "x": 300.0, "y": 150.0, "radius": 8.0, "label": None} for n in range(6)
    ]
    place_labels(marks)
    assert [mark["label"][2] for mark in marks[:4]] == ["start", "end", "middle", "middle"]
    assert [mark["label"][1] for mark in marks[:4]] == [154.5, 154.5, 134.0, 175.0]
    assert not any(mark["label"] for mark in marks[4:])


def test_records_lead_to_the_lock_that_holds_them(index, lock):  # noqa: F811
    """The site carries the lock; the page links to it where a figure was measured, the card names it."""
    pages = render_site(index.models, lock)
    assert json.loads(pages["lock.json"])["models"]["rexnet_150"]["parameters"] == 9728593
    page, card = pages["models/rexnet_150.md"], pages["models/rexnet_150.card.txt"]
    assert page.count("[lock.json](../lock.json): ") == 4  # of both accuracies one
    assert card.count(". lock.json: ") == 4
    assert "lock.json" not in pages["models/rexnet_100.md"]


def test_data_files_say_what_the_pages_say(index, lock):  # noqa: F811
    """JSON and CSV hold the same figures; the schema accepts the index's own shape."""
    pages = render_site(index.models, lock)
    models = {model["name"]: model for model in json.loads(pages["models.json"])["models"]}
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(pages["models.csv"]))}
    assert list(models) == list(rows) == [entry.name for entry in index.models]
    for name, row in rows.items():
        assert models[name] == json.loads(pages[f"models/{name}.json"])
        assert float(row["top1_percent"]) == models[name]["figures"]["top1"]["value"]
        assert row["parameters_standing"] == models[name]["figures"]["parameters"]["standing"]
    jsonschema.Draft202012Validator.check_schema(json.loads(pages["schema.json"]))


def test_the_feed_tells_every_change_the_latest_first(index, lock):  # noqa: F811
    """Nothing published: an empty feed; each publication is an item that says what it changed."""
    assert json.loads(render_site(index.models)["feed.json"])["items"] == []
    times = [
        Publication(date=date, repo_id="someone/rexnet_150", commit=40 * digit, weights_sha256=64 * weights)
        for date, digit, weights in (
            ("2026-01-02", "a", "1"),
            ("2026-01-02", "b", "1"),
            ("2026-03-01", "c", "2"),
        )
    ]
    whole = lock.with_model("rexnet_150", replace(lock.of("rexnet_150"), published=tuple(times)))
    items = json.loads(render_site(index.models, whole)["feed.json"])["items"]
    assert [item["id"][-40:] for item in items] == [40 * "c", 40 * "b", 40 * "a"]
    assert [item["title"] for item in items] == [
        "rexnet_150 has new weights",
        "rexnet_150 has a new card or new settings",
        "rexnet_150 is published",
    ]
    assert items[0]["date_published"] == "2026-03-01T00:00:00Z"
    assert f"before {64 * '1'}" in items[0]["content_text"]


def many(index, count):
    """Make a zoo of this many models out of the four."""
    return [
        replace(index.models[i % 4], name=f"model_{i:04}", metadata={**index.models[i % 4].metadata})
        for i in range(count)
    ]


def test_siblings_are_capped(index, lock):  # noqa: F811
    """Of a large family a page shows a fixed number, itself among them, wherever it stands."""
    views = view_models(many(index, 100), lock)
    for place in (0, 50, 99):
        near = nearest_siblings(views)[views[place].file]
        assert len(near) == MOST_SIBLINGS
        assert views[place] in near


def test_names_that_make_one_file_name_get_a_page_each(index):
    """Letter case that a file system may not tell apart, or a path in a name, hides no page."""
    names = ["Model", "model", "../model", "a/b", "a\\b", "con fusion", "é"]
    entries = [replace(index.models[0], name=name) for name in names]
    pages = [path for path in render_site(entries) if path.startswith("models/") and path.endswith(".md")]
    assert len({path.lower() for path in pages}) == len(names)
    assert all(path.count("/") == 1 and ".." not in path for path in pages)


@pytest.mark.slow
def test_a_thousand_models_render_in_seconds(index):
    """Pages and data of 1,000 entries take no more than 15 CPU seconds, and the cost of one does not grow."""
    started = time.process_time()
    pages = render_site(many(index, 1000))
    assert time.process_time() - started < 15
    assert len(pages) > 3000


def test_what_many_models_say_is_written_once():
    """Each model has its value's number, -1 where it says nothing; numbers that tell nothing are left out."""
    records = [
        {"name": "a", "text": {"license": ["MIT"], "task": ["x"]}, "number": {"top1": 7}, "loads": True},
        {"name": "b", "text": {"license": ["MIT"]}, "number": {"top1": 7, "odd.name": 1}, "loads": True},
        {"name": "c", "text": {"license": ["GPL"]}, "number": {}, "loads": True},
    ]
    assert pack(records) == {
        "name": [["a", "b", "c"]],
        "text.license": [[["MIT"], ["GPL"]], [0, 0, 1]],
        "text.task": [[["x"]], [0, -1, -1]],
        "number.top1": [[7], [0, 0, -1]],
        "number.odd.name": [[1], [-1, 0, -1]],
        "number": [[{}], [-1, -1, 0]],
        "loads": [[True]],
    }


def test_each_family_has_a_page_that_links_to_its_models_and_back(index):
    """Of 261 models in 63 families each stands in its own; every link of a generated page leads to one."""
    families = [f"Family {n}" for n in range(60)] + ["index", "Index", "a/b"]
    own = index.models[0].collection
    entries = [
        replace(entry, collection=replace(own, name=families[number % 63], extra={}))
        for number, entry in enumerate(many(index, 260))
    ]
    alone = replace(entries[0], name="alone", collection=None)
    pages = render_site([*entries, alone])
    folders = [path for path in pages if path.startswith("families/") and path != "families/index.md"]
    assert len({path.lower() for path in folders}) == 63
    assert pages["families/index.md"].count("| 5 | ") == 8
    assert "[All 63 families](families/index.md)" in pages["index.md"]
    for path, text in pages.items():
        for target in re.findall(
            r"\]\(([^):]+\.(?:md|json|txt|csv))[#)]", text if path.endswith(".md") else ""
        ):
            place = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
            assert place in pages or path.startswith("reference/"), (path, target)
    assert "](../models/model_0063.md) |" in pages["families/Family-0.md"]
    assert "[Family 0](../families/Family-0.md)" in pages["models/model_0063.md"]
    assert "families/" not in pages["models/alone.md"]
    assert "siblings" not in pages["models/alone.md"]


def test_one_family_is_no_choice(index):
    """Our own overview has no column of families and no list of them; a model's page leads to the one."""
    pages = render_site(index.models)
    assert "families/" not in pages["index.md"]
    assert "families/index.md" not in pages
    page = pages["models/rexnet_100.md"].split("hub-figures")[0]
    assert "[ReXNet](../families/RexNet.md)" in page
    assert re.findall(r"\(\.\./models/(\w+)\.md\)", page) == ["rexnet_130", "rexnet_150", "rexnet_200"]
    for words in (REXNET.description, REXNET.bibtex, "](../models/rexnet_200.md) |", "# ReXNet models"):
        assert words in pages["families/RexNet.md"]


def test_speeds_of_two_machines_are_two_axes(read):
    """Also where one page states both; of one machine several picture sizes are one axis."""
    row = (
        "  - Task: Throughput\n    Split: {0}\n    Source URL: https://example.org/speeds\n"
        "    Metrics:\n      Images per Second: {1}\n"
    )
    parts = {
        "a": (("V100 224 px, batch 8", 5000), ("Xeon 224 px, batch 8", 50)),
        "b": (("Xeon 288 px, batch 4", 60),),
    }
    models = "".join(
        f"- Name: {name}\n  Results:\n" + "".join(row.format(*each) for each in rows)
        for name, rows in parts.items()
    )
    speeds = list_speeds([*view_models(read("Models:\n" + models).models, Lock())])
    assert sorted(map(str, (numbers for _, numbers in speeds))) == ["{'a': 50.0, 'b': 60.0}", "{'a': 5000.0}"]
