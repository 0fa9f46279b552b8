"""A planted fault is found among the changes, and no fault where there is none."""

import dataclasses
from functools import partial

import drawn
import numpy as np
import pytest
import timm_loop
import torch
from PIL import Image
from timm.data import create_transform
from torchvision.transforms import functional

from rexnet_hub.errors import NotAnImageError, RecordError, UsageError
from rexnet_hub.imagenet.data.dataset import Dataset, LabelledImage
from rexnet_hub.imagenet.data.pixels import decode_image, normalise, pixels_uint8
from rexnet_hub.imagenet.evidence.explain import (
    Deviation,
    Picture,
    _combine,
    explain_accuracy,
    list_changes,
)
from rexnet_hub.imagenet.evidence.predictions import Predictions, PredictionsHead
from rexnet_hub.imagenet.evidence.verdict import exact_interval

CHANGES = {change.name: change for change in list_changes(drawn.SPEC)}


@pytest.fixture(scope="module")
def pictures():
    """Draw pictures large enough for a decoder to scale, some of them turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    options = [{"exif": exif} if n % 6 == 0 else {} for n in range(80)]
    return [drawn.draw_jpeg(n, sides=(70, 170), grain=120, **options[n]) for n in range(80)]


def torn_model():
    """Give a network whose classes come in pairs that are nearly the same, so that any fault shows."""
    model = drawn.small_model()
    weight = model.network.head.weight
    with torch.no_grad():
        weight[1::2] = weight[::2] + 0.02 * weight[1::2]
        model.network.head.bias[1::2] = model.network.head.bias[::2]
    return model


def open_picture(data):
    """Give a picture as it is stored and decoded."""
    return Picture(data, decode_image(data, name="image"))


def answers(model, pictures, change):
    """Evaluate plainly, under one change: the oracle that plants the fault."""
    network = model.network.eval()
    labels, spec = [], dataclasses.replace(model.preprocessing, **change.settings)
    for data in pictures:
        pixels = np.ascontiguousarray(change.make(open_picture(data), spec))
        batch = normalise(torch.from_numpy(pixels)[None], spec)
        batch = batch.flip(1) if change.bgr else batch
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=change.dtype == "bf16"):
            labels.append(int(network(batch).argmax()))
    return labels


def as_data(pictures, labels):
    """Label pictures."""
    images = tuple(
        LabelledImage(name=drawn.val_name(n), label=label, read=partial(bytes, data))
        for n, (data, label) in enumerate(zip(pictures, labels, strict=True))
    )
    return Dataset(root=None, layout="memory", images=images)


def as_predictions(labels, found):
    """Give what another side answered."""
    top5 = np.array(
        [[label, *[each for each in range(6) if each != label][:4]] for label in found], np.uint16
    )
    head = PredictionsHead(
        model="theirs", tensors_sha256=64 * "0", manifest_sha256=64 * "1", images=len(labels)
    )
    return Predictions(head=head, labels=np.array(labels, np.uint16), top5=top5)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [name for name in CHANGES if name != "as stated"])
def test_a_planted_fault_is_found(fault, pictures):
    """Where another side answered with a fault, the change of that name gives its answers, image by image."""
    model = torn_model()
    labels = answers(model, pictures, CHANGES["as stated"])
    theirs = answers(model, pictures, CHANGES[fault])
    assert theirs != labels

    found = explain_accuracy(model, as_data(pictures, labels), as_predictions(labels, theirs))

    assert found.cause == fault, str(found)
    assert str(found).endswith(f"explained by: {fault}")


PAIRS = [("channels in BGR order", "crop fraction 0.95"), ("interpolation bilinear", "no mean and std")]


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_a_pair_of_faults_is_found(pair, pictures):
    """Two faults at once are two, and not the one whose accuracy happens to be near."""
    model = torn_model()
    labels = answers(model, pictures, CHANGES["as stated"])
    theirs = answers(model, pictures, _combine(*(CHANGES[name] for name in pair)))

    found = explain_accuracy(model, as_data(pictures, labels), as_predictions(labels, theirs))

    assert found.cause is not None, str(found)
    assert set(found.cause.split(", ")) == set(pair)


def half_size_chroma(picture, spec):
    """Store a picture's colours at half the size, which no change of ours does."""
    luma, *chroma = picture.image.convert("YCbCr").split()
    small = [each.resize((each.width // 2, each.height // 2)).resize(each.size) for each in chroma]
    return pixels_uint8(Image.merge("YCbCr", (luma, *small)).convert("RGB"), spec)


@pytest.mark.slow
def test_what_none_of_the_changes_does_is_none_of_these(pictures):
    """A fault that is not among them is not called by the name of the nearest."""
    model = torn_model()
    labels = answers(model, pictures, CHANGES["as stated"])
    theirs = answers(model, pictures, Deviation("half-size chroma", half_size_chroma))
    assert theirs != labels

    found = explain_accuracy(model, as_data(pictures, labels), as_predictions(labels, theirs))

    assert found.cause is None, str(found)
    assert "none of these: no change gives 99% of the other side's answers" in str(found)


def test_answers_to_other_images_are_refused(pictures):
    """Another number of images, or other classes, is said."""
    model = torn_model()
    for labels in ([0, 1], [0, 2, 1]):
        theirs = as_predictions(labels, labels)
        with pytest.raises(
            RecordError, match=f"are of {len(labels)} other images than these 3, or in another"
        ):
            explain_accuracy(model, as_data(pictures[:3], [0, 1, 2]), theirs)


def test_squashing_is_timms(pictures):
    """The squashed square is that of timm's own crop mode."""
    settings = {**timm_loop.timm_settings(drawn.SPEC), "crop_mode": "squash"}
    transform = create_transform(**settings, is_training=False)
    for data in pictures[:20]:
        picture = open_picture(data)
        change = CHANGES["squash instead of crop"]
        spec = dataclasses.replace(drawn.SPEC, **change.settings)
        pixels = torch.from_numpy(change.make(picture, spec))[None]
        assert torch.equal(normalise(pixels, drawn.SPEC)[0], transform(picture.image))


def test_resizing_without_antialias_is_torchvisions(pictures):
    """Without antialias the pixels are those of torchvision's resize of a tensor."""
    for data in pictures[:20]:
        picture = open_picture(data)
        tensor = torch.from_numpy(np.array(picture.image)).permute(2, 0, 1)
        resized = functional.resize(tensor, [36], functional.InterpolationMode.BICUBIC, antialias=False)
        expected = functional.center_crop(resized, [32, 32]).permute(1, 2, 0).numpy()
        assert (CHANGES["resize without antialias"].make(picture, drawn.SPEC) == expected).all()


def test_a_number_that_the_settings_give_needs_no_change(pictures):
    """Where the stated settings give the number, or the answers, nothing is blamed."""
    model = torn_model()
    labels = answers(model, pictures, CHANGES["as stated"])
    data = as_data(pictures, labels)

    found = explain_accuracy(model, data, 100.0)
    assert (found.cause, found.possible, found.trials[0].top1_percent) == (None, (), 100.0)
    assert "nothing to explain" in str(found)
    assert "nothing to explain" in str(explain_accuracy(model, data, as_predictions(labels, labels)))


def test_a_number_alone_names_what_would_give_it_and_blames_nothing(pictures):
    """Each change whose interval holds it is named, and what would tell them apart."""
    model = torn_model()
    labels = answers(model, pictures, CHANGES["channels in BGR order"])

    found = explain_accuracy(model, as_data(pictures, labels), 100.0)

    assert found.cause is None
    assert found.possible[0] == "channels in BGR order"
    assert "other side's predictions tell" in str(found)


@pytest.mark.slow
def test_a_number_that_nothing_gives_stays_unexplained(pictures):
    """Where no change gives the number, none is named."""
    model = torn_model()
    labels = answers(model, pictures, CHANGES["as stated"])

    found = explain_accuracy(model, as_data(pictures, [(label + 1) % 1000 for label in labels]), 77.86)

    assert (found.cause, found.possible) == (None, ())
    assert str(found).endswith("none of these")


@pytest.mark.slow
def test_every_trial_counts_all_images(pictures):
    """The counts, shares and intervals of a trial are those of its images."""
    model = torn_model()
    labels = answers(model, pictures, CHANGES["channels in BGR order"])

    found = explain_accuracy(model, as_data(pictures, labels), 50.0)

    assert [trial.change for trial in found.trials] == list(CHANGES)
    for trial in found.trials:
        assert trial.top1_percent == 100 * trial.top1_count / len(labels)
        assert trial.interval == exact_interval(trial.top1_count, len(labels), of=1 << 30)


def test_an_image_that_cannot_be_decoded_is_named(pictures):
    """A broken image stops the search by its name."""
    data = as_data([*pictures[:20], b"\xff\xd8 broken"], [0] * 21)

    with pytest.raises(NotAnImageError, match=drawn.val_name(20)):
        explain_accuracy(torn_model(), data, 50.0)


def test_an_expectation_that_is_no_percentage_is_refused(pictures):
    """A share instead of a percentage above 100 is refused."""
    with pytest.raises(UsageError, match="7786 is no percentage"):
        explain_accuracy(torn_model(), as_data(pictures[:1], [0]), 7786)
