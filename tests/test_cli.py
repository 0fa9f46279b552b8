"""Every command does what its help says, and says in one line what it cannot do."""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from entries import SEEDS
from results import RESULTS

from rexnet_hub.cli import build_parser, main
from rexnet_hub.index import Lock, Measured
from rexnet_hub.index.lock import MeasuredFile, write_lock

MODELS = ["rexnet_100", "rexnet_130", "rexnet_150", "rexnet_200"]
COMMANDS = next(
    action.choices for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)
)


@pytest.fixture
def run(capsys):
    """Run a command in this process: (exit code, standard output, standard error)."""

    def run_command(*words):
        try:
            code: Any = main([str(word) for word in words])
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_command


def refusal(result, code=1):
    """Hold a refusal to the contract: its exit code, nothing on stdout, one line on stderr."""
    assert result[0] == code
    assert result[1] == ""
    assert result[2].startswith("error: ")
    assert result[2].count("\n") == 1
    return result[2]


@pytest.mark.usefixtures("seeds")
def test_list_shows_the_four_models(run):
    """`list` prints a line each, and as JSON the figures with their units in the keys."""
    code, out, err = run("list")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[2:]] == MODELS
    rows = json.loads(run("list", "--json")[1])
    assert [row["name"] for row in rows] == MODELS
    assert rows[0]["top1_percent"] == 77.86
    assert rows[0]["parameters"] == 4796873
    assert rows[0]["macs"] == 398370392


@pytest.mark.usefixtures("seeds")
def test_list_answers_a_query(run):
    """A query narrows the list, a sort key orders it, and a wrong one is pointed at."""
    code, out, _ = run("list", "top1>=79 params<10M", "--sort", "-top1", "--json")
    assert (code, [row["name"] for row in json.loads(out)]) == (0, ["rexnet_150", "rexnet_130"])
    code, out, err = run("list", "top1>>79")
    assert (code, out) == (2, "")
    assert "^" in err


def test_show_gives_every_claim_its_source(run):
    """`show` prints claims with value and source, in JSON with file and line."""
    code, out, _ = run("show", "rexnet_150")
    assert code == 0
    assert "77.86%" not in out
    assert "80.31%" in out
    shown = json.loads(run("show", "rexnet_150", "--json")[1])
    claims = {claim["field"]: claim for claim in shown["claims"]}
    assert shown["measured"]["parameters"] == 9728593
    assert shown["measured"]["macs.conv_linear.count"] == 875828154
    assert claims["parameters"]["value"] == 9730000
    assert claims["license"]["source"].startswith("https://github.com/clovaai/rexnet")
    assert claims["license"]["line"] > 0


def test_ledger_shows_each_place_and_the_cause(run):
    """`ledger` prints what each place states, how it stands and why; in JSON with addresses and verdicts."""
    code, out, _ = run("ledger", "rexnet_100")
    assert code == 0
    assert "differs by 687; the biases that a batch norm follows are left out" in " ".join(out.split())
    told = json.loads(run("ledger", "rexnet_100", "--json")[1])
    (row,) = (row for row in told["rows"] if row["stated"] == "4796186")
    assert (row["place"], row["holds"], row["date"]) == ("Holocron", True, "2026-11-28")
    assert row["url"].startswith("https://github.com/frgfm/Holocron/blob/cbe2ac6/")


