"""Bad input gives problems with places, in bounded time and memory, and never a traceback."""

import json
import os
import random
import resource
import string
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rexnet_hub.cli import main
from rexnet_hub.index import load_index
from rexnet_hub.index.entry import Entry, Location
from rexnet_hub.index.fields import FIELDS
from rexnet_hub.index.reading.contradictions import check_entries
from rexnet_hub.pages.site import render_site

ROOT = Path(__file__).resolve().parents[2]
SEED = (ROOT / "tests/data/seed_block.yml").read_text()


def _bomb(levels, width):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, levels)]
    return "\n".join(lines) + f"\nModels: [{{Name: a, Metadata: {{X: *a{levels - 1}}}}}]\n"


#: Whose bound answers first, ours or the YAML library's own, is its affair: either way it is refused.
TOO_DEEP = (["too-large"], ["not-yaml"])

BAD = {
    "alias bomb": (_bomb(12, 10), ["too-large"]),
    "merge bomb": (
        "a0: &a0 {k: v}\n" + "".join(f"a{n}: &a{n} {{x: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 60)),
        ["too-large"],
    ),
    "alias of itself": ("Models: &m [*m]\n", ["not-yaml"]),
    "alias of nothing": ("Models: *m\n", ["not-yaml"]),
    "deep lists": ("Models: " + "[" * 20_000, TOO_DEEP),
    "deep blocks": ("\n".join(" " * n + "a:" for n in range(2_000)), TOO_DEEP),
    "deep dashes": ("- " * 5_000 + "a", TOO_DEEP),
    "megabyte scalar": ("Models: {Name: " + "x" * 2_000_000 + "}", ["too-large"]),
    "megabyte key": ("? " + "x" * 200_000 + "\n: 1\n", ["too-large"]),
    "many digits": ("Models: {Name: a, Metadata: {Epochs: " + "9" * 5_000 + "}}", ["wrong-kind"]),
    "great exponent": (
        "Models: {Name: a, Metadata: {Epochs: 1.0e+999999999, LR: 1e999999999}}",
        ["wrong-kind"] * 2,
    ),
    "not finite": ("Models: {Name: a, Metadata: {LR: .inf, Dropout: .nan}}", ["wrong-kind"] * 2),
    "NUL": ("Models: {Name: a\0}", ["not-yaml"]),
    "control": ("Models: {Name: \x07}", ["not-yaml"]),
    "tab": ("Models:\n\t- Name: a\n", ["not-yaml"]),
    "python tag": ("Models: !!python/object/apply:os.system ['echo ran > ran']", ["foreign-tag"]),
    "own tag": ("Models: !mine {Name: a}", ["foreign-tag"]),
    "binary": ("Models: {Name: !!binary aGk=}", ["foreign-tag"]),
    "two documents": ("Models: {Name: a}\n---\nModels: {Name: b}\n", ["several-documents"]),
    "latin-1": ("Models: {Name: \udce9}", ["not-utf8"]),
    "UTF-16": ("Models: []".encode("utf-16").decode("utf-8", "surrogateescape"), ["not-utf8"]),
    "half a character": ("Models: {Name: \udce2\udc82}", ["not-utf8"]),
    "empty": ("", ["empty-index"]),
    "comments only": ("# nothing\n", ["empty-index"]),
    "a word": ("word", ["empty-index"]),
    "a number": ("1", ["empty-index"]),
    "lists of lists": ("[[[]]]", ["empty-index"]),
    "null models": ("Models:\n", ["empty-index"]),
    "null items": ("Models: [null, {Name: a}, ~]", []),
    "scalars for models": ("Models: [1, 2]", ["import-missing"] * 2),
    "list for a name": ("Models: {Name: [a, b]}", ["missing-name", "wrong-kind"]),
    "mapping for a name": ("Models: {Name: {a: b}}", ["missing-name", "wrong-kind"]),
    "list for a key": ("Models: {Name: a, ? [b] : c}", ["key-not-text"]),
    "keys of no text": ("1: x\nyes: y\nnull: z\nModels: {Name: a}", ["key-not-text"] * 3),
    "shapes": (
        "Models: {Name: a, Metadata: [1, [2]], Results: [3, [4]], Paper: [5], Code: [6], Sources: 7}",
        None,
    ),
    "metrics": (
        "Models: {Name: a, Results: {Task: [a, b], Dataset: {x: 1}, Metrics: 4}}",
        ["wrong-kind"] * 3,
    ),
    "import shapes": ("Import: [{a: b}, [c], null, '']\nModels: {Name: a}", ["wrong-kind"] * 3),
    "address": ("Import: https://example.org/a.yml", ["import-missing"]),
    "odd paths": ("Import: ['a\\0b', '" + "x/" * 3_000 + "']", None),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_text_is_a_problem(read, codes, case):
    """Each bad text gives its problems, at a place in the file, in under two seconds."""
    text, expected = BAD[case]
    start = time.process_time()
    index = read(text)
    spent = time.process_time() - start

    assert spent < 2
    if expected is None:
        assert index.problems
    else:
        assert codes(index) in (expected if isinstance(expected, tuple) else (expected,))
    lines = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").splitlines() or [""]
    for problem in index.problems:
        assert 1 <= problem.location.line <= len(lines) + 1
        assert problem.location.column >= 1


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, '"' + "x" * 300_000 + '"', "[" + "1," * 300_000]
)
def test_bad_json_is_bounded(read, text):
    """JSON that is deep, long or cut off is refused in bounded time."""
    start = time.process_time()

    assert [p.code for p in read(text, file="a.json").problems] in (["too-large"], ["not-yaml"])
    assert time.process_time() - start < 3


