"""Pixels are timm's, bit for bit, and a file that is no picture is named."""

import contextlib
import io
import random
import struct
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

from rexnet_hub.errors import FileProblem, NotAnImageError, UsageError
from rexnet_hub.imagenet.data.dataset import read_file
from rexnet_hub.imagenet.data.pixels import (
    FILTERS,
    decode_image,
    normalise,
    pixels_uint8,
    resize_px,
)
from rexnet_hub.imagenet.run.runner import geometry
from rexnet_hub.index import Preprocessing
from rexnet_hub.index.entry import CROP_MODES
from rexnet_hub.pictures import ImageProcessor

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MODES = (
    "1",
    "L",
    "LA",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "RGBa",
    "RGBX",
    "CMYK",
    "YCbCr",
    "LAB",
    "HSV",
    "I",
    "I;16",
    "F",
)
ODD_SIZES = ((1, 1), (1, 90), (70, 1), (2, 255), (257, 256), (256, 256), (224, 224), (255, 383))


def settings(**changes):
    """State a ReXNet's settings, but for the changes."""
    defaults: dict[str, Any] = {
        "input_px": 224,
        "crop_fraction": 0.875,
        "interpolation": "bicubic",
        "mean": MEAN,
        "std": STD,
    }
    return Preprocessing(**(defaults | changes))


def preprocess(image, spec):
    """Make a batch of one."""
    return ImageProcessor(spec)(image)


def open_image(file):
    """Open a file as evaluations do."""
    return decode_image(read_file(file), name=str(file))


def timm_transform(spec):
    """Build the oracle: timm's own evaluation transform for the same settings."""
    args = {
        "input_size": (3, spec.input_px, spec.input_px),
        "crop_pct": spec.crop_fraction,
        "crop_mode": spec.crop_mode,
        "interpolation": spec.interpolation,
        "mean": spec.mean,
        "std": spec.std,
    }
    return create_transform(**resolve_data_config(args), is_training=False)


def draw(random_, mode, size):
    """Draw noise in any mode, with values over the mode's whole range."""
    noise = np.random.default_rng(random_.getrandbits(32))
    width, height = size
    if mode == "I;16":
        return Image.fromarray(noise.integers(0, 2**16, (height, width), dtype=np.uint16))
    if mode == "I":
        return Image.fromarray(noise.integers(-1000, 70000, (height, width), dtype=np.int32))
    if mode == "F":
        return Image.fromarray(noise.uniform(-50, 300, (height, width)).astype(np.float32))
    image = Image.new(mode, size)
    image.frombytes(noise.bytes(len(image.tobytes())))
    if mode in ("P", "PA"):
        image.putpalette(noise.bytes(768))
    return image


def any_settings(random_):
    """Choose settings at random."""
    return settings(
        input_px=random_.choice((224, 192, 31, 64)),
        crop_fraction=random_.choice((0.875, 0.95, 1.0, 0.9, 0.5, random_.uniform(0.3, 1))),
        interpolation=random_.choice(tuple(FILTERS)),
        crop_mode=random_.choice(CROP_MODES),
        mean=tuple(random_.random() for _ in range(3)),
        std=tuple(random_.uniform(0.1, 1) for _ in range(3)),
    )


def assert_same(image, spec):
    """Hold both ways to a batch against timm's."""
    if spec.crop_mode == "border" and round(min(image.size) * resize_px(spec) / max(image.size)) == 0:
        for make in (lambda: timm_transform(spec)(image.convert("RGB")), lambda: preprocess(image, spec)):
            with pytest.raises((ValueError, NotAnImageError)):
                make()
        return
    expected = timm_transform(spec)(image.convert("RGB"))[None]
    got = preprocess(image, spec)
    cached = normalise(torch.from_numpy(pixels_uint8(image, spec))[None], spec)

    assert got.dtype == torch.float32
    assert got.is_contiguous()
    assert torch.equal(got, expected), (image, spec)
    assert torch.equal(cached, expected), (image, spec)


