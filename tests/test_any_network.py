"""The whole chain holds for networks of timm's: from a released file to a repo that others load."""

import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from cases import slow
from officials import official_name
from PIL import Image

from rexnet_hub.auto import AutoImageProcessor, AutoModel, create_model
from rexnet_hub.cli import main
from rexnet_hub.errors import NetworkError, RepoError, UnknownModelError, UsageError
from rexnet_hub.imagenet.data.classes import read_classes
from rexnet_hub.index import load_index
from rexnet_hub.nets import find_network, timm_networks
from rexnet_hub.pages.card import render_card
from rexnet_hub.pages.site import render_site
from rexnet_hub.prediction import classify, find_pictures
from rexnet_hub.recipe import make_recipe
from rexnet_hub.standins.make import is_standin, write_standin

CLASSES = 7
#: The networks that the chain is tried on: a kind each of norms, padding, embeddings, input size.
NETWORKS = {
    "test_resnet": 160, "test_convnext": 160, "test_vit": 160, "mobilenetv3_small_050": 224,
    "tf_efficientnet_lite0": 224, "inception_resnet_v2": 299, "rexnet_100": 224, "dla46_c": 224,
}  # fmt: skip
SLOW = ("inception_resnet_v2",)
EACH = [slow(name) if name in SLOW else name for name in NETWORKS if name not in ("rexnet_100", "dla46_c")]
ENTRY = """
  - Name: mine-{name}
    In Collection: Mine
    Metadata:
      ID: {name}
      Parameters: {parameters}
      Num Classes: {classes}
      Image Size: {input_px}
      Crop Pct: 0.9
      Interpolation: bicubic
      Image Mean: [0.5, 0.5, 0.5]
      Image Std: [0.5, 0.5, 0.5]
    License: mit
    Weights: {weights}
"""


def write_index(folder, names, classes):
    """Write an index of stand-ins for these networks, and their released files."""
    text = (
        "Collections:\n  - Name: Mine\n    Metadata: {Image Mean: [0, 0, 0], Image Std: [1, 1, 1]}\nModels:"
    )
    for seed, name in enumerate(names):
        plan = find_network(name).plan(num_classes=classes)
        file = write_standin(folder, tensors=plan.tensors, seed=seed, stem=name)
        facts = {"parameters": plan.parameters, "classes": classes, "input_px": NETWORKS[name]}
        text += ENTRY.format(name=name, weights=file.as_uri(), **facts)
    (folder / "index").mkdir()
    (folder / "index" / "mine.yml").write_text(text)
    return folder / "index"


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Write an index, make it the zoo's, and return its folder."""

    def make(*names, classes=CLASSES):
        index = write_index(tmp_path, names, classes)
        monkeypatch.setenv("REXNET_HUB_INDEX", str(index))
        return index

    return make


def adding(checkpoint):
    """Return the words of a command that adds a checkpoint."""
    said = (
        "--name new --collection Mine --image-size 224 --crop-pct 0.9 --interpolation bicubic --license mit"
    )
    return ["add", str(checkpoint), *said.split()]


def test_card_page_and_recipe_say_which_network_it_is(mine):
    """Card and page name a timm network; their lines, and the recipe, are of its size, maps and classes."""
    mine("inception_resnet_v2", "test_vit")
    inception, vit = load_index().models
    files = render_site([inception, vit])

    for entry in (inception, vit):
        network = f"Its network is `{entry.architecture}` of timm."
        assert network in render_card(entry)
        assert network in files[f"models/{entry.name}.md"]
    assert "3, 299, 299)" in files[f"models/{inception.name}.md"]
    assert "3, 160, 160)" in (page := files[f"models/{vit.name}.md"])
    assert "224" not in page
    assert "five maps" not in page
    assert "--num-classes 7 --input-size 3 160 160" in (command := make_recipe(vit).command)
    assert "--mean 0.5 0.5 0.5 --std 0.5 0.5 0.5" in command


