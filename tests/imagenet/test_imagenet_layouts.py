"""Layouts that people have are read, and lies about what a set is are refused: tables, and what is said of each."""

# ruff: noqa: E501 - a row of a table is a line

import json
import random
import tarfile
from functools import partial

import drawn
import pytest
from drawn import synset, val_name

from rexnet_hub.errors import MismatchError, RexnetHubError
from rexnet_hub.identity import StatedFile
from rexnet_hub.imagenet.data.classes import Benchmark, imagenet_labels
from rexnet_hub.imagenet.data.dataset import read_manifest
from rexnet_hub.imagenet.data.layouts import read_dataset
from rexnet_hub.imagenet.data.protocols import PROTOCOLS

#: The first images of the set, each of bytes of its own: {name: (bytes, label)}.
IMAGES = drawn.draw_set(41, jpeg=lambda number: b"image %d" % number)
*_, (_, (_, NEXT)) = IMAGES.items()
del IMAGES[val_name(41)]
LABELS = [label for _, label in IMAGES.values()]
#: The place of each class in the order of the alphabet, and a made-up order of ILSVRC's ids, as the devkit has its own.
ALPHABET = [sorted(imagenet_labels()).index(label) for label in imagenet_labels()]
ORDER = random.Random(5).sample(range(1000), 1000)
A, R = (PROTOCOLS[f"ImageNet-{letter}"].classes for letter in "AR")


def relabel(change):
    """Give each image the label that a function of its own label and its place says."""
    return {name: (data, change(label, n)) for n, (name, (data, label)) in enumerate(IMAGES.items())}


def rename(name, images=IMAGES):
    """Give each image a name."""
    told = ((n, image, synset(image[1])) for n, image in enumerate(images.values()))
    return {name.format(n=n, number=n + 1, label=image[1], synset=of): image for n, image, of in told}


def some_of(classes, name="{synset}/pic_{n}.JPEG"):
    """Draw an image of each class of another set."""
    return rename(name, {n: (b"image %d" % n, label) for n, label in enumerate(classes)})


def foldered(images):
    """Name images by the folders of their classes."""
    return {f"{synset(label)}/{name}": (data, label) for name, (data, label) in images.items()}


TRAINING = rename("{synset}_{n}.JPEG")
MIXED = {name: image for name, image in (IMAGES | TRAINING).items() if image[1] in set(LABELS[:9])}


def place(images=IMAGES, *more, at="x", **given):
    """Write files where their names say, and more; `-> name` is a link to nothing."""

    def write(root):
        for name, data in [*((n, data) for n, (data, _) in images.items()), *((n, b"?") for n in more)]:
            file = root / at / name.removeprefix("-> ")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.symlink_to("gone") if name.startswith("-> ") else file.write_bytes(data)
        return root / at, given

    return write


def tar(images, *more):
    """Write one tar."""

    def write(root):
        with tarfile.open(root / "val.tar", "w") as archive:
            for name in (*images, *more):
                drawn.add_to_tar(archive, name, images.get(name, (b"?",))[0])
        return root / "val.tar", {}

    return write


def shards(says=str, images=IMAGES, *, ends="cls", key="{stem}", train=None):
    """Write a WebDataset; `says` gives what stands in the file beside an image, where NAME is its name."""

    def write(root):
        (root / "x").mkdir()
        for part, its in {"validation": images, "train": train or {}}.items():
            with tarfile.open(root / "x" / f"imagenet1k-{part}-00.tar", "w") as archive:
                for n, (name, (data, label)) in enumerate(its.items()):
                    stem = key.format(stem=name.removesuffix(".JPEG"), synset=synset(label), n=n)
                    drawn.add_to_tar(archive, f"{stem}.jpg", data)
                    drawn.add_to_tar(archive, f"{stem}.{ends}", says(label).replace("NAME", name).encode())
        return root / "x", {}

    return write