def test_a_ledger_that_is_wrong_ends_ledger_verify_and_validate(run, tmp_path, monkeypatch):
    """A figure that its cause does not derive, and a model that the index has not, fail by name."""
    folder = shutil.copytree(SEEDS.parent, tmp_path / "index")
    monkeypatch.setenv("REXNET_HUB_INDEX", str(folder))
    text = (folder / "ledger.json").read_text()
    (folder / "ledger.json").write_text(text.replace("4796186", "4796187"))
    code, out, _ = run("verify", "rexnet_100", "--json")
    false = [finding["claim"] for finding in json.loads(out) if finding["verdict"] == "false"]
    assert (code, false) == (1, ["parameters of Holocron"])
    (folder / "ledger.json").write_text(text.replace('"rexnet_130"', '"rexnet_131"'))
    code, _, err = run("validate")
    assert (code, "Holocron states rexnet_131" in err) == (1, True)
    lines = [number for number, line in enumerate(text.splitlines(), 1) if '"cause": "suspected"' in line]
    (folder / "ledger.json").write_text(text.replace('"cause": "suspected"', '"because": "suspected"'))
    code, _, err = run("ledger", "rexnet_100")
    assert code == 1
    assert [int(line.split(":")[-4]) for line in err.splitlines()] == lines


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_takes_a_secret_in_its_words(command):
    """A command line is seen by every process of the machine: no option asks for a token or a password."""
    asked = COMMANDS[command]._actions
    words = {word for action in asked for word in (*action.option_strings, action.dest, str(action.metavar))}
    secret = ("token", "password", "secret", "credential", "auth")
    assert [word for word in words if any(hint in word.lower() for hint in secret)] == []


def test_what_a_terminal_would_obey_is_written_out(run, own_index, repo):
    """Text of a file or a command line that would move the cursor is shown, in errors and tables alike."""
    (repo / "README.md").write_text(
        (repo / "README.md").read_text().replace("license: mit", "license: \x1b[2J")
    )
    assert r"no model is named '\x1b[2J'" in refusal(run("show", "\x1b[2J"))
    code, out, err = run("verify", "rexnet_100", "--repo", repo)
    assert (code, err) == (1, "")
    assert r"license: \x1b[2J" in out
    assert "\x1b" not in out


def test_help_breaks_no_command(run, monkeypatch):
    """A path that help tells to type is on one line, whatever hyphens it has."""
    monkeypatch.setenv("COLUMNS", "80")
    assert "\n~/.local/share/bash-completion/completions/rexnet-hub\n" in run("completion", "--help")[1]


def test_a_folder_that_is_not_there_is_named_as_one(run):
    """A path that leads nowhere is not only taken for a model's name."""
    assert "no model is named './my_pets', and there is no such folder." in refusal(run("show", "./my_pets"))


def test_an_unknown_model_gets_the_nearest_name(run):
    """Every command that takes a model says which one may have been meant."""
    for words in (["show"], ["card"], ["verify"], ["predict", "--top", "1"], ["fetch"]):
        images = ["picture.jpg"] if words[0] == "predict" else []
        message = refusal(run(*words, "rexnet_15", *images))
        assert "no model is named 'rexnet_15'" in message
        assert "Did you mean 'rexnet_150'?" in message


def test_validate_passes_ours_and_fails_a_broken_file(run, tmp_path):
    """The zoo's index is valid; a broken one is refused with file, line and column."""
    assert run("validate")[0] == 0
    broken = tmp_path / "broken.yml"
    broken.write_text("Models:\n- Name: a\n  Metadata:\n    Parameters: many\n")
    code, out, _ = run("validate", broken)
    assert code == 1
    assert f"{broken}:4:17: error[wrong-kind]:" in out
    broken.write_text("Models: [\n")
    code, out, _ = run("validate", broken)
    assert code == 1
    assert "error[not-yaml]" in out


#: Each command with a word behind `--` that looks like an option of it; `convert` takes it for a file.
ENDED = {
    "list": "list --names",
    "show": "show",
    "ledger": "ledger",
    "validate": "validate",
    "recipe": "recipe",
    "fetch": "fetch",
    "convert": "convert",
    "verify": "verify",
    "watch": "watch",
    "lock": "lock",
    "contact": "contact --out out",
    "card": "card",
    "docs": "docs",
    "stage": "stage --out out",
    "publish": "publish --to out",
    "versions": "versions",
    "init": "init --labels none.txt",
    "edit": "edit",
    "update": "update",
    "remove": "remove",
    "add": "add --name new --collection RexNet",
    "predict": "predict",
    "export": "export",
    "evaluate": "evaluate --data .",
    "completion": "completion",
}