def picture(folder):
    """Save a picture that no square crop shows whole."""
    Image.effect_noise((350, 310), 80).convert("RGB").save(folder / "picture.png")
    return folder / "picture.png"


def one_image(folder):
    """Make a validation set of one image."""
    synset = folder / "val" / read_classes()[0].synset
    synset.mkdir(parents=True)
    picture(folder).rename(synset / official_name(0, suffix=".png"))
    return folder / "val"


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_the_chain_holds(mine, tmp_path, name, capsys):
    """Validate, stage, verify, publish and load: logits are timm's, and no claim is found false."""
    mine(name)
    assert main(["validate"]) == 0
    repo = tmp_path / "repo"
    assert main(["stage", f"mine-{name}", "--out", str(repo)]) == 0
    assert main(["verify", f"mine-{name}", "--repo", str(repo), "--json"]) == 0
    findings = json.loads(capsys.readouterr().out.rpartition("\n[")[2].join(["[", ""]))
    held = {finding["claim"] for finding in findings if finding["verdict"] == "holds"}
    assert {"parameters", "tensors", "config", "card"} <= held
    assert main(["lock", f"mine-{name}", "--repo", str(repo)]) == 1  # of stand-ins nothing is recorded
    assert is_standin(repo)

    ours = AutoModel.from_pretrained(repo)
    theirs: Any = timm.create_model(f"local-dir:{repo}", pretrained=True).eval()
    pixels = AutoImageProcessor.from_pretrained(repo)(picture(tmp_path))
    assert pixels.shape[-1] == NETWORKS[name]
    settings = timm.data.resolve_model_data_config(theirs)
    transform = timm.data.create_transform(**settings, is_training=False)
    assert torch.equal(pixels, transform(Image.open(tmp_path / "picture.png"))[None])
    with torch.inference_mode():
        assert torch.equal(ours(pixels), theirs(pixels))
        maps = AutoModel.from_pretrained(repo, features_only=True)(pixels)
    assert [each.shape[1] for each in maps] == [info["num_chs"] for info in theirs.feature_info]
    assert len(next(classify(repo, find_pictures([str(tmp_path / "picture.png")]), top=3)).guesses) == 3
    assert create_model(f"mine-{name}", pretrained=True, num_classes=3)(pixels).shape == (1, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", EACH)
def test_transformers_loads_what_was_staged(mine, tmp_path, name):
    """The staged repo gives in transformers the logits that it gives here, but for rounding."""
    from transformers import AutoModelForImageClassification

    mine(name)
    repo = tmp_path / "repo"
    assert main(["stage", f"mine-{name}", "--out", str(repo)]) == 0
    theirs = AutoModelForImageClassification.from_pretrained(repo).eval()
    pixels = torch.randn(2, 3, NETWORKS[name], NETWORKS[name])
    with torch.inference_mode():
        ours = AutoModel.from_pretrained(repo)(pixels)
        torch.testing.assert_close(ours, theirs(pixels).logits, rtol=1e-4, atol=1e-3)


def test_half_precision_weights_are_widened(mine, tmp_path):
    """Released numbers of 16 bits are published as the float32 that they are, and the receipt says so."""
    index = mine("test_resnet")
    state = timm.create_model("test_resnet", num_classes=CLASSES).half().state_dict()
    torch.save(state, tmp_path / "half.pth")
    file = next(index.iterdir())
    file.write_text(
        file.read_text().partition("    Weights:")[0] + f"    Weights: {(tmp_path / 'half.pth').as_uri()}\n"
    )
    repo = tmp_path / "repo"
    assert main(["stage", "mine-test_resnet", "--out", str(repo)]) == 0
    for name, tensor in AutoModel.from_pretrained(repo).state_dict().items():
        assert torch.equal(tensor, state[name].float() if tensor.is_floating_point() else state[name])
    lines = json.loads((repo / "receipt.json").read_text())["tensors"]
    assert {line["source_dtype"] for line in lines} == {"float16", "int64"}


def test_a_network_that_the_tensors_deny_is_refused(mine, tmp_path, capsys):
    """Weights of another network than the entry names are refused by their tensors; nothing is written."""
    index = mine("test_resnet")
    file = next(index.iterdir())
    file.write_text(file.read_text().replace("ID: test_resnet", "ID: test_convnext"))
    assert main(["stage", "mine-test_resnet", "--out", str(tmp_path / "repo")]) == 1
    assert "tensors are not the" in capsys.readouterr().err
    assert not (tmp_path / "repo").exists()


def test_an_unknown_network_is_not_checked_and_never_false(mine, tmp_path, capsys):
    """Of a network that nobody here knows no claim is false; what needs it says so in one line."""
    index = mine("test_resnet")
    file = next(index.iterdir())
    file.write_text(file.read_text().replace("ID: test_resnet", "ID: novelnet"))
    assert main(["validate"]) == 0
    assert main(["verify", "mine-test_resnet"]) == 0
    assert "no network is named 'novelnet'" in " ".join(capsys.readouterr().out.split())
    for command in (["card"], ["show"], ["recipe"]):
        assert main([*command, "mine-test_resnet"]) == 0
    capsys.readouterr()
    next(tmp_path.glob("*.pth")).unlink()  # so that whoever fetches first says another thing
    for command in (
        ["stage", "--out", str(tmp_path / "repo")],
        ["lock"],
        ["publish", "--to", str(tmp_path / "repos")],
        ["predict", str(picture(tmp_path))],
        ["export", "--out", str(tmp_path / "a.onnx")],
    ):
        assert main([command[0], "mine-test_resnet", *command[1:]]) == 1
        said = "".join(capsys.readouterr())
        assert "novelnet" in said
        assert ".pth" not in said


def test_a_lock_measures_what_is_known_and_names_the_rest(mine, capsys):
    """`lock` of a whole index goes on beside a network that nobody here knows; that model stays as it was."""
    index = mine("test_resnet", "test_vit")
    file = next(index.iterdir())
    file.write_text(file.read_text().replace("ID: test_vit", "ID: novelnet"))
    for words in (["lock"], ["lock", "--check"]):
        assert main(words) == 0
        assert "mine-test_vit: not measured: no network is named 'novelnet'" in capsys.readouterr().err
    assert json.loads((index / "lock.json").read_text())["models"].keys() == {"mine-test_resnet"}


def test_a_network_that_is_named_is_not_searched_for(mine, tmp_path, monkeypatch):
    """Where --architecture says which network it is, and its tensors agree, no other is built."""
    mine("test_resnet")
    torch.save(timm.create_model("test_resnet", num_classes=5).state_dict(), file := tmp_path / "new.pth")
    monkeypatch.setattr(timm_networks, "fit", lambda tensors: pytest.fail("all of timm's were tried"))
    said = ["--image-size", "160", "--crop-pct", "0.9", "--interpolation", "bicubic", "--license", "mit"]
    said += ["--name", "new", "--collection", "Mine", "--architecture", "test_resnet"]

    assert main(["add", str(file), *said]) == 0
    assert load_index().find("new").value("num_classes") == 5


@pytest.mark.slow
def test_a_checkpoint_that_fits_several_networks_names_them(mine, tmp_path, capsys):
    """A checkpoint of tensors that several networks have is added only as the one that somebody names."""
    mine("test_resnet")
    torch.save(timm.create_model("resnet18", num_classes=CLASSES).state_dict(), tmp_path / "mine.pth")
    words = adding(tmp_path / "mine.pth")
    assert main(words) == 1
    assert "resnet18, resnetblur18; say which with --architecture" in " ".join(
        capsys.readouterr().err.split()
    )
    assert main([*words, "--architecture", "resnet18"]) == 0
    assert load_index().find("new").architecture == "resnet18"


@pytest.fixture
def few_networks(monkeypatch):
    """A timm of few networks, so that a search through all is quick."""
    modules, renamed = timm_networks._read_registry()
    few = {name: modules[name] for name in ("test_resnet", "test_vit", "rexnet_100")}
    monkeypatch.setattr(timm_networks, "_read_registry", lambda: (few, renamed))
    own = functools.cache(timm_networks._family.__wrapped__)  # whose families end with the test
    monkeypatch.setattr(timm_networks, "_family", own)


@pytest.mark.usefixtures("few_networks")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"odd.bias": torch.zeros(3)}, "1 extra (odd.bias)"),
        ({"conv1.0.weight": torch.zeros(16, 3, 1, 1)}, "is float32 [16, 3, 1, 1], not float32 [16, 3, 3, 3]"),
    ],
)
def test_what_keeps_a_checkpoint_from_the_network_that_is_named(mine, tmp_path, capsys, change, said):
    """A checkpoint that is nearly the network that somebody names is refused by the tensors that differ."""
    mine("test_resnet")
    state = timm.create_model("test_resnet", num_classes=CLASSES).state_dict()
    torch.save(state | change, tmp_path / "mine.pth")
    assert main(adding(tmp_path / "mine.pth")) == 1
    assert "are those of no network that is known here" in capsys.readouterr().err
    assert main([*adding(tmp_path / "mine.pth"), "--architecture", "test_resnet"]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("few_networks")
@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "rexnet_100"])
def test_a_checkpoint_without_a_classifier_is_added(mine, tmp_path, name, capsys):
    """The network is found by its other tensors; card and page show features; no class is predicted."""
    mine("test_resnet")
    torch.save(timm.create_model(name, num_classes=0).state_dict(), tmp_path / "mine.pth")
    assert main([*adding(tmp_path / "mine.pth"), "--image-size", str(NETWORKS[name])]) == 0
    entry = load_index().find("new")
    assert (entry.architecture, entry.value("num_classes")) == (name, 0)
    capsys.readouterr()
    assert main(["card", "new"]) == 0
    card = capsys.readouterr().out
    page = render_site([entry])["models/new.md"]
    assert all("features_only" in text and "argmax" not in text for text in (card, page))
    assert main(["predict", "new", str(picture(tmp_path))]) == 1
    assert "has no classes; AutoModel gives its features" in capsys.readouterr().err