def parquet(images=IMAGES, *, path="{stem}_{synset}.JPEG", parts=("validation",), at="data", names=None):
    """Write shards as the Hub has them."""
    head = {"info": {"features": {"label": {"names": names or imagenet_labels(), "_type": "ClassLabel"}}}}

    def write(root):
        import pyarrow
        import pyarrow.parquet

        (root / "x" / at).mkdir(parents=True)
        told = [(name.removesuffix(".JPEG"), *image) for name, image in images.items()]
        cells = [
            {"bytes": data, "path": path and path.format(stem=stem, synset=synset(label))}
            for stem, data, label in told
        ]
        table = pyarrow.table({"image": cells, "label": [label for *_, label in told]})
        table = table.replace_schema_metadata({"huggingface": json.dumps(head)})
        for part in parts:
            pyarrow.parquet.write_table(table, root / "x" / at / f"{part}-00000-of-00001.parquet")
        return root / "x", {}

    return write


def listed(line, images=IMAGES, *, head="", ids=None):
    """Write a flat folder with a label file, a line for each image, and a list of ids."""

    def write(root):
        told = [(n, name, image[1]) for n, (name, image) in enumerate(images.items())]
        rows = [line.format(n=n, name=name, label=i, synset=synset(i % 1000)) for n, name, i in told]
        (root / "labels.txt").write_text(head + "\n".join(rows))
        given = {"labels": root / "labels.txt"}
        if ids:
            (root / "ids.txt").write_text("\n".join(ids))
            given["class_ids"] = root / "ids.txt"
        return place(**given)(root)

    return write


def of_set(dataset, images, **given):
    """Write folders of another data set."""
    classes = {"num_classes": given.pop("num_classes")} if "num_classes" in given else {}
    return place(images, benchmark=Benchmark(dataset=dataset, split=None, **classes), **given)


as_json = partial(shards, ends="json")
#: The official ground truth gives ids, which another file says the synsets of.
TRUTH = relabel(lambda label, _: ORDER.index(label) + 1)
SUBSET = "a subset of ImageNet-1k validation, 40 images of 38 classes; labels official, images not compared"
OVER, AMONG = (
    "; 2 files of a system passed over",
    ", ranked among its 200 of 1,000 classes; images not compared",
)

#: Read as the first 40 images of ImageNet's validation set.
LAYOUTS = {
    "class folders": place(foldered(IMAGES)),
    "class folders in val": lambda root: (place(foldered(IMAGES), at="x/val")(root)[0].parent, {}),
    "flat, no labels": place(),
    "flat in val, mmpretrain's meta beside it": lambda root: (place({}, "meta/val.txt")(root), place(at="x/val")(root))[0],
    "flat png": place(rename("ILSVRC2012_val_{number:08d}.png")),
    "flat tar": tar(IMAGES),
    "tar of ./": tar({f"./{name}": image for name, image in IMAGES.items()}),
    "tar of class folders": tar(foldered(IMAGES)),
    "WebDataset, cls of indices": shards(),
    "WebDataset, cls of synsets": shards(synset),
    "WebDataset, synset in the key": shards(key="{synset}_{stem}"),
    "WebDataset, json label": as_json(lambda i: json.dumps({"label": i, "width": 9})),
    "WebDataset, json synset": as_json(lambda i: json.dumps({"synset": synset(i)})),
    "WebDataset, json cls as text": as_json(lambda i: json.dumps({"cls": str(i)})),
    "WebDataset, keys are counts, json has names": as_json(lambda i: json.dumps({"cls": i, "file_name": "NAME"}), key="validation-00000_{n}"),
    "WebDataset beside training shards": shards(train=TRAINING),
    "parquet in data": parquet(),
    "parquet at the top": parquet(at="."),
    "parquet beside training shards": parquet(parts=("validation", "train")),
    "parquet, no synsets in paths": parquet(path="{stem}.JPEG"),
    "LOC_val_solution.csv": listed("{name},{synset} 1 2 3 4 {synset} 5 6 7 8 ", head="ImageId,PredictionString\n"),
    "list, a synset a line": listed("{synset}"),
    "list, name and synset": listed("{name} {synset}"),
    "list, Caffe's val.txt": listed("{name} {label}"),
    "list, val.txt with folders": listed("val/{name}\t{label}"),
    "list, CSV with a header": listed("{name},{label}", head="filename,label\n"),
    "list, CSV of three columns, quoted": listed('{n},"{name}","{synset}"', head="row,filename,synset\n"),
    "list, CSV by semicolons": listed("{synset};{name}", head="wnid;image\n"),
    "ground truth and map_clsloc": listed("{label}", TRUTH, ids=[f"{synset(i)} {n} x" for n, i in enumerate(ORDER, 1)]),
}  # fmt: skip

