"""The package's public names can be had, for type checkers too, and importing it stays light until one is."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import rexnet_hub


@pytest.mark.parametrize("name", sorted(set(rexnet_hub.__all__) - {"__version__"}))
def test_every_public_name_is_there(name):
    """Each public name is there, and callable or a class."""
    assert callable(getattr(rexnet_hub, name))


def test_a_wrong_name_is_an_attribute_error():
    """A name that is not public is missing as any attribute is."""
    with pytest.raises(AttributeError, match="'nothing'"):
        _ = getattr(rexnet_hub, "nothing")  # noqa: B009 - type checkers see it too
    assert dir(rexnet_hub) == sorted(rexnet_hub.__all__)


def typed_names(source):
    """Map each name imported for type checkers alone to the module that it comes from."""
    (block,) = (node for node in ast.parse(source).body if isinstance(node, ast.If))
    return {
        alias.asname: (each.module, alias.name)
        for each in block.body
        if isinstance(each, ast.ImportFrom)
        for alias in each.names
    }


def test_type_checkers_see_the_same_names():
    """Each public name is imported for type checkers too, from a module that gives the same thing."""
    typed = typed_names(Path(rexnet_hub.__file__).read_text())

    assert set(typed) == set(rexnet_hub.__all__) - {"__version__"}
    for name, (module, imported) in typed.items():
        assert getattr(importlib.import_module(module), imported) is getattr(rexnet_hub, name)


def test_the_version_is_the_projects():
    """The package and pyproject.toml say the same version."""
    import tomllib

    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert rexnet_hub.__version__ == project["version"]


def test_importing_the_package_imports_nothing_heavy():
    """`import rexnet_hub` imports no other module of ours and nothing of anybody else."""
    script = (
        "import sys; before = set(sys.modules); import rexnet_hub; print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "yaml", "numpy"} & set(eval(done.stdout))
