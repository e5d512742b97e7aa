# Quantiles, compiled; see `_quantiles_py` for what each function does.


def medians(const double[::1] values, const long long[::1] offsets):
    cdef Py_ssize_t series = offsets.shape[0] - 1, i, size
    found_array = np.empty(series)
    cdef double[::1] found = found_array
    cdef double* a = scratch(offsets)
    with nogil:
        for i in range(series):
            size = offsets[i + 1] - offsets[i]
            found[i] = median_among(&values[offsets[i]], size, a) if size else NAN
    free(a)
    return found_array


def ranked(const double[::1] values, const long long[::1] offsets, const long long[::1] ranks):
    cdef Py_ssize_t series = offsets.shape[0] - 1, i, n, k, there = 0
    found_array = np.empty(series)
    cdef double[::1] found = found_array
    cdef double* a = scratch(offsets)
    with nogil:
        for i in range(series):
            found[i] = NAN
            if ranks[i] < offsets[i + 1] - offsets[i]:
                n = largest(&values[offsets[i]], offsets[i + 1] - offsets[i], ranks[i] + 1, a, &there)
                k = n - 1 - ranks[i]
                if 0 <= k < n:
                    select(a, 0, n - 1, k)
                    found[i] = a[k]
    free(a)
    return found_array


def quantiles(const double[::1] values, const long long[::1] offsets, const double[::1] levels):
    cdef Py_ssize_t series = offsets.shape[0] - 1, count = levels.shape[0], i, size
    found_array = np.empty((series, count))
    cdef double[:, ::1] found = found_array
    cdef double* a = scratch(offsets)
    with nogil:
        for i in range(series if count else 0):
            size = offsets[i + 1] - offsets[i]
            upper_quantiles(&values[offsets[i]] if size else NULL, size, &levels[0], count, a, &found[i, 0])
    free(a)
    return found_array


def usual_largest(
    const double[::1] values, const long long[::1] offsets, const double[::1] centers, double rare, Py_ssize_t least
):
    cdef Py_ssize_t series = offsets.shape[0] - 1, i, n, size, few, there = 0
    found_array = np.empty(series)
    cdef double[::1] found = found_array
    cdef double* a = scratch(offsets)
    with nogil:
        for i in range(series):
            found[i], size = NAN, offsets[i + 1] - offsets[i]
            if size == 0:
                continue
            few = max(1, <Py_ssize_t>(rare * size)) + 1
            n = largest_distances(&values[offsets[i]], size, centers[i], few, a, &there)
            few = max(1, <Py_ssize_t>(rare * there)) if there >= least else 0
            if few < n:
                select(a, 0, n - 1, n - 1 - few)
                found[i] = a[n - 1 - few]
    free(a)
    return found_array


cdef void roll_medians(
    const double* values, Py_ssize_t n, double center, double* before, Py_ssize_t lookback, Py_ssize_t prior,
    double* found,
) noexcept nogil:
    """The rolling medians of one series; `lookback` and `prior` are at most 64 together.

    `before` are the values before these, NaN in place of those there are none of; it is moved behind the last.
    """
    cdef Py_ssize_t j, k, size = prior
    cdef double[64] ordered
    cdef double entering, leaving
    for k in range(prior):
        ordered[k] = center
    for j in range(lookback):
        entering = before[j]
        if entering == entering:
            k = size
            size += 1
            while k > 0 and ordered[k - 1] > entering:
                ordered[k] = ordered[k - 1]
                k -= 1
            ordered[k] = entering
    for j in range(n):
        found[j] = (ordered[(size - 1) // 2] + ordered[size // 2]) / 2
        entering = values[j]
        leaving = values[j - lookback] if j >= lookback else before[j]
        if leaving == leaving:
            k = place_of(ordered, size, leaving)
            if entering == entering and entering >= leaving:
                while k + 1 < size and ordered[k + 1] < entering:
                    ordered[k] = ordered[k + 1]
                    k += 1
                ordered[k] = entering
                continue
            if entering != entering:
                size -= 1
                while k < size:
                    ordered[k] = ordered[k + 1]
                    k += 1
                continue
        elif entering == entering:
            k = size
            size += 1
        else:
            continue
        while k > 0 and ordered[k - 1] > entering:
            ordered[k] = ordered[k - 1]
            k -= 1
        ordered[k] = entering
    for j in range(lookback):
        before[j] = values[n - lookback + j] if n + j >= lookback else before[n + j]


def rolling_medians(
    const double[::1] values, const long long[::1] offsets, const double[::1] centers, double[:, ::1] before,
    Py_ssize_t prior,
):
    cdef Py_ssize_t n = values.shape[0], series = offsets.shape[0] - 1, i
    cdef Py_ssize_t lookback = before.shape[1]
    found_array = np.empty(n)
    cdef double[::1] found = found_array
    if before.shape[0] != series:
        raise ValueError("the values before are not those of these series")
    if not 0 < lookback + prior <= 64 or prior < 1:
        raise ValueError("between 1 and 64 values have a median, one of them the centre")
    with nogil:
        for i in range(series):
            if offsets[i] < offsets[i + 1]:
                roll_medians(
                    &values[offsets[i]], offsets[i + 1] - offsets[i], centers[i], &before[i, 0], lookback, prior,
                    &found[offsets[i]],
                )
    return found_array


cdef inline Py_ssize_t place_of(const double* ordered, Py_ssize_t size, double value) noexcept nogil:
    """The first place of a value that is among those in order, without a branch that depends on a value."""
    cdef Py_ssize_t i, smaller = 0
    for i in range(size):
        smaller += ordered[i] < value
    return smaller
