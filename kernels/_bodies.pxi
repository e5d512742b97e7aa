# Bodies, compiled; see `_bodies_py` for what each function does.

from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdlib cimport strtod
from libc.string cimport strncmp

from myriad.kernels import _bodies_py as bodies_twin

cdef enum:
    SHORTEST_POINT = 25  # bytes of {"timestamp":1,"value":1},
    MOST_SIZE_DIGITS = 18
    MOST_CHARACTERS = 200

cdef double MAX_MAGNITUDE = 1e150
cdef long long LATEST = 7258118400
cdef long long MILLISECONDS_FROM = 100000000000


cdef struct Number:
    bint negative
    bint is_whole  # neither a fraction nor an exponent
    u64 digits  # of a whole one, as far as they fit
    int count  # of the digits
    double value


cdef inline const char* skip(const char* p) noexcept nogil:
    """What comes after blanks. A body ends with a NUL, which is none."""
    while p[0] == 32 or p[0] == 10 or p[0] == 13 or p[0] == 9:
        p += 1
    return p


cdef inline const char* past(const char* p, char wanted) noexcept nogil:
    """What comes after blanks, one character and blanks again; NULL where that is another."""
    p = skip(p)
    return skip(p + 1) if p[0] == wanted else NULL


cdef inline const char* end_of_text(const char* p) noexcept nogil:
    """The quote that ends the text from `p` on; NULL where it has escapes or control characters."""
    while p[0] != b'"':
        if p[0] == b"\\" or <unsigned char>p[0] < 32:
            return NULL
        p += 1
    return p


cdef inline bint is_key(const char* p, Py_ssize_t size, const char* key, Py_ssize_t key_size) noexcept nogil:
    return size == key_size and memcmp(p, key, size) == 0


cdef bint nearest(u64 w, int q, double* value) noexcept nogil:
    """The float64 nearest to w times ten to q, where that is normal and certain.

    Lemire, "Number parsing at a gigabyte per second", 2021; w is not 0.
    """
    cdef u64 high, low, mantissa, bits
    cdef u128 product, second
    cdef int zeros, upper, power
    if q < -300 or q > 300:
        return False
    zeros = leading_zeros(w)
    w <<= zeros
    high, low = power_high[q - LEAST_POWER], power_low[q - LEAST_POWER]
    if -27 <= q < 0:
        low += 1
        high += low == 0
    product = <u128>w * high
    high, mantissa = <u64>(product >> 64), <u64>product
    if high & 0x1FF == 0x1FF:
        second = <u128>w * low
        low = <u64>(second >> 64)
        mantissa += low
        high += mantissa < low
    low = mantissa
    if low == <u64>0xFFFFFFFFFFFFFFFF and not -27 <= q <= 55:
        return False
    upper = <int>(high >> 63)
    mantissa = high >> (upper + 9)
    power = ((217706 * q) >> 16) + 63 + upper - zeros + 1023
    if power <= 0 or power >= 2046:
        return False
    if low <= 1 and -4 <= q <= 23 and (mantissa & 3) == 1 and (mantissa << (upper + 9)) == high:
        mantissa &= ~(<u64>1)
    mantissa += mantissa & 1
    mantissa >>= 1
    if mantissa >= (<u64>2 << 52):
        mantissa = <u64>1 << 52
        power += 1
    bits = (mantissa & ~(<u64>1 << 52)) | (<u64>power << 52)
    value[0] = (<double*>&bits)[0]
    return True


cdef const char* read_number(const char* p, Number* number) noexcept nogil:
    """Read a number as JSON writes it; NULL where there is none, or none that is finite."""
    cdef const char* start = p
    cdef const char* first
    cdef u64 w = 0
    cdef int count = 0, exponent = 0, written = 0
    cdef bint negative_exponent = False
    number.negative, number.is_whole = p[0] == b"-", True
    if number.negative:
        p += 1
    first = p
    while 48 <= p[0] <= 57:
        w = w * 10 + (p[0] - 48)
        p += 1
    count = <int>(p - first)
    if count == 0 or (first[0] == 48 and count > 1):
        return NULL
    number.count, number.digits = count, w
    if p[0] == b".":
        number.is_whole = False
        p += 1
        first = p
        while 48 <= p[0] <= 57:
            w = w * 10 + (p[0] - 48)
            p += 1
        if p == first:
            return NULL
        exponent = <int>(first - p)
        if count == 1 and number.digits == 0:  # zeros in front are no digits
            count = 0
            while first[0] == 48:
                first += 1
        count += <int>(p - first)
    if p[0] == b"e" or p[0] == b"E":
        number.is_whole = False
        p += 1
        if p[0] == b"+" or p[0] == b"-":
            negative_exponent = p[0] == b"-"
            p += 1
        if not 48 <= p[0] <= 57:
            return NULL
        while 48 <= p[0] <= 57:
            if written < 100000:
                written = written * 10 + (p[0] - 48)
            p += 1
        exponent += -written if negative_exponent else written
    if number.is_whole and count > MOST_SIZE_DIGITS:
        return NULL
    if count <= 19 and w == 0:
        number.value = 0
    elif count <= 15 and -22 <= exponent <= 22:
        number.value = <double>w * TENS[exponent] if exponent >= 0 else <double>w / TENS[-exponent]
    elif count > 19 or not nearest(w, exponent, &number.value):
        number.value = fabs(strtod(start, NULL))
    if number.negative:
        number.value = -number.value
    return p if number.value - number.value == 0 else NULL