@pytest.mark.usefixtures("few_networks")
def test_a_size_that_a_new_model_does_not_take_leaves_the_index(mine, tmp_path, capsys, monkeypatch):
    """What is added must take the pictures that it states, and run: else no byte of the index is another."""
    index = mine("test_resnet")
    before = {file: file.read_bytes() for file in index.iterdir()}
    torch.save(timm.create_model("test_vit", num_classes=3).state_dict(), tmp_path / "mine.pth")
    assert main(adding(tmp_path / "mine.pth")) == 2
    assert "new: test_vit takes pictures of 160 px alone, not of 224" in capsys.readouterr().err
    monkeypatch.setattr(timm.models.VisionTransformer, "forward", lambda *_: sys.exit(3))
    assert main([*adding(tmp_path / "mine.pth"), "--image-size", "160"]) == 1
    assert "cannot be built or run: SystemExit: 3" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in index.iterdir()} == before


def test_a_clone_of_timm_has_the_version_that_its_files_say(tmp_path):
    """A timm on the path that no package manager put there is known by its own files, as is what it lacks."""
    clone = shutil.copytree(
        Path(timm.__file__).parent, tmp_path / "timm", ignore=shutil.ignore_patterns("*.pyc")
    )
    (clone / "version.py").write_text("__version__ = '0.9.99'\n")
    (clone / "models" / "resnet.py").write_text("")
    script = "from rexnet_hub.nets import find_network; print(find_network('test_vit').family.provider);"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    ran = subprocess.run(
        [sys.executable, "-c", f"{script} find_network('resnet50')"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.stdout == "timm 0.9.99\n"
    assert ran.stderr.endswith("timm 0.9.99 does not have it either; another version may.\n")


def test_a_network_that_exits_ends_no_command_well(monkeypatch):
    """A provider that calls sys.exit is refused like one that raises: its exit code is not the command's."""
    monkeypatch.setattr(timm.models.ResNet, "__init__", lambda *_, **__: sys.exit(0))
    with pytest.raises(NetworkError, match=r"test_resnet of timm .* SystemExit: 0"):
        create_model("test_resnet")


def test_a_size_that_a_network_does_not_take_is_refused(mine, tmp_path, capsys):
    """A network of one size is not loaded for pictures of another."""
    index = mine("test_vit")
    file = next(index.iterdir())
    file.write_text(file.read_text().replace("Image Size: 160", "Image Size: 192"))
    repo = tmp_path / "repo"
    assert main(["stage", "mine-test_vit", "--out", str(repo)]) == 1
    assert "test_vit takes pictures of 160 px alone, not of 192" in capsys.readouterr().err


def test_a_size_that_a_network_cannot_run_is_refused(mine, tmp_path, capsys):
    """Whatever loads or counts a network for pictures that it cannot run says so in one line, and no more."""
    index = mine("dla46_c", classes=1000)
    file, repo, odd = next(index.iterdir()), tmp_path / "repo", tmp_path / "odd"
    assert main(["stage", "mine-dla46_c", "--out", str(repo)]) == 0
    shutil.copytree(repo, odd)
    (odd / "config.json").write_text((odd / "config.json").read_text().replace("224", "225"))
    file.write_text(file.read_text().replace("Image Size: 224", "Image Size: 225"))
    images, out = one_image(tmp_path), str(tmp_path / "out")
    shown, before = str(picture(tmp_path)), {*tmp_path.rglob("*")}
    for words in (
        ["stage", "mine-dla46_c", "--out", out],
        ["lock", "mine-dla46_c"],
        ["predict", "mine-dla46_c", shown],
        ["predict", str(odd), shown],
        ["export", str(odd), "--out", out],
        ["evaluate", str(odd), "--data", str(images), "--subset", "--record", out],
        ["verify", "mine-dla46_c", "--repo", str(odd)],
    ):
        capsys.readouterr()
        assert main(words) == 1, words
        said = capsys.readouterr().err
        assert said.count("\n") == 1, said
        assert re.search("dla46_c.*broadcast", said), said
    assert {*tmp_path.rglob("*")} == before
    with pytest.raises(RepoError, match="does not take pictures of 225 px: dla46_c of timm"):
        AutoModel.from_pretrained(odd, features_only=True)


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "REPO", "PICTURE"],
        ["evaluate", "REPO", "--data", "IMAGES", "--subset"],
        ["evaluate", "REPO", "--data", "IMAGES", "--subset", "--explain", "50"],
        ["lock", "mine-test_resnet"],
        slow(["export", "REPO", "--out", "OUT"]),
    ],
)
def test_a_network_that_raises_as_it_runs_is_one_line(mine, tmp_path, capsys, monkeypatch, words):
    """What a provider's code raises where no check foresaw it is one line, with the model's name."""
    mine("test_resnet", classes=1000)
    places = {"REPO": tmp_path / "repo", "IMAGES": one_image(tmp_path), "OUT": tmp_path / "out"}
    places["PICTURE"] = picture(tmp_path)
    assert main(["stage", "mine-test_resnet", "--out", str(places["REPO"])]) == 0

    def fail(*_: Any) -> None:
        raise AssertionError("no such\nshape")

    monkeypatch.setattr(timm.models.ResNet, "forward_head", fail)
    before = {*tmp_path.rglob("*")}
    capsys.readouterr()
    assert main([str(places.get(word, word)) for word in words]) == 1
    assert capsys.readouterr().err.endswith("cannot be built or run: AssertionError: no such\n")
    assert {*tmp_path.rglob("*")} == before


