# Predictors, compiled; see `_predictors_py` for what each does.

from myriad.kernels import _predictors_py as twins

cdef double STD_TO_MEAN_DEVIATION = twins.STD_TO_MEAN_DEVIATION
cdef double CLIP = twins.CLIP
cdef double RHYTHM_LOW = twins.RHYTHM_BOUNDS[0], RHYTHM_HIGH = twins.RHYTHM_BOUNDS[1]
cdef double EWMA_LOW = twins.EWMA_BOUNDS[0], EWMA_HIGH = twins.EWMA_BOUNDS[1]
cdef double EWMA_WIDENING = twins.EWMA_WIDENING
cdef Py_ssize_t LOOKBACK = twins.LOOKBACK, PRIOR = twins.PRIOR
cdef double WIDEST = twins.WIDEST, NEAR = twins.NEAR

cdef enum:
    ARRAYS = 15
    QUARTER = 900
    WEEK = 604800
    MOST_CARRIED = 32
    SCRATCH = 8  # arrays as long as the longest series that a prediction needs

cdef struct Rows

ctypedef void (*Predict)(
    const Rows*, Py_ssize_t, double*, const long long*, const double*, Py_ssize_t, double*, double*, double*
) noexcept nogil

ctypedef void (*Begin)(const Rows*, Py_ssize_t, double*) noexcept nogil

ctypedef void (*Line)(const Rows*, Py_ssize_t, long long, double*) noexcept nogil

cdef struct Rows:
    Predict predict  # of points that follow a state, which it moves
    Begin begin  # the state before any point
    Py_ssize_t carried  # numbers in it, `MOST_CARRIED` at most
    Line line  # NULL where what is expected of a first point is no straight line in time, or depends on its value
    Py_ssize_t count
    const float* threshold
    const double* floor
    const void* array[ARRAYS]
    Py_ssize_t row_bytes[ARRAYS]  # 0 after the last


cdef extern from *:
    """
    static inline void myriad_prefetch(const void *p) { __builtin_prefetch(p, 0, 3); }
    """
    void prefetch "myriad_prefetch"(const void*) noexcept nogil


cdef void fetch_row(const Rows* rows, Py_ssize_t row) noexcept nogil:
    """Have a row brought into the cache while others are predicted: rows are asked for in no order."""
    cdef Py_ssize_t i, at
    cdef int k
    prefetch(rows.threshold + row)
    prefetch(rows.floor + row)
    for i in range(ARRAYS):
        if rows.row_bytes[i] == 0:
            break
        for at in range(0, rows.row_bytes[i], 64):
            prefetch(<const char*>rows.array[i] + row * rows.row_bytes[i] + at)


cdef inline double half_float(unsigned short bits) noexcept nogil:
    """A float16 that is finite."""
    cdef unsigned int wide = (<unsigned int>(bits & 0x7FFF)) << 13
    cdef float value = (<float*>&wide)[0]
    return -(<double>value * 5.192296858534828e33) if bits & 0x8000 else <double>value * 5.192296858534828e33  # 2^112


cdef inline double half_band(const Rows* rows, Py_ssize_t row, double spread) noexcept nogil:
    return fmax(spread * rows.threshold[row], rows.floor[row])


cdef void begin_level(const Rows* rows, Py_ssize_t row, double* state) noexcept nogil:
    cdef double fitted = (<const double*>rows.array[1])[row], alpha = (<const float*>rows.array[2])[row]
    cdef double noise = fitted * sqrt(1 - alpha)
    cdef double uncertain = <double>(<const float*>rows.array[3])[row] * fitted / noise
    state[0], state[1], state[2] = (<const double*>rows.array[0])[row], uncertain * uncertain, 1.0


cdef void follow(
    const Rows* rows, Py_ssize_t row, double* state, const double* values, Py_ssize_t n, double widening, double low, double high,
    double* levels, double* half,
) noexcept nogil:
    """The level and half the band before each value."""
    cdef double fitted = (<const double*>rows.array[1])[row], alpha = (<const float*>rows.array[2])[row]
    cdef double drift = alpha * alpha / fmax(1 - alpha, 1e-6)
    cdef double noise = fitted * sqrt(1 - alpha)
    follow_level(
        values, n, state, drift, noise, 1 - widening, widening / STD_TO_MEAN_DEVIATION, CLIP, low, high, levels, half,
    )
    cdef double threshold = rows.threshold[row], floor_ = rows.floor[row]
    cdef Py_ssize_t j
    for j in range(n):
        half[j] = fmax(half[j] * threshold, floor_)


