"""Accuracies are timm's, image by image, and the same bytes however they are measured."""

import dataclasses
import gc
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import drawn
import numpy as np
import pytest
import timm
import timm_loop
import torch
from officials import official_name

from rexnet_hub.errors import (
    EvaluationError,
    FileProblem,
    NetworkError,
    NotAnImageError,
    OutputExistsError,
    RecordError,
    UsageError,
)
from rexnet_hub.imagenet.data.classes import Benchmark, read_classes
from rexnet_hub.imagenet.data.dataset import IMAGENET_VALIDATION, sample_dataset
from rexnet_hub.imagenet.data.layouts import read_dataset
from rexnet_hub.imagenet.data.pixels import decode_image
from rexnet_hub.imagenet.data.protocols import PROTOCOLS
from rexnet_hub.imagenet.evidence.predictions import UNREADABLE, read_predictions, render_predictions
from rexnet_hub.imagenet.evidence.record import read_record, recount
from rexnet_hub.imagenet.run import prepare, upload
from rexnet_hub.imagenet.run.evaluate import evaluate_models
from rexnet_hub.imagenet.run.journal import open_journal
from rexnet_hub.imagenet.run.prepare import RunOptions
from rexnet_hub.imagenet.run.runner import TILE_IMAGES, ModelUnderTest
from rexnet_hub.index import Preprocessing
from rexnet_hub.pictures import ImageProcessor

PROGRAM = Path(__file__).with_name("evaluate_drawn.py")
COUNT = 120
QUIET = RunOptions(quiet=True)


@pytest.fixture(scope="module")
def class_map(tmp_path_factory):
    """Write the synsets in order, as timm wants them."""
    file = tmp_path_factory.mktemp("map") / "synsets.txt"
    file.write_text("".join(f"{class_.synset}\n" for class_ in read_classes()))
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Draw a set of which the first small network has about two thirds right."""
    images, network, taken = {}, drawn.SmallNet().eval(), Counter[int]()
    for number, (name, (data, label)) in enumerate(drawn.draw_set(COUNT).items()):
        with torch.inference_mode():
            logits = network(ImageProcessor(drawn.SPEC)(decode_image(data, name=name)))
        ranked = logits[0].argsort(descending=True).tolist()
        label = (ranked[0], ranked[0], ranked[3], label)[number % 4]
        images[official_name(label, taken[label])] = (data, label)
        taken[label] += 1
    return drawn.write_folders(tmp_path_factory.mktemp("drawn") / "val", images)


@pytest.fixture(scope="module")
def data(folder):
    """Read that set."""
    return read_dataset(folder, allow_subset=True)


def both():
    """Give two small networks."""
    return [drawn.small_model("first"), drawn.small_model("second", seed=1)]


@pytest.fixture(scope="module")
def plain(data, tmp_path_factory):
    """Evaluate two networks in the plainest way, and keep the bytes."""
    out_dir = tmp_path_factory.mktemp("plain")
    records = evaluate_models(both(), data, options=dataclasses.replace(QUIET, threads=1), out_dir=out_dir)
    return records, bytes_of(out_dir)


def bytes_of(out_dir):
    """Read all predictions files and the manifest of a run."""
    files = sorted([*out_dir.glob("*.predictions"), *out_dir.glob("manifest-*")])
    return {file.name: file.read_bytes() for file in files}


def assert_as_timm(model, record, out_dir, folder, class_map):
    """Hold every image's five classes and both counts against timm's loop."""
    expected, top1_count, top5_count = timm_loop.timm_top5(model, folder, class_map)
    found = read_predictions(out_dir / f"{model.name}.predictions")
    names = [line.split("\t")[0] for line in next(out_dir.glob("manifest-*")).read_text().splitlines()]

    assert dict(zip(names, found.top5.tolist(), strict=True)) == expected
    assert (record.top1_count, record.top5_count) == (top1_count, top5_count)
    assert record.images == len(expected)


def test_small_networks_are_counted_as_timm_counts(data, folder, class_map, tmp_path):
    """Top-1, top-5 and each image's five classes are those of timm's own loop, for settings of all kinds."""
    other = Preprocessing(
        input_px=40, crop_fraction=0.95, interpolation="bilinear", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )
    models = [
        *both(),
        drawn.small_model("third", spec=other),
        drawn.small_model("fourth", spec=dataclasses.replace(drawn.SPEC, mean=(0.0, 0.0, 0.0))),
    ]
    records = evaluate_models(models, data, options=QUIET, out_dir=tmp_path)

    for model, record in zip(models, records, strict=True):
        assert_as_timm(model, record, tmp_path, folder, class_map)
    assert 0.4 * COUNT < records[0].top1_count < records[0].top5_count < COUNT


@pytest.mark.slow
def test_timms_rexnet_is_counted_as_timm_counts(folder, class_map, tmp_path):
    """A whole rexnet_100 at its own settings gives what timm's loop gives."""
    torch.manual_seed(0)
    spec = dataclasses.replace(drawn.SPEC, input_px=224)
    model = ModelUnderTest(
        name="rexnet_100", network=timm.create_model("rexnet_100").eval(), preprocessing=spec
    )
    for name in sorted(file.relative_to(folder) for file in folder.rglob("*.JPEG"))[:20]:
        (tmp_path / "val" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "val" / name).write_bytes((folder / name).read_bytes())
    data = read_dataset(tmp_path / "val", allow_subset=True)
    record, *_ = evaluate_models([model], data, options=QUIET, out_dir=tmp_path / "out")

    assert_as_timm(model, record, tmp_path / "out", tmp_path / "val", class_map)


