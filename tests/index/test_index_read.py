"""The reader reads every form of the public format, and what its library refuses or gets wrong."""

import gc
import json
from collections.abc import Container, Iterable, Sized
from decimal import Decimal
from pathlib import Path

import modelindex
import pytest
import yaml

from rexnet_hub.errors import FileProblem
from rexnet_hub.index import load_index
from rexnet_hub.index.reading.source import Node

DATA = Path(__file__).resolve().parent.parent / "data"
ONE = "Models:\n- Name: a\n  Metadata: {Epochs: 4}\n"


def test_the_own_index_has_no_problem():
    """The zoo's own index is read without a problem, and says what the seed says first."""
    index = load_index()

    assert index.problems == ()
    seeds = ["rexnet_100", "rexnet_130", "rexnet_150", "rexnet_200"]
    assert [entry.name for entry in index.models[:4]] == seeds
    assert index.find("rexnet_130").metric("top1").value == Decimal("79.49")
    assert index.find("rexnet_130").value("weight_decay") == Decimal("1.0e-05")


def test_an_index_is_no_sequence():
    """A name is looked for with `get`: `in`, `len` and a loop would answer for the fields of the record."""
    assert not isinstance(load_index(), Container | Iterable | Sized)


@pytest.mark.parametrize("file", ["seed_block.yml", "seed_rexnet.md"])
def test_the_seed_reads_as_its_library_reads_it(file):
    """Every value of the seed is the one that PyYAML and the public library give."""
    index = load_index(DATA / file)
    theirs = modelindex.load(str(DATA / "seed_block.yml"))

    assert index.problems == ()
    for entry, model in zip(index.models, theirs.models.data, strict=True):
        assert entry.name == model.name
        assert entry.weights.value == model.weights
        for label, value in model.metadata.data.items():
            (claim,) = [claim for claim in entry.metadata.values() if claim.label == label]
            ours = list(claim.value) if isinstance(claim.value, tuple) else claim.value
            assert ours == value or Decimal(str(value)) == ours
        for label, value in model.results.data[0].metrics.items():
            (claim,) = [claim for claim in entry.results[0].metrics.values() if claim.label == label]
            assert (claim.text, claim.value) == (value, Decimal(value.rstrip("%")))


def test_places_in_a_page_are_the_page_s_own():
    """In a Markdown file, line and column are those of the page."""
    file = DATA / "seed_rexnet.md"
    claim = load_index(file).find("rexnet_200").metric("top5")
    line = file.read_text().splitlines()[claim.location.line - 1]

    assert line[claim.location.column - 1 :] == claim.text == "95.67%"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("file", ["a.yml", "a.md", "a.mdx", "a.txt"])
def test_line_ends_and_marks_do_not_move_places(read, file, bom, end):
    """CRLF and a byte order mark change neither values nor places."""
    page = ONE if file == "a.yml" else f"# Page\n\n<!--\nType: model-index\n{ONE}-->\n"
    index = read(bom + page.replace("\n", end), file=file)

    place = index.models[0].metadata["epochs"].location
    assert index.problems == ()
    assert page.splitlines()[place.line - 1][place.column - 1] == "4"


def test_json_is_read_with_its_escapes_and_tabs(read):
    """A JSON file gives what `json` gives, places included, where YAML 1.1 cannot read it."""
    text = (
        '{\n\t"Models": [{"Name": "a\\u00e9\\ud83d\\ude00", '
        '"Metadata": {"Training Time": "1\\/2 d", "Epochs": 4e1, "LR": 1e-5}}]\n}\n'
    )
    with pytest.raises(yaml.YAMLError):
        yaml.safe_load(text)
    index = read(text, file="a.json")

    assert [problem.code for problem in index.problems] == ["unportable-name"]
    assert index.models[0].name == json.loads(text)["Models"][0]["Name"]
    assert (index.models[0].value("epochs"), index.models[0].value("lr")) == (40, Decimal("0.00001"))
    assert index.models[0].metadata["lr"].location.column == text.splitlines()[1].index("1e-5") + 1


