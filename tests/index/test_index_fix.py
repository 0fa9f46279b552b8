"""Fixes and added models change what they must, and every other byte stays."""

import json
import random
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from rexnet_hub.errors import FileProblem, IndexReadError
from rexnet_hub.index import load_index
from rexnet_hub.index.change import fix_files
from rexnet_hub.index.fields import find_misspelt
from rexnet_hub.index.text_edits import append_model, apply_fixes, read_index_file

ROOT = Path(__file__).resolve().parents[2]

FIXES = {
    "misspelt key": (
        "Models:\n- Name: a # mine\n  Metdata:   {Epochs: 4}\n",
        "Models:\n- Name: a # mine\n  Metadata:   {Epochs: 4}\n",
    ),
    "quoted key": ('Models: [{"Name": a, "Reslts": []}]', 'Models: [{"Name": a, "Results": []}]'),
    "number as text": (
        "Models: {Name: a, Metadata: {LR: 5e-1, Weight Decay: 1E5, Epochs: 4e2}}",
        "Models: {Name: a, Metadata: {LR: 5.0e-1, Weight Decay: 1.0e+5, Epochs: 400}}",
    ),
    "digest": (
        "Models: {Name: a, Metadata: {Checksum: 590768e6}}",
        "Models: {Name: a, Metadata: {Checksum: '590768e6'}}",
    ),
    "millions": (
        "Models: {Name: a, Metadata: {Parameters: 4.8M, FLOPs: '509,989,377'}}",
        "Models: {Name: a, Metadata: {Parameters: 4800000, FLOPs: 509989377}}",
    ),
    "percent for a fraction": (
        "Models: {Name: a, Metadata: {Crop Pct: '87.5%', Dropout: 20%}}",
        "Models: {Name: a, Metadata: {Crop Pct: '0.875', Dropout: 0.20}}",
    ),
    "case of a collection": (
        "Collections: {Name: RexNet}\nModels: {Name: a, In Collection: Rexnet}",
        "Collections: {Name: RexNet}\nModels: {Name: a, In Collection: RexNet}",
    ),
    "text": (
        "Models: {Name: 100, Metadata: {Training Time: 12:30}}",
        "Models: {Name: '100', Metadata: {Training Time: '12:30'}}",
    ),
    "keys": ("Models: {Name: a, Metadata: {50: x}}", "Models: {Name: a, Metadata: {'50': x}}"),
    "two on a line, one twice by alias": (
        "Models:\n- {Name: a, Metdata: &m {LR: 5e-1}}\n- {Name: b, Metadata: *m}",
        "Models:\n- {Name: a, Metadata: &m {LR: 5.0e-1}}\n- {Name: b, Metadata: *m}",
    ),
}


UNTOUCHED = {
    "another number of guesses": "{Results: [{Task: t, Dataset: d, Metrics: {Top 2 Accuracy: 84%}}]}",
    "a number more": "{Results: [{Task: t, Dataset: d, Metrics: {Top 50 Accuracy: 99%, Acc@50: 93%}}]}",
    "prefixes of a unit": "{Metadata: {TFLOPs: 2, KFLOPs: 5, MParameters: 4.8, GMACs: 0.4}}",
    "an address of one's own": "{Source: https://example.org/net, Paper Source: x}",
    "a date": "{Metadata: {Training Date: '2022-06', Release Date: x, Training Rate: 1}}",
    "one of several": "{Metadata: {Epoch: 12, Parameter: x, Training Technique: y, Image Sizes: z, Task: a}}",
    "words that look alike": "{Metadata: {Trailing Data: 1, Easing: 2, LR Scheduler: x, Soothing: y}}",
    "short words": "{Metadata: {LB: 1, IR: 2, Crop Pxt: 3, Tags: 4, Batch Side: 5, File Site: 6}}",
    "two slips": "{Metadata: {Paramtres: 5}}",
    "a part of the table's words": "{Metadata: {Results Data: x, Weights Title: y}}",
    "a percentage without its sign": "{Metadata: {Crop Pct: 114, Random Erasing: 25}}",
    "thousands of a kind": "{Metadata: {Batch Size: 4k, Warmup Epochs: 5m, Epochs: '1,200'}}",
    "no address": "{Weights: htp://example.org/a.pth, Code: example.org/a}",
    "collections that differ in case": "{In Collection: NETS}",
}


