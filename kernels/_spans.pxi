# Spans, compiled; see `_spans_py` for what each function does.


def copied(
    const long long[::1] times, const double[::1] values, const long long[::1] starts, const long long[::1] lengths
):
    cdef Py_ssize_t count = starts.shape[0], i, place = 0
    offsets_array = np.zeros(count + 1, np.int64)
    cdef long long[::1] offsets = offsets_array
    for i in range(count):
        if starts[i] < 0 or lengths[i] < 0 or starts[i] + lengths[i] > times.shape[0]:
            raise ValueError("a span is not one of the points")
        offsets[i + 1] = offsets[i] + lengths[i]
    times_array, values_array = np.empty(offsets[count], np.int64), np.empty(offsets[count])
    cdef long long[::1] copied_times = times_array
    cdef double[::1] copied_values = values_array
    with nogil:
        for i in range(count):
            if lengths[i]:
                place = offsets[i]
                memcpy(&copied_times[place], &times[starts[i]], lengths[i] * sizeof(long long))
                memcpy(&copied_values[place], &values[starts[i]], lengths[i] * sizeof(double))
    return times_array, values_array, offsets_array


def where(
    const long long[::1] times, const double[::1] values, const long long[::1] offsets, const unsigned char[::1] keep
):
    cdef Py_ssize_t n = times.shape[0], series = offsets.shape[0] - 1, i, j, begin, place = 0, room = 0
    with nogil:
        for j in range(n):
            room += keep[j] != 0
    times_array, values_array = np.empty(room, np.int64), np.empty(room)
    offsets_array = np.zeros(series + 1, np.int64)
    cdef long long[::1] kept_times = times_array, kept_offsets = offsets_array
    cdef double[::1] kept_values = values_array
    with nogil:
        for i in range(series):
            j = offsets[i]
            while j < offsets[i + 1]:
                begin = j
                while j < offsets[i + 1] and keep[j]:
                    j += 1
                if begin < j:
                    memcpy(&kept_times[place], &times[begin], (j - begin) * sizeof(long long))
                    memcpy(&kept_values[place], &values[begin], (j - begin) * sizeof(double))
                    place += j - begin
                while j < offsets[i + 1] and not keep[j]:
                    j += 1
            kept_offsets[i + 1] = place
    return times_array, values_array, offsets_array


def joined(parts, const long long[::1] places):
    cdef Py_ssize_t n = 0, i, begin, run = 0
    for part in parts:
        n += len(part[0])
    times_array, values_array = np.empty(n, np.int64), np.empty(n)
    cdef long long[::1] joined_times = times_array
    cdef double[::1] joined_values = values_array
    cdef const long long[::1] times, lengths
    cdef const double[::1] values
    for times, values, lengths in parts:
        begin = 0
        for i in range(lengths.shape[0]):
            if lengths[i] == 0:
                run += 1
                continue
            if (
                run >= places.shape[0] or lengths[i] < 0 or begin + lengths[i] > min(times.shape[0], values.shape[0])
                or places[run] < 0 or places[run] + lengths[i] > n
            ):
                raise ValueError("a span has no place")
            memcpy(&joined_times[places[run]], &times[begin], lengths[i] * sizeof(long long))
            memcpy(&joined_values[places[run]], &values[begin], lengths[i] * sizeof(double))
            begin += lengths[i]
            run += 1
    return times_array, values_array


def common_step(const long long[::1] times, const long long[::1] offsets):
    cdef Py_ssize_t series = offsets.shape[0] - 1, i, j
    cdef long long step = 0, differs = 0
    with nogil:
        for i in range(series):
            if offsets[i + 1] - offsets[i] < 2:
                step = 0
                break
            if i == 0:
                step = times[1] - times[0]
            for j in range(offsets[i] + 1, offsets[i + 1]):
                differs |= times[j] - times[j - 1] - step
            if differs:
                step = 0
                break
    return step
