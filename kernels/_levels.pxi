# Levels, compiled; see `_levels_py` for what each function does.


cdef void follow_level(
    const double* values, Py_ssize_t n, double* state, double drift, double noise, double keep, double add, double clip,
    double min_factor, double max_factor, double* levels, double* spreads,
) noexcept nogil:
    """The level and the spread before each value of one series; the state is moved behind the last.

    No step waits for a division: |innovation| * factor is the smaller of |error| / base and clip * factor.
    """
    cdef double level = state[0], variance = state[1], factor = state[2]
    cdef double known = -1.0, base = 0, gain = 0, error, limit, value, before, after
    cdef Py_ssize_t j
    for j in range(n):
        if variance != known:  # it settles
            known = variance
            base, gain = noise * sqrt(variance + 1), variance / (variance + 1)
        levels[j], spreads[j] = level, base * factor
        value = values[j]
        if value == value:
            error = value - level
            limit = clip * (base * factor)
            before = fabs(error) / base
            after = clip * factor
            factor = factor * keep + add * (after if before > after else before)
            factor = min_factor if factor < min_factor else (max_factor if factor > max_factor else factor)
            error = limit if error > limit else (-limit if error < -limit else error)
            level = level + gain * error
            variance = gain
        variance = variance + drift
    state[0], state[1], state[2] = level, variance, factor


def one_step(
    const double[::1] values,
    const long long[::1] offsets,
    double[:, ::1] state,
    const double[::1] drifts,
    const double[::1] noises,
    const double[::1] kept,
    const double[::1] added,
    double clip,
    double min_factor,
    double max_factor,
):
    cdef Py_ssize_t n = values.shape[0], series = offsets.shape[0] - 1, i
    expected_array, spread_array = np.empty(n), np.empty(n)
    cdef double[::1] expected = expected_array, spreads = spread_array
    if state.shape[0] != series or state.shape[1] != 3:
        raise ValueError("the state is not that of these series")
    with nogil:
        for i in range(series):
            if offsets[i] < offsets[i + 1]:
                follow_level(
                    &values[offsets[i]], offsets[i + 1] - offsets[i], &state[i, 0], drifts[i], noises[i], kept[i],
                    added[i], clip, min_factor, max_factor, &expected[offsets[i]], &spreads[offsets[i]],
                )
    return expected_array, spread_array


cdef double SLOW_CLIP = levels_twin.SLOW_CLIP, FAST = levels_twin.FAST
cdef double FAST_SHARE = levels_twin.FAST_SHARE, CHANGED = levels_twin.CHANGED, CHANGED_CLIP = levels_twin.CHANGED_CLIP
cdef double LEAST_RATIO = levels_twin.LEAST_RATIO, MOST_RATIO = levels_twin.MOST_RATIO


cdef void follow_both(
    const double* values, Py_ssize_t n, double* state, double spread, double alpha, double widening,
    double fast_spread, double first_spread, double* slow, double* slow_spreads, double* fast, double* fast_spreads,
) noexcept nogil:
    """Both levels and their spreads before each value of one series; the state is moved behind the last.

    The variance does not wait for its root, nor anything for a division.
    """
    cdef double level = state[0], ratio = state[1], quick = state[2], gain = state[3], error, size, limit, most, root
    cdef double unit = 1 / spread
    cdef Py_ssize_t j
    for j in range(n):
        root = sqrt(ratio)
        slow[j], slow_spreads[j] = level, spread * root
        fast[j], fast_spreads[j] = quick, first_spread
        if gain < 1.0:
            fast_spreads[j] = fast_spread * (FAST_SHARE * root if FAST_SHARE * root > 1.0 else 1.0)
        if values[j] == values[j]:
            error, limit = values[j] - level, SLOW_CLIP * (spread * root)
            size = error * unit
            size = size * size
            most = (CHANGED_CLIP * CHANGED_CLIP if ratio > CHANGED else SLOW_CLIP * SLOW_CLIP) * ratio
            size = most if size > most else size
            error = limit if error > limit else (-limit if error < -limit else error)
            level = level + alpha * error
            ratio = ratio + widening * (size - ratio)
            ratio = LEAST_RATIO if ratio < LEAST_RATIO else (MOST_RATIO if ratio > MOST_RATIO else ratio)
            quick = quick + gain * (values[j] - quick)
            if gain != FAST:
                gain = gain / (1 + gain)
                gain = FAST if gain < FAST else gain
    state[0], state[1], state[2], state[3] = level, ratio, quick, gain