cdef bint seconds_of(const Number* number, long long* seconds) noexcept nogil:
    """Epoch seconds, from seconds, milli-, micro- or nanoseconds told apart by size; only seconds may have fractions."""
    cdef long long size
    if number.negative:
        return False
    if not number.is_whole:
        if number.value >= MILLISECONDS_FROM:
            return False
        seconds[0] = <long long>number.value
        return seconds[0] <= LATEST
    if number.count > MOST_SIZE_DIGITS:
        return False
    size = <long long>number.digits
    if size >= MILLISECONDS_FROM * 1000000:
        size //= 1000000000
    elif size >= MILLISECONDS_FROM * 1000:
        size //= 1000000
    elif size >= MILLISECONDS_FROM:
        size //= 1000
    seconds[0] = size
    return size <= LATEST


cdef const char* read_points(
    const char* p, Py_ssize_t most, long long* times, double* values, Py_ssize_t* count
) noexcept nogil:
    """Read datapoints from the opening bracket on; what comes after the closing one, NULL where they are not tidy."""
    cdef const char* end
    cdef Number number
    cdef long long seconds = 0, last = -1
    cdef double value = 0
    cdef Py_ssize_t posted = 0, kept = 0
    cdef int seen
    cdef bint has_fractions = False, has_large = False, is_null = False
    p = past(p, b"[")
    if p == NULL or p[0] != b"{":
        return NULL
    while True:
        p = past(p, b"{")
        seen = 0
        while seen < 3:
            if p == NULL or p[0] != b'"':
                return NULL
            p += 1
            if strncmp(p, b'timestamp"', 10) == 0 and not seen & 1:
                seen |= 1
                p = past(p + 10, b":")
                if p == NULL:
                    return NULL
                p = read_number(p, &number)
                if p == NULL or not seconds_of(&number, &seconds):
                    return NULL
                has_fractions = has_fractions or not number.is_whole
                has_large = has_large or number.digits > (<u64>1 << 53)
            elif strncmp(p, b'value"', 6) == 0 and not seen & 2:
                seen |= 2
                p = past(p + 6, b":")
                if p == NULL:
                    return NULL
                is_null = strncmp(p, b"null", 4) == 0
                if is_null:
                    p += 4
                else:
                    p = read_number(p, &number)
                    value = number.value
                    if p == NULL or fabs(value) > MAX_MAGNITUDE:
                        return NULL
            else:
                return NULL
            p = past(p, b"," if seen < 3 else b"}")
        posted += 1
        if p == NULL or posted > most:
            return NULL
        if not is_null:
            if seconds <= last:
                return NULL
            times[kept], values[kept] = seconds, value
            last, kept = seconds, kept + 1
        if p[0] == b"]":
            break
        p = past(p, b",")
        if p == NULL or p[0] != b"{":
            return NULL
    count[0] = kept
    if kept == 0 or (has_fractions and has_large):
        return NULL
    return skip(p + 1)


cdef struct One:
    const char* part[3]  # region, host and metric, as they stand between their quotes
    Py_ssize_t size[3]
    const char* windows  # the list, NULL where there is none
    Py_ssize_t windows_size
    const char* combine  # the text, NULL where there is none
    Py_ssize_t combine_size
    bint bands
    int digits
    Py_ssize_t count  # of the datapoints that have a value


cdef bint is_name(const char* p, const char* end) noexcept nogil:
    """Whether UTF-8 can be a region, host or metric; control characters below 32 it cannot have."""
    cdef Py_ssize_t characters = 0
    while p < end:
        characters += <unsigned char>p[0] & 0xC0 != 0x80
        if p[0] == 0x7F:
            return False
        if <unsigned char>p[0] == 0xC2 and <unsigned char>p[1] < 0xA0:  # U+0080 to U+009F
            return False
        if <unsigned char>p[0] == 0xE2 and <unsigned char>p[1] == 0x80 and <unsigned char>p[2] & 0xFE == 0xA8:
            return False  # U+2028 and U+2029
        p += 1
    return 0 < characters <= MOST_CHARACTERS


