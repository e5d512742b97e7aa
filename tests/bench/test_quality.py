"""The quality benchmark: that it counts right, looks at no future, and that its page shows what was measured."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.quality import datasets, docs_tables, host_scores, myriad_scores
from bench.quality.baselines import BASELINES, judged
from bench.quality.bootstrap import difference
from bench.quality.evaluation import ALERTS, OURS, Effort, evaluate
from bench.quality.events import Counts, alarms, count
from bench.quality.vus import buffer_of, vus_pr
from bench.quality.window_combinations import SERVED, THRESHOLDS, Variant
from myriad.models.points import Points
from myriad.training.fleets.synthetic import DAY, fleet
from tests.conftest import history

ROOT = Path(__file__).parents[2]
MINUTE, N = 60, 20_000
RATE = 1e-3
WEEK_END = 1_767_571_200

pytestmark = pytest.mark.timeout(200)


def labelled(*events: tuple[int, int], n: int = N) -> Any:
    labels = np.zeros(n, bool)
    for start, end in events:
        labels[start:end] = True
    return labels


LABELS = labelled((2000, 2200), (7000, 7200), (15000, 15200))


def counted(above: Any, labels: Any, blamed: Any = None, step: int = MINUTE) -> Counts:
    times = np.arange(len(labels), dtype=np.int64) * step
    return count(times, above, labels, labels if blamed is None else labels | blamed, step)


class TestVus:
    @pytest.mark.parametrize("buffer", [0, 100])
    def test_the_first_points_that_are_the_labels_are_1(self, buffer: int) -> None:
        noise = np.random.default_rng(0).uniform(0, 0.1, N)
        assert vus_pr(LABELS.astype(float), LABELS, 0) == pytest.approx(1)
        assert vus_pr(LABELS + noise, LABELS, buffer) >= 1 - 1e-12

    @pytest.mark.parametrize(
        ("seed", "released"),
        [(0, 0.26240592724067435), (1, 0.5287339850408683), (2, 0.4780597852311273), (3, 0.34922541187324235)],
    )
    def test_it_is_what_the_released_code_of_tsb_ad_gives(self, seed: int, released: float) -> None:
        # RangeAUC_volume_opt(labels, scores, 20, 400) of TSB-AD's basic_metrics.py, whose buffers overlap here.
        rng, n = np.random.default_rng(seed), 400
        labels = np.zeros(n, bool)
        for start in rng.integers(0, n - 12, 5):
            labels[start : start + rng.integers(1, 12)] = True
        scores = np.round(rng.normal(size=n) + 1.5 * labels, 1 if seed % 2 else 6)  # with ties, and without
        assert vus_pr(scores, labels, 20) == pytest.approx(released, abs=1e-9)

    @pytest.mark.parametrize("scores", [np.random.default_rng(0).uniform(size=N), np.zeros(N)], ids=["noise", "flat"])
    def test_scores_that_say_nothing_get_the_share_of_labels(self, scores: Any) -> None:
        assert vus_pr(scores, LABELS, 100) == pytest.approx(LABELS.mean(), rel=0.4)

    def test_inverted_scores_are_no_better_than_noise(self) -> None:
        assert vus_pr(-LABELS.astype(float), LABELS, 100) < 0.05

    def test_an_alarm_just_before_an_event_is_worth_more_than_one_far_off(self) -> None:
        near, far = labelled((1980, 2000)), labelled((5000, 5020))
        assert vus_pr(near.astype(float), LABELS, 100) > vus_pr(far.astype(float), LABELS, 100)

    def test_a_small_case_by_hand(self) -> None:
        # One event of 2 among 8 points. Highest is a point of it, then a neighbour, then its other point. For buffers
        # of 0 and 1 only its points have a label: recall 1/2 at precision 1, then 1 at 2/3. For 2 the neighbours have
        # sqrt(1/2), which is a positive by half once it is predicted; it is the second step.
        scores, labels = np.array([0, 0, 5, 6, 4, 0, 0, 0.0]), labelled((3, 5), n=8)
        plain, half = 0.5 + 0.5 * 2 / 3, np.sqrt(0.5)
        recalls = [1 / 2, (1 + half) / (2 + half / 2), 1.0]
        soft = recalls[0] + (recalls[1] - recalls[0]) * (1 + half) / 2 + (1 - recalls[1]) * (2 + half) / 3
        assert vus_pr(scores, labels, 2) == pytest.approx((2 * plain + soft) / 3)

    @pytest.mark.parametrize("labels", [np.zeros(N, bool), np.ones(N, bool)], ids=["none", "all"])
    def test_without_events_or_without_anything_else_there_is_no_volume(self, labels: Any) -> None:
        assert np.isnan(vus_pr(np.ones(N), labels, 100))

    def test_the_buffer_is_an_hour_but_ten_points_at_least(self) -> None:
        assert [buffer_of(step) for step in (60, 300, 3600)] == [60, 12, 10]


class TestEvents:
    def test_counts_by_hand(self) -> None:
        labels = labelled((1000, 1100), (3000, 3050), (5000, 5010))
        above = labelled((1010, 1020), (3049, 3060), (2000, 2001), (4000, 4010))
        counts = counted(above, labels)
        assert (counts.events, counts.found, counts.true, counts.false) == (3, 2, 2, 2)
        assert counts.delays == [10 * MINUTE, 49 * MINUTE]
        assert (counts.normal, counts.above) == (N - 160, 10 + 1 + 10)
        assert counts.weeks == pytest.approx((N - 160) / (7 * 1440))
        assert (counts.precision, counts.recall, counts.f1) == pytest.approx((1 / 2, 2 / 3, 4 / 7))

    @pytest.mark.parametrize(("gap", "expected"), [(59, 1), (60, 2)])
    def test_runs_closer_than_an_hour_are_one_alarm(self, gap: int, expected: int) -> None:
        above = labelled((100, 101), (100 + gap, 101 + gap))
        assert counted(above, LABELS).false == expected

    def test_points_of_an_hourly_series_that_follow_each_other_are_one_alarm(self) -> None:
        above = labelled((10, 13), (14, 15))
        assert counted(above, LABELS, step=3600).false == 2

    def test_an_alarm_that_lasts_is_raised_again_after_four_hours(self) -> None:
        at, alarm = alarms(np.arange(N) * MINUTE, labelled((100, 100 + 9 * 60)))
        assert np.bincount(alarm).tolist() == [240, 240, 60]
        assert len(at) == 540

    def test_a_merged_alarm_is_true_only_if_it_is_above_in_an_event(self) -> None:
        counts = counted(labelled((990, 991), (1020, 1021)), labelled((1000, 1010)))
        assert (counts.found, counts.true, counts.false) == (0, 0, 1)

    def test_what_only_the_host_is_blamed_for_is_neither_true_nor_false(self) -> None:
        counts = counted(labelled((1010, 1020)), labelled(), labelled((1000, 1100)))
        assert (counts.true, counts.false, counts.unjudged, counts.above) == (0, 0, 1, 0)
        assert counts.normal == N - 100

    def test_no_alarms_and_no_events(self) -> None:
        counts = counted(labelled(), labelled())
        assert (counts.true, counts.false, counts.found, counts.f1) == (0, 0, 0, 0)

    def test_totals(self) -> None:
        one = Counts(1, 2, 1, 1, 3, 0, 10, 1, 0.5, [60])
        assert Counts.total([one, one]) == Counts(2, 4, 2, 2, 6, 0, 20, 2, 1.0, [60, 60])
        assert Counts.total([]) == Counts()


class TestBaselines:
    @pytest.mark.parametrize("name", BASELINES)
    def test_the_future_changes_no_score_before_it(self, name: str) -> None:
        times, values = history(2, seed=3).series(0)
        cut, changed = 2000, 2500
        later = values.copy()
        later[changed:] += 1000
        before, after = (judged(BASELINES[name], times, one, cut, RATE) for one in (values, later))
        np.testing.assert_array_equal(before.held, after.held)
        np.testing.assert_array_equal(before.test[: changed - cut], after.test[: changed - cut])

    @pytest.mark.parametrize("name", BASELINES)
    def test_about_as_many_held_out_points_are_above_1_as_stated(self, name: str) -> None:
        times, values = history(12, seed=4).series(0)
        held = judged(BASELINES[name], times, values, len(values) - 10, RATE).held
        assert (held > 1).mean() <= 3 * RATE

    @pytest.mark.parametrize("name", sorted(set(BASELINES) - {"random"}))
    def test_a_jump_is_seen(self, name: str) -> None:
        times, values = history(4, seed=5).series(0)
        values = values.copy()
        values[5000:] += 100
        assert judged(BASELINES[name], times, values, 4000, RATE).test[1000:1010].max() > 1

    @pytest.mark.parametrize("name", BASELINES)
    def test_constant_values_and_gaps_do_no_harm(self, name: str) -> None:
        values = np.full(3000, 0.0)
        values[2500] = np.nan
        scores = judged(BASELINES[name], np.arange(3000) * MINUTE, values, 2000, RATE).test
        assert np.flatnonzero(np.isnan(scores)).tolist() == [500]
        assert not (scores > 1).any() or name == "random"


class TestOurs:
    def test_windows_are_the_defaults_or_multiples_of_the_step(self) -> None:
        shown = {step: [str(w) for w in myriad_scores.plan_for(step).windows] for step in (60, 300, 3600)}
        assert shown == {60: ["1m", "15m", "1h"], 300: ["5m", "15m", "1h"], 3600: ["1h", "3h", "12h"]}

    @pytest.mark.parametrize("following", [0, 60])
    def test_the_future_changes_no_score_before_it(self, following: int) -> None:
        points, plan = history(3, seed=6), myriad_scores.plan_for(MINUTE, ("ewma", "seasonal", "seasonal"))
        early = points.timestamps < points.timestamps[3000]
        train, test = points.where(early), points.where(~early)
        later = test.values.copy()
        later[600:] += 1000
        series = [fleet(end=WEEK_END, days=1, hosts=1, incidents=0).series[0]]
        predictor = myriad_scores.fit_release(plan, series, train)
        first, second = (
            myriad_scores.Scorer(predictor, series, train, some, following).scores()
            for some in (test, test.with_values(later))
        )
        assert np.isfinite(first).all()
        np.testing.assert_array_equal(first[:600], second[:600])

    def test_how_many_points_a_request_has_makes_no_difference_to_a_model_that_follows_nothing(self) -> None:
        points, plan = history(3, seed=6, series=2), myriad_scores.plan_for(MINUTE, ("seasonal",) * 3)
        early = points.timestamps < points.timestamps[3000]
        train, test = points.where(early), points.where(~early)
        series = fleet(end=WEEK_END, days=1, hosts=1, incidents=0).series[:2]
        predictor = myriad_scores.fit_release(plan, series, train)
        whole, parts = (myriad_scores.Scorer(predictor, series, train, test, n).by_window()[1:] for n in (0, 60))
        np.testing.assert_allclose(whole, parts)


def test_the_score_of_a_host_is_the_mean_of_its_metrics_none_counting_for_more_than_3() -> None:
    scores = Points.of(([0, 60, 120], [0.5, 9.0, np.nan]), ([0, 60, 120], [1.5, 1.0, 2.0]))
    assert host_scores.mean(scores).scores.tolist() == [1.0, 2.0, 2.0]
    assert host_scores.highest(scores).scores.tolist() == [1.5, 9.0, 2.0]
    labels = np.array([False, True, False, False, False, False])
    assert host_scores.labels_at(np.array([0, 60, 120]), scores, labels).tolist() == [False, True, False]


def test_variants_are_compared_where_they_find_as_many_events() -> None:
    false = np.arange(len(THRESHOLDS))[::-1]
    variant = Variant(Counts(weeks=2.0), [0.5, 2.0, 8.0], false)
    threshold, weekly = variant.at_equal_found(2)
    assert 2.0 / 1.13 < threshold < 2.0
    assert weekly == false[np.flatnonzero(threshold == THRESHOLDS)[0]] / 2
    assert np.isnan(variant.at_equal_found(4)[1])


def test_resampled_hosts_say_how_sure_a_difference_is() -> None:
    good, bad = Counts(events=10, found=9, true=9, false=1), Counts(events=10, found=1, true=1, false=9)
    interval = difference({"a": [(good, bad)] * 5, "b": [(bad, bad)] * 5})
    assert interval["difference"] == pytest.approx(0.4)
    assert (interval["low"], interval["high"]) == pytest.approx((0.4, 0.4))
    mixed = difference({"a": [(good, bad), (bad, good)] * 3})
    assert mixed["low"] < 0 < mixed["high"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two sets of synthetic telemetry, an hour of each host's cpu and network far too high."""
    folder: Path = tmp_path_factory.mktemp("data")
    synthetic = fleet(end=WEEK_END, days=6, hosts=2, incidents=0)
    in_region = [i for i, series in enumerate(synthetic.series) if series.region == "us-east-1"]
    start, middle = WEEK_END - DAY, WEEK_END - 3 * DAY
    rows, blamed = [], []
    for i in in_region:
        series, values = synthetic.series[i], synthetic.values[i].copy()
        incident = (synthetic.timestamps >= start) & (synthetic.timestamps < start + 3600)
        if series.metric in ("cpu_util", "net_rx_mb"):
            values[incident] *= 4
            blamed.append({**series._asdict(), "start_timestamp": start, "end_timestamp": start + 3600})
        columns = {name: pa.array([label] * len(values)) for name, label in series._asdict().items()}
        labels = pa.array(incident.astype(np.int8))
        rows.append(pa.table({**columns, "timestamp": synthetic.timestamps, "value": values, "label": labels}))
    whole = pa.concat_tables(rows)
    early = np.asarray(whole["timestamp"]) < middle
    pq.write_table(whole.filter(pa.array(early)), folder / "smd_train.parquet")
    pq.write_table(whole.filter(pa.array(~early)), folder / "smd_test.parquet")
    pq.write_table(pa.Table.from_pylist(blamed), folder / "smd_test_interpretation.parquet")
    one = pa.array([metric == "cpu_util" for metric in whole["metric"].to_pylist()])
    pq.write_table(whole.filter(one), folder / "kpi.parquet")
    return folder


