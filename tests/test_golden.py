"""Golden logits are the network's own: kept beside the lock, staged, and compared with the network."""

import hashlib
import json
import re
import shutil

import numpy as np
import pytest
import timm
import torch
from entries import INPUT, SEEDS
from PIL import Image
from receipts import retell
from safetensors.torch import load_file, save_file

from rexnet_hub.cli import build_parser, main
from rexnet_hub.errors import CheckpointError, UsageError
from rexnet_hub.golden import TOLERANCE, draw_input, keep_golden
from rexnet_hub.index import load_index
from rexnet_hub.index.lock import read_lock, update_lock
from rexnet_hub.layout import DEMO_PICTURE, golden_name
from rexnet_hub.pages.snippets import checking
from rexnet_hub.site_source import collect_generated
from rexnet_hub.verify import FALSE, HOLDS, NOT_MEASURED, verify_model
from rexnet_hub.witness import main as witness

INDEX = f"""\
Models:
- Name: net
  Weights: {{url}}
  Metadata:
    ID: rexnet_100
    Num Classes: 7
{INPUT.replace("224", "64", 1)}"""


def timms_network():
    """The same network by timm, with weights and statistics that are drawn."""
    torch.manual_seed(0)
    network = timm.create_model("rexnet_100", num_classes=7)
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 64, 64))
    return network.eval()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A zoo of one model that is no stand-in: staged, measured, staged again."""
    folder = tmp_path_factory.mktemp("zoo")
    torch.save(timms_network().state_dict(), folder / "net.pth")
    (folder / "index.yml").write_text(INDEX.format(url=(folder / "net.pth").as_uri()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REXNET_HUB_INDEX", str(folder))
        stage(folder, "first")
        assert main(["lock", "net", "--repo", str(folder / "first")]) == 0
        stage(folder, "net")
    return folder


def stage(folder, name):
    assert main(["stage", "net", "--weights", str(folder / "net.pth"), "--out", str(folder / name)]) == 0


@pytest.fixture
def zoo(made, tmp_path, monkeypatch):
    """The same with files that a test may change."""
    folder = shutil.copytree(made, tmp_path / "zoo")
    monkeypatch.setenv("REXNET_HUB_INDEX", str(folder))
    return folder


def finding(zoo, repo="net"):
    """What `verify` says of the golden logits, and which claims are false."""
    entry, measured = load_index(zoo).find("net"), read_lock(zoo / "lock.json").of("net")
    findings = verify_model(entry, repo=zoo / repo, measured=measured)
    (own,) = (each for each in findings if each.claim == "golden")
    return own, {each.claim for each in findings if each.verdict == FALSE}


def inputs():
    """Both inputs, the drawn one by the standard library alone."""
    drawn = b"".join(hashlib.sha256(b"0/%d" % k).digest() for k in range(3 * 64 * 64 // 32))
    seeded = torch.tensor([(byte - 128) / 64 for byte in drawn]).reshape(3, 64, 64)
    config = timm.data.resolve_data_config({}, model=timms_network()) | {"input_size": (3, 64, 64)}
    picture = timm.data.create_transform(**config, is_training=False)(Image.open(DEMO_PICTURE))
    return {"seeded": seeded, "picture": picture}


def test_the_logits_are_timms_in_float64(zoo):
    """Oracle: timm's network and transform. An input is stated by its digest, a logit to the last bit."""
    golden = json.loads((zoo / "net" / "golden.json").read_text())
    network = timms_network()

    assert golden["answers"].keys() == inputs().keys()
    for name, picture in inputs().items():
        told = golden["answers"][name]
        assert told["input_shape"] == list(picture.shape)
        assert told["input_sha256"] == hashlib.sha256(picture.numpy().tobytes()).hexdigest()
        with torch.inference_mode():
            exact, usual = network.double()(picture[None].double())[0], network.float()(picture[None])[0]
        assert np.array_equal(np.float32(told["logits"]), exact.float().numpy())
        far = (usual - exact).abs().max() / exact.abs().max()
        assert 0 < far < min(golden["tolerance"].values()) / 10