def test_a_stem_that_nobody_knows_takes_no_other_channels(tmp_path):
    """A network without a known stem loads with its own channels alone, and is refused with others."""
    theirs: Any = timm.create_model("csatv2", num_classes=2)
    timm.models.save_for_hf(theirs, tmp_path, safe_serialization=True)
    assert AutoModel.from_pretrained(tmp_path, in_chans=3).num_classes == 2
    for channels in (1, 4):
        with pytest.raises(UsageError, match=f"in_chans is {channels}; csatv2 has no known stem"):
            AutoModel.from_pretrained(tmp_path, in_chans=channels)
        with pytest.raises(UsageError, match=f"in_chans is {channels}; csatv2 has no known stem"):
            create_model("csatv2", in_chans=channels)


def test_a_lock_counts_any_network(mine, capsys):
    """The lock has parameters and operations of a network of timm's, and its check finds each changed one."""
    index = mine("test_vit")
    assert main(["lock", "mine-test_vit"]) == 0
    assert main(["lock", "--check"]) == 0
    lock = json.loads((index / "lock.json").read_text())
    measured = lock["models"]["mine-test_vit"]
    network = timm.create_model("test_vit", num_classes=CLASSES)
    assert measured["parameters"] == sum(each.numel() for each in network.parameters())
    assert measured["macs"]["conv_linear"]["input_px"] == NETWORKS["test_vit"]
    measured["macs"]["conv_linear"]["count"] += 1
    (index / "lock.json").write_text(json.dumps(lock))
    capsys.readouterr()
    assert main(["lock", "--check"]) == 1
    assert "macs.conv_linear.count" in "".join(capsys.readouterr())


