"""Claim and measurement: one rule, and one answer in every place that asks."""

import csv
import io
import json
import re
from dataclasses import replace
from decimal import Decimal

import pytest
from runs import bear_out, made_up_run

from rexnet_hub.agreement import MEANINGS, SIGNS, Standing, compare
from rexnet_hub.cli import main
from rexnet_hub.evaluation import compare_with_claims
from rexnet_hub.index import Lock, Measured, load_index, read_lock
from rexnet_hub.index.lock import MeasuredEvaluation, MeasuredFile, write_lock
from rexnet_hub.index.network import entry_plan
from rexnet_hub.index.scores import list_scores
from rexnet_hub.measure import compare_claims
from rexnet_hub.pages.card import render_card
from rexnet_hub.pages.site import render_site
from rexnet_hub.verify import HOLDS, NOT_MEASURED, verify_model

EXACT, ROUNDED, SPREAD, DIFFERS = "agrees", "agrees as rounded", "within the spread of runs", "differs"

#: (as published, measured) -> the word.
COUNTS = {
    ("4796873", 4796873): EXACT,
    ("4_796_873", 4796873): EXACT,
    ("4796874", 4796873): DIFFERS,
    ("4796872", 4796873): DIFFERS,
    ("4796870", 4796873): ROUNDED,
    ("4796880", 4796873): DIFFERS,
    ("4797000", 4796873): ROUNDED,
    ("4796000", 4796873): DIFFERS,
    ("4800000", 4796873): ROUNDED,
    ("4800000", 4800000): EXACT,
    ("4.8e+6", 4796873): ROUNDED,
    ("4.80e+6", 4796873): ROUNDED,
    ("4.79e+6", 4796873): DIFFERS,
    ("4800000", 4750000): ROUNDED,  # half-way, from below
    ("4800000", 4850000): ROUNDED,  # and from above
    ("4800000", 4749999): DIFFERS,
    ("4.80e+6", 4750000): DIFFERS,  # published to 10^4
    ("4810000", 4796873): DIFFERS,
    ("4900000", 4796873): DIFFERS,
    ("5000000", 4796873): DIFFERS,  # one digit is no rounding
    ("5000000", 5049999): ROUNDED,
    ("5.0e+6", 4796873): DIFFERS,
    ("10000000", 9728593): ROUNDED,
    ("9700000", 9728593): ROUNDED,
    ("34700000", 34708792): ROUNDED,
    ("1e9", 1000000000): EXACT,
    ("1e9", 1049999999): ROUNDED,
    ("1e9", 1050000001): DIFFERS,
    ("0", 4796873): DIFFERS,
    ("0", 0): EXACT,
    ("0", 1): DIFFERS,
}
#: (as published, right guesses of 50,000) -> the word.
PERCENTS = {
    ("77.86%", 38930): EXACT,
    ("77.860%", 38930): EXACT,
    ("77.86", 38931): ROUNDED,
    ("77.86%", 38933): SPREAD,
    ("77.862", 38930): SPREAD,
    ("77.86%", 38955): SPREAD,
    ("77.86%", 38980): SPREAD,  # just 0.1 points
    ("77.86%", 38981): DIFFERS,
    ("77.86%", 38880): SPREAD,
    ("77.86%", 38879): DIFFERS,
    ("77.9%", 38931): ROUNDED,
    ("77.85", 38925): EXACT,
    ("77.9%", 38925): ROUNDED,  # half-way
    ("77.9%", 38924): SPREAD,
    ("78%", 38931): ROUNDED,
    ("78%", 38749): DIFFERS,
    ("80%", 39800): ROUNDED,
    ("80%", 39749): DIFFERS,
    ("8%", 4100): DIFFERS,
    ("77.8640", 38932): EXACT,
    ("77.8641", 38932): SPREAD,
    ("0%", 0): EXACT,
    ("0%", 40): SPREAD,
    ("0%", 51): DIFFERS,
    ("100%", 50000): EXACT,
    ("99.99%", 50000): SPREAD,
}


@pytest.mark.parametrize(("published", "measured"), COUNTS)
def test_a_count_agrees_as_the_table_says(published, measured):
    """Each pair of a count and its measurement gets its word."""
    assert compare(published, measured).standing == COUNTS[published, measured]


@pytest.mark.parametrize(("published", "right"), PERCENTS)
def test_an_accuracy_agrees_as_the_table_says(published, right):
    """Each pair of an accuracy and a count of right guesses gets its word."""
    agreement = compare(published, Decimal(100 * right) / 50000, kind="percent")
    assert agreement.standing == PERCENTS[published, right]


def test_the_reason_says_what_the_word_leaves_open():
    """How coarse a rounding is, and how far apart two numbers are, stands beside the word."""
    near = compare("77.86%", Decimal("77.91"), kind="percent")
    assert str(near) == "within the spread of runs (by 0.05 points)"
    assert str(compare("4800000", 4796873)) == "agrees as rounded to 10^5"
    assert str(compare("4810000", 4796873)) == "differs by 13127"
    assert str(compare("77.9", Decimal("77.862"), kind="percent")) == "agrees as rounded to 0.1 points"
    assert set(MEANINGS) == set(Standing)


