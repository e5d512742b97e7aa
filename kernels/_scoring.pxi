# Scoring, compiled; see `_scoring_py` for what each function does.

from libc.string cimport memcmp

from myriad.kernels import _scoring_py as scoring_twin

cdef enum:
    NO_MODEL = 255
    SMALL = 4096  # points that are scored without giving up the interpreter lock, which costs more than it gives

cdef struct Series:
    const unsigned char* adapter
    const unsigned int* row
    const unsigned int* step
    const unsigned short* divisors
    const Rows** predictors  # by window and code; NULL for one that is not compiled
    Py_ssize_t windows, codes, count


cdef class Table:
    cdef Series series
    cdef list kept
    cdef readonly dict predictors
    cdef readonly object adapter, row, step
    cdef bint has_others

    def __init__(self, adapter, row, step, divisors, predictors):
        cdef Predictor predictor
        self.kept = [np.ascontiguousarray(array) for array in (adapter, row, step, divisors)]
        self.adapter, self.row, self.step, self.predictors = adapter, row, step, dict(predictors)
        self.series.adapter = <const unsigned char*>address(self.kept[0])
        self.series.row = <const unsigned int*>address(self.kept[1])
        self.series.step = <const unsigned int*>address(self.kept[2])
        self.series.divisors = <const unsigned short*>address(self.kept[3])
        self.series.count, self.series.windows = adapter.shape
        self.series.codes = 1 + max([code for _, code in self.predictors], default=-1)
        cdef Py_ssize_t size = self.series.windows * self.series.codes
        self.series.predictors = <const Rows**>calloc(max(size, 1), sizeof(Rows*))
        if self.series.predictors == NULL:
            raise MemoryError
        self.has_others = False
        for (window, code), one in self.predictors.items():
            if isinstance(one, Predictor):
                predictor = one
                self.series.predictors[window * self.series.codes + code] = &predictor.rows
            else:
                self.has_others = True

    def __dealloc__(self):
        free(self.series.predictors)


cdef struct Asked:
    const long long* columns
    const long long* windows
    const double* weights
    Py_ssize_t count
    double coverage
    int how
    bint bands
    const double* means  # of each window at each point, or NULL
    Py_ssize_t n  # points of all series
    Py_ssize_t series
    const Series** tables
    const long long* table
    const long long* position
    const long long* times
    const double* values
    const long long* offsets


cdef void predict_series(
    const Asked* asked, Py_ssize_t i, double* block, unsigned char* codes, double* scratch
) noexcept nogil:
    """The windows' scores and expected values of one series; the means in place of a score where it has to be asked for.

    `scratch` has room for `SCRATCH` + 3 times n.
    """
    cdef Py_ssize_t k, j, column, row, position = asked.position[i], first = asked.offsets[i]
    cdef Py_ssize_t n = asked.offsets[i + 1] - first
    cdef const Series* table = asked.tables[asked.table[i]]
    cdef const long long* times = asked.times + first
    cdef const double* values = asked.values + first
    cdef unsigned char code
    cdef const Rows* rows
    cdef long long needed
    cdef double* own_means = scratch
    cdef double* half = scratch + n
    cdef const double* means
    cdef double* score
    cdef double* expected
    cdef double* lower
    cdef double* upper
    for k in range(asked.count):
        column = asked.columns[k]
        code = table.adapter[position * table.windows + column]
        codes[k] = code
        score = block + (1 + k) * asked.n + first
        expected = block + (1 + asked.count + k) * asked.n + first
        if code == NO_MODEL or n == 0:
            continue
        if asked.means != NULL:
            means = asked.means + k * asked.n + first
        else:
            needed = <long long>ceil(asked.coverage * <double>asked.windows[k] / table.step[position])
            means_of(times, values, n, asked.windows[k], &needed, NULL, scratch + 2 * n, own_means)
            means = own_means
        rows = table.predictors[column * table.codes + code] if code < table.codes else NULL
        if rows == NULL:
            for j in range(n):
                score[j] = means[j]
            continue
        row = table.row[position * table.windows + column]
        if row >= rows.count:  # the file has been changed beneath its mapping
            continue
        rows.predict(rows, row, times, means, n, expected, half, scratch + 3 * n)
        for j in range(n):
            score[j] = fabs(means[j] - expected[j]) / half[j]
        if asked.bands:
            lower = block + (1 + 2 * asked.count + k) * asked.n + first
            upper = block + (1 + 3 * asked.count + k) * asked.n + first
            for j in range(n):
                lower[j], upper[j] = expected[j] - half[j], expected[j] + half[j]


