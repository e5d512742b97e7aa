# Scoring, compiled; see `_scoring_py` for what each function does.

from libc.string cimport memcmp

from myriad.kernels import _scoring_py as scoring_twin

cdef enum:
    NO_MODEL = 255
    AHEAD = 6
    SMALL = 4096  # points that are scored without giving up the interpreter lock, which costs more than it gives

cdef double OUTSIDE_SCORE = scoring_twin.OUTSIDE_SCORE

cdef struct Series:
    const unsigned char* adapter
    const unsigned int* row
    const unsigned int* step
    const unsigned short* divisors
    const double* limits  # the direction and the range of each, or NULL
    const Rows** predictors  # by window and code; NULL for one that is not compiled
    Py_ssize_t windows, codes, count


cdef class Table:
    cdef Series series
    cdef list kept
    cdef readonly dict predictors
    cdef readonly object adapter, row, step, adapters, limits
    cdef bint has_others

    def __init__(self, adapter, row, step, divisors, predictors, adapters=(), limits=None):
        cdef Predictor predictor
        self.kept = [np.ascontiguousarray(array) for array in (adapter, row, step, divisors)]
        self.adapter, self.row, self.step, self.predictors = adapter, row, step, dict(predictors)
        self.adapters, self.limits = adapters, limits
        self.series.limits = NULL
        if limits is not None:
            self.kept.append(np.ascontiguousarray(limits, np.float64))
            self.series.limits = <const double*>address(self.kept[4])
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
    int power
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
    const long long* clock  # the local times that rows predict at: those above where there are no others
    const double* values
    const long long* offsets


cdef inline void in_direction(
    const double* limits, const double* means, const double* expected, double* score, Py_ssize_t n
) noexcept nogil:
    """Deviations in the other direction than that which matters score 0."""
    cdef Py_ssize_t j
    if limits != NULL and limits[0] != 0:
        for j in range(n):
            if limits[0] * (means[j] - expected[j]) < 0:
                score[j] = 0


cdef inline bint is_outside(const double* limits, double value) noexcept nogil:
    return limits != NULL and (value < limits[1] or value > limits[2])


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
    cdef const double* limits = NULL if table.limits == NULL else table.limits + 3 * position
    cdef double[MOST_CARRIED] state
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
        rows.begin(rows, row, state)
        rows.predict(rows, row, state, asked.clock + first, means, n, expected, half, scratch + 3 * n)
        for j in range(n):
            score[j] = fabs(means[j] - expected[j]) / half[j]
        in_direction(limits, means, expected, score, n)
        if asked.bands:
            lower = block + (1 + 2 * asked.count + k) * asked.n + first
            upper = block + (1 + 3 * asked.count + k) * asked.n + first
            for j in range(n):
                lower[j] = expected[j] - half[j] if limits == NULL or limits[0] <= 0 else NAN
                upper[j] = expected[j] + half[j] if limits == NULL or limits[0] >= 0 else NAN


cdef inline void share(
    const long long* columns, const double* weights, Py_ssize_t count, long long subset, double* shares
) noexcept nogil:
    """The share of each window in the weighted mean of those that have a score, 0 for the others."""
    cdef double weight = 0.0
    cdef Py_ssize_t k
    for k in range(count):
        if subset >> columns[k] & 1:
            weight = weight + weights[k]
    for k in range(count):
        shares[k] = weights[k] / weight if subset >> columns[k] & 1 else 0


cdef inline double combination(
    const double* scores, Py_ssize_t apart, const double* shares, Py_ssize_t count, int power, int how
) noexcept nogil:
    """The weighted power mean, smallest or largest of the scores that have a share, NaN where none has one."""
    cdef double total = NAN, score
    cdef Py_ssize_t k
    for k in range(count):
        if shares[k] > 0:
            score = scores[k * apart]
            if total != total:
                total = score if how else shares[k] * raised(score, power)
            elif how == 0:
                total = total + shares[k] * raised(score, power)
            elif score < total if how == 1 else score > total:
                total = score
    return total if how else root(total, power)


cdef inline double bounded(double score) noexcept nogil:
    """A score, not beyond what says far enough."""
    return MOST_SCORE if score > MOST_SCORE else score


