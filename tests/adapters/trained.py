"""Calibrated models of one window, as training gives them, and what they say of later points."""

import numpy as np

import adapters
from models.base import Model, Prediction
from models.key import Series
from models.points import Points
from models.windows import Window, own_step
from training.candidate import only
from training.fit import Plan, fit


def trained(adapter: str, past: Points, rate: float = 1e-3) -> Model:
    """A row for each series, at the window of one step."""
    step = Window(own_step(past)[0])
    plan = Plan(windows=(step,), candidates=only(adapter), weights=(1.0,), rate=rate)
    names = [Series("here", f"host-{i}", "metric") for i in range(len(past))]
    model = fit(plan, names, past).entries.models[0, 0]
    assert isinstance(model, adapters.get(adapter))
    return model


def said(model: Model, points: Points) -> Prediction:
    """What the first row says of the points' only series."""
    return model.predict(np.array([0]), points)