@pytest.mark.parametrize("kind", UNTOUCHED)
def test_what_may_be_meant_is_left_alone(read, tmp_path, kind):
    """A fix never makes a claim: what may mean itself, or two things, keeps every byte."""
    text = f"Collections: [{{Name: Nets}}, {{Name: nets}}]\nModels: {{Name: a, {UNTOUCHED[kind][1:]}\n"
    problems = read(text).problems

    assert [problem.fix for problem in problems if problem.fix] == []
    assert [problem for problem in problems if problem.code == "misspelt-key"] == []
    assert fix_files([tmp_path])[0] == ()
    assert (tmp_path / "index.yml").read_text() == text


def test_keys_of_ones_own_are_no_problem(read):
    """Legitimate keys near to those of the table are custom fields, without a word."""
    index = read(
        "Models:\n- Name: a\n  Source: x\n  Metadata: {KFLOPs: 7, Training Date: x, GMACs: 1}\n"
        "  Results: [{Task: t, Dataset: d, Source: x, Metrics: {Top 20 Accuracy: 99%, Top 2 Accuracy: 80%}}]"
    )

    assert index.problems == ()
    assert list(index.models[0].metadata) == [
        "KFLOPs",
        "Training Date",
        "GMACs",
    ]
    assert list(index.models[0].results[0].metrics) == ["Top 20 Accuracy", "Top 2 Accuracy"]