def two_levels(
    const double[::1] values,
    const long long[::1] offsets,
    double[:, ::1] state,
    const double[::1] spreads,
    const double[::1] alphas,
    const double[::1] widenings,
    const double[::1] fast_spreads,
    const double[::1] first_spreads,
):
    cdef Py_ssize_t n = values.shape[0], series = offsets.shape[0] - 1, i, first
    found_array = np.empty((4, n))
    cdef double[:, ::1] found = found_array
    if state.shape[0] != series or state.shape[1] != 4:
        raise ValueError("the state is not that of these series")
    with nogil:
        for i in range(series):
            first = offsets[i]
            if first < offsets[i + 1]:
                follow_both(
                    &values[first], offsets[i + 1] - first, &state[i, 0], spreads[i], alphas[i], widenings[i],
                    fast_spreads[i], first_spreads[i], &found[0, first], &found[1, first], &found[2, first],
                    &found[3, first],
                )
    return tuple(found_array)


cdef void follow_fitted(
    const double* values, Py_ssize_t n, double* state, double limit, double alpha, double* slow, double* fast
) noexcept nogil:
    """The absolute errors of both levels, of which the slow one has a fixed spread; the state is moved."""
    cdef double level = state[0], quick = state[2], gain = state[3], error
    cdef Py_ssize_t j
    for j in range(n):
        error = values[j] - level
        slow[j], fast[j] = fabs(error), fabs(values[j] - quick)
        error = limit if error > limit else error
        error = -limit if error < -limit else error
        level = level + alpha * error
        quick = quick + gain * (values[j] - quick)
        if gain > FAST:
            gain = gain / (1 + gain)
            gain = FAST if gain < FAST else gain
    state[0], state[2], state[3] = level, quick, gain


cdef double root_mean_square(const double* sizes, Py_ssize_t n, double limit) noexcept nogil:
    """The root of the mean square, larger ones counting as the limit."""
    cdef double even = 0.0, odd = 0.0, one, other
    cdef Py_ssize_t j
    for j in range(0, n - 1, 2):
        one = limit if sizes[j] > limit else sizes[j]
        other = limit if sizes[j + 1] > limit else sizes[j + 1]
        even, odd = even + one * one, odd + other * other
    if n % 2:
        one = limit if sizes[n - 1] > limit else sizes[n - 1]
        even = even + one * one
    return sqrt((even + odd) / n)


def fitted_levels(
    const double[::1] values,
    const long long[::1] offsets,
    double[:, ::1] state,
    const double[::1] spreads,
    const double[::1] alphas,
    const double[::1] least,
    double scale,
):
    cdef Py_ssize_t series = offsets.shape[0] - 1, i, first, n
    slow_array, fast_array = np.array(least), np.array(least)
    cdef double[::1] slow_spreads = slow_array, fast_spreads = fast_array
    cdef double* room
    cdef double* slow
    cdef double* fast
    if state.shape[0] != series or state.shape[1] != 4:
        raise ValueError("the state is not that of these series")
    room = scratch(offsets, 3)
    with nogil:
        for i in range(series):
            first, n = offsets[i], offsets[i + 1] - offsets[i]
            if n == 0:
                continue
            slow, fast = room + n, room + 2 * n
            follow_fitted(&values[first], n, &state[i, 0], SLOW_CLIP * spreads[i], alphas[i], slow, fast)
            fast_spreads[i] = fmax(scale * median_among(fast, n, room), least[i])
            slow_spreads[i] = fmax(scale * median_among(slow, n, room), least[i])
            slow_spreads[i] = fmax(root_mean_square(slow, n, SLOW_CLIP * slow_spreads[i]), least[i])
    free(room)
    return slow_array, fast_array


def level_deviations(
    const long long[::1] times,
    const double[::1] values,
    const long long[::1] offsets,
    double[:, ::1] state,
    const double[::1] spreads,
    const double[::1] alphas,
    const double[::1] widenings,
    const double[::1] fast_spreads,
    const double[::1] first_spreads,
    const double[:, ::1] widths,
    long long apart,
):
    cdef Py_ssize_t n = values.shape[0], series = offsets.shape[0] - 1, bins = widths.shape[1], i, j, first, size
    cdef long long place, edge
    cdef double width
    slow_array, fast_array = np.empty(n), np.empty(n)
    cdef double[::1] slow_found = slow_array, fast_found = fast_array
    cdef double* slow
    if state.shape[0] != series or state.shape[1] != 4:
        raise ValueError("the state is not that of these series")
    slow = scratch(offsets, 4)
    with nogil:
        for i in range(series):
            first, size = offsets[i], offsets[i + 1] - offsets[i]
            if size == 0:
                continue
            follow_both(
                &values[first], size, &state[i, 0], spreads[i], alphas[i], widenings[i], fast_spreads[i],
                first_spreads[i], slow, slow + size, slow + 2 * size, slow + 3 * size,
            )
            j = 0
            while j < size:
                place = whole(times[first + j], apart)
                edge = (place + 1) * apart
                width = widths[i, place - whole(place, bins) * bins]
                while j < size and edge - apart <= times[first + j] < edge:
                    slow_found[first + j] = fabs(values[first + j] - slow[j]) / (slow[size + j] * width)
                    fast_found[first + j] = fabs(values[first + j] - slow[2 * size + j]) / slow[3 * size + j]
                    j += 1
    free(slow)
    return slow_array, fast_array


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