@pytest.mark.parametrize(
    "text",
    [
        '{"Models": [}',
        '{"Models": [1,]}',
        '{"Models" 1}',
        '{"a": 1} 2',
        '{"Models": ["\\x"]}',
        "[1",
        "{,}",
        '{"a"}',
        "'a'",
    ],
)
def test_json_that_is_none_is_refused(read, codes, text):
    """Text that `json` refuses is refused, at a place."""
    with pytest.raises(ValueError, match=r"\w"):
        json.loads(text)

    assert codes(read(text, file="a.json")) == ["not-yaml"]


PAGES = {
    "several comments": (
        "<!--\nType: model-index\nModels: {Name: a, Code: null}\n-->\n<!--\nType: model-index\nName: b\nResults: []\n-->",  # noqa: E501
        "ab",
    ),
    "fenced": (f"```\n<!--\nType: model-index\n{ONE}-->\n```\n", ""),
    "tilde fence with info": (f"~~~~ yaml\n<!--\nType: model-index\n{ONE}-->\n~~~\n~~~~\n", ""),
    "fence left open": (f"```\n<!--\nType: model-index\n{ONE}-->\n", ""),
    "after a fence": (f"```\ncode\n```\n<!--\nType: model-index\n{ONE}-->\n", "a"),
    "code span": ("Write `<!-- Type: model-index` to\n", ""),
    "indented code": ("Text\n\n    <!--\n    Type: model-index\n    Models: {Name: a}\n    -->\n", ""),
    "list item": ("- item\n\n    <!--\n    Type: model-index\n    Models: {Name: a}\n    -->\n", "a"),
    "unmarked": (f"<!--\n{ONE}-->", "a"),
    "other comment": ("<!-- Name: of a song\nby: x -->", ""),
    "broken other comment": ("<!-- \nName: [\n-->", ""),
    "quoted type": (f"<!--\n'type': 'ModelIndex'\n{ONE}-->", "a"),
    "card": ("---\nmodel-index:\n- name: a\n  results: []\n---\n# a\n", "a"),
    "card and comment": (f"---\ntags: [x]\n---\n<!--\nType: model-index\n{ONE}-->", "a"),
    "public format in front matter": ("---\nmodel-index:\n  Models: {Name: a}\n---\n", "a"),
}


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_carries(read, page):
    """Comments and card metadata count; what stands in code does not."""
    text, names = PAGES[page]

    assert "".join(entry.name for entry in read(text, file="page.md").models) == names


def test_a_broken_marked_comment_is_a_problem_at_the_page_s_line(read):
    """YAML that is broken inside a marked comment is reported, not passed over."""
    problem = read("# x\n\n<!--\nType: model-index\nModels: [\n-->\n", file="page.md").problems[0]

    assert (problem.code, problem.location.line) == ("not-yaml", 6)


IMPORTS = {
    "a text": ("Import: one.yml", "a"),
    "a list": ("Import: [one.yml, sub/two.yml]", "ab"),
    "a pattern": ("Import: '*.yml'", "a"),
    "across folders": ("Import: '**/*.yml'", "acb"),
    "one folder": ("Import: sub/*.yml", "b"),
    "twice": ("Import: [one.yml, one.yml, '*.yml']", "a"),
    "models by path": ("Models: one.yml", "a"),
    "a list of paths": ("Models: [one.yml, {Name: z}, sub/*.yml]", "azb"),
    "a bare list": ("Import: list.json", "d"),
    "one model": ("Import: single.yaml", "e"),
    "a page": ("Import: page.mdx", "f"),
}


@pytest.mark.parametrize("form", IMPORTS)
def test_files_name_files(read, form):
    """Import, Models and patterns bring what the files hold, each file once."""
    text, names = IMPORTS[form]
    index = read(
        text,
        file="index.yaml",
        **{
            "one.yml": "models: {name: a}",
            "sub/two.yml": "models: [{name: b}]",
            "sub/deep/three.yml": "MODELS: [{NAME: c}]",
            "list.json": '[{"Name": "d"}]',
            "single.yaml": "Name: e\nResults: []",
            "page.mdx": "<!--\nType: model-index\nName: f\nWeights: null\n-->",
        },
    )

    assert index.problems == ()
    assert "".join(entry.name for entry in index.models) == names


