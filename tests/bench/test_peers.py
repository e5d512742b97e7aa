"""The peers' model: it gives Myriad's answers, so that what is compared are servers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from bench.peers import seasonal_fleet
from bench.peers.catalogue import NAMES
from bench.peers.environments import REQUIREMENTS
from bench.peers.load_generator import Connection
from bench.peers.measure import AnswersDiffer, check_equal, points_of
from bench.peers.model import Seasonal, score_columns, score_series
from bench.shared.fleet import Fleet
from myriad.models.key import Series
from myriad.serving.predictor import Predictor

SERIES = 20


class Served:
    """A small fleet as Myriad serves it, and the peers' models of it."""

    def __init__(self, directory: Path) -> None:
        store = (directory / "store").as_uri()
        seasonal_fleet.publish(store, SERIES)
        fleet = Fleet.current(store, directory / "local")
        self.predictor = Predictor.open(store)
        self.models = {(*series, window): model for series, window, model in seasonal_fleet.models(fleet)}
        self.series = [series for shard in fleet.series for series in shard]

    def load(self, *key: str) -> Seasonal:
        return self.models[key]  # type: ignore[index]

    def answers(self, frame: pd.DataFrame, windows: list[str] | None = None) -> pd.DataFrame:
        return self.predictor.predict(frame, windows)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(tmp_path_factory.mktemp("peers"))


def frame_of(series: Series, times: NDArray[np.int64], values: NDArray[np.float64]) -> pd.DataFrame:
    return pd.DataFrame({**series._asdict(), "timestamp": times, "value": values})


def test_there_are_as_many_series_as_asked_for_all_seasonal(served: Served) -> None:
    assert len(served.series) == SERIES
    assert len(served.models) == 3 * SERIES


def test_a_series_is_scored_as_myriad_scores_it(served: Served) -> None:
    for series in served.series:
        points = points_of(series)
        times, values = np.array(points.timestamps), np.array(points.values)
        expected = served.answers(frame_of(series, times, values))
        for name, column in score_series(served.load, series, times, values).items():
            check_equal(name, column, expected[name].to_numpy(float))


def test_gaps_leave_the_same_windows_without_a_score(served: Served) -> None:
    series, rng = served.series[0], np.random.default_rng(3)
    for share in (0.2, 0.5, 0.8):
        points = points_of(series)
        kept = rng.random(len(points.timestamps)) < share
        times, values = np.array(points.timestamps)[kept], np.array(points.values)[kept]
        expected = served.answers(frame_of(series, times, values))
        for name, column in score_series(served.load, series, times, values).items():
            check_equal(name, column, expected[name].to_numpy(float))


def test_a_tick_is_scored_as_myriad_scores_it(served: Served) -> None:
    ticks = [points_of(series) for series in served.series]
    times, values = (
        np.array([column[0] for column in columns]) for columns in zip(*(t[1:] for t in ticks), strict=True)
    )
    frame = pd.concat([frame_of(one.series, times[i : i + 1], values[i : i + 1]) for i, one in enumerate(ticks)])
    columns = score_columns(served.load, served.series, times, values, ["1m"])
    expected = served.answers(frame, ["1m"])
    for name, column in columns.items():
        check_equal(name, column, expected[name].to_numpy(float))


def test_answers_that_differ_are_an_error() -> None:
    with pytest.raises(AnswersDiffer, match="score is"):
        check_equal("score", np.array([1.0, 2.0]), np.array([1.0, 2.00001]))
    with pytest.raises(AnswersDiffer, match="score is"):
        check_equal("score", np.array([1.0, np.nan]), np.array([1.0, 2.0]))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "myriad"])
def test_every_peer_is_pinned_by_names_and_versions_only(name: str) -> None:
    lines = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    assert lines
    assert not [line for line in lines if line.count("==") != 1 or any(mark in line for mark in (" ", "/", "@", "--"))]


@pytest.mark.parametrize("cuts", [1, 7, 1000])
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    ],
    ids=["length", "chunked"],
)
def test_the_load_generator_knows_where_an_answer_ends(answer: bytes, cuts: int) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = Connection(server.getsockname()[1])
        connection.send(b"POST / HTTP/1.1\r\n\r\n")
        peer, _ = server.accept()
        with peer:
            parts = [answer[at : at + cuts] for at in range(0, len(answer), cuts)]
            ends = []
            for part in parts:
                peer.sendall(part)
                ends.append(connection.receive())
        connection.close()
    assert ends == [False] * (len(parts) - 1) + [True]
    assert (connection.status, connection.body()) == (200, b"hello")
