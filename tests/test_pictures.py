"""A picture gives one batch in whatever form it is: transformers' and torchvision's bits."""

import io
import logging

import numpy as np
import pytest
import torch
from lying_server import serving
from PIL import Image, ImageOps

from rexnet_hub.auto import AutoImageProcessor
from rexnet_hub.errors import FetchError, NotAnImageError, UsageError
from rexnet_hub.imagenet.data.pixels import AS_EVALUATED, AS_SEEN, decode_image


@pytest.fixture
def processor(staged):
    return AutoImageProcessor.from_pretrained(staged)


@pytest.fixture(scope="session")
def theirs(staged):
    """Transformers' own processor of the same repo."""
    from transformers import AutoImageProcessor as TheirProcessor

    return TheirProcessor.from_pretrained(staged)


@pytest.fixture
def noise(fresh_seed):
    """A picture that nobody saw before, of an odd size."""
    numbers = np.random.default_rng(fresh_seed)
    width, height = (int(side) for side in numbers.integers(60, 400, 2))
    return Image.fromarray(numbers.integers(0, 256, (40, 50, 3), dtype=np.uint8)).resize((width, height))


def as_file(image, kind="PNG", **options):
    """Encode a picture."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def turned(orientation):
    """State an EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif}


def test_a_picture_gives_the_same_bits_in_every_form(processor, theirs, noise, tmp_path):
    """PIL, path, bytes, open file, NumPy and torch, channels first or last, bytes or floats: as theirs."""
    expected = theirs(noise, return_tensors="pt")["pixel_values"]
    file, pixels = tmp_path / "noise.png", np.array(noise)
    file.write_bytes(as_file(noise))
    first = np.moveaxis(pixels, -1, 0)
    with file.open("rb") as stream:
        forms = [
            *(noise, file, str(file), file.read_bytes(), bytearray(file.read_bytes()), stream),
            *(
                pixels,
                first,
                pixels[None],
                pixels / 255,
                first.astype("float32") / 255,
                pixels.astype("float32"),
            ),
            *(pixels.astype("int64"), torch.from_numpy(pixels), torch.from_numpy(first)[None]),
            *(torch.from_numpy(first) / 255, torch.from_numpy(first).double() / 255),
        ]
        for form in forms:
            assert torch.equal(processor(form), expected), type(form)
    for form in (pixels, first, pixels / 255, first.astype("float32") / 255, [torch.from_numpy(first)]):
        assert torch.equal(theirs(form, return_tensors="pt")["pixel_values"], expected)


def test_several_pictures_of_any_form_and_size_are_one_batch(processor, noise):
    """A list may mix forms, sizes and channels; an array of one more dimension is several pictures."""
    pixels = np.array(noise)
    grey, clear = noise.convert("L"), noise.convert("RGBA")
    mixed = [
        noise,
        pixels[:50],
        as_file(noise),
        np.array(grey),
        np.array(clear),
        grey,
        torch.from_numpy(pixels),
    ]
    each = torch.cat([processor(one) for one in mixed])
    assert torch.equal(processor(mixed), each)
    assert torch.equal(processor(tuple(mixed)), each)
    assert torch.equal(processor(np.stack([pixels, pixels[::-1]])), processor([pixels, pixels[::-1]]))
    assert torch.equal(processor(np.array(grey)[..., None]), processor(grey))


def test_it_is_called_as_in_transformers(processor, theirs, noise):
    """`images=` and `return_tensors="pt"` give a mapping with `pixel_values`, which `to` moves."""
    ours, expected = (each(images=[noise] * 2, return_tensors="pt") for each in (processor, theirs))
    assert ours.keys() == expected.keys()
    assert torch.equal(ours["pixel_values"], expected["pixel_values"])
    assert ours.pixel_values is dict(**ours)["pixel_values"]
    assert ours.to(torch.float64).pixel_values.dtype == torch.float64
    with pytest.raises(UsageError, match="return_tensors is 'pt' for torch's, or None, not 'np'"):
        processor(noise, return_tensors="np")


def closed(file):
    file.close()
    return file


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (None, "picture 0: NoneType is no picture; it can be a PIL image, a path"),
        ([3], "picture 0: int is no picture"),
        ([], "no picture in an empty list"),
        ({"a": 1}, "picture 0: dict is no picture"),
        (io.StringIO("text"), "picture 0: str is no picture; .* a file opened as binary"),
        (np.zeros((5, 6, 2), np.uint8), "picture 0: 5x6x2 are no pixels; give"),
        (np.zeros((0, 6, 3), np.uint8), "picture 0: 0x6x3 are no pixels"),
        (torch.zeros(7), "picture 0: 7 are no pixels"),
        (torch.tensor(1.0), "picture 0: single numbers are no pixels"),
        (torch.zeros(3, 9, 9, device="meta"), r"of a tensor \(.* on the device meta\) no pixels can be read"),
        (torch.eye(9).to_sparse(), r"picture 0: of a tensor \(torch.sparse_coo.*give a dense one"),
        ("a\0b.png", r"a\\x00b.png: cannot be read: embedded null byte"),
        (closed(io.BytesIO()), "picture 0: cannot be read: I/O operation on closed file"),
        (
            [torch.full((3, 9, 9), -2.0)],
            "floats in 0..1; these are float32 from -2 to -2 .normalised already",
        ),
        (np.full((9, 9, 3), 300), "these are int64 from 300 to 300"),
        (np.full((9, 9), np.nan), "these are float64 from nan to nan"),
        (np.full((9, 9), "x"), "these are <U1"),
    ],
)
def test_what_is_no_picture_is_named(processor, given, problem):
    """A wrong type, shape or range is one line that says which picture, what it is and what it can be."""
    with pytest.raises(UsageError, match=problem):
        processor(given)


