"""Ray Serve: one replica with multiplexed models, one for each series.

`python -m bench.peers.ray_app PORT TEMP`.

Ray opens ports on every interface: run it in a network namespace of its own.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import ray
from ray import serve
from starlette.requests import Request

from bench.peers.model import WINDOWS, Key, Seasonal, score_columns, score_series, series_answer, tick_answer

MODELS = Path(os.environ.get("PEER_MODELS", "models"))


@serve.deployment(num_replicas=1, max_ongoing_requests=100)
class Fleet:
    """All the models."""

    @serve.multiplexed(max_num_models_per_replica=100_000)  # type: ignore[untyped-decorator]
    async def get_model(self, model_id: str) -> Mapping[str, Seasonal]:
        """The models of a series, by window, from their files."""
        return {window: joblib.load(MODELS / model_id / f"{window}.joblib") for window in WINDOWS}

    async def __call__(self, request: Request) -> dict[str, Any]:
        """The scores of the series that the header names, or of a tick."""
        body = await request.json()
        if "datapoints" not in body:
            return await self.tick(body)
        models = await self.get_model(serve.get_multiplexed_model_id())
        body["datapoints"].sort(key=lambda point: point["timestamp"])
        timestamps = np.array([point["timestamp"] for point in body["datapoints"]])
        values = np.array([point["value"] for point in body["datapoints"]], float)
        key = body["region"], body["host"], body["metric"]
        return series_answer(timestamps, score_series(lambda *of: models[of[3]], key, timestamps, values))

    async def tick(self, body: dict[str, Any]) -> dict[str, Any]:
        """The scores of a tick."""
        labels: list[Key] = list(zip(body["region"], body["host"], body["metric"], strict=True))
        models = {label: await self.get_model("/".join(label)) for label in dict.fromkeys(labels)}
        timestamps, values = np.array(body["timestamp"]), np.array(body["value"], float)
        return tick_answer(
            score_columns(lambda *of: models[of[:3]][of[3]], labels, timestamps, values, body["windows"])
        )


def main(port: int, temporary: str) -> None:
    """Serve until the process is stopped."""
    ray.init(address="local", include_dashboard=False, num_cpus=2, object_store_memory=80 << 20, _temp_dir=temporary)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(Fleet.bind(), blocking=True)  # type: ignore[attr-defined]


if __name__ == "__main__":
    from bench.peers import ray_app  # so that the class is pickled by the name the replica imports it by

    ray_app.main(int(sys.argv[1]), sys.argv[2])
