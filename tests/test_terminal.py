"""No command prints what a terminal would obey, or a secret, whatever the index, a file or a word holds."""

import argparse
import ast
import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cases import slow

import rexnet_hub
from rexnet_hub.cli import build_parser, main
from rexnet_hub.terminal import noted_table, printable, redact_text, show_json

PACKAGE = Path(rexnet_hub.__file__).parent
COMMANDS = next(
    action.choices for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)
)
#: ESC, C1's CSI, a bidi override, zero width, a line separator, a bell, a carriage return.
OBEYED = "\x1b[2J\x9b2J\u202e\u200b\u2028\x07\rgone\nforged: line"
SECRET = "hunter2hunter2"
ADDRESS = f"https://someone:{SECRET}@example.org/x?access_token={SECRET}&v=1#sig={SECRET}"
TEXT = f"{OBEYED} {ADDRESS}"

#: Runs of each command on an index in which every text is hostile; a command without a row fails.
RUNS = {
    "list": [
        "list",
        "list --json",
        "list --csv --columns name,split,license",
        "list --names",
        "list HOSTILE",
    ],
    "show": ["show NAME", "show NAME --json", "show rexnet_100", "show rexnet_100 --json", "show HOSTILE"],
    "ledger": ["ledger NAME", "ledger rexnet_100", "ledger rexnet_100 --json", "ledger HOSTILE"],
    "validate": ["validate", "validate --format json", "validate --format github", "validate HOSTILE"],
    "recipe": ["recipe NAME", "recipe NAME --json", "recipe rexnet_100", "recipe HOSTILE"],
    "fetch": ["fetch NAME", "fetch rexnet_100", "fetch HOSTILE"],
    "convert": ["convert NAME", "convert HOSTILE", "convert FILE"],
    "verify": ["verify", "verify --json", "verify rexnet_100 --repo REPO", "verify HOSTILE"],
    "watch": ["watch HOSTILE"],
    "lock": ["lock --check", "lock HOSTILE"],
    "contact": ["contact HOSTILE --out OUT", "contact rexnet_100 --out OUT --weights HOSTILE"],
    "card": ["card NAME", "card rexnet_100", "card HOSTILE", "card NAME --out OUT/README.md"],
    "docs": ["docs write OUT/site", "docs write OCCUPIED", "docs HOSTILE OUT/site"],
    "stage": ["stage NAME --out OUT/a", "stage rexnet_100 --out OUT/b", "stage rexnet_100 --out HOSTILE"],
    "publish": [
        "publish NAME rexnet_100 HOSTILE --to OUT/hub",
        "publish NAME rexnet_100 HOSTILE --to OUT/hub --json",
        "publish NAME rexnet_100 HOSTILE --to OUT/hub --markdown",
    ],
    "versions": ["versions NAME", "versions HOSTILE"],
    "init": ["init OUT/zoo", "init OUT/zoo --labels HOSTILE"],
    "edit": ["edit HOSTILE Title=HOSTILE", "edit NAME HOSTILE", "edit NAME Title="],
    "update": ["update HOSTILE FILE", "update NAME FILE --weights-url HOSTILE"],
    "remove": ["remove HOSTILE", "remove NAME"],
    "add": ["add FILE --architecture rexnet_100 --name HOSTILE --collection HOSTILE --weights-url HOSTILE"],
    "predict": [
        *("predict rexnet_100 PICTURE", "predict rexnet_100 PICTURE --json", "predict HOSTILE PICTURE"),
        *("predict rexnet_100 OCCUPIED HOSTILE --csv", "predict rexnet_100 PICTURE FILE HOSTILE --jsonl"),
    ],
    "export": ["export HOSTILE", "export NAME"],
    "demo": ["demo --out OCCUPIED"],
    "evaluate": [
        "evaluate HOSTILE --data OCCUPIED",
        "evaluate rexnet_100 --data HOSTILE",
        "evaluate rexnet_100 --data OCCUPIED --dataset HOSTILE",
    ],
    "cache": ["cache", "cache --json", "cache --check", "cache --prune"],
    "completion": ["completion bash", "completion HOSTILE"],
}