cdef const char* past_texts(const char* p) noexcept nogil:
    """What comes after a list of texts; NULL where it is none."""
    cdef const char* end
    p = skip(p + 1)
    while p[0] == b'"':
        end = end_of_text(p + 1)
        if end == NULL:
            return NULL
        p = skip(end + 1)
        if p[0] != b",":
            break
        p = skip(p + 1)
        if p[0] != b'"':
            return NULL
    return skip(p + 1) if p[0] == b"]" else NULL


cdef bint read_one(
    const char* p, const char* last, Py_ssize_t most, One* one, long long* times, double* values
) noexcept nogil:
    """Read the usual request, but for whether its texts are UTF-8; whether it is one."""
    cdef const char* key
    cdef const char* start
    cdef const char* end
    cdef Py_ssize_t size
    cdef int seen = 0, bit, part
    cdef Number number
    memset(one, 0, sizeof(One))
    p = past(p, b"{")
    if p == NULL:
        return False
    while True:
        if p[0] != b'"':
            return False
        key = p + 1
        end = end_of_text(key)
        if end == NULL:
            return False
        size = end - key
        p = past(end + 1, b":")
        if p == NULL:
            return False
        bit, start = 0, p
        if is_key(key, size, "datapoints", 10):
            bit = 8
            if not seen & bit:
                p = read_points(p, most, times, values, &one.count)
        elif is_key(key, size, "bands", 5):
            bit, one.bands = 16, strncmp(p, b"true", 4) == 0
            p = skip(p + 4) if one.bands else skip(p + 5) if strncmp(p, b"false", 5) == 0 else NULL
        elif is_key(key, size, "digits", 6):
            bit, p = 32, read_number(p, &number)
            if p == NULL or not number.is_whole or number.negative or number.count > 2 or number.digits > 17:
                return False
            one.digits, p = <int>number.digits, skip(p)
        elif is_key(key, size, "windows", 7) and p[0] == b"[":
            bit, p = 64, past_texts(p)
            if p != NULL:
                one.windows, one.windows_size = start, p - start
        elif p[0] == b'"':
            start = p + 1
            end = end_of_text(start)
            if end == NULL:
                return False
            p = skip(end + 1)
            if is_key(key, size, "combine", 7):
                bit, one.combine, one.combine_size = 128, start, end - start
            else:
                part = 0 if is_key(key, size, "region", 6) else 1 if is_key(key, size, "host", 4) else 2
                if (part == 2 and not is_key(key, size, "metric", 6)) or not is_name(start, end):
                    return False
                bit, one.part[part], one.size[part] = 1 << part, start, end - start
        if bit == 0 or p == NULL or seen & bit:
            return False
        seen |= bit
        if p[0] == b"}":
            break
        p = past(p, b",")
        if p == NULL:
            return False
    return skip(p + 1) == last and seen & 15 == 15 and not is_key(one.part[0], one.size[0], "*", 1)


cdef inline Py_ssize_t room_for(bytes body):
    """How many datapoints a body may have."""
    return PyBytes_GET_SIZE(body) // SHORTEST_POINT + 1


def one_series(bytes body not None, Py_ssize_t most):
    cdef const char* p = PyBytes_AS_STRING(body)
    cdef Py_ssize_t room = room_for(body)
    cdef One one
    cdef int k
    time_array, value_array = np.empty(room, np.int64), np.empty(room)
    cdef long long[::1] times = time_array
    cdef double[::1] values = value_array
    if not read_one(p, p + PyBytes_GET_SIZE(body), min(most, room), &one, &times[0], &values[0]):
        return None
    parts = [text_of(one.part[k], one.part[k] + one.size[k]) for k in range(3)]
    combine = "weighted" if one.combine == NULL else text_of(one.combine, one.combine + one.combine_size)
    windows = None if one.windows == NULL else bodies_twin._texts_of(one.windows[: one.windows_size])
    if None in parts or combine is None or (windows is None and one.windows != NULL):
        return None
    return *parts, time_array[: one.count], value_array[: one.count], windows, combine, bool(one.bands), one.digits


cdef object text_of(const char* start, const char* end):
    """The text, None where it is no UTF-8."""
    try:
        return PyUnicode_DecodeUTF8(start, end - start, NULL)
    except UnicodeDecodeError:
        return None
