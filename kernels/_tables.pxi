# Tables, compiled; see `_tables_py` for what each function does.

from libc.stdlib cimport realloc


cdef enum:
    SHORTEST_ROW = 60  # bytes of a datapoint with its labels


cdef struct Texts:
    const char** start
    Py_ssize_t* size
    Py_ssize_t count, room
    Py_ssize_t* slots  # of a hash table: positions + 1, 0 where there is none
    Py_ssize_t slot_count


cdef bint make_room(Texts* texts) noexcept nogil:
    """Make room for one more text; whether there is memory for it."""
    cdef Py_ssize_t i, slot, slots = texts.slot_count * 2 if texts.slot_count else 64
    cdef void* moved
    if texts.count == texts.room:
        texts.room = texts.room * 2 if texts.room else 32
        moved = realloc(texts.start, texts.room * sizeof(char*))
        if moved == NULL:
            return False
        texts.start = <const char**>moved
        moved = realloc(texts.size, texts.room * sizeof(Py_ssize_t))
        if moved == NULL:
            return False
        texts.size = <Py_ssize_t*>moved
    if 2 * (texts.count + 1) > texts.slot_count:
        free(texts.slots)
        texts.slots = <Py_ssize_t*>calloc(slots, sizeof(Py_ssize_t))
        if texts.slots == NULL:
            return False
        texts.slot_count = slots
        for i in range(texts.count):
            slot = hash_of(texts.start[i], texts.size[i]) & (slots - 1)
            while texts.slots[slot]:
                slot = (slot + 1) & (slots - 1)
            texts.slots[slot] = i + 1
    return True


cdef inline u64 hash_of(const char* text, Py_ssize_t size) noexcept nogil:
    cdef u64 found = <u64>size * <u64>0x9E3779B97F4A7C15, some
    cdef Py_ssize_t at = 0
    while at + 8 <= size:
        memcpy(&some, text + at, 8)
        found = mix(found, some)
        at += 8
    some = 0
    memcpy(&some, text + at, size - at)
    return mix(found, some)


cdef inline Py_ssize_t code_of(Texts* texts, const char* text, Py_ssize_t size, Py_ssize_t last) noexcept nogil:
    """The position of a text among those known, which it becomes one of; -1 without memory. `last` is tried first."""
    cdef Py_ssize_t slot, code
    if last >= 0 and texts.size[last] == size and memcmp(texts.start[last], text, size) == 0:
        return last
    if not make_room(texts):
        return -1
    slot = hash_of(text, size) & (texts.slot_count - 1)
    while texts.slots[slot]:
        code = texts.slots[slot] - 1
        if texts.size[code] == size and memcmp(texts.start[code], text, size) == 0:
            return code
        slot = (slot + 1) & (texts.slot_count - 1)
    texts.slots[slot] = texts.count + 1
    texts.start[texts.count], texts.size[texts.count] = text, size
    texts.count += 1
    return texts.count - 1


cdef object listed(Texts* texts):
    """The texts, None where one is no UTF-8."""
    cdef Py_ssize_t i
    try:
        return [PyUnicode_DecodeUTF8(texts.start[i], texts.size[i], NULL) for i in range(texts.count)]
    except UnicodeDecodeError:
        return None


cdef void forget(Texts* texts) noexcept nogil:
    free(texts.start)
    free(texts.size)
    free(texts.slots)


cdef const char* read_texts(const char* p, Texts* texts, long long* codes, Py_ssize_t most, Py_ssize_t* count) noexcept nogil:
    """A list of texts and nulls as codes, -1 for null; what comes after it, NULL where it is none."""
    cdef const char* end
    cdef Py_ssize_t n = 0, last = -1
    p = skip(p + 1)
    while p[0] != b"]":
        if n == most:
            return NULL
        if p[0] == b'"':
            end = end_of_text(p + 1)
            if end == NULL:
                return NULL
            last = code_of(texts, p + 1, end - p - 1, last)
            if last < 0:
                return NULL
            codes[n], p = last, skip(end + 1)
        elif strncmp(p, b"null", 4) == 0:
            codes[n], p = -1, skip(p + 4)
        else:
            return NULL
        n += 1
        if p[0] == b",":
            p = skip(p + 1)
            if p[0] == b"]":
                return NULL
        elif p[0] != b"]":
            return NULL
    count[0] = n
    return skip(p + 1)