def test_validate_counts_exactly(mine, capsys):
    """A count that is one too many is found, at its line; with a tag the network is the same."""
    index = mine("test_resnet", "test_vit")
    file = next(index.iterdir())
    count = find_network("test_resnet").plan(num_classes=CLASSES).parameters
    text = file.read_text().replace("ID: test_resnet", "ID: test_resnet.r160_in1k")
    file.write_text(text.replace(f"Parameters: {count}", f"Parameters: {count + 1}"))
    assert main(["validate"]) == 1
    out = "".join(capsys.readouterr())
    assert f"mine.yml:9:19: error[impossible-parameters]: test_resnet.r160_in1k has {count} parameters" in out
    assert out.count("impossible-parameters") == 1


def test_a_former_name_is_said_to_be_another_now(mine, capsys):
    """A count of the network that a former name stands for now says so, wherever it denies a claim."""
    index = mine("test_resnet")
    file = next(index.iterdir())
    former, now = "ig_resnext101_32x16d", "resnext101_32x8d"
    text = file.read_text().replace("ID: test_resnet", f"ID: {former}").replace("Classes: 7", "Classes: 1000")
    file.write_text(re.sub("Parameters: .*", "Parameters: 194030000", text))
    assert main(["validate"]) == 1
    assert f"{former} (now {now}) has 88791336 parameters, 194030000 differs" in "".join(capsys.readouterr())
    assert main(["verify", "mine-test_resnet"]) == 1
    assert f"counted from the tensors of {former} (now {now})" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("tagged", ["test_resnet.r160_in1k", "rexnet_100.nav_in1k"])
