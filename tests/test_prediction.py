"""Pictures are classified one after another, wherever they are; a bad one is a line, and no end."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from functools import partial
from typing import Any

import numpy as np
import pytest
import timm
import torch
from lying_server import serving
from PIL import Image

from rexnet_hub.auto import AutoImageProcessor, AutoModel
from rexnet_hub.cli import main
from rexnet_hub.errors import NotAnImageError
from rexnet_hub.imagenet.data.dataset import StoredImage
from rexnet_hub.nets.families.rexnet import FAMILY
from rexnet_hub.nets.families.rexnet.blocks import ReXNet
from rexnet_hub.prediction import classify, find_pictures


@pytest.fixture
def many(tmp_path, fresh_seed):
    """A folder of eleven pictures that nobody saw before, one turned and one none, and of other files."""
    numbers, folder = np.random.default_rng(fresh_seed), tmp_path / "many"
    (folder / "below").mkdir(parents=True)
    for number in range(10):
        pixels = numbers.integers(0, 256, (8, 9, 3), dtype=np.uint8)
        place = folder / "below" if number > 6 else folder
        Image.fromarray(pixels).resize((200 + 9 * number, 180)).save(place / f"{number}.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(folder / "5.jpg").save(folder / "5.jpg", exif=exif)
    (folder / "3b.jpg").write_text("no picture")
    for name in ("notes.txt", ".hidden.jpg"):
        (folder / name).write_text("neither")
    return folder


@pytest.fixture
def run(capsys):
    """Run the command line; give its exit code, output and errors."""

    def run_words(*words):
        code = main(["predict", *map(str, words)])
        return code, *capsys.readouterr()

    return run_words


def rows(text):
    """Read lines of JSON."""
    return [json.loads(line) for line in text.splitlines()]


def test_pictures_are_classified_likeliest_first(staged, picture):
    """Guesses are the softmax's top classes of a channels-last batch, with labels, as timm names them."""
    (prediction,) = classify(staged, find_pictures([str(picture)]), top=3)
    model = AutoModel.from_pretrained(staged)
    batch = AutoImageProcessor.from_pretrained(staged)(picture)
    with torch.inference_mode():
        expected = model(batch.contiguous(memory_format=torch.channels_last)).softmax(1).topk(3)
    assert [g.class_index for g in prediction.guesses] == expected.indices[0].tolist()
    assert [g.probability for g in prediction.guesses] == pytest.approx(expected.values[0].tolist())
    labels = timm.data.ImageNetInfo("imagenet-1k")
    assert prediction.guesses[0].label == labels.index_to_description(prediction.guesses[0].class_index)


def test_a_family_that_does_not_ask_for_channels_last_gets_them_first(staged, picture, monkeypatch):
    """Its networks may call `view` on what they are given."""
    layouts, forward = [], ReXNet.forward

    def watch(self, pixels):
        layouts.append(pixels.is_contiguous())
        return forward(self, pixels)

    monkeypatch.setattr(ReXNet, "forward", watch)
    list(classify(staged, find_pictures([str(picture)])))
    monkeypatch.setitem(vars(FAMILY), "channels_last", False)
    list(classify(staged, find_pictures([str(picture)])))
    assert layouts == [False, True]


def test_a_phones_picture_is_classified_as_transformers_pipeline_does(staged, many, run):
    """It is turned, which the output says; as evaluated it is not."""
    from transformers import pipeline

    classifier = pipeline("image-classification", model=str(staged), device="cpu", top_k=2)
    code, out, _ = run(staged, many / "5.jpg", many / "4.jpg", "--top", 2, "--jsonl")
    for row, expected in zip(rows(out), classifier([str(many / "5.jpg"), str(many / "4.jpg")]), strict=True):
        assert [guess["label"] for guess in row["guesses"]] == [guess["label"] for guess in expected]
        assert [guess["probability"] for guess in row["guesses"]] == pytest.approx(
            [guess["score"] for guess in expected], abs=1e-4
        )
    assert (code, [row["turned"] for row in rows(out)]) == (0, [True, False])
    assert "5.jpg (turned as its EXIF orientation says)\n" in run(staged, many / "5.jpg")[1]
    Image.open(many / "5.jpg").save(many / "plain.png")
    pair = rows(run(staged, many / "5.jpg", many / "plain.png", "--as-evaluated", "--jsonl")[1])
    assert (pair[0]["turned"], pair[0]["guesses"][0]["label"]) == (False, pair[1]["guesses"][0]["label"])


