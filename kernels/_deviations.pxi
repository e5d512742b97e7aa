# Deviations, compiled; see `_deviations_py` for what each function does.


def mean_deviations(const double[::1] values, const long long[::1] offsets, const double[::1] centers):
    cdef Py_ssize_t series = offsets.shape[0] - 1, i, j
    means_array = np.empty(series)
    cdef double[::1] means = means_array
    cdef double total, center
    with nogil:
        for i in range(series):
            total, center = 0.0, centers[i]
            for j in range(offsets[i], offsets[i + 1]):
                total += fabs(values[j] - center)
            means[i] = total / max(offsets[i + 1] - offsets[i], 1)
    return means_array


def around_medians(const double[::1] values, const long long[::1] offsets):
    cdef Py_ssize_t series = offsets.shape[0] - 1, i, j, first, n
    distance_array, found_array = np.empty(values.shape[0]), np.full((3, series), np.nan)
    cdef double[::1] distances = distance_array
    cdef double[:, ::1] found = found_array
    cdef double total, center
    cdef double* a = scratch(offsets)
    with nogil:
        for i in range(series):
            first, n = offsets[i], offsets[i + 1] - offsets[i]
            if n == 0:
                continue
            total, center = 0.0, median_among(&values[first], n, a)
            for j in range(first, first + n):
                distances[j] = fabs(values[j] - center)
                total += distances[j]
            found[0, i], found[1, i], found[2, i] = center, total / n, median_among(&distances[first], n, a)
    free(a)
    return distance_array, *found_array


def mean_steps(const double[::1] values, const long long[::1] offsets):
    cdef Py_ssize_t series = offsets.shape[0] - 1, i, j
    means_array = np.empty(series)
    cdef double[::1] means = means_array
    cdef double total
    with nogil:
        for i in range(series):
            total = 0.0
            for j in range(offsets[i] + 1, offsets[i + 1]):
                total += fabs(values[j] - values[j - 1])
            means[i] = total / max(offsets[i + 1] - offsets[i] - 1, 1)
    return means_array


def strayed(
    const double[::1] values,
    const double[::1] expected,
    const long long[::1] offsets,
    const double[::1] typical,
    double most,
):
    cdef Py_ssize_t n = values.shape[0], series = offsets.shape[0] - 1, i, j
    distance_array, error_array = np.empty(n), np.empty(series)
    cdef double[::1] distances = distance_array, errors = error_array
    cdef double total, distance, steps
    with nogil:
        for i in range(series):
            total = 0.0
            for j in range(offsets[i], offsets[i + 1]):
                distance = fabs(values[j] - expected[j])
                distances[j] = distance
                steps = distance / typical[i]
                total += most if steps > most else steps
            errors[i] = total / max(offsets[i + 1] - offsets[i], 1)
    return distance_array, error_array


def scored(
    const double[::1] distances,
    const double[::1] halves,
    const long long[::1] offsets,
    const double[::1] limits,
    const double[::1] floors,
):
    cdef Py_ssize_t n = distances.shape[0], series = offsets.shape[0] - 1, i, j, first, size, above
    score_array, above_array, floor_array = np.empty(n), np.empty(series), np.empty(series)
    cdef double[::1] scores = score_array, shares = above_array, of_floor = floor_array
    cdef double* a = NULL
    cdef double* ratios = scratch(offsets)
    cdef double wide, limit, floor
    try:
        a = scratch(offsets)
    except MemoryError:
        free(ratios)
        raise
    with nogil:
        for i in range(series):
            first, size, above = offsets[i], offsets[i + 1] - offsets[i], 0
            limit, floor = limits[i], floors[i]
            for j in range(first, first + size):
                wide = halves[j] * limit
                wide = floor if wide < floor else wide
                scores[j] = distances[j] / wide
                above += scores[j] > 1
                ratios[j - first] = floor / wide
            shares[i] = <double>above / max(size, 1)
            of_floor[i] = median_among(ratios, size, a)
    free(ratios)
    free(a)
    return score_array, above_array, floor_array


def within(
    const double[::1] values, const long long[::1] offsets, const double[::1] centers, const double[::1] limits
):
    cdef Py_ssize_t n = values.shape[0], series = offsets.shape[0] - 1, i, j
    inside_array = np.empty(n, np.bool_)
    cdef unsigned char[::1] inside = inside_array.view(np.uint8)
    cdef double center, limit
    with nogil:
        for i in range(series):
            center, limit = centers[i], limits[i]
            for j in range(offsets[i], offsets[i + 1]):
                inside[j] = fabs(values[j] - center) <= limit
    return inside_array


def moves(const double[::1] values, const long long[::1] offsets, double near_zero):
    cdef Py_ssize_t series = offsets.shape[0] - 1, i, j
    found_array = np.zeros((series, 3), np.int64)
    cdef long long[:, ::1] found = found_array
    cdef long long rises, falls, drops
    with nogil:
        for i in range(series):
            rises, falls, drops = 0, 0, 0
            for j in range(offsets[i] + 1, offsets[i + 1]):
                rises += values[j] > values[j - 1]
                falls += values[j] < values[j - 1]
                drops += (values[j] < values[j - 1]) & (values[j] > near_zero * values[j - 1])
            found[i, 0], found[i, 1], found[i, 2] = rises, falls, drops
    return found_array
