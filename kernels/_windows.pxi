# Windows, compiled; see `_windows_py` for what each function does.


def window_means(
    const long long[::1] times,
    const double[::1] values,
    const long long[::1] offsets,
    const long long[::1] windows,
    const long long[:, ::1] needed,
    const long long[::1] regime,
):
    cdef Py_ssize_t n = times.shape[0], series = offsets.shape[0] - 1, w, i, j, first, start, end, k, block_start
    cdef long long window, block
    means_array = np.empty((windows.shape[0], n))
    suffix_array = np.empty(n)
    cdef double[:, ::1] means = means_array
    cdef double[::1] suffix = suffix_array
    cdef double prefix, total
    with nogil:
        for w in range(windows.shape[0]):
            window = windows[w]
            for i in range(series):
                first, end = offsets[i], offsets[i + 1]
                if first == end:
                    continue
                # The sums from each point to the last of its block, whose times have the same quotient by the window.
                total = values[end - 1]
                suffix[end - 1] = total
                for j in range(end - 2, first - 1, -1):
                    if times[j] // window == times[j + 1] // window:
                        total = values[j] + total
                    else:
                        total = values[j]
                    suffix[j] = total
                start, prefix, block, block_start = first, 0.0, times[first] // window, first
                for j in range(first, end):
                    if times[j] // window != block:
                        block, block_start, prefix = times[j] // window, j, 0.0
                    prefix = prefix + values[j]
                    while times[start] <= times[j] - window:
                        start += 1
                    k = j - start + 1
                    if k < needed[w, regime[j]]:
                        means[w, j] = NAN
                    elif start < block_start:
                        means[w, j] = (suffix[start] + prefix) / k
                    else:  # the block begins after the window does, or with it
                        means[w, j] = prefix / k
    return means_array


def combined(const double[:, :] scores, const double[::1] weights, int how):
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
                        total = total + weights[w] / weight * scores[w, j]
            found[j] = total
    return found_array


def linear_between(const double[:, ::1] profile, const long long[::1] rows, const long long[::1] times, long long apart):
    cdef Py_ssize_t n = times.shape[0], bins = profile.shape[1], j, low, high
    cdef long long since, half = apart // 2, period = apart * bins
    found_array = np.empty(n)
    cdef double[::1] found = found_array
    cdef double before
    with nogil:
        for j in range(n):
            since = (times[j] - half) % period
            since = since + period if since < 0 else since
            low = since // apart
            high = low + 1 if low + 1 < bins else 0
            before = profile[rows[j], low]
            found[j] = before + (profile[rows[j], high] - before) * (<double>(since - low * apart) / apart)
    return found_array
