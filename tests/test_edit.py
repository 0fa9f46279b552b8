"""Entries are edited and removed where they stand: valid, with their lock, or not at all."""

import json
import os
import signal
import subprocess
import sys

import pytest
import yaml

from rexnet_hub.add import NewModel, add_entry
from rexnet_hub.cli import main
from rexnet_hub.edit import edit_entry, remove_entry
from rexnet_hub.errors import FileProblem, IndexReadError, RepoError, UsageError
from rexnet_hub.index import load_index
from rexnet_hub.index.change import Draft, change_index
from rexnet_hub.index.ledger import read_ledger
from rexnet_hub.index.lock import Lock, Measured, MeasuredHub, read_lock, write_lock
from rexnet_hub.index.query import list_models
from rexnet_hub.index.text_edits import append_model, set_value
from rexnet_hub.locate import find_repo
from rexnet_hub.pages.card import render_card
from rexnet_hub.pages.site import render_site

INDEX = """\
# The zoo.
Collections:
- Name: Pets
  Metadata: {Image Mean: [0.5, 0.5, 0.5], Image Std: [0.5, 0.5, 0.5]}
Models:
- Name: first
  In Collection: Pets
  Metadata: {ID: rexnet_100, Num Classes: 10, Image Size: 224, Crop Pct: 0.875, Interpolation: bicubic}
  License: MIT # so far
  Results:
  - {Task: Image Classification, Dataset: ImageNet-1k, Metrics: {Top 1 Accuracy: 77.50%}}
  - {Task: Image Classification, Dataset: Pets, Metrics: {Top 1 Accuracy: 91%}}
- Name: second
  Superseded By: first
  Own Key: 1
"""


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "pets.yml").write_text(INDEX)
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path / "zoo"))
    lock = Lock(models={name: Measured(parameters=1) for name in ("first", "second")})
    write_lock(lock, tmp_path / "zoo" / "lock.json")
    return tmp_path / "zoo"


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_each_kind_of_value_is_edited_where_it_stands(zoo):
    """Fields of the model, of Metadata, of a result, of lists and of one's own, in any spelling."""
    values = {
        "license": "apache-2.0",
        "LR": "0.50",
        "top1@imagenet": "78.0",
        "split@Pets": "test",
        "Training Data": "A, B",
        "Image Mean": "[0.4, 0.5, 0.6]",
    }
    edit_entry("first", values)
    edit_entry("second", {"own_key": "2"})
    after = INDEX
    for old, new in (
        ("License: MIT", "License: apache-2.0"),
        ("bicubic}", "bicubic, LR: 0.50, Training Data: [A, B], Image Mean: [0.4, 0.5, 0.6]}"),
        ("77.50%", "78.0%"),
        ("91%}}", "91%}, Split: test}"),
        ("Own Key: 1", "Own Key: 2"),
    ):
        after = after.replace(old, new)
    assert (zoo / "pets.yml").read_text() == after


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"Name": "x"}, "keeps its Name"),
        ({"Licence": "x"}, "no field 'Licence'. Did you mean 'License'"),
        ({"Results": "x"}, "by hand"),
        ({"top1": "90"}, "of which result? first has those on ImageNet-1k, Pets: write top1@NAME"),
        ({"top1@birds": ""}, "first has no such result; a number begins one"),
        ({"split@birds": "test"}, "first has no such result"),
        ({"top1@Pets": "0.9"}, "percentage points are meant: 90, or 0.9% if it is that little"),
        ({"top1@Pets": "many"}, "would not be valid"),
        ({"License": "MIT", "Superseded By": "nobody"}, "'nobody' is no other model"),
        ({"Training Data": "[A"}, "is no list"),
        ({"top1@Pets": "0.91"}, "0.91: percentage points are meant: 91, or 0.91% if"),
        ({"Model Args": "{drop_rate: 2026-13-45}"}, "is no list"),
    ],
)
def test_what_is_no_value_is_refused_and_nothing_is_written(zoo, values, said):
    """All values of an edit are written, or none; the message says what to write."""
    before = contents(zoo)
    with pytest.raises(UsageError) as caught:
        edit_entry("first", values)
    assert said in str(caught.value)
    assert contents(zoo) == before


