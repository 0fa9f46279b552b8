"""A claim that nobody can read is refused by whoever uses it, and shown by whoever shows claims."""

import csv
import hashlib
import io
import json

import pytest
from entries import INPUT

from rexnet_hub.agreement import Standing
from rexnet_hub.auto import AutoModel
from rexnet_hub.cli import main
from rexnet_hub.errors import MismatchError
from rexnet_hub.index import load_index
from rexnet_hub.index.lock import Lock, write_lock
from rexnet_hub.index.scores import list_unread
from rexnet_hub.layout import find_cache_dir
from rexnet_hub.measure import compare_claims, measure_model
from rexnet_hub.pages.card import render_card
from rexnet_hub.pages.data import models_csv, models_json
from rexnet_hub.pages.views import view_models
from rexnet_hub.verify import FALSE, HOLDS, verify_model

DIGEST = "0" * 63 + "1"
MODEL = """\
- Name: net
  Metadata:
    ID: rexnet_100
    Parameters: 4796873
    File Size: {size}
    Num Classes: 1000
INPUT
  Weights: {url}
  SHA256: '{sha256}'
  Results:
  - Task: Image Classification
    Dataset: ImageNet
    Metrics:
      Top 1 Accuracy: 77.86%
""".replace("INPUT\n", INPUT)

#: By what is written in place of the line with a claim of the file: the field whose line it is.
IDENTITY = {
    f"SHA256: {DIGEST}": "sha256",
    f"SHA256: {1:064d}": "sha256",
    "SHA256: deadbeef": "sha256",
    f"SHA256: '{DIGEST[1:]}'": "sha256",
    f"SHA256: 'sha256:{DIGEST}'": "sha256",
    "SHA256: ''": "sha256",
    "SHA256:": "sha256",
    "SHA256: null": "sha256",
    f"SHA256: ['{DIGEST}']": "sha256",
    f"SHA256: {{value: '{DIGEST}'}}": "sha256",
    f"SHA-256: '{DIGEST}'": "sha256",
    f"SHA265: '{DIGEST}'": "sha256",
    f"SHA25: '{DIGEST}'": "sha256",
    "File Size: 19.4M": "file_size",
    "File Size: 19,433,870": "file_size",
    "File Size: '19.4e6 bytes'": "file_size",
    "File Size: [5]": "file_size",
    "File-Size: -5": "file_size",
    f"SHA256: '{DIGEST}'\n  SHA-256: 'x'": "sha256",
    f"Metadata SHA256: '{DIGEST}'": "sha256",
    "Weights: net.pth": "weights",
    "Weights: {URL: net.pth}": "weights",
    "Weights: [https://host.example/net.pth]": "weights",
}
#: The same for the numbers that people compare.
FIGURES = {
    "Parameters: 4,796,873": "parameters",
    "Parameters: 4.8M": "parameters",
    "Parameters: 5M": "parameters",
    "Parameters: -4796873": "parameters",
    "Parameters: '4.8e6'": "parameters",
    "Parameters: about five": "parameters",
    "Parameters: [4796873]": "parameters",
    "Paramters: 4796873": "parameters",
    "Top 1 Accuracy: 77,86%": "top1",
    "Top 1 Accuracy: 101%": "top1",
    "Top 1 Accuracy: ~77.9": "top1",
    "Top 1 Accuracy: [77.86]": "top1",
    "Top 1 Acuracy: 77.86%": "top1",
    "Top 1 Accuracy: <b>78|</b>": "top1",
}
LABELS = {"sha256": "SHA256", "file_size": "File Size", "weights": "Weights"}
LABELS |= {"parameters": "Parameters", "top1": "Top 1 Accuracy"}


def zoo(folder, checkpoint, written="", field=""):
    """Write an index whose one model states the truth, but for one line."""
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    text = MODEL.format(size=checkpoint.stat().st_size, url=checkpoint.as_uri(), sha256=sha256)
    if written.startswith("Metadata SHA256"):
        line = "Num Classes: 1000"
        text = text.replace(line, f"{line}\n    {written.removeprefix('Metadata ')}")
    elif field:
        (line,) = (line.strip() for line in text.splitlines() if line.strip().startswith(LABELS[field]))
        text = text.replace(line, written)
    (folder / "index.yml").write_text(f"Models:\n{text}")
    return folder / "index.yml"


def shown(written):
    """What is shown of a line: its value as written."""
    return written.partition(": ")[2].strip("'")


@pytest.fixture(autouse=True)
def _index(tmp_path, monkeypatch):
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "1000")  # nothing that is asked for is parted
    monkeypatch.chdir(tmp_path)


