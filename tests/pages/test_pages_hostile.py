"""Text of an index is inert on page and card: it never becomes structure, and comes through unchanged."""

import json
import re
from html.parser import HTMLParser

import markdown
import markdown_it
import pytest
import yaml
from hostile_index import HOSTILE, write_hostile_index
from hypothesis import given
from hypothesis import strategies as st

from rexnet_hub.index import load_index
from rexnet_hub.index.lock import Lock
from rexnet_hub.pages import text
from rexnet_hub.pages.card import render_card
from rexnet_hub.pages.site import render_site

EXTENSIONS = [
    "tables",
    "attr_list",
    "md_in_html",
    "admonition",
    "toc",
    "pymdownx.superfences",
    "pymdownx.tabbed",
]


def to_html(source):
    """Render as the site does."""
    return markdown.markdown(
        source, extensions=EXTENSIONS, extension_configs={"pymdownx.tabbed": {"alternate_style": True}}
    )


class Skeleton(HTMLParser):
    """The tags, attributes and link schemes of a page, without its text."""

    def __init__(self):
        super().__init__()
        self.parts, self.text = [], []

    def handle_starttag(self, tag, attributes):
        """Take a tag, its attributes, and the schemes of its links."""
        schemes = tuple(
            (k, (v or "").partition(":")[0] if k in ("href", "src") else "") for k, v in attributes
        )
        self.parts.append(
            (tag, tuple((k, v if v in ("https", "http", "javascript", "data") else "") for k, v in schemes))
        )

    def handle_data(self, data):
        """Take the text."""
        self.text.append(data)


def skeleton(source):
    """Give the skeleton and the text of some HTML."""
    parser = Skeleton()
    parser.feed(source)
    parser.close()
    return parser.parts, " ".join("".join(parser.text).split())


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize(
    "frame", ["{}", "x {} y", "| {} | b |\n| --- | --- |\n| {} | c |", "- {}", "# {}", "[{}](a.md)"]
)
def test_escaped_text_is_text_to_both_parsers(hostile, frame):
    """Python-Markdown and CommonMark see in it what they see in a plain word, and print it whole."""
    shown = text.one_line(hostile)
    for render in (to_html, markdown_it.MarkdownIt("commonmark").enable("table").render):
        plain, _ = skeleton(render(frame.replace("{}", "word")))
        parts, words = skeleton(render(frame.replace("{}", text.markdown(hostile))))
        assert drop_ids(parts) == drop_ids(plain)
        assert shown in words or " ".join(shown.split()) in words


def drop_ids(parts):
    return [(tag, tuple(key for key, _ in attributes if key != "id")) for tag, attributes in parts]


@given(st.text(min_size=1, max_size=60))
def test_any_text_is_text(drawn):
    """The same for any text that can be drawn."""
    escaped = text.markdown(drawn)
    for render in (to_html, markdown_it.MarkdownIt("commonmark").render):
        parts, words = skeleton(render(f"word {escaped} word"))
        assert parts == [("p", ())]
        assert words == " ".join(f"word {text.one_line(drawn)} word".split())


def test_a_name_needs_no_escape():
    """What is plain stays plain: escaping is not uglier than it must be."""
    for plain in ("rexnet_100", "4x NVIDIA V100 GPUs", "77.86 %", "1.0e-05", "(two words)", "ImageNet-1k"):
        assert text.markdown(plain) == plain


@pytest.mark.parametrize(
    "url",
    [
        "javascript:x",
        "http://a.example",
        "data:text/html,x",
        "https://u:p@a.example/",
        "https://a.example/ x",
        "//a",
        "",
    ],
)
def test_only_https_becomes_a_link(url):
    """Another scheme, credentials or a space leave the words alone."""
    assert text.link("words", url) == "words"


def test_a_link_holds_what_markdown_would_read():
    """Brackets and quotes in an address are encoded, so that the link does not end early."""
    assert text.link("a", 'https://a.example/(x)["y"]') == "[a](https://a.example/%28x%29%5B%22y%22%5D)"