cdef void combine_series(const Asked* asked, Py_ssize_t i, double* block, long long* counts) noexcept nogil:
    """The combined scores of one series, and how many points have a score at each window."""
    cdef const unsigned short* divisors = NULL
    cdef const Series* table
    cdef Py_ssize_t j, k, row, first = asked.offsets[i], n = asked.offsets[i + 1] - first
    cdef long long subset, last = -1
    cdef double divisor = 1, score
    cdef double[16] shares
    cdef double* scores = block + asked.n + first
    cdef const double* values = (asked.means if asked.means != NULL else asked.values) + first
    cdef const double* limits = NULL
    if asked.table[i] >= 0:
        table = asked.tables[asked.table[i]]
        limits = NULL if table.limits == NULL else table.limits + 3 * asked.position[i]
        divisors = table.divisors + (asked.position[i] * 3 + asked.how) * (1 << table.windows)
    for j in range(n):
        subset = 0
        for k in range(asked.count):
            score = scores[k * asked.n + j]
            if score == score:
                counts[k] += 1
                subset |= 1 << asked.columns[k]
            else:
                for row in range(1, 4 if asked.bands else 2):
                    block[(1 + row * asked.count + k) * asked.n + first + j] = NAN
        if subset != last:
            last = subset
            divisor = half_float(divisors[subset]) if divisors != NULL else 1
            share(asked.columns, asked.weights, asked.count, subset, shares)
        block[first + j] = bounded(combination(scores + j, asked.n, shares, asked.count, asked.power, asked.how) / divisor)
        if is_outside(limits, values[j]) and block[first + j] < OUTSIDE_SCORE:
            block[first + j] = OUTSIDE_SCORE
    if asked.how == 0:
        hold(block + first, n, block + first)


cdef void fetch_series(const Asked* asked, Py_ssize_t i, bint deep) noexcept nogil:
    """Have what says where the rows of a series are brought into the cache, or then, `deep`, the rows."""
    cdef const Series* table
    cdef const Rows* rows
    cdef Py_ssize_t k, at
    cdef unsigned char code
    if i >= asked.series or asked.table[i] < 0:
        return
    table = asked.tables[asked.table[i]]
    at = asked.position[i] * table.windows
    if not deep:
        prefetch(table.adapter + at)
        prefetch(table.row + at)
        return
    prefetch(table.step + asked.position[i])
    prefetch(table.divisors + (asked.position[i] * 3 + asked.how) * (1 << table.windows))
    for k in range(asked.count):
        code = table.adapter[at + asked.columns[k]]
        if code < table.codes:
            rows = table.predictors[asked.columns[k] * table.codes + code]
            if rows != NULL:
                fetch_row(rows, table.row[at + asked.columns[k]])


cdef void predict_all(const Asked* asked, double* block, unsigned char* codes, double* scratch) noexcept nogil:
    cdef Py_ssize_t i, j
    for j in range(asked.n, asked.n * (1 + asked.count)):
        block[j] = NAN
    for i in range(asked.series):
        fetch_series(asked, i + 2 * AHEAD, False)
        fetch_series(asked, i + AHEAD, True)
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
    int power,
    double coverage,
    int how,
    means,
    bint bands,
    const long long[::1] clock=None,
):
    cdef Py_ssize_t n = times.shape[0], series = offsets.shape[0] - 1, i, count = columns.shape[0]
    cdef Table one
    cdef Asked asked
    cdef double* room
    cdef const double[:, ::1] given
    cdef bint has_others = False
    if not 0 < count <= 16:
        raise ValueError("between 1 and 16 windows are scored")
    if clock is not None and clock.shape[0] != n:
        raise ValueError("there are not as many local times as points")
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
    asked.power = power
    asked.columns, asked.windows, asked.weights, asked.means = &columns[0], &windows[0], &weights[0], NULL
    asked.table, asked.position, asked.offsets = &table[0], &position[0], &offsets[0]
    asked.times, asked.values, asked.series = &times[0] if n else NULL, &values[0] if n else NULL, series
    asked.clock = &clock[0] if n and clock is not None else asked.times
    if means is not None:
        given = means
        asked.means = &given[0, 0] if n else NULL
    asked.tables = <const Series**>malloc((len(tables) + 1) * sizeof(Series*))
    if asked.tables == NULL:
        raise MemoryError
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
            local = None if clock is None else np.asarray(clock)
            _ask_others(tables, *of_series, local, np.asarray(columns).tolist(), block_array)
        if n > SMALL:
            with nogil:
                combine_all(&asked, &block[0, 0], &counts[0, 0])
        else:
            combine_all(&asked, &block[0, 0], &counts[0, 0])
    finally:
        free(asked.tables)
    return block_array, count_array, code_array


