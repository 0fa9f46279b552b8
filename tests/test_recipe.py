"""A recipe is the command that the claims amount to, each flag with its field, and nothing guessed."""

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from entries import SEEDS

from rexnet_hub.index import load_index
from rexnet_hub.nets.families.rexnet import FAMILY
from rexnet_hub.recipe import ARGUMENTS, OPEN, OTHERS, TECHNIQUES, make_recipe

ARGUMENT_FILE = Path(__file__).resolve().parent / "data/timm_train_arguments.txt"
COMMAND = (
    "torchrun --nproc_per_node=4 train.py --data-dir DATA --model rexnet_100 --batch-size 128 --num-classes 1000 --opt sgd --lr 0.5 "  # noqa: E501
    "--momentum 0.9 --weight-decay 1.0e-05 --epochs 400 --sched cosine --drop 0.2 --smoothing 0.1 "
    "--input-size 3 224 224 --interpolation bicubic --crop-pct 0.875 --mean 0.485 0.456 0.406 "
    "--std 0.229 0.224 0.225"
)


def _train_parser():
    """Build a parser of the arguments that timm's train.py had at the commit that the data file names."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    for line in ARGUMENT_FILE.read_text().splitlines():
        if not line.startswith("#"):
            flag, kind = line.split()
            count, _, word = kind.rpartition("*")
            options: dict[str, Any] = (
                {"action": "store_true"}
                if word == "flag"
                else {"type": {"int": int, "float": float, "str": str}[word]}
            )
            parser.add_argument(
                flag, **options | ({"nargs": int(count) if count.isdigit() else count} if count else {})
            )
    return parser


def test_the_seed_s_recipe():
    """The command of rexnet_100 is the one that its claims amount to, in full."""
    assert make_recipe(load_index().find("rexnet_100")).command == COMMAND


@pytest.mark.parametrize("entry", load_index(SEEDS).models, ids=lambda entry: entry.name)
def test_the_training_script_takes_the_command(entry):
    """Every flag and value parses with train.py's arguments, and means what the entry says."""
    words = shlex.split(make_recipe(entry).command)
    told = _train_parser().parse_args(words[words.index("train.py") + 1 :])

    assert (told.model, told.lr, told.momentum, told.weight_decay) == (entry.name, 0.5, 0.9, 1e-5)
    assert (told.epochs, told.batch_size * 4, told.drop, told.smoothing) == (400, 512, 0.2, 0.1)
    assert (told.input_size, told.crop_pct, told.interpolation) == ([3, 224, 224], 0.875, "bicubic")
    assert (told.opt, told.sched, told.num_classes) == ("sgd", "cosine", 1000)
    assert (told.mean, told.std) == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def test_every_argument_of_a_log_comes_back(read):
    """What an entry carries of a training log parses with train.py's arguments as what it was."""
    given = {
        "mixup": 0.8, "scale": [0.35, 1.0], "model_ema": True, "clip_grad": 5.0, "remode": "const",
        "sync_bn": False, "decay_milestones": [30, 60], "opt_eps": 1e-08, "drop_path": 0.1, "amp": True,
        "amp_dtype": "bfloat16",
    }  # fmt: skip
    metadata = {
        "Num Classes": 37,
        "Image Size": 96,
        "Model Args": {"in_chans": 1},
        "Training Arguments": given,
    }
    text = json.dumps({"Models": [{"Name": "rexnet_100", "Metadata": metadata}]})
    index = read(text, file="index.json")
    assert index.problems == ()
    words = shlex.split(make_recipe(index.models[0]).command)
    told = vars(_train_parser().parse_args(words[words.index("train.py") + 1 :]))
    assert {name: told[name] for name in given} == given
    assert (told["num_classes"], told["input_size"]) == (37, [1, 96, 96])
    assert {name for name in OTHERS if f"--{name.replace('_', '-')}" in ARGUMENT_FILE.read_text()} == {
        *OTHERS
    }


def test_every_argument_is_one_of_the_script():
    """No argument that a recipe can name, stated or open, is unknown to train.py; a wrong one would be."""
    known = {line.split()[0] for line in ARGUMENT_FILE.read_text().splitlines()}
    named = {
        *ARGUMENTS.values(),
        *(word for argument in OPEN.values() for word in argument.split() if word[0] == "-"),
    }

    assert {*named, "--model", "--batch-size", "--data-dir"} <= known
    with pytest.raises(argparse.ArgumentError):
        _train_parser().parse_args(["--lr", "fast"])
    assert {field for field, _ in TECHNIQUES.values()} <= set(ARGUMENTS)