def test_every_command_that_takes_a_word_is_tried():
    """A new command with a word of its own has a row above."""
    worded = {
        name for name, command in COMMANDS.items() if any(not a.option_strings for a in command._actions)
    }
    assert set(ENDED) == worded


@pytest.mark.parametrize("line", ENDED.values(), ids=ENDED)
def test_what_follows_two_hyphens_is_no_option(run, line, tmp_path, monkeypatch):
    """A model, file or query that looks like an option is one that there is not, and named as it stands."""
    monkeypatch.chdir(tmp_path)
    more = {"predict": ["a.png"], "edit": ["Title=x"], "update": ["a.pth"]}.get(line, [])
    code, out, err = run(*line.split(), "--", "--drop-edits", *more)
    assert (code, out) == (
        2 if line.startswith(("list", "completion", "docs")) else 1,
        "",
    ) or line == "publish --to out"
    is_refused_before = line in ("evaluate --data .", "init --labels none.txt")  # there are none
    assert "--drop-edits" in err or is_refused_before
    assert "unrecognized arguments" not in err
    assert "are required" not in err


def test_a_query_behind_two_hyphens_is_not_a_sort_key(run):
    """`--sort -top1` is joined before `--` only."""
    code, _, err = run("list", "--", "--sort")
    assert (code, "expected is a name" in err) == (2, True)


def test_a_publication_that_fails_says_why(run, tmp_path):
    """Standard error says why when it happens, the table at the end in its repo's row."""
    code, out, err = run("publish", "nobody", "--to", tmp_path / "hub")
    assert (code, err.count("no model is named 'nobody'")) == (1, 1)
    assert "no model is named 'nobody'" in next(line for line in out.splitlines() if "error" in line)


def test_nothing_to_validate_is_a_failure(run, tmp_path):
    """A missing file, an empty folder and a file without models are not well."""
    refusal(run("validate", tmp_path / "none.yml"))
    refusal(run("validate", tmp_path))
    (tmp_path / "empty.yml").write_text("Models: []\n")
    assert run("validate", tmp_path / "empty.yml")[0] == 1


def test_convert_a_file_and_a_name(run, own_index, checkpoint, tmp_path):
    """A file and a name convert to the same bytes; a foreign file is refused and nothing is left."""
    source = tmp_path / "given.pth"
    source.write_bytes(checkpoint.read_bytes())
    code, out, _ = run("convert", source, "--model", "rexnet_100", "--out", tmp_path / "a.safetensors")
    assert code == 0
    assert "sha256:" in out
    (tmp_path / "named").mkdir()
    assert run("convert", "rexnet_100", "--out", tmp_path / "named" / "a.safetensors")[0] == 0
    assert (tmp_path / "named" / "a.safetensors").read_bytes() == (tmp_path / "a.safetensors").read_bytes()
    assert (tmp_path / "a.receipt.json").is_file()
    taken = run("convert", tmp_path / "a.safetensors", "--out", tmp_path / "a.safetensors")
    assert "is the source itself" in refusal(taken)
    (tmp_path / "b.receipt.json").write_text("mine")
    assert "is no receipt" in refusal(run("convert", source, "--out", tmp_path / "b.safetensors"))
    assert (tmp_path / "b.receipt.json").read_text() == "mine"

    (tmp_path / "empty").mkdir()
    source.write_bytes(checkpoint.read_bytes()[: 10**6])
    message = refusal(run("convert", source, "--out", tmp_path / "empty" / "b.safetensors"))
    assert "given.pth" in message
    assert [path.suffix for path in (tmp_path / "empty").iterdir() if not path.name.startswith(".")] == []


