"""What the documents at the root and in docs/ say of the repository is so."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import rexnet_hub
from rexnet_hub.golden import Answer, Golden
from rexnet_hub.imagenet.data.classes import Benchmark
from rexnet_hub.imagenet.data.dataset import Sample
from rexnet_hub.imagenet.evidence.predictions import PredictionsHead
from rexnet_hub.imagenet.evidence.record import Machine, Record
from rexnet_hub.index import Preprocessing, ledger
from rexnet_hub.index import lock as locks
from rexnet_hub.pages.reference import render_decisions
from rexnet_hub.repo.config import render_config
from rexnet_hub.signing import Statement
from rexnet_hub.weights import receipt

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
DECISIONS = ROOT / "docs" / "decisions"


def section(text, title):
    """Give what stands below a heading, up to the next of its level or above."""
    level, rest = re.search(rf"^(#+) {re.escape(title)}\n(.*)", text, re.MULTILINE | re.DOTALL).groups()
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text):
    """Map the code in a table's first column to all code in the rest of its row, in order."""
    lines = re.findall(r"^\| `([^`]+)` \|(.*)\|$", text, re.MULTILINE)
    return {name: re.findall(r"`([^`]+)`", rest) for name, rest in lines}


def names(record):
    return [field.name for field in dataclasses.fields(record)]


LOCK_PARTS = {
    "released": locks.MeasuredFile,
    "safetensors": locks.MeasuredFile,
    "tensors": locks.MeasuredTensors,
    "expected_sizes": locks.MeasuredSizes,
    "macs": locks.MeasuredMacs,
    "hub": locks.MeasuredHub,
    "published": locks.Publication,
    "evaluations": locks.MeasuredEvaluation,
}
RECEIPT_PARTS = {
    "source": receipt.SourceFacts,
    "output": receipt.OutputFacts,
    "tensors": receipt.TensorLine,
}
RECORD_PARTS = {"sample": Sample, "preprocessing": Preprocessing, "machine": Machine, "benchmark": Benchmark}


@pytest.mark.parametrize(
    ("title", "record", "parts"),
    [
        ("lock.json", locks.Measured, LOCK_PARTS),
        ("ledger.json", ledger.Place, {"figures": ledger.Figures}),
        ("receipt.json", receipt.Receipt, RECEIPT_PARTS),
        ("MODEL.record.json", Record, RECORD_PARTS),
        ("MODEL.predictions", PredictionsHead, {"benchmark": Benchmark}),
        ("golden.json", Golden, {"answers": Answer}),
        ("statement.json", Statement, {}),
    ],
)
def test_a_format_has_the_keys_that_the_code_writes(title, record, parts):
    """Each format's table has exactly the keys of its record, and of each record inside it."""
    table = rows(section(ARCHITECTURE, title))

    assert sorted(table) == sorted(names(record))
    assert {key: table[key] for key in parts} == {key: names(part) for key, part in parts.items()}


def test_the_config_has_the_keys_that_are_rendered(entry):
    """The table of config.json has exactly the keys of a rendered one, the nested too."""
    table, config = rows(section(ARCHITECTURE, "config.json")), json.loads(render_config(entry))

    assert sorted(table) == sorted(config)
    parts = ("pretrained_cfg", "rexnet_hub")  # the keys of id2label are numbers
    nested = {key: list(config[key]) for key in parts}
    assert {key: table[key] for key in nested} == nested


def test_a_key_that_is_missing_is_seen():
    """Reading a table says no: a row less is a key less."""
    text = section(ARCHITECTURE, "statement.json")

    assert set(rows(text)) - set(rows(text.replace("| `files` |", "| files |"))) == {"files"}


def test_the_top_level_is_what_may_stand_there():
    """Nothing tracked stands at the root but what the page lists, and tools' files with a dot."""
    listed = set(rows(section(ARCHITECTURE, "The top level of the repository")))
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    there = {line.split("/")[0] + "/" * ("/" in line) for line in done.stdout.splitlines()}

    assert {"rexnet_hub/", "tests/", "README.md"} < there
    assert {name for name in there if not name.startswith(".")} - listed == set()


def named_files(text):
    """List the files that a document names: code with a folder in it, or links within the repository."""
    code = re.findall(r"`([\w.]+(?:/[\w.-]+)+)/?`", text)
    links = re.findall(r"\]\((?!https?:|\.\./\.\./)([^)#]+)", text)
    return {*code, *links}


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "SECURITY.md", "README.md"])
def test_every_file_that_a_document_names_exists(document):
    """A path in a document at the root leads to something."""
    wanted = named_files((ROOT / document).read_text())

    assert {name for name in wanted if not (ROOT / name).exists() and not name.startswith(".venv")} == set()
    assert wanted or document == "SECURITY.md"