@pytest.mark.parametrize(
    "how", [{"threads": 2}, {"threads": 3}, {"workers": 1}, {"workers": 3, "threads": 2}], ids=str
)
@pytest.mark.parametrize("ahead", [False, True])
def test_how_it_is_run_changes_no_byte(data, plain, tmp_path, monkeypatch, how, ahead):
    """Any number of threads and of decoding processes, tiles copied ahead or not, gives the same files."""
    if ahead:
        monkeypatch.setattr(upload, "COPIED_AHEAD", {"cpu"})
    evaluate_models(both(), data, options=dataclasses.replace(QUIET, **how), out_dir=tmp_path)

    assert bytes_of(tmp_path) == plain[1]


@pytest.fixture(scope="module")
def in_twos(data, tmp_path_factory):
    """Evaluate the same networks in tiles of two images, and keep the bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepare, "TILE_IMAGES", {"cpu": 2})
        records = evaluate_models(both(), data, options=QUIET, out_dir=tmp_path_factory.mktemp("twos"))
    return [record.predictions_sha256 for record in records]


def both_greedy(**limits):
    """Give the same two networks, the first for a little memory."""
    first, second = both()
    return [dataclasses.replace(first, network=drawn.GreedyNet(**limits)), second]


@pytest.mark.parametrize("after", [0, 20])
def test_without_memory_for_a_tile_all_starts_anew_in_smaller_ones(data, in_twos, tmp_path, caplog, after):
    """At the first tile or later: a run's tiles are of one size, the record and the log say which."""
    records = evaluate_models(both_greedy(most=3, after=after), data, options=QUIET, out_dir=tmp_path)

    assert [record.predictions_sha256 for record in records] == in_twos
    assert {record.machine.tile_images for record in records} == {2}
    assert [log.getMessage() for log in caplog.records] == [
        "no memory on cpu for tiles of 4 images, which this run began with: "
        "it starts anew in tiles of half as many, as its record will say"
    ]
    assert list(tmp_path.glob(".unfinished-*")) == []


class Holding(drawn.GreedyNet):
    """A network that notes what it held when memory did not do, and what of that it finds held later."""

    found, still = list[Any](), list[Any]()

    def forward(self, pixels):
        """Give logits."""
        held = pixels.clone()
        if len(pixels) > self.most:
            self.found.append(weakref.ref(held))
        else:
            self.still.extend(ref for ref in self.found if ref() is not None)
        return super().forward(pixels)


