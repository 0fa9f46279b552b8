"""The ledger: what other places state, each figure derived by the cause that is named, or red."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
import torch

from rexnet_hub.errors import IndexReadError
from rexnet_hub.index import read_lock
from rexnet_hub.index.ledger import CAUSES, Case, Ledger, count_file, list_own, list_rows, read_ledger
from rexnet_hub.index.lock import Measured, find_lock, read_beside
from rexnet_hub.index.network import entry_plan
from rexnet_hub.nets import find_network
from rexnet_hub.verify import FALSE, HOLDS, NOT_MEASURED, verify_model

M = ("rexnet_100", "rexnet_130", "rexnet_150", "rexnet_200", "rexnet_300.nav_in1k")
ZOO = "https://github.com/openvinotoolkit/open_model_zoo/blob/7ef5b91/models/public/rexnet-v1-x1.0/README.md"
TIMM = "https://github.com/huggingface/pytorch-image-models"
SPEED = "benchmark-infer-fp32-nchw-pt240-cpu-i9_10940x-dynamo.csv"
#: Every figure as it was collected, typed apart from the ledger: place, address, field, then model by model.
FIGURES = {
    ("Holocron", "https://github.com/frgfm/Holocron/blob/cbe2ac6/holocron/models/classification/rexnet.py"): {
        "parameters": "4796186 7556198 9727562 16365244",
        "file_size": "14351299 14351299 14351299 14351299",
        "top1": "77.86 79.50 80.31 80.31",
        "top5": "93.870 94.68 95.17 95.17",
    },
    ("PaddleClas", "https://github.com/PaddlePaddle/PaddleClas/blob/d178931/docs/en/models/ReXNet_en.md"): {
        "parameters": "4.838M 7.611M 9.791M 16.449M 34.833M",
        "flops": "0.415G 0.683G 0.900G 1.561G 3.445G",
        "top1": "77.46 79.13 80.06 81.22 82.09",
        "top5": "93.70 94.64 95.12 95.36 96.12",
    },
    ("OpenVINO's Open Model Zoo", ZOO): {
        "parameters": "4.7779M", "flops": "0.8325G", "top1": "77.86", "top5": "93.87",
    },
    ("timm's card on the Hub", "https://huggingface.co/timm/rexnet_100.nav_in1k/blob/main/README.md"): {
        "top1": "77.832 79.478 80.308 81.652 82.772",
        "top5": "93.886 94.68 95.174 95.668 96.232",
    },
    ("timm's results-imagenet.csv", f"{TIMM}/blob/4e5207c7/results/results-imagenet.csv"): {
        "parameters": "4.80M 7.56M 9.73M 16.37M",
    },
    ("timm's benchmark tables", f"{TIMM}/blob/5c33776a/results/{SPEED}"): {
        "flops": "0.41G 0.68G 0.90G 1.56G 3.44G",
    },
    ("the Hub's badge", "https://huggingface.co/timm/rexnet_100.nav_in1k"): {
        "parameters": "4838313 7610963 9790735 16449442",
    },
}  # fmt: skip
CONFIG = "https://huggingface.co/timm/rexnetr_200.sw_in12k/blob/ed7352e7671f2aaf3cb23a8a199e624527b72c50/config.json"
AUTHORS = ("the authors' README", "https://github.com/clovaai/rexnet/blob/61debcc/README.md")
OTHERS = {
    (*AUTHORS, "parameters", "rexnetv1_2.0x", "19M"),
    (*AUTHORS, "flops", "rexnetv1_2.0x", "1.8B"),
    (*AUTHORS, "parameters", "rexnetv1_3.0x", "34M"),
    (*AUTHORS, "parameters", "rexnet_lite_1.3", "6.8M"),
    ("timm's config.json on the Hub", CONFIG, "crop_pct", "rexnetr_200.sw_in12k", "1.0"),
}


def rows_of(zoo, name, ledger=None):
    entry = zoo.find(name)
    return list_rows(entry, read_lock().of(name), ledger or read_ledger())


def row_of(zoo, name, place, field, ledger=None):
    (row,) = (row for row in rows_of(zoo, name, ledger) if (row.place, row.field) == (place, field))
    return row


def change(place, number, **facts):
    """Return the ledger with other facts in one of a place's figures."""
    ledger = read_ledger()
    changed = tuple(
        replace(
            p, figures=(*p.figures[:number], replace(p.figures[number], **facts), *p.figures[number + 1 :])
        )
        if p.name == place
        else p
        for p in ledger.places
    )
    return replace(ledger, places=changed)


