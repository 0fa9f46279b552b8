"""A model loads by name, by folder and by Hub id, strictly, and in three libraries alike."""

import contextlib
import copy
import functools
import json
import logging
import shutil
import socket
from typing import Any, assert_type

import pytest
import timm
import torch
from closeness import assert_same_numbers
from entries import INPUT
from PIL import Image
from receipts import retell
from safetensors.torch import load_file, save_file

from rexnet_hub.auto import (
    AutoImageProcessor,
    AutoModel,
    create_model,
)
from rexnet_hub.errors import (
    CheckpointError,
    FileProblem,
    HubError,
    MismatchError,
    RepoError,
    StateDictError,
    UnknownModelError,
    UsageError,
)
from rexnet_hub.locate import find_repo
from rexnet_hub.nets.families.rexnet.blocks import ReXNet
from rexnet_hub.nets.modules import Classifier, FeatureMaps


@torch.inference_mode()
def test_a_staged_repo_loads_in_three_libraries(staged, picture):
    """Ours, timm and transformers give equal pixels and equal logits on the same picture."""
    from transformers import AutoImageProcessor as TheirProcessor
    from transformers import AutoModelForImageClassification

    image = Image.open(picture)
    ours = AutoModel.from_pretrained(staged)
    pixels = AutoImageProcessor.from_pretrained(staged)(image)

    in_timm = timm.create_model(f"local-dir:{staged}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(in_timm), is_training=False)
    assert torch.equal(transform(image.convert("RGB"))[None], pixels)

    in_transformers = AutoModelForImageClassification.from_pretrained(staged).eval()
    their_pixels = TheirProcessor.from_pretrained(staged)(image, return_tensors="pt")["pixel_values"]
    assert torch.equal(their_pixels, pixels)

    logits = ours(pixels)
    assert logits.std() > 0.1
    assert torch.equal(logits, in_timm(pixels))  # the same sums in the same order: aligned as timm's
    assert_same_numbers(logits, in_transformers(pixel_values=their_pixels).logits)
    assert in_transformers.config.id2label[0] == "tench, Tinca tinca"


def test_a_name_loads_its_released_file(own_index, entry, checkpoint):
    """A name of the index brings the released file, converts it once, and loads it bit for bit."""
    first = AutoModel.from_pretrained("rexnet_100")
    source = torch.load(checkpoint, weights_only=True)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, source[name]), name
    assert not first.training
    made = find_repo("rexnet_100").weights.stat().st_mtime_ns
    AutoModel.from_pretrained("rexnet_100", local_files_only=True)
    assert find_repo("rexnet_100").weights.stat().st_mtime_ns == made


def test_nothing_is_fetched_when_only_local_files_are_asked_for(own_index):
    """Without a cached file, `local_files_only` is an error that says so."""
    with pytest.raises(RepoError, match="not in the cache"):
        AutoModel.from_pretrained("rexnet_100", local_files_only=True)


def test_the_hubs_offline_switch_holds_for_released_files(own_index, monkeypatch):
    """With HF_HUB_OFFLINE a name loads from the cache or not at all, and what is damaged there stays."""
    switch = "huggingface_hub.constants.HF_HUB_OFFLINE"
    monkeypatch.setattr(switch, True)
    with pytest.raises(RepoError, match="not in the cache"):
        AutoModel.from_pretrained("rexnet_100")
    monkeypatch.setattr(switch, False)
    AutoModel.from_pretrained("rexnet_100")
    monkeypatch.setattr(switch, True)
    AutoModel.from_pretrained("rexnet_100")
    weights = find_repo("rexnet_100").weights
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(MismatchError):
        AutoModel.from_pretrained("rexnet_100")
    assert weights.read_bytes() == data


def test_weights_that_a_person_must_take_are_said_to_be_so_offline_too(monkeypatch, tmp_path):
    """No network would help; the page to take the file from, and the command that takes it, do."""
    at = "  Weights Page: https://example.org/file\n"
    stated = f"Models:\n- Name: rexnet_100\n{at}  Metadata:\n    Num Classes: 1000\n{INPUT}"
    (tmp_path / "model-index.yml").write_text(stated)
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path / "model-index.yml"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(RepoError, match=r"from https://example\.org/file, .*stage rexnet_100 --weights FILE"):
        AutoModel.from_pretrained("rexnet_100")


def test_the_processor_of_a_name_needs_no_weights(own_index):
    """The input settings and labels of an index name come from the index alone."""
    processor = AutoImageProcessor.from_pretrained("rexnet_100")
    assert processor.preprocessing.input_px == 224
    assert (len(processor.labels), processor.labels[999]) == (
        1000,
        "toilet tissue, toilet paper, bathroom tissue",
    )