cdef bint draw_line(
    const Series* table, Py_ssize_t position, Py_ssize_t column, long long start, double* line
) noexcept nogil:
    """The line of the first point of a series; whether it has one."""
    cdef unsigned char code = table.adapter[position * table.windows + column]
    cdef const Rows* rows
    cdef Py_ssize_t row = table.row[position * table.windows + column]
    if code == NO_MODEL:
        return True
    rows = table.predictors[column * table.codes + code] if code < table.codes else NULL
    if rows == NULL or rows.line == NULL or row >= rows.count:
        return False
    rows.line(rows, row, start, line)
    return True


def lines(
    list tables not None, const long long[::1] table, const long long[::1] position, const long long[::1] columns,
    int how, long long start,
):
    cdef Py_ssize_t series = table.shape[0], count = columns.shape[0], subsets = 0, i, k
    cdef Table one
    cdef bint are_lines = True
    cdef Asked asked
    for one in tables:
        subsets = max(subsets, 1 << one.series.windows)
    line_array, divisor_array = np.full((series, count, 4), np.nan), np.ones((series, max(subsets, 1)), np.float16)
    if series == 0 or count == 0:
        return line_array, divisor_array
    cdef double[:, :, ::1] found = line_array
    cdef unsigned short[:, ::1] divisors = divisor_array.view(np.uint16)
    asked.tables = <const Series**>malloc((len(tables) + 1) * sizeof(Series*))
    if asked.tables == NULL:
        raise MemoryError
    asked.table, asked.position, asked.columns, asked.count = &table[0], &position[0], &columns[0], count
    asked.series, asked.how = series, how
    try:
        for i in range(len(tables)):
            one = tables[i]
            asked.tables[i] = &one.series
            are_lines = are_lines and one.series.limits == NULL
        for i in range(series if are_lines else 0):
            if table[i] >= len(tables):
                raise IndexError("there is no such table")
            if table[i] >= 0 and not 0 <= position[i] < asked.tables[table[i]].count:
                raise IndexError("there is no such position")
        with nogil:
            for i in range(series if are_lines else 0):
                fetch_series(&asked, i + 2 * AHEAD, False)
                fetch_series(&asked, i + AHEAD, True)
                if table[i] < 0:
                    continue
                memcpy(
                    &divisors[i, 0],
                    asked.tables[table[i]].divisors + (position[i] * 3 + how) * (1 << asked.tables[table[i]].windows),
                    sizeof(unsigned short) << asked.tables[table[i]].windows,
                )
                for k in range(count):
                    if not draw_line(asked.tables[table[i]], position[i], columns[k], start, &found[i, k, 0]):
                        are_lines = False
                        break
                if not are_lines:
                    break
    finally:
        free(asked.tables)
    return (line_array, divisor_array) if are_lines else None


def score_first(
    const double[:, :, ::1] line, divisors, const long long[::1] columns, const double[::1] weights, int power, int how,
    long long start, const long long[::1] times, const double[:, ::1] means, bint bands,
):
    cdef Py_ssize_t n = times.shape[0], count = columns.shape[0], i, k
    cdef const unsigned short[:, ::1] halves = divisors.view(np.uint16)
    cdef long long subset, last = -1
    cdef double since, mean, expected, half, score
    cdef double[16] shares
    if not 0 < count <= 16 or line.shape[0] != n or line.shape[1] != count or means.shape[1] != n:
        raise ValueError("the lines are not those of these points")
    block_array, count_array = np.empty((1 + count * (4 if bands else 2), n)), np.zeros((n, count), np.int64)
    if n == 0:
        return block_array, count_array
    cdef double[:, ::1] block = block_array
    cdef long long[:, ::1] counts = count_array
    with nogil:
        for i in range(n):
            since, subset = <double>(times[i] - start), 0
            for k in range(count):
                mean = means[k, i]
                expected, half = line[i, k, 0] + (line[i, k, 1] + line[i, k, 2] * since), line[i, k, 3]
                score = fabs(mean - expected) / half
                block[1 + k, i] = score
                if score != score:
                    expected = NAN
                else:
                    counts[i, k] = 1
                    subset |= 1 << columns[k]
                block[1 + count + k, i] = expected
                if bands:
                    block[1 + 2 * count + k, i], block[1 + 3 * count + k, i] = expected - half, expected + half
            if subset != last:
                last = subset
                share(&columns[0], &weights[0], count, subset, shares)
            block[0, i] = bounded(combination(&block[1, i], n, shares, count, power, how) / half_float(halves[i, subset]))
    return block_array, count_array


def _ask_others(tables, table, position, times, offsets, clock, columns, block):
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
                        here.predictors[column, code], rows, mine, times, clock, block[1 + k].copy(), offsets, k,
                        block, len(columns), None if here.limits is None else here.limits[position[mine], 0],
                    )


