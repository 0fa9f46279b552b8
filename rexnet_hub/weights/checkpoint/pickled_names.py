"""Decide which names in a pickle are those of programs.

Nothing that a pickle names is looked up or called, so this decides what is reported, not what is safe:
a file that names means of running a program is refused as a whole. These means are in Python's own
library, whose names are therefore refused but for the data types listed here; and in the libraries
that are made to carry functions. Classes of all other packages are data that is walked past.
"""

from __future__ import annotations

import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING  # how `pickle` itself translates Python 2

_PATHS = "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath"
_DATA = {
    "_codecs": "encode",
    "argparse": "Namespace",
    "array": "array _array_reconstructor",
    # Enumerations and bound methods are pickled as `getattr`; calling what it gave is refused.
    "builtins": "bool bytearray bytes complex dict float frozenset getattr int list object range set slice "
    "str tuple type",
    "collections": "ChainMap Counter OrderedDict UserDict UserList defaultdict deque",
    "copyreg": "__newobj__ __newobj_ex__ _reconstructor",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "functools": "partial",
    "itertools": "chain count cycle repeat",
    "logging": "Logger getLogger",
    "operator": "attrgetter itemgetter",
    "optparse": "Values",
    "pathlib": _PATHS,
    "pathlib._local": _PATHS,
    "random": "Random",
    "re": "_compile",
    "types": "MappingProxyType SimpleNamespace",
    "typing": "Any Callable Dict List Optional Sequence Set Tuple Union",
    "uuid": "SafeUUID UUID",
}
_OF_PROGRAMS = sys.stdlib_module_names | {"cloudpickle", "dill"}


def modern_name(module: str, name: str) -> tuple[str, str]:
    """Return a module and a name as Python 3 calls them."""
    return NAME_MAPPING.get((module, name)) or (IMPORT_MAPPING.get(module, module), name)


def is_of_programs(module: str, name: str) -> bool:
    """Return whether a name is of a library that can run programs, and is not one of its data types."""
    # A name with dots walks attributes: `torch.serialization` and `os.system` reach `os`.
    through = {module.partition(".")[0], *name.split(".")[:-1]}
    return not through.isdisjoint(_OF_PROGRAMS) and name not in _DATA.get(module, "").split()