def test_what_did_not_fit_is_let_go_before_it_is_tried_anew(data):
    """Python's search for cycles may not come for long, and what it would free is wanted at once."""
    network = Holding(most=3).eval()
    model = ModelUnderTest(name="first", network=network, preprocessing=drawn.SPEC)
    gc.disable()
    try:
        evaluate_models([model], data, options=dataclasses.replace(QUIET, threads=1))
    finally:
        gc.enable()
    assert Holding.found
    assert not Holding.still


def test_a_killed_run_goes_on_in_the_tiles_that_it_halved(data, in_twos, tmp_path):
    """When there is memory again it still computes in the size that it was begun in, and only the rest."""

    def stop(progress):
        if progress.images_done >= 60:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_models(both_greedy(most=2), data, options=QUIET, out_dir=tmp_path, on_progress=stop)
    seen: list[Any] = []
    records = evaluate_models(both(), data, options=QUIET, out_dir=tmp_path, on_progress=seen.append)

    assert seen[0].images_done > 4
    assert [record.predictions_sha256 for record in records] == in_twos
    assert {record.machine.tile_images for record in records} == {2}


def test_without_memory_for_one_image_a_run_ends(data, tmp_path):
    """It is said, and nothing is left; a network that fails otherwise is not tried again."""
    with pytest.raises(EvaluationError, match="cpu has no memory for one image of first's"):
        evaluate_models(both_greedy(most=0), data, options=QUIET, out_dir=tmp_path)
    assert list(tmp_path.glob("*.record.json")) == []
    wrong = ModelUnderTest(name="wrong", network=Wrong(lambda pixels: 1 / 0), preprocessing=drawn.SPEC)
    with pytest.raises(NetworkError, match="division by zero"):
        evaluate_models([wrong], data, options=QUIET)


def test_in_whatever_company_a_network_is_evaluated_changes_no_byte(data, plain, tmp_path):
    """A network alone, or in another order, has the same predictions."""
    evaluate_models(both()[::-1], data, options=QUIET, out_dir=tmp_path / "reversed")
    evaluate_models(both()[:1], data, options=QUIET, out_dir=tmp_path / "alone")

    assert bytes_of(tmp_path / "reversed") == plain[1]
    assert bytes_of(tmp_path / "alone")["first.predictions"] == plain[1]["first.predictions"]


def test_the_cache_changes_no_byte(data, plain, tmp_path):
    """Filling the cache and running from it give the same files, and the second run decodes nothing."""
    cached = dataclasses.replace(
        data, images=tuple(dataclasses.replace(image, read=Counted(image.read)) for image in data.images)
    )
    for name in ("filled", "used"):
        Counted.reads = 0
        evaluate_models(both(), cached, options=QUIET, out_dir=tmp_path / name, cache_dir=tmp_path / "cache")
        assert bytes_of(tmp_path / name) == plain[1]
        assert Counted.reads == (2 if name == "filled" else 1) * COUNT  # once for the manifest
    assert len(list((tmp_path / "cache").iterdir())) == 1


class Counted:
    """Reads an image, and counts how often."""

    reads = 0

    def __init__(self, read):
        self.read = read

    def __call__(self):
        """Read and count."""
        Counted.reads += 1
        return self.read()


def test_a_cache_that_could_not_be_filled_is_absent(data, tmp_path, folder):
    """When an image stops the filling, no half of a cache stays."""
    broken = replace_bytes(data, 50, b"broken")

    with pytest.raises(NotAnImageError):
        evaluate_models(both(), broken, options=QUIET, cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "gone", "foreign"])
def test_a_damaged_cache_is_refused(data, tmp_path, damage):
    """A cache whose files are not what was written is refused, not used."""
    evaluate_models(both(), data, options=QUIET, cache_dir=tmp_path)
    pixels = next(tmp_path.iterdir()) / "pixels.npy"
    if damage == "cut":
        pixels.write_bytes(pixels.read_bytes()[:-1])
    elif damage == "gone":
        pixels.with_name("sha256.npy").unlink()
    else:
        np.save(pixels, np.zeros((3, 32, 32, 3), np.uint8))

    with pytest.raises(FileProblem, match="cache"):
        evaluate_models(both(), data, options=QUIET, cache_dir=tmp_path)