def test_a_readable_identity_is_fetched(tmp_path, checkpoint, capsys):
    """The same index with the true statements gives the file, so that the refusals are the statements'."""
    zoo(tmp_path, checkpoint)
    assert main(["fetch", "net"]) == 0
    capsys.readouterr()
    entry = load_index(tmp_path).find("net")
    assert entry.unread == ()
    findings = verify_model(entry, checkpoint=checkpoint)
    assert {f.claim: f.verdict for f in findings}["sha256"] == HOLDS


@pytest.mark.parametrize("written", IDENTITY)
def test_whoever_uses_the_file_refuses(written, tmp_path, checkpoint, capsys):
    """No command and no load takes a file of which a statement cannot be read; nothing is in the cache."""
    file = zoo(tmp_path, checkpoint, written, IDENTITY[written])
    commands = (
        ["fetch", "net"],
        ["convert", "net", "--out", "a.safetensors"],
        ["stage", "net", "--out", "b"],
    )
    errors = []
    for command in (*commands, ["stage", "net", "--out", "b", "--weights", str(checkpoint)]):
        assert main(command) == 1, command
        errors.append(capsys.readouterr().err)
    with pytest.raises(MismatchError) as refusal:
        AutoModel.from_pretrained("net")
    ((_, claim), *_) = list_unread(load_index(file).find("net"))
    assert claim.field == IDENTITY[written]
    for error in (*errors, str(refusal.value)):
        assert str(claim.location) in error
        assert claim.problem in error
        assert "rexnet-hub validate" in error
    cache = find_cache_dir()
    assert not [path for path in (cache.rglob("*") if cache.exists() else ()) if path.is_file()]
    assert not (tmp_path / "a.safetensors").exists()
    assert not (tmp_path / "b").exists()


@pytest.fixture(scope="module")
def measured(checkpoint, tmp_path_factory):
    """What the network and the file are, whatever an index says of them."""
    file = zoo(tmp_path_factory.mktemp("true"), checkpoint)
    return measure_model(load_index(file).find("net"))


@pytest.mark.parametrize("written", (IDENTITY | FIGURES))
def test_validate_verify_and_lock_have_one_answer(
    written, measured, tmp_path, checkpoint, capsys, monkeypatch
):
    """Each text is an error of `validate`, false in `verify` and named by `lock --check`, with its place."""
    field = (IDENTITY | FIGURES)[written]
    zoo(tmp_path, checkpoint, written, field)
    assert main(["validate", str(tmp_path)]) == 1
    problem = capsys.readouterr().out
    entry = load_index(tmp_path).find("net")
    for file in (None, checkpoint):
        findings = [f for f in verify_model(entry, checkpoint=file) if f.found == Standing.UNREADABLE]
        assert [(f.claim, f.verdict) for f in findings] == [(field, FALSE)]
    place, _, message = findings[0].note.partition(": ")
    assert place in problem
    assert message in problem
    monkeypatch.setenv("COLUMNS", "1000")
    assert main(["show", "net"]) == 0
    assert f"unreadable: {message}" in capsys.readouterr().out
    assert main(["verify", "net"]) == 1
    capsys.readouterr()
    wrong = [str(each) for each in compare_claims(entry, measured)]
    assert any(place in each and Standing.UNREADABLE in each and message in each for each in wrong)


def test_the_command_lock_is_red(tmp_path, checkpoint, capsys):
    """`lock --check` exits with 1 and names the claim that it cannot compare."""
    zoo(tmp_path, checkpoint)
    entry = load_index(tmp_path).find("net")
    write_lock(Lock(models={"net": measure_model(entry)}), tmp_path / "lock.json")
    assert main(["lock", "--check"]) == 0
    zoo(tmp_path, checkpoint, "Parameters: 4.8M", "parameters")
    assert main(["lock", "--check"]) == 1
    assert "4.8M, which is unreadable" in capsys.readouterr().out


@pytest.mark.parametrize("written", FIGURES)
@pytest.mark.parametrize("is_measured", [False, True])
def test_card_and_page_show_it_as_written(written, is_measured, tmp_path, checkpoint):
    """No page says that nothing is stated: text and `unreadable` stand where the figure would."""
    field = FIGURES[written]
    zoo(tmp_path, checkpoint, written, field)
    entry = load_index(tmp_path).find("net")
    lock = Lock(models={"net": measure_model(entry)} if is_measured else {})
    (view,) = view_models([entry], lock)
    fact = view.facts[field]
    assert (fact.claimed, fact.standing) == (shown(written), "unreadable")
    card = render_card(entry, measured=lock.of("net"))
    (*_, line) = (line for line in card.splitlines() if line.startswith(f"| {fact.label} |"))
    assert "not stated" not in line
    assert "**unreadable**" in line
    assert "<b>" not in line
    figure = json.loads(models_json([view]))["models"][0]["figures"][field]
    assert (figure["as_published"], figure["standing"]) == (shown(written), "unreadable")
    (row,) = csv.DictReader(io.StringIO(models_csv([view])))
    assert row[f"{field}_standing"] == "unreadable"
    if not (is_measured and field == "parameters"):
        assert row[{"top1": "top1_percent"}.get(field, field)].lstrip("'") == shown(written)
        assert "unreadable" in view.cell(field)
        assert "<b>" not in view.cell(field)


