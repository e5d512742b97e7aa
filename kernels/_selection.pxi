# Selection: the k-th smallest of values and what can be made of it, for other parts to use.


cdef enum:
    SAMPLE = 8
    SHORT = 16  # so few values are sorted
    FEW = 100
    MANY_VALUES = 800
    LARGER_SAMPLE = 256


cdef extern from *:
    """
    typedef double myriad_pair __attribute__((vector_size(16), aligned(8), may_alias));
    typedef long long myriad_counts __attribute__((vector_size(16)));

    /* Two values at a time, and no branch that depends on one. */
    static Py_ssize_t myriad_between(
        const double *values, Py_ssize_t size, double low, double high, double *into, Py_ssize_t *below, Py_ssize_t *there
    ) {
        const myriad_pair lows = {low, low}, highs = {high, high};
        myriad_counts smaller = {0, 0}, known = {0, 0};
        Py_ssize_t i = 0, n = 0;
        for (; i + 1 < size; i += 2) {
            const myriad_pair value = *(const myriad_pair *)(values + i);
            const myriad_counts inside = (value >= lows) & (value <= highs);
            smaller -= value < lows;
            known -= value == value;
            into[n] = value[0];
            n -= inside[0];
            into[n] = value[1];
            n -= inside[1];
        }
        *below = smaller[0] + smaller[1];
        *there = known[0] + known[1];
        for (; i < size; i++) {
            const double value = values[i];
            into[n] = value;
            n += value >= low && value <= high;
            *below += value < low;
            *there += value == value;
        }
        return n;
    }
    """
    # Copy the values from `low` to `high`, maybe over themselves, and say how many; count those below, and all not NaN.
    Py_ssize_t between "myriad_between"(
        const double*, Py_ssize_t, double, double, double*, Py_ssize_t*, Py_ssize_t*
    ) noexcept nogil


cdef double pivot_near(double* a, Py_ssize_t low, Py_ssize_t high, Py_ssize_t k, unsigned long long* seed) noexcept nogil:
    """A value that is about the k-th smallest of a[low:high + 1]: that of a sample, or any of few."""
    cdef double[SAMPLE] some
    cdef double value
    cdef Py_ssize_t i, j, size = high - low + 1
    for i in range(SAMPLE):
        seed[0] ^= seed[0] << 13
        seed[0] ^= seed[0] >> 7
        seed[0] ^= seed[0] << 17
        value = a[low + <Py_ssize_t>(((seed[0] >> 32) * <unsigned long long>size) >> 32)]
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
        if high - low < SHORT:
            for i in range(low + 1, high + 1):
                value, less = a[i], i
                while less > low and a[less - 1] > value:
                    a[less] = a[less - 1]
                    less -= 1
                a[less] = value
            return
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


cdef Py_ssize_t sampled(const double* values, Py_ssize_t size, double* some) noexcept nogil:
    """Some of the values, `LARGER_SAMPLE` at most, none NaN; how many these are."""
    cdef Py_ssize_t i, n = 0
    cdef unsigned long long seed = 88172645463325252
    for i in range(LARGER_SAMPLE):
        seed ^= seed << 13
        seed ^= seed >> 7
        seed ^= seed << 17
        some[n] = values[((seed >> 32) * <unsigned long long>size) >> 32]
        n += some[n] == some[n]
    return n


cdef double surely_below(const double* values, Py_ssize_t size, Py_ssize_t wanted) noexcept nogil:
    """A value that most likely at least `wanted` of the values are not below; -inf where few would be."""
    cdef double[LARGER_SAMPLE] some
    cdef double share = <double>wanted / size if size else 1.0
    cdef Py_ssize_t n, above
    above = <Py_ssize_t>(LARGER_SAMPLE * share + 3 * sqrt(LARGER_SAMPLE * share * (1 - share))) + 2
    if size < MANY_VALUES or above > LARGER_SAMPLE * 3 // 4:
        return -INFINITY
    n = sampled(values, size, some)
    if n < above:
        return -INFINITY
    select(some, 0, n - 1, n - above)
    return some[n - above]


