# Quantiles, compiled; see `_quantiles_py` for what each function does.


cdef enum:
    SAMPLE = 32
    FEW = 400


cdef double pivot_near(double* a, Py_ssize_t low, Py_ssize_t high, Py_ssize_t k, unsigned long long* seed) noexcept nogil:
    """A value that is about the k-th smallest of a[low:high + 1]: that of a sample, or any of few."""
    cdef double[SAMPLE] some
    cdef double value
    cdef Py_ssize_t i, j, size = high - low + 1
    for i in range(SAMPLE):
        seed[0] ^= seed[0] << 13
        seed[0] ^= seed[0] >> 7
        seed[0] ^= seed[0] << 17
        value = a[low + <Py_ssize_t>(seed[0] % <unsigned long long>size)]
        if size < FEW:
            return value
        j = i
        while j > 0 and some[j - 1] > value:
            some[j] = some[j - 1]
            j -= 1
        some[j] = value
    return some[(k - low) * SAMPLE // size]


cdef void select(double* a, Py_ssize_t low, Py_ssize_t high, Py_ssize_t k) noexcept nogil:
    """Put the k-th smallest of a[low:high + 1] at k, none larger before it and none smaller after it.

    The partition has no branch that depends on a value: of random values every other would be mispredicted.
    """
    cdef Py_ssize_t i, less, equal
    cdef unsigned long long seed = 88172645463325252
    cdef double pivot, value
    while low < high:
        pivot = pivot_near(a, low, high, k, &seed)
        less = low
        for i in range(low, high + 1):
            value = a[i]
            a[i] = a[less]
            a[less] = value
            less += value < pivot
        if k < less:
            high = less - 1
            continue
        equal = less
        for i in range(less, high + 1):
            value = a[i]
            a[i] = a[equal]
            a[equal] = value
            equal += value == pivot
        if k < equal:
            return
        low = equal


cdef double smallest(double* a, Py_ssize_t low, Py_ssize_t high) noexcept nogil:
    cdef double least = a[low]
    cdef Py_ssize_t i
    for i in range(low + 1, high + 1):
        if a[i] < least:
            least = a[i]
    return least


cdef Py_ssize_t gathered(const double[::1] values, Py_ssize_t first, Py_ssize_t end, double* into) noexcept nogil:
    """Copy what is not NaN, and say how many that are."""
    cdef Py_ssize_t i, n = 0
    for i in range(first, end):
        if values[i] == values[i]:
            into[n] = values[i]
            n += 1
    return n


cdef double* scratch(const long long[::1] offsets, Py_ssize_t times=1) except NULL:
    """Room for so many times the longest series."""
    cdef Py_ssize_t longest = 1, i
    for i in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    cdef double* room = <double*>malloc(times * longest * sizeof(double))
    if room == NULL:
        raise MemoryError
    return room


def medians(const double[::1] values, const long long[::1] offsets):
    cdef Py_ssize_t series = offsets.shape[0] - 1, i, n, k
    found_array = np.empty(series)
    cdef double[::1] found = found_array
    cdef double* a = scratch(offsets)
    with nogil:
        for i in range(series):
            n = gathered(values, offsets[i], offsets[i + 1], a)
            if n == 0:
                found[i] = NAN
                continue
            k = (n - 1) // 2
            select(a, 0, n - 1, k)
            found[i] = (a[k] + (a[k] if n % 2 else smallest(a, k + 1, n - 1))) / 2
    free(a)
    return found_array


def ranked(const double[::1] values, const long long[::1] offsets, const long long[::1] ranks):
    cdef Py_ssize_t series = offsets.shape[0] - 1, i, n, k
    found_array = np.empty(series)
    cdef double[::1] found = found_array
    cdef double* a = scratch(offsets)
    with nogil:
        for i in range(series):
            n = gathered(values, offsets[i], offsets[i + 1], a)
            k = n - 1 - ranks[i]
            if k < 0 or k >= n:
                found[i] = NAN
                continue
            select(a, 0, n - 1, k)
            found[i] = a[k]
    free(a)
    return found_array


def quantiles(const double[::1] values, const long long[::1] offsets, const double[::1] levels):
    cdef Py_ssize_t series = offsets.shape[0] - 1, count = levels.shape[0], i, n, k, q, low
    found_array = np.empty((series, count))
    cdef double[:, ::1] found = found_array
    cdef double* a = scratch(offsets)
    cdef double place, share, before, after
    with nogil:
        for i in range(series):
            n = gathered(values, offsets[i], offsets[i + 1], a)
            low = 0
            for q in range(count):
                if n == 0:
                    found[i, q] = NAN
                    continue
                place = levels[q] * (n - 1)
                k = <Py_ssize_t>floor(place)
                share = place - k
                select(a, low, n - 1, k)
                low, before = k, a[k]
                after = smallest(a, k + 1, n - 1) if k + 1 < n else before
                # As NumPy rounds it: from the nearer of the two.
                if share >= 0.5:
                    found[i, q] = after - (after - before) * (1 - share)
                else:
                    found[i, q] = before + (after - before) * share
    free(a)
    return found_array


cdef void roll_medians(
    const double* values, Py_ssize_t n, double center, Py_ssize_t lookback, Py_ssize_t prior, double* found
) noexcept nogil:
    """The rolling medians of one series; `lookback` and `prior` are at most 64 together."""
    cdef Py_ssize_t j, k, size = prior
    cdef double[64] ordered
    cdef double value
    for k in range(prior):
        ordered[k] = center
    for j in range(n):
        found[j] = (ordered[(size - 1) // 2] + ordered[size // 2]) / 2
        if j >= lookback:
            value = values[j - lookback]
            if value == value:
                k = 0
                while ordered[k] != value:
                    k += 1
                size -= 1
                while k < size:
                    ordered[k] = ordered[k + 1]
                    k += 1
        value = values[j]
        if value == value:
            k = size
            while k > 0 and ordered[k - 1] > value:
                ordered[k] = ordered[k - 1]
                k -= 1
            ordered[k] = value
            size += 1


def rolling_medians(
    const double[::1] values, const long long[::1] offsets, const double[::1] centers, Py_ssize_t lookback, Py_ssize_t prior
):
    cdef Py_ssize_t n = values.shape[0], series = offsets.shape[0] - 1, i
    found_array = np.empty(n)
    cdef double[::1] found = found_array
    if not 0 < lookback + prior <= 64 or prior < 1:
        raise ValueError("between 1 and 64 values have a median, one of them the centre")
    with nogil:
        for i in range(series):
            if offsets[i] < offsets[i + 1]:
                roll_medians(
                    &values[offsets[i]], offsets[i + 1] - offsets[i], centers[i], lookback, prior, &found[offsets[i]]
                )
    return found_array
