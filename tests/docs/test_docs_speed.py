"""The page on speed says what was measured, and nothing else."""

import json
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2]))
from benchmarks.report import merge_rows, render_page, render_plot, render_sentences

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = json.loads((ROOT / "docs" / "speed.json").read_text())


def test_the_page_is_what_the_benchmarks_wrote():
    """Page and data are one run's: no figure of the page was put there by hand."""
    page = (ROOT / "docs" / "speed.md").read_text()
    assert page == render_page(DOCUMENT)
    other = json.loads(json.dumps(DOCUMENT))
    other["rows"][0]["ratio"]["medians"][0] += 1
    assert page != render_page(other)


def test_the_page_begins_with_six_sentences_of_the_rows():
    """Each says the seconds of its row; with other seconds it says others, and without its row nothing."""
    sentences = render_sentences(DOCUMENT["rows"])
    assert len(re.findall(r"\.(?= |$)", sentences)) == 6
    page = render_page(DOCUMENT)
    assert page.index(sentences) < page.index("<svg") < page.index("Measured on")
    first = DOCUMENT["rows"][0]
    assert f"`rexnet-hub list` answers in {first['ours_cpu_s'] * 1000:.0f} ms, " in sentences
    assert "answers in 2 s," in render_sentences([first | {"ours_cpu_s": 2.0}])
    assert render_sentences([first | {"job": "another"}]) == ""


def test_the_plot_has_each_goal_at_its_place():
    """Every row with a goal is a circle: filled where it was reached, further right the higher its ratio."""
    goals = [row for row in DOCUMENT["rows"] if row["ratio_wanted"]]
    plot = ET.fromstring(render_plot(DOCUMENT["rows"]))
    circles = plot.findall("circle")
    assert len(circles) == len(goals) > 15
    reached = sum(row["ratio"]["median"] >= row["ratio_wanted"] for row in goals)
    assert sum(circle.get("class") == "here" for circle in circles) == reached
    assert 0 < reached < len(goals)

    def place(median):
        row = goals[0] | {"ratio": goals[0]["ratio"] | {"median": median, "least": 1, "most": 100}}
        return [float(circle.get("cx")) for circle in ET.fromstring(render_plot([row])).findall("circle")]

    assert place(1) < place(10) < place(100)
    assert place(10)[0] - place(1)[0] == pytest.approx(place(100)[0] - place(10)[0], abs=0.2)


def test_a_row_that_falls_short_says_so():
    """A goal that was not reached is marked, one that was is not."""
    row = DOCUMENT["rows"][0] | {"ratio_wanted": 2}
    ratio = row["ratio"]
    for median, marked in ((1.9, True), (2.1, False)):
        page = render_page(DOCUMENT | {"rows": [row | {"ratio": ratio | {"median": median}}]})
        assert ("2, short" in page) == marked


def test_several_runs_are_one_row():
    """Of a row's runs each median is kept, with the least and the most of all rounds."""
    row = {key: value for key, value in DOCUMENT["rows"][0].items() if key != "runs"}

    def run(median, least, most):
        return [row | {"ratio": {"median": median, "least": least, "most": most}}]

    (merged,) = merge_rows(
        merge_rows(merge_rows([], run(3.0, 2.5, 3.5)), run(1.0, 0.5, 9.0)), run(2.0, 1.5, 2.5)
    )
    assert merged["ratio"] == {"median": 2.0, "least": 0.5, "most": 9.0, "medians": [3.0, 1.0, 2.0]}
    assert len(merged["runs"]) == 3