def test_a_collection_hands_down_what_cannot_be_read(tmp_path, checkpoint):
    """A family's unreadable size is each member's, unless the member states its own."""
    text = zoo(tmp_path, checkpoint).read_text()
    size = next(line for line in text.splitlines() if "File Size" in line)
    family = "Collections:\n- Name: family\n  Metadata: {File Size: 19.4M}\n"
    member = text.replace("- Name: net\n", "- Name: net\n  In Collection: family\n")
    (tmp_path / "index.yml").write_text(family + member.replace(f"{size}\n", ""))
    (claim,) = load_index(tmp_path).find("net").unread
    assert (claim.field, claim.text, claim.inherited) == ("file_size", "19.4M", True)
    (tmp_path / "index.yml").write_text(family + member)
    assert load_index(tmp_path).find("net").unread == ()


def test_another_table_is_not_the_model_s_own(tmp_path, checkpoint):
    """What another data set's result states unreadably is false, and no figure of the model."""
    file = zoo(tmp_path, checkpoint)
    more = "  - Task: Image Classification\n    Dataset: Other\n    Metrics: {Top 1 Accuracy: 101%}\n"
    file.write_text(file.read_text() + more)
    entry = load_index(file).find("net")
    assert [name for name, _ in list_unread(entry)] == ["top1@Other"]
    assert entry.claim("top1").text == "77.86%"


def test_other_digests_are_one_s_own_fields(tmp_path, checkpoint):
    """Keys of other digests mean what they say; only what is one slip from SHA256 is taken for it."""
    file = zoo(tmp_path, checkpoint)
    others = "".join(f"  {key}: 'x'\n" for key in ("SHA1", "SHA512", "SHA224", "SHA384", "SHA3-256", "MD5"))
    file.write_text(file.read_text().replace("  Results:\n", f"{others}  Results:\n"))
    assert load_index(file).problems == ()


def test_the_card_shows_what_of_the_training_cannot_be_read(read):
    """As the page does: what was written, and that nobody can read it."""
    from rexnet_hub.pages.facts import training_rows

    entry = read("Models:\n- Name: rexnet_100\n  Metadata: {Epochs: many, LR: 0.5}\n").models[0]
    assert training_rows(entry) == (("LR", "0.5"), ("Epochs", "many, unreadable"))


@pytest.mark.parametrize("tail", ["-", "-1", "-1b4d", "-1b4dddf"])
def test_too_few_digits_of_a_digest_are_an_error_and_fetch_nothing(read, tail, tmp_path):
    """The size alone would decide: `validate` names it, a fetch refuses; 64 digits beside it will do."""
    from rexnet_hub.errors import MismatchError
    from rexnet_hub.index.lock import Measured
    from rexnet_hub.repo.folder import fetch_released

    (tmp_path / f"a{tail}.pth").write_bytes(b"1234")
    start = f"Models:\n- Name: rexnet_100\n  Weights: {(tmp_path / f'a{tail}.pth').as_uri()}\n"
    index = read(start)
    assert [problem.code for problem in index.problems] == ["short-digest"]
    with pytest.raises(MismatchError, match="digits that a digest needs"):
        fetch_released(index.models[0], cache_dir=tmp_path / "cache", measured=Measured())
    sha256 = hashlib.sha256(b"1234").hexdigest()
    index = read(f"{start}  SHA256: '{sha256}'\n")
    assert index.problems == ()
    assert fetch_released(index.models[0], cache_dir=tmp_path / "cache", measured=Measured()).is_file()


@pytest.mark.parametrize("stated", ["''", "'1b4dddf4'", ""])
def test_a_short_or_empty_sha256_is_an_error(read, stated):
    """Nothing but 64 digits is one."""
    index = read(f"Models:\n- Name: rexnet_100\n  SHA256: {stated}\n")
    assert [problem.code for problem in index.problems] == ["wrong-kind"]


def test_a_size_beside_metadata_is_an_error(read):
    """Nobody would read what it states of the file; another key there is a warning."""
    index = read("Models:\n- Name: rexnet_100\n  File Size: 19417552\n  Epochs: 400\n")
    assert [(p.code, p.severity) for p in index.problems] == [
        ("misspelt-key", "error"),
        ("misplaced-key", "warning"),
    ]
    assert [claim.field for claim in index.models[0].unread] == ["file_size"]