def test_every_target_that_is_named_is_in_the_makefile():
    """What a document says to make can be made, and every target is said to do something."""
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for words in re.findall(r"`?make ((?:\w+ ?)+)", CONTRIBUTING) for word in words.split()}

    assert {"check", "fix", "lint", "schema"} <= named
    assert targets == named & targets
    assert set(re.findall(r"`make ([\w ]+)`", CONTRIBUTING)[-1].split()) <= targets
    for target in sorted(targets):
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def run_in_copy(copy, *words):
    """Run Python on a copy of the package."""
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    return subprocess.run(
        [sys.executable, *words], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )


def test_the_recipe_for_a_field_adds_one(tmp_path):
    """The one row that the recipe adds reaches the reader, the schema and the reference page."""
    (row,) = re.findall(
        r"^```text\n(.*)\n```", section(CONTRIBUTING, "Add a field of the index"), re.MULTILINE
    )
    ((label, facts),) = json.loads(f"{{{row.rstrip(',')}}}").items()
    shutil.copytree(
        ROOT / "rexnet_hub", tmp_path / "rexnet_hub", ignore=shutil.ignore_patterns("__pycache__")
    )
    (tmp_path / "index.yml").write_text(f"Models:\n- Name: some\n  Metadata:\n    {label}: 2.5\n")
    validate = ("-m", "rexnet_hub", "validate", "index.yml")
    assert run_in_copy(tmp_path, *validate).returncode == 0

    table = tmp_path / "rexnet_hub" / "index" / "fields.json"
    head = '  "metadata": {\n'
    assert table.read_text().count(head) == 1
    table.write_text(table.read_text().replace(head, f"{head}    {row}\n"))

    refused = run_in_copy(tmp_path, *validate)
    assert refused.returncode == 1
    assert re.match(r"index\.yml:4:\d+: error\[", refused.stdout)
    rendered = run_in_copy(
        tmp_path,
        "-c",
        "from rexnet_hub.index.schema import render_schema\n"
        "from rexnet_hub.pages.reference import render_fields\n"
        "print(render_schema(), render_fields())",
    ).stdout
    assert rendered.count(label) >= 2
    assert f"| `{label}` | {facts['kind']} | {facts['meaning']} |" in rendered


def test_decisions_have_one_numbering():
    """The files are numbered from 0001 on without a gap, in the order of their dates."""
    files = sorted(DECISIONS.glob("*.md"))
    dates = [re.search(r"\*\*Date\*\* ([\d-]+)", file.read_text()).group(1) for file in files]

    assert [file.name[:4] for file in files] == [f"{number:04}" for number in range(1, len(files) + 1)]
    assert dates == sorted(dates)


def test_the_page_of_decisions_shows_status_and_date():
    """Each decision is a row with its number, title, status and day; one without them is refused."""
    pages = {f"decisions/{file.name}": file.read_text() for file in DECISIONS.glob("*.md")}
    page = render_decisions(pages)

    assert page.count("\n| 00") == len(pages)
    assert re.search(
        r"^\| 0001 \| \[.+\]\(0001-[\w-]+\.md\) \| accepted \| 2026-11-23 \|$", page, re.MULTILINE
    )
    with pytest.raises(ValueError, match=r"0001-none\.md"):
        render_decisions({"decisions/0001-none.md": "# A title\n\nNo date.\n"})


def test_the_changelog_begins_with_this_version():
    """Every version has its day, but for the first, this one, which may not be released yet."""
    heads = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert heads[0].startswith(f"{rexnet_hub.__version__}, ")
    assert [head for head in heads if not re.fullmatch(r"\d+\.\d+\.\d+, (\d{4}-\d\d-\d\d)", head)] in (
        [],
        [f"{rexnet_hub.__version__}, not released yet"],
    )


def test_the_citation_is_of_this_version():
    """The citation file has what its format requires, and this version."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())

    assert {"cff-version", "message", "title", "authors"} <= set(cited)
    assert cited["version"] == rexnet_hub.__version__
    assert cited["license"] == "MIT"


@pytest.mark.parametrize(
    "file", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda f: f.stem
)
def test_an_issue_form_is_one(file):
    """A form has a name, says what it is for, and its fields have ids of their own."""
    form = yaml.safe_load(file.read_text())
    if file.stem == "config":
        assert set(form) == {"blank_issues_enabled"}
        return
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert form["name"]
    assert form["description"]
    assert len({field["id"] for field in fields}) == len(fields) > 0


def test_the_hooks_are_what_make_does():
    """Each pre-commit hook is a target of the Makefile, so that a commit is checked by what CI types."""
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]

    assert repo["repo"] == "local"
    assert {hook["entry"] for hook in repo["hooks"]} == {"make lint", "make types"}