def test_what_a_repo_says_of_its_network_is_kept_unless_it_is_asked_otherwise(repo, own_index):
    """Stride and dropout are the repo's own, in both ways to load it, until the caller says others."""
    config = json.loads((repo / "config.json").read_text())
    config["model_args"] = {"output_stride": 16, "drop_rate": 0.5, "drop_path_rate": 0.1}
    (repo / "config.json").write_text(json.dumps(config))
    (repo / "receipt.json").unlink()  # which is of another config
    model: Any
    loads = (AutoModel.from_pretrained, functools.partial(create_model, pretrained=True))
    for model in (load(repo) for load in loads):
        assert (model.feature_info[-1]["reduction"], model.drop_rate) == (16, 0.5)
        assert model.features[15].drop_path.drop_prob == 0.1
    other: dict[str, Any] = {
        "output_stride": 8,
        "drop_rate": 0.0,
        "drop_path_rate": 0.3,
        "dtype": torch.float64,
    }
    for model in (load(repo, **other) for load in loads):
        assert (model.feature_info[-1]["reduction"], model.drop_rate, model.head.drop.p) == (8, 0.0, 0.0)
        assert model.features[15].drop_path.drop_prob == 0.3
        assert model.stem.conv.weight.dtype == torch.float64
    with pytest.raises(UsageError, match=r"drop_rate is 1\.5"):
        create_model("rexnet_100", drop_rate=1.5)


def test_a_new_classifier_is_drawn_and_said(staged, caplog):
    """Another number of classes replaces the head alone, with a warning; 0 gives features."""
    caplog.set_level(logging.WARNING)
    ten = AutoModel.from_pretrained(staged, num_classes=10)
    assert "the classifier for 1000 classes is replaced by a new one for 10" in caplog.text
    whole = AutoModel.from_pretrained(staged)
    assert isinstance(ten, ReXNet)
    assert isinstance(whole, ReXNet)
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert ten(x).shape == (1, 10)
        assert torch.equal(ten.forward_features(x), whole.forward_features(x))
        assert AutoModel.from_pretrained(staged, num_classes=0)(x).shape == (1, 1280)


@torch.inference_mode()
def test_the_stem_takes_other_channels_as_in_timm(staged):
    """One and four input channels give timm's logits."""
    for in_chans in (1, 4):
        ours = AutoModel.from_pretrained(staged, in_chans=in_chans)
        theirs = timm.create_model(f"local-dir:{staged}", pretrained=True, in_chans=in_chans).eval()
        x = torch.randn(1, in_chans, 64, 64)
        assert torch.equal(ours(x), theirs(x))


@torch.inference_mode()
def test_features_and_dtype(staged):
    """Features are the network's taps with its weights; dtype and out_indices are obeyed."""
    x = torch.randn(1, 3, 64, 64)
    whole: Any = AutoModel.from_pretrained(staged)
    taps = AutoModel.from_pretrained(staged, features_only=True, out_indices=(2, 4))
    for found, expected in zip(taps(x), whole.forward_intermediates(x, (2, 4))[1], strict=True):
        assert torch.equal(found, expected)
    assert_type(taps, FeatureMaps)
    half = assert_type(AutoModel.from_pretrained(staged, dtype=torch.bfloat16), Classifier)
    assert_type(create_model("rexnet_100", features_only=True, out_indices=1), FeatureMaps)
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}


def test_create_model_starts_drawn_or_pretrained(own_index, staged):
    """`create_model` gives a network in training mode, drawn or with the model's weights."""
    torch.manual_seed(0)
    drawn = create_model("rexnet_100", num_classes=5, drop_path_rate=0.1)
    assert isinstance(drawn, ReXNet)
    assert drawn.training
    assert drawn.get_classifier().out_features == 5
    trained = create_model("rexnet_100", pretrained=True)
    expected = load_file(staged / "model.safetensors")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in trained.state_dict().items())
    assert create_model("rexnetr_200").num_features == 2560
    assert len(create_model("rexnet_100", features_only=True)(torch.randn(2, 3, 64, 64))) == 5


def test_create_model_takes_the_repos_own_head(repo, monkeypatch):
    """A pretrained network pools as its repo says."""
    config = json.loads((repo / "config.json").read_text())
    (repo / "config.json").write_text(json.dumps(config | {"global_pool": "max"}))
    (repo / "receipt.json").unlink()  # which is of another config
    monkeypatch.chdir(repo.parent)
    monkeypatch.setenv("REXNET_HUB_INDEX", str(repo.parent / "none.yml"))
    (repo.parent / "none.yml").write_text("Models: {Name: other}")
    network = create_model("./rexnet_100", pretrained=True)
    assert isinstance(network, ReXNet)
    assert network.head.global_pool == "max"