def test_a_network_is_named_with_a_tag(mine, tmp_path, tagged):
    """An entry may name its network as timm names weights of it; a built-in one is ours with a tag too."""
    name = tagged.partition(".")[0]
    index = mine(name)
    file = next(index.iterdir())
    file.write_text(file.read_text().replace(f"ID: {name}", f"ID: {tagged}"))
    assert main(["stage", f"mine-{name}", "--out", str(tmp_path / "repo")]) == 0
    assert find_network(tagged) == find_network(name)
    assert main(["verify", f"mine-{name}", "--repo", str(tmp_path / "repo")]) == 0


def test_unknown_networks_are_listed_without_torch(mine):
    """What lists, shows, validates, cards and pages unknown networks imports neither torch nor timm."""
    index = mine("test_resnet")
    file = next(index.iterdir())
    file.write_text(file.read_text().replace("ID: test_resnet", "ID: novelnet"))
    script = "import sys; from rexnet_hub.cli import main;"
    commands = ("list", "show mine-test_resnet", "validate", "card mine-test_resnet")
    script += "".join(f"assert main({command.split()}) == 0;" for command in commands)
    script += "from rexnet_hub.index import load_index; from rexnet_hub.pages.site import render_site;"
    script += "assert 'models/mine-test_resnet.md' in render_site(load_index().models);"
    script += "sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, capture_output=True).returncode == 0


