"""A card speaks of its own data set, licence and people, and says what its maintainers say."""

import re
from decimal import Decimal

import pytest
import yaml
from entries import INPUT
from huggingface_hub import ModelCard, ModelCardData
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rexnet_hub.cli import main
from rexnet_hub.index.entry import MAX_TEXT_BYTES
from rexnet_hub.index.lock import Lock, Measured, MeasuredHub, write_lock
from rexnet_hub.pages.card import render_card
from rexnet_hub.pages.front_matter import front_matter
from rexnet_hub.pages.site import render_site
from rexnet_hub.recipe import make_recipe

FLOWERS = f"""\
Models:
- Name: flowers
  In Collection: RexNet
  License: CC-BY-4.0
  Paper: {{Title: Flowers with small networks, URL: 'https://www.arxiv.org/pdf/2101.00001v2.pdf'}}
  Metadata:
    ID: rexnet_100
    Training Data: Oxford Flowers
    Num Classes: 102
    Labels: flowers.txt
{INPUT}
  Weights: https://example.org/flowers-1b4dddf4.pth
  Results:
  - Task: Image Classification
    Dataset: Oxford Flowers
    Dataset Type: example/oxford-flowers
    Split: test
    Metrics: {{Top 1 Accuracy: 91.20%, Top 5 Accuracy: 98.10%, F1: 0.87}}
- Name: newer
  Metadata:
    ID: rexnet_100
    Num Classes: 102
{INPUT}
Collections:
- Name: RexNet
"""
BESIDE = {
    "flowers.txt": "".join(f"flower {number}\n" for number in range(102)),
    "LICENCE.txt": "The Flower Licence.\n",
}
#: What is of ImageNet, of the authors of ReXNet, or of their licence.
OF_OTHERS = re.compile(
    r"imagenet|crane|clovaai|\bMIT\b|validation|1,000|han2020|Dongyoon|authors'|photograph|the web|medical",
    re.I,
)
GENERATED = re.compile(r"reference/|assets/|schema\.json")
SAID = """\
  Description: "Tells *flowers* apart.\\n\\nGrown in two gardens."
  Intended Use: A walk in a garden.
  Limitations: [It knows no trees, It needs daylight]
  Fine-tuned From: timm/rexnet_100.nav_in1k
  Superseded By: newer
  Language: [en, la]
  Widget: {A tulip: 'https://example.org/tulip.jpg'}
  License Name: Flower Licence 1.0
  License File: LICENCE.txt
"""


def with_said(text, said=SAID):
    return text.replace("  License: CC-BY-4.0\n", said)


@pytest.fixture
def flowers(read):
    """A model of flowers, whose maintainers say nothing in words of their own."""
    index = read(FLOWERS, **BESIDE)
    assert index.problems == ()
    return index.find("flowers")


def test_nothing_of_another_data_set_is_said(flowers, entry):
    """No page, card or data file of a flowers model has a word of ImageNet's, or of ReXNet's people."""
    pages = {name: text for name, text in render_site([flowers]).items() if not GENERATED.match(name)}
    pages["README.md"] = render_card(flowers)
    pages["recipe"] = str(make_recipe(flowers).unstated)
    said = {
        name: found
        for name, text in pages.items()
        if (found := OF_OTHERS.findall(text.replace("rexnet_hub.imagenet", ""))) and name != "lock.json"
    }
    assert said == {}
    assert "Oxford Flowers" in pages["index.md"]
    assert "flowers_102" not in pages["index.md"]
    assert len(set(map(str.lower, OF_OTHERS.findall(render_card(entry))))) >= 9


def test_an_imagenet_model_keeps_its_words(index):
    """What was right of the four ReXNet models is still said, word for word."""
    for each in index.models:
        card = render_card(each)
        for words in (
            "small convolutional networks for ImageNet's 1,000 classes.",
            "Meant for sorting photographs into the 1000 classes",
            '(two are both called "crane")',
            "The pictures were gathered from the web",
            "least of all for drawings, scans or medical pictures",
            "we have not measured this checkpoint on ImageNet ourselves yet",
            f"`rexnet-hub evaluate ./{each.name} --data DIR`",
            "@misc{han2020rexnet,",
            "[Rethinking Channel Dimensions for Efficient Model Design](https://arxiv.org/abs/2007.00992)",
        ):
            assert words in card, words
        assert re.search(r"^\| Top-1 accuracy \| ○ [\d.]+ % \|$", card, re.MULTILINE)