def test_loading_is_torchs_own_strict_loading(staged):
    """A loaded network holds what `load_state_dict` gives, each tensor with a version of its own."""
    model, plain = AutoModel.from_pretrained(staged), create_model("rexnet_100").eval()
    plain.load_state_dict(load_file(staged / "model.safetensors"), strict=True)

    found, expected = model.state_dict(keep_vars=True), plain.state_dict(keep_vars=True)
    assert list(found) == list(expected)
    for name, tensor in found.items():
        assert (type(tensor), tensor.requires_grad) == (type(expected[name]), expected[name].requires_grad)
        assert torch.equal(tensor, expected[name])
    before = found["stem.bn.weight"]._version
    found["stem.bn.num_batches_tracked"].add_(1)
    assert found["stem.bn.weight"]._version == before


def test_a_networks_own_hook_sees_the_weights_that_were_loaded(staged, monkeypatch):
    """As after torch's own loading, though each tensor was read where it lies."""
    make, seen = ReXNet.__init__, []

    def watch(self, *args, **options):
        make(self, *args, **options)
        self.register_load_state_dict_post_hook(lambda it, _: seen.append(it.stem.bn.weight.clone()))

    monkeypatch.setattr(ReXNet, "__init__", watch)
    AutoModel.from_pretrained(staged)
    assert torch.equal(seen[-1], load_file(staged / "model.safetensors")["stem.bn.weight"])


def test_tensors_that_share_memory_are_each_what_the_file_says(staged, monkeypatch):
    """A network may be made with two parameters on one storage; loading gives each its own numbers."""
    make = ReXNet.__init__

    def share(self, *args, **options):
        make(self, *args, **options)
        self.stem.bn.bias.data = self.stem.bn.weight.data

    monkeypatch.setattr(ReXNet, "__init__", share)
    found, expected = AutoModel.from_pretrained(staged).state_dict(), load_file(staged / "model.safetensors")
    assert not torch.equal(expected["stem.bn.weight"], expected["stem.bn.bias"])
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_a_parameter_with_two_names_stays_one(staged, monkeypatch):
    """What trains as one number trains as one after loading; it is what the file has under the last name."""
    make = ReXNet.__init__

    def tie(self, *args, **options):
        make(self, *args, **options)
        self.stem.bn.bias = self.stem.bn.weight

    monkeypatch.setattr(ReXNet, "__init__", tie)
    found: Any = AutoModel.from_pretrained(staged)
    plain = create_model("rexnet_100").eval()
    plain.load_state_dict(load_file(staged / "model.safetensors"), strict=True)

    assert found.stem.bn.bias is found.stem.bn.weight
    assert len([*found.parameters()]) == len([*plain.parameters()])
    expected = plain.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.state_dict().items())


def test_tensors_that_a_network_ties_are_loaded_as_torch_does(tmp_path):
    """CoaT has one layer under several names; where they differ in a file, the last of the network counts."""
    theirs = timm.create_model("coat_tiny", num_classes=2).eval()
    timm.models.save_for_hf(theirs, tmp_path, safe_serialization=False)
    state = {name: torch.rand_like(tensor) for name, tensor in theirs.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    theirs.load_state_dict(state, strict=True)

    found = AutoModel.from_pretrained(tmp_path).state_dict()
    assert any(not torch.equal(state[name], tensor) for name, tensor in found.items())
    assert all(torch.equal(found[name], tensor) for name, tensor in theirs.state_dict().items())


@pytest.mark.parametrize("what", [torch.float64, torch.bfloat16, "meta"])
def test_torchs_default_is_not_the_networks(staged, what):
    """A network is loaded as its file has it, on the CPU, whatever is made in that process else."""
    with torch.device("meta") if what == "meta" else contextlib.nullcontext():
        torch.set_default_dtype(torch.float32 if what == "meta" else what)
        try:
            found = AutoModel.from_pretrained(staged).state_dict()
        finally:
            torch.set_default_dtype(torch.float32)

    expected = load_file(staged / "model.safetensors")
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert {tensor.dtype for tensor in found.values()} == {torch.float32, torch.int64}


def test_a_loaded_model_can_be_saved(staged, tmp_path):
    """Torch and safetensors save its tensors, each with its own bytes alone."""
    state = AutoModel.from_pretrained(staged).state_dict()
    torch.save(state, tmp_path / "all.pth")
    torch.save({"one": state["stem.bn.bias"]}, tmp_path / "one.pth")
    save_file(state, tmp_path / "all.safetensors")

    for again in (torch.load(tmp_path / "all.pth"), load_file(tmp_path / "all.safetensors")):
        assert all(torch.equal(again[name], tensor) for name, tensor in state.items())
    assert (tmp_path / "one.pth").stat().st_size < 10_000


@pytest.mark.parametrize("dtype", ["float16", torch.int8])
def test_a_dtype_that_no_network_has_is_refused(tmp_path, dtype):
    """A word, or whole numbers: it is said in one line, before anything is read."""
    with pytest.raises(UsageError, match=f"dtype {dtype!r} is none of a network's"):
        AutoModel.from_pretrained(tmp_path / "none", dtype=dtype)


@pytest.mark.parametrize("device", ["bogus", "cuda:99", 3.5])
def test_a_device_that_is_not_there_is_refused(staged, device):
    """Which device was asked for is said, in one line, before anything is read."""
    with pytest.raises(UsageError, match=f"device {device!r} is none") as caught:
        AutoModel.from_pretrained(staged / "nowhere", device=device)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [True, -1, 2.5, "10"])