#: Read, and the words that stand beside the numbers.
WORDS = {
    "Thumbs.db, desktop.ini": (place(foldered(IMAGES), f"{synset(LABELS[0])}/Thumbs.db", "desktop.ini"), SUBSET + OVER),
    ".DS_Store and ._ flat": (place(IMAGES, ".DS_Store", f"._{val_name(1)}"), SUBSET + OVER),
    "__MACOSX in a tar": (tar(IMAGES, f"__MACOSX/._{val_name(1)}", "./.DS_Store"), SUBSET + OVER),
    "thirty copies of one picture": (
        place({name: (b"one" if n < 30 else d, i) for n, (name, (d, i)) in enumerate(IMAGES.items())}),
        f"{SUBSET}; 29 images are copies of another to the byte, such as of {val_name(1)}",
    ),
    "V2 by number": (
        of_set("imagenet-v2", some_of([0, 1, 2, 10, 100, 999], "{label}/a{n}.jpeg")),
        "a subset of imagenet-v2, 6 images of 6 classes; images not compared",
    ),
    "V2 by padded number": (
        of_set("ImageNetV2", some_of([0, 10], "{label:04d}/a{n}.jpeg")),
        "a subset of ImageNetV2, 2 images of 2 classes; images not compared",
    ),
    "V2's third set by synset": (
        of_set("imagenetv2-top-images", some_of([3, 9])),
        "a subset of imagenetv2-top-images, 2 images of 2 classes; images not compared",
    ),
    "Sketch": (
        of_set("ImageNet-Sketch", some_of([5, 6])),
        "a subset of ImageNet-Sketch, 2 images of 2 classes; images not compared",
    ),
    "A": (of_set("imagenet-a", some_of(A[:9])), "a subset of imagenet-a, 9 images of 9 classes" + AMONG),
    "R": (of_set("ImageNet-R", some_of(R)), "a subset of ImageNet-R, 200 images of 200 classes" + AMONG),
    "one's own": (of_set("pets", some_of([1, 0], "{label}/a.png"), num_classes=2), "pets, 2 images of 2 classes"),
}  # fmt: skip

FIRST = f"{val_name(1)} is labelled {{}}, officially it is {synset(LABELS[0])}".format
NO_NUMBER = "have no number of the set, ILSVRC2012_val_00000001 to 00050000, such as "
OF_TRAINING = "40 are named as images of the training set"
PLUS_ONE = relabel(lambda label, _: label + 1)
BY_ALPHABET = relabel(lambda label, _: ALPHABET[label])
EACH_ID = "does not give each of the ids 1 to 1000"
WHOLE = {"allow_subset": False}