def test_convert_says_what_it_left_out_and_which_key_to_name(run, tmp_path):
    """A training checkpoint: its arguments are named on standard error, and so are two state dicts."""
    import argparse

    import torch

    state = {"w": torch.ones(2)}
    args = argparse.Namespace(lr=0.1)
    torch.save({"net": {"state_dict": state}, "args": args, "\x1b[31m": 1}, tmp_path / "one.ckpt")
    code, _, said = run("convert", tmp_path / "one.ckpt")
    assert code == 0
    assert "left out: args (argparse.Namespace), \\x1b[31m (int)\n" in said

    torch.save({"net": state, "ema": state}, tmp_path / "two.ckpt")
    assert "under net, ema: name the one that is meant (--weights-key)" in refusal(
        run("convert", tmp_path / "two.ckpt")
    )
    assert run("convert", tmp_path / "two.ckpt", "--weights-key", "ema")[0] == 0


def test_a_checkpoint_with_a_missing_tensor_is_refused(run, own_index, checkpoint, tmp_path):
    """The missing tensor is named."""
    import torch

    tensors = torch.load(checkpoint, weights_only=True)
    del tensors["features.7.conv_dw.conv.weight"]
    torch.save(tensors, tmp_path / "short.pth")
    words = ("convert", tmp_path / "short.pth", "--model", "rexnet_100", "--out", tmp_path / "a.safetensors")
    assert "features.7.conv_dw.conv.weight" in refusal(run(*words))
    assert not (tmp_path / "a.safetensors").exists()


def test_stage_verify_publish_and_predict(run, own_index, tmp_path, picture):
    """From a name to a published folder that classifies, each step a command."""
    staged, hub = tmp_path / "rexnet_100", tmp_path / "hub"
    assert run("stage", "rexnet_100", "--out", staged)[:2] == (0, f"{staged}\n")
    assert "is not empty" in refusal(run("stage", "rexnet_100", "--out", staged))

    code, out, _ = run("verify", "rexnet_100", "--repo", staged, "--json")
    verdicts = {finding["claim"]: finding["verdict"] for finding in json.loads(out)}
    assert (code, verdicts["weights_digest"], verdicts["top1"]) == (0, "holds", "not measured")

    code, out, err = run("publish", staged, "--to", hub)
    assert (code, hub.exists()) == (0, False)
    assert "+ model.safetensors" in out
    assert "--apply" in err
    code, out, _ = run("publish", staged, "nobody", "--to", hub, "--apply", "--json")
    (done, failed) = json.loads(out)
    assert (code, done["published"]["place"]) == (1, str(hub / "rexnet_100"))
    assert "no model is named 'nobody'" in failed["problem"]
    assert run("publish", "rexnet_100", "--to", hub)[1].splitlines()[0].endswith("(nothing to do)")

    code, out, _ = run("predict", hub / "rexnet_100", picture, picture, "--top", "2", "--json")
    rows = json.loads(out)
    assert (code, len(rows), [len(row["guesses"]) for row in rows]) == (0, 2, [2, 2])
    assert rows[0]["guesses"][0]["probability"] >= rows[0]["guesses"][1]["probability"]
    code, out, _ = run("predict", hub / "rexnet_100", picture)
    assert out.splitlines()[0] == str(picture)
    assert len(out.splitlines()) == 6


def test_a_false_claim_makes_verify_fail(run, own_index, repo):
    """`verify` prints the false claim and exits with 1."""
    card = repo / "README.md"
    card.write_text(card.read_text().replace("license: mit", "license: gpl-3.0"))
    code, out, _ = run("verify", "rexnet_100", "--repo", repo)
    assert code == 1
    assert any(line.split()[:2] == ["license", "false"] for line in out.splitlines() if line)


def test_verify_measures_what_was_fetched(run, own_index):
    """Until the released file is fetched its claims are not measured; then they are, without --weights."""

    def verdicts():
        found = json.loads(run("verify", "rexnet_100", "--json")[1])
        return {f["claim"]: f["verdict"] for f in found if f["claim"] in ("file_size", "digest_prefix")}

    assert set(verdicts().values()) == {"not measured"}
    file = Path(run("fetch", "rexnet_100")[1].strip())
    assert set(verdicts().values()) == {"holds"}
    file.write_bytes(b"damaged")  # which is no file that was fetched
    assert set(verdicts().values()) == {"not measured"}


