"""List every problem code: what it means, the least text that has it, and the same text mended.

The reference page is rendered from this table, and a test runs each example.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rexnet_hub.index.entry import Location
from rexnet_hub.index.problems import Fix, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """One kind of problem.

    Attributes:
        code: A stable word.
        severity: `error`, or `warning` for what may be meant; `--strict` fails on both.
        meaning: One line.
        bad: The least file that has the problem, and no other.
        good: The same file without it.
        file: What the file is called.
        beside: Other files of the example, by name.
    """

    code: str
    severity: str
    meaning: str
    bad: str
    good: str
    file: str = "index.yml"
    beside: dict[str, str] = field(default_factory=dict)


def _model(*lines: str) -> str:
    return "Models:\n- Name: rexnet_100\n" + "".join(f"  {line}\n" for line in lines)


def _metadata(*lines: str) -> str:
    return _model("Metadata:", *(f"  {line}" for line in lines))


def _result(*lines: str) -> str:
    return _model(
        "Results:", "- Task: Image Classification", "  Dataset: ImageNet", *(f"  {x}" for x in lines)
    )


def _top1(text: str) -> str:
    return _result("Metrics:", f"  Top 1 Accuracy: {text}")


_URL = "https://example.org/rexnetv1_100-1b4dddf4.pth"
_SHA256 = "'1b4dddf4" + 56 * "0" + "'"


def _error(code: str, meaning: str, bad: str, good: str, **rest: object) -> Code:
    return Code(code=code, severity="error", meaning=meaning, bad=bad, good=good, **rest)  # type: ignore[arg-type]


def _warning(code: str, meaning: str, bad: str, good: str, **rest: object) -> Code:
    return Code(code=code, severity="warning", meaning=meaning, bad=bad, good=good, **rest)  # type: ignore[arg-type]


CODES: tuple[Code, ...] = (
    # The file
    _error("not-yaml", "the text is not YAML (or JSON, in a .json file)", "Models: [\n", _model()),
    _error("not-utf8", "the file is not UTF-8", _model("Title: R\udce9X"), _model("Title: RéX")),
    _error(
        "too-large",
        "the file is larger, deeper or longer than any index is",
        "Models: " + 60 * "[" + 60 * "]" + "\n",
        _model(),
    ),
    _error(
        "foreign-tag",
        "a YAML tag asks for more than plain data",
        _model("Title: !!python/name:os.system x"),
        _model("Title: !!str x"),
    ),
    _error(
        "several-documents",
        "a file holds more than one YAML document",
        _model() + "---\n" + _model(),
        _model(),
    ),
    _error(
        "empty-index", "there is nothing to read, so nothing was checked", "Type: model-index\n", _model()
    ),
    _error(
        "unreadable-file",
        "a file cannot be read, is no regular file, or is no kind of index",
        "Import: table.csv\n",
        "Import: more.yml\n",
        beside={"table.csv": "a,b\n", "more.yml": _model()},
    ),
    # Files that name files
    _error(
        "import-missing",
        "a path or pattern matches no file",
        "Import: mroe.yml\n",
        "Import: more.yml\n",
        beside={"more.yml": _model()},
    ),
    _error(
        "import-cycle",
        "a file imports itself, through others or not",
        "Import: back.yml\n",
        "Import: more.yml\n",
        beside={"back.yml": "Import: index.yml\n", "more.yml": _model()},
    ),
    _error(
        "outside-root",
        "a path leaves the folder that the index may read",
        "Import: ../more.yml\n",
        "Import: more.yml\n",
        beside={"more.yml": _model()},
    ),
    _warning(
        "missing-file",
        "a README or picture is not there",
        _model("README: no.md"),
        _model("README: Some text"),
    ),
    # Keys
    _error("duplicate-key", "a key stands twice in one mapping; YAML keeps one", _model("Name: b"), _model()),
    _error(
        "key-not-text",
        "YAML reads a key as something else than text",
        _metadata("50: x"),
        _metadata("'50': x"),
    ),
    _error(
        "misspelt-key",
        "a key is a misspelling of one that the format knows",
        _model("Metdata: {Epochs: 400}"),
        _model("Metadata: {Epochs: 400}"),
    ),
    _warning(
        "unknown-key",
        "a key that nobody reads stands where keys are fixed",
        _model() + "Author: x\n",
        _model(),
    ),
    _warning(
        "misplaced-key", "a key of Metadata stands beside it", _model("Epochs: 400"), _metadata("Epochs: 400")
    ),
    _error(
        "bad-name",
        "a model's name cannot name a folder: it has a slash, a control character or a dot first",
        "Models:\n- Name: ../other\n",
        _model(),
    ),
    _error(
        "hub-metadata",
        "a card's metadata is written as the Hub refuses or passes over it",
        "---\nmodel_index: [{name: a}]\n---\n",
        "---\nmodel-index: [{name: a}]\n---\n",
        file="README.md",
    ),
    _error("missing-name", "a model or collection has no Name", "Models:\n- Title: x\n", _model("Title: x")),
    _warning(
        "incomplete-result",
        "a result lacks its Task, Dataset or Metrics",
        _model("Results:", "- Task: Image Classification", "  Dataset: ImageNet"),
        _top1("77.86%"),
    ),
    # Single values
    _error(
        "wrong-kind",
        "a value is not of its field's kind",
        _metadata("Epochs: many"),
        _metadata("Epochs: 400"),
    ),
    _error("out-of-range", "a number is impossible for its field", _top1("177.86%"), _top1("77.86%")),
    _error(
        "unit-confusion",
        "a number is in another unit than its field's",
        _metadata("Crop Pct: 87.5"),
        _metadata("Crop Pct: 0.875"),
    ),
    _warning(
        "unit-suspect",
        "a number is possible, but more likely in another unit",
        _top1("0.7786"),
        _top1("77.86"),
    ),
    _warning(
        "number-as-text",
        "YAML reads a number such as 1e-5 as text: it wants 1.0e-5",
        _metadata("Weight Decay: 1e-5"),
        _metadata("Weight Decay: 1.0e-5"),
    ),
    _error(
        "digest-as-number",
        "YAML may read an unquoted digest as a number",
        _metadata("Checksum: 590768e6"),
        _metadata("Checksum: '590768e6'"),
    ),
    _warning(
        "unquoted-text",
        "YAML reads unquoted text as a number, date or truth value",
        _metadata("Training Time: 12:30"),
        _metadata("Training Time: '12:30'"),
    ),
    _error("not-a-url", "an address is not one", _model("Weights: rexnet.pth"), _model(f"Weights: {_URL}")),
    _warning(
        "plain-http",
        "weights come over a connection that anybody can change",
        _model(f"Weights: {_URL.replace('https', 'http')}"),
        _model(f"Weights: {_URL}"),
    ),
    _warning(
        "duplicate-item",
        "a list names the same thing twice",
        _metadata("Architecture: [ReLU6, ReLU6]"),
        _metadata("Architecture: [ReLU6]"),
    ),
    # Claims against claims
    _error(
        "duplicate-model",
        "two models have one name",
        _model() + "- Name: rexnet_100\n",
        _model() + "- Name: rexnet_130\n",
    ),
    _error(
        "duplicate-collection",
        "two collections have one name",
        "Collections: [{Name: RexNet}, {Name: RexNet}]\n",
        "Collections: [{Name: RexNet}]\n",
    ),
    _error(
        "missing-collection",
        "In Collection names none that there is",
        "Collections: {Name: RexNet}\n" + _model("In Collection: Rexnet"),
        "Collections: {Name: RexNet}\n" + _model("In Collection: RexNet"),
    ),
    _warning(
        "same-weights",
        "two models have the same weights",
        _model(f"Weights: {_URL}") + f"- Name: other\n  Weights: {_URL}\n",
        _model(f"Weights: {_URL}") + "- Name: other\n",
    ),
    _error(
        "digest-mismatch",
        "the digest in the file's name is not the head of its SHA256",
        _model(f"Weights: {_URL}", f"SHA256: {_SHA256.replace('1b', '2b')}"),
        _model(f"Weights: {_URL}", f"SHA256: {_SHA256}"),
    ),
    _error(
        "impossible-parameters",
        "the architecture has another number of parameters",
        _metadata("Parameters: 4900000"),
        _metadata("Parameters: 4800000"),
    ),
    _error(
        "impossible-file-size",
        "the architecture's tensors do not make a file of that size",
        _metadata("File Size: 30508197"),
        _metadata("File Size: 19417552"),
    ),
    _warning(
        "unlikely-file-size",
        "the size is not near four bytes a parameter",
        "Models: {Name: other, Metadata: {Parameters: 4800000, File Size: 1000}}\n",
        "Models: {Name: other, Metadata: {Parameters: 4800000, File Size: 19200000}}\n",
    ),
    _warning(
        "unlikely-flops",
        "a network does fewer operations than it has parameters",
        _metadata("Parameters: 4800000", "FLOPs: 480000"),
        _metadata("Parameters: 4800000", "FLOPs: 509989377"),
    ),
    _error(
        "top5-below-top1",
        "fewer images are right among five guesses than with the first",
        _result("Metrics:", "  Top 1 Accuracy: 93.88%", "  Top 5 Accuracy: 77.86%"),
        _result("Metrics:", "  Top 1 Accuracy: 77.86%", "  Top 5 Accuracy: 93.88%"),
    ),
    _warning(
        "contradicting-recipe",
        "a technique is listed, and its number says that it was not used",
        _metadata("Training Techniques: [Label Smoothing]", "Label Smoothing: 0"),
        _metadata("Training Techniques: [Label Smoothing]", "Label Smoothing: 0.1"),
    ),
)

#: By code.
PROBLEMS = {code.code: code for code in CODES}


def make_problem(code: str, location: Location, message: str, fix: Fix | None = None) -> Problem:
    """Make a problem of a known code, with that code's severity."""
    return Problem(code=code, severity=PROBLEMS[code].severity, location=location, message=message, fix=fix)