def test_each_word_has_one_of_three_signs():
    """What was measured or derived here, what is only published, what is not so; and no sign says more."""
    open_, wrong = {"claimed", "second source"}, {"differs", "unreadable"}
    found = {sign: {word for word in Standing if word.sign == sign} for sign in SIGNS}
    assert found == {"✓": {*Standing} - open_ - wrong, "○": open_, "✗": wrong}


@pytest.mark.parametrize(
    ("label", "stated", "found"),
    [
        ("Image Size", "260", 256),
        ("Crop Pct", "0.897", Decimal("0.8975")),
        ("Num Classes", "1000", 1001),
        ("Epochs", "400", 399),
        ("Batch Size", "1000", 1024),
        ("LR", "0.50", Decimal("0.496")),
    ],
)
def test_a_setting_is_no_rounding_of_another(tmp_path, label, stated, found):
    """What was chosen agrees with the very same alone, however round it is."""
    (tmp_path / "index.yml").write_text(f"Models: [{{Name: net, Metadata: {{{label}: {stated}}}}}]")
    (claim,) = load_index(tmp_path).find("net").metadata.values()
    assert claim.compare(found).standing == DIFFERS
    assert claim.compare(Decimal(stated)).standing == EXACT


INDEX = """\
Models:
- Name: {name}
  Metadata:
    ID: rexnet_100
    Num Classes: {classes}
    Parameters: {parameters}
    File Size: {size}
    Image Size: 224
    Crop Pct: 0.875
    Interpolation: bicubic
    Image Mean: [0.5, 0.5, 0.5]
    Image Std: [0.5, 0.5, 0.5]
  Results:
  - Task: Image Classification
    Dataset: ImageNet
    Metrics: {{Top 1 Accuracy: {top1}, Top 5 Accuracy: 100}}
"""
LABELS = {"parameters": "Parameters", "top1": "Top-1 accuracy", "file_size": "File size"}


def claims(**changes):
    """Write an index whose one model makes these claims."""
    told = {"name": "net", "classes": 1000, "parameters": 4796873, "size": 19417552, "top1": 70}
    return INDEX.format(**{**told, **changes})


def the_answers(entries, measured, key):
    """Ask JSON, CSV, page, card and lock how a claim stands to what was measured: one answer, in words."""
    site = render_site(entries, Lock(models={entry.name: measured for entry in entries}))
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(site["models.csv"]))}
    return [the_answer(site, rows[entry.name], entry, measured, key) for entry in entries]


def the_answer(site, row, entry, measured, key):
    """Ask of one model."""
    figure = json.loads(site[f"models/{entry.name}.json"])["figures"][key]
    rows = [
        [line for line in text.splitlines() if line.startswith(f"| {LABELS[key]} |")]
        for text in (site[f"models/{entry.name}.md"], render_card(entry, measured=measured))
    ]
    answer, word = figure["agreement"], figure["standing"]

    assert word == row[f"{key}_standing"]
    assert f"[{word}](#where-the-numbers-come-from)" in rows[0][0]
    assert all(f", {answer} [" in text[1] or f", **{answer}** [" in text[1] for text in rows)
    assert all(("**" in text[1]) is (word == DIFFERS) for text in rows)
    assert (key in {wrong.what for wrong in compare_claims(entry, measured)}) is (word == DIFFERS)
    return word, answer


def spellings(exact):
    """Spell a count in every way that a table might: right, off by one, rounded, cut, with an exponent."""
    yield from (str(exact), str(exact + 1), str(exact - 1), f"{exact}0", "0")
    yield from (f"{Decimal(exact):.{digits}e}" for digits in range(6))
    for power in range(1, 8):
        step = 10**power
        down = exact // step * step
        yield from (str(down), str(down + step), str(down + 2 * step))


# With so many classes the network's count ends in 3, 5, 50, 500 and 5000: half-way at every power.
@pytest.mark.parametrize("classes", [1000, 2, 17, 867, 9367])
def test_a_count_has_one_answer_everywhere(classes, read):
    """Validate, verify, page, JSON, CSV, card and lock say the same of each spelling of a network's count."""
    exact = entry_plan(read(claims(classes=classes)).models[0]).parameters
    published = dict.fromkeys(spellings(exact))
    indexes = [
        read(claims(name=f"net{number}", classes=classes, parameters=text))
        for number, text in enumerate(published)
    ]
    entries = [entry for index in indexes for entry in index.models]
    answers = the_answers(entries, Measured(parameters=exact), "parameters")
    for text, index, entry, (word, answer) in zip(published, indexes, entries, answers, strict=True):
        (finding,) = (f for f in verify_model(entry) if f.claim == "parameters")

        assert compare(text, exact).standing == word
        assert finding.note.startswith(f"{answer}; ")
        assert (finding.verdict == HOLDS) is (word != DIFFERS)
        assert ("impossible-parameters" in {p.code for p in index.problems}) is (word == DIFFERS)
    assert {word for word, _ in answers} == {EXACT, ROUNDED, DIFFERS}


