"""Every option of a command and of a public function changes something, or is refused by its name."""

import argparse
import inspect

import pytest
from officials import official_name

import rexnet_hub
from rexnet_hub import AutoImageProcessor, AutoModel, create_model, plan_publish
from rexnet_hub.cli import build_parser, main
from rexnet_hub.commands import WITHOUT_INDEX
from rexnet_hub.errors import UsageError

COMMANDS = next(
    action.choices for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)
)

#: What heeds each option of each command: all runs of it, or those with another word; then after a colon is a
#: command line that has no use for it. An option without a row fails, so that its place is thought of.
OPTIONS = {
    "list": """
        query
        --sort
        --pareto
        --names
        --columns: list --names --columns name
        --csv: list --names --csv
        --json: list --names --json""",
    "show": "name, --json",
    "ledger": "name, --json",
    "validate": """
        paths, --root, --fix, --strict, --format
        --index: validate a.yml --index b.yml""",
    "init": "folder, --labels",
    "edit": "name, values",
    "update": "name, checkpoint, --weights-url",
    "remove": "name, --because",
    "recipe": "name, --json",
    "fetch": "name, --to, --all",
    "cache": """
        --check, --prune, --json
        --all: cache --all
        --apply: cache --apply""",
    "convert": "source, --model, --out, --weights-key, --sha256, --float32, --allow-nonfinite",
    "verify": """
        names, --junit, --json
        --record: verify hf:org --record r
        --data: verify hf:org --data d
        --repo: verify hf:org --repo a
        --weights: verify hf:org --weights a.pth
        --weights: verify --weights a.pth
        --sample: verify rexnet_100 --sample 9
        --sample: verify rexnet_100 --record r --data d --audit 3 --sample 9
        --audit: verify rexnet_100 --record r --audit 9
        --seed: verify rexnet_100 --data d --seed 3
        --signature: verify rexnet_100 --signature key.pem
        --at-least-version: verify rexnet_100 --repo a --at-least-version 3""",
    "watch": "names, --fetch, --json",
    "lock": """
        names, --check
        --weights: lock --weights a.pth
        --repo: lock --repo a
        --record: lock --check --record a.record.json""",
    "contact": "names, --out, --weights, --imagenet, --imagenet-v2, --json",
    "card": "name, --out",
    "docs": "action, folder",
    "stage": """
        name, --out, --weights
        --to: stage rexnet_100 --out a --to folder""",
    "publish": """
        repos, --to, --apply, --drop-edits, --drop-files, --drop-signature
        --json: publish a --to b --markdown --json
        --markdown: publish a --to b --json --markdown
        --tag: publish a --to b --tag v1
        --tag: publish a --to hf:b --pr --tag v1
        --back-to: publish a --to b --back-to v1
        --private: publish a --to b --private
        --private: publish a --to hf:b --pr --private
        --pr: publish a --to b --pr
        --record: publish a --to hf:b --record
        --record: publish a --to b --apply --record
        --record: publish a --to hf:b --apply --pr --record
        --sign: publish a --to b --sign key.pem
        --sign: publish a --to b --sign sigstore --version-counter 1
        --version-counter: publish a --to b --version-counter 1""",
    "versions": "repo, --json",
    "add": """
        checkpoint, --name, --collection, --title, --license, --code, --top1, --top5
        --to: add CHECKPOINT --name new --collection RexNet SETTINGS --to folder
        --weights-url: add CHECKPOINT --name new --collection RexNet SETTINGS --to hf:a --weights-url u
        --training-data, --image-size, --crop-pct, --interpolation, --training-log, --supersedes
        --index-file, --architecture, --weights-key, --labels, --fine-tuned-from
        --dataset: add CHECKPOINT --name new --collection RexNet SETTINGS --dataset pets
        --split: add CHECKPOINT --name new --collection RexNet SETTINGS --split test""",
    "predict": """
        model, images, --top, --device, --batch, --as-evaluated, --scale-grey, --trusted-key, --json
        --csv: predict a b --json --csv
        --jsonl: predict a b --csv --jsonl""",
    "export": "model, --format, --out, --uint8, --max-difference, --trusted-key, --json",
    "demo": "--out, --all",
    "evaluate": """
        --data: evaluate --compare a b --data d
        names: evaluate rexnet_100 --compare a b
        --rescore: evaluate --compare a b --rescore real
        --data: evaluate r.record.json --rescore real --data d
        --dtype: evaluate r.record.json --rescore real --dtype bf16
        --dataset: evaluate --compare a b --dataset d
        --split: evaluate --compare a b --split s
        --split: evaluate rexnet_100 --data FOLDERS --subset --split s
        --labels: evaluate rexnet_100 --data FOLDERS --dataset d --subset --labels l
        --labels: evaluate --compare a b --labels l
        --labels: evaluate rexnet_100 --data FOLDERS --subset --labels l
        --class-ids: evaluate --compare a b --class-ids l
        --class-ids: evaluate rexnet_100 --data FOLDERS --subset --class-ids l
        --class-ids: evaluate rexnet_100 --data FLAT --subset --labels LABELS --class-ids l
        --record: evaluate rexnet_100 --data d --explain --record r
        --sample: evaluate --compare a b --sample 9
        --seed: evaluate rexnet_100 --data d --seed 3
        --subset: evaluate --compare a b --subset
        --pixel-cache: evaluate rexnet_100 --data d --explain --pixel-cache c
        --skip-unreadable: evaluate rexnet_100 --data d --explain --skip-unreadable
        --device: evaluate --compare a b --device cuda
        --dtype: evaluate rexnet_100 --data d --explain --dtype bf16
        --channels-last: evaluate rexnet_100 --data d --explain --channels-last
        --compile: evaluate rexnet_100 --data d --explain --compile
        --workers: evaluate rexnet_100 --data d --explain --workers 3
        --explain: evaluate --compare a b --explain
        --trusted-key: evaluate --compare a b --trusted-key key.pem
        --compare, --json""",
    "completion": "shell",
}


