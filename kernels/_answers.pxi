# Answers, compiled; see `_answers_py` for what they are.

from cpython.unicode cimport PyUnicode_AsUTF8AndSize

cdef enum:
    LEVELS = 3
    LENGTH_TEXT = 24  # bytes of a length and a blank line
    KEPT = 1000  # texts, and lists of windows
    LONGEST_LIST = 256  # bytes of a list of windows that is kept
    POINTS = 0  # in the tallies
    HITS = 1
    STATUSES = 2

cdef enum Status:
    OK, FALLBACK, NO_MODELS, INSUFFICIENT_DATA

HOWS = (b"weighted", b"min", b"max")


cdef inline bint stands_in_keys(const char* part, Py_ssize_t size) noexcept nogil:
    """Whether a part is in the key of a model as it is, not percent-encoded."""
    cdef Py_ssize_t i
    cdef unsigned char c
    for i in range(size):
        c = part[i]
        if not (97 <= c <= 122 or 48 <= c <= 57 or 65 <= c <= 90 or c == b"-" or c == b"_" or c == b"." or c == b"*"):
            return False
    return part[0] != b"." or size > 2 or part[size - 1] != b"."


cdef void tell_local(
    const long long* times, Py_ssize_t n, const long long[::1] changes, const long long[::1] shifts, long long* local
) noexcept nogil:
    """The local time of each of some rising times, not negative."""
    cdef Py_ssize_t passed = 0, j
    for j in range(n):
        while passed < changes.shape[0] and changes[passed] <= times[j]:
            passed += 1
        local[j] = max(times[j] + shifts[passed], 0)


cdef class Wanted:
    """The windows that a request asks for, as `ask` gives them."""

    cdef object windows
    cdef const long long[::1] columns, seconds
    cdef const double[::1] weights
    cdef int power

    def __init__(self, windows, columns, seconds, weights, power):
        self.windows, self.columns, self.seconds, self.weights = windows, columns, seconds, weights
        self.power = power