@pytest.mark.slow
def test_verify_without_a_name_verifies_all(run):
    """All models are verified; files go with one model only."""
    code, out, _ = run("verify")
    assert code == 0
    assert all(name in out for name in MODELS)
    refusal(run("verify", "--weights", "a.pth"), code=2)


def test_verify_asks_a_repo_which_model_it_is(run, own_index, repo, tmp_path):
    """Without a name the folder says it; one that says none is misuse, one that is none a refusal."""
    code, out, _ = run("verify", "--repo", repo)
    assert (code, run("verify", "rexnet_100", "--repo", repo)[1]) == (0, out)
    config = json.loads((repo / "config.json").read_text())
    (repo / "config.json").write_text(json.dumps(config | {"rexnet_hub": {"name": "rexnet_9"}}))
    assert "is of 'rexnet_9', which the index has not" in refusal(run("verify", "--repo", repo))
    (repo / "config.json").write_text(json.dumps(config | {"rexnet_hub": ["rexnet_100"]}))
    assert "does not say which model" in refusal(run("verify", "--repo", repo), code=2)
    assert "no such folder" in refusal(run("verify", "--repo", tmp_path / "none"))


def test_card_prints_or_writes(run, tmp_path):
    """`card` prints the README.md, or writes it; a folder that is not there is said."""
    code, out, _ = run("card", "rexnet_100")
    assert code == 0
    assert out.startswith("---\nlicense: mit\n")
    assert run("card", "rexnet_100", "--out", tmp_path / "README.md")[0] == 0
    assert (tmp_path / "README.md").read_text() == out
    refusal(run("card", "rexnet_100", "--out", tmp_path / "none" / "README.md"))


def test_bad_input_is_one_line(run, own_index, staged, tmp_path):
    """A missing file, no picture, no repo and a wrong number each get one line and the right exit code."""
    note = tmp_path / "note.txt"
    note.write_text("words")
    assert "note.txt" in refusal(run("predict", staged, note))
    assert "none.jpg" in refusal(run("predict", staged, tmp_path / "none.jpg"))
    assert "config.json" in refusal(run("predict", tmp_path, note))
    assert "none.pth" in refusal(run("convert", tmp_path / "none.pth"))
    assert "--top" in refusal(run("predict", staged, note, "--top", "0"), code=2)
    assert "is not empty" in refusal(run("demo", "--out", tmp_path))
    (tmp_path / "note.pth").write_text("words")
    assert "note.pth" in refusal(run("convert", tmp_path / "note.pth"))


@pytest.mark.parametrize("words", [[], ["nothing"], ["list", "--no"], ["stage", "rexnet_100"]])
def test_misuse_is_exit_code_2(run, words):
    """A wrong command line exits with 2 and a usage line."""
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith("usage: rexnet-hub")


def test_an_unknown_argument_shows_the_usage_of_its_own_command(run):
    """A second file is answered with the usage of `convert`, and with the option that it lacks."""
    code, out, err = run("convert", "a.pth", "out.safetensors")
    assert (code, out) == (2, "")
    assert err.startswith("usage: rexnet-hub convert")
    assert "unrecognized: out.safetensors; a file to write goes with --out" in err


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_no_wider_than_the_terminal(name, run, monkeypatch):
    """Descriptions wrap as the options do."""
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, run(name, "--help")[1].splitlines())) <= 80


@pytest.mark.parametrize("columns", [60, 100])
def test_show_is_no_wider_than_the_terminal(run, monkeypatch, columns):
    """What is too long for a line goes on in the next, and nothing of it is lost."""
    monkeypatch.setenv("COLUMNS", str(columns))
    out = run("show", "rexnet_100")[1]
    assert max(map(len, out.splitlines()[1:])) <= columns  # the first has the file's path
    assert "rexnetv1_100-1b4dddf4.pth" in "".join(out.split())