def test_a_cache_does_not_hide_an_unreadable_image(data, tmp_path):
    """What one run skipped stops the next run, which did not ask to skip, by its name."""
    broken, skipping = replace_bytes(data, 76, b""), dataclasses.replace(QUIET, skip_unreadable=True)
    for _ in range(2):
        record, _ = evaluate_models(both(), broken, options=skipping, cache_dir=tmp_path)
        assert record.unreadable == (data.images[76].name,)

    with pytest.raises(NotAnImageError, match=rf"{data.images[76].name}: could not be decoded when"):
        evaluate_models(both(), broken, options=QUIET, cache_dir=tmp_path)


@pytest.mark.parametrize("file", ["pixels.npy", "sha256.npy"])
def test_a_flipped_bit_of_the_cache_is_refused(data, tmp_path, file, fresh_seed):
    """A bit of the kept pixels or of their digests that is not as written is found when it is used."""
    evaluate_models(both(), data, options=QUIET, cache_dir=tmp_path)
    damaged = next(tmp_path.iterdir()) / file
    whole = damaged.read_bytes()
    for place in np.random.default_rng(fresh_seed).integers(128, len(whole), 5):  # behind numpy's header
        flipped = bytearray(whole)
        flipped[place] ^= 1 << int(place) % 8
        damaged.write_bytes(flipped)
        with pytest.raises(FileProblem, match="changed since they were decoded, delete it"):
            evaluate_models(both(), data, options=QUIET, cache_dir=tmp_path)


def start(*command, meeting=None, **options):
    """Start a program of ours."""
    env = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([str(PROGRAM.parent), str(Path.cwd())]),
        **(meeting or {}),
    }
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(folder, plain, data, tmp_path):
    """A run that is killed in its midst leaves no result; started again it does only the rest."""
    process = start(PROGRAM, folder, tmp_path, 0.5)
    deadline = time.monotonic() + 60
    while not any(file.stat().st_size > 300 for file in tmp_path.glob(".unfinished-*/*.journal")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert bytes_of(tmp_path) == {}

    seen: list[Any] = []
    evaluate_models(both(), data, options=QUIET, out_dir=tmp_path, on_progress=seen.append)

    assert bytes_of(tmp_path) == plain[1]
    assert seen[0].images_done > TILE_IMAGES["cpu"]  # what the killed run had done was not done again
    assert seen[-1].images_done == COUNT
    assert list(tmp_path.glob(".unfinished-*")) == []


def test_after_a_broken_image_a_run_goes_on_and_skips_it(data, tmp_path):
    """Started again with `skip_unreadable` it does the rest alone, in the same bytes; no journal stays."""
    broken, skipping = replace_bytes(data, 76, b""), dataclasses.replace(QUIET, skip_unreadable=True)
    evaluate_models(both(), broken, options=skipping, out_dir=tmp_path / "whole")
    again = tmp_path / "again"
    with pytest.raises(NotAnImageError):
        evaluate_models(both(), broken, options=QUIET, out_dir=again)
    (unfinished,) = again.iterdir()
    kept = shutil.copytree(unfinished, tmp_path / "kept" / unfinished.name)
    seen: list[Any] = []
    evaluate_models(both(), broken, options=skipping, out_dir=again, on_progress=seen.append)

    assert seen[0].images_done > TILE_IMAGES["cpu"]
    assert bytes_of(again) == bytes_of(tmp_path / "whole")
    assert list(again.glob(".unfinished-*")) == []
    with open_journal(kept / "skipped.journal") as add:  # what skipped it stops the run that did not ask to
        add(76 // TILE_IMAGES["cpu"], np.full((2, TILE_IMAGES["cpu"], 5), 0xFFFF))
    with pytest.raises(NotAnImageError):
        evaluate_models(both(), broken, options=QUIET, out_dir=kept.parent)


def test_a_torn_or_foreign_journal_costs_only_its_tiles(data, plain, tmp_path):
    """A journal with a torn end, flipped bits or nonsense never reaches a result."""

    class Stop(Exception):  # noqa: N818 - not an error
        pass

    def stop(progress):
        if progress.images_done >= 80:
            raise Stop

    with pytest.raises(Stop):
        evaluate_models(both(), data, options=QUIET, out_dir=tmp_path, on_progress=stop)
    journal = next(tmp_path.glob(".unfinished-*/*.journal"))
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-7])
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 4
    journal.with_name("flipped.journal").write_bytes(bytes(flipped))
    journal.with_name("nonsense.journal").write_bytes(os.urandom(999))
    evaluate_models(both(), data, options=QUIET, out_dir=tmp_path)

    assert bytes_of(tmp_path) == plain[1]