def test_several_families_are_evaluated_in_one_pass(mine, tmp_path, capsys):
    """Networks of several families and sizes are counted over the same pictures, each with its own pixels."""
    names = ["test_resnet", "test_vit", "mobilenetv3_small_050"]
    mine(*names, classes=1000)
    for row in read_classes()[:2]:
        (tmp_path / "val" / row.synset).mkdir(parents=True)
        place = tmp_path / "val" / row.synset
        picture(place).rename(place / official_name(row.index, suffix=".png"))
    repos = [str(tmp_path / name) for name in names]
    for name, repo in zip(names, repos, strict=True):
        assert main(["stage", f"mine-{name}", "--out", repo]) == 0
    capsys.readouterr()
    assert main(["evaluate", *repos, "--data", str(tmp_path / "val"), "--subset", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in rows] == names
    assert {row["images"] for row in rows} == {2}


def test_any_network_is_published_to_a_folder(mine, tmp_path):
    """A model of a network of timm's is published to a folder of repos, and loads from there."""
    mine("test_vit")
    words = ["publish", "mine-test_vit", "--to", str(tmp_path / "hub")]
    assert main(words) == 0
    assert not (tmp_path / "hub").exists()
    assert main([*words, "--apply"]) == 0
    network = AutoModel.from_pretrained(tmp_path / "hub" / "mine-test_vit")
    assert network(torch.zeros(1, 3, 160, 160)).shape == (1, CLASSES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["test_resnet", "test_vit", "test_convnext", "mobilenetv3_small_050", "fastvit_t8", "tresnet_m"]
)
def test_what_timm_pushes_is_loaded(tmp_path, name):
    """A repo as timm writes it gives timm's logits, with other channels too where the stem is one for RGB."""
    theirs: Any = timm.create_model(name, num_classes=CLASSES).eval()
    timm.models.save_for_hf(theirs, tmp_path, safe_serialization=True)
    px = theirs.pretrained_cfg["input_size"][-1]
    pixels = torch.randn(1, 3, px, px)
    with torch.inference_mode():
        assert torch.equal(AutoModel.from_pretrained(tmp_path)(pixels), theirs(pixels))
    if name == "tresnet_m":  # its stem sees 48 channels, of 4 by 4 pixels
        with pytest.raises(UsageError, match="a stem for 48 channels takes no others"):
            AutoModel.from_pretrained(tmp_path, in_chans=1)
        return
    grey: Any = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, in_chans=1).eval()
    with torch.inference_mode():
        ours = AutoModel.from_pretrained(tmp_path, in_chans=1)
        torch.testing.assert_close(ours(pixels[:, :1]), grey(pixels[:, :1]), rtol=1e-4, atol=1e-4)


