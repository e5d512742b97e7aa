# Windows, compiled; see `_windows_py` for what each function does.


cdef void means_of(
    const long long* times, const double* values, Py_ssize_t n, long long window, const long long* needed,
    const long long* regime, double* suffix, double* means,
) noexcept nogil:
    """The means of one series at one window; `regime` says for each point which of `needed` holds, or is NULL.

    A block is the points whose times have the same quotient by the window. `suffix` is the sum from each point to the
    last of its block.
    """
    cdef Py_ssize_t j, k, start = 0, block_start = 0
    cdef long long edge = times[n - 1] // window * window
    cdef double total = values[n - 1], prefix = 0.0
    suffix[n - 1] = total
    for j in range(n - 2, -1, -1):
        if times[j] >= edge:
            total = values[j] + total
        else:
            total = values[j]
            edge = times[j] // window * window
        suffix[j] = total
    edge = (times[0] // window + 1) * window
    for j in range(n):
        if times[j] >= edge:
            edge = (times[j] // window + 1) * window
            block_start, prefix = j, 0.0
        prefix = prefix + values[j]
        while times[start] <= times[j] - window:
            start += 1
        k = j - start + 1
        if k < needed[regime[j] if regime != NULL else 0]:
            means[j] = NAN
        elif start < block_start:
            means[j] = (suffix[start] + prefix) / k
        else:  # the block begins after the window does, or with it
            means[j] = prefix / k


def window_means(
    const long long[::1] times,
    const double[::1] values,
    const long long[::1] offsets,
    const long long[::1] windows,
    const long long[:, ::1] needed,
    const long long[::1] regime,
):
    cdef Py_ssize_t n = times.shape[0], series = offsets.shape[0] - 1, w, i, first
    means_array = np.empty((windows.shape[0], n))
    cdef double[:, ::1] means = means_array
    cdef double* suffix = scratch(offsets)
    with nogil:
        for w in range(windows.shape[0]):
            for i in range(series):
                first = offsets[i]
                if first < offsets[i + 1]:
                    means_of(
                        &times[first], &values[first], offsets[i + 1] - first, windows[w], &needed[w, 0],
                        &regime[first], suffix, &means[w, first],
                    )
    free(suffix)
    return means_array


cdef double MOST_SCORE = windows_twin.MOST_SCORE, HOLD = windows_twin.HOLD
cdef double MOST_HELD = windows_twin.MOST_HELD
cdef int POWER = windows_twin.POWER


cdef inline double raised(double score, int power) noexcept nogil:
    """What a score adds to a power mean."""
    score = MOST_SCORE if score > MOST_SCORE else score
    return score * score * (score * score) if power == POWER else score


cdef inline double root(double mean, int power) noexcept nogil:
    return sqrt(sqrt(mean)) if power == POWER else mean


def held(const double[::1] scores, const long long[::1] offsets):
    cdef Py_ssize_t n = scores.shape[0], series = offsets.shape[0] - 1, i, first
    found_array = np.empty(n)
    cdef double[::1] found = found_array
    with nogil:
        for i in range(series):
            first = offsets[i]
            if first < offsets[i + 1]:
                hold(&scores[first], offsets[i + 1] - first, &found[first])
    return found_array


cdef void hold(const double* scores, Py_ssize_t n, double* found) noexcept nogil:
    """The held scores of one series, which may be written over the scores."""
    cdef double most = 0.0, score
    cdef Py_ssize_t j
    for j in range(n):
        most, score = most * HOLD, scores[j]
        if score > most:
            most = MOST_HELD if score > MOST_HELD and MOST_HELD > most else score
            found[j] = score
        else:
            found[j] = 0.5 * (score + most)


def combined(const double[:, :] scores, const double[::1] weights, int power, int how):
    cdef Py_ssize_t windows = scores.shape[0], n = scores.shape[1], w, j
    found_array = np.empty(n)
    cdef double[::1] found = found_array
    cdef double total, weight, score
    with nogil:
        for j in range(n):
            weight, total = 0.0, NAN
            for w in range(windows):
                score = scores[w, j]
                if score == score:
                    weight = weight + weights[w]
                    if total != total or (score < total if how == 1 else score > total):
                        total = score
            if how == 0 and weight > 0.0:
                total = 0.0
                for w in range(windows):
                    if scores[w, j] == scores[w, j]:
                        total = total + weights[w] / weight * raised(scores[w, j], power)
                total = root(total, power)
            found[j] = total
    return found_array
