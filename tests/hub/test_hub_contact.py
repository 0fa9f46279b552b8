"""First contact rehearsed: all that needs a network is measured in one command, and each fault is a line.

The world is the one of world.py: the released names over loopback, with drawn weights. What must come out is
computed here by hashlib, git and the libraries themselves.
"""

import hashlib
import json
import re
import shutil
import signal
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from loopback import READ
from PIL import Image
from world import GIT, drawn

from rexnet_hub import contact
from rexnet_hub.auto import AutoImageProcessor, AutoModel
from rexnet_hub.cli import main
from rexnet_hub.imagenet.data.protocols import PROTOCOLS
from rexnet_hub.index import load_index, read_lock
from rexnet_hub.layout import find_cache_dir
from rexnet_hub.repo.folder import require_own_files

NAME, LITE, AUTHORS = "rexnet_100", "rexnet_lite_1.0", "rexnetv1_1.0x"


@pytest.fixture
def run(world, tmp_path, capsys, monkeypatch):
    """Run `contact`: (exit code, what is printed); nothing is left half-written."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words, whole=True):
        code = main(["contact", *words, "--out", str(tmp_path / "out")])
        said = capsys.readouterr()
        if whole:
            require_whole(world, tmp_path / "out")
            if (find_cache_dir() / "released").exists():
                assert main(["cache", "--check", "--json"]) == 0
                states = {item["state"] for item in json.loads(capsys.readouterr().out)["items"]}
                assert states <= {"needed", "unneeded"}
        assert "Traceback" not in said.err
        return code, said.out

    return run


def require_whole(world, out):
    """Nothing is half-written in DIR, cache and lock; of the tree only the lock and its evidence changed."""
    for folder in filter(Path.is_dir, (out / "staged").iterdir()):
        require_own_files(folder)
    assert not [file for file in find_cache_dir().rglob("*") if file.name.endswith((".part", ".old"))]
    read_lock(world.index / "lock.json")
    assert {line[3:].partition("/")[2].partition("/")[0] for line in git(world, "status", "--porcelain")} <= {
        "lock.json", "evidence",
    }  # fmt: skip


def git(world, *words):
    done = subprocess.run([*GIT, "-C", str(world.zoo), *words], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def steps(out):
    """Read the grid: the verdicts of each model's steps."""
    lines = [line.split() for line in out.splitlines()]
    (head,) = (number for number, words in enumerate(lines) if words[:1] == ["model"])
    rows = lines[head + 2 : lines.index([], head)]
    return {row[0]: dict(zip(lines[head][1:], row[1:], strict=True)) for row in rows}


def locked(world, name=NAME):
    return read_lock(world.index / "lock.json").of(name)


@pytest.mark.slow
def test_all_is_measured_and_a_patch_says_so(world, run, tmp_path):
    """Lock, staged repo and patch are of the very files; run again, nothing is left to do."""
    world.serve(NAME).commit()
    code, out = run(NAME)
    assert (code, steps(out)[NAME]) == (0, dict.fromkeys(contact.STEPS[:-1], "holds") | {"top-1": "-"})
    assert max(map(len, out.splitlines()[:3])) <= 80
    weights, lock = drawn(NAME), locked(world)
    assert lock.released.sha256 == sha256(weights.pickled)
    assert lock.safetensors.sha256 == sha256(weights.safetensors)
    assert list(lock.witnesses) == [f"sha256:{sha256(weights.safetensors)}"]
    staged = tmp_path / "out" / "staged" / NAME
    assert (staged / "model.safetensors").read_bytes() == weights.safetensors
    assert sha256((staged / "golden.json").read_bytes()) == lock.golden
    assert main(["verify", NAME, "--repo", str(staged)]) == 0
    assert main(["lock", "--check", NAME, "--repo", str(staged)]) == 0

    clone, patch = tmp_path / "clone", tmp_path / "out" / "contact.patch"
    git(world, "clone", "-q", str(world.zoo), str(clone))
    subprocess.run(["git", "-C", str(clone), "apply", str(patch)], check=True)
    for file in world.index.rglob("*"):
        assert file.is_dir() or (clone / file.relative_to(world.zoo)).read_bytes() == file.read_bytes()

    world.web.requests.clear()
    world.hub.log.clear()
    before, text = (world.index / "lock.json").read_bytes(), patch.read_bytes()
    code, out = run(NAME)
    assert (code, "nothing changed" in out) == (0, True)
    assert "done before: fetch 2, stage 1, lock 1, golden 1" in out
    assert world.hub.requests("resolve/.*safetensors") == []
    assert [path for path, _ in world.web.requests].count(world.stored(NAME)) == 1  # how long it is
    assert ((world.index / "lock.json").read_bytes(), patch.read_bytes()) == (before, text)