cdef class Answers:
    cdef dict regions, artifacts, opened, asks, texts, clocks
    cdef tuple windows
    cdef double coverage
    cdef object open_shard, ask, around, part_hash, quoted, is_counter
    cdef list statuses
    cdef long long[::1] tallies
    cdef u64 any_hash
    cdef void* numbers  # room that is used again for each request
    cdef void* text
    cdef Py_ssize_t number_bytes, text_bytes

    def __init__(self, regions, windows, coverage, opened, open_shard, ask, around, part_hash, quoted, is_counter,
                 statuses, tallies, clocks=None):
        self.regions = {region: [one and one.hash for one in shards] for region, shards in regions.items()}
        self.artifacts = {one.hash: one for shards in regions.values() for one in shards if one}
        self.windows, self.coverage, self.opened, self.open_shard = windows, coverage, opened, open_shard
        self.ask, self.around, self.is_counter = ask, around, is_counter
        self.part_hash, self.quoted, self.any_hash = part_hash, quoted, part_hash("*")
        self.statuses, self.tallies = statuses, tallies
        self.asks, self.texts, self.clocks = {}, {}, clocks or {}

    def __dealloc__(self):
        free(self.numbers)
        free(self.text)

    def answer(self, bytes body not None, Py_ssize_t most, bint stale, bytes head=None):
        cdef const char* p = PyBytes_AS_STRING(body)
        cdef Py_ssize_t room = min(most, room_for(body)), windows = len(self.windows), position = -1
        cdef int k, level = 0
        cdef One one
        cdef Labels labels
        cdef Table table = None
        cdef long long* times
        cdef list names = [], kept = []
        if room < 1:
            return None
        self.numbers = enough(self.numbers, &self.number_bytes, room * (7 + 4 * windows + SCRATCH) * sizeof(double))
        times = <long long*>self.numbers
        if not read_one(p, p + PyBytes_GET_SIZE(body), room, &one, times, <double*>times + room):
            return None
        for k in range(3):
            name = text_of(one.part[k], one.part[k] + one.size[k])
            if name is None:
                return None
            names.append(name)
            labels.text[k], labels.size[k] = one.part[k] - 1, one.size[k] + 2  # with the quotes
            labels.key[k], labels.key_size[k] = one.part[k], one.size[k]
            if not stands_in_keys(one.part[k], one.size[k]):
                name = self.quoted(name)
                kept.append(name)
                labels.key[k] = PyUnicode_AsUTF8AndSize(name, &labels.key_size[k])
        if self.is_counter is not None and self.is_counter(names[2]):
            return None
        found = self.place(names, &labels, &position, &level)
        if found is None:
            return None
        if position >= 0:
            table = found
        clock = self.clocks.get(names[0], self.clocks.get("*")) if self.clocks else None
        return self.scored(&one, &labels, table, position, level, clock, times, room, stale, head)

    cdef object place(self, list names, const Labels* labels, Py_ssize_t* position, int* level):
        """The table that has the models of a series, False where none has; None where a shard has to be opened."""
        cdef u64 region, host, host_hash, metric = self.part_hash(names[2])
        cdef Index index
        cdef list shards
        cdef int at
        for at in range(LEVELS):
            shards = self.regions.get(names[0] if at < 2 else "*")
            if not shards:
                continue
            region = self.part_hash(names[0]) if at < 2 else self.any_hash
            host = self.part_hash(names[1]) if at == 0 else self.any_hash
            host_hash = mix(region, host)
            artifact = shards[<Py_ssize_t>(((host_hash >> 32) * <u64>len(shards)) >> 32)]
            if artifact is None:
                continue
            shard = self.opened.get(artifact)
            if shard is None:
                shard = self.open_shard(self.artifacts[artifact])
            if shard is None or shard.windows != self.windows:
                return None
            self.tallies[HITS] += 1
            index = shard.index
            position[0] = index.position(host_hash & UPPER | mix(host_hash, metric) & LOWER, labels, at)
            if position[0] >= 0:
                level[0] = at
                return shard.table
        return False

    cdef bytes scored(
        self, const One* one, const Labels* labels, Table table, Py_ssize_t position, int level, tuple clock,
        long long* times, Py_ssize_t room, bint stale, bytes head,
    ):
        """The answer, from where the models are."""
        cdef Py_ssize_t n = one.count, rows, i
        cdef int k, how = 0
        cdef bint has_models = False, has_scores = False
        cdef long long place = position, where = 0 if table is not None else -1
        cdef long long[2] offsets
        cdef long long[16] counts
        cdef unsigned char[16] codes
        cdef unsigned char[34] kind
        cdef Wanted wanted
        cdef const long long* columns
        cdef const Series* series
        cdef const Series* tables = NULL
        cdef Asked asked
        cdef double* values = <double*>times + room
        cdef long long* local = <long long*>(values + room)
        cdef double* block = <double*>local + room
        if one.combine != NULL:
            while how < 3 and not is_key(one.combine, one.combine_size, HOWS[how], len(HOWS[how])):
                how += 1
            if how == 3:
                return None
        if one.windows_size > LONGEST_LIST:
            return None
        raw = None if one.windows == NULL else PyBytes_FromStringAndSize(one.windows, one.windows_size)
        wanted = self.asks.get(raw)
        if wanted is None:
            found = self.ask(raw)
            if found is None:
                return None
            wanted = Wanted(*found)
            keep(self.asks, raw, wanted)
        asked.count = wanted.columns.shape[0]
        if not 0 < asked.count <= min(16, len(self.windows)):
            return None
        columns = asked.columns = &wanted.columns[0]
        asked.windows, asked.weights, asked.power = &wanted.seconds[0], &wanted.weights[0], wanted.power
        asked.coverage, asked.how, asked.bands, asked.means = self.coverage, how, one.bands, NULL
        asked.n, asked.series, asked.table, asked.position = n, 1, &where, &place
        asked.times, asked.clock, asked.values, asked.offsets = times, times, values, offsets
        if clock is not None:
            tell_local(times, n, clock[0], clock[1], local)
            asked.clock = local
        offsets[0], offsets[1] = 0, n
        memset(counts, 0, sizeof(counts))
        if table is not None:
            tables = &table.series
            for k in range(asked.count):
                code = tables.adapter[place * tables.windows + columns[k]]
                has_models = has_models or code != NO_MODEL
                if code != NO_MODEL and (
                    code >= tables.codes or tables.predictors[columns[k] * tables.codes + code] == NULL
                ):
                    return None  # a library predicts
        series = tables
        asked.tables = &series
        rows = 1 + asked.count * (1 if not has_models else 4 if one.bands else 2)
        predict_all(&asked, block, codes, block + (1 + 4 * asked.count) * n)
        combine_all(&asked, block, counts)
        for k in range(asked.count):
            kind[2 * k], kind[2 * k + 1] = codes[k], counts[k] > 0
            has_scores = has_scores or counts[k] > 0
        kind[2 * asked.count], kind[2 * asked.count + 1] = level > 0, one.bands
        status = (
            NO_MODELS if table is None else INSUFFICIENT_DATA if not has_scores else FALLBACK if level else OK
        )
        adapters = table.adapters if table is not None else ()
        key = (raw, adapters, PyBytes_FromStringAndSize(<char*>kind, 2 * asked.count + 2))
        around = self.texts.get(key)
        if around is None:
            found = [kind[2 * k] for k in range(asked.count)], [bool(kind[2 * k + 1]) for k in range(asked.count)]
            around = self.around(wanted.windows, found[0], adapters, level > 0, found[1], rows)
            keep(self.texts, key, around)
        answer = self.written(
            labels, self.statuses[status], level, times, block, n, around[0], around[1], one.digits, stale, head
        )
        self.tallies[POINTS] += n
        self.tallies[STATUSES + <int>status] += 1
        return answer

    cdef bytes written(
        self, const Labels* labels, bytes status, int level, const long long* times, const double* block, Py_ssize_t n,
        list between, list after, int digits, bint stale, bytes head,
    ):
        """The text of the answer, after a head with its length where there is one."""
        cdef Py_ssize_t before = 0 if head is None else PyBytes_GET_SIZE(head) + LENGTH_TEXT, size
        cdef char* start
        cdef char* end
        size = before + room_of(between, after) + own_room(labels, status, len(after), len(between) - 2, n)
        self.text = enough(self.text, &self.text_bytes, size)
        start = <char*>self.text + before
        end = put_series(start, labels, status, level, times, block, n, n, between, after, digits)
        if stale:
            end = put_text(end, b',"stale":true', 13)
        end[0] = b"}"
        end += 1
        if head is not None:
            size = end - start
            start -= 4
            memcpy(start, b"\r\n\r\n", 4)
            start -= count_digits(size)
            put_digits(start, size, count_digits(size))
            start -= PyBytes_GET_SIZE(head)
            put(start, head)
        return PyBytes_FromStringAndSize(start, end - start)


cdef void keep(dict texts, object key, object value):
    if len(texts) >= KEPT:
        texts.clear()
    texts[key] = value


cdef void* enough(void* room, Py_ssize_t* size, Py_ssize_t needed) except NULL:
    """The room, or larger one where it has not so many bytes."""
    if needed > size[0]:
        room = realloc(room, 2 * needed)
        if room == NULL:
            raise MemoryError
        size[0] = 2 * needed
    return room