def test_pages_of_a_hostile_index_have_the_skeleton_of_a_plain_one(tmp_path):
    """No text adds a tag, an attribute or a scheme to any page, nor a line to any data file."""
    hostile = write_hostile_index(tmp_path)
    assert len(hostile.models) == len(HOSTILE)
    (tmp_path / "plain").mkdir()
    plain = write_hostile_index(tmp_path / "plain", texts=[f"word {n}" for n in range(len(HOSTILE))])
    found, expected = (render_site(index.models, Lock()) for index in (hostile, plain))
    for name in ("index.md", *(f for f in found if f.startswith("models/") and f.endswith(".md"))):
        assert "javascript" not in schemes(found[name]), name
    models = [
        [f for f in pages if f.startswith("models/") and f.endswith(".md")] for pages in (found, expected)
    ]
    for one, other in zip(*models, strict=True):
        assert tags(found[one]) == tags(expected[other]), one
        assert re.fullmatch(r"models/[A-Za-z0-9._-]+\.md", one)
    assert tags(found["index.md"]) == tags(expected["index.md"])
    for line in found["models.csv"].splitlines():
        assert not line.startswith(("=", "+", "-", "@"))
    json.loads(found["models.json"])


def tags(source):
    """Give the tags, but those of links and notes: a text that can be an address is one more."""
    free = ("a", "span", "br", "li")
    return [tag for tag, _ in skeleton(to_html(strip_front(source)))[0] if tag not in free]


def schemes(source):
    return {
        s
        for _, attributes in skeleton(to_html(strip_front(source)))[0]
        for k, s in attributes
        if k in ("href", "src")
    }


def strip_front(source):
    return source.partition("\n---\n")[2] if source.startswith("---\n") else source


def test_no_page_nor_card_holds_what_nobody_can_see(tmp_path):
    """A name that turns the text around is escaped in front matter and quote, left out elsewhere."""
    lines = [
        "Models:",
        "- Name: a\u202eb",
        "  Title: c\u202ed",
        "  License: e\u202ef",
        "  Code: https://h.example/x\u202ey",
        "  Metadata: {Training Data: [g/h\u202ei], Optimizer: j\u202ek, Image Size: 224, Crop Pct: 0.875,",
        "    Interpolation: bicubic, Image Mean: [0.5, 0.5, 0.5], Image Std: [0.5, 0.5, 0.5]}",
        "  Results:",
        "  - Task: l\u202em",
        "    Dataset: n\u202eo",
        "    Metrics: {Top 1 Accuracy: 77%}",
    ]
    (tmp_path / "index.yml").write_text("\n".join(lines))
    index = load_index(tmp_path)
    (entry,) = index.models
    card = render_card(entry, measured=Lock().of(entry.name))
    pages = {"card": card, **render_site(index.models, Lock())}
    assert [name for name, text in pages.items() if "\u202e" in text and not name.endswith(".json")] == []
    front = yaml.safe_load(card.split("---")[1])
    assert front["model-index"][0]["name"] == entry.name
    assert any("\nTitle: c\\u202ed" in text for text in pages.values())


def test_a_hostile_card_has_the_keys_of_a_plain_one(tmp_path):
    """Front matter parses, its key tree is the plain one's, and the body names the model."""
    (tmp_path / "plain").mkdir()
    hostile = write_hostile_index(tmp_path).models
    plain = write_hostile_index(tmp_path / "plain", texts=["word"]).models[0]
    for entry in hostile:
        card, wanted = render_card(entry), render_card(plain)
        assert key_tree(front(card)) == key_tree(front(wanted))
        body, words = skeleton(to_html(strip_front(card)))
        assert [t for t, _ in body if t in ("script", "img", "svg", "style", "iframe")] == []
        assert text.one_line(entry.name) in words


def front(card):
    return yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))


def key_tree(value):
    if isinstance(value, dict):
        return {key: key_tree(inner) for key, inner in value.items()}
    return [key_tree(item) for item in value][:1] if isinstance(value, list) else None