cdef inline void rhythm_effect(
    const Rows* rows, Py_ssize_t row, long long start, double* at_start, double* slope
) noexcept nogil:
    """What the profile adds at the start of a quarter of an hour, and by how much that rises a second."""
    cdef const unsigned short* profile = <const unsigned short*>rows.array[5] + row * 48
    cdef double spread = (<const double*>rows.array[1])[row], before, rise
    cdef long long since = (start + 85500) % 86400
    cdef long long low = since // 1800
    before = half_float(profile[low])
    rise = half_float(profile[low + 1 if low < 47 else 0]) - before
    at_start[0] = (before + rise * (<double>(since - low * 1800) / 1800)) * spread
    slope[0] = rise / 1800 * spread


cdef void predict_rhythm(
    const Rows* rows, Py_ssize_t row, double* state, const long long* times, const double* values, Py_ssize_t n,
    double* expected, double* half, double* scratch,
) noexcept nogil:
    cdef double widening = (<const float*>rows.array[4])[row]
    cdef double* without = scratch
    cdef double* effect = scratch + n
    cdef double at_start = 0, slope = 0
    cdef long long start = -1
    cdef Py_ssize_t j
    for j in range(n):
        if not 0 <= times[j] - start < QUARTER or start < 0:
            start = times[j] // QUARTER * QUARTER
            rhythm_effect(rows, row, start, &at_start, &slope)
        effect[j] = at_start + slope * <double>(times[j] - start)
        without[j] = values[j] - effect[j]
    follow(rows, row, state, without, n, widening, RHYTHM_LOW, RHYTHM_HIGH, expected, half)
    for j in range(n):
        expected[j] = expected[j] + effect[j]


cdef void rhythm_line(const Rows* rows, Py_ssize_t row, long long start, double* line) noexcept nogil:
    """Of a first point: a base, what is added to it at the start of the quarter, the slope of that, half the band."""
    cdef double nothing = 0.0
    cdef double[3] state
    begin_level(rows, row, state)
    rhythm_effect(rows, row, start, &line[1], &line[2])
    follow(rows, row, state, &nothing, 1, (<const float*>rows.array[4])[row], RHYTHM_LOW, RHYTHM_HIGH, &line[0], &line[3])


cdef void predict_ewma(
    const Rows* rows, Py_ssize_t row, double* state, const long long* times, const double* values, Py_ssize_t n,
    double* expected, double* half, double* scratch,
) noexcept nogil:
    follow(rows, row, state, values, n, EWMA_WIDENING, EWMA_LOW, EWMA_HIGH, expected, half)


cdef void ewma_line(const Rows* rows, Py_ssize_t row, long long start, double* line) noexcept nogil:
    cdef double nothing = 0.0
    cdef double[3] state
    begin_level(rows, row, state)
    line[1] = line[2] = 0.0
    follow(rows, row, state, &nothing, 1, EWMA_WIDENING, EWMA_LOW, EWMA_HIGH, &line[0], &line[3])


cdef void begin_mad(const Rows* rows, Py_ssize_t row, double* state) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(LOOKBACK):
        state[j] = NAN


cdef void predict_mad(
    const Rows* rows, Py_ssize_t row, double* state, const long long* times, const double* values, Py_ssize_t n,
    double* expected, double* half, double* scratch,
) noexcept nogil:
    cdef double band = half_band(rows, row, (<const double*>rows.array[1])[row])
    cdef Py_ssize_t j
    roll_medians(values, n, (<const double*>rows.array[0])[row], state, LOOKBACK, PRIOR, expected)
    for j in range(n):
        half[j] = band


cdef void mad_line(const Rows* rows, Py_ssize_t row, long long start, double* line) noexcept nogil:
    line[0], line[1], line[2] = (<const double*>rows.array[0])[row], 0.0, 0.0
    line[3] = half_band(rows, row, (<const double*>rows.array[1])[row])