def test_a_picture_is_fetched_from_a_public_address_within_a_bound(
    processor, noise, certificate, monkeypatch
):
    """Only https, only where it is allowed, only so many bytes; the secret of an address is not shown."""
    data = as_file(noise)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(data, certificate) as server:
        with pytest.raises(FetchError, match=r"leads to the private address 127\.0\.0\.1"):
            processor(server.url)
        monkeypatch.setenv("REXNET_HUB_ALLOW", "127.0.0.1")
        assert torch.equal(processor([server.url, noise]), processor([noise, noise]))
        with pytest.raises(FetchError, match="only https"):
            processor(server.url.replace("https", "http"))
        monkeypatch.setattr("rexnet_hub.pictures.MAX_FETCHED_BYTES", len(data) - 1)
        with pytest.raises(FetchError, match=f"longer than {len(data) - 1:,} bytes") as caught:
            processor(server.url)
        assert "SECRET" not in str(caught.value)
    with (
        serving(b"words", certificate) as server,
        pytest.raises(NotAnImageError, match="no picture") as refused,
    ):
        processor(server.url)
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_opened_is_turned_as_people_see_it(processor, noise, orientation):
    """As Pillow's `exif_transpose` and transformers' `load_image`; as evaluated, and in timm, it is not."""
    data = as_file(noise, "JPEG", **turned(orientation))
    stored = Image.open(io.BytesIO(data))
    seen = ImageOps.exif_transpose(stored)
    assert torch.equal(processor(data), processor(seen))
    assert torch.equal(processor(data, as_seen=False), processor(stored))
    assert decode_image(data, name="a", reading=AS_SEEN).tobytes() == seen.tobytes()
    assert decode_image(data, name="a").tobytes() == stored.tobytes()


def test_broken_metadata_turns_nothing(processor, noise):
    """A picture whose EXIF cannot be read is taken as it is stored."""
    data = as_file(noise, "JPEG", exif=b"Exif\0\0no tags at all")
    assert torch.equal(processor(data), processor(data, as_seen=False))


def test_sixteen_bit_grey_is_scaled_where_it_is_asked_for(processor, fresh_seed, caplog):
    """By default all above 255 is white, as in timm, and the log says so; scaled it is as of 8 bits."""
    numbers = np.random.default_rng(fresh_seed)
    eight = numbers.integers(0, 256, (90, 80), dtype=np.uint8)
    sixteen = eight.astype(np.uint16) * 257
    data = as_file(Image.fromarray(sixteen))
    white = Image.fromarray(np.minimum(sixteen, 255).astype(np.uint8))
    with caplog.at_level(logging.WARNING):
        assert torch.equal(processor(data), processor(white))
    assert "picture 0: of its 16-bit grey all above 255 is white" in caplog.text
    caplog.clear()
    for form in (data, sixteen, Image.fromarray(sixteen)):
        assert torch.equal(processor(form, scale_grey=True), processor(eight))
    dark = numbers.integers(0, 256, (90, 80), dtype=np.uint16)
    assert torch.equal(processor(dark), processor(dark.astype(np.uint8)))
    assert not caplog.records


def test_a_jpeg_of_a_hundred_million_pixels_is_taken(processor):
    """Halved by its decoder it is what a smaller one is, nearly; as evaluated, and as PNG, it is refused."""
    gradient = Image.linear_gradient("L").resize((12_000, 8_400))
    data = as_file(gradient, "JPEG")
    assert decode_image(data, name="a", reading=AS_SEEN).size == (6000, 4200)
    with pytest.raises(NotAnImageError, match="12000 by 8400 pixels are more than the 89,478,485"):
        decode_image(data, name="a", reading=AS_EVALUATED)
    with pytest.raises(NotAnImageError, match="picture 0: 12000 by 8400"):
        processor(as_file(Image.new("1", gradient.size)))
    assert (processor(data) - processor(gradient.resize((1200, 840)))).abs().max() < 0.05


def test_training_draws_what_torchvision_draws(processor, noise, fresh_seed):
    """From the same random numbers come the bits of RandomResizedCrop and RandomHorizontalFlip."""
    from torchvision import transforms

    spec, cubic = processor.preprocessing, transforms.InterpolationMode.BICUBIC
    crop = transforms.RandomResizedCrop(spec.input_px, interpolation=cubic)
    steps = [crop, transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    expected = transforms.Compose([*steps, transforms.Normalize(spec.mean, spec.std)])
    for image in (noise, noise.resize((900, 40)), noise.resize((40, 900)), noise.resize((1, 1))):
        torch.manual_seed(fresh_seed)
        drawn = torch.stack([expected(image) for _ in range(5)])
        torch.manual_seed(fresh_seed)
        assert torch.equal(processor.train()([image] * 5), drawn)
    assert torch.equal(processor.train().eval()(noise), processor(noise))


def test_a_problem_with_one_of_several_is_named(processor, noise, tmp_path):
    """The file, or the picture's number, is in the message."""
    (tmp_path / "bad.jpg").write_text("words")
    with pytest.raises(NotAnImageError, match=r"bad\.jpg: cannot be decoded"):
        processor([noise, tmp_path / "bad.jpg"])
    with pytest.raises(NotAnImageError, match="picture 1: "):
        processor([noise, Image.new("LA", (3, 3)).convert("La")])