def test_a_link_to_nothing_in_a_folder_is_a_line(staged, many, run):
    """A picture that was moved away is missed, not left out; a folder that is named as one is none."""
    (many / "gone.jpg").symlink_to("nowhere.jpg")
    (many / "folder.jpg").mkdir()
    code, out, err = run(staged, many, "--jsonl", "--top", "1")
    assert code == 1
    problems = {row["file"]: row["problem"] for row in rows(out) if row["problem"]}
    assert "No such file" in problems[str(many / "gone.jpg")]
    assert f"error: {many / 'gone.jpg'}" in err
    assert "folder.jpg" not in out + err


@pytest.mark.parametrize("mode", [0, 0o444])
def test_a_folder_that_may_not_be_looked_into_is_a_line(seen_by_others, many, mode):
    """Whether its names can be listed or not, what is not read of it is named, and the rest is there."""
    picture = many / "below" / "7.jpg"
    found, user = [], os.geteuid()
    picture.parent.chmod(mode)
    if user == 0:
        os.seteuid(65534)  # whom permissions bind
    try:
        for stored in find_pictures([str(many)]):
            try:
                stored.read()
            except NotAnImageError as error:
                found.append(str(error))
    finally:
        os.seteuid(user)
        picture.parent.chmod(0o755)
    expected = [picture.parent] if mode == 0 else sorted(picture.parent.iterdir())
    assert found == [f"{file}: cannot be read: Permission denied" for file in expected]


def test_of_no_pictures_there_are_no_predictions(staged):
    """A program that chooses pictures may have none left."""
    assert list(classify(staged, [])) == []


def test_a_folder_is_classified_in_order_and_a_bad_picture_is_a_line(staged, many, run):
    """All with a picture's name, at any depth; the bad one is an error line and exit code 1 at the end."""
    code, out, err = run(staged, many, "--jsonl")
    names = [f"{n}.jpg" for n in ("0", "1", "2", "3", "3b", "4", "5", "6", "below/7", "below/8", "below/9")]
    assert [row["file"] for row in rows(out)] == [str(many / name) for name in names]
    assert [row["file"] for row in rows(out) if row["problem"]] == [str(many / "3b.jpg")]
    assert err == f"error: {many / '3b.jpg'}: cannot be decoded (no picture format is recognised)\n"
    assert (code, [len(row["guesses"]) for row in rows(out)]) == (1, [5] * 4 + [0] + [5] * 6)
    assert json.loads(run(staged, many, "--json")[1]) == rows(out)
    answers = {row["file"]: row["guesses"][0]["label"] for row in rows(out) if row["guesses"]}
    for batch in (1, 3, 100):
        again = rows(run(staged, many, "--jsonl", "--batch", batch, "--top", 1)[1])
        assert {row["file"]: row["guesses"][0]["label"] for row in again if row["guesses"]} == answers
    lines = list(csv.DictReader(io.StringIO(run(staged, many, "--csv", "--top", 2)[1])))
    assert {line["file"]: line["label"] for line in lines if line["rank"] == "1"} == answers
    assert len(lines) == 20


def test_a_table_of_names_runs_nothing_in_a_spreadsheet(staged, many, run, monkeypatch):
    """A file whose name a spreadsheet would take for a formula is text in the CSV; spaces in a name stay."""
    monkeypatch.chdir(many)
    (many / "0.jpg").rename(many / "=1+1  a.jpg")
    (line,) = csv.DictReader(io.StringIO(run(staged, "=1+1  a.jpg", "--csv", "--top", 1)[1]))
    assert line["file"] == "'=1+1  a.jpg"