cdef const char* read_numbers(
    const char* p, long long* times, double* values, Py_ssize_t most, Py_ssize_t* count
) noexcept nogil:
    """A list of numbers and nulls, or of times, which are no nulls; what comes after it, NULL where it is none."""
    cdef Number number
    cdef Py_ssize_t n = 0
    cdef bint has_fractions = False, has_large = False
    p = skip(p + 1)
    while p[0] != b"]":
        if n == most:
            return NULL
        if times == NULL and strncmp(p, b"null", 4) == 0:
            values[n], p = NAN, p + 4
        else:
            p = read_number(p, &number)
            if p == NULL:
                return NULL
            if times == NULL:
                values[n] = number.value
            else:
                if not seconds_of(&number, &times[n]):
                    return NULL
                has_fractions = has_fractions or not number.is_whole
                has_large = has_large or number.digits > (<u64>1 << 53)
        n += 1
        p = skip(p)
        if p[0] == b",":
            p = skip(p + 1)
            if p[0] == b"]":
                return NULL
        elif p[0] != b"]":
            return NULL
    count[0] = n
    return NULL if has_fractions and has_large else skip(p + 1)


cdef const char* past_option(const char* p) noexcept nogil:
    """What comes after a text, a list of texts, or a word or number; NULL after anything else."""
    cdef const char* end
    cdef Number number
    if p[0] == b"[":
        return past_texts(p)
    if p[0] == b'"':
        end = end_of_text(p + 1)
        return skip(end + 1) if end != NULL else NULL
    if strncmp(p, b"true", 4) == 0 or strncmp(p, b"null", 4) == 0:
        return skip(p + 4)
    if strncmp(p, b"false", 5) == 0:
        return skip(p + 5)
    p = read_number(p, &number)
    return skip(p) if p != NULL else NULL


