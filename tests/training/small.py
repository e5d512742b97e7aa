"""Small fitted fleets, for tests of what becomes of them: fitting takes milliseconds."""

import functools

from myriad.models.key import Series
from myriad.models.windows import Window
from myriad.storage.release import Head, Manifest, Releases
from myriad.storage.shard import Entries
from myriad.training.fit import fit
from myriad.training.job.candidate import only
from myriad.training.plan import Plan
from myriad.training.publish import publish
from tests.conftest import history

PLAN = Plan(windows=(Window(60), Window(300)), candidates=only("ewma", "seasonal"), weights=(1.0, 2.0))
"""Two windows with an adapter each."""

NAMES = ("r/a/cpu", "r/a/mem", "r/b/cpu", "s/a/cpu")


@functools.cache
def fitted(*names: str, seed: int = 0, plan: Plan = PLAN) -> Entries:
    """The models of series named `region/host/metric`, each fitted to a day of noise of its own; not to be changed."""
    series = [Series.parse(name) for name in names or NAMES]
    return fit(plan, series, history(1, series=len(series), seed=seed)).entries


def released(releases: Releases, entries: Entries, over: Head | None = None, plan: Plan = PLAN) -> Manifest:
    """The manifest of a new release of the entries."""
    return publish(releases, entries, plan, over, {"made_by": "a test"})