@pytest.mark.slow
def test_memory_is_bounded(tmp_path):
    """The worst of these files are read in a process that may not have a gigabyte."""
    for number, case in enumerate(["alias bomb", "deep lists", "megabyte scalar", "deep dashes"]):
        (tmp_path / f"{number}.yml").write_text(BAD[case][0])
    (tmp_path / "nodes.yml").write_text("Models: [" + "x," * 4_000_000 + "]")
    limit = 1_000_000_000
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from rexnet_hub import load_index as r; print(*[p.location.file.name + ':' + p.code for p in r(sys.argv[1]).problems])", tmp_path],  # noqa: E501
        cwd=ROOT, capture_output=True, text=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)), check=False,  # noqa: E501
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    said = dict(word.split(":") for word in done.stdout.split())
    assert set(said) == {file.name for file in tmp_path.iterdir()}
    assert set(said.values()) <= {"too-large", "not-yaml"}
    assert said["nodes.yml"] == "too-large"


def test_a_file_too_large_is_not_read(tmp_path):
    """A file beyond the bound is refused by its size, before a byte is read."""
    file = tmp_path / "a.yml"
    with file.open("wb") as stream:
        stream.truncate(10 * 2**30)

    assert [p.code for p in load_index(file).problems] == ["too-large"]


def test_links_out_of_the_root(read, codes, tmp_path):
    """A link that leaves the root is refused, one that stays is followed."""
    outside = tmp_path / "outside.yml"
    outside.write_text("Models: {Name: secret}")
    inside = tmp_path / "root"
    inside.mkdir()
    (inside / "real.yml").write_text("Models: {Name: b}")
    (inside / "link.yml").symlink_to(outside)
    (inside / "near.yml").symlink_to("real.yml")
    (inside / "up").symlink_to(tmp_path)
    for path, found in {"link.yml": ["outside-root"], "up/outside.yml": ["outside-root"], "../outside.yml": ["outside-root"],  # noqa: E501
                        str(outside): ["outside-root"], "*/outside.yml": ["outside-root"], "near.yml": [], "x*/../../outside.yml": ["outside-root"]}.items():  # fmt: skip  # noqa: E501
        index = read(f"Import: '{path}'\n", file="root/index.yml")
        assert codes(index) == found, path
        assert "secret" not in [entry.name for entry in index.models]


def test_a_ring_of_links_ends(read, codes, tmp_path):
    """Links that lead to themselves, and folders that hold themselves, do not keep `**` going."""
    (tmp_path / "loop.yml").symlink_to("loop.yml")
    for name in ("a", "b"):
        (tmp_path / name).symlink_to(tmp_path)

    assert codes(read("Import: '**/x.yml'")) == ["import-missing"]
    assert set(codes(read("Import: loop.yml"))) <= {"import-missing", "unreadable-file", "outside-root"}


def test_without_permission(read, codes, tmp_path, seen_by_others):
    """A file and a folder that may not be read are problems where they are named."""
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed/a.yml").write_text("Models: {Name: a}")
    (tmp_path / "closed.yml").write_text("Models: {Name: a}")
    (tmp_path / "index.yml").write_text("Import: [closed.yml, 'closed/*.yml']")
    program = (
        "import os, sys\n"
        "from rexnet_hub.index import load_index\n"
        "import rexnet_hub.index.reading.read, encodings.idna\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "print(*(p.code for p in load_index(sys.argv[1]).problems))\n"
    )
    (tmp_path / "closed").chmod(0)
    (tmp_path / "closed.yml").chmod(0)
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "index.yml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    (tmp_path / "closed").chmod(0o755)

    assert (done.stdout.split(), done.stderr) == (["unreadable-file", "unreadable-file"], "")


def test_what_is_no_regular_file(read, codes, tmp_path):
    """A pipe is refused, not waited for."""
    os.mkfifo(tmp_path / "pipe.yml")

    assert codes(read("Import: pipe.yml")) == ["unreadable-file"]