cdef unsigned long long UPPER = 0xFFFFFFFF00000000, LOWER = 0xFFFFFFFF


cdef inline unsigned long long mix(unsigned long long first, unsigned long long second) noexcept nogil:
    cdef unsigned long long h = first * <unsigned long long>0x9E3779B97F4A7C15 + second
    h = (h ^ (h >> 30)) * <unsigned long long>0xBF58476D1CE4E5B9
    h = (h ^ (h >> 27)) * <unsigned long long>0x94D049BB133111EB
    return h ^ (h >> 31)


cdef struct Labels:
    const char* text[3]  # region, host and metric in JSON, with their quotes
    Py_ssize_t size[3]
    const char* key[3]  # as they stand in the keys of models
    Py_ssize_t key_size[3]


cdef struct Names:
    const unsigned long long* hashes  # rising
    const char* names
    const unsigned int* ends
    Py_ssize_t count, bytes


cdef Py_ssize_t entry_of(
    const Names* index, unsigned long long wanted, const char** parts, const Py_ssize_t* sizes
) noexcept nogil:
    """The position of a series by its hash and the parts of its name, -1 where it is not in the index."""
    cdef Py_ssize_t low = 0, high = index.count, middle, whole = sizes[0] + sizes[1] + sizes[2] + 2
    cdef const char* name
    while low < high:
        middle = (low + high) // 2
        if index.hashes[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    while low < index.count and index.hashes[low] == wanted:
        if index.ends[low + 1] <= index.bytes and <Py_ssize_t>index.ends[low + 1] - <Py_ssize_t>index.ends[low] == whole:
            name = index.names + index.ends[low]
            if (
                memcmp(name, parts[0], sizes[0]) == 0 and name[sizes[0]] == b"/"
                and memcmp(name + sizes[0] + 1, parts[1], sizes[1]) == 0 and name[sizes[0] + sizes[1] + 1] == b"/"
                and memcmp(name + whole - sizes[2], parts[2], sizes[2]) == 0
            ):
                return low
        low += 1
    return -1


cdef class Index:
    cdef Names mine
    cdef list kept

    def __init__(self, hashes, names, ends):
        self.kept = [np.ascontiguousarray(array) for array in (hashes, names, ends)]
        self.mine.hashes = <const unsigned long long*>address(self.kept[0])
        self.mine.names, self.mine.bytes = <const char*>address(self.kept[1]), len(names)
        self.mine.ends, self.mine.count = <const unsigned int*>address(self.kept[2]), len(hashes)

    cdef Py_ssize_t position(self, unsigned long long wanted, const Labels* labels, int level) noexcept:
        """The position of a series, or of the one it falls back on."""
        cdef const char* parts[3]
        cdef Py_ssize_t[3] sizes
        cdef int k
        for k in range(3):
            parts[k], sizes[k] = labels.key[k], labels.key_size[k]
            if k < 2 and level + k > 1:
                parts[k], sizes[k] = b"*", 1
        return entry_of(&self.mine, wanted, parts, sizes)

    def find(self, const unsigned long long[::1] wanted, const long long[:, ::1] codes, texts, text_ends):
        cdef Py_ssize_t n = wanted.shape[0], i
        cdef int k
        cdef const unsigned char[::1] region = texts[0], host = texts[1], metric = texts[2]
        cdef const long long[::1] region_ends = text_ends[0], host_ends = text_ends[1], metric_ends = text_ends[2]
        cdef const char* starts[3]
        cdef const char* parts[3]
        cdef Py_ssize_t[3] sizes
        cdef const long long* ends[3]
        found_array = np.full(n, -1)
        cdef long long[::1] found = found_array
        if n == 0 or self.mine.count == 0 or self.mine.bytes == 0:
            return found_array
        starts[0], starts[1], starts[2] = <const char*>&region[0], <const char*>&host[0], <const char*>&metric[0]
        ends[0], ends[1], ends[2] = &region_ends[0], &host_ends[0], &metric_ends[0]
        for i in range(n):
            if not (0 <= codes[0, i] < region_ends.shape[0] - 1 and 0 <= codes[1, i] < host_ends.shape[0] - 1
                    and 0 <= codes[2, i] < metric_ends.shape[0] - 1):
                raise IndexError("there is no such part of a name")
        with nogil:
            for i in range(n):
                for k in range(3):
                    parts[k] = starts[k] + ends[k][codes[k, i]]
                    sizes[k] = ends[k][codes[k, i] + 1] - ends[k][codes[k, i]]
                found[i] = entry_of(&self.mine, wanted[i], parts, sizes)
        return found_array