def test_sections_of_a_model_by_path(read):
    """Metadata, Results and their lists may stand in files of their own, with places there."""
    index = read(
        "Models:\n- Name: a\n  Metadata: [m.yml, {Epochs: 5}, {Metadata: {LR: 0.5}}]\n  Results: [r.yml, {Task: t, Dataset: d, Metrics: {x: 1}}]\n"  # noqa: E501
        "- Name: b\n  Metadata: m.yml\n  Results: r*.yml\n",
        **{
            "m.yml": "Metadata:\n  Epochs: 4\n  Batch Size: 8\n",
            "r.yml": "- {Task: T, Dataset: D, Metrics: [{name: y, value: 2}]}\n",
        },
    )
    first, second = index.models

    assert index.problems == ()
    assert (first.value("epochs"), first.value("batch_size"), first.value("lr")) == (5, 8, Decimal("0.5"))
    assert [result.task for result in first.results] == ["T", "t"]
    assert second.results[0].metrics["y"].location.file.name == "r.yml"
    assert second.metadata["epochs"].location.line == 2


def test_a_path_resolves_against_its_writer_then_the_root(read, tmp_path):
    """A path counts from the file that wrote it, and from the root where it is not there."""
    files = {
        "sub/more.yml": "Models: {Name: a, README: docs/a.md}\nImport: other.yml",
        "sub/other.yml": "Models: {Name: b}",
        "docs/a.md": "x",
    }

    assert read("Import: sub/more.yml", **files).problems == ()
    alone = load_index(tmp_path / "sub/more.yml")
    assert [problem.code for problem in alone.problems] == ["missing-file"]
    assert load_index(tmp_path / "sub/more.yml", root=tmp_path).problems == ()


CYCLES = {
    "itself": {"index.yml": "Import: index.yml"},
    "two": {"index.yml": "Import: b.yml", "b.yml": "Import: index.yml"},
    "three": {"index.yml": "Import: b.yml", "b.yml": "Import: c.yml", "c.yml": "Import: b.yml"},
    "models": {"index.yml": "Models: b.yml", "b.yml": "Models: [b.yml]"},
    "results": {"index.yml": "Models: {Name: a, Results: r.yml}", "r.yml": "[r.yml]"},
    "metadata": {"index.yml": "Models: {Name: a, Metadata: m.yml}", "m.yml": "Metadata: m.yml"},
}


@pytest.mark.parametrize("cycle", CYCLES)
def test_a_cycle_is_refused(read, codes, cycle):
    """Files that name each other in a ring are a problem, and the reading ends."""
    files = dict(CYCLES[cycle])

    assert "import-cycle" in codes(read(files.pop("index.yml"), **files))


def test_any_case_and_gap_of_a_key(read):
    """Keys are known in any case, with spaces, hyphens or underscores: `in collection` too."""
    index = read(
        "collections: [{NAME: C, metadata: {epochs: 4}}]\nMODELS:\n- name: a\n  in collection: C\n- name: b\n  IN_COLLECTION: C\n"  # noqa: E501
        "- name: c\n  In-Collection: [C]\n  METADATA: {batch_size: 8}\n"
    )

    assert index.problems == ()
    assert [entry.value("epochs") for entry in index.models] == [4, 4, 4]
    assert index.models[2].value("batch_size") == 8