def test_random_pictures_give_timms_bits(fresh_seed):
    """Pictures of any mode, odd size and settings become what timm's transform makes of them."""
    random_ = random.Random(fresh_seed)
    for _ in range(50):
        size = random_.choice((*ODD_SIZES, *[(random_.randint(1, 600), random_.randint(1, 600))] * 8))
        assert_same(draw(random_, random_.choice(MODES), size), any_settings(random_))


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_gives_timms_bits(mode, fresh_seed):
    """No mode of Pillow's is left to chance."""
    assert_same(draw(random.Random(fresh_seed), mode, (301, 222)), settings())


@pytest.mark.parametrize("size", [(1, 500), (500, 1)])
def test_a_needle_gives_timms_bits(size, fresh_seed):
    """A picture of one by 500 pixels is resized and cropped as timm does it."""
    assert_same(draw(random.Random(fresh_seed), "RGB", size), settings(input_px=64))


def test_every_side_near_the_target_gives_timms_bits():
    """Rounding holds for every side from 200 to 300 against its neighbours."""
    random_ = random.Random(0)
    for side in range(200, 300):
        assert_same(
            draw(random_, "L", (side, side + random_.randint(0, 9))),
            settings(input_px=56, crop_fraction=0.889),
        )


def timm_opens(data):
    """Open as timm 1.0.31 `ImageDataset.__getitem__` does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Image.open(io.BytesIO(data)).convert("RGB")


def save(image, **options):
    """Encode a picture."""
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def files(random_):
    """Write one picture in every way that data sets and people do."""
    rgb = draw(random_, "RGB", (90, 61)).resize((180, 121))
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = rgb.convert("P", palette=Image.Palette.ADAPTIVE)
    yield "jpeg.jpg", save(rgb, format="JPEG")
    yield "rotated.jpg", save(rgb, format="JPEG", exif=exif)
    yield "cmyk.jpg", save(rgb.convert("CMYK"), format="JPEG")
    yield "grey.jpg", save(rgb.convert("L"), format="JPEG")
    yield "progressive.jpg", save(rgb, format="JPEG", progressive=True)
    yield "is_a_png.jpg", save(rgb, format="PNG")
    yield "alpha.png", save(rgb.convert("RGBA"), format="PNG")
    yield "grey_alpha.png", save(rgb.convert("LA"), format="PNG")
    yield "one_bit.png", save(rgb.convert("1"), format="PNG")
    yield "sixteen_bit.png", save(draw(random_, "I;16", (40, 30)), format="PNG")
    yield "clear_colours.png", save(palette, format="PNG", transparency=bytes(range(256)))
    yield "animated.gif", save(palette, format="GIF", save_all=True, append_images=[palette.rotate(90)])
    yield "float.tiff", save(draw(random_, "F", (40, 30)), format="TIFF")
    yield "cmyk.tiff", save(rgb.convert("CMYK"), format="TIFF")
    yield "bitmap.bmp", save(rgb, format="BMP")
    yield "lossless.webp", save(rgb, format="WEBP", lossless=True)


def test_files_are_opened_as_timm_opens_them(tmp_path, fresh_seed):
    """Every kind of file decodes to timm's pixels; an EXIF orientation is left alone."""
    for name, data in files(random.Random(fresh_seed)):
        (tmp_path / name).write_bytes(data)
        image, expected = open_image(tmp_path / name), timm_opens(data)

        assert image.mode == "RGB"
        assert (image.size, image.tobytes()) == (expected.size, expected.tobytes()), name
        assert_same(image, settings())