@pytest.fixture
def words(standins, staged, checkpoint, picture, tmp_path, monkeypatch):
    """What the words in capitals stand for, beside an index whose every text is hostile."""
    folder = shutil.copytree(standins[0], tmp_path / "index")
    (file,) = (file for file in folder.iterdir() if file.suffix == ".yml")
    data = yaml.safe_load(file.read_text())
    file.unlink()
    model = next(model for model in data["Models"] if model["Name"] == "rexnet_100")
    for key in ("License", "Title", "Superseded By", "README"):
        model[key] = TEXT
    model["Code"] = model["Own"] = ADDRESS
    model["Sources"] = {
        "License": ADDRESS,
        "Parameters": "https://example.org/" + SECRET.replace("2", "\x1b"),
    }
    model["Metadata"] |= dict.fromkeys(
        ("Training Resources", "Training Time", "Optimizer", "LR Schedule", "Auto Augment", TEXT), TEXT
    )
    model["Metadata"]["Epochs"] = TEXT
    for result in model["Results"]:
        result["Split"], result["Task"] = TEXT, TEXT
    named = {**model, "Name": f"other {OBEYED}"}
    (folder / "index.json").write_text(json.dumps({**data, "Models": [model, named]}))
    monkeypatch.setenv("REXNET_HUB_INDEX", str(folder))
    monkeypatch.chdir(tmp_path)
    occupied = tmp_path / OBEYED.replace("\x9b", "")
    occupied.mkdir()
    hostile_picture = shutil.copy(picture, occupied / f"{OBEYED}.png")
    card = shutil.copytree(staged, tmp_path / "repo") / "README.md"
    card.write_text(card.read_text().replace("license: mit", f'license: "{ADDRESS}"'))
    return {
        "NAME": named["Name"],
        "HOSTILE": TEXT,
        "FILE": str(shutil.copy(checkpoint, occupied / f"{OBEYED}.pth")),
        "PICTURE": str(hostile_picture),
        "OCCUPIED": str(occupied),
        "OUT": str(tmp_path / "out"),
        "REPO": str(tmp_path / "repo"),
    }


def unfit(text):
    """List what a terminal would obey in a text."""
    return sorted({char for char in text if not char.isprintable() and char != "\n"})


def test_every_command_is_run():
    """A new command has a row above."""
    assert set(RUNS) == set(COMMANDS)


@pytest.mark.parametrize(
    "line", [line for first, *more in RUNS.values() for line in (first, *map(slow, more))]
)
def test_nothing_printed_is_obeyed_or_secret(line, words, capsys):
    """Output and errors of each run are plain lines without the secret, and JSON is JSON."""
    given = [
        words.get(head, head) + mark + rest for head, mark, rest in (w.partition("/") for w in line.split())
    ]
    (Path(words["OUT"])).mkdir()
    with contextlib.suppress(SystemExit):
        assert main(given) in (0, 1, 2)
    out, err = capsys.readouterr()
    if not line.startswith("completion bash"):  # a script, with tabs
        assert (unfit(out), unfit(err)) == ([], [])
    assert SECRET not in out + err
    assert [text for text in (out + err).splitlines() if text.startswith("forged")] == []
    assert out + err
    if ("json" in line and out) or "--json" in line:
        for document in out.splitlines() if "--jsonl" in line else [out]:
            json.loads(document)
    for file in Path(words["OUT"]).rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes(), file


def test_no_page_has_the_secret(words):
    """Site, card, llms.txt and the entry as it stands in its file are without it too."""
    from rexnet_hub.index import load_index, read_lock
    from rexnet_hub.pages.site import render_site

    folder = Path(words["OUT"]).parent / "yaml"
    folder.mkdir()
    lines = [
        "Models:",
        f"- Name: rexnet_100  # {ADDRESS}",
        f"  Title: see {ADDRESS}",
        f"  Code: {ADDRESS}",
        f"  Paper: {{Title: x, URL: '{ADDRESS}'}}",
        f"  Own: {{URL: '{ADDRESS}'}}",
        f"  Sources: {{Code: '{ADDRESS}'}}",
        "  Metadata:",
        f"    Training Data: ['{ADDRESS}']",
        "    Image Size: 224",
        "    Crop Pct: 0.875",
        "    Interpolation: bicubic",
        "    Image Mean: [0.5, 0.5, 0.5]",
        "    Image Std: [0.5, 0.5, 0.5]",
        "  Results:",
        "  - Task: t",
        "    Dataset: ImageNet",
        f"    Source URL: '{ADDRESS}'",
        "    Metrics: {Top 1 Accuracy: 77%}",
        "    Sources:",
        f"    - URL: '{ADDRESS}'",
        "      Metrics: {Top 1 Accuracy: 77%}",
    ]
    (folder / "index.yml").write_text("\n".join(lines))
    index = load_index(folder)
    places = [problem.location.line for problem in index.problems if problem.code == "secret-in-url"]
    assert places == [
        n for n, line in enumerate(lines, start=1) if SECRET in line and "#" not in line.split("http")[0]
    ]
    for name, text in render_site(index.models, read_lock()).items():
        assert SECRET not in text, name


