"""Mistakes that people make are planted in sound files, one at a time: each kind is seen, at its line."""

import functools
import json
import re
from itertools import takewhile

import jsonschema
import pytest
import yaml

from rexnet_hub.index import load_index
from rexnet_hub.index.schema import SCHEMA_CODES, build_schema

TIMM = """\
Collections:
- Name: RexNet
  Paper:
    Title: 'ReXNet: Diminishing Representational Bottleneck'
    URL: https://arxiv.org/abs/2007.00992
Models:
- Name: net_100
  In Collection: RexNet
  Metadata:
    FLOPs: 509989377
    Parameters: 4800000
    File Size: 19417552
    Architecture:
    - Batch Normalization
    - ReLU6
    Tasks:
    - Image Classification
    Training Techniques:
    - Label Smoothing
    Training Data:
    - ImageNet
    Training Resources: 4x NVIDIA V100 GPUs
    Training Time: 3 days
    LR: 0.5
    Epochs: 400
    Dropout: 0.2
    Crop Pct: '0.875'
    Momentum: 0.9
    Batch Size: 512
    Image Size: '224'
    Weight Decay: 1.0e-05
    Interpolation: bicubic
    Label Smoothing: 0.1
  License: MIT
  Code: https://github.com/rwightman/pytorch-image-models/blob/b9843f/timm/models/rexnet.py#L212
  Weights: https://github.com/rwightman/releases/download/v0.1/net_100-1b4dddf4.pth
  Results:
  - Task: Image Classification
    Dataset: ImageNet
    Metrics:
      Top 1 Accuracy: 77.86%
      Top 5 Accuracy: 93.88%
- Name: net_130
  In Collection: RexNet
  Metadata:
    FLOPs: 848364461
    Parameters: 7560000
    File Size: 30508197
    Epochs: 400
  Weights: https://github.com/rwightman/releases/download/v0.1/net_130-590d768e.pth
  Results:
  - Task: Image Classification
    Dataset: ImageNet
    Metrics:
      Top 1 Accuracy: 79.49%
      Top 5 Accuracy: 94.67%
"""
OPENMM = """\
Collections:
  - Name: RAFT
    Metadata:
      Training Data: FlyingChairs
      Architecture:
        - ConvGRU
    Paper: https://arxiv.org/abs/2003.12039
    README: configs/raft/README.md
    Code:
      URL: https://github.com/open-mmlab/mmflow/blob/v0.2.0/raft.py
      Version: v0.2.0
  - Name: RAFT-Large
Models:
  - Name: raft_r50_100k_kitti2015_288x960
    In Collection: RAFT
    Config: configs/raft/raft_r50_100k_kitti2015_288x960.py
    Metadata:
      Parameters: 25500000
      FLOPs: 4120000000
      Batch Size: 256
      Epochs: 100
    Results:
      - Task: Image Classification
        Dataset: ImageNet-1k
        Metrics:
          Top 1 Accuracy: 76.55
          Top 5 Accuracy: 93.06
          mAP: 41.5
    Weights: https://download.openmmlab.com/raft/raft_r50_100k_kitti2015_288x960_20220101-5c1c5e0c.pth
  - Name: raft_r101_100k_kitti2015_288x960
    In Collection: RAFT
    Config: configs/raft/raft_r101_100k_kitti2015_288x960.py
    Metadata:
      Parameters: 44500000
      FLOPs: 7850000000
    Results:
      - Task: Image Classification
        Dataset: ImageNet-1k
        Metrics:
          Top 1 Accuracy: 77.97
          Top 5 Accuracy: 94.06
          mAP: 42.5
    Weights: https://download.openmmlab.com/raft/raft_r101_100k_kitti2015_288x960_20220101-6c1c5e0c.pth
"""
BESIDE = ["README.md", "raft_r50_100k_kitti2015_288x960.py", "raft_r101_100k_kitti2015_288x960.py"]
PAGE = "# ReXNet\n\nSome words.\n\n<!--\nType: model-index\n" + TIMM + "-->\n"
FILES = {
    "timm.yml": TIMM, "page.md": PAGE, "configs/raft/metafile.yml": OPENMM,
    "timm.json": json.dumps(yaml.safe_load(TIMM), indent=1),
    "openmm.json": json.dumps(yaml.safe_load(OPENMM.replace("configs/raft", "raft")), indent=1),
}  # fmt: skip