def test_pictures_come_from_globs_addresses_and_standard_input(staged, many, run, certificate, monkeypatch):
    """A glob is expanded where the shell did not, an address is fetched, `-` is standard input; in order."""
    data = (many / "0.jpg").read_bytes()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("REXNET_HUB_ALLOW", "127.0.0.1")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    gone, secret = "status 404", "http://a.example/x?sig=SECRET"
    with serving(data, certificate) as server, serving(data, certificate, gone) as other:
        words = [f"{many}/**/[78].jpg", server.url, "-", other.url, secret, "gone.jpg"]
        code, out, err = run(staged, *words, "--jsonl")
    first, second, fetched, stdin, *bad = rows(out)
    assert [first["file"], second["file"]] == [str(many / "below" / f"{number}.jpg") for number in (7, 8)]
    assert stdin["guesses"][0]["label"] == fetched["guesses"][0]["label"]
    assert (code, len(err.splitlines())) == (1, 3)
    for row, problem in zip(bad, ("answers 404", "only https", "No such file"), strict=True):
        assert problem in row["problem"]
    assert "SECRET" not in out + err
    (many / "below" / "empty").mkdir()
    assert run(staged, many / "below" / "empty")[0] == 1


def test_each_picture_is_read_once(staged, many):
    """Whatever is done with it: a picture may be standard input."""
    reads = []

    def read(name):
        reads.append(name)
        return (many / name).read_bytes()

    names = ["0.jpg", "3b.jpg", "5.jpg"]
    list(classify(staged, [StoredImage(name=name, read=partial(read, name)) for name in names]))
    assert sorted(reads) == names


def test_results_come_as_they_are_known(staged, many):
    """The first answer is there before the last picture is read."""
    reads = []

    def read(number):
        reads.append(number)
        return (many / "0.jpg").read_bytes()

    answers: Any = classify(
        staged, [StoredImage(name=str(n), read=partial(read, n)) for n in range(400)], batch=1, top=1
    )
    assert next(answers).file == "0"
    assert len(reads) < 400
    answers.close()


@pytest.mark.slow
def test_what_is_interrupted_keeps_what_was_done(staged, many):
    """Ctrl-C ends with 130; what was classified is in the output, and a JSON document is whole."""
    (many / "late.jpg").write_text("no picture: its line tells that others are done")
    for number in range(3000):
        os.link(many / "0.jpg", many / "below" / f"x{number}.jpg")
    words = [staged, many / "0.jpg", many / "late.jpg", many / "below", "--json", "--top", "1"]
    child = subprocess.Popen(
        [sys.executable, "-m", "rexnet_hub", "predict", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stderr
    assert "late.jpg" in child.stderr.readline()
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    done = json.loads(out)
    assert (child.returncode, err) == (130, "interrupted\n")
    assert 1 <= len(done) < 3003


def test_words_that_name_nothing_are_said(staged, picture, run):
    """An address that is none is a line of its own picture; an empty name is not the current folder."""
    code, out, err = run(staged, "https://[bad", picture, "--jsonl")
    assert (code, [row["problem"] for row in rows(out)]) == (1, ["is no address", None])
    code, out, err = run(staged, "")
    assert (code, out, "a picture has an empty name" in err) == (2, "", True)


def test_a_pipe_is_not_waited_for(staged, picture, run, tmp_path):
    """A named pipe and a device are error lines at once; the rest is classified."""
    os.mkfifo(tmp_path / "pipe.jpg")
    for place in (tmp_path / "pipe.jpg", "/dev/zero"):
        code, out, err = run(staged, place, picture, "--jsonl")
        assert (code, [bool(row["problem"]) for row in rows(out)]) == (1, [True, False])
        assert f"{place}: is not a regular file" in err


def test_misuse_is_said_before_a_model_is_loaded(run):
    """Numbers below one and a device that is not there."""
    for option, value in (("--top", 0), ("--batch", 0), ("--device", "tpu")):
        code, out, err = run("rexnet_100", "a.jpg", option, value)
        assert (code, out) == (2, "")
        assert option in err or "'tpu' is no device" in err


def test_a_model_of_other_channels_is_refused(repo, picture, run):
    """Pictures have three channels."""
    config = json.loads((repo / "config.json").read_text())
    config["pretrained_cfg"]["input_size"][0] = 1
    (repo / "config.json").write_text(json.dumps(config))
    (repo / "receipt.json").unlink()
    code, _, err = run(repo, picture)

    assert (code, "takes 1 channels, pictures have 3" in err) == (1, True)