def test_another_run_does_not_go_on_with_this_ones_tiles(data, plain, tmp_path):
    """A network of the same name with other weights starts anew."""

    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_models(
            [drawn.small_model("first", seed=7)], data, options=QUIET, out_dir=tmp_path, on_progress=stop
        )
    evaluate_models(both()[:1], data, options=QUIET, out_dir=tmp_path)

    assert bytes_of(tmp_path)["first.predictions"] == plain[1]["first.predictions"]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_give_the_same_bytes(folder, plain, tmp_path, processes):
    """Processes of torchrun, over gloo, write the files of one, and all know the result."""
    torchrun = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    process = start(
        *torchrun, "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", PROGRAM, folder, tmp_path, 0
    )
    out, err = process.communicate(timeout=120)

    assert process.returncode == 0, err.decode()
    digests = " ".join(record.predictions_sha256 for record in plain[0])
    assert out.decode().splitlines() == [digests] * processes
    assert bytes_of(tmp_path) == plain[1]
    record = read_record(tmp_path / "first.record.json")
    assert record.machine.processes == processes
    assert record.top1_count == plain[0][0].top1_count


def start_two_machines(*arguments):
    """Start two processes that meet on loopback, each the only one of its machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    return [start(PROGRAM, *arguments, meeting={**meeting, "RANK": str(rank)}) for rank in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("amiss", ["images", "weights"])
def test_machines_that_differ_are_refused_before_the_first_image(folder, tmp_path, amiss):
    """A stale copy of the data or other weights on one machine: each process says so, nothing is written."""
    told = "weights and input of second"
    if amiss == "images":
        told, amiss = "images", shutil.copytree(folder, tmp_path / "stale")
        image = next(file for file in sorted(amiss.rglob("*")) if file.is_file())
        image.write_bytes(image.read_bytes() + b"\0")
    processes = start_two_machines(folder, tmp_path / "out", 0, amiss, 1)
    ends = [process.communicate(timeout=120)[1].decode() for process in processes]

    assert [process.returncode for process in processes] == [1, 1]
    assert all(f"{told}: process 0 has " in end and "process 1 has " in end for end in ends), ends
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").glob("*"))


@pytest.mark.slow
def test_where_one_machine_has_less_memory_all_take_smaller_tiles(folder, in_twos, tmp_path):
    """The record is of one size of tiles, and its bytes are those of one process in that size."""
    processes = start_two_machines(folder, tmp_path, 0, "memory", 1)
    ends = [process.communicate(timeout=120) for process in processes]

    assert [out.decode().split() for out, _ in ends] == [in_twos] * 2, ends
    assert read_record(tmp_path / "first.record.json").machine.tile_images == 2
    assert list(tmp_path.glob(".unfinished-*")) == []


@pytest.mark.slow
def test_a_peer_that_died_ends_the_run_in_a_line(folder, tmp_path):
    """When one process is killed, the others end at once, and say so."""
    first, second = start_two_machines(folder, tmp_path, 0, "dies", 1)
    end = first.communicate(timeout=120)[1].decode()
    second.communicate(timeout=60)

    assert second.returncode == -signal.SIGKILL
    assert (first.returncode, "another process of this run has ended" in end) == (1, True), end
    assert "Traceback" not in end


@pytest.mark.slow
@pytest.mark.parametrize("who", [0, 1], ids=["where they meet", "another"])
@pytest.mark.parametrize("pause", [0, 0.5], ids=["waited for", "while the other computes"])
def test_a_peer_that_is_stopped_ends_the_run_in_a_line(folder, tmp_path, who, pause):
    """A process that falls silent without an end, as on a host without power, is named, with its host."""
    processes = start_two_machines(folder, tmp_path, pause, "stops", who)
    try:
        end = processes[1 - who].communicate(timeout=60)[1].decode()
        assert processes[1 - who].returncode == 1
        assert processes[who].poll() is None
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    (said,) = (line for line in end.splitlines() if "images/s" not in line)
    assert f"out of reach: process {who} on {socket.gethostname()}. End what is left of it. Start all" in said


@pytest.mark.slow
def test_a_peer_that_computes_for_long_is_waited_for(folder, plain, tmp_path):
    """However long a process is silent only because it is at its share, nobody gives it up."""
    processes = start_two_machines(folder, tmp_path, 0, "slow", 1)
    ends = [process.communicate(timeout=120)[1].decode() for process in processes]

    assert [process.returncode for process in processes] == [0, 0], ends
    assert bytes_of(tmp_path) == plain[1]


def test_records_hold_against_their_predictions(data, tmp_path):
    """What a run writes passes the check, and says with what it was measured."""
    models = [drawn.small_model("first", weights_sha256="c" * 64, fingerprint="f" * 64)]
    sample = sample_dataset(data, 33, seed=4)
    returned = evaluate_models(models, sample, options=QUIET, out_dir=tmp_path, command="as typed")
    record = recount(tmp_path / "first.record.json")

    assert (record,) == returned
    assert (record.weights_sha256, record.fingerprint, record.command) == ("c" * 64, "f" * 64, "as typed")
    assert (record.images, record.complete, record.sample) == (33, False, sample.sample)
    assert "a sample of a subset of ImageNet-1k validation, 33 of 120 images, seed 4" in str(record)
    assert record.machine.versions["torch"] == torch.__version__
    assert not record.may_enter_index


def test_equal_logits_go_by_the_lower_class(data, tmp_path):
    """Of classes that are equally likely, the lower index comes first, always."""

    class Ties(torch.nn.Module):
        def forward(self, pixels):
            logits = torch.zeros(len(pixels), 1000)
            logits[:, [900, 700, 800]] = 1.0
            return logits

    model = ModelUnderTest(name="ties", network=Ties(), preprocessing=drawn.SPEC)
    evaluate_models([model], data, options=QUIET, out_dir=tmp_path)

    assert (read_predictions(tmp_path / "ties.predictions").top5 == [700, 800, 900, 0, 1]).all()


def replace_bytes(data, number, content):
    """Put other bytes in an image's place."""
    images = list(data.images)
    images[number] = dataclasses.replace(images[number], read=partial(bytes, content))
    return dataclasses.replace(data, images=tuple(images))