def columns_of(bytes body not None, Py_ssize_t most):
    cdef const char* p = PyBytes_AS_STRING(body)
    cdef const char* last = p + PyBytes_GET_SIZE(body)
    cdef const char* key
    cdef const char* end
    cdef Py_ssize_t room = min(most, PyBytes_GET_SIZE(body) // 2 + 1), count = -1, n = 0
    cdef long long[::1] whole
    cdef double[::1] numbers
    cdef Texts texts
    cdef dict found = {}
    p = past(p, b"{")
    if p == NULL or room < 1:
        return None
    while True:
        if p[0] != b'"':
            return None
        key = p + 1
        end = end_of_text(key)
        if end == NULL:
            return None
        name = text_of(key, end)
        p = past(end + 1, b":")
        if p == NULL or name is None or name in found:
            return None
        key = p
        if name in OPTIONS:
            p = past_option(p)
            if p == NULL:
                return None
            found[name] = key[: p - key]
        elif p[0] != b"[":
            return None
        elif name in LABELS:
            memset(&texts, 0, sizeof(Texts))
            codes = np.empty(room if count < 0 else count, np.int64)
            if codes.shape[0]:
                whole = codes
            try:
                with nogil:
                    p = read_texts(p, &texts, &whole[0] if whole.shape[0] else NULL, whole.shape[0], &n)
                words = listed(&texts) if p != NULL else None
            finally:
                forget(&texts)
            if words is None:
                return None
            found[name] = (words, codes[:n])
        else:
            column = np.empty(room if count < 0 else count, np.int64 if name == "timestamp" else np.float64)
            if column.shape[0] == 0:
                return None
            if name == "timestamp":
                whole = column
                with nogil:
                    p = read_numbers(p, &whole[0], NULL, whole.shape[0], &n)
            else:
                numbers = column
                with nogil:
                    p = read_numbers(p, NULL, &numbers[0], numbers.shape[0], &n)
            if p == NULL:
                return None
            found[name] = column[:n]
        if name not in OPTIONS:
            if n == 0 or (count >= 0 and n != count):
                return None
            count = n
        if p[0] == b"}":
            break
        p = past(p, b",")
        if p == NULL:
            return None
    return found if skip(p + 1) == last else None


def coded(const long long[::1] codes, list texts not None):
    cdef Py_ssize_t n = codes.shape[0], size = 2 + n, i, count = len(texts)
    cdef bytes text
    cdef char* out
    cdef const char** starts
    cdef Py_ssize_t* sizes
    starts, sizes = <const char**>malloc((count + 1) * sizeof(char*)), <Py_ssize_t*>malloc((count + 1) * sizeof(Py_ssize_t))
    try:
        if starts == NULL or sizes == NULL:
            raise MemoryError
        for i in range(count):
            text = texts[i]
            starts[i], sizes[i] = PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)
        for i in range(n):
            if not 0 <= codes[i] < count:
                raise IndexError("there is no such text")
            size += sizes[codes[i]]
        made = PyBytes_FromStringAndSize(NULL, size)
        out = PyBytes_AS_STRING(made)
        out[0] = b"["
        out += 1
        for i in range(n):
            memcpy(out, starts[codes[i]], sizes[codes[i]])
            out += sizes[codes[i]]
            out[0] = b","
            out += 1
        if n:
            out -= 1
        out[0] = b"]"
        return made[: out + 1 - PyBytes_AS_STRING(made)] if n == 0 else made[: size - 1]
    finally:
        free(starts)
        free(sizes)


OPTIONS = frozenset(("windows", "combine", "bands", "hosts", "alerts", "digits"))
LABELS = frozenset(("region", "host", "metric"))


cdef const char* read_row(
    const char* p, Texts* texts, long long** codes, long long* times, double* values, Py_ssize_t n, bint* odd
) noexcept nogil:
    """One datapoint with its labels; what comes after it, NULL where it is none. `odd` notes fractions and large times."""
    cdef const char* key
    cdef const char* end
    cdef Number number
    cdef Py_ssize_t size, code
    cdef int seen = 0, bit, kind
    p = past(p, b"{")
    while True:
        if p == NULL or p[0] != b'"':
            return NULL
        key = p + 1
        end = end_of_text(key)
        if end == NULL:
            return NULL
        size = end - key
        p = past(end + 1, b":")
        if p == NULL:
            return NULL
        kind = -1
        if is_key(key, size, "value", 5):
            bit = 16
            if strncmp(p, b"null", 4) == 0:
                values[n], p = NAN, p + 4
            else:
                p = read_number(p, &number)
                if p == NULL or fabs(number.value) > MAX_MAGNITUDE:
                    return NULL
                values[n] = number.value
        elif is_key(key, size, "timestamp", 9):
            bit = 8
            p = read_number(p, &number)
            if p == NULL or not seconds_of(&number, &times[n]):
                return NULL
            odd[0] = odd[0] or not number.is_whole
            odd[1] = odd[1] or number.digits > (<u64>1 << 53)
        else:
            kind = 0 if is_key(key, size, "region", 6) else 1 if is_key(key, size, "host", 4) else 2
            if (kind == 2 and not is_key(key, size, "metric", 6)) or p[0] != b'"':
                return NULL
            bit = 1 << kind
            end = end_of_text(p + 1)
            if end == NULL:
                return NULL
            code = code_of(&texts[kind], p + 1, end - p - 1, codes[kind][n - 1] if n else -1)
            if code < 0:
                return NULL
            codes[kind][n], p = code, end + 1
        if seen & bit:
            return NULL
        seen |= bit
        p = skip(p)
        if p[0] == b"}":
            return skip(p + 1) if seen == 31 else NULL
        p = past(p, b",")