def test_a_citation_is_of_the_entrys_own_paper(flowers, read):
    """Another paper is cited as such, by its address on arXiv; without one nobody's is."""
    card = render_card(flowers)
    assert "[Flowers with small networks](https://arxiv.org/abs/2101.00001)" in card
    assert "title={Flowers with small networks}" in card
    short = FLOWERS.replace("Flowers with small networks", "ReXNet")
    assert "han2020" not in render_card(read(short, **BESIDE).find("flowers"))
    (bare, _) = read(re.sub("  Paper: .*\n", "", FLOWERS), **BESIDE).models
    assert "## Citation" not in render_card(bare)
    for url, shown in (
        ("http://arxiv.org/abs/2101.00001", "https://arxiv.org/abs/2101.00001"),
        ("https://arxiv.org/abs/cs/0101001", "https://arxiv.org/abs/cs/0101001"),
        ("https://example.org/paper.pdf", "https://example.org/paper.pdf"),
    ):
        text = re.sub("  Paper: .*\n", f"  Paper: {url}\n", FLOWERS)
        assert f"]({shown})\n" in render_card(read(text, **BESIDE).find("flowers"))


def test_a_licence_says_who_states_it(read):
    """A licence's source is the address that the entry gives, whosever that is."""
    text = FLOWERS.replace(
        "  License: CC-BY-4.0\n", "  License: CC-BY-4.0\n  Sources: {License: 'https://a.org/l'}\n"
    )
    card = render_card(read(text, **BESIDE).find("flowers"))
    assert "Weights: CC-BY-4.0, as stated at [a.org/l](https://a.org/l).\n" in card
    assert "Weights: CC-BY-4.0.\n" in render_card(read(FLOWERS, **BESIDE).find("flowers"))


@pytest.mark.parametrize("name", ["ImageNet-1k", "imagenet", "ILSVRC2012"])
def test_a_spelling_of_imagenet_is_imagenet(index, read, name):
    """However an entry spells ImageNet, its accuracy is found, and its data set has the Hub's id."""
    text = (index.models[0].location.file).read_text().replace("Dataset: ImageNet\n", f"Dataset: {name}\n")
    spelled = read(text).find("rexnet_100")
    assert spelled.metric("top1").text == "77.86%"
    assert render_card(spelled).replace("index.yml", "rexnet.yml") == render_card(index.find("rexnet_100"))


NUMBERS = st.dictionaries(
    st.sampled_from(["Top 1 Accuracy", "Top-5 Accuracy", "F1", "mAP", "Acc@1 real"]),
    st.integers(0, 9999).map(lambda number: str(Decimal(number).scaleb(-2))),
    max_size=4,
)
RESULTS = st.lists(
    st.tuples(
        st.sampled_from(["ImageNet", "ImageNet-1k", "Oxford Flowers", "a | b", "*c*"]),
        st.sampled_from(["validation", "val", "test", ""]),
        NUMBERS,
    ),
    max_size=4,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RESULTS)
def test_the_body_has_each_number_of_the_metadata(read, results):
    """Whatever results an entry has, each number of the card's metadata stands in a row of its body."""
    rows = [
        {"Task": "t", "Dataset": name, "Metrics": metrics} | ({"Split": split} if split else {})
        for name, split, metrics in results
    ]
    model = yaml.safe_load(FLOWERS)["Models"][0] | {"Results": rows}
    model["Metadata"].pop("Labels")
    entry = read(yaml.safe_dump({"Models": [model]})).models[0]
    require_each_number(entry)


def require_each_number(entry):
    """Require that the body of a card states each number of its metadata, and never says that it is not."""
    card = render_card(entry)
    rows = [
        line.split(" | ") for line in card.partition("## Where the numbers")[2].splitlines() if " | " in line
    ]
    values = [re.split(r" %| \[", row[1])[0] for row in rows]
    numbers = [
        metric["value"]
        for model in front_matter(entry).get("model-index", ())
        for result in model["results"]
        for metric in result["metrics"]
    ]
    for number in numbers:
        stated = next(value for value in values if value != "not stated" and is_same(value, number))
        values.remove(stated)
    accuracies = [row for row in rows if "accuracy" in row[0]]
    if any(metric == "accuracy" for metric in front_matter(entry).get("metrics", ())):
        assert any("not stated" not in row[1] for row in accuracies)