#: Refused, and why.
LIES = {
    "list shifted by one": (listed("{synset}", relabel(lambda _, n: [*LABELS, NEXT][n + 1])), "shifted by one, each is that of the next; " + FIRST(synset(LABELS[1]))),
    "list shifted back": (listed("{name} {label}", relabel(lambda _, n: [0, *LABELS][n])), "shifted by one, each is that of the one before"),
    "list of 39": (listed("{synset}", dict([*IMAGES.items()][:39])), "has 39 labels for 40 images"),
    "list of 41 for the whole": (lambda root: (place()(root)[0], WHOLE | listed("{synset}", IMAGES | {"x": (b"", NEXT)})(root)[1]), "has 41 labels for 40 images"),
    "list, val.txt from 1": (listed("{name} {label}", PLUS_ONE), FIRST(synset(LABELS[0] + 1))),
    "list, val.txt by alphabet": (listed("{name} {label}", BY_ALPHABET), FIRST(synset(ALPHABET[LABELS[0]]))),
    "list, a column of other numbers": (listed("{name},{n}", head="filename,row\n"), FIRST(synset(0))),
    "list of unknown synsets": (listed("n99999999"), "'n99999999' is not a synset of ImageNet-1k"),
    "list, LOC_train_solution.csv": (listed("n01440764_{n},n01440764 1 2 3 4"), "is not a label file, by its line"),
    "list of other words": (listed("a b c"), "is not a label file, by its line 'a b c'"),
    "list of nothing": (listed(" "), "holds no labels"),
    "list of one image": (listed(val_name(1) + " {synset}"), "39 images are labelled twice"),
    "list of other images": (listed("{name} {synset}", rename("ILSVRC2012_val_{number:07d}9.JPEG")), f"{val_name(1)} has no label"),
    "list for class folders": (lambda root: (place(foldered(IMAGES))(root)[0], {"labels": root}), "whose images say their classes, has no use for labels"),
    "ids by wrong line numbers": (listed("{label}", TRUTH, ids=[f"{n} {synset(i)}" for n, i in enumerate(sorted(ORDER), 1)]), FIRST(synset(ORDER.index(LABELS[0])))),
    "ids from 0": (listed("{label}", ids=[f"{n} {synset(n)}" for n in range(1000)]), EACH_ID),
    "ids of one class": (listed("1", ids=[f"{synset(0)} {n}" for n in range(1, 1001)]), EACH_ID),
    "ids in words": (listed("1", ids=["kit fox 1"]), "this line gives no id and synset: kit fox 1"),
    "ids of nobody": (listed("{n}"), "gives ILSVRC ids, which are not in the order of the classes"),
    "ids without a list": (lambda root: (place()(root)[0], {"class_ids": root}), "has no use for class_ids"),
    "wrong folders": (place(foldered(PLUS_ONE)), FIRST(synset(LABELS[0] + 1))),
    "one wrong folder": (place(foldered(relabel(lambda i, n: i if n else 7))), FIRST(synset(7))),
    "an image in two folders": (place(foldered(IMAGES), f"{synset(7)}/{val_name(1)}"), f"2 images are named {val_name(1)}"),
    "an image twice, flat": (place(IMAGES, f"{val_name(1)[:-5]}.png"), f"2 images are named {val_name(1)}"),
    "an image twice in a tar": (tar(IMAGES, f"more/{val_name(1)}"), f"2 images are named {val_name(1)}"),
    "WebDataset by alphabet": (shards(lambda i: str(ALPHABET[i])), FIRST(synset(ALPHABET[LABELS[0]]))),
    "WebDataset from 1": (shards(lambda i: str(i + 1)), FIRST(synset(LABELS[0] + 1))),
    "WebDataset against its keys": (shards(lambda i: str(i + 1), key="{synset}_{stem}"), "the classes are not in ImageNet's order"),
    "WebDataset of class 1000": (shards(lambda i: "1000"), "has the class '1000', which is neither 0 to 999 nor a synset"),
    "WebDataset, json of no label": (as_json(lambda i: "[]"), "has the class 'none', which is neither 0 to 999 nor a synset"),
    "WebDataset of both parts in one": (shards(images=IMAGES | TRAINING), f"of 80 images 40 are not of ImageNet's validation set: {OF_TRAINING}"),
    "WebDataset without pairs": (tar({}, "lonely.jpg", "empty.cls"), "empty has no image; lonely has no .cls or .json"),
    "WebDataset, keys are counts": (shards(images=rename("{n:06d}.JPEG")), f"40 {NO_NUMBER}000000.jpg"),
    "parquet by alphabet": (parquet(BY_ALPHABET, path="{stem}.JPEG", names=["?"]), FIRST(synset(ALPHABET[LABELS[0]]))),
    "parquet's names by alphabet": (parquet(names=sorted(imagenet_labels())), "class 0 is named 'Afghan hound, Afghan', which is class 160"),
    "parquet without paths": (parquet(path=None), f"40 {NO_NUMBER}validation-00000-of-00001-00000-00000"),
    "training images": (place(foldered(TRAINING)), f"of 40 images 40 are not of ImageNet's validation set: {OF_TRAINING}"),
    "training images, numbered": (place(foldered(rename("ILSVRC2012_val_{number:07d}1.JPEG"))), "is labelled"),
    "Imagenette's kind": (place(foldered(MIXED)), "of 20 images 10 are not of ImageNet's validation set: 10 are named as images of the training set"),
    "Imagenette's kind, its classes": (place(foldered(MIXED)), "their classes are 9 of the 1,000; of another data set say its name, --dataset NAME"),
    "A as the set": (place(some_of(A)), "their classes are the 200 of ImageNet-A (--dataset imagenet-a)"),
    "R as the set": (place(some_of(R)), "their classes are the 200 of ImageNet-R (--dataset imagenet-r)"),
    "V2 as the set": (place(some_of([1, 2], "{label}/a.jpeg")), "its folders are not named by synset, such as n01440764: 1, 2; of another data set, name it: --dataset NAME"),
    "Sketch as the set": (place(some_of([1, 2], "{synset}/sketch_{n}.JPEG")), f"of 2 images 2 are not of ImageNet's validation set: 2 {NO_NUMBER}{synset(1)}/sketch_0.JPEG"),
    "somebody's pictures": (place({"cat.jpg": (b"?", 0)}), f"1 {NO_NUMBER}cat.jpg"),
    "number 50,001": (place({val_name(50001): (b"?", 0)}), f"1 {NO_NUMBER}{val_name(50001)}"),
    "number 0": (place({val_name(0): (b"?", 0)}), f"1 {NO_NUMBER}{val_name(0)}"),
    "a broken link in a folder": (place(foldered(IMAGES), f"-> {synset(7)}/{val_name(99)}"), f"{synset(7)}/{val_name(99)} is a link to nothing"),
    "a broken link, flat": (place(IMAGES, f"-> {val_name(99)}"), f"{val_name(99)} is a link to nothing"),
    "notes among the images": (place(foldered(IMAGES), f"{synset(7)}/notes.txt"), "notes.txt is not an image by its name"),
    "a class of nobody": (place(foldered(IMAGES), "n99999999/a.jpg"), "n99999999 is not a synset of ImageNet-1k"),
    "forty as the whole": (place(foldered(IMAGES), **WHOLE), f"{synset(0)} (tench, Tinca tinca) is missing"),
    "an empty folder": (place({}, ".keep"), "holds neither class folders, images, tar shards nor parquet files"),
    "no folder": (place({}), "x: does not exist"),
    "a text": (place({}, "notes.txt", at="."), "holds neither class folders"),
    "a text as a tar": (place({}, "x.tar"), "is not a whole, uncompressed tar"),
    "A with a class more": (of_set("imagenet-a", some_of([0, *A])), f"{synset(0)} (tench, Tinca tinca) is none of the 200 classes of imagenet-a"),
    "A by its own 200 numbers": (of_set("imagenet-a", some_of(range(200), "{label}/a.jpg")), "is none of the 200 classes of imagenet-a"),
    "V2 with eleven of a class": (of_set("imagenet-v2", {f"5/{n}.jpg": (b"?", 5) for n in range(11)}), f"{synset(5)} has 11 images, imagenet-v2 has 10"),
    "V2 in part": (of_set("imagenet-v2", some_of([3]), **WHOLE), f"{synset(3)} (tiger shark, Galeocerdo cuvieri) has 1 of 10 images"),
    "R in part": (of_set("imagenet-r", some_of(R), **WHOLE), "it holds 200 images, imagenet-r has 30,000"),
    "one's own, a class of nobody": (of_set("pets", some_of([7], "{label}/a.png"), num_classes=2), "'7' is no label of the model, nor an index from 0 to 1"),
}  # fmt: skip