def test_a_cut_or_foreign_file_is_named(tmp_path, fresh_seed):
    """A file that does not decode whole is refused with its name, wherever it was cut."""
    random_ = random.Random(fresh_seed)
    for name, data in files(random_):
        if name.endswith((".gif", ".webp", ".jpg")):  # their decoders notice an end that is missing
            for cut in (0, 1, random_.randint(2, 40), len(data) // 2):
                (tmp_path / name).write_bytes(data[:cut])
                with pytest.raises(NotAnImageError, match=name):
                    open_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a picture")
    with pytest.raises(NotAnImageError, match=r"notes\.txt: .*no picture format"):
        open_image(tmp_path / "notes.txt")


def test_noise_in_a_file_is_refused_or_decoded_never_a_crash(fresh_seed):
    """Whatever bytes are flipped, the answer is a picture or NotAnImageError."""
    random_ = random.Random(fresh_seed)
    for name, data in files(random_):
        for _ in range(8):
            noisy = bytearray(data)
            for _ in range(random_.randint(1, 30)):
                noisy[random_.randrange(len(noisy))] = random_.getrandbits(8)
            with contextlib.suppress(NotAnImageError):
                assert decode_image(bytes(noisy), name=name).mode == "RGB"


def test_a_decompression_bomb_is_refused():
    """A small file that claims a huge picture is refused before it is decoded."""
    for side in (12_000, 60_000):  # Pillow warns of the first and refuses the second itself
        bomb = b"BM" + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
        with pytest.raises(NotAnImageError, match=r"^bomb\.bmp: "):
            decode_image(bomb, name="bomb.bmp")


def test_a_needle_is_refused_before_it_fills_the_memory():
    """A picture one pixel wide and very long is refused, not resized."""
    with pytest.raises(NotAnImageError, match="1 by 60000 pixels is too narrow"):
        preprocess(Image.new("RGB", (1, 60_000)), settings())


def test_a_mode_without_rgb_is_refused():
    """A picture that Pillow cannot turn into RGB is an error of ours, whatever Pillow says of it."""
    with pytest.raises(NotAnImageError):
        preprocess(Image.new("LA", (3, 3)).convert("La"), settings())


def test_a_missing_file_is_named(tmp_path):
    """A path that leads nowhere is a FileProblem that names it."""
    with pytest.raises(FileProblem, match=r"gone\.jpg: cannot be read: No such file"):
        open_image(tmp_path / "gone.jpg")


@pytest.mark.parametrize("crop", [0, -1, 1.01, float("nan")])
def test_a_crop_outside_its_range_is_refused(crop):
    """A crop fraction that is no part of a picture is refused."""
    with pytest.raises(UsageError, match="crop fraction"):
        resize_px(settings(crop_fraction=crop))


def test_an_unknown_interpolation_is_refused():
    """An interpolation that is not ours is refused, and ours are listed."""
    with pytest.raises(UsageError, match="'cubic' is no interpolation; there are: nearest, bilinear"):
        preprocess(Image.new("RGB", (3, 3)), settings(interpolation="cubic"))
    with pytest.raises(UsageError, match="'round' is no crop mode; there are: center, squash, border"):
        preprocess(Image.new("RGB", (3, 3)), settings(crop_mode="round"))


@pytest.mark.parametrize("crop_mode", CROP_MODES)
@pytest.mark.parametrize("crop_fraction", [0.5, 0.9, 1.0])
def test_every_crop_mode_gives_timms_bits(crop_mode, crop_fraction, fresh_seed):
    """Wide, tall and square pictures, larger and smaller than the target, are made square as timm does."""
    random_ = random.Random(fresh_seed)
    spec = settings(crop_mode=crop_mode, crop_fraction=crop_fraction, input_px=63, mean=(0.1, 0.5, 0.9))
    for size in ((63, 63), (200, 90), (91, 200), (20, 31), (301, 10), (64, 63), (62, 640)):
        assert_same(draw(random_, "RGB", size), spec)


def test_networks_of_one_geometry_share_their_pixels_unless_they_fill_with_their_mean():
    """Mean and std are no part of a geometry, but for the mean that a border has."""
    other = {"mean": (0.5, 0.5, 0.5), "std": (0.1, 0.1, 0.1)}
    assert geometry(settings()) == geometry(settings(**other))
    assert geometry(settings(crop_mode="border")) != geometry(settings(crop_mode="border", **other))
    assert geometry(settings(crop_mode="squash")) != geometry(settings())