def test_a_number_of_classes_that_is_none_is_refused(staged, number):
    """What is no whole number of classes is said so."""
    with pytest.raises(UsageError, match="num_classes is"):
        AutoModel.from_pretrained(staged, num_classes=number)


def test_errors_of_the_index_are_said_once(own_index, tmp_path, monkeypatch, caplog):
    """Loading by name from an index with errors says so in the log, and what lists them."""
    broken = shutil.copytree(own_index, tmp_path / "index")
    (broken / "more.yml").write_text("Models: {Name: other, In Collection: nowhere}")
    monkeypatch.setenv("REXNET_HUB_INDEX", str(broken))
    for _ in range(2):
        AutoImageProcessor.from_pretrained("rexnet_100")
    (said,) = [record.getMessage() for record in caplog.records]
    assert "errors in the index: 1, the first" in said
    assert "rexnet-hub validate" in said


def test_a_loaded_model_can_be_trained(staged):
    """A training step on a loaded model gives timm's gradients: no tensor's change is taken for another's."""
    ours = AutoModel.from_pretrained(staged).train()
    theirs = timm.create_model(f"local-dir:{staged}", pretrained=True).train()
    x = torch.randn(8, 3, 64, 64)
    for network in (ours, theirs):
        torch.manual_seed(0)
        network(x).square().mean().backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)


@torch.inference_mode()
def test_a_loaded_model_equals_its_copy(staged):
    """Each tensor lies where torch would put it, so that a copy of the network gives the same logits."""
    model = AutoModel.from_pretrained(staged)
    assert {tensor.data_ptr() % 64 for tensor in model.state_dict().values()} == {0}
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(copy.deepcopy(model)(x), model(x))


def test_weights_that_are_not_the_receipts_are_refused(repo):
    """One flipped bit in the weights is refused before anything is loaded."""
    data = bytearray((repo / "model.safetensors").read_bytes())
    data[-9] ^= 4
    (repo / "model.safetensors").write_bytes(data)
    with pytest.raises(MismatchError):
        AutoModel.from_pretrained(repo)


def test_a_missing_tensor_is_named(repo):
    """A state dict without one tensor is refused by the tensor's name, receipt or not."""
    tensors = load_file(repo / "model.safetensors")
    del tensors["features.3.conv_pwl.bn.running_mean"]
    save_file(tensors, repo / "model.safetensors")
    (repo / "receipt.json").unlink()
    with pytest.raises(StateDictError, match=r"1 missing \(features\.3\.conv_pwl\.bn\.running_mean\)"):
        AutoModel.from_pretrained(repo)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_are_as_the_caller_chooses(repo, value):
    """Refused by default, by the names of the tensors; with `allow_nonfinite` they load as they are."""
    tensors = load_file(repo / "model.safetensors")
    tensors["features.3.conv_pwl.bn.weight"][2] = tensors["head.fc.bias"][5] = value
    tensors["head.fc.weight"][:] = 3e38  # whose sum is no finite number either
    save_file(tensors, repo / "model.safetensors", metadata={"format": "pt"})
    (repo / "receipt.json").unlink()
    loads = (AutoModel.from_pretrained, functools.partial(create_model, pretrained=True))
    for load in loads:
        with pytest.raises(CheckpointError, match=r"NaN or infinity in .*pwl\.bn\.weight, head\.fc\.bias; "):
            load(str(repo))
        found = load(str(repo), allow_nonfinite=True).state_dict()
        assert all(torch.equal(found[name].nan_to_num(), tensors[name].nan_to_num()) for name in tensors)
        assert not found["head.fc.bias"][5].isfinite()
    tensors["features.3.conv_pwl.bn.weight"][2] = tensors["head.fc.bias"][5] = 0
    save_file(tensors, repo / "model.safetensors", metadata={"format": "pt"})
    AutoModel.from_pretrained(repo)