def test_list_is_no_wider_than_the_terminal(run, own_index, monkeypatch):
    """Columns that are empty or least asked for go first, which is said; what is asked for stays."""
    monkeypatch.setenv("REXNET_HUB_INDEX", str(own_index))
    monkeypatch.setenv("COLUMNS", "50")  # as whatever started us may leave it
    widest = run("list")[1]
    assert "file bytes" in widest
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for columns in (50, 80, 100):
        monkeypatch.setenv("COLUMNS", str(columns))
        code, out, err = run("list")
        assert code == 0
        assert max(map(len, out.splitlines())) <= columns
        left = err.removeprefix("no room for ").partition(":")[0].split(", ")
        head = out.splitlines()[0]
        assert [word for word in left if word in head or word not in widest] == []
        assert out.count("rexnet_") == widest.count("rexnet_")
    assert run("list", "--columns", "name,file_size,flops,macs,parameters,license")[2] == ""


def test_what_show_says_was_measured_is_no_wider_either(run, own_index, tmp_path, monkeypatch):
    """A digest stands below its name where it does not fit beside it, whole."""
    lock = shutil.copytree(own_index, tmp_path / "index") / "lock.json"
    output = MeasuredFile(sha256="d" * 64, size_bytes=1)
    write_lock(Lock(models={"rexnet_100": Measured(safetensors=output)}), lock)
    monkeypatch.setenv("REXNET_HUB_INDEX", str(lock.parent))
    for columns in (80, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        out = run("show", "rexnet_100")[1]
        assert max(map(len, out.splitlines()[1:])) <= columns
        assert "d" * 64 in out


def test_without_a_word_every_command_is_shown(run):
    """Somebody who types the name alone sees what there is; it is misuse all the same."""
    code, out, err = run()
    assert (code, out) == (2, "")
    assert all(f"    {name} " in err or f"    {name}\n" in err for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(run, name):
    """`--help` begins with the sentence of the command's function."""
    code, out, _ = run(name, "--help")
    first = COMMANDS[name].description.splitlines()[0]
    assert code == 0
    assert first in " ".join(out.split())
    assert first.endswith(".")


def test_python_dash_m_is_the_same_command():
    """`python -m rexnet_hub` runs the command line and hands its exit code on."""
    done = subprocess.run(
        [sys.executable, "-m", "rexnet_hub", "show", "nobody"], capture_output=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: no model is named 'nobody'.")


def test_validate_mends_what_is_certain(run, tmp_path):
    """--fix mends in place and keeps the comment; --format serves machines; --strict fails on a warning."""
    file = tmp_path / "index.yml"
    file.write_text("Models:\n- Name: rexnet_100 # ours\n  Metdata:\n    Parameters: 4800000\n")
    code, out, _ = run("validate", file, "--format", "json")
    (problem,) = (p for p in json.loads(out) if p["code"] == "misspelt-key")
    assert (code, problem["line"], problem["column"], problem["fix"]["new"]) == (1, 3, 3, "Metadata")
    assert run("validate", file, "--format", "github")[1].startswith("::error file=")
    code, _, err = run("validate", file, "--fix")
    assert (code, "1 fixed" in err) == (0, True)
    assert file.read_text() == "Models:\n- Name: rexnet_100 # ours\n  Metadata:\n    Parameters: 4800000\n"
    file.write_text("Models:\n- Name: a\n  Weights: http://example.com/a-00000000.pth\n")
    assert [run("validate", file)[0], run("validate", file, "--strict")[0]] == [0, 1]


def test_recipe_prints_a_command_and_what_is_open(run):
    """`recipe` prints timm's training command, where each flag is from, and what is not stated."""
    code, out, _ = run("recipe", "rexnet_100")
    assert code == 0
    assert "train.py --data-dir DATA --model rexnet_100" in out.splitlines()[0]
    assert "Label Smoothing" in out
    assert "not stated" in out
    assert json.loads(run("recipe", "rexnet_100", "--json")[1])["flags"][0]["argument"] == "--model"


@pytest.mark.usefixtures("seeds")
def test_list_names_and_the_front(run):
    """--names prints names alone; --pareto keeps what no other beats."""
    assert run("list", "--names")[1].split() == MODELS
    assert run("list", "--pareto", "top1,params", "--names")[1].split() == MODELS
    assert "--pareto takes two figures" in refusal(run("list", "--pareto", "top1"), code=2)


@pytest.mark.usefixtures("seeds")
def test_list_shows_the_columns_that_are_asked_for(run):
    """--columns takes any figure or text, also of one data set; CSV and JSON have the same keys."""
    words = ("list", "name:*100", "--columns", "name,acc@1,top1@imagenet-v2,epochs,dataset")
    out = run(*words)[1].splitlines()
    assert out[0].split("  ")[0] == "name"
    assert out[2].split() == ["rexnet_100", "77.86", "400", "ImageNet/validation"]
    keys = ["name", "top1_percent", "top1@imagenet-v2", "epochs", "dataset"]
    (row,) = json.loads(run(*words, "--json")[1])
    assert (list(row), row["top1@imagenet-v2"]) == (keys, None)
    assert run(*words, "--csv")[1].splitlines() == [
        ",".join(keys),
        "rexnet_100,77.86,,400,ImageNet/validation",
    ]
    assert "Did you mean 'top1'" in refusal(run("list", "--columns", "name,tpo1"), code=2)


def test_list_says_of_which_data_set_a_number_is(run, tmp_path, monkeypatch):
    """Numbers stand for the data set that the query speaks of, else for the model's own first one."""
    (tmp_path / "index.yml").write_text(RESULTS)
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path))
    pets = "Oxford-IIIT Pets"
    shown = {
        "": [("net", 77.86, "ImageNet/val"), ("cat", 99, f"{pets}/train")],
        "dataset:pets split:test": [("net", 91, f"{pets}/test"), ("cat", 89, f"{pets}/test")],
    }
    for query, expected in shown.items():
        rows = json.loads(run("list", query, "--sort", "-top1" if query else "-params", "--json")[1])
        found = [(row["name"], row["top1_percent"], row["dataset"]) for row in rows]
        assert found[:2] == expected


def test_show_says_what_each_number_is_of(run, tmp_path, monkeypatch):
    """A metric of several data sets stands with each of them, in JSON with its own keys."""
    (tmp_path / "index.yml").write_text(RESULTS)
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path))
    out = run("show", "net")[1]
    assert "91 on Oxford-IIIT Pets/test" in out
    claims = json.loads(run("show", "net", "--json")[1])["claims"]
    places = [(c["dataset"], c["split"]) for c in claims if c["field"] == "top1"]
    assert places == [("ILSVRC 2012", "val"), ("ImageNetV2", None), ("Oxford-IIIT Pets", "test")]


