"""The world on this machine is as the index says: nothing in it is false, and a planted fault is seen."""

import pytest
from world import drawn

from rexnet_hub.cli import main


@pytest.mark.slow
def test_nothing_is_false_in_it(world, capsys):
    """Each source serves the same tensors, each cited place says what it is cited for."""
    world.serve("rexnet_100", "rexnetv1_1.0x").commit()
    for name in ("rexnet_100", "rexnetv1_1.0x"):
        assert main(["fetch", name, "--all"]) == 0
        assert main(["watch", name]) == 0
    said = capsys.readouterr()
    assert "0 false, 0 not reached" in said.err
    assert main(["verify", "rexnet_100"]) == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda world: world.web.lies.update({world.path("rexnet_100"): ["status 404"]}),
        lambda world: world.put("rexnet_100", drawn("rexnet_100", seed=1).safetensors),
    ],
)
def test_what_is_planted_is_seen(world, spoil):
    """The checks that it passes say no."""
    world.serve("rexnet_100")
    spoil(world)
    assert main(["fetch", "rexnet_100", "--all"]) == 1
