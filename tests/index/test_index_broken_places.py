"""An index that is broken in one place is named as broken in exactly that place."""

from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rexnet_hub.index import load_index
from rexnet_hub.nets.families.rexnet.shapes import CONFIGS, count_planned_parameters, expected_tensors

WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=3, max_size=9).map(lambda text: f"z{text}q")
PERCENTS = st.integers(2001, 4999)  # top 5 is at most five times as much


@st.composite
def models(draw, number):
    """Draw the lines of one sound model; each ends in the value that can be broken."""
    top1 = draw(PERCENTS)
    top5 = top1 + draw(st.integers(1, 5000))
    digest = draw(st.text("0123456789abcdef", min_size=8, max_size=8))
    network = draw(st.sampled_from(sorted(CONFIGS)))
    exact = count_planned_parameters(expected_tensors(CONFIGS[network]))
    shown = draw(st.sampled_from([exact, round(exact, -3), round(exact, -4)]))
    items = draw(st.lists(WORDS, min_size=1, max_size=3, unique=True))
    return [
        f"- Name: model_{number}",
        "  In Collection: Shared",
        "  Metadata:",
        f"    ID: {network}",
        f"    Parameters: {shown}",
        f"    FLOPs: {exact * draw(st.integers(2, 300))}",
        f"    File Size: {4 * exact + draw(st.integers(0, exact // 20))}",
        f"    Epochs: {draw(st.integers(1, 600))}",
        f"    LR: {draw(st.floats(0.001, 5)):.4f}",
        f"    Crop Pct: '{draw(st.integers(500, 1000)) / 1000}'",
        f"    Dropout: {draw(st.integers(1, 9)) / 10}",
        f"    Weight Decay: {draw(st.integers(1, 9))}.0e-0{draw(st.integers(1, 9))}",
        "    Architecture:",
        *(f"    - {item}" for item in items),
        f"  Code: https://example.org/{draw(WORDS)}.py",
        f"  Weights: https://example.org/m{number}-{digest}.pth",
        f"  SHA256: '{digest}{56 * '0'}'",
        "  Results:",
        "  - Task: Image Classification",
        "    Dataset: ImageNet",
        "    Metrics:",
        f"      Top 1 Accuracy: {Decimal(top1).scaleb(-2)}%",
        f"      Top 5 Accuracy: {Decimal(top5).scaleb(-2)}%",
    ]


@st.composite
def indexes(draw):
    """Draw the lines of a sound index of one to three models."""
    count = draw(st.integers(1, 3))
    head = ["# a comment", "Collections:", "- Name: Shared", "  License: MIT", "Models:"]
    return [*head, *(line for number in range(count) for line in draw(models(number)))]


def _value(new):
    """Put something else in place of a line's value; the problem is where the value begins."""
    return lambda line: (f"{line[: line.index(': ') + 2]}{new}", line.index(": ") + 2)


def _key(new):
    """Put something else in place of a line's key; the problem is where the key begins."""
    return lambda line: (
        f"{line[: len(line) - len(line.lstrip(' -'))]}{new}{line[line.index(':') :]}",
        len(line) - len(line.lstrip(" -")),
    )


BREAKS = {
    "unknown collection": ("  In Collection:", _value("Nowhere"), "missing-collection"),
    "case of a collection": ("  In Collection:", _value("shared"), "missing-collection"),
    "misspelt section": ("  Metadata:", _key("Metadta"), "misspelt-key"),
    "witness for witnesses": ("  SHA256:", lambda line: ("  Witness: {}", 2), "misspelt-key"),
    "misspelt field": ("    Epochs:", _key("Epocs"), "misspelt-key"),
    "misspelt metric": ("      Top 5 Accuracy:", _key("Top 5 Acuracy"), "misspelt-key"),
    "parameters": ("    Parameters:", _value("4810001"), "impossible-parameters"),
    "parameters in millions": ("    Parameters:", _value("4.8M"), "wrong-kind"),
    "file size": ("    File Size:", _value("1234567"), "impossible-file-size"),
    "text for a count": ("    Epochs:", _value("many"), "wrong-kind"),
    "negative": ("    Epochs:", _value("-1"), "out-of-range"),
    "list for a count": ("    Epochs:", _value("[1]"), "wrong-kind"),
    "percent for a fraction": ("    Dropout:", _value("20"), "unit-confusion"),
    "beyond a fraction": ("    Dropout:", _value("200"), "out-of-range"),
    "number as text": ("    Weight Decay:", _value("1e-5"), "number-as-text"),
    "over a hundred": ("      Top 5 Accuracy:", _value("100.01%"), "out-of-range"),
    "fraction for a percent": ("      Top 1 Accuracy:", _value("0.7786"), "unit-suspect"),
    "top 5 below top 1": ("      Top 5 Accuracy:", _value("5%"), "top5-below-top1"),
    "no URL": ("  Weights:", _value("model.pth"), "not-a-url"),
    "fragment of weights": ("  Weights:", _value("https://h.example/a-1b4dddf4.pth#x"), "not-a-url"),
    "query of a file": ("  Weights:", _value("file:///a-1b4dddf4.pth?x"), "not-a-url"),
    "digest of another": ("  SHA256:", _value("'" + 64 * "g" + "'"), "wrong-kind"),
    "digest without quotes": ("  SHA256:", _value(64 * "1"), "digest-as-number"),
    "foreign tag": ("    ID:", _value("!!python/none x"), "foreign-tag"),
    "open bracket": ("    LR:", _value("[1"), "not-yaml"),
}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=indexes())
def test_a_sound_index_has_no_problem(lines, tmp_path):
    """What the strategy draws is sound, so that what is found later is the break."""
    file = tmp_path / "index.yml"
    file.write_text("\n".join(lines) + "\n")

    assert [str(problem) for problem in load_index(file).problems] == []


@pytest.mark.parametrize("name", BREAKS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_exactly_the_broken_place_is_named(name, data, tmp_path):
    """One break gives one problem, with its code, at its line and column; also in a page and with CRLF."""
    start, change, code = BREAKS[name]
    lines = data.draw(indexes())
    number = data.draw(st.sampled_from([n for n, line in enumerate(lines) if line.startswith(start)]))
    lines[number], column = change(lines[number])
    in_page = data.draw(st.booleans())
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    text = ["# Page", "<!--", "Type: model-index", *lines, "-->"] if in_page else lines
    file = tmp_path / ("page.md" if in_page else "index.yml")
    file.write_bytes((end.join(text) + end).encode())
    problems = load_index(file).problems

    assert [problem.code for problem in problems] == [code]
    place = problems[0].location
    if code == "not-yaml":  # The parser sees it where the text no longer fits.
        assert number + 1 + 3 * in_page <= place.line <= len(text) + 1
    else:
        assert (place.line, place.column) == (number + 1 + 3 * in_page, column + 1)