def test_lock_writes_what_lock_checks(run, own_index, tmp_path, monkeypatch):
    """`lock` records measurements; --check passes then, and names what somebody changed."""
    lock = shutil.copytree(own_index, tmp_path / "index") / "lock.json"
    lock.unlink()
    monkeypatch.setenv("REXNET_HUB_INDEX", str(lock.parent))
    assert run("lock", "rexnet_100", "--check")[0] == 1
    assert run("lock", "rexnet_100")[0] == 0
    code, out, err = run("lock", "rexnet_100", "--check")
    assert (code, out, err) == (0, "", f"{lock}: compared of 1 model with index, network: all agrees\n")
    lock.write_text(lock.read_text().replace("4796873", "4796874"))
    code, out, _ = run("lock", "rexnet_100", "--check")
    assert code == 1
    assert "rexnet_100: parameters: the lock says 4796874, measured is 4796873" in out


def test_verify_writes_junit(run, tmp_path):
    """--junit writes a file that CI reads, beside what is printed."""
    assert run("verify", "rexnet_100", "--junit", tmp_path / "verify.xml")[0] == 0
    assert '<testsuite name="rexnet_100"' in (tmp_path / "verify.xml").read_text()


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash here")
def test_bash_completes_commands_options_and_models(run, tmp_path):
    """The printed script, sourced by bash, completes a command, an option and a model's name."""
    script = tmp_path / "completion.bash"
    script.write_text(run("completion", "bash")[1])
    rest = f"{sys.executable} -m rexnet_hub"
    asked = {
        "rexnet-hub pre": "predict",
        "rexnet-hub list --pa": "--pareto",
        "rexnet-hub show rexnet_15": "rexnet_150",
        "rexnet-hub cache --pr": "--prune",
    }
    for words, expected in asked.items():
        count = len(words.split()) - 1
        line = (
            f'rexnet-hub() {{ {rest} "$@"; }}; source {script}; COMP_WORDS=({words}); COMP_CWORD={count}; '
            '_shtab_rexnet_hub; echo "${COMPREPLY[@]}"'
        )
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
        assert done.stdout.split() == [expected], words


