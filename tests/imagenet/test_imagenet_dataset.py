"""A validation set is read as people have it, and what is wrong with one is said."""

import hashlib
import random
import shutil
import tarfile
from collections import Counter

import drawn
import pytest

from rexnet_hub.errors import DatasetError, FileProblem, RexnetHubError, UsageError
from rexnet_hub.imagenet.data.classes import read_classes
from rexnet_hub.imagenet.data.dataset import (
    Dataset,
    LabelledImage,
    gather_dataset,
    read_manifest,
    sample_dataset,
)
from rexnet_hub.imagenet.data.layouts import read_dataset

SYNSETS = [class_.synset for class_ in read_classes()]


@pytest.fixture(scope="module")
def images():
    """Draw forty pictures of thirty classes."""
    return drawn.draw_set(40, classes=30)


def label_lines(images):
    """Label files in three forms."""
    yield (
        "LOC_val_solution.csv",
        "ImageId,PredictionString\n"
        + "".join(
            f"{name.removesuffix('.JPEG')},{drawn.synset(label)} 1 2 30 40 {drawn.synset(label)} 5 6 7 8 \n"
            for name, (_, label) in images.items()
        ),
    )
    yield "map.txt", "".join(f"{name} {drawn.synset(label)}\n" for name, (_, label) in images.items())
    yield (
        "imagenet_2012_validation_synset_labels.txt",
        "".join(f"{drawn.synset(label)}\n" for _, label in images.values()),
    )


def class_ids(random_):
    """Write a made-up order of ILSVRC ids, as map_clsloc.txt has one."""
    order = random_.sample(range(1000), 1000)
    return order, "".join(f"{SYNSETS[label]} {id_} some_words\n" for id_, label in enumerate(order, start=1))


def stated(images):
    """Write a set's manifest by hand."""
    digest = {name: hashlib.sha256(data).hexdigest() for name, (data, _) in images.items()}
    return "".join(f"{name}\t{digest[name]}\t{label}\n" for name, (_, label) in sorted(images.items()))


def test_the_same_images_have_one_manifest_in_every_layout(tmp_path, images, fresh_seed):
    """Folders, a flat folder, a tar, WebDataset and parquet are read alike, with each form of labels."""
    sets = [
        drawn.write_folders(tmp_path / "folders", images),
        drawn.write_webdataset(tmp_path / "shards", images),
        drawn.write_parquet(tmp_path / "parquet", images),
        drawn.write_folders(tmp_path / "imagenet" / "val", images).parent,
    ]
    found = [read_dataset(path, allow_subset=True) for path in sets]
    for name, text in label_lines(images):
        (tmp_path / name).write_text(text)
        for path in (
            drawn.write_flat(tmp_path / "flat", images),
            drawn.write_tar(tmp_path / "val.tar", images),
        ):
            found.append(read_dataset(path, labels=tmp_path / name, allow_subset=True))
    order, ids = class_ids(random.Random(fresh_seed))
    (tmp_path / "map_clsloc.txt").write_text(ids)
    (tmp_path / "truth.txt").write_text(
        "".join(f"{order.index(label) + 1}\n" for _, label in images.values())
    )
    found.append(
        read_dataset(
            tmp_path / "flat",
            labels=tmp_path / "truth.txt",
            class_ids=tmp_path / "map_clsloc.txt",
            allow_subset=True,
        )
    )

    assert {data.layout for data in found} == {"folders", "flat", "tar", "webdataset", "parquet"}
    for data in found:
        manifest = read_manifest(data)
        assert manifest.text == stated(images), data.root
        assert manifest.sha256 == hashlib.sha256(stated(images).encode()).hexdigest()


def test_a_known_label_file_beside_the_images_is_found(tmp_path, images):
    """A flat folder needs no option when a label file of a known name lies in it or beside it."""
    drawn.write_flat(tmp_path / "val", images)
    (tmp_path / "LOC_val_solution.csv").write_text(dict(label_lines(images))["LOC_val_solution.csv"])

    assert len(read_dataset(tmp_path / "val", allow_subset=True).images) == 40


@pytest.mark.parametrize("change", ["byte", "label", "name"])
def test_any_change_of_an_image_changes_the_manifest(tmp_path, images, change):
    """One byte, one label or one name more or less is another data set."""
    name = drawn.val_name(5)
    data, label = images[name]
    changed = dict(images)
    if change == "name":
        changed[drawn.val_name(49)] = changed.pop(name)
    else:
        changed[name] = (data + b"\0", label) if change == "byte" else (data, (label + 1) % 1000)
    first = read_dataset(drawn.write_folders(tmp_path / "a", images), allow_subset=True)
    second = read_dataset(drawn.write_folders(tmp_path / "b", changed), allow_subset=True)

    assert read_manifest(first).sha256 != read_manifest(second).sha256