def is_same(text, number):
    return re.fullmatch(r"[\d.,]+", text) is not None and float(text.replace(",", "")) == number


def test_the_zoos_cards_have_each_number(index):
    """Of each model of the zoo, the body states every number of the metadata."""
    for entry in index.models:
        require_each_number(entry)


def test_a_number_that_cannot_be_read_is_not_called_unstated(read):
    """An accuracy on another data set that nobody can read is shown as it was written."""
    text = FLOWERS.replace("91.20%", "about ninety")
    index = read(text, **BESIDE)
    assert [problem.code for problem in index.problems] == ["wrong-kind"]
    card = render_card(index.find("flowers"))
    assert "| Top-1 accuracy on Oxford Flowers, test | ✗ about ninety, unreadable |" in card


def test_models_of_two_data_sets_are_not_compared(index, read):
    """The overview says of which data set an accuracy is; picture and first sentence compare one alone."""
    (flowers, _) = read(FLOWERS.replace("RexNet", "Flora"), **BESIDE).models
    pages = render_site([*index.models, flowers])
    assert "91.20 on Oxford Flowers, test |" in pages["index.md"]
    assert "The most accurate on ImageNet: [rexnet_200]" in pages["index.md"]
    assert "# Models\n" in pages["index.md"]
    assert "# ReXNet models\n" in render_site(index.models)["index.md"]
    assert "The most accurate: [flowers](models/flowers.md), 91.20 %" in render_site([flowers])["index.md"]


def test_what_maintainers_say_is_on_the_card(read):
    """Each field is said in the card's body, and under the Hub's own key, as the Hub's class writes it."""
    (entry, _) = read(with_said(FLOWERS), **BESIDE).models
    card = render_card(entry, repos={"newer": "org/newer"})
    for words in (
        "Tells &#42;flowers&#42; apart.\n\nGrown in two gardens.\n\n> **Superseded.** "
        "[newer](https://huggingface.co/org/newer) replaces this model.\n\n- ",
        "## Limits and intended use\n\nA walk in a garden.\n\n- It knows no trees\n- It needs daylight\n- It",
        "- Fine-tuned From: timm/rexnet_100.nav_in1k\n- Training Data: Oxford Flowers\n",
        "Weights: Flower Licence 1.0.\nThe text: [LICENSE](LICENSE).\n",
    ):
        assert words in card, words
    assert "Meant for sorting" not in card
    oracle = ModelCardData(
        license="other",
        license_name="Flower Licence 1.0",
        license_link="LICENSE",
        language=["en", "la"],
        base_model="timm/rexnet_100.nav_in1k",
        base_model_relation="finetune",
        new_version="org/newer",
        widget=[{"src": "https://example.org/tulip.jpg", "example_title": "A tulip"}],
    ).to_dict()
    found = ModelCard(card).data.to_dict()
    assert {key: found[key] for key in oracle} == oracle


def test_what_is_not_published_is_no_repo(read):
    """A newer model or a base of this index that no lock has published gives the Hub no address."""
    text = with_said(FLOWERS, SAID.replace("timm/rexnet_100.nav_in1k", "[newer, a/b]"))
    (entry, _) = read(text, **BESIDE).models
    assert "new_version" not in front_matter(entry)
    assert front_matter(entry)["base_model"] == "a/b"
    assert front_matter(entry, {"newer": "org/newer"})["base_model"] == ["org/newer", "a/b"]
    alone = read(with_said(FLOWERS, "  Base Model: newer\n"), **BESIDE).find("flowers")
    assert not {"base_model", "base_model_relation"} & front_matter(alone).keys()
    assert "- Fine-tuned From: newer\n" in render_card(alone)