cdef void combine_series(const Asked* asked, Py_ssize_t i, double* block, long long* counts) noexcept nogil:
    """The combined scores of one series, and how many points have a score at each window."""
    cdef const unsigned short* divisors = NULL
    cdef const Series* table
    cdef Py_ssize_t j, k, row, first = asked.offsets[i], n = asked.offsets[i + 1] - first
    cdef long long subset, last = -1
    cdef double divisor = 1, weight, total, score
    cdef double[16] shares
    cdef double* scores = block + asked.n + first
    if asked.table[i] >= 0:
        table = asked.tables[asked.table[i]]
        divisors = table.divisors + (asked.position[i] * 3 + asked.how) * (1 << table.windows)
    for j in range(n):
        subset, weight, total = 0, 0.0, NAN
        for k in range(asked.count):
            score = scores[k * asked.n + j]
            if score == score:
                counts[k] += 1
                subset |= 1 << asked.columns[k]
                if asked.how:
                    if total != total or (score < total if asked.how == 1 else score > total):
                        total = score
            else:
                for row in range(1, 4 if asked.bands else 2):
                    block[(1 + row * asked.count + k) * asked.n + first + j] = NAN
        if subset != last:
            last = subset
            divisor = half_float(divisors[subset]) if divisors != NULL else 1
            for k in range(asked.count):
                if subset >> asked.columns[k] & 1:
                    weight = weight + asked.weights[k]
            for k in range(asked.count):
                shares[k] = asked.weights[k] / weight if subset >> asked.columns[k] & 1 else 0
        if not asked.how and subset:
            total = 0.0
            for k in range(asked.count):
                if shares[k] > 0:
                    total = total + shares[k] * scores[k * asked.n + j]
        block[first + j] = total / divisor


cdef void predict_all(const Asked* asked, double* block, unsigned char* codes, double* scratch) noexcept nogil:
    cdef Py_ssize_t i, j
    for j in range(asked.n, asked.n * (1 + asked.count)):
        block[j] = NAN
    for i in range(asked.series):
        if asked.table[i] >= 0:
            predict_series(asked, i, block, codes + i * asked.count, scratch)
        else:
            memset(codes + i * asked.count, NO_MODEL, asked.count)


cdef void combine_all(const Asked* asked, double* block, long long* counts) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(asked.series):
        combine_series(asked, i, block, counts + i * asked.count)


