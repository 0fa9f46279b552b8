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

from rexnet_hub.errors import NotAnImageError, UsageError
from rexnet_hub.imagenet.data.dataset import Dataset, LabelledImage
from rexnet_hub.imagenet.data.pixels import decode_image, normalise
from rexnet_hub.imagenet.evidence.explain import Picture, explain_accuracy, list_changes
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
        pixels = np.ascontiguousarray(change.pixels(open_picture(data), spec))
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


@pytest.mark.parametrize("fault", [name for name in CHANGES if name != "as stated"])
def test_a_planted_fault_is_found(fault, pictures):
    """Where the published number was measured with a fault, the change of that name explains it."""
    model = torn_model()
    labels = answers(model, pictures, CHANGES[fault])

    found = explain_accuracy(model, as_data(pictures, labels), 100.0)

    assert found.trials[0].top1_count < len(labels)
    assert found.best is not None, str(found)
    assert (found.best.change, found.best.top1_count) == (fault, len(labels)), str(found)
    assert str(found).endswith(f"explained by: {fault}")


def test_squashing_is_timms(pictures):
    """The squashed square is that of timm's own crop mode."""
    settings = {**timm_loop.timm_settings(drawn.SPEC), "crop_mode": "squash"}
    transform = create_transform(**settings, is_training=False)
    for data in pictures[:20]:
        picture = open_picture(data)
        change = CHANGES["squash instead of crop"]
        spec = dataclasses.replace(drawn.SPEC, **change.settings)
        pixels = torch.from_numpy(change.pixels(picture, spec))[None]
        assert torch.equal(normalise(pixels, drawn.SPEC)[0], transform(picture.image))


def test_resizing_without_antialias_is_torchvisions(pictures):
    """Without antialias the pixels are those of torchvision's resize of a tensor."""
    for data in pictures[:20]:
        picture = open_picture(data)
        tensor = torch.from_numpy(np.array(picture.image)).permute(2, 0, 1)
        resized = functional.resize(tensor, [36], functional.InterpolationMode.BICUBIC, antialias=False)
        expected = functional.center_crop(resized, [32, 32]).permute(1, 2, 0).numpy()
        assert (CHANGES["resize without antialias"].pixels(picture, drawn.SPEC) == expected).all()


def test_a_number_that_the_settings_give_needs_no_change(pictures):
    """Where the stated settings give the number, nothing is blamed."""
    model = torn_model()
    labels = answers(model, pictures, CHANGES["as stated"])

    found = explain_accuracy(model, as_data(pictures, labels), 100.0)

    assert (found.best, found.trials[0].top1_percent) == (None, 100.0)
    assert "nothing to explain" in str(found)


def test_a_number_that_nothing_gives_stays_unexplained(pictures):
    """Where no change gives the number, none is blamed."""
    model = torn_model()
    labels = answers(model, pictures, CHANGES["as stated"])

    found = explain_accuracy(model, as_data(pictures, [(label + 1) % 1000 for label in labels]), 77.86)

    assert found.best is None
    assert "not explained by any of these" in str(found)


def test_changes_that_too_few_images_cannot_tell_apart_are_all_named(pictures):
    """Where two changes give the number alike, neither is blamed alone."""
    model, faults = torn_model(), ("channels in BGR order", "no mean and std")
    stated, first, second = (answers(model, pictures, CHANGES[name]) for name in ("as stated", *faults))
    odd = [n for n in range(len(pictures)) if stated[n] not in (first[n], second[n])][:6]
    labels = [(first if place % 2 else second)[n] for place, n in enumerate(odd)]

    found = explain_accuracy(model, as_data([pictures[n] for n in odd], labels), 70.0)

    assert found.best is not None
    assert set(faults) <= {found.best.change, *found.also}
    assert "; on so few images also by: " in str(found)


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
