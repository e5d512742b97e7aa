# Profiles, compiled; see `_profiles_py` for what each function does.


cdef inline long long whole(long long a, long long b) noexcept nogil:
    """a / b, rounded down."""
    cdef long long quotient = a // b
    return quotient - 1 if a % b < 0 else quotient


cdef inline (long long, long long) earliest_and_latest(const long long* times, Py_ssize_t n) noexcept nogil:
    cdef long long earliest = times[0], latest = times[0]
    cdef Py_ssize_t j
    for j in range(n):
        earliest, latest = min(earliest, times[j]), max(latest, times[j])
    return earliest, latest


def period_means(
    const long long[::1] times,
    const double[::1] values,
    const long long[::1] offsets,
    const double[::1] sizes,
    long long apart,
    Py_ssize_t bins,
    Py_ssize_t most,
):
    cdef Py_ssize_t series = offsets.shape[0] - 1, periods = 1, i, j, first, end, k
    cdef long long period = apart * bins, last, ago, place, edge, earliest, latest
    lasts_array = np.zeros(series, np.int64)
    cdef long long[::1] lasts = lasts_array
    for i in range(series):
        first, end = offsets[i], offsets[i + 1]
        if first < end:
            earliest, latest = earliest_and_latest(&times[first], end - first)
            lasts[i] = whole(latest, period)
            periods = max(periods, min(lasts[i] - whole(earliest, period) + 1, most))
    means_array = np.zeros((series, periods, bins))
    count_array = np.zeros((series, periods, bins), np.int64)
    cdef double[:, :, ::1] means = means_array
    cdef long long[:, :, ::1] counts = count_array
    cdef double* sum_at
    cdef long long* count_at
    cdef double even, odd, size
    with nogil:
        for i in range(series):
            first, end, size = offsets[i], offsets[i + 1], sizes[i]
            if first == end:
                continue
            last, j = lasts[i], first
            while j < end:
                place = whole(times[j], apart)
                ago = min(last - whole(place, bins), periods - 1)
                edge = (place + 1) * apart
                place -= whole(place, bins) * bins
                even, odd, k = 0.0, 0.0, j
                while j + 1 < end and edge - apart <= times[j] < edge and edge - apart <= times[j + 1] < edge:
                    even, odd = even + values[j], odd + values[j + 1]
                    j += 2
                if j < end and edge - apart <= times[j] < edge:
                    even = even + values[j]
                    j += 1
                means[i, periods - 1 - ago, place] += even + odd
                counts[i, periods - 1 - ago, place] += j - k
            sum_at, count_at = &means[i, 0, 0], &counts[i, 0, 0]
            for k in range(periods * bins):
                sum_at[k] = sum_at[k] / count_at[k] / size if count_at[k] else NAN
        for i in range(series):
            if offsets[i] == offsets[i + 1]:
                for k in range(periods * bins):
                    (&means[i, 0, 0])[k] = NAN
    return means_array


def less_profile(
    const long long[::1] times,
    const double[::1] values,
    const long long[::1] offsets,
    const double[::1] sizes,
    const double[:, ::1] starts,
    const double[:, ::1] ends,
    long long apart,
    long long first,
):
    cdef Py_ssize_t n = times.shape[0], series = offsets.shape[0] - 1, bins = starts.shape[1], i, j, low
    cdef long long place, begins
    rest_array = np.empty(n)
    cdef double[::1] rest = rest_array
    cdef double before, rise, size
    with nogil:
        for i in range(series):
            size, j = sizes[i], offsets[i]
            while j < offsets[i + 1]:
                place = whole(times[j] - first, apart)
                begins = place * apart + first
                low = place - whole(place, bins) * bins
                before = starts[i, low]
                rise = (ends[i, low] - before) / apart
                while j < offsets[i + 1] and begins <= times[j] < begins + apart:
                    rest[j] = values[j] / size - (before + rise * (times[j] - begins))
                    j += 1
    return rest_array
