"""A validation set is read as people have it, and what is wrong with one is said."""

import hashlib
import json
import random
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import drawn
import pytest
import timm
from officials import official_name
from runs import made_up_run

from rexnet_hub.errors import DatasetError, RexnetHubError, UsageError
from rexnet_hub.imagenet.data.classes import Benchmark, read_classes
from rexnet_hub.imagenet.data.dataset import (
    Dataset,
    LabelledImage,
    Sample,
    find_tar_size,
    gather_dataset,
    read_file,
    read_manifest,
    sample_dataset,
)
from rexnet_hub.imagenet.data.layouts import read_dataset
from rexnet_hub.imagenet.data.protocols import PROTOCOLS
from rexnet_hub.imagenet.data.validation import TABLE_FILE, read_table


@pytest.fixture(scope="module")
def images():
    """Draw the first forty pictures."""
    return drawn.draw_set(40)


def stated(images):
    """Write a set's manifest by hand."""
    digest = {name: hashlib.sha256(data).hexdigest() for name, (data, _) in images.items()}
    return "".join(f"{name}\t{digest[name]}\t{label}\n" for name, (_, label) in sorted(images.items()))


def test_the_same_images_have_one_manifest_in_every_layout(tmp_path, images):
    """Folders, a flat folder, a tar, WebDataset and parquet are one set of images; labels need no file."""
    found = [
        read_dataset(path, allow_subset=True)
        for path in (
            drawn.write_folders(tmp_path / "folders", images),
            drawn.write_webdataset(tmp_path / "shards", images),
            drawn.write_parquet(tmp_path / "parquet", images),
            drawn.write_flat(tmp_path / "flat", images),
            drawn.write_tar(tmp_path / "val.tar", images),
        )
    ]
    assert [data.layout for data in found] == ["folders", "webdataset", "parquet", "flat", "tar"]
    sizes = {len((tmp_path / "val.tar").read_bytes())}
    for data in found:
        manifest = read_manifest(data)
        assert manifest.text == stated(images), data.root
        assert manifest.sha256 == hashlib.sha256(stated(images).encode()).hexdigest()
        sizes.add(manifest.tar_bytes)
    assert len(sizes) == 1  # as Python's tarfile writes them, in records of 10,240 bytes


@pytest.mark.parametrize("change", ["byte", "name"])
def test_any_change_of_an_image_changes_the_manifest(tmp_path, images, change):
    """One byte or one name more or less is another data set."""
    name = drawn.val_name(5)
    data, label = images[name]
    changed = dict(images)
    if change == "name":
        changed[official_name(label, 49)] = changed.pop(name)
    else:
        changed[name] = (data + b"\0", label)
    first = read_dataset(drawn.write_folders(tmp_path / "a", images), allow_subset=True)
    second = read_dataset(drawn.write_folders(tmp_path / "b", changed), allow_subset=True)

    assert read_manifest(first).sha256 != read_manifest(second).sha256


def many(counts):
    """List images by class without drawing them."""
    names: dict[int, list[str]] = {label: [] for label in counts}
    for number, (label, _) in enumerate(read_table(), start=1):
        names.get(label, []).append(drawn.val_name(number))
    return [
        LabelledImage(name=name, label=label, read=bytes)
        for label, count in counts.items()
        for name in names[label][:count]
    ]


def test_the_whole_set_is_called_so_and_nothing_else_is(tmp_path):
    """Only 50 of each of the 1000 classes is the validation set; less is called a subset."""
    every = dict.fromkeys(range(1000), 50)
    whole = gather_dataset(tmp_path, "folders", many(every), allow_subset=False)
    part = gather_dataset(tmp_path, "folders", many(every | {7: 49}), allow_subset=True)

    assert whole.is_complete
    assert whole.description == "ImageNet-1k validation, 50,000 images, 50 of each class"
    assert not part.is_complete
    assert part.description == "a subset of ImageNet-1k validation, 49,999 images of 1,000 classes"
    said = (
        "; labels official, images of 25,610,240 bytes in a tar, officially 6,744,924,160; 49,999 images are"
    )
    assert read_manifest(whole).remarks.startswith(said)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({7: 49}, r"n01514668 \(cock\) has 49 of 50 images"),
        ({0: 0, 999: 0}, r"n01440764 \(tench, Tinca tinca\) is missing; n15075141 .* is missing"),
    ],
)
def test_wrong_counts_are_refused_and_named(tmp_path, counts, message):
    """A class with too few or no images is named."""
    with pytest.raises(DatasetError, match=message):
        gather_dataset(tmp_path, "folders", many(dict.fromkeys(range(1000), 50) | counts), allow_subset=False)