def test_every_figure_is_as_it_was_collected():
    """Places, addresses, fields, models and figures are those of the collection, no more and no less."""
    there = {
        (place.name, place.url, figures.field, model, stated.replace(" ", ""))
        for place in read_ledger().places
        for figures in place.figures
        for model, stated in figures.values.items()
    }
    collected = {
        (*place, field, model, stated)
        for place, fields in FIGURES.items()
        for field, figures in fields.items()
        for model, stated in zip(M, figures.split(), strict=False)
    }

    assert there == collected | OTHERS


#: The cause of each, as it was found: place, field, cause, of which model it is a copy.
NAMES = {
    ("Holocron", "parameters", "biases_before_norms_left_out", None),
    ("Holocron", "file_size", "unknown", None),
    ("Holocron", "file_size", "copied", "rexnet_100"),
    ("Holocron", "top1", "copied", "rexnet_150"),
    ("Holocron", "top5", "copied", "rexnet_150"),
    ("PaddleClas", "parameters", "running_statistics_counted", None),
    ("PaddleClas", "flops", "unknown", None),
    ("PaddleClas", "top1", "suspected", None),
    ("PaddleClas", "top5", "suspected", None),
    ("OpenVINO's Open Model Zoo", "parameters", "unknown", None),
    ("OpenVINO's Open Model Zoo", "flops", "unknown", None),
    ("the Hub's badge", "parameters", "whole_file_counted", None),
    ("timm's benchmark tables", "flops", "macs_of_fvcore", None),
    ("timm's config.json on the Hub", "crop_pct", "unknown", None),
    (AUTHORS[0], "parameters", "suspected", None),
    (AUTHORS[0], "flops", "suspected", None),
    (AUTHORS[0], "parameters", "digits_cut_off", None),
}


def test_every_cause_is_as_it_was_found():
    """No figure has another cause than the one that was found for it."""
    figures = [(place.name, each) for place in read_ledger().places for each in place.figures if each.cause]

    assert {(name, each.field, each.cause, each.of) for name, each in figures} == NAMES


COPY, SUSPECT, NONE = "copied from what it states of", "suspected, not checked", "no cause known"
#: The disagreements of the collection: model, place, field, how it stands, why, whether that holds.
TEN = [
    ("rexnet_200", "Holocron", "top1", "differs by 1.32 points", f"{COPY} rexnet_150", True),
    ("rexnet_200", "Holocron", "file_size", "differs by 51510922", f"{COPY} rexnet_100", True),
    ("rexnet_100", "Holocron", "parameters", "differs by 687", "the biases that a batch norm follows", True),
    ("rexnet_300.nav_in1k", "PaddleClas", "parameters", "differs by 124208", "running means", True),
    ("rexnet_100", "the Hub's badge", "parameters", "differs by 41440", "every number of the file", True),
    ("rexnet_100", "timm's card on the Hub", "top1", "within the spread of runs (by 0.028 points)", "", None),
    ("rexnet_300.nav_in1k", "PaddleClas", "top1", "differs by 0.690 points", SUSPECT, None),
    ("rexnetv1_2.0x", "the authors' README", "parameters", "differs by 2633380", SUSPECT, None),
    ("rexnet_100", "timm's rexnet.md, b9843f95", "flops", "differs by 286751407", NONE, None),
    ("rexnet_100", "OpenVINO's Open Model Zoo", "parameters", "differs by 18973", NONE, None),
    ("rexnet_100", "OpenVINO's Open Model Zoo", "flops", "differs by 35759216", NONE, None),
    ("rexnetr_200.sw_in12k", "timm's config.json on the Hub", "crop_pct", "differs by 0.05", NONE, None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "place", "field", "standing", "cause", "holds"), TEN)
