# Levels, compiled; see `_levels_py` for what each function does.


def one_step(
    const double[::1] values,
    const long long[::1] offsets,
    const double[::1] levels,
    const double[::1] variances,
    const double[::1] drifts,
    const double[::1] noises,
    const double[::1] kept,
    const double[::1] added,
    double clip,
    double min_factor,
    double max_factor,
):
    cdef Py_ssize_t n = values.shape[0], series = offsets.shape[0] - 1, i, j
    expected_array, spread_array = np.empty(n), np.empty(n)
    cdef double[::1] expected = expected_array, spreads = spread_array
    cdef double level, variance, drift, noise, keep, add, factor, total, spread, gain, value, innovation
    with nogil:
        for i in range(series):
            level, variance, drift, noise = levels[i], variances[i], drifts[i], noises[i]
            keep, add, factor = kept[i], added[i], 1.0
            for j in range(offsets[i], offsets[i + 1]):
                total = variance + 1
                spread = noise * sqrt(total) * factor
                gain = variance / total
                expected[j] = level
                spreads[j] = spread
                value = values[j]
                if value == value:
                    innovation = (value - level) / spread
                    innovation = clip if innovation > clip else (-clip if innovation < -clip else innovation)
                    level = level + gain * spread * innovation
                    factor = factor * (fabs(innovation) * add + keep)
                    factor = min_factor if factor < min_factor else (max_factor if factor > max_factor else factor)
                    variance = gain
                variance = variance + drift
    return expected_array, spread_array


def relative_average(
    const double[::1] values,
    const long long[::1] offsets,
    const double[::1] smoothing,
    double clip,
    double low,
    double high,
):
    cdef Py_ssize_t n = values.shape[0], series = offsets.shape[0] - 1, i, j
    averages_array = np.empty(n)
    cdef double[::1] averages = averages_array
    cdef double average, share, value, limit
    with nogil:
        for i in range(series):
            average, share = 1.0, smoothing[i]
            for j in range(offsets[i], offsets[i + 1]):
                averages[j] = average
                value = values[j]
                if value == value:
                    limit = clip * average
                    average = average + share * ((limit if value > limit else value) - average)
                    average = low if average < low else (high if average > high else average)
    return averages_array


def clipped_errors(
    const double[::1] values,
    const long long[::1] offsets,
    const double[::1] first,
    const double[::1] limits,
    const double[:, ::1] alphas,
):
    cdef Py_ssize_t series = offsets.shape[0] - 1, choices = alphas.shape[1], i, j, k
    total_array, last_array = np.zeros((series, choices)), np.empty((series, choices))
    cdef double[:, ::1] totals = total_array, lasts = last_array
    cdef double value, limit, error
    cdef double[16] level, total, alpha
    if choices > 16:
        raise ValueError("more than 16 smoothing constants")
    with nogil:
        for i in range(series):
            limit = limits[i]
            for k in range(choices):
                level[k], total[k], alpha[k] = first[i], 0.0, alphas[i, k]
            for j in range(offsets[i], offsets[i + 1]):
                value = values[j]
                for k in range(choices):
                    error = value - level[k]
                    error = -limit if error < -limit else error
                    error = limit if error > limit else error
                    total[k] += fabs(error)
                    level[k] += alpha[k] * error
            for k in range(choices):
                totals[i, k], lasts[i, k] = total[k], level[k]
    return total_array, last_array
