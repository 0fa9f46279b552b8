"""On a site of mixed tasks, families and data sets no page, card or list says a word that is not so."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from entries import INPUT, SEEDS

from rexnet_hub.addresses import cite
from rexnet_hub.cli import main
from rexnet_hub.index import load_index
from rexnet_hub.index.lock import Measured, MeasuredMacs, MeasuredSizes, read_lock
from rexnet_hub.pages.card import render_card
from rexnet_hub.pages.facts import list_facts
from rexnet_hub.pages.site import render_site

ROOT = Path(__file__).parents[2]
#: Beside the seed's four: classifiers of another family under other spellings of ImageNet, one of them known
#: to nobody here, and models of other tasks.
OTHERS = f"""\
Collections:
- Name: Swin
  Paper: {{Title: Swin Transformer, URL: https://arxiv.org/abs/2103.14030}}
- Name: BLIP
Models:
- Name: swin_tiny_patch4_window7_224
  In Collection: Swin
  Metadata:
    Tasks: [Image Classification]
    Parameters: 28288354
    Num Classes: 1000
    LR: 0.5
    Epochs: 400
{INPUT}
  Results:
  - Task: Image Classification
    Dataset: ImageNet-1k
    Metrics: {{Top 1 Accuracy: 81.18%}}
- Name: swin_nobody
  In Collection: Swin
  Metadata: {{Training Data: [ImageNet-1k], Epochs: 300}}
  Results:
  - Task: Image Classification
    Dataset: ILSVRC2012
    Metrics: {{Top 1 Accuracy: 83.18%}}
- Name: blip_base
  In Collection: BLIP
  Metadata: {{Tasks: [Image Captioning], Parameters: 223000000, Training Data: [COCO], Epochs: 20}}
  Results:
  - Task: Image Captioning
    Dataset: COCO
    Metrics: {{CIDEr: '133.3'}}
- Name: bert_base
  Metadata: {{Tasks: [Text Classification], Parameters: 110000000}}
- Name: rexnet_captions
  Metadata: {{ID: rexnet_100, Tasks: [Image Captioning]}}
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The site of all of them, with what the lock has of the four."""
    file = tmp_path_factory.mktemp("mixed") / "index.yml"
    index, others = (yaml.load(text, yaml.BaseLoader) for text in (SEEDS.read_text(), OTHERS))
    both = {key: [*index[key], *others[key]] for key in ("Collections", "Models")}
    file.write_text(yaml.safe_dump(both, sort_keys=False))
    index = load_index(file)
    assert index.errors == ()
    return render_site(index.models, read_lock()) | {
        name: (ROOT / name).read_text(encoding="utf-8") for name in ("mkdocs.yml", "CITATION.cff")
    }


def told(pages, name):
    """All that the site tells people of one model, its card with it."""
    page = pages[f"models/{name}.md"].split("## Among its siblings")
    return page[0] + page[-1].split("## Limits")[-1] + pages[f"models/{name}.card.txt"]


def words(name, pattern):
    """Make a check that finds a pattern in what is told of a model."""
    return lambda pages: re.findall(pattern, told(pages, name))


def lacking(name, text):
    """Make a check that finds that page or card of a model lack a text."""
    kinds = (f"models/{name}.md", f"models/{name}.card.txt")
    return lambda pages: [kind for kind in kinds if text not in pages[kind]]


def find_unstated(pages):
    """Find a first figure that a table does not have though its entry does, or a false best model."""
    row = next(line for line in pages["index.md"].splitlines() if line.startswith("| [swin_tiny"))
    best = re.search(r"The most accurate[^:]*: \[(\w+)\]", pages["index.md"])[1]
    return [row] * ("○</i> 81.18 |" not in row) + [best] * (best != "swin_nobody")


SWIN = "swin_tiny_patch4_window7_224"
COPIED = (
    "LR, Epochs, Weight Decay, Dropout are those of [the authors' command]("
    "https://github.com/clovaai/rexnet/blob/61debcc/README.md) for rexnet_100, the only one that they print"
)
PAPER = "[Swin Transformer](https://arxiv.org/abs/2103.14030)"
NOT_LOADED = ("swin_nobody", "blip_base", "bert_base")
LOADS = r"AutoModel|create_model|library_name|rexnet-hub (?:predict|stage|evaluate)|train\.py"
PAGE, CARD = "models/{}.md", "models/{}.card.txt"
#: What is false, by kind: what finds it, and what would be found: in which file what stands for what.
FALSE = {
    "every claim is measured": (
        lambda pages: [name for name in pages if "every claim is measured" in pages[name]],
        ("mkdocs.yml", "A model zoo in which every number", "In it every claim is measured, every number"),
    ),
    "a captioning model classifies": (
        words("blip_base", r"classif|classes|top-\d|Top-\d|224"),
        (PAGE.format("blip_base"), "a model for image captioning", "an image classifier"),
    ),
    "a text model has a picture": (
        words("bert_base", r"[Ii]mage|picture|px|Crop"),
        (CARD.format("bert_base"), "Not stated.", "Not stated: Image Size."),
    ),
    "a known network classifies whatever it is for": (
        words("rexnet_captions", r"an image classifier|pipeline_tag"),
        (CARD.format("rexnet_captions"), "a model for image captioning", "an image classifier"),
    ),
    "a number of a metric that is not known is dropped": (
        lacking("blip_base", "| CIDEr on COCO | 133.3 [1] |"),
        (PAGE.format("blip_base"), "| CIDEr on COCO | 133.3 [1] |", ""),
    ),
    "all are ReXNets": (
        lambda pages: re.findall(r"^.*ReXNet models.*", pages["index.md"] + pages["llms.txt"], re.MULTILINE),
        ("llms.txt", "> Models.", "> ReXNet models."),
    ),
    "what cannot be loaded has lines that load": (
        lambda pages: [name for name in NOT_LOADED if re.search(LOADS, told(pages, name))],
        (PAGE.format("swin_nobody"), "## Training\n", "## Training\n\n    python train.py\n"),
    ),
    "an accuracy is not stated": (
        find_unstated,
        ("index.md", "| <i>○</i> 81.18 |", "| not stated |"),
    ),
    "the most accurate": (
        find_unstated,
        ("index.md", "The most accurate: [swin_nobody]", "The most accurate: [rexnet_200]"),
    ),
    "another family's authors": (
        words(SWIN, r"clovaai|the authors|han2020|ReXNet|rexnet_\d"),
        (PAGE.format(SWIN), "not stated\n", "not stated; the authors' command has 0.5\n"),
    ),
    "a family's paper is everybody's": (
        lambda pages: re.findall(r"Paper: .*", pages["index.md"]),
        ("index.md", "[All 3 families]", f"Paper: {PAPER}. [All 3 families]"),
    ),
    "a family's paper is nobody's": (
        lambda pages: [
            path
            for path in ("families/index.md", "families/Swin.md")
            if PAPER not in pages[path].split("hub-overview")[0]
        ],
        ("families/index.md", PAPER, ""),
    ),
    "a copied recipe": (
        lacking("rexnet_130", COPIED),
        (CARD.format("rexnet_130"), COPIED, ""),
    ),
    "a recipe that is one's own": (
        words("rexnet_100", "are those of"),
        (PAGE.format("rexnet_100"), "- LR: 0.5\n", f"- LR: 0.5\n\n{COPIED}"),
    ),
    "a copy is a witness": (
        lacking("rexnet_130", "[copied from timm's results-imagenet.csv, 2021-01-03]"),
        (CARD.format("rexnet_130"), "[copied from timm's", "[timm's"),
    ),
    "our file states it": (
        words("rexnet_130", r"the model index \(|the index \|"),
        (CARD.format("rexnet_130"), "[timm's rexnet.md, b9843f95]", "the model index (rexnet.yml)"),
    ),
    "a count of whose network": (
        lacking("rexnet_150", "898,219,492 (fvcore, of rexnet_hub's network)"),
        (PAGE.format("rexnet_150"), "(fvcore, of rexnet_hub's network)", "(fvcore)"),
    ),
    "what is proved is not measured": (
        lacking("rexnet_130", "reproduced: a file of these tensors in torch's legacy container"),
        (CARD.format("rexnet_130"), "reproduced: a file", "not measured yet: a file"),
    ),
    "a column that is nobody's": (
        lambda pages: re.findall(r"Top-\d|not stated \| not stated \|", pages["families/BLIP.md"]),
        ("families/BLIP.md", "| Parameters |", "| Top-1 % | Parameters |"),
    ),
    "a claim compared with itself": (
        words("rexnet_100", r"77.86 \(claimed\) \| \[timm's rexnet.md"),
        (PAGE.format("rexnet_100"), "|  | [timm's rexnet.md", "| 77.86 (claimed) | [timm's rexnet.md"),
    ),
    "FLOPs without a word": (
        lacking("rexnet_130", "| how they were counted is not stated |"),
        (PAGE.format("rexnet_130"), "| how they were counted is not stated |", "|  |"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FALSE)
def test_no_false_word_stands_on_a_mixed_site(pages, kind):
    """None of the kinds of false words that were once seen is there."""
    assert FALSE[kind][0](pages) == []


@pytest.mark.parametrize("kind", FALSE)
def test_each_false_word_would_be_found(pages, kind):
    """Put where it once stood, each is found."""
    find, (path, old, new) = FALSE[kind]
    assert old in pages[path]
    assert find(pages | {path: pages[path].replace(old, new)}) != []


def test_the_table_that_a_number_was_copied_from_is_no_second_source(entry):
    """Only a later table is a second, and only where its number is the claimed one: 80.322 is not 80.31."""
    (result,) = entry.results
    origin, later = result.snapshots

    def standing(*tables):
        facts = list_facts(replace(entry, results=(result._replace(snapshots=tables),)))
        return [(fact.standing, len(fact.second_sources)) for fact in facts if fact.key in ("top1", "top5")]

    assert standing(origin) == [("claimed", 1)] * 2
    assert standing(origin, later) == [("claimed", 2), ("second source", 2)]
    assert result.extra["copied_from"].value == origin.url


def test_a_size_is_reproduced_only_to_the_byte(entry):
    """Page, card and JSON call the size reproduced where the tensors give it; one byte off it is claimed."""
    size = entry.value("file_size")
    for legacy, standing in ((size, "reproduced"), (size - 1, "claimed")):
        sizes = MeasuredSizes(legacy_bytes=legacy, safetensors_bytes=1)
        facts = {fact.key: fact for fact in list_facts(entry, Measured(expected_sizes=sizes))}
        assert facts["file_size"].standing == standing
        card = render_card(entry, measured=Measured(expected_sizes=sizes))
        assert ("lock.json: expected_sizes" in card) == (standing == "reproduced")


def test_a_count_names_timm_where_the_network_is_timms(read):
    """What fvcore counts of a network of timm's is said to be of timm's."""
    (swin, *_) = read(OTHERS).models
    macs = {name: MeasuredMacs(count=9, input_px=224, counter="x") for name in ("conv_linear", "fvcore")}
    facts = {fact.key: fact for fact in list_facts(swin, Measured(macs=macs))}
    assert facts["macs"].also_measured == ("9 (fvcore, of timm's network)",)


def test_a_page_explains_only_the_words_that_stand_there(pages):
    """Below the evidence stand the meanings of the words that the page uses of its figures, and no others."""
    legend = r"^- <\w>.</\w> \*([\w ]+)\*: "
    assert re.findall(legend, pages["models/blip_base.md"], re.MULTILINE) == ["claimed"]
    found = re.findall(legend, pages["models/rexnet_130.md"], re.MULTILINE)
    assert {"reproduced", "second source", "measured", "agrees as rounded"} <= {*found}
    figures = json.loads(pages["models/rexnet_130.json"])["figures"]
    assert {figure["standing"] for figure in figures.values()} <= {*found}


def test_the_command_line_says_what_is_copied_and_what_is_reproduced(capsys, monkeypatch):
    """`show` and `recipe` say of the zoo's own models what their pages say, and not of others."""
    monkeypatch.setenv("COLUMNS", "200")
    for name, copied in (("rexnet_130", True), ("rexnet_100", False)):
        assert main(["show", name]) == main(["recipe", name]) == 0
        out = capsys.readouterr().out
        assert re.search(r"expected_sizes.legacy_bytes +\d+, which reproduces File Size", out)
        assert ("LR, Epochs, Weight Decay, Dropout are those of the authors' command" in out) == copied
        assert main(["recipe", name, "--json"]) == 0
        assert (json.loads(capsys.readouterr().out)["copied"] != []) == copied


def test_speed_is_no_task(read):
    """A known network of which only the speed is stated is the classifier that its network is."""
    speed = "\n  Results:\n  - {Task: Throughput, Split: a CPU, Metrics: {Images per Second: 3}}\n"
    (entry,) = read(f"Models:\n- Name: rexnet_100{speed}").models
    assert "is an image classifier of the ReXNet family" in render_card(entry)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://github.com/rwightman/pytorch-image-models/blob/4e5207c7/a.csv", "timm's a.csv, 4e5207c7"),
        ("https://github.com/clovaai/rexnet/blob/61debcc/a/b.md#license", "clovaai/rexnet's b.md, 61debcc"),
        ("https://example.org/page.html", "example.org/page.html"),
    ],
)  # fmt: skip
def test_a_page_is_called_by_whose_it_is(url, words):
    """A file on GitHub is named with its owner and commit, any other address as it is."""
    assert cite(url) == words
