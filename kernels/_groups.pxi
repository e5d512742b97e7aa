# Groups, compiled; see `_groups_py` for what each function does.


def by_number(const long long[::1] numbers, Py_ssize_t size):
    cdef Py_ssize_t n = numbers.shape[0], i, place
    offsets_array, order_array = np.zeros(size + 1, np.int64), np.empty(n, np.int64)
    next_array = np.empty(size, np.int64)
    cdef long long[::1] offsets = offsets_array, order = order_array, next_place = next_array
    cdef bint outside = False
    with nogil:
        for i in range(n):
            if numbers[i] < 0 or numbers[i] >= size:
                outside = True
                break
            offsets[numbers[i] + 1] += 1
        if not outside:
            for i in range(size):
                next_place[i] = offsets[i]
                offsets[i + 1] += offsets[i]
            for i in range(n):
                place = next_place[numbers[i]]
                order[place] = i
                next_place[numbers[i]] = place + 1
    if outside:
        raise ValueError(f"a number is not between 0 and {size - 1}")
    return order_array, offsets_array


def placed(
    const long long[::1] numbers, const long long[::1] starts, const long long[::1] times, const double[::1] values
):
    cdef Py_ssize_t n = numbers.shape[0], size = starts.shape[0], i
    cdef long long place
    times_array, values_array, next_array = np.empty(n, np.int64), np.empty(n), np.array(starts, np.int64)
    cdef long long[::1] placed_times = times_array, next_place = next_array
    cdef double[::1] placed_values = values_array
    cdef bint outside = times.shape[0] != n or values.shape[0] != n
    with nogil:
        for i in range(0 if outside else n):
            if numbers[i] < 0 or numbers[i] >= size:
                outside = True
                break
            place = next_place[numbers[i]]
            if place < 0 or place >= n:
                outside = True
                break
            placed_times[place], placed_values[place] = times[i], values[i]
            next_place[numbers[i]] = place + 1
    if outside:
        raise ValueError("a row has no place")
    return times_array, values_array


def numbered(const int[::1] regions, const int[::1] hosts, const int[::1] metrics, long long of_hosts, long long of_metrics):
    cdef Py_ssize_t n = regions.shape[0], i
    numbers_array = np.empty(n, np.int64)
    cdef long long[::1] numbers = numbers_array
    if hosts.shape[0] != n or metrics.shape[0] != n:
        raise ValueError("rows lack a label")
    with nogil:
        for i in range(n):
            numbers[i] = (regions[i] * of_hosts + hosts[i]) * of_metrics + metrics[i]
    return numbers_array
