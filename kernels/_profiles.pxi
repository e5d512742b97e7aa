# Profiles, compiled; see `_profiles_py` for what each function does.


cdef inline long long whole(long long a, long long b) noexcept nogil:
    """a / b, rounded down."""
    cdef long long quotient = a // b
    return quotient - 1 if a % b < 0 else quotient


cdef Py_ssize_t last_periods(
    const long long[::1] times, const long long[::1] offsets, long long period, Py_ssize_t most, long long[::1] lasts
) noexcept nogil:
    """The last period of each series, and how many the series has that has the most of them, one at least."""
    cdef Py_ssize_t periods = 1, i, j
    cdef long long earliest, latest
    for i in range(offsets.shape[0] - 1):
        if offsets[i] == offsets[i + 1]:
            continue
        earliest = latest = times[offsets[i]]
        for j in range(offsets[i], offsets[i + 1]):
            earliest, latest = min(earliest, times[j]), max(latest, times[j])
        lasts[i] = whole(latest, period)
        periods = max(periods, min(lasts[i] - whole(earliest, period) + 1, most))
    return periods


def period_means(
    const long long[::1] times,
    const double[::1] values,
    const long long[::1] offsets,
    const double[::1] sizes,
    long long apart,
    Py_ssize_t bins,
    Py_ssize_t most,
):
    cdef Py_ssize_t series = offsets.shape[0] - 1, periods, i, j, first, end, k
    cdef long long period = apart * bins, last, ago, place, edge
    lasts_array = np.zeros(series, np.int64)
    cdef long long[::1] lasts = lasts_array
    periods = last_periods(times, offsets, period, most, lasts)
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


def period_maxima(
    const long long[::1] times,
    const double[::1] values,
    const long long[::1] offsets,
    long long apart,
    Py_ssize_t bins,
    Py_ssize_t most,
):
    cdef Py_ssize_t series = offsets.shape[0] - 1, periods, i, j, ago
    cdef long long place, edge
    lasts_array = np.zeros(series, np.int64)
    cdef long long[::1] lasts = lasts_array
    periods = last_periods(times, offsets, apart * bins, most, lasts)
    maxima_array = np.full((series, periods, bins), np.nan)
    cdef double[:, :, ::1] maxima = maxima_array
    cdef double* found
    cdef double largest
    with nogil:
        for i in range(series):
            j = offsets[i]
            while j < offsets[i + 1]:
                place = whole(times[j], apart)
                edge, ago = (place + 1) * apart, min(lasts[i] - whole(place, bins), periods - 1)
                found = &maxima[i, periods - 1 - ago, place - whole(place, bins) * bins]
                largest = found[0]
                while j < offsets[i + 1] and edge - apart <= times[j] < edge:
                    if not values[j] <= largest and values[j] == values[j]:
                        largest = values[j]
                    j += 1
                found[0] = largest
    return maxima_array


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
