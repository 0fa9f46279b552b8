"""The package's public names open, and the package stays light until they do."""

import subprocess
import sys

import pytest

import rexnet_hub


@pytest.mark.parametrize("name", sorted(set(rexnet_hub.__all__) - {"__version__"}))
def test_every_door_opens(name):
    """Each public name is there, and callable or a class."""
    assert callable(getattr(rexnet_hub, name))


def test_a_wrong_name_is_an_attribute_error():
    """A name that is no door is missing as any attribute is."""
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = rexnet_hub.nothing
    assert dir(rexnet_hub) == sorted(rexnet_hub.__all__)


def test_the_version_is_the_projects():
    """The package and pyproject.toml say the same version."""
    import tomllib
    from pathlib import Path

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert rexnet_hub.__version__ == project["version"]


def test_importing_the_package_imports_nothing_heavy():
    """`import rexnet_hub` imports no other module of ours and nothing of anybody else."""
    script = (
        "import sys; before = set(sys.modules); import rexnet_hub; print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "yaml", "numpy"} & set(eval(done.stdout))