def test_a_first_result_is_written_with_its_data_set(zoo):
    """What was measured after a model was added becomes a claim; both numbers stand in one result."""
    edit_entry("second", {"top1@Birds": "90.5", "top5@birds": "99"})
    assert (
        (zoo / "pets.yml")
        .read_text()
        .endswith(
            "- Name: second\n  Results:\n  - Task: Image Classification\n    Dataset: Birds\n    Metrics:\n"
            "      Top 1 Accuracy: 90.5%\n      Top 5 Accuracy: 99%\n  Superseded By: first\n  Own Key: 1\n"
        )
    )
    edit_entry("second", {"top1@birds/test": "88", "top1@org/set": "70"})
    results = yaml.safe_load((zoo / "pets.yml").read_text())["Models"][1]["Results"]
    assert [(each["Dataset"], each.get("Split")) for each in results] == [
        ("Birds", None), ("birds", "test"), ("org/set", None),
    ]  # fmt: skip
    edit_entry("second", {"top1@birds": "91", "split@birds": "val", "top1@birds/test": "89"})
    with pytest.raises(UsageError, match=r"those on Birds/val, birds/test, org/set: write top1@NAME/SPLIT"):
        edit_entry("second", {"top1@birds": "92"})
    edit_entry("first", {"top1@birds": "66"})
    assert (zoo / "pets.yml").read_text().count("Top 1 Accuracy: 66%") == 1
    assert [result.place for result in load_index().find("first").results][1:] == [
        "Oxford-IIIT Pets",
        "birds",
    ]
    edit_entry("second", {"top5@org/set": "99"})
    edit_entry("second", {"top5@org/set": ""})
    with pytest.raises(IndexReadError, match="nothing to remove"):
        edit_entry("second", {"top5@org/set": ""})


def test_a_value_that_is_no_text_is_said(zoo, capsys):
    """What a shell passes as bytes of no UTF-8 is refused in a line, and the file is as it was."""
    before = contents(zoo)
    assert main(["edit", "first", "Title=\udcff"]) == 1
    assert "edit it by hand" in capsys.readouterr().err
    assert contents(zoo) == before


@pytest.mark.parametrize("style", ["yml", "json"])
def test_numbers_in_mappings_and_lists_stay_numbers(zoo, style):
    """An argument of the network is edited as a number, in YAML and in JSON."""
    if style == "json":
        model = {"ID": "rexnet_100", "Num Classes": 10}
        (zoo / "pets.yml").unlink()
        (zoo / "pets.json").write_text(json.dumps({"Models": [{"Name": "first", "Metadata": model}]}))
    edit_entry("first", {"Model Args": "{in_chans: 1, drop_rate: 0.2}", "Image Mean": "0.4, 0.5, 0.6"})
    there = yaml.safe_load((zoo / f"pets.{style}").read_text())["Models"][0]["Metadata"]
    assert there["Model Args"] == {"in_chans": 1, "drop_rate": 0.2}
    assert there["Image Mean"] == [0.4, 0.5, 0.6]


def test_errors_that_were_there_stop_no_edit(zoo):
    """An index with a mistake elsewhere is edited all the same, above it too; a second is not made."""
    with (zoo / "pets.yml").open("a") as file:
        file.write("- Name: third\n  Superseded By: nobody\n")
    edit_entry("first", {"Title": "One", "License": ""})
    with pytest.raises(UsageError, match="'nobody' is no other model"):
        edit_entry("first", {"Superseded By": "nobody"})
    assert "  Title: One\n" in (zoo / "pets.yml").read_text()


def test_what_was_measured_of_another_network_is_measured_again(zoo):
    """An edit of the network, its classes or its picture brings the lock with it."""
    edit_entry("first", {"Num Classes": "3"})
    assert read_lock().of("first").parameters == 3_519_716
    assert read_lock().of("second").parameters == 1