cdef const char* read_rows(
    const char* p, Texts* texts, long long** codes, long long* times, double* values, Py_ssize_t most, Py_ssize_t* count
) noexcept nogil:
    cdef Py_ssize_t n = 0
    cdef bint[2] odd
    odd[0] = odd[1] = False
    p = skip(p + 1)
    while True:
        if n == most or p[0] != b"{":
            return NULL
        p = read_row(p, texts, codes, times, values, n, odd)
        n += 1
        if p == NULL:
            return NULL
        if p[0] == b"]":
            break
        p = past(p, b",")
        if p == NULL:
            return NULL
    count[0] = n
    return NULL if odd[0] and odd[1] else skip(p + 1)


def rows_of(bytes body not None, Py_ssize_t most):
    cdef const char* p = PyBytes_AS_STRING(body)
    cdef const char* last = p + PyBytes_GET_SIZE(body)
    cdef const char* key
    cdef const char* end
    cdef Py_ssize_t room = min(most, PyBytes_GET_SIZE(body) // SHORTEST_ROW + 1), n = 0, i
    cdef long long[:, ::1] codes
    cdef long long[::1] times
    cdef double[::1] values
    cdef long long* of_kind[3]
    cdef Texts[3] texts
    cdef dict found = {}
    p = past(p, b"{")
    if p == NULL or room < 1:
        return None
    while True:
        if p[0] != b'"':
            return None
        key = p + 1
        end = end_of_text(key)
        if end == NULL:
            return None
        name = text_of(key, end)
        p = past(end + 1, b":")
        if p == NULL or name is None or name in found:
            return None
        key = p
        if name in OPTIONS:
            p = past_option(p)
            if p == NULL:
                return None
            found[name] = key[: p - key]
        elif name != "datapoints" or p[0] != b"[":
            return None
        else:
            code_array, time_array, value_array = np.empty((3, room), np.int64), np.empty(room, np.int64), np.empty(room)
            codes, times, values = code_array, time_array, value_array
            memset(texts, 0, 3 * sizeof(Texts))
            for i in range(3):
                of_kind[i] = &codes[i, 0]
            try:
                with nogil:
                    p = read_rows(p, texts, of_kind, &times[0], &values[0], room, &n)
                words = [listed(&texts[i]) for i in range(3)] if p != NULL else [None]
            finally:
                for i in range(3):
                    forget(&texts[i])
            if None in words:
                return None
            found[name] = (words, np.ascontiguousarray(code_array[:, :n]), time_array[:n], value_array[:n])
        if p[0] == b"}":
            break
        p = past(p, b",")
        if p == NULL:
            return None
    return found if skip(p + 1) == last and "datapoints" in found else None


cdef inline char* put_text(char* out, const char* text, Py_ssize_t size) noexcept nogil:
    memcpy(out, text, size)
    return out + size


cdef inline char* put(char* out, bytes text) noexcept:
    return put_text(out, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))


cdef Py_ssize_t room_of(list between, list after) except -1:
    """Bytes that what is around the numbers of a series takes, but for its own texts."""
    cdef bytes piece
    cdef Py_ssize_t room = 60 + SLACK
    for piece in between:
        room += PyBytes_GET_SIZE(piece) + 2
    for piece in after:
        room += PyBytes_GET_SIZE(piece) + 2
    return room


cdef Py_ssize_t own_room(const Labels* labels, bytes status, Py_ssize_t keys, Py_ssize_t rows, Py_ssize_t n):
    """Bytes that the texts and numbers of a series take."""
    cdef Py_ssize_t room = PyBytes_GET_SIZE(status) + n * (INTEGER_TEXT + rows * FLOAT_TEXT)
    cdef int k
    for k in range(3):
        room += labels.size[k] + keys * labels.key_size[k]
    return room