SLIPS = {
    "a letter lost": ("metadata", "Paramters", "Parameters"),
    "a letter twice": ("metadata", "Optimizzer", "Optimizer"),
    "a letter changed": ("metadata", "Archetecture", "Architecture"),
    "two letters swapped": ("model", "Metadtaa", "Metadata"),
    "no gap": ("metadata", "FileSize", "File Size"),
    "a gap too many": ("model", "Meta Data", "Metadata"),
    "in one of two words": ("metrics", "Top 5 Acuracy", "Top 5 Accuracy"),
    "not the same gap and letter": ("metadata", "FileSizze", None),
    "its first letter": ("model", "Letadata", None),
    "its last letter": ("metadata", "Optimized", None),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_told_from_another_word(slip):
    """One slip inside a long word, or another gap, names the known key; anything else names none."""
    owner, wrong, right = SLIPS[slip]

    near = find_misspelt(owner, wrong)
    assert (near and near.label) == right


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", FIXES)
def test_a_certain_fix_is_applied(read, tmp_path, name, bom, end):
    """Each certain fix gives exactly the mended text, which has no such problem any more."""
    bad, good = (bom + text.replace("\n", end).encode() for text in FIXES[name])
    read(bad)
    fixed, index = fix_files([tmp_path])

    assert (tmp_path / "index.yml").read_bytes() == good
    assert [file for file, _ in fixed] == [tmp_path / "index.yml"]
    assert [p for p in index.problems if p.fix] == []


def test_fixes_in_json_stay_json(read, tmp_path):
    """In a JSON file a fix is JSON: quotes are double."""
    read('{"Models": [{"Name": 7, "Reslts": [], "SHA256": 12345678}]}', file="a.json")
    fix_files([tmp_path])

    assert json.loads((tmp_path / "a.json").read_text()) == {
        "Models": [{"Name": "7", "Results": [], "SHA256": "12345678"}]
    }


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_collection_in_quotes_is_fixed(read, tmp_path, quote):
    """Another case of a collection's name is put right within its quotes."""
    text = "Collections: [{{Name: Nets}}]\nModels: [{{Name: a, In Collection: {0}{1}{0}}}]\n"
    read(text.format(quote, "NETS"))
    fix_files([tmp_path])

    assert (tmp_path / "index.yml").read_text() == text.format(quote, "Nets")


def test_fixes_in_a_page(read, tmp_path):
    """In a Markdown page only the characters in its comment change."""
    page = (
        "# é Metdata\n\n<!--\nType: model-index\nModels:\n- Name: a\n  Metdata: {Epochs: 4}\n-->\nMetdata\n"
    )
    read(page, file="a.md")
    fix_files([tmp_path / "a.md"])

    assert (tmp_path / "a.md").read_text() == page.replace("  Metdata:", "  Metadata:")


def test_a_taken_key_is_not_fixed(read):
    """A misspelt key whose right name stands beside it has no certain fix."""
    problems = read("Models: {Name: a, Metadata: {LR: 1}, Metdata: {LR: 2}}").problems

    assert [(p.code, p.fix) for p in problems] == [("misspelt-key", None)]


@pytest.mark.parametrize(
    "file",
    ["model_index/rexnet.yml", "tests/data/seed_rexnet.md", "tests/data/corpora/page_with_percents.mdx"],
)
def test_what_needs_no_fix_stays_byte_for_byte(file, tmp_path):
    """A file without a certain fix is not written at all; one with a fix elsewhere keeps every other byte."""
    copy = tmp_path / Path(file).name
    data = (ROOT / file).read_bytes()
    copy.write_bytes(data)
    stamp = copy.stat()
    assert fix_files([copy])[0] == ()
    assert (copy.stat().st_mtime_ns, copy.stat().st_ino) == (stamp.st_mtime_ns, stamp.st_ino)

    copy.write_bytes(data.replace(b"    Epochs:", b"    Epohcs:").replace(b"    Layers:", b"    LR Shedule:"))
    fix_files([copy])
    assert copy.read_bytes() == data.replace(b"    Layers:", b"    LR Schedule:")


def test_a_file_that_changed_since_is_left_alone(read, tmp_path):
    """A fix is not applied to a text that it was not found in."""
    problems = read("Models: [{Name: a, Metdata: {}}]").problems
    (tmp_path / "index.yml").write_text("Models: []")

    with pytest.raises(IndexReadError, match="changed since"):
        apply_fixes(read_index_file(tmp_path / "index.yml"), problems)


def test_writing_keeps_links_and_rights(read, tmp_path):
    """A link stays one, its target is changed and keeps its permissions; nothing else is left behind."""
    read("Models: {Name: a, Metdata: {}}", file="real.yml")
    (tmp_path / "real.yml").chmod(0o640)
    (tmp_path / "link.yml").symlink_to("real.yml")
    fix_files([tmp_path / "link.yml"])

    assert (tmp_path / "link.yml").is_symlink()
    assert "Metadata" in (tmp_path / "real.yml").read_text()
    assert (tmp_path / "real.yml").stat().st_mode & 0o777 == 0o640
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link.yml", "real.yml"]


def test_a_failed_write_leaves_the_file(read, tmp_path, monkeypatch):
    """When the rename fails, the file is as it was and nothing is left beside it."""
    read("Models: {Name: a, Metdata: {}}")

    def fail(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(FileProblem, match="No space left"):
        fix_files([tmp_path])
    assert [file.name for file in tmp_path.iterdir()] == ["index.yml"]
    assert "Metdata" in (tmp_path / "index.yml").read_text()


# Adding a model

MODEL = {
    "Name": "rexnet_300",
    "In Collection": "RexNet",
    "Metadata": {
        "Parameters": 34708792,
        "LR": Decimal("0.5"),
        "Weight Decay": Decimal("0.00001"),
        "Architecture": ("ReLU6", "é: #"),
    },
    "SHA256": "590768e6" + 56 * "1",
    "Results": [
        {"Task": "Image Classification", "Dataset": "ImageNet", "Metrics": {"Top 1 Accuracy": "82.8%"}}
    ],
}

HOMES = {
    "the own index": (ROOT / "model_index/rexnet.yml").read_text(),
    "no newline at the end": "Models:\n- Name: a",
    "comments after": "Models:\n- Name: a\n  # of a\n\n  # and this\n# the end\n",
    "indented items": "Models:\n    - Name: a\n      Metadata:\n        Epochs: 4\n# end\nLibrary:\n  Name: x\n",  # noqa: E501
    "sections after": "Models:\n- Name: a\n  Metadata:\n    Tasks: [x,\n      y]\nCollections:\n- Name: RexNet\n",  # noqa: E501
    "flow list": "Models: [{Name: a}]\n",
    "empty list": "Models: []\n",
    "no models yet": "Collections:\n- Name: RexNet\n",
    "block scalar": "Models:\n- Name: a\n  README: |\n    text\n    more\n",
    "folded and trailing": "Models:\n- Name: a\n  Code: 'https://a.b/c'   # here\n",
}


def append(file):
    """Append the model to a file."""
    file.write_bytes(append_model(read_index_file(file), MODEL).data)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("home", HOMES)
def test_a_model_is_added_and_the_rest_stays(tmp_path, home, end):
    """The new model is last, says what it was given, and every old byte stands where it stood."""
    file = tmp_path / "index.yml"
    before = HOMES[home].replace("\n", end).encode()
    file.write_bytes(before)
    append(file)
    after = file.read_bytes()
    read = yaml.safe_load(after)["Models"]

    head = next(n for n in range(len(before) + 1) if n == len(before) or before[n] != after[n])
    assert any(
        after.startswith(before[:n]) and after.endswith(before[n:])
        for n in (head, *range(max(0, head - 400), head))
    )
    assert read[:-1] == (yaml.safe_load(before).get("Models") or [])
    assert read[-1]["SHA256"] == MODEL["SHA256"]
    entry = load_index(file).find("rexnet_300")
    assert (entry.value("lr"), entry.value("weight_decay")) == (Decimal("0.5"), Decimal("0.00001"))
    assert entry.value("architecture") == ("ReLU6", "é: #")
    assert (b"\r\n" in after) == (b"\r\n" in before)


@pytest.mark.parametrize("text", ["Models: {Name: a}\n", "Models: a.yml\n", "[]\n", "", "Models: [\n"])
def test_where_nothing_can_be_added_nothing_changes(tmp_path, text):
    """A file whose models are no list is refused and left as it is."""
    file = tmp_path / "index.yml"
    file.write_text(text)

    with pytest.raises(IndexReadError):
        append(file)
    assert file.read_text() == text


def test_a_model_is_added_to_json_and_to_a_page(tmp_path):
    """JSON stays JSON, and a page's text around its comment stays."""
    file, page = tmp_path / "a.json", tmp_path / "a.md"
    file.write_text('{\n  "Models": [\n    {"Name": "a"}\n  ]\n}\n')
    append(file)
    assert [model["Name"] for model in json.loads(file.read_text())["Models"]] == ["a", "rexnet_300"]

    text = (ROOT / "tests/data/seed_rexnet.md").read_text()
    page.write_text(text)
    append(page)
    assert page.read_text().startswith(text[: text.rindex("-->")])
    assert page.read_text().endswith("-->\n")
    assert load_index(page).models[-1].name == "rexnet_300"


def test_fixes_of_random_misspellings_restore_the_file(tmp_path):
    """Keys misspelt at random are mended to the old bytes or left as they are, nothing third."""
    chance = random.Random(7)
    data = (ROOT / "tests/data/seed_block.yml").read_text()
    lines = data.splitlines(keepends=True)
    numbers = [
        n
        for n, line in enumerate(lines)
        if line.startswith(("    ", "  ")) and line.rstrip().endswith(":") and "-" not in line
    ]
    mended_count = 0
    for _ in range(40):
        broken = list(lines)
        number = chance.choice(numbers)
        key = broken[number].strip()[:-1]
        at = chance.randrange(1, len(key) - 1)
        wrong = key[:at] + key[at + 1] + key[at] + key[at + 2 :]
        broken[number] = broken[number].replace(key, wrong)
        file = tmp_path / "a.yml"
        file.write_text("".join(broken))
        fix_files([file])
        assert file.read_text() in (data, "".join(broken)) or "  " in wrong
        mended_count += file.read_text() == data
    assert mended_count > 25