#: A key and its value, as YAML writes them, or JSON.
LINE = r"(?m)^( *(?:- )?\"?{}\"?: )(?!$)(\"?)([^\n,]*?)\2(?=,?$)"


def _value(label, new):
    """Put another value after a key, in whatever quotes it has of its own."""
    return LINE.format(label), lambda m: f"{m[1]}{new(m[3]) if callable(new) else new}"


def _text(label, new):
    """Put another text after a key, in the quotes that stand there."""
    return LINE.format(label), lambda m: f"{m[1]}{m[2]}{new(m[3]) if callable(new) else new}{m[2]}"


def _swap(label, *pairs):
    """Put, in the text after a key, the second of each pair in place of the first."""
    return _text(label, lambda old: functools.reduce(lambda text, pair: text.replace(*pair), pairs, old))


def _key(label, new):
    return rf"(?m)^( *(?:- )?\"?){label}(?=\"?:)", rf"\g<1>{new}"


def _yaml(pattern, new):
    return f"(?m){pattern}", new


#: Each kind: what is looked for in a file, and what is put in its place.
KINDS = {
    # Accuracies
    "a fraction": _value("Top 1 Accuracy", "0.7786"),
    "a fraction with a sign": _text("Top 1 Accuracy", "0.95%"),
    "a lost digit": _text("Top 1 Accuracy", "7.295"),
    "a lost digit, with a sign": _text("Top 1 Accuracy", "7.78%"),
    "a point too far right": _text("Top 1 Accuracy", "778.6"),
    "top 5 with a lost digit": _text("Top 5 Accuracy", "9.388"),
    "top 5 below top 1": _text("Top 5 Accuracy", "70.1"),
    "accuracy in words": _text("Top 1 Accuracy", "seventy"),
    "a decimal comma": _text("Top 1 Accuracy", "77;86"),
    "two signs": _text("Top 1 Accuracy", "77.86%%"),
    "negative accuracy": _text("Top 1 Accuracy", "-77.86"),
    "no accuracy": _value("Top 1 Accuracy", '"none"'),
    "NaN": _yaml(r"(Top 1 Accuracy: ).*", r"\1.nan"),
    "infinite": _yaml(r"(Top 1 Accuracy: ).*", r"\1.inf"),
    "a foreign unit": _text("Top 1 Accuracy", "77.86 pp"),
    "a plus or minus": _text("Top 1 Accuracy", "77.86±0.1"),
    "a metric's footnote": _text("mAP", "41.5*"),
    "a metric's markup": _text("mAP", "41.5<sup>1</sup>"),
    "a metric to come": _text("mAP", "TBD"),
    "top 5 as top 1": (
        r'(Top 1 Accuracy"?: )("?[\d.%]+"?)(,?\n *"?Top 5 Accuracy"?: )"?[\d.%]+"?',
        r"\1\2\3\2",
    ),
    "a share above a hundred": _value("mAP", "4150"),
    "chance": _text("Top 1 Accuracy", "0.1"),
    # Counts
    "no parameters": _value("Parameters", "0"),
    "parameters in thousands": _value("Parameters", lambda old: str(int(old) // 1000)),
    "parameters in millions": _value("Parameters", lambda old: str(int(old) // 1_000_000)),
    "parameters in millions, a fraction": _value("Parameters", "4.8"),
    "a scaled number": _text("Parameters", "4.8M"),
    "a grouped number": _text("Parameters", "4 800 000"),
    "negative parameters": _value("Parameters", "-4800000"),
    "operations in millions": _value("FLOPs", "510"),
    "operations in billions": _text("FLOPs", "0.51G"),
    "operations fewer than parameters": _value("FLOPs", "4000000"),
    "size in megabytes": _value("File Size", "19"),
    "size in kilobytes": _value("File Size", "19417"),
    "size with its unit": _text("File Size", "19.4 MB"),
    "no size": _value("File Size", "0"),
    "another's size": _value("File Size", "65862221"),
    "hexadecimal": _yaml(r"(Epochs: ).*", r"\g<1>0x190"),
    "octal epochs": _yaml(r"(Epochs: ).*", r"\g<1>0120"),
    "octal batch": _yaml(r"(Batch Size: ).*", r"\g<1>0400"),
    "base 60": _yaml(r"(Epochs: ).*", r"\g<1>1:30"),
    "digits in parts": _yaml(r"(Parameters: ).*", r"\g<1>4_800_000"),
    "epochs in words": _text("Epochs", "many"),
    "epochs with a unit": _text("Epochs", "400 epochs"),
    "negative epochs": _value("Epochs", "-1"),
    "half an epoch": _value("Epochs", "99.5"),
    "no batch": _value("Batch Size", "0"),
    "a batch in words": _text("Batch Size", "8x32"),
    # Settings
    "crop in percent": _text("Crop Pct", "87.5"),
    "crop with a sign": _text("Crop Pct", "87.5%"),
    "two sides": _text("Image Size", "224x224"),
    "no side": _text("Image Size", "0"),
    "a side too small": _text("Image Size", "2"),
    "dropout in percent": _value("Dropout", "20"),
    "a crop of a tenth": _text("Crop Pct", "0.0875"),
    "dropout of all": _value("Dropout", "1.0"),
    "momentum above one": _value("Momentum", "9"),
    "a great decay": _value("Weight Decay", "1.0e+5"),
    "a decay as text": _yaml(r"(Weight Decay: ).*", r"\g<1>1e-5"),
    "a rate in words": _text("LR", "high"),
    "negative rate": _value("LR", "-0.5"),
    "a great rate": _value("LR", "500"),
    "technique unused": _value("Label Smoothing", "0"),
    "a misspelt filter": _text("Interpolation", "bicubci"),
    "a filter's number": _value("Interpolation", "3"),
    "a misspelt licence": _text("License", "MTI"),
    "a licence in words": _text("License", "free for research"),
    "time unquoted": _yaml(r"(Training Time: ).*", r"\g<1>12:30:00"),
    "a date": _yaml(r"(Training Time: ).*", r"\g<1>2021-05-03"),
    "a bare no": _yaml(r"(Training Resources: ).*", r"\g<1>no"),
    "a bare no of one's own": _yaml(r"( +)(Batch Size: .*)", r"\1\2\n\1Mixed Precision: no"),
    "a date of one's own": _yaml(r"( +)(Batch Size: .*)", r"\1\2\n\1Released On: 2021-05-03"),
    "to do": _text("Training Resources", "TODO"),
    "question marks": _text("Training Time", "???"),
    "dots": _text("Training Time", "..."),
    "a comma after a word": _yaml(r"((?:Dataset|Training Time): .*)", r"\1,"),
    "several as one": _yaml(r"( +Training Data:)(?:\n +- .*| .*)", r"\1 ImageNet, COCO"),
    "an item twice": _yaml(r"( +)- ReLU6", r"\1- ReLU6\n\1- ReLU6"),
    "an empty item": _yaml(r"( +)- (ReLU6|ConvGRU)", r"\1-\n\1- \2"),
    "a value forgotten": _yaml(r"(Epochs|Dropout|Training Time): .*", r"\1:"),
    # Addresses
    "weights forgotten": _yaml(r"Weights: .*", "Weights:"),
    "no scheme": _text("Weights", lambda old: old.removeprefix("https://")),
    "a slip in the scheme": _swap("Weights", ("https", "htps")),
    "no colon in the scheme": _swap("Weights", ("https:", "https")),
    "plain http": _swap("Weights", ("https", "http")),
    "a space in the address": _swap("Weights", ("/net", "/ net"), ("/raft_", "/ raft_")),
    "an address in brackets": _text("Weights", lambda old: f"({old})"),
    "an address in angles": _text("Weights", lambda old: f"<{old}>"),
    "a Markdown link": _text("Weights", lambda old: f"[model]({old})"),
    "a folder": _text("Weights", lambda old: old.rpartition("/")[0] + "/"),
    "a page": _text("Weights", "https://example.org/models/net.html"),
    "a Hub page": _text("Weights", "https://huggingface.co/me/net/blob/main/pytorch_model-1b4dddf4.bin"),
    "a Hub repo": _text("Weights", "https://huggingface.co/me/net"),
    "a GitHub page": _text("Weights", "https://github.com/me/net/blob/main/net-1b4dddf4.pth"),
    "a drive's page": _text("Weights", "https://drive.google.com/file/d/1waYaWYPX/view?usp=sharing"),
    "a question mark": _text("Weights", lambda old: old + "?"),
    "a slip in the ending": _text("Weights", lambda old: old + "h"),
    "two dots in the host": _swap("Weights", (".com", "..com")),
    "weights none": _text("Weights", "none"),
    "weights to do": _text("Weights", "TODO"),
    "weights a path": _text("Weights", "/mnt/data/net-1b4dddf4.pth"),
    "a preview": _text("Weights", "https://www.dropbox.com/s/abcdef/net-1b4dddf4.pth?dl=0"),
    "a backslash": _yaml("(Weights: https://[^/]*)/", r"\1\\\\"),
    "a paper of no month": (r"(arxiv\.org/abs/)\d{4}", r"\g<1>2013"),
    "a paper's number cut short": (r"(arxiv\.org/abs/\d{4}\.\d{4})\d", r"\1"),
    "a letter in a paper's number": (r"(arxiv\.org/abs/\d{4}\.)\d", r"\1O"),
    "a short digest": _text("Weights", lambda old: old[:-6] + ".pth"),
    "a secret": _text("Code", "https://example.org/a.py?token=abcdef0123456789"),
    "code a version": _text("Code", "v0.2.0"),
    "full-width digits": _swap("Weights", ("v0.1", "v\uff10.1"), ("/raft/", "/r\uff11/")),
    "a letter nobody sees": _swap("Weights", ("net_", "net\u200b_"), ("raft_r", "raft\u200b_r")),
    "another's recipe, weights": _swap("Weights", ("288x960", "368x768")),
    "another's depth, weights": _swap("Weights", ("r50", "r18"), ("r101", "r18")),
    "another's recipe, config": _swap("Config", ("288x960", "368x768")),
    "a config in no folder": _text("Config", lambda old: "rafts/" + old.rpartition("/")[2]),
    "a config with two endings": _text("Config", lambda old: old + ".py"),
    "a README of none": _swap("README", ("README", "REDME")),
    # Names
    "no such collection": _text("In Collection", "Nowhere"),
    "another case": _text("In Collection", lambda old: old.upper() + "s"),
    "no collection": _yaml("In Collection: .*", "In Collection: ''"),
    "no name": _yaml("^( *)- Name: (net|raft).*", r"\1- Title: \2"),
    "an empty name": _yaml("- Name: (net|raft).*", "- Name: ''"),
    "a name twice": _swap("Name", ("130", "100"), ("r101", "r50")),
    "a name in capitals": _swap("Name", ("net_130", "NET_100"), ("raft_r101", "RAFT_r50")),
    "a name that is a path": _yaml("- Name: (net|raft)", r"- Name: ../\1"),
    "a name with an unseen letter": _text("Name", lambda old: old[:3] + "\u200b" + old[3:]),
    "curly quotes": _yaml(r"(Training Resources|Code|README): (.*)", "\\1: \u201c\\2\u201d"),
    "curly quotes around a number": _yaml("Epochs: (.*)", "Epochs: \u201c\\1\u201d"),
    "a misspelt data set": _swap("Dataset", ("ImageNet", "ImagNet")),
    "a misspelt task": _swap("Task", ("Classif", "Clasif")),
    # Keys
    "a letter lost": _key("Metadata", "Metdata"),
    "a letter doubled": _key("Results", "Ressults"),
    "two letters swapped": _key("Weights", "Wegihts"),
    "a letter changed": _key("Parameters", "Paraneters"),
    "a gap lost": _key("Batch Size", "BatchSize"),
    "a key twice": _yaml(r"( +)(Parameters: .*)", r"\1\2\n\1\2"),
    "a key twice, otherwise": _yaml(r"( +)(Batch Size: .*)", r"\1\2\n\1batch_size: 7"),
    "a space that is none": _key("Batch Size", "Batch\u00a0Size"),
    "a joiner": _key("Weights", "Wei\u200bghts"),
    "a mark of direction": _key("Parameters", "Parameters\u200e"),
    "curly quotes around a key": _yaml("( +)Parameters:", "\\1\u201cParameters\u201d:"),
    "a short metric": _key("Top 1 Accuracy", "top1 acc"),
    "a shorter metric": _key("Top 1 Accuracy", "Top-1"),
    "a short fifth": _key("Top 5 Accuracy", "top5"),
    "a misspelt metric": _key("Top 1 Accuracy", "Top 1 Acuracy"),
    "results in the singular": _key("Results", "Result"),
    "weights in the singular": _key("Weights", "Weight"),
    "metrics in the singular": _key("Metrics", "Metric"),
    "a task in the plural": _key("Task", "Tasks"),
    "a paper in the plural": _key("Paper", "Papers"),
    "an epoch": _key("Epochs", "Epoch"),
    "a checkpoint": _key("Weights", "Checkpoint"),
    "a short count": _key("Parameters", "Params"),
    "a long rate": _key("LR", "Learning Rate"),
    "two colons": _yaml("Epochs: ", "Epochs:: "),
    "a number for a key": _yaml("( +)Epochs:", r"\g<1>1:"),
    "a key of the index": _yaml("^Models:", "Modells:"),
    # Places
    "weights in metadata": _yaml(
        r"(Metadata:\n)( +)", r"\1\2Weights: https://example.org/a-1b4dddf4.pth\n\2"
    ),
    "results in metadata": _yaml(r"(Metadata:\n)( +)", r"\1\2Results: []\n\2"),
    "a metric in metadata": _yaml(r"(Metadata:\n)( +)", r"\1\2Top 1 Accuracy: 77%\n\2"),
    "a metric of a result": _yaml(r"( +)Metrics:", r"\1Top 1 Accuracy: 77%\n\1Metrics:"),
    "metrics of a model": _yaml(r"( +)Weights: ", r"\1Metrics: {Top 1 Accuracy: 77%}\n\1Weights: "),
    "epochs of a model": _yaml(r"( +)Weights: ", r"\1Epochs: 90\n\1Weights: "),
    "no metrics": _yaml(r"Metrics:\n(?: {6,}Top.*\n|          mAP.*\n)+", ""),
    "no data set": _yaml(r"\n +Dataset: .*", ""),
    "a data set of null": _value("Dataset", "null"),
    "a task of null": _value("Task", "null"),
    "weights as a metric": _yaml(
        r"( +)(Top 5 Accuracy: .*)", r"\1\2\n\1Weights: https://example.org/a-1b4dddf4.pth"
    ),
    "no task": _yaml(r"- Task: .*\n +", "- "),
    "metrics a number": _yaml(r"Metrics:\n(?: {6,}Top.*\n|          mAP.*\n)+", "Metrics: 77.86\n"),
    "a model that is none": _yaml(r"^Models:\n( *)", r"Models:\n\1-\n\1"),
    # Text
    "an open quote": _yaml("(Code|Training Resources|Paper|Config): (h.*|4.*|c.*)", r"\1: '\2"),
    "an open double quote": _yaml("(Code|Training Resources|Paper|Config): (h.*|4.*|c.*)", r'\1: "\2'),
    "an open bracket": _yaml("(Tasks|Architecture):\n +- (Image Classification|ConvGRU)$", r"\1: [\2"),
    "no colon": _yaml("( +)Epochs: ", r"\1Epochs "),
    "no space after the colon": _yaml("Epochs: ", "Epochs:"),
    "a tab": _yaml("^( +)Metadata:", "\tMetadata:"),
    "a line too far left": _yaml("^ +Metadata:", " Metadata:"),
    "a second document": _yaml("^Models:", "---\nModels:"),
    "an unknown alias": _yaml("Epochs: .*", "Epochs: *epochs"),
    "a conflict": _yaml("^Models:", "<<<<<<< HEAD\nModels:"),
    "a foreign tag": _yaml("Epochs: ", "Epochs: !!python/int "),
    "a control character": _yaml("Epochs: ", "Epochs: \x07"),
    "an arrow": ("(?s)^# ReXNet.*?Epochs: 400", lambda m: f"{m[0]} # fp32 --> amp"),
}
#: YAML 1.1 reads base 60, which the reader refuses as editors do; JSON has no such key.
BEYOND = ("base 60", "a number for a key")


def _plant(text, kind):
    """Give each text that has one mistake of a kind more, and the line where it stands."""
    pattern, new = KINDS[kind]
    for match in re.finditer(pattern, text):
        put = new(match) if callable(new) else match.expand(new)
        if put != match[0]:
            same = takewhile(lambda pair: pair[0] == pair[1], zip(put, match[0], strict=False))
            at = match.start() + len(list(same))
            yield text[: match.start()] + put + text[match.end() :], text.count("\n", 0, at) + 1


def _write(tmp_path, name, text):
    file = tmp_path / name
    for beside in BESIDE:
        for folder in ("configs/raft", "raft"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / beside).write_text("")
    file.write_text(text)
    return file


@pytest.mark.parametrize("name", FILES)
def test_a_sound_file_has_no_problem(tmp_path, name):
    """What is planted in is without a problem before."""
    assert [str(problem) for problem in load_index(_write(tmp_path, name, FILES[name])).problems] == []


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_seen(tmp_path, kind):
    """A planted mistake gives a problem at its line, or two away, in each file that it can be planted in."""
    planted = [(name, *each) for name, text in FILES.items() for each in _plant(text, kind)]
    missed = []
    for name, text, line in planted:
        problems = load_index(_write(tmp_path, name, text)).problems
        if not any(abs(problem.location.line - line) <= 2 for problem in problems):
            missed.append((name, line, text.splitlines()[line - 1], [str(problem) for problem in problems]))

    assert planted
    assert missed == []


@pytest.mark.slow
def test_the_schema_agrees_on_each_kind(tmp_path):
    """Of every planted mistake the schema says what the reader says, whichever types YAML 1.1 reads."""
    validator, apart = jsonschema.Draft202012Validator(build_schema()), []
    texts = [(name, kind, text) for name in FILES for kind in KINDS for text, _ in _plant(FILES[name], kind)]
    for name, kind, text in texts:
        try:
            data = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
        except (yaml.YAMLError, ValueError):
            continue  # no schema sees what is no data
        if isinstance(data, dict) and kind not in BEYOND:
            found = load_index(_write(tmp_path, name, text)).problems
            seen = [str(p) for p in found if p.code in SCHEMA_CODES and p.severity == "error"]
            refused = [error.message for error in validator.iter_errors(data)]
            apart += [] if bool(refused) == bool(seen) else [(name, kind, refused, seen)]

    assert apart == []
