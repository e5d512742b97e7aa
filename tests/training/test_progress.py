"""Progress: what is kept of a job that was interrupted, and what is not taken for it."""

from pathlib import Path

import pytest

from myriad.formats.left_out import Example, LeftOut
from myriad.storage.release import Artifact
from myriad.training.job.config import JobFile
from myriad.training.progress import Progress
from myriad.training.sources import Partition
from myriad.training.task import ShardResult, Task
from tests.training import tables

ARTIFACT = Artifact("0" * 32, 5000, 9000, 20, 40)


def job(rate: float = 1e-4) -> JobFile:
    """A job that is not carried out."""
    return JobFile.model_validate(
        {"job": "j", "history": {"files": ["/a.parquet"]}, "store": "s3://b/p", "calibration": {"rate": rate}}
    )


def task(region: str = "r", shard: int = 0) -> Task:
    """A task without history."""
    return Task(job(), region, shard, 2, (), None, (), {})


def result(region: str = "r", shard: int = 0, artifact: Artifact | None = ARTIFACT) -> ShardResult:
    """What became of it."""
    return ShardResult(region, shard, 2, artifact, ("ewma",), tables.fleet(2), ("r/a/requests_total",))


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    """Of a job whose history has been sorted."""
    there = Progress(tmp_path, job(), "")
    there.partitions(lambda _: ([], LeftOut()))
    return there


@pytest.mark.parametrize("artifact", [ARTIFACT, None], ids=["an artifact", "nothing to serve"])
def test_what_became_of_a_task_is_remembered(progress: Progress, tmp_path: Path, artifact: Artifact | None) -> None:
    progress.keep(result(artifact=artifact))
    found = Progress(tmp_path, job(), "").result(task())
    assert found
    assert found[:5] == result(artifact=artifact)[:5]
    assert found.records.to_pylist() == result().records.to_pylist()
    assert found.counters == ("r/a/requests_total",)


@pytest.mark.parametrize(("region", "shard"), [("r", 1), ("s", 0)])
def test_what_became_of_another_is_not_taken_for_it(progress: Progress, region: str, shard: int) -> None:
    progress.keep(result())
    assert progress.result(task(region, shard)) is None


def test_a_record_without_the_last_word_on_its_task_is_not_taken_for_done(progress: Progress, tmp_path: Path) -> None:
    """As it is left behind where the process ended in between."""
    progress.keep(result())
    for path in tmp_path.glob("*/*.json"):
        if path.name != "partitions.json":
            path.unlink()
    assert progress.result(task()) is None


def test_history_is_sorted_once(tmp_path: Path) -> None:
    sorted_into, left_out = list[Path](), LeftOut(100)
    left_out.add(Example("h.csv", 7, "value", "'5%'", "is a per cent"), 3)

    def sort(empty: Path) -> tuple[list[Partition], LeftOut]:
        assert list(empty.iterdir()) == []
        sorted_into.append(empty)
        return [Partition("r", 3, empty / "r-3", 10, 60)], left_out

    first, again = (Progress(tmp_path, job(), "").partitions(sort) for _ in range(2))
    assert len(sorted_into) == 1
    assert first == again == ([Partition("r", 3, sorted_into[0] / "r-3", 10, 60)], left_out)


def test_history_whose_sorting_was_interrupted_is_sorted_anew(tmp_path: Path) -> None:
    def interrupted(empty: Path) -> tuple[list[Partition], LeftOut]:
        (empty / "half a file").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Progress(tmp_path, job(), "").partitions(interrupted)
    assert Progress(tmp_path, job(), "").partitions(_everything_in) == ([], LeftOut())


@pytest.mark.parametrize("other", [(job(1e-3), ""), (job(), "20260101T000000Z-00000001")], ids=["job", "release"])
def test_another_job_or_one_over_another_release_starts_from_nothing(
    progress: Progress, tmp_path: Path, other: tuple[JobFile, str]
) -> None:
    progress.keep(result())
    assert Progress(tmp_path, *other).result(task()) is None


def test_what_is_forgotten_leaves_nothing(progress: Progress, tmp_path: Path) -> None:
    progress.keep(result())
    progress.forget()
    assert list(tmp_path.iterdir()) == []


def _everything_in(directory: Path) -> tuple[list[Partition], LeftOut]:
    return [Partition("r", 0, path, 0, 0) for path in directory.iterdir()], LeftOut()