@pytest.mark.slow
def test_a_file_that_a_person_took_is_given(world, run, capsys, monkeypatch):
    """Without it the page is said, with it the model is measured like any other; a misuse is said."""
    world.serve(LITE).commit()
    code, out = run(LITE)
    assert (code, set(steps(out)[LITE].values())) == (0, {"-", "holds"})
    assert "https://drive.google.com/file/d/" in out
    assert f"--weights {LITE}=FILE" in out
    assert locked(world, LITE).released is None
    monkeypatch.setenv("COLUMNS", "60")
    assert load_index().find(LITE).said("weights_page") in run(LITE)[1]  # whole, to be copied
    monkeypatch.delenv("COLUMNS")
    code, out = run(LITE, "--weights", f"{LITE}={world.file(LITE)}")
    assert (code, steps(out)[LITE]["lock"]) == (0, "holds")
    assert locked(world, LITE).released.sha256 == sha256(drawn(LITE).pickled)
    assert "load (timm) not measured: no network of timm's" in " ".join(out.split())
    for words, says in {
        LITE: "give NAME=FILE",
        f"{NAME}=x": "give NAME=FILE",
        f"{LITE}=x": "no such",
    }.items():
        assert main(["contact", LITE, "--out", "x", "--weights", words]) in (1, 2)
        assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        (LITE, b"", "by --weights, found FILE: is"),
        (
            AUTHORS,
            drawn(NAME).pickled[:-9],
            r"found FILE is not what is stated of it: the index .* it has \d+",
        ),
        (NAME, drawn(NAME, seed=1).pickled, "found FILE is not what is stated of it: the index .*beginning"),
    ],
    ids=["empty", "cut", "of others"],
)
def test_a_wrong_file_that_is_given_is_named_as_itself(world, run, tmp_path, name, data, says):
    """It is false where it is taken, with both statements; no server is said to have it."""
    world.serve(name).commit()
    (file := tmp_path / "mine.pth").write_bytes(data)
    code, out = run(name, "--weights", f"{name}={file}")
    assert (code, steps(out)[name]["fetch"], steps(out)[name]["stage"]) == (1, "false", "-")
    assert re.search(says.replace("FILE", str(file)), out), out
    assert "the file at" not in out


def store(world, *modes):
    world.web.lies[world.stored(NAME)] = [*modes]


def github(world, *modes):
    world.web.lies[world.path(NAME)] = [*modes]


def both(first, second):
    return lambda world: (first(world), second(world))


def rename(world):
    """The Hub leads from the old name to the new one."""
    at = world.source(NAME)
    world.hub.repos["timm/new"] = world.repo(NAME)
    world.hub.moved[at.repo_id] = "timm/new"
    where = f"/timm/new/resolve/{at.commit}/{at.name}"
    world.hub.fault(f"{at.repo_id}/resolve/{at.commit}", "redirect", location=where, times=-1)


def gate(world):
    world.repo(NAME).gated = True
    world.monkeypatch.setenv("HF_TOKEN", READ)


def lie(world):
    world.tell(sha256(drawn(NAME).safetensors), "a" * 64)


def swap(world):
    """Other weights of the right shape, and the index states their digest: of itself no source is false."""
    other = drawn(NAME, seed=1).safetensors
    world.put(NAME, other)
    world.tell(sha256(drawn(NAME).safetensors), sha256(other))