def score(
    list tables not None,
    const long long[::1] table,
    const long long[::1] position,
    const long long[::1] times,
    const double[::1] values,
    const long long[::1] offsets,
    const long long[::1] columns,
    const long long[::1] windows,
    const double[::1] weights,
    double coverage,
    int how,
    means,
    bint bands,
):
    cdef Py_ssize_t n = times.shape[0], series = offsets.shape[0] - 1, i, count = columns.shape[0]
    cdef Table one
    cdef Asked asked
    cdef double* room
    cdef const double[:, ::1] given
    cdef bint has_others = False
    if not 0 < count <= 16:
        raise ValueError("between 1 and 16 windows are scored")
    block_array = np.empty((1 + count * (4 if bands else 2), n))
    count_array, code_array = np.zeros((series, count), np.int64), np.empty((series, count), np.uint8)
    if series == 0:
        return block_array, count_array, code_array
    cdef unsigned char[:, ::1] codes = code_array
    cdef double[:, ::1] block = block_array if n else np.empty((1, 1))
    cdef long long[:, ::1] counts = count_array
    for i in range(series):
        if table[i] >= len(tables) or not 0 <= offsets[i] <= offsets[i + 1] <= n:
            raise IndexError("there is no such table, or there are no such points")
        if table[i] >= 0:
            one = tables[table[i]]
            if not 0 <= position[i] < one.series.count:
                raise IndexError("there is no such position")
            has_others = has_others or one.has_others
    asked.count, asked.n, asked.coverage, asked.how, asked.bands = count, n, coverage, how, bands
    asked.columns, asked.windows, asked.weights, asked.means = &columns[0], &windows[0], &weights[0], NULL
    asked.table, asked.position, asked.offsets = &table[0], &position[0], &offsets[0]
    asked.times, asked.values, asked.series = &times[0] if n else NULL, &values[0] if n else NULL, series
    if means is not None:
        given = means
        asked.means = &given[0, 0] if n else NULL
    asked.tables = <const Series**>malloc((len(tables) + 1) * sizeof(Series*))
    for i in range(len(tables)):
        one = tables[i]
        asked.tables[i] = &one.series
    try:
        room = scratch(offsets, SCRATCH + 3)
        if n > SMALL:
            with nogil:
                predict_all(&asked, &block[0, 0], &codes[0, 0], room)
        else:
            predict_all(&asked, &block[0, 0], &codes[0, 0], room)
        free(room)
        if has_others:
            of_series = (np.asarray(table), np.asarray(position), np.asarray(times), np.asarray(offsets))
            _ask_others(tables, *of_series, np.asarray(columns).tolist(), block_array)
        if n > SMALL:
            with nogil:
                combine_all(&asked, &block[0, 0], &counts[0, 0])
        else:
            combine_all(&asked, &block[0, 0], &counts[0, 0])
    finally:
        free(asked.tables)
    return block_array, count_array, code_array


def _ask_others(tables, table, position, times, offsets, columns, block):
    """Have what is not compiled predict its series, whose means stand in place of their scores."""
    cdef Table here
    for t, here in enumerate(tables):
        if not here.has_others:
            continue
        members = np.flatnonzero(table == t)
        for k, column in enumerate(columns):
            codes = here.adapter[position[members], column]
            for code in np.unique(codes[codes != NO_MODEL]).tolist():
                if not isinstance(here.predictors[column, code], Predictor):
                    mine = members[codes == code]
                    rows = here.row[position[mine], column].astype(np.int64)
                    scoring_twin._predict_group(
                        here.predictors[column, code], rows, mine, times, block[1 + k].copy(), offsets, k, block,
                        len(columns),
                    )


cdef unsigned long long UPPER = 0xFFFFFFFF00000000, LOWER = 0xFFFFFFFF


cdef inline unsigned long long mix(unsigned long long first, unsigned long long second) noexcept nogil:
    cdef unsigned long long h = first * <unsigned long long>0x9E3779B97F4A7C15 + second
    h = (h ^ (h >> 30)) * <unsigned long long>0xBF58476D1CE4E5B9
    h = (h ^ (h >> 27)) * <unsigned long long>0x94D049BB133111EB
    return h ^ (h >> 31)


def mixed(unsigned long long first, unsigned long long second):
    return mix(first, second)


def find(
    const unsigned long long[::1] hashes, const unsigned char[::1] names, const unsigned int[::1] ends,
    unsigned long long host_hash, unsigned long long metric_hash, bytes text,
):
    cdef unsigned long long hash_ = (host_hash & UPPER) | (mix(host_hash, metric_hash) & LOWER)
    cdef Py_ssize_t low = 0, high = hashes.shape[0], middle, size = len(text)
    cdef const char* wanted = text
    while low < high:
        middle = (low + high) // 2
        if hashes[middle] < hash_:
            low = middle + 1
        else:
            high = middle
    while low < hashes.shape[0] and hashes[low] == hash_:
        if ends[low + 1] <= names.shape[0] and ends[low + 1] - ends[low] == size and (size == 0 or memcmp(&names[ends[low]], wanted, size) == 0):
            return low
        low += 1
    return -1