def test_the_drawn_input_is_the_formulas():
    """Bytes of a digest in counter mode; every number is exact in bfloat16 too."""
    drawn = draw_input(7, (1, 5, 9))
    digests = hashlib.sha256(b"7/0").digest() + hashlib.sha256(b"7/1").digest()
    assert (drawn.ravel() * 64 + 128).astype(np.uint8).tobytes() == digests[:45]
    assert torch.equal(torch.from_numpy(drawn).bfloat16().float(), torch.from_numpy(drawn))


def test_they_are_kept_and_staged_and_hold(zoo, capsys):
    """Beside the lock named by the digest, in the repo plainly, in its receipt; without, not measured."""
    sha256 = read_lock(zoo / "lock.json").of("net").golden
    data = (zoo / "net" / "golden.json").read_bytes()
    assert hashlib.sha256(data).hexdigest() == sha256
    assert (zoo / "evidence" / golden_name(sha256)).read_bytes() == data
    assert (zoo / "net" / "golden.png").read_bytes() == DEMO_PICTURE.read_bytes()
    files = json.loads((zoo / "net" / "receipt.json").read_text())["files"]
    assert files["golden.json"] == sha256
    assert files["golden.png"] == hashlib.sha256(DEMO_PICTURE.read_bytes()).hexdigest()

    own, wrong = finding(zoo)
    assert (own.verdict, wrong) == (HOLDS, set())
    assert re.fullmatch(
        r"within \d\.\de-0\d of the largest logit \(.*class \d: stated .*, found .*\)", own.found
    )
    before, _ = finding(zoo, "first")
    before_note = "is not there, and it was staged before they were measured: stage it again"
    assert (before.verdict, before.note) == (NOT_MEASURED, before_note)
    (zoo / "net" / "golden.json").unlink()
    gone, wrong = finding(zoo)
    assert (gone.note, wrong) == ("is not there, and the receipt states it: stage it again", {"files"})
    (zoo / "net" / "golden.json").write_bytes(data)
    assert main(["lock", "net", "--check", "--repo", str(zoo / "net")]) == 0


def test_measured_again_they_stay(zoo):
    """Another rounding of a logit changes no file; a network that is another does."""
    before = (zoo / "lock.json").read_bytes()
    (file,) = (zoo / "evidence").iterdir()
    assert main(["lock", "net", "--repo", str(zoo / "net")]) == 0
    assert (zoo / "lock.json").read_bytes() == before
    golden = json.loads(file.read_text())
    golden["answers"]["seeded"]["logits"][0] *= 1 + 2**-23
    state(zoo, golden)
    kept = (zoo / "lock.json").read_bytes()
    assert main(["lock", "net", "--repo", str(zoo / "net")]) == 0
    assert (zoo / "lock.json").read_bytes() == kept
    golden["answers"]["seeded"]["logits"][0] *= 1.01
    state(zoo, golden)
    assert main(["lock", "net", "--repo", str(zoo / "net")]) == 0
    assert (zoo / "lock.json").read_bytes() == before
    assert [each.name for each in (zoo / "evidence").iterdir()] == [file.name]