def test_a_receipt_that_was_deleted_is_missed(staged, repo, caplog):
    """Config.json names it: the repo loads, and the log says that nothing states its files."""
    AutoModel.from_pretrained(staged)
    assert caplog.text == ""
    (repo / "receipt.json").unlink()
    AutoModel.from_pretrained(repo)
    assert (
        f"{repo}/receipt.json is missing, so nothing states what the files beside it must be" in caplog.text
    )


@pytest.mark.parametrize(
    "drop", [lambda told: told.pop("files") and told, lambda told: told["files"].pop("config.json") and told]
)
@pytest.mark.parametrize("sealed", [True, False])
def test_a_config_that_no_receipt_states_is_said(drop, sealed, repo, caplog):
    """Who dropped the statement may have changed the config: it loads, as with an old receipt, and aloud."""
    retell(repo / "receipt.json", drop)
    if not sealed:
        told = json.loads((repo / "receipt.json").read_text())
        del told["receipt_sha256"]
        (repo / "receipt.json").write_text(json.dumps(told))
    config = json.loads((repo / "config.json").read_text())
    (repo / "config.json").write_text(json.dumps(config))
    for load in (AutoModel.from_pretrained, AutoImageProcessor.from_pretrained):
        caplog.clear()
        load(repo)
        assert f"{repo}/receipt.json states nothing of config.json" in caplog.text


def test_a_receipt_that_is_a_folder_is_an_error(repo):
    """What is there and cannot be read is not missing."""
    (repo / "receipt.json").unlink()
    (repo / "receipt.json").mkdir()
    with pytest.raises(FileProblem, match=r"receipt\.json: cannot be read: Is a directory"):
        AutoModel.from_pretrained(repo)


def test_a_config_that_is_not_the_receipts_is_refused(repo):
    """Model and preprocessing say whose statement it is not, and what one does who meant to change it."""
    config = json.loads((repo / "config.json").read_text())
    (repo / "config.json").write_text(json.dumps(config))
    for load in (AutoModel.from_pretrained, AutoImageProcessor.from_pretrained):
        with pytest.raises(MismatchError, match=r"receipt\.json, files\) states .* removes receipt\.json"):
            load(repo)


def test_what_is_neither_name_nor_folder_nor_repo_is_refused(own_index, tmp_path):
    """A misspelt name gets the nearest one; a folder without a repo says what it lacks."""
    with pytest.raises(UnknownModelError, match="Did you mean 'rexnet_100'"):
        AutoModel.from_pretrained("rexnet_10")
    with pytest.raises(RepoError, match=r"no config\.json"):
        AutoModel.from_pretrained(tmp_path)
    with pytest.raises(UsageError, match="some of the 5 maps"):
        create_model("rexnet_100", features_only=True, out_indices=(9,))


def test_an_unreachable_hub_is_one_line(own_index, monkeypatch):
    """A Hub that does not answer is an error of ours, without a traceback of the client's."""
    import huggingface_hub.constants as constants

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    with pytest.raises(HubError, match=r"org/model could not be fetched") as caught:
        AutoModel.from_pretrained("org/model", local_files_only=True)
    assert "\n" not in str(caught.value)


def test_repos_of_timm_load(tmp_path):
    """A folder as timm 1.0.31 saves it, `model_args` included, loads with equal logits."""
    torch.manual_seed(1)
    theirs = timm.create_model("rexnet_100", num_classes=7).eval()
    timm.models.save_for_hf(theirs, tmp_path, safe_serialization=True)
    assert "model_args" in json.loads((tmp_path / "config.json").read_text())
    ours = AutoModel.from_pretrained(tmp_path)
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(ours(x), theirs(x))


def test_a_moved_repo_still_loads(repo, tmp_path):
    """A repo folder is whole in itself: it loads from wherever it is put."""
    moved = shutil.move(repo, tmp_path / "elsewhere")
    assert AutoModel.from_pretrained(moved).num_classes == 1000