def many(counts):
    """List images by class without drawing them."""
    return [
        LabelledImage(name=drawn.val_name(label * 2000 + n), label=label, read=bytes)
        for label, count in counts.items()
        for n in range(count)
    ]


def test_the_whole_set_is_called_so_and_nothing_else_is(tmp_path):
    """Only 50 of each of the 1000 classes is the validation set; less is called a subset."""
    whole = gather_dataset(tmp_path, "folders", many(dict.fromkeys(range(1000), 50)), allow_subset=False)
    fewer = dict.fromkeys(range(1000), 50) | {7: 49}
    part = gather_dataset(tmp_path, "folders", many(fewer), allow_subset=True)

    assert whole.is_complete
    assert whole.description == "ImageNet-1k validation, 50,000 images, 50 of each class"
    assert not part.is_complete
    assert part.description == "a subset of ImageNet-1k validation, 49,999 images of 1,000 classes"


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({7: 49}, r"n01514668 \(cock\) has 49 of 50 images"),
        ({0: 0, 999: 0}, r"n01440764 \(tench, Tinca tinca\) is missing; n15075141 .* is missing"),
        ({3: 1300}, r"n01491361 has 1300 images.*is this the training set"),
    ],
)
def test_wrong_counts_are_refused_and_named(tmp_path, counts, message):
    """A class with too few, no or too many images is named."""
    with pytest.raises(DatasetError, match=message):
        gather_dataset(tmp_path, "folders", many(dict.fromkeys(range(1000), 50) | counts), allow_subset=False)


def test_a_training_folder_is_refused_even_as_a_subset(tmp_path):
    """More than 50 images of a class are never the validation set's."""
    with pytest.raises(DatasetError, match="is this the training set"):
        gather_dataset(tmp_path, "folders", many({0: 51}), allow_subset=True)


def damage_foreign_folder(root):
    """Add a class that is not ImageNet's."""
    (root / "n99999999").mkdir()


def damage_foreign_file(root):
    """Leave notes among the images."""
    (next(root.iterdir()) / "notes.txt").write_text("?")


def damage_twice(root):
    """Put one image in two classes."""
    file = next(root.rglob("*.JPEG"))
    other = next(folder for folder in root.iterdir() if folder != file.parent)
    shutil.copy(file, other)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_foreign_folder, "n99999999 is not a synset of ImageNet-1k"),
        (damage_foreign_file, r"notes\.txt is not an image by its name"),
        (damage_twice, r"2 images are named ILSVRC2012_val_\d{8}\.JPEG"),
    ],
)
def test_a_folder_that_is_not_as_it_should_be_is_refused(tmp_path, images, damage, message):
    """What does not belong into class folders is named."""
    damage(drawn.write_folders(tmp_path / "val", images))

    with pytest.raises(DatasetError, match=message):
        read_dataset(tmp_path / "val", allow_subset=True)


def test_folders_that_are_numbered_are_refused(tmp_path, images):
    """Class folders in some other order are not guessed at."""
    for number in range(10):
        (tmp_path / "val" / str(number)).mkdir(parents=True)

    with pytest.raises(DatasetError, match="its folders are not named by synset"):
        read_dataset(tmp_path / "val")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n" * 40, "gives ILSVRC ids, which are not in the order of the classes"),
        ("n01440764\n" * 39, "has 39 labels for 40 images"),
        ("n01440764\n" * 41, "has 41 labels for 40 images"),
        ("n99999999\n" * 40, "'n99999999' is not a synset"),
        ("a b c\n", "is not a label file"),
        ("\n\n", "holds no labels"),
        ("ILSVRC2012_val_00000001.JPEG n01440764\n" * 40, "39 images are labelled twice"),
        ("".join(f"ILSVRC2012_val_{n:08d} n01440764\n" for n in range(2, 42)), "00000001.JPEG has no label"),
    ],
)
def test_a_wrong_label_file_is_refused(tmp_path, images, text, message):
    """A label file of another length, order or form is refused, and why is said."""
    drawn.write_flat(tmp_path / "val", images)
    (tmp_path / "labels.txt").write_text(text)

    with pytest.raises(DatasetError, match=rf"labels\.txt: .*{message}"):
        read_dataset(tmp_path / "val", labels=tmp_path / "labels.txt")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([f"{s} {i}" for i, s in enumerate(SYNSETS[:-1], start=1)], "each of the ids 1 to 1000"),
        ([f"{SYNSETS[0]} {i}" for i in range(1, 1001)], "each of the ids 1 to 1000"),
        (["kit fox 1"], "gives no id and synset: kit fox 1"),
    ],
)
def test_a_wrong_order_of_ids_is_refused(tmp_path, images, lines, message):
    """The file that orders the ids must give each a class of its own."""
    drawn.write_flat(tmp_path / "val", images)
    (tmp_path / "truth.txt").write_text("1\n" * 40)
    (tmp_path / "ids.txt").write_text("\n".join(lines))

    with pytest.raises(DatasetError, match=message):
        read_dataset(tmp_path / "val", labels=tmp_path / "truth.txt", class_ids=tmp_path / "ids.txt")