@pytest.mark.parametrize(
    ("field", "url"),
    [
        *((field, url) for field in ("Weights", "Code", "Paper", "Sources") for url in (
            f"//u:{SECRET}@h/a-1b4dddf4.pth",
            f"u:{SECRET}@h/a-1b4dddf4.pth",
            f"https:\\\\u:{SECRET}@h\\a-1b4dddf4.pth",
            f"u:{SECRET}/{SECRET}#{SECRET}@h",
            f"file:///etc/passwd?{SECRET}",
            f"file:///etc/passwd#{SECRET}",
            f"https://h/x#{SECRET}",
            f"https://h/x?{SECRET}",
        )),
        ("Weights", f"https://h.example/a-1b4dddf4.pth#{SECRET}"),
        ("Weights", {"URL": f"https://h.example/a-1b4dddf4.pth#{SECRET}"}),
        ("Weights", {"URL": f"https:\\\\u:{SECRET}@h\\a-1b4dddf4.pth"}),
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_printed_without_what_may_be_a_secret(
    field, url, tmp_path, monkeypatch, capsys
):
    """It is a problem, whoever reads it strictly, and no command prints its user, query or fragment."""
    stated = {"Title": "t", "URL": url} if field == "Paper" else {"Code": url} if field == "Sources" else url
    model = {"Name": "rexnet_100", "Code": "https://h.example/x", field: stated}
    (tmp_path / "index.json").write_text(json.dumps({"Models": [model]}))
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path))
    assert main(["validate", "--strict"]) == 1
    for line in ("list", "show rexnet_100", "show rexnet_100 --json", "card rexnet_100", "fetch rexnet_100"):
        main(line.split())
    main(["validate", "--format", "github"])
    assert SECRET not in "".join(capsys.readouterr())


def test_a_fragment_of_code_and_a_query_of_weights_stay(tmp_path):
    """A line of a page of code is named so, and a server may want a query."""
    from rexnet_hub.index import load_index

    model = {
        "Name": "a",
        "Code": "https://h.example/x.py#L212",
        "Weights": "https://h.example/a-1b4dddf4.pth?a=1",
    }
    (tmp_path / "index.json").write_text(json.dumps({"Models": [model]}))
    assert load_index(tmp_path).problems == ()


def calls(name):
    """Yield each call of a function of this name in the commands, with its file."""
    for file in (*(PACKAGE / "commands").iterdir(), PACKAGE / "cli.py"):
        if file.suffix == ".py":
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
                    yield file.name, ast.unparse(node.args[0]) if node.args else ""


def test_commands_print_through_the_terminals_functions():
    """Only a script for a shell and a fixed word go to the screen as they are."""
    assert [name for name, _ in calls("print")] == ["completing.py", "cli.py"]
    assert [name for call in ("sys.stdout.write", "sys.stderr.write") for name, _ in calls(call)] == []
    assert len(list(calls("show"))) > 20


