"""The lock keeps what was measured, in the same bytes each time, and says what is wrong with a bad one."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import bear_out

from rexnet_hub.errors import FileProblem, IndexReadError
from rexnet_hub.index.lock import (
    Lock,
    Measured,
    MeasuredEvaluation,
    MeasuredFile,
    MeasuredHub,
    MeasuredMacs,
    MeasuredTensors,
    Publication,
    read_lock,
    render_lock,
    write_lock,
)

WHOLE = Measured(
    released=MeasuredFile(sha256="a" * 64, size_bytes=19417552),
    safetensors=MeasuredFile(sha256="b" * 64, size_bytes=19393316, fingerprint="sha256:c"),
    parameters=4796873,
    tensors=MeasuredTensors(count=413, size_bytes=19353500),
    macs={"conv_linear": MeasuredMacs(count=398359520, input_px=224, counter="rexnet_hub 0.1.0")},
    hub=MeasuredHub(repo_id="rexnet-hub/rexnet_100", commit="d" * 40, tag="v1"),
    published=(
        Publication(date="2026-01-02", repo_id="o/m", commit="c" * 40, weights_sha256="a" * 64),
        Publication(date="2026-02-03", repo_id="o/m", commit="d" * 40, weights_sha256="b" * 64, tag="v1"),
    ),
    evaluations=(
        MeasuredEvaluation(
            record_sha256="e" * 64,
            dataset="ImageNet-1k",
            split="validation",
            images=50000,
            top1_count=38931,
            top5_count=46945,
        ),
        MeasuredEvaluation(
            record_sha256="f" * 64, dataset="Pets", images=3669, top1_count=3400, top5_count=3600
        ),
    ),
)


def test_a_lock_comes_back_as_it_was(tmp_path):
    """What is written is read again, equal, and written again in the same bytes."""
    whole = bear_out(tmp_path, "b", WHOLE)
    lock = Lock(models={"b": whole, "a": Measured(parameters=1), "c": Measured()})
    file = tmp_path / "lock.json"
    write_lock(lock, file)
    data = file.read_bytes()
    write_lock(read_lock(file), file)

    assert read_lock(file) == lock
    assert file.read_bytes() == data
    assert list(json.loads(data)["models"]) == ["a", "b", "c"]
    assert b"null" not in data


def test_what_is_not_there_is_not_measured(tmp_path, monkeypatch):
    """A model that the lock does not know, and a lock that does not exist, give empty measurements."""
    assert Lock().of("x") == Measured()
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path))
    assert read_lock() == Lock()
    write_lock(Lock(models={"a": bear_out(tmp_path, "a", WHOLE)}), tmp_path / "lock.json")
    assert read_lock().of("a").hub.repo_id == "rexnet-hub/rexnet_100"
    (tmp_path / "index.yml").write_text("Models: []")
    monkeypatch.setenv("REXNET_HUB_INDEX", str(tmp_path / "index.yml"))
    assert read_lock().of("a").parameters == 4796873


def test_a_named_lock_must_exist(tmp_path):
    """A lock that was asked for by name and is not there is a problem."""
    with pytest.raises(FileProblem, match="No such file"):
        read_lock(tmp_path / "no.json")


def test_the_one_evaluation_of_an_earlier_lock_is_read(tmp_path):
    """A lock from when a model had one evaluation, of no stated split, is read as it was meant."""
    whole = bear_out(tmp_path, "a", WHOLE)
    data = json.loads(render_lock(Lock(models={"a": whole})))
    evaluation = data["models"]["a"].pop("evaluations")[1]
    data["models"]["a"]["evaluation"] = evaluation
    (tmp_path / "lock.json").write_text(json.dumps(data))

    assert read_lock(tmp_path / "lock.json").of("a").evaluations == whole.evaluations[1:]


@pytest.mark.parametrize("gone", [0, 1])
def test_an_accuracy_without_its_evidence_is_not_read(gone, tmp_path):
    """Each that lacks its record or its predictions is named, at its line, with what to do."""
    whole = bear_out(tmp_path, "a", WHOLE)
    write_lock(Lock(models={"a": whole}), tmp_path / "lock.json")
    for run in whole.evaluations:
        (tmp_path / "evidence" / run.file_names[gone]).unlink()
    with pytest.raises(IndexReadError) as caught:
        read_lock(tmp_path / "lock.json")
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    for line, run in zip(lines, whole.evaluations, strict=True):
        assert re.search(r"lock\.json:\d+:\d+: models\.a\.evaluations\[[01]\]: is stated without", line)
        assert run.file_names[gone] in line
        assert "rexnet-hub lock NAME --record FILE" in line


@pytest.mark.parametrize(
    ("name", "value"), [("images", 50001), ("top1_count", 3), ("dataset", "Pets"), ("split", "test")]
)
def test_a_number_that_its_record_does_not_state_is_not_read(name, value, tmp_path):
    """Counts, images and place in a lock are those of the record, and the record is of that model."""
    whole = bear_out(tmp_path, "a", WHOLE)
    told = replace(whole.evaluations[0], **{name: value})
    for model, run in (("a", told), ("b", whole.evaluations[0])):
        write_lock(Lock(models={model: Measured(evaluations=(run,))}), tmp_path / "lock.json")
        with pytest.raises(IndexReadError, match=r"is not what \S+ states"):
            read_lock(tmp_path / "lock.json")


def test_one_model_is_replaced():
    """`with_model` gives another lock and leaves the first."""
    first = Lock(models={"a": WHOLE})
    second = first.with_model("a", Measured(parameters=2)).with_model("b", WHOLE)

    assert (first.of("a"), second.of("a").parameters, second.of("b")) == (WHOLE, 2, WHOLE)


def _edit(change):
    data = json.loads(render_lock(Lock(models={"a": WHOLE})))
    change(data)
    return json.dumps(data, indent=2)


def _set(*path, value):
    def change(data):
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


BAD = {
    "no JSON": ("{", ":1:2: not JSON"),
    "a list": ("[]", "version"),
    "version by another name": (_edit(_set("version", value=True)), "version"),
    "beyond counting": (
        _edit(_set("models", "a", "parameters", value=10**30)),
        "models.a.parameters: expected a whole number",
    ),
    "other version": (_edit(_set("version", value=2)), "version"),
    "key at the top": (_edit(_set("x", value=2)), ": x: is not a key"),
    "unknown key": (_edit(_set("models", "a", "relesed", value={})), "models.a.relesed: is not a key"),
    "unknown inner key": (
        _edit(_set("models", "a", "hub", "url", value="")),
        "models.a.hub.url: is not a key",
    ),
    "missing key": (
        _edit(lambda data: data["models"]["a"]["hub"].pop("commit")),
        "models.a.hub.commit: is missing",
    ),
    "short digest": (_edit(_set("models", "a", "released", "sha256", value="abc")), "expected 64 lower-case"),
    "upper digest": (
        _edit(_set("models", "a", "released", "sha256", value="A" * 64)),
        "expected 64 lower-case",
    ),
    "negative": (
        _edit(_set("models", "a", "parameters", value=-1)),
        "models.a.parameters: expected a whole number",
    ),
    "no list": (_edit(_set("models", "a", "published", value={})), "models.a.published: expected a list"),
    "no day": (
        _edit(_set("models", "a", "published", 0, "date", value="soon")),
        "models.a.published[0].date: expected a day",
    ),
    "no picture": (
        _edit(_set("models", "a", "macs", "conv_linear", "input_px", value=0)),
        "conv_linear.input_px: expected a whole number of pixels",
    ),
    "huge picture": (
        _edit(_set("models", "a", "macs", "conv_linear", "input_px", value=10**9)),
        "conv_linear.input_px: expected a whole number of pixels",
    ),
    "more right than there are": (
        _edit(_set("models", "a", "evaluations", 1, "top1_count", value=10**9)),
        "models.a.evaluations[1]: counts more top-1",
    ),
    "truth value": (_edit(_set("models", "a", "parameters", value=True)), "expected a whole number"),
    "float": (
        _edit(_set("models", "a", "macs", "conv_linear", "count", value=1.5)),
        "conv_linear.count: expected",
    ),
    "text for record": (_edit(_set("models", "a", "hub", value="x")), "models.a.hub: expected an object"),
    "null": (_edit(_set("models", "a", "macs", value=None)), "models.a.macs: expected an object"),
    "twice": ('{"version": 1, "models": {"a": {}, "a": {}}}', "stands twice"),
    "deep": ('{"version": 1, "models": ' + '{"a":' * 100_000, "not JSON"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_lock_is_refused_at_its_place(tmp_path, case):
    """Each mistake is an error that names the file and the key."""
    text, message = BAD[case]
    file = tmp_path / "lock.json"
    file.write_text(text)

    with pytest.raises(IndexReadError) as caught:
        read_lock(file)
    assert str(caught.value).startswith(str(file))
    assert message in str(caught.value)


def test_every_mistake_is_listed_with_its_line(tmp_path):
    """Two mistakes are two lines, each with the line of its key."""

    def change(data):
        data["models"]["a"]["parameters"] = "many"
        data["models"]["a"]["released"]["size_bytes"] = -1

    file = tmp_path / "lock.json"
    file.write_text(_edit(change))
    with pytest.raises(IndexReadError) as caught:
        read_lock(file)
    lines = file.read_text().splitlines()

    told = sorted(str(caught.value).splitlines())
    assert [line.rsplit(": ", 2)[1].rsplit(".")[-1] for line in told] == ["parameters", "size_bytes"]
    for line in told:
        number = int(line.removeprefix(f"{file}:").split(":")[0])
        assert line.split(": ")[1].rsplit(".")[-1] in lines[number - 1]


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["version", "models", "a", "released", "macs", "sha256"]), inner, max_size=3
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_a_lock_or_refused(data):
    """Whatever JSON stands in the file, it is a lock or one error of ours."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lock.json"
        file.write_text(json.dumps({"version": 1, "models": {"m": data}}))
        try:
            told = str(read_lock(file)) + str(file)
        except IndexReadError as error:
            told = str(error)
        assert str(file) in told