cdef char* put_series(
    char* out, const Labels* labels, bytes status, int level, const long long* times, const double* block,
    Py_ssize_t apart, Py_ssize_t n, list between, list after, int digits,
):
    """The answer about a series but for its last brace; its rows of the block are so far apart."""
    cdef Py_ssize_t rows = len(between) - 2, row, j, at
    cdef int k
    out = put_text(out, b'{"region":', 10)
    out = put_text(out, labels.text[0], labels.size[0])
    out = put_text(out, b',"host":', 8)
    out = put_text(out, labels.text[1], labels.size[1])
    out = put_text(out, b',"metric":', 10)
    out = put_text(out, labels.text[2], labels.size[2])
    out = put_text(out, b',"status":', 10)
    out = put(out, status)
    for row in range(-1, rows):
        out = put(out, between[row + 1])
        out[0] = b"["
        out += 1
        if row < 0:
            for j in range(n):
                out = put_integer(out, times[j])
                out[0] = b","
                out += 1
        else:
            for j in range(n):
                out = put_float(out, block[row * apart + j], digits)
                out[0] = b","
                out += 1
        if n:
            out -= 1
        out[0] = b"]"
        out += 1
    out = put(out, between[rows + 1])
    for at in range(len(after)):
        out = put(out, after[at])
        if at + 1 < len(after):
            for k in range(3):
                if level + k < 2 or k == 2:
                    out = put_text(out, labels.key[k], labels.key_size[k])
                else:
                    out = put_text(out, "*", 1)
                if k < 2:
                    out = put_text(out, "/", 1)
    return out


cdef void point_at(Labels* labels, int k, bytes text, bytes key):
    labels.text[k], labels.size[k] = PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text)
    labels.key[k], labels.key_size[k] = PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)


def series_texts(
    const long long[::1] times, const double[:, ::1] block, const long long[::1] offsets, Py_ssize_t first,
    Py_ssize_t end, const long long[:, ::1] codes, list labels, list keys, list statuses,
    const unsigned char[::1] status, const unsigned char[::1] level, const long long[::1] kind, list between, list after,
    dict extras, int digits=0,
):
    cdef Py_ssize_t i, n, rows, bound = 0
    cdef int k
    cdef list pieces, fixed = [room_of(one, other) for one, other in zip(between, after)]
    cdef Labels own
    cdef char* out
    if not 0 <= first <= end <= offsets.shape[0] - 1 or offsets[end] > times.shape[0] or times.shape[0] != block.shape[1]:
        raise ValueError("there are no such series")
    for i in range(first, end):
        pieces = after[kind[i]]
        rows = len(between[kind[i]]) - 2
        if rows > block.shape[0]:
            raise ValueError("there are no such rows")
        for k in range(3):
            point_at(&own, k, labels[k][codes[k, i]], keys[k][codes[k, i]])
        bound += <Py_ssize_t>fixed[kind[i]] + (len(extras[i]) if i in extras else 0)
        bound += own_room(&own, statuses[status[i]], len(pieces), rows, offsets[i + 1] - offsets[i])
    made = PyBytes_FromStringAndSize(NULL, bound)
    out = PyBytes_AS_STRING(made)
    for i in range(first, end):
        if i > first:
            out[0] = b","
            out += 1
        for k in range(3):
            point_at(&own, k, labels[k][codes[k, i]], keys[k][codes[k, i]])
        n = offsets[i + 1] - offsets[i]
        out = put_series(
            out, &own, statuses[status[i]], level[i], &times[offsets[i]] if n else NULL,
            &block[0, offsets[i]] if n else NULL, block.shape[1], n, between[kind[i]], after[kind[i]], digits,
        )
        if i in extras:
            out = put(out, extras[i])
        out[0] = b"}"
        out += 1
    return made[: out - PyBytes_AS_STRING(made)]