def rows(table):
    """Split a table into options and, where there is one, the line that has no use for it."""
    for line in table.strip().splitlines():
        options, _, words = line.partition(":")
        yield from ((option.strip(), words.split()) for option in options.split(",") if option.strip())


UNUSED = [(option, words) for table in OPTIONS.values() for option, words in rows(table) if words]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_has_a_row(name):
    """The table names the command's options, all and no other; all that read an index heed `--index`."""
    declared = {
        action.option_strings[-1] if action.option_strings else action.dest
        for action in COMMANDS[name]._actions
        if action.dest != "help"
    }
    heeded = {option for option, _ in rows(OPTIONS[name])}
    heeded |= set() if name in WITHOUT_INDEX else {"--index"}
    assert heeded == declared


@pytest.fixture
def places(tmp_path, checkpoint, picture):
    """What the words in capitals stand for."""
    for folder in ("folders/n01440764", "flat"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / official_name(0, suffix=".png")).write_bytes(picture.read_bytes())
    (tmp_path / "labels.txt").write_text("n01440764\n")
    return {
        "CHECKPOINT": [checkpoint],
        "SETTINGS": [
            "--license",
            "MIT",
            "--image-size",
            224,
            "--crop-pct",
            0.9,
            "--interpolation",
            "bicubic",
            "--architecture",
            "rexnet_100",
        ],
        "FOLDERS": [tmp_path / "folders"],
        "FLAT": [tmp_path / "flat"],
        "LABELS": [tmp_path / "labels.txt"],
    }


@pytest.mark.parametrize(("option", "words"), UNUSED, ids=lambda value: str(value))
def test_an_option_that_would_change_nothing_is_misuse(option, words, places, own_index, capsys):
    """It is refused with exit code 2, before anything is printed or written, by its name."""
    code: object
    try:
        code = main([str(part) for word in words for part in places.get(word, [word])])
    except SystemExit as stop:
        code = stop.code
    printed, said = capsys.readouterr()
    assert (code, printed) == (2, "")
    assert option.lstrip("-") in said.replace("_", "-")


@pytest.mark.parametrize("name", COMMANDS)
def test_an_empty_value_is_misuse(name, capsys):
    """What a script gives whose variable is not set is refused by the option's name."""
    for action in COMMANDS[name]._actions:
        if action.nargs == 0 or not action.option_strings:
            continue
        values = [" "] * (action.nargs if isinstance(action.nargs, int) else 1)
        with pytest.raises(SystemExit) as stop:
            main([name, action.option_strings[-1], *values])
        said = f"argument {'/'.join(action.option_strings)}: is empty; leave it out"
        assert (stop.value.code, said in capsys.readouterr().err) == (2, True), action.dest