#: Published sets of ImageNet's classes: the images of each class, and the words beside a number.
TEN, AMONG = dict.fromkeys(range(1000), 10), "ranked among its 200 of 1,000 classes"
A, R = (PROTOCOLS[f"ImageNet-{letter}"].classes for letter in "AR")
SETS = {
    "ImageNet-V2": (TEN, "10,000 images, 10 of each class"),
    "ImageNet-V2 threshold-0.7": (TEN, "10,000 images, 10 of each class"),
    "ImageNet-V2 top-images": (TEN, "10,000 images, 10 of each class"),
    "ImageNet-Sketch": ({n: 50 + (n > 110) for n in range(1000)}, "50,889 images, of 1,000 classes"),
    "ImageNet-A": (dict.fromkeys(A, 37) | {A[0]: 137}, f"7,500 images, {AMONG}"),
    "ImageNet-R": (dict.fromkeys(R, 150), f"30,000 images, {AMONG}"),
}


@pytest.mark.parametrize("name", SETS)
def test_a_published_set_is_whole_by_its_counts(name, tmp_path):
    """As many images as were published, of its classes, are the whole set; one less is not."""
    counts, words = SETS[name]
    images = [
        LabelledImage(name=f"{label}/{n}.jpg", label=label, read=bytes)
        for label, count in counts.items()
        for n in range(count)
    ]
    benchmark = Benchmark(dataset=name.lower().replace(" ", "-"), split=None)
    data = gather_dataset(tmp_path, "folders", images, allow_subset=False, benchmark=benchmark)
    assert data.is_complete
    assert data.description == f"{benchmark.dataset}, {words}"
    with pytest.raises(DatasetError):
        gather_dataset(tmp_path, "folders", images[1:], allow_subset=False, benchmark=benchmark)
    part = gather_dataset(tmp_path, "folders", images[1:], allow_subset=True, benchmark=benchmark)
    assert not part.is_complete
    more = [*images, replace(images[0], name="more.jpg")]
    with pytest.raises(DatasetError):
        gather_dataset(tmp_path, "folders", more, allow_subset=True, benchmark=benchmark)


def test_the_table_is_its_sources():
    """The classes have the digest of tensorflow-datasets' file, ReaL labels are timm's, and the two agree."""
    table = read_table()
    text = "".join(f"{read_classes()[own].synset}\n" for own, _ in table)
    assert hashlib.sha256(text.encode()).hexdigest() in TABLE_FILE.read_bytes().decode("latin-1")
    theirs = Path(timm.__file__).with_name("data") / "_info" / "imagenet_real_labels.json"
    assert [sorted(labels) for labels in json.loads(theirs.read_text())] == [[*real] for _, real in table]
    own, real = [row[0] for row in table], [row[1] for row in table]
    agreeing = [sum(a in b for a, b in zip(own[shift:], real, strict=False) if b) for shift in (0, 1)]
    assert (agreeing[0], sum(map(bool, real))) == (42_164, 46_837)
    assert agreeing[1] < 0.0014 * 46_837
    for letter in "ar":
        indices = theirs.with_name(f"imagenet_{letter}_indices.txt").read_text().split()
        assert [*map(str, PROTOCOLS[f"ImageNet-{letter.upper()}"].classes)] == indices


