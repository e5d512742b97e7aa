# Alerting, compiled; see `_alerting_py` for what each function does.

cdef double TIRED_HALF_LIFE = alerting_twin.HALF_LIFE, PAGE = alerting_twin.PAGE, HOURLY = alerting_twin.HOURLY
cdef double MOST_TIRED = alerting_twin.MOST_TIRED, MOST_ALERTING = alerting_twin.MOST_SCORE
cdef long long REPEAT = alerting_twin.REPEAT


def tired(const long long[::1] times, const double[::1] scores, const long long[::1] offsets):
    cdef Py_ssize_t n = scores.shape[0], series = offsets.shape[0] - 1, i, j
    cdef double tiredness, pending, left, score
    cdef long long previous, last_page, last_above, since
    found_array = np.empty(n)
    cdef double[::1] found = found_array
    with nogil:
        for i in range(series):
            tiredness, pending, last_page, last_above = 0.0, 0.0, -(<long long>1 << 60), -(<long long>1 << 60)
            previous = times[offsets[i]] if offsets[i] < offsets[i + 1] else 0
            for j in range(offsets[i], offsets[i + 1]):
                since = times[j] - previous
                left = exp2(-(<double>since) / TIRED_HALF_LIFE)
                tiredness, pending, previous = tiredness * left, pending * left, times[j]
                score = 0.0
                if scores[j] == scores[j]:
                    score = (MOST_ALERTING if scores[j] > MOST_ALERTING else scores[j]) * exp(-tiredness)
                found[j] = score
                if score > 1:
                    if times[j] - last_above > 3600 or times[j] - last_page >= REPEAT:
                        last_page, pending = times[j], pending + PAGE
                    tiredness = tiredness + HOURLY * <double>(3600 if since > 3600 else since) / 3600
                    last_above = times[j]
                elif times[j] - last_above > 3600:
                    tiredness, pending = tiredness + pending, 0.0
                tiredness = MOST_TIRED if tiredness > MOST_TIRED else tiredness
    return found_array