def test_commands_say_what_maintainers_say(read, monkeypatch, capsys, tmp_path):
    """`show` begins with what replaced the model and lists each field, `list` finds by them, `card` links."""
    index = read(with_said(FLOWERS), **BESIDE)
    hub = MeasuredHub(repo_id="org/newer", commit=40 * "c")
    write_lock(Lock(models={"newer": Measured(hub=hub)}), tmp_path / "lock.json")
    monkeypatch.setenv("REXNET_HUB_INDEX", str(index.models[0].location.file.parent))
    assert main(["validate", "--strict"]) == 0
    capsys.readouterr()
    assert main(["show", "flowers"]) == 0
    shown = capsys.readouterr().out
    assert "superseded by newer" in shown.splitlines()[2]
    for line in SAID.splitlines():
        assert re.search(rf"^{line.split(':')[0].strip()} +\S", shown, re.MULTILINE), line
    assert main(["list", "language:la base_model:timm/* license:flower*"]) == 0
    assert "flowers" in capsys.readouterr().out
    assert main(["card", "flowers"]) == 0
    assert "new_version: org/newer\n" in capsys.readouterr().out


def test_a_collection_says_it_for_its_models(read):
    """What a collection says for the card its models say, its licence only where they have none."""
    shared = "\n".join(line for line in SAID.splitlines() if "Superseded" not in line)
    text = FLOWERS.replace("- Name: RexNet\n", f"- Name: RexNet\n{shared}\n")
    own = read(text, **BESIDE).find("flowers")
    assert front_matter(own)["license"] == "cc-by-4.0"
    assert front_matter(own)["language"] == ["en", "la"]
    theirs = read(text.replace("  License: CC-BY-4.0\n", ""), **BESIDE).find("flowers")
    assert front_matter(theirs)["license_name"] == "Flower Licence 1.0"
    assert theirs.license_text == "The Flower Licence.\n"
    assert read(text.replace("LICENCE.txt", "[LICENCE.txt]"), **BESIDE).problems == ()
    assert theirs.extra["description"].inherited


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("Superseded By: newest", "'newest' is no other model"),
        ("Base Model: some words", "'some words' is neither another model"),
        ("Base Model: [a/b, flowers_2]", "'flowers_2' is neither another model"),
        ("Language: [en, English]", "'English' is no language code"),
        ("Widget: {A: 'http://example.org/a.jpg'}", "'http://example.org/a.jpg' is no https address"),
        ("Widget: {A: a.jpg}", "'a.jpg' is no https address"),
        ("License File: missing.txt", "'missing.txt' is not there to read"),
        ("License File: ../flowers.txt", "leaves the index's folder"),
        ("License File: 'http://example.org/l.txt'", "is no https address"),
    ],
)
@pytest.mark.parametrize("owner", ["model", "collection"])
def test_what_cannot_stand_on_a_card_is_refused(read, said, problem, owner):
    """Each field for the card is checked where it stands, once, in a model as in a collection."""
    at = "  License: CC-BY-4.0\n" if owner == "model" else "- Name: RexNet\n"
    index = read(FLOWERS.replace(at, f"{at}  {said}\n"), **BESIDE)
    (found,) = index.problems
    assert (found.code, found.severity) == ("unfit-for-card", "error")
    assert problem in found.message
    assert found.location.line == FLOWERS[: FLOWERS.index(at)].count("\n") + 2


@pytest.mark.parametrize("field", ["Superseded By", "Base Model"])
def test_no_model_is_its_own_successor(read, field):
    """A model that names itself as what replaced it, or as what it was made from, is refused."""
    text = FLOWERS.replace("  License: CC-BY-4.0\n", f"  {field}: flowers\n")
    (problem,) = read(text, **BESIDE).problems
    assert problem.code == "unfit-for-card"


@pytest.mark.parametrize(
    "data", [b"\xff\xfe", b"", b"x" * (MAX_TEXT_BYTES + 1)], ids=["no text", "none", "long"]
)
def test_a_licence_that_is_no_text_is_refused(read, data):
    """A licence's file that is no text, is empty or is too long is a problem at its place, and no card's."""
    text = FLOWERS.replace("  License: CC-BY-4.0\n", "  License File: LICENCE.txt\n")
    (problem,) = read(text, **BESIDE | {"LICENCE.txt": data}).problems
    assert problem.code == "unfit-for-card"
