"""The README's drawing is true: every module is drawn, every import goes down."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "rexnet_hub"


def read_drawing(text):
    """Map each drawn file or folder to its height; the ground is 0."""
    (block,) = re.findall(r"```text\n(layer .*?)```", text, re.DOTALL)
    layers: list[list[str]] = []
    for line in block.splitlines():
        layer, name = line[:10].strip(), line[10:].split()[0]
        if layer:
            layers.append([])
        layers[-1].append(name)
    return {name: height for height, names in enumerate(reversed(layers)) for name in names}


def drawn_module(file):
    """Name the drawn module or package that a file of the package belongs to."""
    top, *rest = file.relative_to(PACKAGE).parts
    return f"{top}/" if rest else top


def imported_modules(file):
    """Name the drawn modules that a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        for module in modules:
            parts = module.split(".")
            if parts[0] == "rexnet_hub" and len(parts) > 1:
                yield f"{parts[1]}.py" if (PACKAGE / f"{parts[1]}.py").exists() else f"{parts[1]}/"


def wrong_imports(heights, imports):
    """List the imports that do not go down."""
    return [
        f"{here} imports {there}"
        for here, there in imports
        if here != there and there in heights and heights[there] >= heights[here]
    ]


def package_files():
    return [file for file in PACKAGE.rglob("*.py") if file != PACKAGE / "__init__.py"]


def test_every_file_is_drawn_and_every_drawn_file_exists():
    """The drawing and the folder hold the same names."""
    drawn = read_drawing((ROOT / "README.md").read_text())

    assert set(drawn) == {drawn_module(file) for file in package_files()}


def test_every_import_goes_down():
    """No file imports from its own layer or from one above."""
    heights = read_drawing((ROOT / "README.md").read_text())
    imports = {(drawn_module(file), there) for file in package_files() for there in imported_modules(file)}

    assert wrong_imports(heights, sorted(imports)) == []


def test_an_import_that_goes_up_is_found():
    """The check says no to an upward and to a sideways import."""
    heights = {"errors.py": 0, "index/": 1, "nets/": 2, "weights/": 2}

    found = wrong_imports(heights, [("index/", "nets/"), ("nets/", "weights/"), ("nets/", "index/")])

    assert found == ["index/ imports nets/", "nets/ imports weights/"]


def imported_files(file):
    """Name the files of the package that a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rexnet_hub"):
            folder = ROOT.joinpath(*node.module.split("."))
            for name in node.names:
                places = (folder / f"{name.name}.py", folder.with_suffix(".py"), folder / "__init__.py")
                yield next(place for place in places if place.exists())


def circle(imports):
    """Find files that import each other in a circle, lazily or not; empty where there is none."""
    done: set[object] = set()
    path: list[object] = []

    def walk(file):
        if file in path:
            return path[path.index(file) :]
        if file not in done:
            path.append(file)
            for there in imports.get(file, ()):
                if there != file and (found := walk(there)):
                    return found
            path.pop()
            done.add(file)
        return []

    return next((found for file in imports if (found := walk(file))), [])


def test_no_files_import_each_other_in_a_circle():
    """Within a package too, each file can be read after those that it imports."""
    imports = {file: set(imported_files(file)) for file in package_files()}

    assert [file.name for file in circle(imports)] == []


def test_a_circle_is_found():
    """The check says no to a circle of three files."""
    assert circle({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}) == ["a", "b", "c"]


def test_a_module_says_in_its_first_line_what_the_readme_says():
    """The first line of a file's or package's docstring is its line in the drawing, but for its verb form."""
    (block,) = re.findall(r"```text\n(layer .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for line in block.splitlines():
        name, meaning = line[10:].split(maxsplit=1)
        file = PACKAGE / name / "__init__.py" if name.endswith("/") else PACKAGE / name
        first = (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")[0]
        assert first.rstrip(".").lower() == meaning.lower(), name


def drawn_errors(docstring):
    """Map each class of the drawn tree to its parent."""
    parents: dict[str, str] = {}
    path: list[str] = []
    for line in docstring.splitlines():
        if match := re.match(r"([│ ├└─]*)(\w+(?:Error|Problem))\b", line):
            depth = len(match[1]) // 4
            path[depth:] = [match[2]]
            parents[match[2]] = path[depth - 1] if depth else "Exception"
    return parents


def test_the_tree_of_errors_is_the_one_drawn():
    """Every error class is drawn in errors.py, under its parent."""
    from rexnet_hub import errors

    real = {
        name: thing.__bases__[0].__name__
        for name, thing in vars(errors).items()
        if isinstance(thing, type) and issubclass(thing, Exception)
    }

    assert drawn_errors(errors.__doc__) == real


#: The family that is built in, by its name; not this repository's own, nor the prose that says what it is of.
FAMILY_NAME = re.compile(r"rexnet(?!_hub|-hub|hub)(?! model zoo)", re.IGNORECASE)


def test_a_family_is_named_in_its_own_folder_alone():
    """What is special about a family stands in `nets/`: no other module or template names one."""
    modules = [file for file in package_files() if file.relative_to(PACKAGE).parts[0] != "nets"]
    texts = [*modules, *PACKAGE.rglob("*.jinja"), *PACKAGE.rglob("*.js"), PACKAGE / "recipe.yml"]
    lines = [f"{file.name}: {line}" for file in texts for line in file.read_text().splitlines()]

    assert [line for line in lines if FAMILY_NAME.search(line)] == []


def test_a_familys_name_is_found():
    """The search says no to the name of a network, and not to the repository's own."""
    assert FAMILY_NAME.search('if architecture == "rexnet_100":')
    assert not FAMILY_NAME.search("from rexnet_hub.nets import RexnetHubError, the ReXNet model zoo")