def test_each_known_disagreement_is_shown_with_its_cause(zoo, name, place, field, standing, cause, holds):
    """What places state otherwise is told: by how much, why, and whether that was checked."""
    row = row_of(zoo, name, place, field)

    assert (row.standing, row.holds) == (standing, holds)
    assert row.cause.startswith(cause)


def test_what_is_stated_under_another_name_is_of_the_model(zoo):
    """A figure by timm's name of a model is shown with the others of it."""
    told = change("PaddleClas", 0, values={"rexnet_100.nav_in1k": "4.838 M"})

    assert row_of(zoo, "rexnet_100", "PaddleClas", "parameters", told).holds


def test_no_row_of_ours_is_false_and_most_counts_are_derived(zoo):
    """Of all that is stated of our models nothing contradicts the cause that is named."""
    rows = [row for entry in zoo.models for row in rows_of(zoo, entry.name)]

    assert [row for row in rows if row.holds is False] == []
    assert {row.place for row in rows if row.holds} >= {"Holocron", "PaddleClas", "the Hub's badge"}


#: Of a copy nothing else tells that it is one; three decimals of a million do not tell 62 counters.
UNTOLD = [("copied", "unknown"), ("running_statistics_counted", "whole_file_counted")]
NAMED = sorted({(p.name, n) for p in read_ledger().places for n, each in enumerate(p.figures) if each.cause})


@pytest.mark.parametrize(("place", "number"), NAMED)
def test_a_lie_in_a_cause_is_found(place, number, zoo):
    """Another cause of the field, or none, is false of at least one model; nobody derives a suspicion."""
    (own,) = (p.figures[number] for p in read_ledger().places if p.name == place)
    truth = {name: row_of(zoo, name, place, own.field) for name in own.values}
    others = [name for name, cause in CAUSES.items() if cause.field == own.field] + ["unknown", None]
    for cause in [other for other in others if other != own.cause]:
        if own.cause == "suspected" or (own.cause, cause) in UNTOLD:
            continue  # the names of causes are held above
        told = change(place, number, cause=cause, of=None)
        rows = [row_of(zoo, name, place, own.field, told) for name in own.values]
        assert False in [row.holds for row in rows], (cause, truth)


COUNTED = [(p.name, n) for p in read_ledger().places for n, each in enumerate(p.figures)
           if each.field in ("parameters", "flops") or each.cause == "copied"]  # fmt: skip


@pytest.mark.parametrize(("place", "number"), COUNTED)
def test_a_lie_in_a_derived_figure_is_found(place, number, zoo):
    """A digit more in a figure that agrees, or that a cause derives, is false for `verify`, by its name."""
    (own,) = (p.figures[number] for p in read_ledger().places if p.name == place)
    for name, stated in own.values.items():
        if row_of(zoo, name, place, own.field).holds is None:
            continue  # suspected or unknown: FIGURES above holds these
        told = change(place, number, values={**own.values, name: f"1{stated}"})
        found = verify_model(zoo.find(name), measured=read_lock().of(name), ledger=told)
        verdicts = {finding.claim: finding.verdict for finding in found}
        assert verdicts[f"{own.field} of {place}"] == FALSE


def test_an_accuracy_that_differs_needs_a_cause(zoo):
    """An accuracy further off than runs lie apart is false where no cause is named."""
    told = change("timm's card on the Hub", 0, values={"rexnet_100": "77.70"})

    row = row_of(zoo, "rexnet_100", "timm's card on the Hub", "top1", told)

    assert (row.holds, row.cause) == (False, "not so: it differs, and no cause is named")


def test_a_cause_of_what_agrees_is_false(zoo):
    """A cause that is named where the number is ours is none; nor is it unknown why it agrees."""
    for cause in ("biases_before_norms_left_out", "unknown"):
        told = change("timm's results-imagenet.csv", 0, cause=cause)
        assert row_of(zoo, "rexnet_100", "timm's results-imagenet.csv", "parameters", told).holds is False


