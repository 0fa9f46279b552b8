"""An error is the same wherever it is raised."""

import contextlib
import gc
import inspect
import pickle
import weakref

import pytest

from rexnet_hub import errors

#: One of each kind: of those that take more than a message, with all that they take.
ERRORS = {
    errors.UnknownModelError: errors.UnknownModelError("a", ["b"], kind="file"),
    errors.MismatchError: errors.MismatchError("a", ["b", "c"], advice="d"),
    errors.FetchError: errors.FetchError("a", status=404),
    errors.HubError: errors.HubError("a", "b", kind="busy", wait_seconds=2.0),
}
for _, kind in inspect.getmembers(errors, inspect.isclass):
    if issubclass(kind, errors.FileProblem):
        ERRORS[kind] = kind("a", "b")
    elif issubclass(kind, errors.RexnetHubError) and kind not in ERRORS:
        ERRORS[kind] = kind("a")


@pytest.mark.parametrize("error", ERRORS.values(), ids=lambda error: type(error).__name__)
def test_an_error_reaches_another_process(error):
    """It has its words, and what it says of itself by name: one that cannot be read kills who decodes."""
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_what_a_network_held_is_let_go_with_its_error():
    """The memory that did not do is free when the error is handled: a collector may not come for long."""
    held = set[int]()
    found = weakref.ref(held)

    def fail(held):
        raise RuntimeError(len(held))

    gc.disable()
    try:
        with contextlib.suppress(errors.NetworkError), errors.network_problems("a"):
            fail(held)
        del held
        assert found() is None
    finally:
        gc.enable()