@pytest.mark.slow
def test_a_new_checkpoint_is_added_signed_and_published(run, standins, tmp_path, monkeypatch):
    """`add`, `publish --sign` and `verify --signature` take a checkpoint all the way, under its own name."""
    import torch
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from rexnet_hub.auto import create_model

    monkeypatch.setenv("REXNET_HUB_INDEX", str(shutil.copytree(standins[0], tmp_path / "index")))
    torch.manual_seed(0)
    torch.save(create_model("rexnet_100", num_classes=7).state_dict(), tmp_path / "flowers.pth")
    said = (
        "--name",
        "flowers",
        "--collection",
        "RexNet",
        "--license",
        "MIT",
        "--top1",
        "91.25",
        "--dataset",
        "flowers",
    )
    settings = ("--image-size", "224", "--crop-pct", "0.875", "--interpolation", "bicubic")
    code, out, err = run("add", tmp_path / "flowers.pth", *said, *settings)
    assert (code, err) == (0, "next: rexnet-hub publish flowers --to DIR, or add it with --to hf:ORG\n")
    assert "flowers added, a rexnet_100" in out
    assert "was there already" in run("add", tmp_path / "flowers.pth", *said, *settings)[1]
    assert run("validate")[0] == 0

    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    pem = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "key.pub").write_bytes(key.public_key().public_bytes(*pem))
    signed: tuple[Any, ...] = ("--sign", tmp_path / "key.pem")
    unnumbered = run("publish", "flowers", "--to", tmp_path / "hub", "--apply", *signed)
    assert "--version-counter N" in refusal(unnumbered, code=2)
    unsigned = run("publish", "flowers", "--to", tmp_path / "hub", "--version-counter", "3")
    assert "go together" in refusal(unsigned, code=2)
    code, _, err = run("publish", "flowers", "--to", tmp_path / "hub", *signed, "--version-counter", "0")
    assert (code, "a version counts from 1" in err) == (1, True)
    signed += ("--version-counter", "3")
    code, out, _ = run("publish", "flowers", "--to", tmp_path / "hub", "--apply", *signed)
    assert code == 0, out
    held = ("--repo", tmp_path / "hub" / "flowers", "--signature", tmp_path / "key.pub")
    code, _, err = run("verify", "flowers", *held, "--at-least-version", "3")
    assert (code, err) == (0, "signed: flowers, version 3\n")
    assert "it was replaced" in refusal(run("verify", "flowers", *held, "--at-least-version", "4"))
    assert "not rexnet_100" in refusal(run("verify", "rexnet_100", *held))
