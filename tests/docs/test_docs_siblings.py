"""The page on timm's 261 entries counts each of them once in every table."""

import re
from pathlib import Path

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "siblings.md").read_text(encoding="utf-8")


def rows_below(head):
    """The cells of the table with this heading."""
    lines = PAGE[PAGE.index(head) :].splitlines()[2:]
    table = lines[: next(at for at, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip().replace("**", "") for cell in line.strip("|").split("|")] for line in table]


def test_every_row_of_counts_has_all_entries():
    rows = rows_below("| claim | against |")
    assert len(rows) == 11
    assert [row for row in rows if sum(map(int, row[2:])) != 261] == []


def test_the_17_are_17():
    names = [name for row in rows_below("| entry | stated |") for name in re.findall("`[^`]+`", row[0])]
    parameters = next(row for row in rows_below("| claim | against |") if row[:2] == ["Parameters", "timm"])
    assert len(names) == int(parameters[4])


def test_the_file_sizes_are_of_all_entries():
    counts = [int(row[0]) for row in rows_below("| entries | the size")]
    to_the_byte = counts.index(212)
    assert sum(counts[:to_the_byte]) == 212
    assert sum(counts[to_the_byte:]) == 261