@pytest.mark.parametrize(("published", "right"), PERCENTS)
def test_an_accuracy_has_one_answer_everywhere(published, right, read):
    """Verify, evaluate, page, JSON, CSV, card and lock say the same of an accuracy and a run."""
    (entry,) = read(claims(top1=published)).models
    run = MeasuredEvaluation(
        record_sha256=64 * "a", dataset="ImageNet", images=50000, top1_count=right, top5_count=50000
    )
    weights = MeasuredFile(sha256=64 * "b", size_bytes=1)
    measured = Measured(evaluations=(run,), safetensors=weights)
    ((word, answer),) = the_answers([entry], measured, "top1")
    records = [made_up_run(entry.preprocessing, top1_count=right, top5_count=50000)]
    (finding,) = (f for f in verify_model(entry, measured=measured, records=records) if f.claim == "top1")

    assert word == PERCENTS[published, right]
    assert compare_with_claims(entry, records[0])[0] == finding
    assert finding.note.startswith(f"{answer}; ")
    assert (finding.verdict == HOLDS) is (word != DIFFERS)


@pytest.mark.parametrize("published", [19417552, 19417553, 19420000, 20000000])
def test_a_file_size_is_exact_or_false(published, read):
    """A file has the bytes that are stated or is another file: no zeros make a size a rounding."""
    (entry,) = read(claims(size=published)).models
    measured = Measured(released=MeasuredFile(sha256=64 * "c", size_bytes=19417552))
    ((word, _),) = the_answers([entry], measured, "file_size")
    assert word == (EXACT if published == 19417552 else DIFFERS)


def test_a_run_of_no_image_measures_nothing(read):
    """A lock that counts no image says nothing of an accuracy, and stops no page."""
    (entry,) = read(claims()).models
    run = MeasuredEvaluation(record_sha256=64 * "a", dataset="x", images=0, top1_count=0, top5_count=0)
    assert [score.measured for score in list_scores(entry, Measured(evaluations=(run,)))] == 2 * [None]
    assert "| Top-1 accuracy | 70 % [1] |" in render_card(entry, measured=Measured(evaluations=(run,)))


def test_the_lock_is_checked_against_the_claims(tmp_path, monkeypatch, capsys):
    """`lock --check` names a claim of the index that the lock's measurement does not bear out."""
    (tmp_path / "index.yml").write_text(claims())
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path))
    assert main(["lock"]) == 0
    assert main(["lock", "--check"]) == 0
    capsys.readouterr()
    run = MeasuredEvaluation(
        record_sha256=64 * "a", dataset="ImageNet", images=50000, top1_count=38000, top5_count=50000
    )
    released = MeasuredFile(sha256=64 * "c", size_bytes=19417553)
    lock = read_lock(tmp_path / "lock.json")
    measured = bear_out(tmp_path, "net", replace(lock.of("net"), evaluations=(run,), released=released))
    write_lock(lock.with_model("net", measured), tmp_path / "lock.json")

    assert main(["lock", "--check"]) == 1
    top1, size = capsys.readouterr().out.replace(f"{tmp_path}/", "").splitlines()
    assert (
        top1 == "net: top1: the lock says 76, the index (index.yml:16:31) says 70, which differs by 6 points"
    )
    assert size.startswith(
        "net: file_size: the lock says 19417553, the index (index.yml:7:16) says 19417552, "
    )


def test_a_run_says_nothing_of_another_data_set(read):
    """A run on ImageNet measures nothing that is claimed on another data set; tables stay apart too."""
    other = """\
  - Task: Image Classification
    Dataset: ImageNet-V2
    Metrics: {Top 1 Accuracy: 66, Top 3 Accuracy: 80.1%}
    Sources: [{URL: https://example.org/t.csv, Metrics: {Top 1 Accuracy: 66.04, Top 3 Accuracy: 80.12}}]
"""
    (entry,) = read(claims(top1=77.86) + other).models
    measured = Measured(safetensors=MeasuredFile(sha256=64 * "b", size_bytes=1))
    findings = verify_model(
        entry,
        measured=measured,
        records=[made_up_run(entry.preprocessing, top1_count=38930, top5_count=50000)],
    )
    notes = {(f.claim, f.stated): (f.verdict, f.note.split(";")[0]) for f in findings}

    assert notes["top1", "77.86"] == (HOLDS, "agrees")
    assert notes["top1@ImageNet-V2", "66"] == (
        NOT_MEASURED,
        f"needs a run on ImageNet-V2: rexnet-hub evaluate {entry.name} --data DIR --dataset ImageNet-V2, "
        "then --record",
    )
    assert notes["top1_cited@ImageNet-V2", "66"] == (HOLDS, "agrees as rounded to 1 points")
    assert notes["Top 3 Accuracy_cited", "80.1%"] == (HOLDS, "agrees as rounded to 0.1 points")
    rows = re.findall(r"^\| Top-1 accuracy \| (?:○ )?77\.86.*", render_card(entry), re.MULTILINE)
    assert len(rows) == 2
    assert "66.04" not in rows[1]