def run(data: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "bench.quality", *arguments]
    environment = os.environ | {"MYRIAD_DATA": str(data)}
    process = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def results(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run on the synthetic sets wrote."""
    output: Path = tmp_path_factory.mktemp("quality")
    printed = run(data, "--output", str(output))
    assert "nab: skipped" in printed
    assert (output / "quality-quick.svg").read_text().count("<text") > 20
    document: dict[str, Any] = json.loads((output / "quality-quick.json").read_text(), parse_constant=_refuse)
    return document


def test_the_parts_of_a_host_are_what_the_files_say(data: Path) -> None:
    first, second = datasets.hosts(data, "smd")
    assert [file.host for file in datasets.hosts(data, "smd", 1)] == [first.host]
    host = first.read()
    assert (len(host.train), len(host.test), first.points) == (4, 4, 4 * 3 * 1440)
    assert host.train.timestamps.max() < host.test.timestamps.min()
    by_metric = {series.metric: int(host.labels[host.test.owner == i].sum()) for i, series in enumerate(host.series)}
    assert by_metric == {"cpu_util": 60, "mem_util": 0, "net_rx_mb": 60, "req_latency_ms": 0}
    assert host.blamed.sum() == 4 * 60
    (kpi, _), half = datasets.hosts(data, "kpi"), 6 * 1440 // 2
    assert kpi.read().train.lengths.tolist() == kpi.read().test.lengths.tolist() == [half]
    assert second.host == "web-001"


@pytest.mark.parametrize("name", ["smd", "kpi"])
def test_what_is_plainly_wrong_is_found(results: dict[str, Any], name: str) -> None:
    figures = results["sets"][name]["methods"][OURS]
    assert figures["events"] == (4 if name == "smd" else 2)
    assert figures["recall"] == 1
    assert figures["vus_pr"] > 0.5


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_is_measured_on_the_same_labels(results: dict[str, Any], name: str) -> None:
    rows = results["sets"]["kpi"]["methods"]
    assert {figure: rows[name][figure] for figure in ("series", "events", "normal")} == {
        figure: rows[OURS][figure] for figure in ("series", "events", "normal")
    }
    assert 0 <= rows[name]["vus_pr"] <= 1


def test_a_host_is_judged_as_one(results: dict[str, Any]) -> None:
    by_combination = results["sets"]["smd"]["hosts"]
    assert {by_combination[name][OURS]["events"] for name in (*host_scores.COMBINATIONS, host_scores.SERVED)} == {2}
    assert by_combination[host_scores.SERVED].keys() == {OURS, ALERTS}
    assert results["sets"]["kpi"]["hosts"] == {}


def test_windows_are_compared_alone_and_together(results: dict[str, Any]) -> None:
    rows = results["sets"]["smd"]["combinations"]
    assert rows[SERVED]["false_alarms_a_week"] == rows["1:2:4"]["false_alarms_a_week"]
    assert rows.keys() >= {"shortest window", "longest window", "1:1:1", "4:2:1", "min", "max"}


def test_the_tables_can_be_made_of_any_results(results: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{docs_tables.BEGIN}\nold\n{docs_tables.END}\nafter\n")
    docs_tables.update(page, docs_tables.tables(results))
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "| Server Machine Dataset |" in text


def test_without_data_it_says_so(tmp_path: Path) -> None:
    assert run(tmp_path).count("skipped") == len(datasets.SOURCES)


def test_the_pages_show_what_was_measured() -> None:
    default, rhythm = (
        json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text()) for name in ("quality", "quality-rhythm")
    )
    assert docs_tables.tables(default) in (ROOT / "docs" / "quality.md").read_text()
    assert docs_tables.decision(default, rhythm) in (ROOT / "docs" / "decisions.md").read_text()


@pytest.mark.parametrize("name", ["kpi", "nab"])
def test_the_real_sets_can_be_measured(name: str) -> None:
    folder = datasets.folder()
    if not datasets.is_present(folder, name):
        pytest.skip(f"the files of {name} are not in the data folder")
    (file,) = datasets.hosts(folder, name, 1)
    outcome = evaluate(file.read(), Effort(combinations=False, baselines=("constant z",)))
    assert outcome.counts[OURS].series == 1
    assert outcome.counts[OURS].events > 0


def _refuse(constant: str) -> float:
    raise AssertionError(f"{constant} is no figure")