def test_a_file_that_changes_while_it_is_read(tmp_path, monkeypatch):
    """A file that grows or is touched between its opening and its end is refused."""
    file = tmp_path / "a.yml"
    file.write_text("Models: {Name: a}")
    real, calls = os.fstat, []

    def fstat_then_grow(descriptor):
        calls.append(descriptor)
        if len(calls) == 3:  # opened, before, after
            with file.open("a") as stream:
                stream.write("\n# more")
        return real(descriptor)

    monkeypatch.setattr(os, "fstat", fstat_then_grow)

    assert [p.code for p in load_index(file).problems] == ["unreadable-file"]


def test_random_damage_never_escapes(tmp_path):
    """The seed, cut, spliced and scribbled on at random, is read or refused, never a traceback."""
    chance = random.Random(20261123)
    file = tmp_path / "a.yml"
    for number in range(150):
        text = SEED[: 3 * len(SEED) // 8]
        for _ in range(chance.randint(1, 4)):
            at, span = chance.randrange(len(text)), chance.choice([0, 1, 1, 5, 80])
            piece = "".join(
                chance.choices(string.printable + "é&*!|>%@`\0\ud7ff\u2028\x85", k=chance.randint(0, 6))
            )
            text = text[:at] + piece + text[at + span :]
        path = file if number % 3 else file.with_suffix(chance.choice([".json", ".md"]))
        path.write_bytes(text.encode())
        index = load_index(path)
        assert index.models or index.problems


NUMBERS = [
    row
    for row in FIELDS
    if row.owner in ("metadata", "metrics")
    and row.kind in ("count", "bytes", "number", "fraction", "percent")
]
NO_NUMBERS = (
    "1e400",
    "1.0e+400",
    "-1e400",
    "1e-400",
    ".inf",
    "-.inf",
    ".nan",
    "1" + 5000 * "0",
    "0x" + 5000 * "f",
)


def write_model(folder, **fields):
    """Write an index of one model that a page can be made of, but for some fields."""
    sound = {
        **{"Image Size": 224, "Crop Pct": 0.875, "Interpolation": "bicubic"},
        **{"Image Mean": "[0.5, 0.5, 0.5]", "Image Std": "[0.5, 0.5, 0.5]"},
    }
    metrics = {label: text for label, text in fields.items() if "Accuracy" in label}
    rows = {**sound, **{label: text for label, text in fields.items() if label not in metrics}}
    lines = [
        "Models:",
        "- Name: rexnet_100",
        "  Metadata:",
        *(f"    {key}: {text}" for key, text in rows.items()),
    ]
    result = ["  Results:", "  - Task: Image Classification", "    Dataset: ImageNet", "    Metrics:"]
    lines += [*result, *(f"      {key}: {text}" for key, text in metrics.items())] if metrics else []
    (folder / "index.yml").write_text("\n".join(lines))
    return load_index(folder)


@pytest.mark.parametrize("text", NO_NUMBERS, ids=lambda text: text[:9])
@pytest.mark.parametrize("row", NUMBERS, ids=lambda row: row.label)
def test_what_no_float_is_near_to_is_named(row, text, tmp_path):
    """In each field of a number, at its line, and as its only problem."""
    index = write_model(tmp_path, **{row.label: text})
    (problem,) = index.problems
    assert problem.code in ("wrong-kind", "out-of-range")
    lines = (tmp_path / "index.yml").read_text().splitlines()
    assert lines[problem.location.line - 1].strip().startswith(f"{row.label}:")


@pytest.mark.parametrize(
    "text", ["0", "1.0e+300", "1.0e-300", "9" * 40, *NO_NUMBERS], ids=lambda text: text[:9]
)
def test_the_greatest_and_least_numbers_are_shown(text, tmp_path, monkeypatch, capsys):
    """A page, the site's JSON and what shows an entry has each figure, or says that there is none."""
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path))
    needed = [row.label for row in NUMBERS if row.name in ("image_size", "crop_pct")]  # by the page
    others = {row.label: text for row in NUMBERS if row.label not in needed}
    for fields in (others, *({label: text} for label in needed)):
        index = write_model(tmp_path, **fields)
        if fields is not others and index.errors:
            continue
        assert index.models
        pages = render_site(index.models)
        for page in (page for name, page in pages.items() if name.endswith(".json")):
            json.loads(page, parse_constant=pytest.fail)
        for command in (["list"], ["show", "rexnet_100"], ["recipe", "rexnet_100"]):
            assert main([*command, "--json"]) == 0
            json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def test_checks_take_time_as_the_models_are_many():
    """Eight times the models take no more than about eight times as long to be held against each other."""
    spent = []
    for count in (2_000, 16_000):
        entries = [Entry(name=f"net_{n}", location=Location(Path("a.yml"), n + 1, 1)) for n in range(count)]
        start = time.process_time()
        check_entries(entries, (), pytest.fail)
        spent.append(time.process_time() - start)

    assert spent[1] < 20 * spent[0]