def test_what_is_logged_of_others_is_printable():
    """A log line's words are our own, a number, or escaped."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("log."):
                for word in map(ast.unparse, node.args[1:]):
                    assert word.startswith("printable(") or word in OUR_WORDS, f"{file.name}: {word}"


OUR_WORDS = {
    "run.device",
    "images",
    "then",
    "statement.version",
    "signer.kind",
    "kept.version",
    "asked",
    "seconds",
    "file.parent.name[:12]",
    "CONFIG_FILE",
    "config.num_classes",
    "num_classes",
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (ADDRESS, "https://…@example.org/x?access_token=…&v=1#sig=…"),
        ("https://h.example/a?X-Amz-Signature=1&X-Amz-Credential=2", "https://h.example/a?X-Amz-Signature=…&X-Amz-Credential=…"),
        ("https://h.example/a?%74oken=1;API-KEY=2&key=3", "https://h.example/a?%74oken=…;API-KEY=…&key=…"),
        ("https://h.example/a?b=c?token=1", "https://h.example/a?b=c?token=…"),
        ("see https://a@b@h.example, twice", "see https://…@h.example, twice"),
        ("https://h.example/@someone/x?id=1&resourcekey=2&monkey=3", None),
        ("https://drive.example/uc?export=download&id=1", None),
        (f"{Path(ADDRESS)}: no file", "https:/…@example.org/x?access_token=…&v=1#sig=… no file"),
        ("a?token=1 is no address", None),
        ("u:p@h/a, (u:p:q@h/a and //u@h", "…@h/a, (…@h/a and //…@h"),
        (r"https:\\u:p@h\a and 'https:\\\\u:p@h\\a'", r"https:\\…@h\a and 'https:\\…@h\\a'"),
        ("mailto:me@example.org, git@example.org:a/b, acc:77@224, hf:a/b@v1/x and C:\\me@here\\x", None),
    ],
)  # fmt: skip
def test_only_secrets_are_taken_out(text, shown):
    """User names, passwords, tokens, keys and signatures are; the rest stays, and twice changes nothing."""
    assert redact_text(text) == (shown or text)
    assert redact_text(redact_text(text)) == redact_text(text)


def test_a_command_in_a_note_is_not_cut_at_a_hyphen(monkeypatch):
    """Wherever the line ends, what a note says to type stands whole in one."""
    monkeypatch.setenv("COLUMNS", "60")
    for more in range(30):
        note = f"{'word ' * 8}{'x' * more} pip install 'rexnet-hub[timm]'"
        assert "'rexnet-hub[timm]'" in noted_table(["claim", "found", "how"], [["a", "b", note]])


def test_a_width_of_thousands_of_digits_is_a_wide_one(monkeypatch):
    """Python reads no such number; a line then holds all that there is."""
    monkeypatch.setenv("COLUMNS", "9" * 5000)
    assert noted_table(["claim", "found", "how"], [["a", "b", "word " * 60]]).count("\n") == 2


def test_a_terminal_that_does_not_know_its_width_has_eighty_columns(monkeypatch):
    """Neither one of 0 columns, as a container without a size has, nor COLUMNS=0 ends a table in an error."""
    rows = [["a", "b", "word " * 60]]
    monkeypatch.setenv("COLUMNS", "80")
    shown = noted_table(["claim", "found", "how"], rows)
    monkeypatch.setenv("COLUMNS", "0")
    assert noted_table(["claim", "found", "how"], rows) == shown
    monkeypatch.delenv("COLUMNS")
    theirs, ours = os.openpty()
    with os.fdopen(theirs, "rb"), os.fdopen(ours, "w") as terminal:
        monkeypatch.setattr(sys, "__stdout__", terminal)
        assert os.get_terminal_size(terminal.fileno()).columns == 0
        assert noted_table(["claim", "found", "how"], rows) == shown


def test_escapes_say_what_was_there(capsys):
    """A terminal gets the escape's name; JSON reads back as the very text."""
    assert printable("a\x1b[2J\u202eb\u2028") == r"a\x1b[2J\u202eb\u2028"
    text = {"a": OBEYED + "\U000e0041é"}
    show_json(json.dumps(text, ensure_ascii=False, indent=2))
    out = capsys.readouterr().out
    assert json.loads(out) == text
    assert "é" in out
    assert unfit(out) == []


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here")
def test_completion_runs_nothing(tmp_path, capsys):
    """A name with a command in it is offered, quoted, and not run."""
    (tmp_path / "index.yml").write_text("Models:\n- Name: x$(touch ran)`touch ran`\n- Name: xyz\n")
    assert main(["completion", "bash"]) == 0
    (tmp_path / "completion.bash").write_text(capsys.readouterr().out)
    line = (
        f'rexnet-hub() {{ {sys.executable} -m rexnet_hub "$@"; }}; source completion.bash; '
        'COMP_WORDS=(rexnet-hub show x); COMP_CWORD=2; _shtab_rexnet_hub; echo "${COMPREPLY[@]}"'
    )
    environment = {
        "REXNET_HUB_INDEX": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(PACKAGE.parent),
    }
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert "xyz" in done.stdout
    assert not (tmp_path / "ran").exists()