@pytest.mark.parametrize("words", ["init", "validate", "update x", "verify", "show", "add"])
def test_a_path_of_no_letters_is_not_this_folder(words, capsys):
    """An empty word where a file or folder stands is refused: as a path it would be the current folder."""
    with pytest.raises(SystemExit) as stop:
        main([*words.split(), ""])
    assert (stop.value.code, "is empty; leave it out" in capsys.readouterr().err) == (2, True)


#: The keywords of each public function that every call heeds, and calls that have no use for the others.
FUNCTIONS = {
    "AutoModel.from_pretrained": (
        """in_chans device dtype features_only cache_dir local_files_only token trusted_key allow_nonfinite
        output_stride drop_path_rate""",
        {
            "revision": lambda call, staged: call(staged, revision="main"),
            "num_classes": lambda call, staged: call(staged, features_only=True, num_classes=5),
            "drop_rate": lambda call, staged: call(staged, features_only=True, drop_rate=0.5),
            "out_indices": lambda call, staged: call(staged, out_indices=(1,)),
        },
    ),
    "AutoImageProcessor.from_pretrained": (
        "cache_dir local_files_only token trusted_key",
        {
            "revision": lambda call, staged: call(staged, revision="main"),
            "revision of a name": lambda call, staged: call("rexnet_100", revision="main"),
        },
    ),
    "apply_plan": ("token patience", {}),
    "convert_checkpoint": ("expected identity sha256 wrapper as_float32 allow_nonfinite", {}),
    "create_model": (
        "pretrained in_chans features_only output_stride drop_path_rate device dtype",
        {
            "num_classes": lambda call, staged: call("rexnet_100", features_only=True, num_classes=5),
            "drop_rate": lambda call, staged: call("rexnet_100", features_only=True, drop_rate=0.5),
            "out_indices": lambda call, staged: call("rexnet_100", out_indices=(1,)),
            "allow_nonfinite": lambda call, staged: call("rexnet_100", allow_nonfinite=True),
            "revision": lambda call, staged: call("rexnet_100", revision="main"),
            "cache_dir": lambda call, staged: call("rexnet_100", cache_dir="folder"),
            "local_files_only": lambda call, staged: call("rexnet_100", local_files_only=True),
            "token": lambda call, staged: call("rexnet_100", token="hf_1"),
            "trusted_key": lambda call, staged: call("rexnet_100", trusted_key="key.pem"),
        },
    ),
    "evaluate_models": ("options out_dir cache_dir on_progress command", {}),
    "list_models": ("sort", {}),
    "load_index": ("root count_all", {}),
    "plan_publish": (
        "name token patience drop_edits drop_files drop_signature",
        {
            "tag": lambda call, staged: call(staged, "folder", tag="v1"),
            "private": lambda call, staged: call(staged, "folder", private=True),
            "as_pr": lambda call, staged: call(staged, "folder", as_pr=True),
        },
    ),
    "verify_model": ("checkpoint repo measured records sources ledger", {}),
}
CALLS = {
    "AutoModel.from_pretrained": AutoModel.from_pretrained,
    "AutoImageProcessor.from_pretrained": AutoImageProcessor.from_pretrained,
    "create_model": create_model,
    "plan_publish": plan_publish,
}
USELESS = [(name, keyword) for name, (_, calls) in FUNCTIONS.items() for keyword in calls]


def test_every_public_function_is_in_the_table():
    """A public name that is new needs a row."""
    assert {name.partition(".")[0] for name in FUNCTIONS} == set(rexnet_hub.__all__) - {"__version__"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_keyword_of_a_public_function_has_a_row(name):
    """The table names the function's keywords, all of them and no other."""
    owner, _, method = name.partition(".")
    function = getattr(getattr(rexnet_hub, owner), method) if method else getattr(rexnet_hub, owner)
    parameters = inspect.signature(function).parameters.values()
    heeded, calls = FUNCTIONS[name]
    rows = set(heeded.split()) | {keyword.split()[0] for keyword in calls}
    assert rows == {given.name for given in parameters if given.kind is given.KEYWORD_ONLY}


@pytest.mark.parametrize(("name", "keyword"), USELESS)
def test_a_keyword_that_would_change_nothing_is_refused(name, keyword, staged, own_index):
    """It is a `UsageError` that names it."""
    with pytest.raises(UsageError) as caught:
        FUNCTIONS[name][1][keyword](CALLS[name], staged)
    named = keyword.split()[0]
    assert named.removeprefix("as_") in str(caught.value)