def test_images_without_any_labels_are_refused(tmp_path, images):
    """A flat folder alone is not evaluated, and what it needs is said."""
    with pytest.raises(DatasetError, match=r"no label file was named.*LOC_val_solution\.csv"):
        read_dataset(drawn.write_flat(tmp_path / "only" / "val", images))


def test_shards_in_another_class_order_are_refused(tmp_path, images):
    """A shard whose classes contradict the synsets in its names is not in ImageNet's order."""
    shifted = {name: (data, label) for name, (data, label) in images.items()}
    root = drawn.write_webdataset(tmp_path / "shards", shifted)
    for shard in root.glob("*.tar"):
        text = shard.read_bytes()
        for label in {label for _, label in images.values()}:
            text = text.replace(f"{drawn.synset(label)}_".encode(), f"{drawn.synset(999 - label)}_".encode())
        shard.write_bytes(repair_tar(text))

    with pytest.raises(DatasetError, match="the classes are not in ImageNet's order"):
        read_dataset(root, allow_subset=True)


def repair_tar(data):
    """Compute the checksums of a tar's heads again."""
    blocks = bytearray(data)
    for start in range(0, len(blocks), 512):
        if blocks[start + 257 : start + 262] == b"ustar":
            blocks[start + 148 : start + 156] = b" " * 8
            blocks[start + 148 : start + 156] = b"%06o\0 " % sum(blocks[start : start + 512])
    return bytes(blocks)


def test_parquet_in_another_class_order_is_refused(tmp_path, images):
    """A parquet file that names its classes in another order is refused."""
    names = [class_.label for class_ in read_classes()]
    names[1], names[2] = names[2], names[1]

    with pytest.raises(DatasetError, match=r"class 1 is named 'great white shark.*', which is class 2"):
        read_dataset(drawn.write_parquet(tmp_path / "hf", images, names=names), allow_subset=True)


def test_a_shard_without_a_pair_is_refused(tmp_path, images):
    """An image without its class, and a class without its image, are named."""
    root = drawn.write_webdataset(tmp_path / "shards", images)
    with tarfile.open(root / "more.tar", "w") as archive:
        drawn.add_to_tar(archive, "lonely.jpg", b"?")
        drawn.add_to_tar(archive, "empty.cls", b"1")
        drawn.add_to_tar(archive, "wrong.jpg", b"?")
        drawn.add_to_tar(archive, "wrong.cls", b"1000")

    with pytest.raises(
        DatasetError, match=r"empty has no image; lonely has no \.cls; wrong has the class '1000'"
    ):
        read_dataset(root, allow_subset=True)


@pytest.mark.parametrize("cut", [1, 700, 5000])
def test_a_cut_archive_is_refused(tmp_path, images, cut):
    """A tar that was not copied whole is refused before anything is counted."""
    file = drawn.write_tar(tmp_path / "val.tar", images)
    size_bytes = sum(1024 + len(data) // 512 * 512 for data, _ in images.values())
    with file.open("r+b") as stream:
        stream.truncate(size_bytes // 2 + cut)

    with pytest.raises(DatasetError, match=r"val\.tar"):
        read_dataset(file, labels=tmp_path / "labels.txt", allow_subset=True)


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


def test_nothing_is_not_a_data_set(tmp_path):
    """An empty folder, a missing one and a file that is no tar are refused."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("?")
    for path, kind in (("empty", DatasetError), ("gone", FileProblem), ("notes.txt", DatasetError)):
        with pytest.raises(kind, match=path):
            read_dataset(tmp_path / path)


def test_a_sample_has_as_many_of_each_class_as_can_be(fresh_seed):
    """However a sample is sized, no class gives two images more than another that could give them."""
    random_ = random.Random(fresh_seed)
    counts = {label: random_.randint(1, 50) for label in random_.sample(range(1000), 40)}
    whole = Dataset(root=None, layout="folders", images=tuple(sorted(many(counts), key=lambda i: i.name)))
    for size in random_.sample(range(1, len(whole.images) + 1), 20):
        drawn_ = sample_dataset(whole, size, seed=fresh_seed)
        got = Counter(image.label for image in drawn_.images)

        assert len({image.name for image in drawn_.images}) == size
        assert set(drawn_.images) <= set(whole.images)
        unfilled = [got[label] for label, count in counts.items() if got[label] < count]
        assert max(got.values()) - min(unfilled, default=max(got.values())) <= 1
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
    (tmp_path / "LOC_val_solution.csv").write_text(dict(label_lines(images))["LOC_val_solution.csv"])
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