def state(zoo, golden):
    """State other golden logits everywhere: beside the lock, in the repo, in its receipt."""
    data = golden if isinstance(golden, bytes) else json.dumps(golden).encode()
    sha256 = hashlib.sha256(data).hexdigest()
    lock = json.loads((zoo / "lock.json").read_text())
    (zoo / "evidence" / golden_name(lock["models"]["net"]["golden"])).unlink()
    lock["models"]["net"]["golden"] = sha256
    (zoo / "lock.json").write_text(json.dumps(lock, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    (zoo / "evidence" / golden_name(sha256)).write_bytes(data)
    (zoo / "net" / "golden.json").write_bytes(data)
    retell(zoo / "net" / "receipt.json", lambda receipt: receipt["files"].update({"golden.json": sha256}))


def changed(path, change):
    """Change a value of golden logits, by its dotted path."""

    def lie(golden):
        *path_to, last = path.split(".")
        place = golden
        for key in path_to:
            place = place[key]
        place[last] = change(place[last])
        return json.dumps(golden).encode()

    return lie


#: By what is told otherwise: the lie, what `verify` says of it, and what the witness does, if it sees it.
LIES = {
    "weights": (
        changed("weights_sha256", lambda old: "0" * 64),
        "weights_sha256 is 0000",
        "golden.json: weights_sha256 is 0000",
    ),
    "tolerance": (
        changed("tolerance.cpu", lambda old: 1.0),
        "tolerance is {'cpu': 1.0",
        None,
    ),
    "seed": (changed("seed", lambda old: 1), "seed is 1, not 0", "golden.json: seeded: input_sha256 is"),
    "digest": (
        changed("answers.seeded.input_sha256", lambda old: "0" * 64),
        "seeded: input_sha256 is 0000",
        "golden.json: seeded: input_sha256 is 0000",
    ),
    "shape": (
        changed("answers.seeded.input_shape", lambda old: [3, 64, 32]),
        "seeded: input_shape is (3, 64, 32), not (3, 64, 64)",
        "golden.json: seeded: input_shape is [3, 64, 32], found [3, 64, 64]",
    ),
    "picture": (
        changed("answers.picture.input_sha256", lambda old: "0" * 64),
        "picture: input_sha256 is 0000",
        None,
    ),
    "an answer less": (
        changed("answers", lambda old: {"seeded": old["seeded"]}),
        "picture: number of logits is None, not 7",
        None,
    ),
    "a logit": (
        changed(
            "answers.picture.logits", lambda old: [*old[:3], old[3] + 0.001 * max(map(abs, old)), *old[4:]]
        ),
        "1.0e-03 of the largest logit (picture, class 3: stated ",
        None,
    ),
    "classes": (
        changed("answers.seeded.logits", lambda old: old[:-1]),
        "seeded: number of logits is 6, not 7",
        "golden.json: seeded: has not 7 finite logits",
    ),
    "NaN": (
        changed("answers.seeded.logits", lambda old: [float("nan"), *old[1:]]),
        "holds no golden logits: NaN is no number of JSON",
        "golden.json: seeded: has not 7 finite logits",
    ),
    "endless": (
        changed("answers.seeded.logits", lambda old: [int("9" * 400), *old[1:]]),
        "holds no golden logits: answers.seeded.logits[0]: expected a number, found '9999",
        "golden.json: seeded: has not 7 finite logits",
    ),
    "cut": (lambda golden: json.dumps(golden).encode()[:-20], "holds no golden logits: ", "cannot be read"),
    "version": (
        changed("golden", lambda old: 2),
        'it does not say "golden": 1',
        "golden.json: golden is 2, found 1",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_found(name, zoo, capsys):
    """One line of `verify` says it, though lock and receipt state that very file; so does `lock --check`."""
    lie, said, seen = LIES[name]
    state(zoo, lie(json.loads((zoo / "net" / "golden.json").read_text())))

    own, wrong = finding(zoo)
    assert wrong == {"golden"}
    assert said in own.found
    assert "\n" not in own.found
    assert main(["lock", "net", "--check", "--repo", str(zoo / "net")]) == 1
    assert said in capsys.readouterr().out
    assert witness([str(zoo / "net")]) == (seen is not None)
    told = capsys.readouterr().out
    assert (seen or "holds") in told
    assert len(told.splitlines()) == 1


def test_a_picture_that_is_another_is_found(zoo, capsys):
    """The picture's pixels are stated, and the file's own digest by the receipt; the witness checks that."""
    Image.new("RGB", (320, 240)).save(zoo / "net" / "golden.png")

    own, wrong = finding(zoo)
    assert wrong == {"golden", "files"}
    assert own.found.startswith("picture: input_sha256 is ")
    assert witness([str(zoo / "net")]) == 1
    assert "golden.png" in capsys.readouterr().out


@pytest.mark.parametrize("size", [None, [3, "x", 64], [3, -1, 64], [1 << 40, 1 << 40, 3]])
def test_the_witness_draws_no_odd_input(size, zoo, capsys):
    """Of a config that states no size that can be drawn one line is said."""
    config = json.loads((zoo / "net" / "config.json").read_text())
    config["pretrained_cfg"]["input_size"] = size
    (zoo / "net" / "config.json").write_text(json.dumps(config))
    assert witness([str(zoo / "net")]) == 1
    assert f"config.json: pretrained_cfg: input_size is {size}\n" in capsys.readouterr().out


@pytest.mark.slow
def test_they_go_with_the_input_that_they_are_of(zoo, capsys):
    """Those of another input are never staged; `lock` drops them, and measures new ones."""
    assert main(["edit", "net", "Crop Pct=0.9"]) == 0
    assert main(["stage", "net", "--weights", str(zoo / "net.pth"), "--out", str(zoo / "other")]) == 1
    said = capsys.readouterr().err
    assert "golden is false" in said
    assert "picture: input_sha256 is" in said
    assert not (zoo / "other").exists()
    assert main(["lock", "net"]) == 0
    assert read_lock().of("net").golden is None
    assert not [*(zoo / "evidence").iterdir()]
    stage(zoo, "other")
    assert main(["lock", "net", "--repo", str(zoo / "other")]) == 0
    assert finding(zoo, "other")[0].verdict == NOT_MEASURED
    stage(zoo, "again")
    assert finding(zoo, "again")[0].verdict == HOLDS


def test_what_is_no_golden_file_is_measured_anew(zoo):
    """A file that the lock states, and that is none, stops no `lock`."""
    before = (zoo / "lock.json").read_bytes()
    state(zoo, b"{}")
    assert main(["lock", "net", "--repo", str(zoo / "net")]) == 0
    assert (zoo / "lock.json").read_bytes() == before


def test_the_network_of_a_foreign_config_is_not_run(zoo):
    """Its picture's size may be any: that it is another is false of the config, and all that is looked at."""
    config = json.loads((zoo / "net" / "config.json").read_text())
    config["pretrained_cfg"]["input_size"] = [3, 8192, 8192]
    (zoo / "net" / "config.json").write_text(json.dumps(config))
    own, wrong = finding(zoo)
    assert own.verdict == NOT_MEASURED
    assert {"config", "image_size", "files"} <= wrong


def test_a_stand_in_has_none(zoo):
    """What is true of the released weights is not staged with random numbers, and said of none."""
    measured = read_lock().of("net")
    assert measured.golden
    assert measured.of_standin().golden is None


@pytest.mark.parametrize("value", [float("nan"), 3e38])
def test_weights_that_answer_no_number_have_none(value, zoo, capsys):
    """They are refused in one line, and nothing is written."""
    before = (zoo / "lock.json").read_bytes()
    weights = load_file(zoo / "first" / "model.safetensors")
    weights["head.fc.weight"].fill_(value)
    save_file(weights, zoo / "first" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="gives logits that are no finite numbers"):
        keep_golden(read_lock().of("net"), zoo / "first")
    assert (zoo / "lock.json").read_bytes() == before


def test_a_change_that_fails_leaves_no_evidence(zoo):
    """What was kept before something else of the same change was refused is removed again."""

    def change(lock):
        keep_golden(lock.of("net"), zoo / "net")
        raise UsageError("no")

    shutil.rmtree(zoo / "evidence")
    (zoo / "lock.json").unlink()
    with pytest.raises(UsageError, match="no"):
        update_lock(change)
    assert not [*(zoo / "evidence").iterdir()]
    assert not (zoo / "lock.json").exists()


@pytest.mark.slow
def test_a_network_of_one_channel_sees_no_picture(tmp_path, monkeypatch):
    """Of grey pictures the drawn input alone is asked, in its own shape."""
    index = INDEX.replace("    Num Classes", "    Model Args: {{in_chans: 1}}\n    Num Classes")
    torch.manual_seed(0)
    torch.save(timm.create_model("rexnet_100", num_classes=7, in_chans=1).state_dict(), tmp_path / "net.pth")
    (tmp_path / "index.yml").write_text(index.format(url=(tmp_path / "net.pth").as_uri()))
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path))
    stage(tmp_path, "first")
    assert main(["lock", "net", "--repo", str(tmp_path / "first")]) == 0
    stage(tmp_path, "net")
    answers = json.loads((tmp_path / "net" / "golden.json").read_text())["answers"]
    assert {name: answer["input_shape"] for name, answer in answers.items()} == {"seeded": [1, 64, 64]}
    assert finding(tmp_path)[0].verdict == HOLDS
    assert witness([str(tmp_path / "net")]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("classes", [0, 7])
def test_the_witness_reads_those_of_another_family(classes, tmp_path, monkeypatch, capsys):
    """Whose classifier has another name, or which has none and answers with features."""
    index = INDEX.replace("rexnet_100", "resnet10t").replace("Num Classes: 7", f"Num Classes: {classes}")
    torch.manual_seed(0)
    torch.save(timm.create_model("resnet10t", num_classes=classes).state_dict(), tmp_path / "net.pth")
    (tmp_path / "index.yml").write_text(index.format(url=(tmp_path / "net.pth").as_uri()))
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path))
    stage(tmp_path, "first")
    assert main(["lock", "net", "--repo", str(tmp_path / "first")]) == 0
    stage(tmp_path, "net")
    assert finding(tmp_path)[0].verdict == HOLDS
    capsys.readouterr()
    assert witness([str(tmp_path / "net")]) == 0, capsys.readouterr().out
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    (tmp_path / "net" / "config.json").write_text(json.dumps(config | {"num_classes": 8}))
    assert witness([str(tmp_path / "net")]) == 1
    assert "has no classifier of 8 classes" in capsys.readouterr().out


def test_the_card_has_lines_that_compare(zoo, monkeypatch, capsys):
    """They run as printed, in a copy of the repo, and tell the network from one with another weight."""
    monkeypatch.chdir(zoo / "net")
    card = (zoo / "net" / "README.md").read_text()
    (lines,) = (lines for lines in re.findall(r"```python\n(.*?)```", card, re.DOTALL) if "golden" in lines)
    assert "golden" not in (zoo / "first" / "README.md").read_text()

    exec(lines, {})
    assert 0 < float(capsys.readouterr().out.split()[0]) < TOLERANCE["cpu"] / 10
    weights = load_file("model.safetensors")
    weights["head.fc.bias"][0] += 1
    save_file(weights, "model.safetensors", metadata={"format": "pt"})
    exec(lines, {})
    assert float(capsys.readouterr().out.split()[0]) > TOLERANCE["cpu"]


def test_the_page_leads_to_them(zoo):
    """The site has the file that its page links, and the page the card's lines."""
    source = collect_generated({}, build_parser(), print)
    page, name = source["models/net.md"].decode(), golden_name(read_lock().of("net").golden)
    assert f"(../evidence/{name})" in page
    assert checking(load_index(zoo).find("net")).lines in page
    assert source[f"evidence/{name}"] == (zoo / "net" / "golden.json").read_bytes()


def test_our_own_lines_compare_too(zoo, monkeypatch, capsys):
    """Of a network that timm has not, a lite, the card has ours; here they run on one that it has."""
    lines = checking(load_index(SEEDS.parent).find("rexnet_lite_1.0")).lines
    assert "timm" not in lines
    monkeypatch.chdir(zoo / "net")

    exec(lines, {})
    assert 0 < float(capsys.readouterr().out.split()[0]) < TOLERANCE["cpu"] / 10