@pytest.mark.parametrize("name", [name for name in M if name != "rexnet_130"])
def test_parameters_are_derived_as_torch_counts_them(zoo, name):
    """The three counts are those of the running network: the oracle is torch's own modules."""
    entry = zoo.find(name)
    network = find_network(entry.architecture).build(init=False)
    norms = [each for each in network.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    trained = sum(each.numel() for each in network.parameters())
    reduced = sum(each.numel() for name, each in network.named_parameters() if name.endswith("fc1.bias"))
    case = Case(stated=Decimal(), plan=entry_plan(entry), macs={})

    assert CAUSES["biases_before_norms_left_out"].derive(case) == trained - reduced
    running = sum(2 * each.num_features for each in norms)
    assert CAUSES["running_statistics_counted"].derive(case) == trained + running
    assert CAUSES["whole_file_counted"].derive(case) == trained + running + len(norms)
    assert count_file(entry) == trained + running + len(norms)


def test_the_suspected_figure_is_of_that_width():
    """19M parameters are those of a ReXNet of width 2.2, by our own plan of one."""
    network = find_network("rexnet_200")
    plan = network.family.plan(network.config._replace(width=2.2))

    assert round(plan.parameters / 1e6) == 19


def test_authors_flops_are_multiply_adds_and_the_seeds_are_nobodys(zoo):
    """The FLOPs of every checkpoint of the authors are derived; those of the seed by no count."""
    lock = read_lock()
    causes = {
        entry.name: row.cause for entry in zoo.models for row in list_own(entry, lock.of(entry.name), "flops")
    }

    assert {name for name, cause in causes.items() if cause == "no cause known"} == set(M[:4])
    assert {causes[name] for name in causes if name not in M} == {"multiply-adds, called FLOPs"}


def test_verify_says_each_place(zoo):
    """Each figure of a place is a finding: it holds, or is not measured."""
    found = verify_model(zoo.find("rexnet_100"), measured=read_lock().of("rexnet_100"), ledger=read_ledger())
    verdicts = {finding.claim: finding.verdict for finding in found}

    assert verdicts["parameters of Holocron"] == HOLDS
    assert verdicts["flops of OpenVINO's Open Model Zoo"] == NOT_MEASURED
    assert FALSE not in verdicts.values()


def test_what_is_not_counted_yet_is_not_judged(zoo):
    """Without a lock the operations are not known, so no cause is found or denied."""
    rows = [
        row for row in list_rows(zoo.find("rexnet_100"), Measured(), read_ledger()) if row.field == "flops"
    ]

    assert {(row.standing, row.holds) for row in rows} == {("claimed", None)}


WRONG = {
    '"cause": "weather"': "places[0].figures[0].cause: expected one of biases_before_norms_left_out",
    '"cause": "macs_of_fvcore"': "places[0].figures[0]: macs_of_fvcore is a cause of flops, not of",
    '"cause": "copied"': "places[0].figures[0]: `of` goes with the cause copied",
    '"of": "b"': "places[0].figures[0]: `of` goes with the cause copied",
    '"field": "colour"': "places[0].figures[0].field:",
    '"values": {"a": "many"}': "places[0].figures[0].values.a:",
    '"why": "so"': "places[0].figures[0].why: is not a key here",
}


@pytest.mark.parametrize("fact", WRONG)
def test_what_is_no_ledger_is_refused_at_its_place(fact, tmp_path):
    """An unknown cause, field or key, a number that is none, and a copy of nothing are said in place."""
    figures = {"field": "parameters", "values": {"a": "4.8M"}} | json.loads("{" + fact + "}")
    file = tmp_path / "ledger.json"
    file.write_text(json.dumps({"version": 1, "places": [{"name": "p", "figures": [figures]}]}, indent=1))

    with pytest.raises(IndexReadError) as refused:
        read_beside(Ledger, file)

    assert str(refused.value).startswith(f"{file}:")
    assert WRONG[fact] in str(refused.value)


def test_models_that_the_index_has_not_are_named():
    """A row of a model that left the index is refused, not dropped."""
    with pytest.raises(IndexReadError) as refused:
        read_ledger().require_models([name for name in M if name != "rexnet_150"])

    assert str(refused.value).startswith(str(find_lock().with_name("ledger.json")))
    assert "Holocron states rexnet_150" in str(refused.value)
    assert "the authors' README states rexnetv1_2.0x" in str(refused.value)
