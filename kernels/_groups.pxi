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