def test_values_are_known_to_timm():
    """Timm's own factories know the optimiser, the schedule and the augmentation that a recipe names."""
    import torch
    from timm.data.auto_augment import rand_augment_transform
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2

    optimizer = create_optimizer_v2(torch.nn.Linear(1, 1), opt="sgd", lr=0.5, weight_decay=1e-5, momentum=0.9)
    create_scheduler_v2(optimizer, sched="cosine", num_epochs=400)

    assert optimizer.param_groups[0]["nesterov"]
    assert rand_augment_transform(FAMILY.words().command["auto_augment"], {})


def test_each_flag_names_its_field():
    """Each flag says which field it is from, and where that stands."""
    entry = load_index().find("rexnet_130")
    recipe = make_recipe(entry)
    origins = {flag.argument: flag.origin for flag in recipe.flags}

    assert origins["--opt"] == "Training Techniques: Nesterov Accelerated Gradient"
    assert origins["--batch-size"] == "Batch Size 512 over 4 devices (Training Resources)"
    assert origins["--drop"] == "Dropout"
    shared = {"--mean", "--std", "--num-classes"}  # stated of the whole collection, above the models
    assert {flag.argument for flag in recipe.flags if flag.location.line < 80} == shared
    assert {flag.location.file.name for flag in recipe.flags} == {"rexnet.yml"}


def test_what_is_open_is_said():
    """What the authors' own command has and the entry does not is listed, never added."""
    recipe = make_recipe(load_index().find("rexnet_200"))

    assert [item.argument for item in recipe.unstated] == [
        "--aa",
        "--remode pixel --reprob",
        "--amp",
        "--warmup-epochs",
    ]
    assert "for rexnet_100 has `--aa rand-m9-mstd0.5`" in recipe.unstated[0].note
    assert "--aa" not in recipe.command


def test_a_network_that_the_script_cannot_build_is_said():
    """The script is timm's, and timm has no ReXNet-lite: the command cannot run; the first line says so."""
    recipe = make_recipe(load_index().find("rexnet_lite_1.0"))

    assert recipe.unstated[0].argument == "--model rexnet_lite_100"
    assert "timm has no such network" in recipe.unstated[0].note


def test_a_bare_entry_gives_a_bare_command(read):
    """An entry without hyper-parameters gives its network's name, and everything else is open."""
    recipe = make_recipe(read("Models: {Name: a b}").models[0])

    assert recipe.command == "python train.py --data-dir DATA --model 'a b'"
    assert {item.argument for item in recipe.unstated} == {
        "--batch-size",
        *(argument for argument in OPEN.values()),
    }


def test_stated_fields_settle_what_is_open(read):
    """Fields that an entry adds take the place of what was listed or open."""
    entry = read(
        "Models: {Name: a, Metadata: {Optimizer: lamb, LR Schedule: step, Warmup Epochs: 3, Random Erasing: 0.2, "  # noqa: E501
        "Auto Augment: rand-m9, Batch Size: 100, Training Resources: 3x GPU, Training Techniques: [Nesterov Accelerated Gradient]}}"  # noqa: E501
    ).models[0]
    recipe = make_recipe(entry)

    assert "--opt lamb" in recipe.command
    assert "--warmup-epochs 3" in recipe.command
    assert "--batch-size" not in recipe.command
    assert [item.argument for item in recipe.unstated] == [
        "--batch-size",
        "--amp",
        "--lr",
        "--epochs",
        "--weight-decay",
        "--drop",
    ]


def test_text_of_an_entry_cannot_leave_the_command(read):
    """What a shell would act on is quoted."""
    recipe = make_recipe(read("Models: {Name: a, Metadata: {Interpolation: '$(id);x|y'}}").models[0])

    assert shlex.split(recipe.command)[-1] == "$(id);x|y"


@pytest.mark.parametrize("text", ["sgd --resume evil.pth", "--resume=evil.pth", "-x", "a\nb", "$(touch ran)"])
def test_a_text_is_one_word_of_the_command_and_no_option(read, text):
    """Whatever an optimiser is called, train.py is told that and nothing else."""
    import json

    model = {"Name": "rexnet_100", "Metadata": {"Optimizer": text, "Image Size": 224}}
    recipe = make_recipe(read(json.dumps({"Models": [model]}), file="index.json").models[0])
    words = shlex.split(recipe.command)
    told = _train_parser().parse_args(words[words.index("train.py") + 1 :])
    assert (told.opt, told.input_size) == (text, [3, 224, 224])
