import importlib
import pickle
import pkgutil

import pytest

import myriad
from myriad.models import errors

RAISED = [thing for thing in vars(errors).values() if isinstance(thing, type) and thing.__module__ == errors.__name__]


def below(error: type[Exception]) -> set[str]:
    """The names of an error's subclasses in the product, however far below."""
    return {
        name
        for one in error.__subclasses__()
        if one.__module__.startswith("myriad.")
        for name in {one.__name__} | below(one)
    }


def test_everything_raised_on_purpose_is_a_myriad_error() -> None:
    assert all(issubclass(error, errors.MyriadError) for error in RAISED)


@pytest.mark.parametrize("error", RAISED)
def test_the_tree_in_the_docstring_has_every_error_below_its_parent(error: type[Exception]) -> None:
    assert errors.__doc__ is not None
    lines = errors.__doc__.splitlines()
    at = {line.lstrip(" ├└│─").split(" ")[0]: i for i, line in enumerate(lines) if "Error" in line or "── " in line}
    depth = {name: len(lines[i]) - len(lines[i].lstrip(" ├└│─")) for name, i in at.items()}
    parent = error.__base__
    assert error.__name__ in at
    if parent is not Exception:
        assert parent is not None
        above = [name for name, i in at.items() if i < at[error.__name__] and depth[name] < depth[error.__name__]]
        assert above[-1] == parent.__name__


def test_the_tree_has_every_error_that_any_module_raises_on_purpose() -> None:
    for module in pkgutil.walk_packages(myriad.__path__, "myriad."):
        importlib.import_module(module.name)
    assert below(errors.MyriadError) == {error.__name__ for error in RAISED} - {"MyriadError"}


def test_a_store_that_is_out_of_reach_can_be_told_from_an_object_that_is_not_there() -> None:
    assert not issubclass(errors.NotFound, errors.Unavailable)
    assert issubclass(errors.NotFound, errors.StoreError)


def test_an_error_arrives_whole_from_another_process() -> None:
    for error in (
        errors.InvalidKey("host", "a/b", "is not one"),
        errors.InvalidPoints("no", 3),
        errors.NotFound("file:///x", "y"),
    ):
        arrived = pickle.loads(pickle.dumps(error))
        assert (type(arrived), str(arrived), vars(arrived)) == (type(error), str(error), vars(error))
