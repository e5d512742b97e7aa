"""A million small time-series models behind one `/predict`.

    from myriad import Predictor              scores, as the service gives them
    from myriad import adapters               the kinds of models, by name
    from myriad import export, windowed       a model fitted elsewhere, as a file for `myriad import`

Each name is imported when it is first used, so that a command loads what it needs and no more.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from myriad.serving.predictor import Predictor
    from myriad.training.export import Exported, export, windowed

__version__ = "0.2.0"

_HOMES = {
    "Predictor": "myriad.serving.predictor",
    "Exported": "myriad.training.export",
    "export": "myriad.training.export",
    "windowed": "myriad.training.export",
}

__all__ = ["Exported", "Predictor", "__version__", "export", "windowed"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