def test_inheritance(read):
    """Of scalars the model's holds; lists join without doubles; mappings merge; results join."""
    index = read(
        "Collections:\n- Name: C\n  License: MIT\n  Code: https://a.b/c\n  Paper: https://a.b/p\n"
        "  Metadata: {Epochs: 4, LR: 0.5, Architecture: [x, y], Training Data: D, Own: {a: 1, b: 2}, Tasks: [t], Image Mean: [0, 0, 0]}\n"  # noqa: E501
        "  Results: {Task: t, Dataset: d, Metrics: {m: 1}}\n"
        "Models:\n- Name: a\n  In Collection: C\n  Code: https://a.b/d\n"
        "  Metadata: {Epochs: 5, Architecture: [y, z], Training Data: [E, D], Own: {b: 3}, Tasks: null, Image Mean: [0.5, 0.5, 0.5]}\n"  # noqa: E501
        "  Results: [{Task: u, Dataset: d, Metrics: {m: 2}}]\n"
    )
    entry = index.models[0]

    assert index.problems == ()
    assert (entry.value("epochs"), entry.metadata["epochs"].inherited) == (5, False)
    assert (entry.value("lr"), entry.metadata["lr"].inherited) == (Decimal("0.5"), True)
    assert entry.value("architecture") == ("x", "y", "z")
    assert entry.value("training_data") == ("D", "E")
    assert entry.value("Own") == {"a": 1, "b": 3}
    assert entry.value("tasks") == ("t",)
    assert entry.value("image_mean") == (Decimal("0.5"),) * 3
    assert [result.task for result in entry.results] == ["t", "u"]
    assert (entry.license.value, entry.license.inherited, entry.code.value) == ("MIT", True, "https://a.b/d")
    assert (entry.paper.url, entry.collection.name) == ("https://a.b/p", "C")


def test_a_collection_of_another_file(read):
    """A model inherits from a collection that any file of the index holds."""
    index = read(
        "Import: [m.yml, c.yml]",
        **{"m.yml": "Models: {Name: a, In Collection: C}", "c.yml": "Collections: {Name: C, License: MIT}"},
    )

    assert index.problems == ()
    assert index.models[0].license.location.file.name == "c.yml"


def test_anchors_and_merge_keys(read):
    """Aliases and `<<` are written out; a mapping's own word wins."""
    index = read(
        "Models:\n- Name: a\n  Metadata: &m {Epochs: 4, LR: 0.5}\n- Name: b\n  Metadata: {<<: *m, Epochs: 5}\n- Name: c\n  Metadata: *m\n"  # noqa: E501
    )

    assert index.problems == ()
    assert [(entry.value("epochs"), entry.value("lr")) for entry in index.models] == [
        (4, Decimal("0.5")),
        (5, Decimal("0.5")),
        (4, Decimal("0.5")),
    ]


def test_values_are_exact(read):
    """Percents are points, numbers decimals, counts whole, whatever quotes they stand in."""
    text = "Models: {Name: a, Metadata: {Parameters: '4800000', FLOPs: 5.0e+8, LR: 1.0e-05, Crop Pct: '0.875', Layers: 50, Free: 9.7, Frozen: yes, Share: 12.5%}, Results: {Task: t, Dataset: ImageNet, Metrics: {Acc@1: '79.49 %', 'Top-5 Accuracy': 94.67, CIDER: 132.82}}}"  # noqa: E501
    entry = read(text).models[0]

    assert (entry.value("parameters"), entry.value("flops")) == (4_800_000, 500_000_000)
    assert (entry.value("lr"), entry.value("crop_pct")) == (Decimal("0.00001"), Decimal("0.875"))
    assert (entry.value("Layers"), entry.value("Free"), entry.value("Frozen")) == (50, Decimal("9.7"), True)
    assert entry.value("Share") == Decimal("12.5")
    assert (entry.metric("top1").value, entry.metric("top5").value) == (Decimal("79.49"), Decimal("94.67"))
    assert entry.results[0].metrics["CIDER"].value == Decimal("132.82")


def test_a_folder_gives_its_own_index_else_each_file(read, tmp_path):
    """A folder's `model-index.yml` is the index; without one each file is read."""
    read(
        "Models: {Name: a}",
        file="b.yml",
        **{"a.json": '{"Models": {"Name": "z"}}', "lock.json": "{}", "README.md": "# Hello"},
    )
    assert [entry.name for entry in load_index(tmp_path).models] == ["z", "a"]
    assert load_index(tmp_path).problems == ()

    (tmp_path / "model-index.yml").write_text("Import: b.yml")
    assert [entry.name for entry in load_index(tmp_path).models] == ["a"]


