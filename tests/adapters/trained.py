"""Calibrated models of one window, as training gives them, and their predictions for later points."""

import numpy as np

from myriad import adapters
from myriad.models.base import Model, Prediction
from myriad.models.key import Series
from myriad.models.points import Points
from myriad.models.windows import Window, usual_step
from myriad.training.fit import fit
from myriad.training.job.candidate import only
from myriad.training.plan import Plan


def trained(adapter: str, past: Points, rate: float = 1e-3) -> Model:
    """A row for each series, at the window of one step."""
    step = Window(usual_step(past)[0])
    plan = Plan(windows=(step,), candidates=only(adapter), weights=(1.0,), rate=rate)
    names = [Series("here", f"host-{i}", "metric") for i in range(len(past))]
    model = fit(plan, names, past).entries.models[0, 0]
    assert isinstance(model, adapters.get(adapter))
    return model


def predict(model: Model, points: Points) -> Prediction:
    """The prediction of the first row for a single series."""
    return model.predict(np.array([0]), points)