def ask(write, root):
    """Read what is written; return the words beside its numbers."""
    path, given = write(root)
    data = read_dataset(path, **{"allow_subset": True} | given)
    return data.description + read_manifest(data).remarks


@pytest.mark.parametrize("what", [*LAYOUTS, *WORDS, *LIES])
def test_a_layout_is_read_and_a_lie_is_refused(what, tmp_path):
    """Each is written and read, and what is said of it stands in the table."""
    if what not in LIES:
        write, said = (LAYOUTS[what], SUBSET) if what in LAYOUTS else WORDS[what]
        assert ask(write, tmp_path) == said
        return
    write, said = LIES[what]
    with pytest.raises(RexnetHubError) as caught:
        ask(write, tmp_path)
    assert said in str(caught.value)


def test_an_archive_of_the_official_size_is_the_official_one(tmp_path, monkeypatch):
    """A tar of the size that is published must have the published SHA-256."""
    file, _ = tar(IMAGES)(tmp_path)
    archive = StatedFile(by="somebody", size_bytes=file.stat().st_size, sha256="0" * 64)
    monkeypatch.setitem(PROTOCOLS, "ImageNet", PROTOCOLS["ImageNet"]._replace(archive=archive))
    with pytest.raises(MismatchError, match="somebody states"):
        read_dataset(file, allow_subset=True)