cdef bint bounds_near(const double* values, Py_ssize_t size, double share, double* low, double* high) noexcept nogil:
    """Values between which that one most likely is which such a share of them is below; whether there are any."""
    cdef double[LARGER_SAMPLE] some
    cdef Py_ssize_t n = sampled(values, size, some) if size >= MANY_VALUES else 0
    cdef Py_ssize_t place = <Py_ssize_t>(share * n), margin = <Py_ssize_t>(1.5 * sqrt(n)) + 2  # three deviations of it
    if place < margin or place + margin >= n:
        return False
    select(some, 0, n - 1, place - margin)
    select(some, place - margin, n - 1, place + margin)
    low[0], high[0] = some[place - margin], some[place + margin]
    return True


cdef double median_among(const double* values, Py_ssize_t size, double* a) noexcept nogil:
    """The median of what is not NaN; most of what is surely below or above it is dropped, and of the rest once more."""
    cdef double low = 0, high = 0
    cdef Py_ssize_t k = -1, n = 0, below = 0, there = 0, known = 0
    if bounds_near(values, size, 0.5, &low, &high):
        n = between(values, size, low, high, a, &below, &there)
        k = (there - 1) // 2 - below
        if 0 <= k < n and bounds_near(a, n, <double>k / n, &low, &high):
            n = between(a, n, low, high, a, &below, &known)
            k -= below
    if k < 0 or k + 1 >= n:  # few values, or the sample was not like the rest
        n = between(values, size, -INFINITY, INFINITY, a, &below, &there)
        k = (n - 1) // 2
    if n == 0:
        return NAN
    select(a, 0, n - 1, k)
    return (a[k] + (a[k] if there % 2 else smallest(a, k + 1, n - 1))) / 2


cdef Py_ssize_t largest(
    const double* values, Py_ssize_t size, Py_ssize_t wanted, double* into, Py_ssize_t* count
) noexcept nogil:
    """Copy the largest values, at least `wanted` if there are; say how many, and count those that are not NaN."""
    cdef Py_ssize_t below, n = between(values, size, surely_below(values, size, wanted), INFINITY, into, &below, count)
    if n < wanted and n < count[0]:  # the sample was not like the rest
        n = between(values, size, -INFINITY, INFINITY, into, &below, count)
    return n


cdef Py_ssize_t largest_distances(
    const double* values, Py_ssize_t size, double center, Py_ssize_t wanted, double* into, Py_ssize_t* count
) noexcept nogil:
    """As `largest`, of |value - center|."""
    cdef double[LARGER_SAMPLE] some
    cdef double distance, bound = -INFINITY
    cdef Py_ssize_t i, n, there = 0, above = wanted * LARGER_SAMPLE // size + 8  # of a thousandth far more than enough
    if size >= MANY_VALUES and above < LARGER_SAMPLE // 4:
        n = sampled(values, size, some)
        for i in range(n):
            some[i] = fabs(some[i] - center)
        if n >= above:
            select(some, 0, n - 1, n - above)
            bound = some[n - above]
    n = 0
    for i in range(size):
        distance = fabs(values[i] - center)
        into[n] = distance
        n += distance >= bound
        there += distance == distance
    if n < wanted and n < there:  # the sample was not like the rest
        n = 0
        for i in range(size):
            into[n] = fabs(values[i] - center)
            n += values[i] == values[i]
    count[0] = there
    return n


cdef void upper_quantiles(
    const double* values, Py_ssize_t size, const double* levels, Py_ssize_t levels_count, double* a, double* found
) noexcept nogil:
    """The quantiles at rising levels of what is not NaN, between the two nearest values as NumPy has them."""
    cdef Py_ssize_t q, k, low = 0, there = 0, n, dropped
    cdef double place, share, before, after
    n = largest(values, size, size - <Py_ssize_t>(levels[0] * (size - 1)) if size else 0, a, &there)
    dropped = there - n
    for q in range(levels_count):
        if n == 0:
            found[q] = NAN
            continue
        place = levels[q] * (there - 1)
        k = <Py_ssize_t>floor(place)
        share = place - k
        k -= dropped
        select(a, low, n - 1, k)
        low, before = k, a[k]
        after = smallest(a, k + 1, n - 1) if k + 1 < n else before
        # As NumPy rounds it: from the nearer of the two.
        if share >= 0.5:
            found[q] = after - (after - before) * (1 - share)
        else:
            found[q] = before + (after - before) * share


cdef double* scratch(const long long[::1] offsets, Py_ssize_t times=1) except NULL:
    """Room for so many times the longest series."""
    cdef Py_ssize_t longest = 1, i
    for i in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    cdef double* room = <double*>malloc(times * longest * sizeof(double))
    if room == NULL:
        raise MemoryError
    return room
