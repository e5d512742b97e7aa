"""Alerting: scores of series that page again and again count for less; the twin of `_alerting.pxi`."""

import math

import numpy as np

from myriad.kernels.arrays import Integers, Vector

HOUR, DAY = 3600, 86400
HALF_LIFE = 5 * DAY
"""Of tiredness, in seconds."""
REPEAT = 4 * HOUR
"""A run that lasts pages again after this."""
PAGE, HOURLY = 0.1, 0.1
"""What a page adds to the tiredness after its run, and what an hour above 1 adds at once."""
MOST_TIRED, MOST_SCORE = 6.0, 5.0


def tired(times: Integers, scores: Vector, offsets: Integers) -> Vector:
    """Each score as it counts for alerts: min(score, MOST_SCORE) * exp(-tiredness), (n,); 0 where there is no score.

    A page is the first point above 1 more than an hour after the last one above 1, or `REPEAT` after the last page. A
    page adds `PAGE` once its run is over, an hour above 1 adds `HOURLY`; both halve every `HALF_LIFE`.

    Args:
        times: rising within each series, epoch seconds, (n,).
        scores: (n,), NaN where there is none.
        offsets: series i owns `offsets[i]:offsets[i + 1]`, (series + 1,).
    """
    found = np.empty(len(scores))
    for first, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        tiredness, pending = 0.0, 0.0
        previous, last_page, last_above = (int(times[first]), -(1 << 60), -(1 << 60)) if first < end else (0, 0, 0)
        for j in range(first, end):
            time, since = int(times[j]), int(times[j]) - previous
            left = math.exp2(-since / HALF_LIFE)
            tiredness, pending, previous = tiredness * left, pending * left, time
            score = 0.0 if math.isnan(scores[j]) else min(float(scores[j]), MOST_SCORE) * math.exp(-tiredness)
            found[j] = score
            if score > 1:
                if time - last_above > HOUR or time - last_page >= REPEAT:
                    last_page, pending = time, pending + PAGE
                tiredness, last_above = tiredness + HOURLY * min(since, HOUR) / HOUR, time
            elif time - last_above > HOUR:
                tiredness, pending = tiredness + pending, 0.0
            tiredness = min(tiredness, MOST_TIRED)
    return found