FORGED, TAKEN = "f" * 40, {"fetch": "false", "stage": "holds", "load": "holds", "lock": "holds"}
#: What is planted; the exit code, some cells of the grid, and what one line says.
FAULTS = {
    "cut": (lambda world: store(world, "cut", "honest"), 0, {"fetch": "holds"}, "1.00|changed"),
    "cut for good": (
        lambda world: store(world, "cut"), 75, {"fetch": "?", "lock": "holds"},
        r"fetch is not reached: stated https://\S+\.pth, found .*connection ended after \d+ of \d+ bytes",
    ),
    "moved": (
        lambda world: github(world, f"redirect {world.at}/away", f"redirect {world.at}{world.stored(NAME)}"),
        1, {"fetch": "false", "lock": "holds"}, r"fetch is false: stated https://.*the server answers 404",
    ),
    "renamed": (rename, 0, {"fetch": "holds"}, "changed"),
    "gone from GitHub": (
        lambda world: github(world, "status 404"), 1, TAKEN,
        r"fetch is false: stated https://\S+\.pth, found \S+: the server answers 404 'Not Found'",
    ),
    "gone from the Hub": (
        lambda world: world.hub.repos.pop(world.source(NAME).repo_id), 1, TAKEN,
        r"fetch is false: stated hf:timm/\S+, found timm/rexnet_100\S+ could not be fetched: .*no such repo",
    ),
    "gone from both": (
        both(lambda world: github(world, "status 410"), lambda world: world.hub.repos.clear()),
        1, {"fetch": "false", "stage": "-", "lock": "-"}, r"fetch is false: stated https.* answers 410",
    ),
    "gated": (gate, 1, TAKEN, r"fetch is false: stated hf:timm/\S+, found .*it is gated; ask for access"),
    "refused": (
        lambda world: github(world, "status 403"), 75, TAKEN | {"fetch": "?"},
        r"fetch is not reached: stated https://\S+\.pth, found \S+: the server answers 403 'Forbidden'",
    ),
    "a token that is none": (
        lambda world: world.monkeypatch.setenv("HF_TOKEN", "hf_SENTINELexpired"), 75, TAKEN | {"fetch": "?"},
        r"fetch is not reached: stated hf:timm/\S+, found .*401",
    ),
    "wrong digest on the Hub": (
        lie, 1, {"fetch": "false", "stage": "-", "lock": "-"},
        rf"fetch is false: .*witness hf:timm/\S+ \(\S+rexnet\.yml:\d+:\d+, .*{'a' * 64}.*the Hub's own",
    ),
    "wrong bytes at GitHub": (
        lambda world: store(world, "damaged"), 1, {"fetch": "false", "stage": "-", "lock": "-"},
        r"fetch is false: .*\.pth is not what is stated of it: the index \(\S+rexnet\.yml:\d+:\d+, Weights\)",
    ),
    "other weights of the right shape": (
        swap, 1, {"fetch": "false", "stage": "-", "lock": "-"},
        r"fetch is false: .*the file at hf:timm/\S+ \(\S+rexnet\.yml:\d+:\d+, \w+\) states fingerprint "
        r"\w{64}, but the file at https://\S+\.pth \(\S+rexnet\.yml:\d+:\d+, \w+\) states fingerprint \w{64}",
    ),
    "a commit that is none": (
        lambda world: world.tell(world.source(NAME).commit, FORGED), 1, TAKEN,
        rf"fetch is false: stated hf:timm/\S+@{FORGED}#\S+, found .*has no branch, tag, commit",
    ),
    "nobody answers": (
        both(lambda world: github(world, "status 503"), lambda world: setattr(world.hub, "gone", True)),
        75, {"fetch": "?", "stage": "-", "lock": "-", "watch": "?"}, r"fetch is not reached: .* answers 503",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_line_and_nothing_is_half_written(world, run, fault, monkeypatch):
    """Each is said with what is stated where; what can be measured still is, and nothing else is locked."""
    plant, code, cells, says = FAULTS[fault]
    world.monkeypatch = monkeypatch
    before = locked(world)
    world.serve(NAME)
    plant(world)
    world.commit()
    found, out = run(NAME)
    grid = steps(out)[NAME]
    assert (found, {step: grid[step] for step in cells}) == (code, cells), out
    assert [line for line in out.splitlines() if re.search(says, line)], out
    if grid["lock"] == "-":
        assert locked(world) == before
        assert "nothing changed" in out
        assert "to review" not in out
    if fault == "cut":
        ranges = [headers.get("Range") for path, headers in world.web.requests if path == world.stored(NAME)]
        assert re.fullmatch(r"bytes=[1-9]\d*-", ranges[1])


def test_a_label_list_of_another_length_is_refused_before_anything_is_fetched(world, run):
    """Both counts and the place in one line; no byte of half a gigabyte was asked for."""
    name = "rexnetr_200.sw_in12k"
    file = world.index / "imagenet-12k.labels.txt"
    file.write_text("\n".join(file.read_text().splitlines()[1:]) + "\n")
    world.commit()
    code, out = run(name)
    assert (code, steps(out)[name]["stage"], steps(out)[name]["fetch"]) == (1, "false", "-")
    says = r"Labels 'imagenet-12k\.labels\.txt' has 11820 lines; it needs a name for each of 11821 classes"
    assert re.search(rf"{name}: stage is false: .*rexnet_timm\.yml:\d+:\d+: {says}", out)
    assert world.hub.requests("resolve/.*safetensors") == []


@pytest.mark.slow
def test_what_fails_for_one_model_stops_no_other(world, run, capsys, tmp_path):
    """The other is measured; as JSON each step is an object with the keys of a finding."""
    world.serve(NAME, AUTHORS)
    lie(world)
    world.commit()
    assert main(["contact", NAME, AUTHORS, "--out", str(tmp_path / "out"), "--json"]) == 1
    out, err = capsys.readouterr()
    found = {(each["model"], each["step"]): each["verdict"] for each in json.loads(out)}
    assert (found[NAME, "fetch"], found[AUTHORS, "lock"]) == ("false", "holds")
    assert f"{AUTHORS}: released, safetensors, witnesses, golden" in err
    assert locked(world).released is None
    world.tell("a" * 64, sha256(drawn(NAME).safetensors))
    world.commit()
    assert steps(run(NAME, AUTHORS)[1])[NAME]["lock"] == "holds"


@pytest.mark.slow
def test_what_is_cut_off_leaves_whole_truths_and_goes_on(world, run):
    """What the first model measures is in the lock when the second is cut off, and is not made again."""
    world.serve(AUTHORS, NAME).commit()

    def interrupt():
        world.hub.gone = True  # so that no thread goes on with what is left to it
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    world.hub.fault("resolve", "kill", call=interrupt)
    code, out = run(AUTHORS, NAME)
    assert code == 130, out
    assert locked(world, AUTHORS).released.sha256 == sha256(drawn(AUTHORS).pickled)
    assert locked(world).released is None
    world.hub.gone = False
    code, out = run(AUTHORS, NAME)
    assert (code, "done before: fetch 1, stage 1, lock 1, golden 1" in out) == (0, True)
    assert f"  {NAME}: " in out
    assert f"  {AUTHORS}: " not in out


@pytest.mark.slow
def test_a_staged_folder_that_was_changed_is_staged_again(world, run, tmp_path):
    """One of ours is made anew, one with a file of others in it is theirs and stays; both are said."""
    world.serve(AUTHORS).commit()
    assert run(AUTHORS)[0] == 0
    card = tmp_path / "out" / "staged" / AUTHORS / "README.md"
    text = card.read_text()
    card.write_text(text.replace("77.9", "87.9"))
    code, out = run(AUTHORS)
    assert (code, card.read_text() == text, "stage 1" in out) == (0, True, False)
    card.with_name("mine.txt").write_text("mine")
    card.write_text("mine")
    code, out = run(AUTHORS, whole=False)
    assert (code, card.read_text()) == (1, "mine")
    assert re.search(rf"{AUTHORS}: stage is false: .*staged/{AUTHORS}: is not empty", out)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["staged/model", "contact.patch"])
def test_what_is_in_the_way_costs_no_results(world, run, tmp_path, capsys, place):
    """A file where a model is staged is that model's line; no patch can be written, and all is printed."""
    world.serve(AUTHORS, NAME).commit()
    in_way = tmp_path / "out" / place.replace("model", NAME)
    in_way.parent.mkdir(parents=True)
    in_way.mkdir() if place == "contact.patch" else in_way.write_text("mine")
    code, out = run(NAME, *world.entry(NAME).other_names, AUTHORS)
    assert (code, [*steps(out)], in_way.exists()) == (1, [NAME, AUTHORS], True)
    assert steps(out)[AUTHORS]["lock"] == "holds"
    assert steps(out)[NAME]["stage"] == ("holds" if place == "contact.patch" else "false")
    assert f"  {AUTHORS}: released" in out
    assert place == "contact.patch" or re.search(rf"{NAME}: stage is false: .*{in_way}: is not empty", out)


def fail(words):
    raise ValueError(words)


@pytest.mark.slow
def test_libraries_that_disagree_are_false_and_nothing_is_locked(world, run, monkeypatch):
    """Other logits, or a load that raises, are lines; a library that is not there is said and no fault."""
    world.serve(AUTHORS).commit()
    monkeypatch.setattr(contact, "_load_in_timm", lambda folder: lambda pixels: torch.ones(1, 1000))
    monkeypatch.setattr(contact, "_load_in_transformers", lambda folder: fail("no such\nkey"))
    code, out = run(AUTHORS)
    assert (code, steps(out)[AUTHORS]["load"], steps(out)[AUTHORS]["lock"]) == (1, "false", "-")
    assert re.search(rf"{AUTHORS}: timm is false: stated one network, found logits \d.* of the largest", out)
    assert re.search(
        rf"{AUTHORS}: transformers is false: stated one network, found ValueError: no such key", out
    )
    assert locked(world, AUTHORS).released is None
    monkeypatch.setattr("rexnet_hub.contact.find_spec", lambda name: None if name == "timm" else True)
    code, out = run(AUTHORS)
    assert (code, steps(out)[AUTHORS]["load"], out.count("timm is not installed")) == (0, "holds", 2)


@pytest.mark.slow
def test_the_patch_has_the_lock_and_its_evidence_alone(world, run, tmp_path):
    """What a person changed besides stays out of it and as it was, in git's index or not."""
    world.serve(AUTHORS).commit()
    (world.zoo / "notes.txt").write_text("mine")
    lock = world.index / "lock.json"
    lock.write_text(lock.read_text().replace("torch 2.", "torch 1."))
    (world.index / "rexnet.yml").write_text((world.index / "rexnet.yml").read_text() + "# mine\n")
    git(world, "add", "notes.txt", "model_index/rexnet.yml")
    before = git(world, "status", "--porcelain")
    code, _ = run(AUTHORS, whole=False)
    patch = tmp_path / "out" / "contact.patch"
    assert (code, git(world, "status", "--porcelain")[:3]) == (0, before)
    changed = set(re.findall(r"^diff --git a/(\S+)", patch.read_text(), re.MULTILINE))
    assert {name.partition("evidence")[0] for name in changed} <= {"model_index/lock.json", "model_index/"}
    assert "torch 1." in patch.read_text()
    git(world, "apply", "--check", "-R", str(patch))


def test_stand_ins_and_an_index_that_cites_nobody(own_small_index, tmp_path, capsys):
    """Of random numbers nothing is locked, and nobody is asked; both are said, with what was done."""
    assert main(["contact", "--out", str(tmp_path / "out")]) == 1
    out = capsys.readouterr().out
    assert (steps(out)["small"]["load"], steps(out)["small"]["watch"]) == ("holds", "-")
    assert re.search(r"small: lock is false: .* holds stand-in weights, which say nothing of small", out)
    assert not (own_small_index / "lock.json").exists()


@pytest.mark.slow
def test_without_a_git_tree_the_lock_is_named(world, capsys, tmp_path):
    """There is no patch, and what changed is said."""
    world.serve(AUTHORS)
    shutil.rmtree(world.zoo / ".git")
    assert main(["contact", AUTHORS, "--out", str(tmp_path / "out")]) == 0
    assert locked(world, AUTHORS).released is not None
    said, golden = capsys.readouterr().out, locked(world, AUTHORS).golden
    assert "no patch: not a git repository" in said
    assert f"lock.json, {world.index}/evidence/golden-{golden[:16]}.json" in said
    assert not (tmp_path / "out" / "contact.patch").exists()


def link(place, elsewhere):
    place.rename(elsewhere) if place.exists() else elsewhere.mkdir()
    place.symlink_to(elsewhere)


def init(world):
    shutil.rmtree(world.zoo / ".git")
    git(world, "init", "-q")


#: What is done to the tree, and what is then said; nothing where the patch is written all the same.
NO_PATCH = {
    "no commit": (lambda world, put: init(world), "nothing is committed in .*model_index"),
    "no git": (lambda world, put: put("PATH", ""), "git cannot be run: No such file"),
    "a link": (lambda world, put: link(world.index / "lock.json", world.zoo / "l"), "lock.json: a link"),
    "linked": (lambda world, put: link(world.index / "evidence", world.zoo / "e"), "evidence: a link"),
    "GIT_DIR": (lambda world, put: put("GIT_DIR", "/nowhere"), ""),
    "a colon": (lambda world, put: put("REXNET_HUB_INDEX", str(world.zoo.rename(f"{world.zoo}:b"))), ""),
}  # fmt: skip


@pytest.mark.parametrize("case", NO_PATCH)
def test_why_there_is_no_patch_is_said_and_an_earlier_one_goes(world, tmp_path, monkeypatch, case):
    """Of each cause its own words; another tree's GIT_DIR, and a colon in the path, are none."""
    lock, patch = world.index / "lock.json", tmp_path / "contact.patch"
    world.commit()
    lock.write_text(lock.read_text().replace("torch 2.", "torch 1."))
    (world.index / "evidence").mkdir(exist_ok=True)
    (world.index / "evidence" / "mine.txt").write_text("mine")
    patch.write_text("of an earlier run")
    plant, says = NO_PATCH[case]
    plant(world, monkeypatch.setenv)
    file, why = contact.write_patch(tmp_path)
    assert (file, patch.exists()) == ((None, False) if says else (patch, True))
    assert re.search(says or r"\A\Z", why), why
    assert says or re.findall("^diff.*", patch.read_text(), re.MULTILINE) == [
        "diff --git a/model_index/lock.json b/model_index/lock.json"
    ]


def test_what_cannot_be_is_refused_before_anything_is_asked(world, capsys, tmp_path, monkeypatch):
    """Offline, into an installed package, of images that are none, of no model: misuse, in one line."""
    world.commit()
    out = ["--out", str(tmp_path / "out")]
    for more, says in {
        ("nobody",): "no model is named 'nobody'",
        ("--imagenet", str(tmp_path / "none")): "does not exist",
        ("--imagenet-v2", str(world.zoo)): "is no label of the model",
        ("--weights", "x"): "give NAME=FILE",
        ("--weights", f"{NAME}.nav_in1k=x"): "x: there is no such file",
    }.items():
        assert main(["contact", *more, *out]) in (1, 2)
        assert says in capsys.readouterr().err
    (cache := find_cache_dir()).parent.mkdir(parents=True, exist_ok=True)
    cache.write_text("mine")
    assert main(["contact", "--out", str(tmp_path / "o")]) == 1
    assert f"{cache}: cannot be written" in capsys.readouterr().err
    inside = world.index / "evidence" / "o"
    assert main(["contact", "--out", str(inside)]) == 2
    assert f"--out {inside} lies in {world.index}, which" in capsys.readouterr().err
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main(["contact", *out]) == 2
    assert "contact measures what needs a network, and HF_HUB_OFFLINE" in capsys.readouterr().err
    monkeypatch.setattr("rexnet_hub.index.lock.PACKAGE_DIR", world.zoo)
    assert main(["contact", *out]) == 2
    assert "installed package's" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert world.web.requests == world.hub.log == []


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A whole ImageNet-V2, of one drawn picture for each class."""
    monkeypatch.setitem(PROTOCOLS, "ImageNet-V2", PROTOCOLS["ImageNet-V2"]._replace(images=1000, per_class=1))
    pixels = np.random.default_rng(1).integers(0, 256, (1000, 8, 8, 3), dtype=np.uint8)
    for label, picture in enumerate(pixels):
        (folder := tmp_path / "v2" / str(label)).mkdir(parents=True)
        Image.fromarray(picture).resize((80, 80)).save(folder / "0.png")
    return tmp_path / "v2"


@pytest.mark.slow
def test_accuracies_are_measured_entered_and_staged(world, run, pictures, tmp_path):
    """The count is a plain loop's and is in lock, repo and patch; the claim that it denies is false."""
    twelve = "rexnetr_300.sw_in12k"
    world.tell("    Image Size: '224'\n", "    Image Size: '32'\n")
    world.tell("    Image Size: 224\n", "    Image Size: 32\n")
    world.serve(NAME, AUTHORS).commit()
    code, out = run(NAME, AUTHORS, LITE, twelve, "--imagenet-v2", str(pictures))
    grid, words = steps(out), " ".join(out.split())
    assert code == 1
    assert [grid[name]["top-1"] for name in (NAME, AUTHORS, LITE, twelve)] == ["false", "holds", "-", "-"]
    assert f"{twelve}: top-1 not measured: has 11821 classes, and ImageNet-V2 has 1000" in words
    assert f"{LITE}: top-1 not measured: needs the steps before" in words
    assert locked(world).evaluations != locked(world, AUTHORS).evaluations
    (kept,) = locked(world, AUTHORS).evaluations
    staged = tmp_path / "out" / "staged" / AUTHORS
    model, processor = AutoModel.from_pretrained(staged), AutoImageProcessor.from_pretrained(staged)
    with torch.inference_mode():
        files = [pictures / str(label) / "0.png" for label in range(1000)]
        right = int((model(processor(files)).argmax(1) == torch.arange(1000)).sum())
    assert (kept.top1_count, kept.images) == (right, 1000)
    assert re.search(rf"{AUTHORS}: ImageNet-V2: top-1 {right / 10:.3f} %.* \(by .*, fp32\)", out), out
    assert re.search(rf"{NAME}: top1@ImageNet-V2 is false: stated 65.820%, found \d", out)
    for name in kept.file_names:
        assert (staged / name).read_bytes() == (world.index / "evidence" / name).read_bytes()
        assert name in (tmp_path / "out" / "contact.patch").read_text()
    shutil.rmtree(tmp_path / "out")
    _, again = run(AUTHORS, "--imagenet-v2", str(pictures))
    assert ("top-1 1" in again, "nothing changed" in again) == (True, True)
    git(world, "checkout", "-q", "model_index/lock.json")
    junk = tmp_path / "out" / "runs" / "ImageNet-V2" / f"{AUTHORS}.record.json"
    junk.parent.mkdir(parents=True)
    junk.write_text("junk")
    code, out = run(AUTHORS, "--imagenet-v2", str(pictures))
    assert (code, steps(out)[AUTHORS]["top-1"]) == (0, "-")
    assert f"remove{junk},andrunagain" in "".join(out.split())


@pytest.mark.slow
def test_every_entry_of_the_index(world, run):
    """Eighteen models at their own sizes: all that is served holds, the ten that a person takes are given."""
    names = [entry.name for entry in load_index().models]
    world.serve(*names).commit()
    given = [name for name in names if not world.entry(name).sources]
    assert run("--weights", f"{given[0]}={world.file(given[0])}", *names[:1], given[0])[0] == 0
    words = [word for name in given for word in ("--weights", f"{name}={world.file(name)}")]
    code, out = run(*words)
    assert (code, len(names), len(given)) == (0, 18, 10)
    assert {
        name: row for name, row in steps(out).items() if "false" in row.values() or "?" in row.values()
    } == {}
    assert all(row[step] == "holds" for row in steps(out).values() for step in contact.STEPS[:5])
    assert "done before: fetch 2, stage 2, lock 2, golden 2" in out
    assert max(map(len, out.partition("\n\n")[0].splitlines())) <= 80
    drawn.cache_clear()
