"""One name is one thing in the package, and docstrings open with a verb of the field."""

import ast
import re
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "rexnet_hub"
DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
#: Names that several modules may define, and why; a function with an underscore is its own module's business.
SHARED = {"main": "the entry point of a program: of the command line, and of the witness, which stands alone"}
HOUSE_WORDS = "ask bring give hand hold keep let look mend put say tell what whether how who where"


def parsed_modules():
    """Map the path of each file of the package to its syntax tree."""
    return {file.relative_to(PACKAGE): ast.parse(file.read_text()) for file in PACKAGE.rglob("*.py")}


def names_of_two_things(modules):
    """List classes and public functions that two modules define, and file names that two folders have."""
    places = defaultdict(set)
    for path, tree in modules.items():
        if not path.name.startswith("__"):
            places[path.name].add(path.parent)
        for node in tree.body:
            if isinstance(node, DEFINITIONS) and (isinstance(node, ast.ClassDef) or node.name[0] != "_"):
                places[node.name].add(path)
    return sorted(name for name, those in places.items() if len(those) > 1 and name not in SHARED)


def house_openings(modules):
    """List the modules, classes and functions whose docstring opens with a house word; a property may."""
    wrong = []
    for path, tree in modules.items():
        for node in ast.walk(tree):
            if not isinstance(node, (ast.Module, *DEFINITIONS)):
                continue
            if any("property" in ast.unparse(line) for line in getattr(node, "decorator_list", ())):
                continue
            words = (ast.get_docstring(node) or "").split()
            if words and words[0].lower().strip(",.:;") in HOUSE_WORDS.split():
                wrong.append(f"{path}: {getattr(node, 'name', 'the module')}")
    return wrong


def test_a_name_is_one_thing():
    """No class, public function or file name is met twice in the package."""
    assert names_of_two_things(parsed_modules()) == []


def test_a_name_of_two_things_is_found():
    """The check says no to a function, a class and a file name met twice; private functions may be."""
    twice = ast.parse("def read(): ...\ndef _line(): ...\ndef main(): ...\nclass _Wrong: ...")
    modules = {Path("a/one.py"): twice, Path("b/one.py"): twice}

    assert names_of_two_things(modules) == ["_Wrong", "one.py", "read"]


def test_docstrings_open_with_a_word_of_the_field():
    """No docstring of a module, class or function opens with a word that only this project uses so."""
    assert house_openings(parsed_modules()) == []


def test_a_house_word_is_found():
    """The check says no to a module, a function and a method, and lets a property be."""
    text = '''"""What it is."""
def f():
    """Hold one against the other."""
class C:
    """Read it."""
    def m(self):
        """Say it."""
    @property
    def p(self):
        """Whether it is."""
'''
    assert house_openings({Path("a.py"): ast.parse(text)}) == ["a.py: the module", "a.py: f", "a.py: m"]


def wide_lines(text):
    """List the lines of the drawing that do not fit on a screen of 100 columns."""
    (drawing,) = re.findall(r"```text\n(layer .*?)```", text, re.DOTALL)
    return [line for line in drawing.splitlines() if len(line) > 100]


def test_the_drawing_fits_on_a_screen():
    """No line of the drawing of layers in the README is longer than 100 characters."""
    assert wide_lines((PACKAGE.parent / "README.md").read_text()) == []


def test_a_wide_line_is_found():
    """The check says no to a line of 101 characters and lets one of 100 be."""
    assert wide_lines(f"```text\nlayer {'x' * 94}\n{'y' * 101}\n```") == ["y" * 101]