def test_an_unreadable_image_stops_the_run_and_is_named(data, tmp_path):
    """A truncated JPEG is named, and no accuracy is written."""
    broken = replace_bytes(data, 77, data.images[77].read()[:400])

    with pytest.raises(NotAnImageError, match=f"{data.images[77].name}: cannot be decoded"):
        evaluate_models(both(), broken, options=QUIET, out_dir=tmp_path)
    assert list(tmp_path.glob("*.record.json")) == []


@pytest.mark.slow
def test_a_decoding_process_that_dies_is_said(data):
    """When a worker is killed, as for want of memory, the run ends in an error of ours and does not hang."""
    images = (dataclasses.replace(data.images[0], read=drawn.read_deadly), *data.images[1:])

    with pytest.raises(EvaluationError, match="a decoding process died"):
        evaluate_models(
            both(),
            dataclasses.replace(data, images=images),
            options=dataclasses.replace(QUIET, workers=1),
        )


@pytest.mark.parametrize("cache", [False, True])
def test_an_unreadable_image_counts_as_wrong_when_skipped(data, plain, tmp_path, cache):
    """A skipped image is wrong, recorded by name, and disturbs no other."""
    broken = replace_bytes(data, 76, b"")
    options = dataclasses.replace(QUIET, skip_unreadable=True)
    cache_dir = tmp_path / "cache" if cache else None
    record, _ = evaluate_models(both(), broken, options=options, out_dir=tmp_path, cache_dir=cache_dir)
    found = read_predictions(tmp_path / "first.predictions").top5
    (tmp_path / "plain").write_bytes(plain[1]["first.predictions"])
    before = read_predictions(tmp_path / "plain").top5

    assert record.unreadable == (data.images[76].name,)
    assert record.images == COUNT
    assert (found[76] == UNREADABLE).all()
    assert (np.delete(found, 76, 0) == np.delete(before, 76, 0)).all()
    assert record == recount(tmp_path / "first.record.json")