@pytest.mark.parametrize("cut", [1, 700, 5000])
def test_a_cut_archive_is_refused(tmp_path, images, cut):
    """A tar that was not copied whole is refused before anything is counted."""
    file = drawn.write_tar(tmp_path / "val.tar", images)
    size_bytes = sum(1024 + len(data) // 512 * 512 for data, _ in images.values())
    with file.open("r+b") as stream:
        stream.truncate(size_bytes // 2 + cut)

    with pytest.raises(DatasetError, match=r"val\.tar"):
        read_dataset(file, allow_subset=True)


def test_a_cut_parquet_file_is_refused(tmp_path, images):
    """A parquet file that was not copied whole is refused."""
    root = drawn.write_parquet(tmp_path / "hf", images)
    file = next(root.rglob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-40])

    with pytest.raises(DatasetError, match="is not a parquet file of images and labels"):
        read_dataset(root, allow_subset=True)


def test_a_parquet_row_without_an_image_is_named(tmp_path, images):
    """A row whose image is not in the file is refused by its place."""
    name = next(iter(images))
    root = drawn.write_parquet(tmp_path / "hf", images | {name: (None, images[name][1])})

    with pytest.raises(DatasetError, match="row 0 of group 0 holds no image"):
        read_manifest(read_dataset(root, allow_subset=True))


def test_a_sample_has_its_share_of_each_class(fresh_seed):
    """However a sample is sized, one share holds for all classes, to an image."""
    random_ = random.Random(fresh_seed)
    counts = {label: random_.randint(1, 50) for label in random_.sample(range(1000), 40)}
    whole = Dataset(root=None, layout="folders", images=tuple(sorted(many(counts), key=lambda i: i.name)))
    for size in random_.sample(range(1, len(whole.images) + 1), 20):
        drawn_ = sample_dataset(whole, size, seed=fresh_seed)
        got = Counter(image.label for image in drawn_.images)

        assert len({image.name for image in drawn_.images}) == size
        assert set(drawn_.images) <= set(whole.images)
        least = max((got[label] - 1) / count for label, count in counts.items())
        assert least <= min((got[label] + 1) / count for label, count in counts.items())
        assert drawn_.description.startswith("a sample of a subset of ImageNet-1k validation")


def test_a_sample_is_seeded_and_grows():
    """The same seed draws the same, another draws others, and a larger sample contains the smaller."""
    whole = Dataset(root=None, layout="folders", images=tuple(many(dict.fromkeys(range(1000), 50))))
    small, large = (set(sample_dataset(whole, size, seed=5).images) for size in (700, 2500))

    assert small < large
    assert small == set(sample_dataset(whole, 700, seed=5).images)
    assert small != set(sample_dataset(whole, 700, seed=6).images)
    described = sample_dataset(whole, 700, seed=5).description
    assert described == "a sample of ImageNet-1k validation, 700 of 50,000 images, seed 5"


def test_a_sample_is_of_the_official_images_or_not(tmp_path):
    """The size of all that a sample is of is known from the files; one of other images decides nothing."""
    (tmp_path / "one").write_bytes(b"x" * 600)
    read = partial(read_file, tmp_path / "one")
    images = [replace(image, read=read) for image in many(dict.fromkeys(range(1000), 50))]
    whole = gather_dataset(tmp_path, "folders", images, allow_subset=False)
    manifest, size_bytes = read_manifest(sample_dataset(whole, 2)), find_tar_size([600] * 50_000)
    assert manifest.tar_bytes == size_bytes
    assert f"images of {size_bytes:,} bytes in a tar, officially 6,744,924,160" in manifest.remarks
    drawn_ = Sample(size=2, seed=0, drawn_from=50_000, of_whole=True)
    run = made_up_run(drawn.SPEC, sample=drawn_, top1_count=1, top5_count=1)
    assert run.is_fair_sample
    assert not replace(run, tar_bytes=size_bytes).is_fair_sample
    unread = gather_dataset(tmp_path, "folders", many(dict.fromkeys(range(1000), 50)), allow_subset=False)
    assert "images not compared" in read_manifest(sample_dataset(unread, 2)).remarks


@pytest.mark.parametrize("size", [0, -1, 101])
def test_a_sample_that_cannot_be_drawn_is_refused(size):
    """A sample of nothing, or of more than there is, is refused."""
    whole = Dataset(root=None, layout="folders", images=tuple(many(dict.fromkeys(range(100), 1))))
    with pytest.raises(UsageError, match="cannot be drawn from 100"):
        sample_dataset(whole, size)


def test_noise_in_an_archive_is_refused_or_read_never_a_crash(tmp_path, images, fresh_seed):
    """Whatever bytes are flipped, the answer is a data set or an error of ours."""
    random_ = random.Random(fresh_seed)
    tar, parquet = drawn.write_tar(tmp_path / "val.tar", images), drawn.write_parquet(tmp_path / "hf", images)
    for file, root in ((tar, tar), (next(parquet.rglob("*.parquet")), parquet)):
        whole = file.read_bytes()
        for _ in range(15):
            noisy = bytearray(whole)
            for _ in range(random_.randint(1, 20)):
                noisy[random_.randrange(len(noisy))] = random_.getrandbits(8)
            file.write_bytes(bytes(noisy))
            try:
                read_manifest(read_dataset(root, allow_subset=True))
            except RexnetHubError as error:
                assert str(error)  # noqa: PT017 - either will do
