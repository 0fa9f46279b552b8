"""The page on speed says what was measured, and nothing else."""

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from benchmarks.report import merge_rows, render_page

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = json.loads((ROOT / "docs" / "speed.json").read_text())


def test_the_page_is_what_the_benchmarks_wrote():
    """Page and data are one run's: no figure of the page was put there by hand."""
    page = (ROOT / "docs" / "speed.md").read_text()
    assert page == render_page(DOCUMENT)
    other = json.loads(json.dumps(DOCUMENT))
    other["rows"][0]["ratio"]["medians"][0] += 1
    assert page != render_page(other)


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