class Wrong(torch.nn.Module):
    """A network that answers wrongly."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, pixels):
        """Answer."""
        return self.answer(pixels)


def poisoned(pixels):
    """Give one answer that is no number."""
    logits = torch.zeros(len(pixels), 1000)
    logits[1, 500] = float("nan")
    return logits


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            Wrong(lambda pixels: torch.zeros(len(pixels), 10)),
            r"gives \(4, 10\) where logits of shape \(4, 1000\)",
        ),
        (Wrong(lambda pixels: [1]), "gives list where logits"),
        (Wrong(poisoned), r"gives no finite logits for ILSVRC2012_val_\d{8}\.JPEG"),
        (drawn.SmallNet().double(), r"is not a float32 network: first\.weight is torch\.float64"),
    ],
)
def test_a_network_that_cannot_be_counted_is_refused(data, tmp_path, network, message):
    """Answers of another shape, that are no numbers or of another type are refused; nothing is written."""
    model = ModelUnderTest(name="wrong", network=network, preprocessing=drawn.SPEC)

    with pytest.raises(EvaluationError, match=f"wrong {message}"):
        evaluate_models([model], data, options=QUIET, out_dir=tmp_path)
    assert list(tmp_path.glob("*.record.json")) == []


def test_requests_that_make_no_sense_are_refused(data, tmp_path):
    """No model, two of a name, a name that is no file's, an unknown device or type, a count of nothing."""
    model = drawn.small_model("first")
    for models, message in (
        ([], "no model to evaluate"),
        ([model, model], "two models are named first"),
        ([drawn.small_model("a/b")], "'a/b' has / in it"),
    ):
        with pytest.raises(UsageError, match=message):
            evaluate_models(models, data)
    for how in ({"dtype": "int8"}, {"workers": -1}, {"threads": 0}):
        with pytest.raises(UsageError):
            RunOptions(**how)
    with pytest.raises(UsageError, match="'tpu' is no device"):
        evaluate_models([model], data, options=RunOptions(device="tpu"))


def test_a_record_is_never_written_over(data, tmp_path):
    """Where a record is, a second run is refused before it begins."""
    evaluate_models(both()[:1], data, options=QUIET, out_dir=tmp_path)
    before = (tmp_path / "first.record.json").read_bytes()

    with pytest.raises(OutputExistsError, match=r"first\.record\.json: is a record already"):
        evaluate_models(both(), data, options=QUIET, out_dir=tmp_path)
    assert (tmp_path / "first.record.json").read_bytes() == before


def test_the_callers_network_and_settings_stay_as_they_were(data):
    """A run changes neither the mode, memory format and weights of a network nor torch's settings."""
    model = drawn.small_model("first")
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    settings = (
        torch.get_num_threads(),
        torch.backends.cudnn.deterministic,
        torch.is_inference_mode_enabled(),
    )
    evaluate_models([model], data, options=dataclasses.replace(QUIET, channels_last=True, dtype="bf16"))

    assert model.network.training
    assert model.network.first.weight.is_contiguous()
    assert all(torch.equal(before[name], tensor) for name, tensor in model.network.state_dict().items())
    assert settings == (
        torch.get_num_threads(), torch.backends.cudnn.deterministic, torch.is_inference_mode_enabled(),
    )  # fmt: skip


def test_options_that_change_bits_are_recorded(data, plain):
    """Memory format and dtype are in the record, and the accuracy stays near that of fp32."""
    for how in ({"channels_last": True}, {"dtype": "bf16"}):
        record, _ = evaluate_models(both(), data, options=dataclasses.replace(QUIET, **how))
        assert {name: getattr(record.machine, name) for name in how} == how
        assert abs(record.top1_count - plain[0][0].top1_count) <= 0.1 * COUNT


