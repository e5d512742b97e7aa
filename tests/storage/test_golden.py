"""Models of every adapter that were once published keep loading and saying the same."""

import json

import numpy as np
import pytest

from myriad import adapters
from myriad.storage.shard import entries_of, pack_shard
from tests.adapters.libraries import needs
from tests.storage.write_golden import SCORES, SHARD, name_of, opened, scores

NAMES = [f"{name_of(name)}" for name in adapters.names()]


def test_every_adapter_is_in_the_golden_shard_with_its_version() -> None:
    shard = opened()
    there = {str(shard.name_of(i)) for i in range(len(shard))}
    assert there == set(NAMES), "run `python -m tests.storage.write_golden`, and look at what has changed"


def test_the_golden_shard_is_small() -> None:
    assert SHARD.stat().st_size < 100_000


@pytest.mark.parametrize("name", NAMES)
def test_a_model_says_what_it_said_when_it_was_written(name: str) -> None:
    needs(*(adapters.get(one).serving_library for one in adapters.names()))
    (then,) = [numbers for key, numbers in json.loads(SCORES.read_text()).items() if key.startswith(f"{name}/")]
    (now,) = [numbers for key, numbers in scores(opened()).items() if key.startswith(f"{name}/")]
    np.testing.assert_allclose(now, then, rtol=1e-6)


def test_its_models_are_sound() -> None:
    for model in opened().models.values():
        model.check()


def test_writing_it_anew_changes_nothing() -> None:
    assert pack_shard(entries_of(opened())) == SHARD.read_bytes()
