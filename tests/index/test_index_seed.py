"""The zoo's index holds the seed's block, every value unchanged."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SEED = yaml.safe_load((ROOT / "tests/data/seed_block.yml").read_text())
OURS = yaml.safe_load((ROOT / "model_index/rexnet.yml").read_text())


def differences(seed, ours, path=""):
    """Yield every value of the seed that ours lacks or says otherwise; what ours adds is no difference."""
    if isinstance(seed, dict):
        for key, value in seed.items():
            if not isinstance(ours, dict) or key not in ours:
                yield f"{path}/{key} is missing"
            else:
                yield from differences(value, ours[key], f"{path}/{key}")
    elif isinstance(seed, list):
        if not isinstance(ours, list) or len(ours) != len(seed):
            yield f"{path} has another length"
        else:
            for number, pair in enumerate(zip(seed, ours, strict=True)):
                yield from differences(*pair, f"{path}[{number}]")
    elif (type(seed), seed) != (type(ours), ours):
        yield f"{path}: {ours!r} is not {seed!r}"


def leaves(value):
    """List the paths of all scalar values."""
    if isinstance(value, dict):
        return [(key, *rest) for key, inner in value.items() for rest in leaves(inner)]
    if isinstance(value, list):
        return [(number, *rest) for number, inner in enumerate(value) for rest in leaves(inner)]
    return [()]


def test_every_value_of_the_seed_stands_unchanged():
    """Value by value, with its type, the index says what the seed says."""
    assert len(leaves(SEED)) > 130
    assert list(differences(SEED, OURS)) == []


@pytest.mark.parametrize("path", leaves(SEED), ids=lambda path: ".".join(map(str, path)))
def test_a_changed_value_is_found(path):
    """Whichever value is changed, the comparison says no."""
    changed = yaml.safe_load(yaml.safe_dump(OURS))
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = "something else"
    assert len(list(differences(SEED, changed))) == 1


def test_what_the_seed_lacks_says_where_it_is_from(index):
    """Licence, current title, input statistics, class count and split each name their source."""
    for entry in index.models:
        assert entry.license.value == "MIT"
        assert entry.license.source.startswith("https://github.com/clovaai/rexnet/")
        assert entry.current_paper.title == "Rethinking Channel Dimensions for Efficient Model Design"
        assert entry.current_paper.source
        assert entry.paper.title.startswith("ReXNet: Diminishing")
        for name in ("num_classes", "image_mean", "image_std"):
            assert entry.metadata[name].source.startswith("https://github.com/huggingface/"), name
        assert [result.split.value for result in entry.results] == ["validation"]


def test_input_settings_are_timms(index):
    """Size, crop, interpolation, mean and standard deviation are those of timm's own configuration."""
    import timm

    for entry in index.models:
        theirs = timm.get_pretrained_cfg(f"{entry.name}.nav_in1k")
        ours = entry.preprocessing
        assert (3, ours.input_px, ours.input_px) == theirs.input_size
        assert ours.crop_fraction == theirs.crop_pct
        assert ours.interpolation == theirs.interpolation
        assert (ours.mean, ours.std) == (theirs.mean, theirs.std)
        assert entry.value("num_classes") == theirs.num_classes
        assert entry.license.value.lower() == theirs.license
