"""MLflow: a pyfunc model that takes a frame of datapoints; `mlflow models serve`.

`python -m bench.peers.mlflow_model MODELS MODEL` saves the models in a directory as one MLflow model.
"""

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import joblib
import mlflow.pyfunc  # type: ignore[import-not-found]
import pandas as pd

from bench.peers.model import WINDOWS, Seasonal, score_columns


class Fleet(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """All the models; those of the windows that the parameter `windows` names, with commas."""

    def load_context(self, context: Any) -> None:
        """Load nothing: models are loaded on demand."""
        models = Path(context.artifacts["models"])

        @lru_cache(maxsize=100_000)
        def load(region: str, host: str, metric: str, window: str) -> Seasonal:
            model: Seasonal = joblib.load(models / region / host / metric / f"{window}.joblib")
            return model

        self.load = load

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002  MLflow's signature
        """The scores of a frame with the columns region, host, metric, timestamp and value."""
        frame = model_input.sort_values("timestamp", kind="stable")
        windows = str((params or {})["windows"]).split(",")
        labels = list(zip(frame["region"], frame["host"], frame["metric"], strict=True))
        values = frame["value"].to_numpy(float)
        columns = score_columns(self.load, labels, frame["timestamp"].to_numpy(), values, windows)
        return pd.DataFrame(columns, index=frame.index).sort_index()


def save(models: str, to: str) -> None:
    """Save the models in a directory as one MLflow model that knows its columns and parameters."""
    from mlflow.models import ModelSignature  # type: ignore[import-not-found]
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema  # type: ignore[import-not-found]

    columns = [ColSpec("string", name) for name in ("region", "host", "metric")]
    columns += [ColSpec("long", "timestamp"), ColSpec("double", "value")]
    params = ParamSchema([ParamSpec("windows", "string", ",".join(WINDOWS))])
    mlflow.pyfunc.save_model(
        to,
        python_model=Fleet(),
        artifacts={"models": models},
        signature=ModelSignature(inputs=Schema(columns), params=params),
        pip_requirements=["mlflow", "joblib", "numpy", "pandas"],
    )


if __name__ == "__main__":
    from bench.peers import mlflow_model  # so that the class is pickled by the name it is served by

    mlflow_model.save(*sys.argv[1:])