def test_edits_at_once_all_land(zoo):
    """Of eight processes that edit one file at a time none loses what another wrote."""
    code = "import sys; from rexnet_hub.edit import edit_entry as e; sys.stdin.read(); e(*eval(sys.argv[1]))"
    fields = ("LR", "Epochs", "Dropout", "Momentum", "Batch Size", "Training Time", "Optimizer", "FLOPs")
    children = [
        subprocess.Popen([sys.executable, "-c", code, repr(("first", {field: "1"}))], stdin=subprocess.PIPE)
        for field in fields
    ]
    for child in children:
        child.stdin.close()
    assert [child.wait() for child in children] == [0] * len(fields)
    text = (zoo / "pets.yml").read_text()
    assert [field for field in fields if f", {field}: " not in text] == []
    assert sorted(contents(zoo)) == ["lock.json", "pets.yml"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_index_and_all_beside_it_change_together_or_not(zoo, monkeypatch, number, stop):
    """Whatever stops it before a file has its new name, or is gone, leaves all as they were."""
    (zoo / "old.txt").write_text("old\n")
    before, left = contents(zoo), [number]

    def stops(real):
        def call(place, *others):
            if os.path.basename(others[0] if others else place)[0] != ".":  # noqa: PTH119 - texts, too
                left[0] -= 1
                if left[0] == -1:
                    raise stop
            return real(place, *others)

        return call

    def change(draft: Draft):
        place = draft.index.find("first").location
        draft.edit(place.file, set_value, place, ["Title"], "One")
        draft.write(zoo / "new.txt", b"new\n")
        draft.write(zoo / "old.txt", None)

    def record(_, lock):
        return lock.with_model("first", Measured(parameters=2))

    for name in ("replace", "unlink"):
        monkeypatch.setattr(f"os.{name}", stops(getattr(os, name)))
    with pytest.raises((KeyboardInterrupt, FileProblem)):
        change_index(change, record)
    assert left[0] < 0
    assert contents(zoo) == before
    monkeypatch.undo()
    monkeypatch.setenv("REXNET_HUB_INDEX", str(zoo))
    change_index(change, record)
    assert (load_index().find("first").said("title"), read_lock().of("first").parameters) == ("One", 2)
    assert sorted(contents(zoo)) == ["lock.json", "new.txt", "pets.yml"]


def enter(name):
    """Add a model with names of its classes and a measurement, as one change."""

    def change(draft: Draft):
        if draft.index.get(name) is None:
            file = draft.index.find("first").location.file
            metadata = {"Num Classes": 2, "Labels": f"{name}.labels.txt"}
            draft.edit(file, append_model, {"Name": name, "Metadata": metadata})
            draft.write(file.with_name(f"{name}.labels.txt"), b"cat\ndog\n")

    change_index(change, lambda _, lock: lock.with_model(name, Measured(parameters=2)))


def killed(act, number):
    """Run an act in a fork that is killed before the n-th call that touches a file; say whether it was."""
    if (child := os.fork()) == 0:
        left, is_on = number, False

        def watch(frame, event, function):
            nonlocal left, is_on
            is_on |= frame.f_code.co_name == "replace_files"
            if is_on and event == "c_call" and function.__name__ in FILE_CALLS:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(watch)
        act()
        sys.setprofile(None)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


FILE_CALLS = {"replace", "unlink", "open", "write", "fsync", "flock", "close", "chmod"}
ACTS = {"enter": enter, "edit": lambda name: edit_entry(name, {"Title": "One"}), "remove": remove_entry}


@pytest.mark.slow
@pytest.mark.parametrize("act", ACTS)
def test_what_is_killed_leaves_a_valid_index_and_can_be_run_again(zoo, act):
    """Before whichever call it dies, no entry lacks the file of its names; run again, all is there."""
    if act != "enter":
        enter("third")
    before = contents(zoo)
    ACTS[act]("third")
    after, number = contents(zoo), 0
    while True:
        for file in zoo.iterdir():
            file.unlink()
        for name, data in before.items():
            (zoo / name).write_bytes(data)
        number += 1
        was_killed = killed(lambda: ACTS[act]("third"), number)
        assert load_index().errors == ()
        if load_index().get("third") or act == "enter":
            ACTS[act]("third")
        there = {name: data for name, data in contents(zoo).items() if name[0] != "."}
        if act == "remove":  # what was killed just before its last step leaves a file that nobody names
            there.pop("third.labels.txt", None)
        assert there == after
        if not was_killed:
            break
    assert number > 10


def test_what_a_person_saves_meanwhile_is_not_lost(zoo):
    """A file that changes while its edit is measured is left as it was saved, and so is the lock."""
    lock = (zoo / "lock.json").read_bytes()

    def change(draft: Draft):
        place = draft.index.find("first").location
        draft.edit(place.file, set_value, place, ["Title"], "One")
        (zoo / "pets.yml").write_text(f"{INDEX}# saved\n")

    with pytest.raises(FileProblem, match=r"pets\.yml: was changed meanwhile"):
        change_index(change, lambda _, lock: lock.with_model("first", Measured(parameters=2)))
    assert (zoo / "pets.yml").read_text() == f"{INDEX}# saved\n"
    assert (zoo / "lock.json").read_bytes() == lock


def test_a_mistake_is_removed_whole(zoo):
    """Entry and measurements are gone, and no other byte; what others name stays."""
    with pytest.raises(UsageError, match="first is named by second"):
        remove_entry("first")
    remove_entry("second")
    assert (zoo / "pets.yml").read_text() == INDEX[: INDEX.index("- Name: second")]
    assert list(read_lock().models) == ["first"]
    remove_entry("first")
    assert (load_index().models, load_index().errors) == ((), ())


@pytest.mark.slow
def test_a_model_takes_the_names_of_its_classes_with_it(zoo):
    """Its own file of them goes with its entry, unless another model names it."""
    (zoo / "second.labels.txt").write_text("cat\ndog\n")
    edit_entry("second", {"Labels": "second.labels.txt"})
    edit_entry("first", {"Num Classes": "2", "Labels": "second.labels.txt"})
    before = contents(zoo)
    remove_entry("second")
    assert sorted(contents(zoo)) == ["lock.json", "pets.yml", "second.labels.txt"]
    for name, data in before.items():
        (zoo / name).write_bytes(data)
    edit_entry("first", {"Labels": ""})
    remove_entry("second")
    assert sorted(contents(zoo)) == ["lock.json", "pets.yml"]


FIGURES = """\
{
  "places": [
    {"name": "one", "figures": [
      {"field": "top1", "values": {"first": "77", "second": "78", "third": "79"}},
      {"field": "top5", "values": {"second": "93"}}
    ]},
    {"name": "two", "figures": [{"field": "top1", "values": {"second": "78.0"}}]}
  ],
  "version": 1
}
"""
LEFT = """\
{
  "places": [
    {"name": "one", "figures": [
      {"field": "top1", "values": {"first": "77", "third": "79"}}
    ]}
  ],
  "version": 1
}
"""


def test_what_other_places_state_goes_with_the_model(zoo):
    """Its figures leave the ledger, and no other byte; of a withdrawn model they stay."""
    (zoo / "ledger.json").write_text(FIGURES)
    remove_entry("second", because="a mistake")
    assert (zoo / "ledger.json").read_text() == FIGURES
    remove_entry("second")
    assert (zoo / "ledger.json").read_text() == LEFT
    remove_entry("first")
    assert [*read_ledger().places[0].figures[0].values] == ["third"]


def test_what_figures_are_copied_from_is_not_removed(zoo):
    """A figure would lose the number that its cause derives it from: it is named, and nothing is changed."""
    edit_entry("second", {"Superseded By": ""})
    copied = '"cause": "copied", "of": "first", "values": {"second": "93"}'
    (zoo / "ledger.json").write_text(FIGURES.replace('"values": {"second": "93"}', copied))
    before = contents(zoo)
    says = r"ledger\.json: figures of second at one are named as copied from first: edit them first"
    with pytest.raises(UsageError, match=says):
        remove_entry("first")
    assert contents(zoo) == before


def test_what_was_published_goes_only_with_a_reason(zoo):
    """A published model leaves a tombstone: one line, which says why, and the lock stays."""
    hub = MeasuredHub(repo_id="org/first", commit=40 * "c")
    lock = Lock(models={"first": Measured(parameters=1, hub=hub)})
    write_lock(lock, zoo / "lock.json")
    edit_entry("second", {"Superseded By": ""})
    before = (zoo / "pets.yml").read_text()
    with pytest.raises(UsageError, match=r"first was published as org/first.*--because"):
        remove_entry("first")
    remove_entry("first", because="trained on the test set: sorry")
    line = "  Withdrawn: 'trained on the test set: sorry'\n"
    assert (zoo / "pets.yml").read_text() == before.replace("- Name: first\n", f"- Name: first\n{line}")
    assert read_lock() == lock


def test_a_withdrawn_model_says_why_wherever_it_is_asked_for(zoo, capsys):
    """Loads are refused, `list` and the overview leave it out; `show`, page and card say why."""
    remove_entry("first", because="trained on *test* pictures")
    edit_entry("second", {"Superseded By": "", "Withdrawn": "a mistake", "Title": "Two"})
    with pytest.raises(RepoError, match=r"first was withdrawn: trained on \*test\* pictures"):
        find_repo("first")
    assert list_models() == []
    assert list_models("withdrawn:*") == ["first", "second"]
    assert list_models("withdrawn:*test* or name:nobody") == ["first"]
    assert main(["show", "first"]) == 0
    assert "withdrawn: trained on *test* pictures" in capsys.readouterr().out
    entry = load_index().find("first")
    notice = "> **Withdrawn.** trained on &#42;test&#42; pictures\n"
    pages = render_site(load_index().models)
    assert notice in render_card(entry)
    assert notice in pages["models/first.md"]
    assert "models/first.md" not in pages["index.md"]
    assert '"first"' not in pages["models.json"]
    with pytest.raises(UsageError, match=r"its name is not given again.*edit first Withdrawn= takes"):
        add_entry(zoo / "a.pth", NewModel(name="first", collection="Pets"))
    edit_entry("first", {"Withdrawn": ""})
    assert list_models() == ["first"]


def test_the_commands_say_what_they_did(zoo, capsys):
    """Each prints where the entry is; a word that is no FIELD=VALUE, or one field twice, is misuse."""
    assert main(["edit", "second", "Own Key=2", "Title=a=b"]) == 0
    assert capsys.readouterr().out == f"{zoo / 'pets.yml'}:13:3: second edited: Own Key, Title\n"
    assert load_index().find("second").said("title") == "a=b"
    for words in (["Title"], ["=x"], ["Title=a", "Title=b"]):
        assert main(["edit", "second", *words]) == 2
    assert main(["remove", "nobody"]) == 1
    assert main(["remove", "second"]) == 0
    assert "second removed" in capsys.readouterr().out


@pytest.mark.slow
def test_ctrl_c_while_it_waits_for_another_leaves_all_as_it_is(zoo):
    """Interrupted while another process has the index, an edit changes nothing."""
    hold = (
        "import sys, time; from pathlib import Path; from rexnet_hub.whole_files import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    before = contents(zoo)
    place = str((zoo / "lock.json").resolve())
    other = subprocess.Popen([sys.executable, "-c", hold, place], stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"held\n"
    words = [sys.executable, "-m", "rexnet_hub", "edit", "first", "Title=One"]
    waiting = subprocess.Popen(words, stderr=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(5)
    waiting.send_signal(signal.SIGINT)
    assert (waiting.communicate()[1], waiting.returncode) == (b"interrupted\n", 130)
    other.kill()
    other.communicate()
    assert {name: data for name, data in contents(zoo).items() if not name.startswith(".")} == before
