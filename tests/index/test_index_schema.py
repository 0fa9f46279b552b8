"""The schema is current, and agrees with the reader on what one place shows."""

import json
import re
from decimal import Decimal

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rexnet_hub.index.codes import read_codes
from rexnet_hub.index.fields import FIELDS
from rexnet_hub.index.schema import SCHEMA_CODES, SCHEMA_FILE, build_schema, render_schema
from rexnet_hub.layout import find_index_dir

VALIDATOR = jsonschema.Draft202012Validator(build_schema())


# Examples whose problem is not in the data: nesting, and text that only YAML 1.2 reads as a number.
UNSEEN = {"too-large", "digest-as-number"}


def _agree(text, read):
    """Give what the schema refuses, and the reader's errors that the schema should see."""
    index = read(text)
    seen = [
        problem for problem in index.problems if problem.code in SCHEMA_CODES and problem.severity == "error"
    ]
    data = json.loads(json.dumps(yaml.safe_load(text), default=str))
    return [error.message for error in VALIDATOR.iter_errors(data)], [str(problem) for problem in seen]


def test_the_file_is_current():
    """The shipped schema is the one that the table of fields gives."""
    assert SCHEMA_FILE.read_text() == render_schema()


def test_the_schema_is_one():
    """The schema is a valid schema of draft 7 and of draft 2020-12, and describes every field."""
    for draft in (jsonschema.Draft7Validator, jsonschema.Draft202012Validator):
        draft.check_schema(build_schema())
    text = render_schema()

    assert [row.label for row in FIELDS if json.dumps(row.label) not in text] == []


def test_a_label_is_checked_by_itself():
    """An editor's server reads `properties`, and of the keys there no pattern: both say the same."""
    schema = build_schema()
    for owner in (schema, *schema["$defs"].values()):
        patterns = owner.get("patternProperties", {})
        for label, facts in owner.get("properties", {}).items():
            (other,) = [what for pattern, what in patterns.items() if re.search(pattern, label)]
            assert {word: fact for word, fact in facts.items() if word != "description"} == other


def test_the_own_index_is_valid():
    """The zoo's own index meets the schema."""
    for file in find_index_dir().glob("*.yml"):
        assert list(VALIDATOR.iter_errors(yaml.safe_load(file.read_text()))) == []


@pytest.mark.parametrize("which", ["bad", "good"])
@pytest.mark.parametrize(
    "code", [c for c in read_codes().values() if not c.beside and c.code not in UNSEEN], ids=lambda c: c.code
)
def test_both_agree_on_the_examples(code, which, read):
    """On each problem's examples, the schema refuses exactly what it is said to see."""
    text = getattr(code, which)
    try:
        yaml.safe_load(text.encode("utf-8", "surrogateescape").decode())
    except (yaml.YAMLError, UnicodeDecodeError):
        return  # No schema sees what is no data.
    refusals, seen = _agree(text, read)

    assert bool(refusals) == bool(seen), (refusals, seen)


def _quote(text):
    return st.sampled_from([text, f"'{text}'", f'"{text}"'])


NUMBERS = st.one_of(
    st.integers(-5, 10**10).map(str),
    st.decimals(-2, 300, places=3, allow_nan=False).map(str),
    st.integers(0, 100).map(lambda n: f"{Decimal(n).scaleb(-2)}"),
    st.sampled_from(
        [
            "1.0e-05",
            "5e-1",
            "1e5",
            "4.8e6",
            "4.8e+6",
            "0",
            "0.0",
            "1",
            "1.0",
            "100",
            "100.0",
            "100.01",
            "1_000",
            ".5",
            "5.",
        ]
    ),
).flatmap(_quote)
WORDS = st.sampled_from(["a", "'a b'", "yes", "null", "~", "''", "4.8M", "20%", "77.86%", "'77.86 %'", "177%", "https://a.b/c", "http://a.b", "https://a", "ftp://a.b/c", "[a]", "[a, b]", "[[a]]", "[]", "{a: b}", "{}", "2021-01-03", "'12:30'", "'" + 64 * "a" + "'", 64 * "1"])  # fmt: skip  # noqa: E501
OWNERS = ("model", "metadata", "result", "metrics", "paper", "snapshot", "witness")
SLOTS = [row for row in FIELDS if row.owner in OWNERS]


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.sampled_from(SLOTS), value=st.one_of(NUMBERS, WORDS), data=st.data())
def test_both_agree_on_any_value(row, value, data, read):
    """Of any value of any field, the schema and the reader say the same."""
    if row.kind in ("path", "sources", "snapshots", "witnesses", "metadata", "results"):
        return  # What these name, and what is in it, is not one value.
    if value == 64 * "1" and row.kind not in ("digest", "hexadecimal"):
        return  # More digits than the reader takes for any number; a schema counts none.
    label = data.draw(st.sampled_from([row.label, row.label.lower(), row.label.replace(" ", "_")]))
    line = f"{label}: {value}"
    text = {
        "model": f"Models: [{{{'' if row.label == 'Name' else 'Name: a, '}{line}}}]",
        "metadata": f"Models: [{{Name: a, Metadata: {{{line}}}}}]",
        "result": f"Models: [{{Name: a, Results: [{{{line}}}]}}]",
        "metrics": f"Models: [{{Name: a, Results: [{{Metrics: {{{line}}}}}]}}]",
        "paper": f"Models: [{{Name: a, Paper: {{{line}}}}}]",
        "witness": f"Models: [{{Name: a, Witnesses: [{{{line}}}]}}]",
        "snapshot": f"Models: [{{Name: a, Results: [{{Sources: [{{{'' if row.label == 'URL' else 'URL: https://a.b, '}{line}}}]}}]}}]",  # noqa: E501
    }[row.owner]
    refusals, seen = _agree(text, read)

    assert bool(refusals) == bool(seen), (text, refusals, seen)
