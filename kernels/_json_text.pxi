# JSON text, compiled; see `_json_text_py` for what `written` does.

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyObject_GetBuffer, PyBuffer_Release
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    typedef unsigned __int128 myriad_u128;
    static inline int myriad_clz(unsigned long long x) { return __builtin_clzll(x); }
    """
    ctypedef unsigned long long u128 "myriad_u128"
    int leading_zeros "myriad_clz"(unsigned long long) noexcept nogil

ctypedef unsigned long long u64

cdef enum:
    LEAST_POWER = -342
    MOST_POWER = 324
    FLOAT_TEXT = 25  # bytes of the longest float64 with a comma
    SLACK = 48  # bytes that are overwritten after the last
    INTEGER_TEXT = 21

cdef u64[MOST_POWER - LEAST_POWER + 1] power_high
cdef u64[MOST_POWER - LEAST_POWER + 1] power_low
cdef char[200] PAIRS
cdef double[23] TENS
cdef u64[20] WHOLE_TENS
cdef u64[18] SCALES


cdef void make_tables():
    """The first 128 bits of the powers of ten, cut off, and all pairs of digits."""
    cdef int q
    ten, one = 10, 1
    for q in range(LEAST_POWER, MOST_POWER + 1):
        if q >= 0:
            power = ten**q
            bits = power.bit_length()
            power = power << (128 - bits) if bits <= 128 else power >> (bits - 128)
        else:
            power = ten**-q
            power = (one << (127 + power.bit_length())) // power
            power >>= power.bit_length() - 128
        power_high[q - LEAST_POWER], power_low[q - LEAST_POWER] = power >> 64, power & 0xFFFFFFFFFFFFFFFF
    for q in range(100):
        PAIRS[2 * q], PAIRS[2 * q + 1] = 48 + q // 10, 48 + q % 10
    for q in range(23):
        TENS[q] = 10.0**q
    for q in range(20):
        WHOLE_TENS[q] = ten**q
    for q in range(18):
        SCALES[q] = ten**q
    WHOLE_TENS[0] = 0  # 0 has a digit too


make_tables()


cdef inline u64 round_to_odd(u64 high, u64 low, u64 factor) noexcept nogil:
    cdef u128 x = <u128>low * factor
    cdef u128 y = <u128>high * factor + <u64>(x >> 64)
    return <u64>(y >> 64) | (<u64>y > 1)


cdef inline u64 shortest(double value, int* exponent) noexcept nogil:
    """The fewest digits that are read as this positive finite value again, and the power of ten to multiply them with.

    Giulietti, "The Schubfach way to render doubles", 2020.
    """
    cdef u64 bits = (<u64*>&value)[0], fraction = bits & <u64>0xFFFFFFFFFFFFF, c, s, sp, lower, upper, vb, low, high
    cdef int biased = <int>(bits >> 52) & 0x7FF, q, k, h
    cdef int odd, closer, under, over, fewer, nearer
    if biased:
        c, q = fraction | (<u64>1 << 52), biased - 1075
        if 0 <= -q < 53 and c & ((<u64>1 << -q) - 1) == 0:
            exponent[0] = 0
            return c >> -q
    else:
        c, q = fraction, -1074
    odd, closer = (c & 1) == 1, fraction == 0 and biased > 1
    k = (q * 1262611 - (524031 if closer else 0)) >> 22
    h = q + ((-k * 1741647) >> 19) + 1
    high, low = power_high[-k - LEAST_POWER], power_low[-k - LEAST_POWER]
    if -k < 0 or -k > 55:  # not exact: the powers are wanted rounded up
        low = low + 1
        high = high + (low == 0)
    lower = round_to_odd(high, low, (4 * c - 2 + closer) << h) + odd
    vb = round_to_odd(high, low, (4 * c) << h)
    upper = round_to_odd(high, low, (4 * c + 2) << h) - odd
    # Whether there are 16 digits or 17 cannot be predicted, so there is no branch.
    s = vb // 4
    sp = s // 10
    under, over = lower <= 40 * sp, 40 * sp + 40 <= upper
    fewer = (under ^ over) & (s >= 10)
    sp = sp + over
    under, over = lower <= 4 * s, 4 * s + 4 <= upper
    nearer = (vb > 4 * s + 2) | ((vb == 4 * s + 2) & <int>(s & 1))
    s = s + (over if under ^ over else nearer)
    exponent[0] = k + fewer
    return s ^ ((s ^ sp) & (0 - <u64>fewer))


cdef inline int count_digits(u64 number) noexcept nogil:
    cdef int count = ((64 - leading_zeros(number | 1)) * 1233) >> 12  # log10 of the power of two above
    return count + (number >= WHOLE_TENS[count])


cdef inline void put_digits(char* out, u64 number, int count) noexcept nogil:
    cdef unsigned int pair, some
    while number >= 100000000:
        some = <unsigned int>(number % 100000000)
        number //= 100000000
        count -= 8
        pair = some % 10000
        memcpy(out + count + 6, &PAIRS[2 * (pair % 100)], 2)
        memcpy(out + count + 4, &PAIRS[2 * (pair // 100)], 2)
        pair = some // 10000
        memcpy(out + count + 2, &PAIRS[2 * (pair % 100)], 2)
        memcpy(out + count, &PAIRS[2 * (pair // 100)], 2)
    some = <unsigned int>number
    while some >= 100:
        count -= 2
        memcpy(out + count, &PAIRS[2 * (some % 100)], 2)
        some //= 100
    if some >= 10:
        memcpy(out + count - 2, &PAIRS[2 * some], 2)
    else:
        out[count - 1] = 48 + some


cdef inline char* put_integer(char* out, long long number) noexcept nogil:
    cdef u64 size = <u64>number
    cdef int count
    if number < 0:
        out[0] = b"-"
        out += 1
        size = 0 - size
    count = count_digits(size)
    put_digits(out, size, count)
    return out + count


cdef inline u64 eight_digits(u64 number) noexcept nogil:
    """The text of a number below 10^8, from its first digit in the lowest byte: two of 4 digits, four of 2, eight of 1."""
    cdef u64 quotients
    number = number // 10000 | (number % 10000) << 32
    quotients = (number * 10486 >> 20) & <u64>0x7F0000007F
    number = quotients | (number - 100 * quotients) << 16
    quotients = (number * 103 >> 10) & <u64>0x000F000F000F000F
    return (quotients | (number - 10 * quotients) << 8) + <u64>0x3030303030303030


cdef inline void put_sixteen(char* out, u128 text) noexcept nogil:
    """In two pieces: one of 16 bytes would wait for two of 8 on their way to memory."""
    cdef u64 low = <u64>text, high = <u64>(text >> 64)
    memcpy(out, &low, 8)
    memcpy(out + 8, &high, 8)


cdef inline char* put_decimal(char* out, u64 digits, int exponent) noexcept nogil:
    """Up to 17 digits times ten to the exponent, as msgspec writes them; what comes after it is overwritten, too.

    All 17 are made, with zeros behind, and what is behind the point is written again one further: how many there are
    cannot be predicted, and bytes that were written one by one are slow to read in one piece.
    """
    cdef int count, point, before
    cdef u64 whole
    cdef u128 behind
    cdef char first
    while digits % 10000 == 0:
        digits //= 10000
        exponent += 4
    while digits % 10 == 0:
        digits //= 10
        exponent += 1
    count = count_digits(digits)
    point = count + exponent
    whole = digits * SCALES[17 - count]
    first = 48 + <char>(whole // <u64>10000000000000000)
    whole = whole % <u64>10000000000000000
    behind = <u128>eight_digits(whole % 100000000) << 64 | eight_digits(whole // 100000000)
    if exponent >= 0 and point <= 16:
        out[0] = first
        put_sixteen(out + 1, behind)
        out[point], out[point + 1] = b".", 48
        return out + point + 2
    if -5 < point <= 16:
        # Below 1 there are zeros before the digits, and the point that follows them is beyond their end.
        memcpy(out, b"0.0000", 6)
        before = (2 - point) & -(point <= 0)
        out += before
        out[0] = first
        put_sixteen(out + 1, behind)
        point = 17 if before else point
        behind = (behind >> 4 * (point - 1)) >> 4 * (point - 1)
        put_sixteen(out + point + 1, behind)
        out[point] = b"."
        return out + count + (before == 0)
    out[0], out[1] = first, b"."
    put_sixteen(out + 2, behind)
    out += count + 1 if count > 1 else 1
    out[0] = b"e"
    return put_integer(out + 1, point - 1)


cdef inline u64 rounded(double value, int digits, int* exponent) noexcept nogil:
    """So many digits of a positive finite value, the shortest ones rounded half up, but for what must not read as 1."""
    cdef int power, count
    cdef double scaled, fraction
    cdef u64 whole, unit
    if digits <= 9 and 1e-15 < value < 1e15:
        power = digits - 1 - <int>floor(log10(value))
        if -22 <= power <= 22:
            scaled = value * TENS[power] if power >= 0 else value / TENS[-power]
            whole = <u64>scaled
            fraction = scaled - whole
            if fabs(fraction - 0.5) > 1e-6 and 0.999 > fraction > 0.001 and fabs(value - 1) > 0.5 / TENS[digits - 1]:
                exponent[0] = -power
                return whole + (fraction > 0.5)
    whole = shortest(value, exponent)
    count = count_digits(whole)
    if count > digits:
        unit = <u64>1
        for power in range(count - digits):
            unit *= 10
        whole = (whole + unit // 2) // unit
        exponent[0] += count - digits
        power = -exponent[0]
        if 0 <= power <= 17:  # whole is value * 10^power: 1 is 10^power
            unit = <u64>1
            for count in range(power):
                unit *= 10
            if value < 1 and whole >= unit:
                exponent[0] = -digits
                whole = 1
                for count in range(digits):
                    whole *= 10
                whole -= 1
            elif value > 1 and whole <= unit:
                whole = unit + 1
    return whole


cdef inline char* put_float(char* out, double value, int digits) noexcept nogil:
    cdef int exponent
    cdef u64 whole
    if not value - value == 0:  # NaN or infinite
        memcpy(out, b"null", 4)
        return out + 4
    if (<u64*>&value)[0] >> 63:
        out[0] = b"-"
        out += 1
        value = -value
    if value == 0:
        memcpy(out, b"0.0", 3)
        return out + 3
    whole = rounded(value, digits, &exponent) if digits else shortest(value, &exponent)
    return put_decimal(out, whole, exponent)


def written(parts, int digits=0):
    cdef list given = list(parts)
    cdef Py_ssize_t count = len(given), bound = 0, i, j, got = 0
    cdef Py_buffer* views = <Py_buffer*>malloc(max(count, 1) * sizeof(Py_buffer))
    cdef char* out
    cdef bytes text
    if views == NULL:
        raise MemoryError
    try:
        if not 0 <= digits <= 17:
            raise ValueError("a number has up to 17 digits")
        for i in range(count):
            if type(given[i]) is bytes:
                views[i].len = -1
                bound += PyBytes_GET_SIZE(given[i])
                got += 1
                continue
            PyObject_GetBuffer(given[i], &views[i], PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
            got += 1
            if views[i].ndim != 1 or views[i].itemsize != 8 or views[i].format[0] not in b"dlq" or views[i].format[1]:
                raise ValueError("an array is not a contiguous row of float64 or int64")
            bound += 2 + views[i].shape[0] * FLOAT_TEXT
        text = PyBytes_FromStringAndSize(NULL, bound + SLACK)
        out = PyBytes_AS_STRING(text)
        for i in range(count):
            if views[i].len < 0:
                memcpy(out, PyBytes_AS_STRING(given[i]), PyBytes_GET_SIZE(given[i]))
                out += PyBytes_GET_SIZE(given[i])
                continue
            out[0] = b"["
            out += 1
            if views[i].format[0] == b"d":
                for j in range(views[i].shape[0]):
                    out = put_float(out, (<double*>views[i].buf)[j], digits)
                    out[0] = b","
                    out += 1
            else:
                for j in range(views[i].shape[0]):
                    out = put_integer(out, (<long long*>views[i].buf)[j])
                    out[0] = b","
                    out += 1
            if views[i].shape[0]:
                out -= 1
            out[0] = b"]"
            out += 1
        return text[: out - PyBytes_AS_STRING(text)]
    except BufferError as exc:
        raise ValueError("an array is not a contiguous row of float64 or int64") from exc
    finally:
        for i in range(got):
            if views[i].len >= 0:
                PyBuffer_Release(&views[i])
        free(views)


def columns(const long long[::1] times, const double[:, ::1] block, Py_ssize_t first, Py_ssize_t end, list between,
            int digits=0):
    cdef Py_ssize_t rows = len(between) - 2, bound = 0, i, j
    cdef bytes piece
    cdef char* out
    if not 0 <= first <= end <= times.shape[0] or end > block.shape[1] or not -1 <= rows <= block.shape[0]:
        raise ValueError("there are no such columns")
    if not 0 <= digits <= 17:
        raise ValueError("a number has up to 17 digits")
    for piece in between:
        bound += PyBytes_GET_SIZE(piece)
    cdef bytes text = PyBytes_FromStringAndSize(
        NULL, bound + (end - first) * (INTEGER_TEXT + rows * FLOAT_TEXT) + 2 * (rows + 1) + SLACK
    )
    out = PyBytes_AS_STRING(text)
    for i in range(rows + 2):
        piece = between[i]
        memcpy(out, PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
        out += PyBytes_GET_SIZE(piece)
        if i > rows:
            break
        out[0] = b"["
        out += 1
        if i == 0:
            for j in range(first, end):
                out = put_integer(out, times[j])
                out[0] = b","
                out += 1
        else:
            for j in range(first, end):
                out = put_float(out, block[i - 1, j], digits)
                out[0] = b","
                out += 1
        if first < end:
            out -= 1
        out[0] = b"]"
        out += 1
    return text[: out - PyBytes_AS_STRING(text)]