cdef inline double hour_effect(const Rows* rows, Py_ssize_t row, long long hour) noexcept nogil:
    """The sum of a seasonal row's effects in the middle of an hour since the epoch."""
    cdef long long in_week = hour % 168
    return (
        half_float((<const unsigned short*>rows.array[2])[row * 24 + in_week % 24])
        + half_float((<const unsigned short*>rows.array[3])[row * 7 + in_week // 24])
        + half_float((<const unsigned short*>rows.array[4])[row * 168 + in_week])
    )


cdef void begin_seasonal(const Rows* rows, Py_ssize_t row, double* state) noexcept nogil:
    """Nothing is carried."""


cdef void seasonal_line(const Rows* rows, Py_ssize_t row, long long start, double* line) noexcept nogil:
    cdef double unit = (<const double*>rows.array[1])[row], low, rise
    cdef long long since = start + WEEK - 1800  # a week on, so that it is not negative
    cdef long long hour = since // 3600
    low = hour_effect(rows, row, hour)
    rise = hour_effect(rows, row, hour + 1) - low
    line[0] = (<const double*>rows.array[0])[row]
    line[1] = unit * (low + rise * (<double>(since - hour * 3600) / 3600))
    line[2] = unit * rise / 3600
    low = unit * half_float((<const unsigned short*>rows.array[5])[row * 24 + start // 3600 % 24])
    line[3] = half_band(rows, row, low)


cdef void predict_seasonal(
    const Rows* rows, Py_ssize_t row, double* state, const long long* times, const double* values, Py_ssize_t n,
    double* expected, double* half, double* scratch,
) noexcept nogil:
    cdef double[4] line
    cdef long long start = -1
    cdef Py_ssize_t j
    for j in range(n):
        if not 0 <= times[j] - start < QUARTER or start < 0:
            start = times[j] // QUARTER * QUARTER
            seasonal_line(rows, row, start, line)
        expected[j] = line[0] + (line[1] + line[2] * <double>(times[j] - start))
        half[j] = line[3]


cdef inline double blend_width(const Rows* rows, Py_ssize_t row, long long start) noexcept nogil:
    """Half the band of the slow level in its spreads, by the half hour of the day."""
    cdef const unsigned short* spreads = <const unsigned short*>rows.array[6] + row * 48
    return (<const float*>rows.array[9])[row] * half_float(spreads[start % 86400 // 1800])


cdef inline double between_bins(const unsigned short* profile, long long time) noexcept nogil:
    """A profile of 48 half hours at a time, linear between their middles."""
    cdef long long since = (time + 85500) % 86400
    cdef long long low = since // 1800
    cdef double before = half_float(profile[low])
    return before + (half_float(profile[low + 1 if low < 47 else 0]) - before) * (<double>(since - low * 1800) / 1800)


cdef inline double share_of_free(
    const Rows* rows, Py_ssize_t row, long long day, long long quarter, long long since
) noexcept nogil:
    """How much of the free days' profile there is in a quarter of an hour, some seconds after the start of a day."""
    cdef unsigned char free_days = (<const unsigned char*>rows.array[12])[row]
    cdef const float* passing = <const float*>rows.array[13] + 2 * row
    cdef double share
    cdef bint is_free = free_days >> (day % 7) & 1, was_free = free_days >> ((day + 6) % 7) & 1
    if is_free == was_free or quarter >= passing[0]:
        return is_free
    share = (<double>since + passing[1]) / passing[0]
    return share if is_free else 1 - share


cdef inline void blend_effect(
    const Rows* rows, Py_ssize_t row, long long start, double* at_start, double* slope
) noexcept nogil:
    """As `rhythm_effect`, where free days have a profile of their own."""
    cdef const unsigned short* free = <const unsigned short*>rows.array[11] + row * 48
    cdef long long day = start // 86400, since = start % 86400
    cdef double spread, first, last
    rhythm_effect(rows, row, start, at_start, slope)
    if (<const unsigned char*>rows.array[12])[row] == 0:
        return
    spread = (<const double*>rows.array[1])[row]
    first = share_of_free(rows, row, day, since, since) * between_bins(free, start) * spread
    last = share_of_free(rows, row, day, since, since + QUARTER) * between_bins(free, start + QUARTER) * spread
    at_start[0] = at_start[0] + first
    slope[0] = slope[0] + (last - first) / QUARTER


cdef void begin_blend(const Rows* rows, Py_ssize_t row, double* state) noexcept nogil:
    state[0], state[1] = (<const double*>rows.array[0])[row], 1.0
    state[2], state[3] = (<const double*>rows.array[4])[row], 1.0


cdef void follow_blend(
    const Rows* rows, Py_ssize_t row, double* state, const double* values, Py_ssize_t n, double* slow, double* slow_spreads,
    double* fast, double* fast_spreads,
) noexcept nogil:
    cdef double fast_spread = (<const double*>rows.array[7])[row]
    follow_both(
        values, n, state, (<const double*>rows.array[1])[row], (<const float*>rows.array[2])[row],
        (<const float*>rows.array[3])[row], fast_spread, fast_spread * (<const float*>rows.array[8])[row], slow, slow_spreads, fast, fast_spreads,
    )


cdef extern from *:
    """
    MYRIAD_WIDE static void myriad_blend_bands(
        Py_ssize_t n, const double *restrict without, const double *restrict effect, const double *restrict wide,
        const double *restrict fast, const double *restrict fast_spread, double fast_threshold, double near, double widest,
        double threshold, double least, double *restrict expected, double *restrict half
    ) {
        for (Py_ssize_t j = 0; j < n; j++) {
            const double slow_half = wide[j] * half[j], fast_half = fast_threshold * fast_spread[j];
            const double apart = 0.5 * (expected[j] - fast[j]), middle = 0.5 * (expected[j] + fast[j]);
            const double edge = sqrt(slow_half * fast_half + apart * apart);
            const double from_slow = fabs(without[j] - expected[j]), from_fast = fabs(without[j] - fast[j]);
            const double deviation = fabs(without[j] - middle), slow = from_slow / slow_half, most = near * slow;
            const double quick = from_fast / fast_half, product = slow * (quick < most ? quick : most);
            const double over = deviation / sqrt(product), widest_edge = widest * edge;
            double width = over < widest_edge ? over : widest_edge;
            width = deviation > 0 ? width : edge;
            width = width * threshold;
            half[j] = width > least ? width : least;
            expected[j] = middle + effect[j];
        }
    }
    """
    void blend_bands "myriad_blend_bands"(
        Py_ssize_t n, const double* without, const double* effect, const double* wide, const double* fast,
        const double* fast_spread, double fast_threshold, double near, double widest, double threshold, double least,
        double* expected, double* half,
    ) noexcept nogil


cdef void predict_blend(
    const Rows* rows, Py_ssize_t row, double* state, const long long* times, const double* values, Py_ssize_t n,
    double* expected, double* half, double* scratch,
) noexcept nogil:
    cdef double at_start = 0, slope = 0, wide = 0
    cdef double fast_threshold = (<const float*>rows.array[10])[row]
    cdef double* without = scratch
    cdef double* effect = scratch + n
    cdef double* fast = scratch + 2 * n
    cdef double* fast_spreads = scratch + 3 * n
    cdef double* wides = scratch + 4 * n
    cdef long long start = -1
    cdef bint first = state[3] == 1.0
    cdef Py_ssize_t j, known = 0
    for j in range(n):
        if not 0 <= times[j] - start < QUARTER or start < 0:
            start = times[j] // QUARTER * QUARTER
            blend_effect(rows, row, start, &at_start, &slope)
            wide = blend_width(rows, row, start)
        effect[j] = at_start + slope * <double>(times[j] - start)
        without[j] = values[j] - effect[j]
        wides[j] = wide
    follow_blend(rows, row, state, without, n, expected, half, fast, fast_spreads)
    if first:  # the first value has no deviation from a fast level that it makes itself
        while known < n and without[known] != without[known]:
            known += 1
        if known < n:
            without[known] = NAN
    blend_bands(
        n, without, effect, wides, fast, fast_spreads, fast_threshold, NEAR * NEAR, WIDEST, rows.threshold[row],
        rows.floor[row], expected, half,
    )


cdef void blend_line(const Rows* rows, Py_ssize_t row, long long start, double* line) noexcept nogil:
    cdef double nothing = 0.0, slow, slow_spread, fast, fast_spread, apart
    cdef double[4] state
    begin_blend(rows, row, state)
    blend_effect(rows, row, start, &line[1], &line[2])
    follow_blend(rows, row, state, &nothing, 1, &slow, &slow_spread, &fast, &fast_spread)
    line[0] = 0.5 * (slow + fast)
    apart = 0.5 * (slow - fast)
    slow_spread = blend_width(rows, row, start) * slow_spread
    fast_spread = (<const float*>rows.array[10])[row] * fast_spread
    line[3] = half_band(rows, row, sqrt(slow_spread * fast_spread + apart * apart))


cdef const void* address(object array) except? NULL:
    """Where the bytes of a contiguous array are."""
    cdef const unsigned char[::1] view
    if array.size == 0:
        return NULL
    view = array.reshape(-1).view(np.uint8)
    return &view[0]


cdef class Predictor:
    cdef Rows rows
    cdef list kept
    cdef readonly object carried

    cdef void bind(self, object arrays, Begin begin, Predict predict, Line line, object names):
        """Point at the arrays of these names, which are kept alive."""
        self.carried = getattr(twins, type(self).__name__).carried
        self.rows.begin, self.rows.carried = begin, len(self.carried)
        self.kept = [np.ascontiguousarray(arrays[name]) for name in ("threshold", "floor", *names)]
        self.rows.predict, self.rows.line, self.rows.count = predict, line, len(self.kept[0])
        self.rows.threshold = <const float*>address(self.kept[0])
        self.rows.floor = <const double*>address(self.kept[1])
        for i in range(len(names)):
            self.rows.array[i] = address(self.kept[i + 2])
            self.rows.row_bytes[i] = self.kept[i + 2].nbytes // max(self.rows.count, 1)

    def begin(self, const long long[::1] rows):
        cdef Py_ssize_t series = rows.shape[0], i
        cdef double[MOST_CARRIED] state
        found_array = np.empty((series, self.rows.carried))
        cdef double[:, ::1] found = found_array
        for i in range(series):
            if not 0 <= rows[i] < self.rows.count:
                raise IndexError("there is no such row")
            self.rows.begin(&self.rows, rows[i], state)
            for j in range(self.rows.carried):
                found[i, j] = state[j]
        return found_array

    def predict(self, rows, times, values, offsets, clock=None):
        return self.advance(rows, self.begin(rows), times if clock is None else clock, values, offsets)

    def advance(
        self,
        const long long[::1] rows,
        state,
        const long long[::1] times,
        const double[::1] values,
        const long long[::1] offsets,
    ):
        cdef Py_ssize_t series = offsets.shape[0] - 1, i, n = values.shape[0], carried = self.rows.carried
        cdef double[:, ::1] moved = state
        cdef double* own
        expected_array, half_array = np.empty(n), np.empty(n)
        cdef double[::1] expected = expected_array, half = half_array
        cdef const Rows* mine = &self.rows
        cdef double* room
        if moved.shape[0] != series or moved.shape[1] != carried:
            raise ValueError("the state is not that of these series")
        own = &moved[0, 0] if series and carried else NULL
        for i in range(series):
            if not 0 <= rows[i] < mine.count:
                raise IndexError("there is no such row")
        if n == 0:
            return expected_array, half_array
        room = scratch(offsets, SCRATCH)
        with nogil:
            for i in range(series):
                if offsets[i] < offsets[i + 1]:
                    mine.predict(
                        mine, rows[i], own + i * carried, &times[offsets[i]], &values[offsets[i]],
                        offsets[i + 1] - offsets[i], &expected[offsets[i]], &half[offsets[i]], room,
                    )
        free(room)
        return expected_array, half_array


cdef class Rhythm(Predictor):
    def __init__(self, arrays):
        self.bind(arrays, begin_level, predict_rhythm, rhythm_line, (
            "level", "spread", "alpha", "uncertainty", "widening", "profile",
        ))


cdef class Ewma(Predictor):
    def __init__(self, arrays):
        self.bind(arrays, begin_level, predict_ewma, ewma_line, ("level", "spread", "alpha", "uncertainty"))


cdef class Mad(Predictor):
    def __init__(self, arrays):
        self.bind(arrays, begin_mad, predict_mad, mad_line, ("center", "spread"))


cdef class Seasonal(Predictor):
    def __init__(self, arrays):
        self.bind(arrays, begin_seasonal, predict_seasonal, seasonal_line, ("center", "unit", "hour", "day", "week", "spread"))


cdef class Blend(Predictor):
    def __init__(self, arrays):
        self.bind(arrays, begin_blend, predict_blend, blend_line, (
            "level", "spread", "alpha", "widening", "fast_level", "profile", "spreads", "fast_spread", "uncertainty",
            "slow_threshold", "fast_threshold", "free_profile", "free_days", "passing",
        ))