def test_several_paths_make_one_index(read, tmp_path):
    """Several files are read as one index, each once."""
    read("Models: {Name: a}", file="a.yml", **{"b.yml": "Models: {Name: b}"})
    index = load_index([tmp_path / "a.yml", str(tmp_path / "b.yml"), tmp_path / "a.yml"])

    assert [entry.name for entry in index.models] == ["a", "b"]


def test_nothing_to_read_is_refused(tmp_path, monkeypatch):
    """A path that is not there, an empty folder and no path at all are errors of the request."""
    with pytest.raises(FileProblem, match="no such file"):
        load_index(tmp_path / "no.yml")
    with pytest.raises(FileProblem, match="holds no model-index file"):
        load_index(tmp_path)
    with pytest.raises(FileProblem, match="nothing was given"):
        load_index([])
    for place in (tmp_path, tmp_path / "no"):  # that should be one's own
        monkeypatch.setenv("REXNET_HUB_INDEX", str(place))
        with pytest.raises(FileProblem, match="rexnet-hub init DIR begins an index of your own"):
            load_index()


def test_a_digest_prefix_needs_eight_digits(read):
    """The tail of a file name counts as a digest from eight hexadecimal digits on."""
    index = read(
        "Models: [{Name: a, Weights: 'https://a.b/x-12345678.pth'}, {Name: b, Weights: 'https://a.b/x-1234567.pth'}]"
    )

    assert [entry.released.digest_prefix for entry in index.models] == ["12345678", None]


@pytest.mark.parametrize("file", sorted((DATA / "corpora").iterdir()), ids=lambda file: file.name)
def test_what_real_indexes_write_is_accepted(file):
    """Forms that public indexes use give no error, and at most the warnings that the file names itself."""
    index = load_index(file)
    expected = [
        line.split(":", 1)[1].split()
        for line in file.read_text().splitlines()
        if "expected warnings:" in line
    ]

    assert sorted({problem.code for problem in index.problems}) == sorted(expected[0] if expected else [])
    assert index.errors == ()
    assert index.models


LIBRARIES = {
    "inline": "Library: {Name: L, Docs: docs/}\nModels: {Name: a}",
    "by path": "Library: lib.yml\nModels: {Name: a}",
    "by path, wrapped": "Library: wrapped.yml\nModels: {Name: a}",
    "imported": "Import: other.yml\nModels: {Name: a}",
}


@pytest.mark.parametrize("form", LIBRARIES)
def test_the_library_that_models_come_from_is_kept(read, tmp_path, form):
    """`Library` is read inline, by path and from an imported file, as the public library gives it."""
    files = {
        "lib.yml": "Name: L\nDocs: docs/",
        "wrapped.yml": "Library: {Name: L, Docs: docs/}",
        "other.yml": "Library: {Name: L, Docs: docs/}\nModels: {Name: b}",
    }
    index = read(LIBRARIES[form], **files)
    assert index.problems == ()
    assert index.library.value == {"Name": "L", "Docs": "docs/"}
    kept, again = (load_index(tmp_path / "index.yml") for _ in range(2))
    assert kept == again == index
    if form != "imported":  # the public library forgets an imported file's
        theirs = modelindex.load(str(tmp_path / "index.yml")).library
        assert {key.title(): value for key, value in theirs.data.items()} == index.library.value
    assert read("Models: {Name: a}").library is None


def test_what_commands_write_beside_an_index_is_no_index(tmp_path):
    """A receipt, a record and a lock in an index's folder are passed over."""
    (tmp_path / "index.yml").write_text("Models:\n- Name: a\n")
    for name in ("o.receipt.json", "receipt.json", "a.record.json", "lock.json"):
        (tmp_path / name).write_text("{}")
    index = load_index(tmp_path)
    assert ([entry.name for entry in index.models], index.problems) == (["a"], ())


def test_no_node_outlives_the_reading(tmp_path):
    """What a file was composed into is dropped without a search for cycles."""
    (tmp_path / "model-index.yml").write_text("Models:\n- Name: a\n  Metadata: {Epochs: 3, FLOPs: few}\n")
    gc.collect()
    gc.disable()
    try:
        index = load_index(tmp_path)
        assert not [each for each in gc.get_objects() if type(each) is Node], index
    finally:
        gc.enable()
