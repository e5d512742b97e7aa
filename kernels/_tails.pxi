# Tails, compiled; see `_tails_py` for what each function does.


def joint_quantiles(
    const double[:, ::1] scores,
    const long long[::1] offsets,
    const double[::1] weights,
    int power,
    const double[::1] levels,
):
    cdef Py_ssize_t windows = scores.shape[0], series = offsets.shape[0] - 1, levels_count = levels.shape[0]
    cdef Py_ssize_t i, j, n, w, mask, how, room, members
    found_array = np.full((series, 3, 1 << windows, levels_count), np.nan)
    count_array = np.zeros((series, 1 << windows), np.int64)
    cdef double[:, :, :, ::1] found = found_array
    cdef long long[:, ::1] counts = count_array
    cdef double score, weight, mean, least, most
    cdef double[8] share
    cdef Py_ssize_t[8] member
    cdef double* a
    cdef bint there
    if windows > 8:
        raise ValueError("more than 8 windows")
    a = scratch(offsets)
    room = 1
    for i in range(series):
        room = max(room, offsets[i + 1] - offsets[i])
    cdef double* joint = <double*>malloc(3 * room * sizeof(double))
    if joint == NULL:
        free(a)
        raise MemoryError
    with nogil:
        for mask in range(1 << windows if levels_count else 0):
            members, weight = 0, 0.0
            for w in range(windows):
                if mask >> w & 1:
                    member[members] = w
                    members += 1
                    weight = weight + weights[w]
            if members < 2:
                continue
            for w in range(members):
                share[w] = weights[member[w]] / weight
            for i in range(series):
                n = 0
                for j in range(offsets[i], offsets[i + 1]):
                    score = scores[member[0], j]
                    mean, least, most, there = share[0] * raised(score, power), score, score, score - score == 0
                    for w in range(1, members):
                        score = scores[member[w], j]
                        there &= score - score == 0
                        mean = mean + share[w] * raised(score, power)
                        least = score if score < least else least
                        most = score if score > most else most
                    joint[n], joint[room + n], joint[2 * room + n] = root(mean, power), least, most
                    n += there
                counts[i, mask] = n
                for how in range(3):
                    upper_quantiles(joint + how * room, n, &levels[0], levels_count, a, &found[i, how, mask, 0])
    free(joint)
    free(a)
    return found_array, count_array


def joint_scores(
    const double[:, ::1] scores,
    const long long[::1] offsets,
    const double[::1] weights,
    int power,
    const double[:, ::1] thresholds,
):
    cdef Py_ssize_t windows = scores.shape[0], n = scores.shape[1], series = offsets.shape[0] - 1, i, j, w, mask
    found_array = np.empty(n)
    cdef double[::1] found = found_array
    cdef double weight, total, score
    with nogil:
        for i in range(series):
            for j in range(offsets[i], offsets[i + 1]):
                mask, weight, total = 0, 0.0, 0.0
                for w in range(windows):
                    if scores[w, j] == scores[w, j]:
                        mask |= <Py_ssize_t>1 << w
                        weight = weight + weights[w]
                for w in range(windows):
                    score = scores[w, j]
                    if score == score:
                        total = total + weights[w] / weight * raised(score, power)
                found[j] = root(total, power) / thresholds[i, mask] if mask else NAN
    return found_array