def test_what_timm_pushes_of_an_unknown_network_is_refused_for_that_alone(tmp_path):
    """A repo of a network that nobody here knows is refused by its name; none of its keys is called wrong."""
    timm.models.save_for_hf(timm.create_model("test_resnet"), tmp_path, safe_serialization=True)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"test_resnet"', '"novelnet"'))
    with pytest.raises(RepoError, match=r"no network is named 'novelnet'\..*another version may\.$"):
        AutoModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("test_vit", {"img_size": 192}),
        ("test_vit", {"global_pool": "avg"}),
        ("resnet18", {"output_stride": 8}),
    ],
)
def test_what_timm_pushes_of_another_network_is_refused_by_its_key(tmp_path, name, argument):
    """A repo whose arguments make another network than its name is refused by that argument."""
    theirs = timm.create_model(name, num_classes=CLASSES, **argument)
    timm.models.save_for_hf(theirs, tmp_path, safe_serialization=True)
    with pytest.raises(RepoError, match=f"'model_args.{next(iter(argument))}' is"):
        AutoModel.from_pretrained(tmp_path)


def test_without_timm_each_command_names_the_extra(mine, tmp_path, capsys, monkeypatch):
    """Without timm what needs no network goes on; the rest is one line, and nothing is written."""
    index = mine("test_resnet")
    repo, checkpoint = str(tmp_path / "repo"), str(next(tmp_path.glob("*.pth")))
    assert main(["stage", "mine-test_resnet", "--out", repo]) == 0
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    real = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "timm" else real(name))
    timm_networks._read_registry.cache_clear()
    out, shown = str(tmp_path / "out"), str(picture(tmp_path))
    try:
        for command in ("validate", "list", "show", "card", "recipe"):
            assert (
                main([command, *(["mine-test_resnet"] if command not in ("validate", "list") else [])]) == 0
            )
        capsys.readouterr()
        assert main(["verify", "mine-test_resnet"]) == 0
        assert "pip install 'rexnet-hub[timm]'" in " ".join(capsys.readouterr().out.split())
        for words in (
            ["lock"],
            ["stage", "mine-test_resnet", "--out", out],
            ["convert", checkpoint, "--model", "mine-test_resnet", "--out", out],
            adding(checkpoint),
            ["verify", "mine-test_resnet", "--repo", repo],
            ["predict", "mine-test_resnet", shown],
            ["predict", repo, shown],
            ["export", repo, "--format", "onnx", "--out", out],
            ["demo", "--out", out],
        ):
            assert main(words) == 1, words
            said = capsys.readouterr().err
            assert said.count("\n") == 1
            assert "pip install 'rexnet-hub[timm]'" in said
    finally:
        timm_networks._read_registry.cache_clear()
    after = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert {file for file in after if before.get(file) != after[file]} == {tmp_path / "picture.png"}
    assert index.is_dir()


def test_a_name_far_from_all_names_some():
    """A name like none is refused with some of the many that there are, not with all."""
    with pytest.raises(
        UnknownModelError, match=r"There are: rexnet_100, .* and [\d,]+ more\. timm"
    ) as caught:
        find_network("zzz qqq")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["rexnet_100", "test_resnet"])
@pytest.mark.parametrize(
    ("option", "value"),
    [("num_classes", -1), ("in_chans", 0), ("in_chans", 1.5), ("drop_rate", 2), ("drop_path_rate", -0.1)],
)
def test_an_option_out_of_range_is_refused(name, option, value):
    """Whatever the network, what no network can be is refused before it is built."""
    with pytest.raises(UsageError, match=f"{option} is {value}; it"):
        create_model(name, **{option: value})


@pytest.mark.parametrize("name", ["rexnet_100", "test_resnet"])
@pytest.mark.parametrize("indices", [[], [99], [-6], [1.5], "1", [True], 6, ["a"]])
def test_maps_that_a_network_does_not_have_are_refused(name, indices):
    """Asking for no map, or for one that is not there, is refused with how many there are."""
    with pytest.raises(UsageError, match=r"out_indices is .*; it lists some of the 5 maps"):
        create_model(name, features_only=True, out_indices=indices)
