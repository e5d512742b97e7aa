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


cdef extern from *:
    """
    #if defined(__x86_64__) && defined(__GLIBC__) && defined(__has_attribute)
    #if __has_attribute(target_clones)
    #define MYRIAD_WIDE __attribute__((target_clones("avx2", "default")))
    #endif
    #endif
    #ifndef MYRIAD_WIDE
    #define MYRIAD_WIDE
    #endif

    MYRIAD_WIDE static void myriad_replace(const double *restrict old, double *restrict into, double out, double in) {
        for (int k = 0; k < 64; k++) {
            double last = old[k - 1], here = old[k], next = old[k + 1];
            double low = last < out ? last : here, high = here < out ? here : next;
            low = in > low ? in : low;
            into[k] = low < high ? low : high;
        }
    }
    """
    void replace "myriad_replace"(const double* old, double* into, double out, double in_) noexcept nogil


cdef void roll_medians(
    const double* values, Py_ssize_t n, double center, double* before, Py_ssize_t lookback, Py_ssize_t prior,
    double* found,
) noexcept nogil:
    """The rolling medians of one series; `lookback` and `prior` are at most 64 together.

    `before` are the values before these, NaN in place of those there are none of; it is moved behind the last.

    The values in order stand between -inf and as many inf as there is room for, and a gap is an inf as well: so that
    one is replaced without a branch or a search, all 64 places at once, from one copy into the other.
    """
    cdef double[2][66] ordered
    cdef double entering, leaving
    cdef Py_ssize_t j, size = prior, now = 0
    for j in range(66):
        ordered[0][j] = ordered[1][j] = center if 0 < j <= prior else INFINITY
    ordered[0][0] = ordered[1][0] = -INFINITY
    for j in range(-lookback, n):
        if j < 0:
            entering, leaving = before[lookback + j], INFINITY
        else:
            found[j] = (ordered[now][1 + (size - 1) // 2] + ordered[now][1 + size // 2]) / 2
            entering, leaving = values[j], before[j] if j < lookback else values[j - lookback]
        entering = entering if entering == entering else INFINITY
        leaving = leaving if leaving == leaving else INFINITY
        size += (entering < INFINITY) - (leaving < INFINITY)
        replace(&ordered[now][1], &ordered[1 - now][1], leaving, entering)
        now = 1 - now
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
