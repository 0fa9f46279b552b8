"""Decide which names in a pickle are those of programs.

Nothing that a pickle names is looked up or called, so this decides what is reported, not what is safe:
a file that names means of running a program is refused as a whole. These means are in Python's own
library, whose names are therefore refused but for the data types listed here; and in the libraries
that are made to carry functions. Classes of all other packages are data that is walked past; a call of
a function of theirs is refused, but for those listed here, which build data.
"""

from __future__ import annotations

import re
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING  # how `pickle` itself translates Python 2

# Enumerations and bound methods are pickled as `getattr`; calling what it gave is refused.
_DATA_NAMES = """_codecs.encode argparse.Namespace array._array_reconstructor array.array builtins.bool
    builtins.bytearray builtins.bytes builtins.complex builtins.dict builtins.float builtins.frozenset
    builtins.getattr builtins.int builtins.list builtins.object builtins.range builtins.set builtins.slice
    builtins.str builtins.tuple builtins.type collections.ChainMap collections.Counter
    collections.OrderedDict collections.UserDict collections.UserList collections.defaultdict
    collections.deque copyreg.__newobj__ copyreg.__newobj_ex__ copyreg._reconstructor datetime.date
    datetime.datetime datetime.time datetime.timedelta datetime.timezone decimal.Decimal fractions.Fraction
    functools.partial itertools.count logging.Logger logging.getLogger operator.attrgetter
    operator.itemgetter optparse.Values pathlib.Path pathlib.PosixPath pathlib.PurePath
    pathlib.PurePosixPath pathlib.PureWindowsPath pathlib.WindowsPath pathlib._local.Path
    pathlib._local.PosixPath pathlib._local.PurePosixPath pathlib._local.WindowsPath random.Random
    re._compile types.MappingProxyType types.SimpleNamespace typing.Any typing.Callable typing.Dict
    typing.List typing.Optional typing.Sequence typing.Set typing.Tuple typing.Union uuid.SafeUUID
    uuid.UUID"""
_DATA = frozenset(_DATA_NAMES.split())
# What else builds data and is called as a function: of numpy, pandas and torch, in all their releases.
_BUILDERS = re.compile(
    r"numpy\.(dtype|ndarray|(_core|core)\.(multiarray\.(_reconstruct|scalar)|numeric\._frombuffer)"
    r"|ma\.core\._mareconstruct|random\._pickle\.__\w+_ctor)"
    r"|pandas\.(_libs\.internals\._unpickle_block|_libs\.\w+\.__pyx_unpickle_\w+|core\.indexes\.base\._new_Index)"
    r"|torch\.(device|_utils\._rebuild_\w+|_tensor\._rebuild_\w+|serialization\._get_layout"
    r"|nn\.backends\.thnn\._get_thnn_function_backend)"
)
_OF_PROGRAMS = sys.stdlib_module_names | {"cloudpickle", "dill"}


def modern_name(module: str, name: str) -> tuple[str, str]:
    """Return a module and a name as Python 3 calls them."""
    return NAME_MAPPING.get((module, name)) or (IMPORT_MAPPING.get(module, module), name)


def is_of_programs(module: str, name: str) -> bool:
    """Return whether a name is of a library that can run programs, and is not one of its data types."""
    # A name with dots walks attributes: `torch.serialization` and `os.system` reach `os`.
    through = {module.partition(".")[0], *name.split(".")[:-1]}
    return not through.isdisjoint(_OF_PROGRAMS) and f"{module}.{name}" not in _DATA


def is_function(name: str) -> bool:
    """Return whether a name is a function's, which begins with a small letter, and of no builder of data."""
    word = name.rpartition(".")[2].lstrip("_")
    return not (word[:1].isupper() or name in _DATA or _BUILDERS.fullmatch(name))