def test_progress_is_told_to_machines(data, plain):
    """The callback hears every tile, its lines are JSON, and its last counts are the record's."""
    lines = []
    evaluate_models(
        both(), data, options=QUIET, on_progress=lambda progress: lines.append(progress.as_json())
    )
    told = [json.loads(line) for line in lines]

    assert [line["images_done"] for line in told] == [*range(4, COUNT, 4), COUNT]
    assert told[-1]["seconds_left"] == 0
    for accuracy, record in zip(told[-1]["accuracies"], plain[0], strict=True):
        assert (accuracy["model"], accuracy["top1_percent"]) == (record.model, record.top1_percent)
    spans = [line["accuracies"][0]["interval"] for line in told]
    widths = [span["high_percent"] - span["low_percent"] for span in spans]
    assert widths[0] > widths[len(widths) // 2] > widths[-1] == pytest.approx(0)  # all were counted


def test_the_bar_shows_on_a_terminal_only(data, monkeypatch):
    """A terminal sees images a second, the running accuracy, and what takes a minute; a pipe sees nothing."""
    monkeypatch.setattr(torch, "compile", lambda network, **options: network)  # the real one takes it

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stream, seen in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        evaluate_models(both(), data, options=RunOptions(compiled=True))
        assert ("compiling, a minute or more for each model" in stream.getvalue()) == seen
        assert ("first top-1" in stream.getvalue()) == seen
        assert ("images/s" in stream.getvalue()) == seen


@pytest.mark.gpu
def test_a_gpu_ranks_as_the_cpu_does(data, plain, tmp_path):
    """In fp32 a GPU gives the CPU's five classes for all images but near ties."""
    evaluate_models(both(), data, options=dataclasses.replace(QUIET, device="cuda"), out_dir=tmp_path)
    (tmp_path / "cpu").write_bytes(plain[1]["first.predictions"])
    first, second = (read_predictions(tmp_path / name).top5 for name in ("cpu", "first.predictions"))

    assert (first[:, 0] == second[:, 0]).mean() > 0.98


def test_of_a_set_of_some_classes_only_they_are_ranked(tmp_path):
    """On ImageNet-A the answers are those of the logits of its 200 classes alone, as timm counts them."""
    classes = [*PROTOCOLS["ImageNet-A"].classes]
    benchmark = Benchmark(dataset="imagenet-a", split=None, labels_sha256=IMAGENET_VALIDATION.labels_sha256)
    network, ranked = drawn.SmallNet().eval(), []
    for number, label in enumerate(classes[:40]):
        file = tmp_path / "a" / drawn.synset(label) / f"{number}.jpg"
        file.parent.mkdir(parents=True)
        file.write_bytes(drawn.draw_jpeg(number))
        with torch.inference_mode():
            logits = network(ImageProcessor(drawn.SPEC)(decode_image(file.read_bytes(), name="x")))
        ranked.append([classes[place] for place in logits[:, classes][0].topk(5).indices.tolist()])
    data = read_dataset(tmp_path / "a", benchmark=benchmark, allow_subset=True)
    (record,) = evaluate_models([drawn.small_model("net")], data, options=QUIET, out_dir=tmp_path)
    kept = read_predictions(tmp_path / "net.predictions")

    of_name = {image.name: row for image, row in zip(data.images, kept.top5.tolist(), strict=True)}
    assert [of_name[f"{drawn.synset(label)}/{n}.jpg"] for n, label in enumerate(classes[:40])] == ranked
    assert "ranked among its 200 of 1,000 classes" in record.data
    top5 = kept.top5.copy()
    top5[0] = [0, 1, 2, 3, 4]
    (tmp_path / "net.predictions").write_bytes(render_predictions(dataclasses.replace(kept, top5=top5)))
    with pytest.raises(RecordError, match="ranks others than the 200 classes of imagenet-a"):
        read_predictions(tmp_path / "net.predictions")
