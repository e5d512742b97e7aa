import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from myriad.models.errors import InvalidKey
from myriad.models.key import MAX_PART_LENGTH, ModelKey, Series, mix, part_hash, shard_of, telemetry_label
from myriad.models.windows import Window

PARTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029") | st.sampled_from("/\\.%*"),
    min_size=1,
    max_size=MAX_PART_LENGTH,
)
NAMES = st.tuples(PARTS.filter(lambda region: region != "*"), PARTS, PARTS)
HASHES = st.integers(0, 2**64 - 1)

BAD_PARTS = {
    "nothing": ("", "is empty"),
    "a newline": ("a\nb", r"has the character '\\n', which a key cannot have"),
    "a NUL": ("a\0", r"has the character '\\x00'"),
    "DEL": ("\x7f", r"has the character '\\x7f'"),
    "a C1 control": ("a\x85b", r"has the character '\\x85'"),
    "a line separator": ("a\u2028b", r"has the character '\\u2028'"),
    "half a surrogate pair": ("a\ud800", r"has the character '\\ud800'"),
    "too much": ("x" * 201, "has 201 characters; at most 200 are allowed"),
}


@pytest.mark.parametrize("at", range(3), ids=Series._fields)
@pytest.mark.parametrize(("value", "why"), BAD_PARTS.values(), ids=list(BAD_PARTS))
def test_a_part_that_cannot_be_in_a_key_is_named_with_the_reason(at: int, value: str, why: str) -> None:
    names = ["us-east-1", "web-042", "cpu_util"]
    names[at] = value
    with pytest.raises(InvalidKey, match=f"^{Series._fields[at]} .*{why}") as caught:
        Series.of(*names)
    assert caught.value.part == Series._fields[at]


def test_a_part_that_is_not_text_is_refused() -> None:
    with pytest.raises(InvalidKey, match="host None is not a string"):
        Series.of("us-east-1", None, "cpu_util")  # type: ignore[arg-type]


def test_a_host_of_any_region_cannot_be_named() -> None:
    with pytest.raises(InvalidKey, match=r"host 'web-042' cannot be named where the region is '\*'"):
        Series.of("*", "web-042", "cpu_util")


def test_a_long_value_is_shown_shortened() -> None:
    with pytest.raises(InvalidKey) as caught:
        Series.of("x" * 5000, "host", "metric")
    assert len(str(caught.value)) < 200


def test_a_part_may_be_as_long_as_the_limit() -> None:
    assert Series.of("x" * MAX_PART_LENGTH, "host", "metric").region == "x" * MAX_PART_LENGTH


def test_a_model_key_reads_as_its_parts_between_slashes() -> None:
    key = ModelKey.parse("us-east-1/web-042/cpu_util/15m")
    assert key == ("us-east-1", "web-042", "cpu_util", 900)
    assert str(key) == "us-east-1/web-042/cpu_util/15m"
    assert key.series == Series("us-east-1", "web-042", "cpu_util")


def test_what_is_not_plain_is_percent_encoded() -> None:
    assert str(Series.of("région", "disk C:", "50%")) == "r%C3%A9gion/disk%20C%3A/50%25"


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("/dev/sda1", "%2Fdev%2Fsda1"),
        ("C:\\", "C%3A%5C"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "..."),
        ("a..b", "a..b"),
        ("../..", "..%2F.."),
        (".env", ".env"),
    ],
)
def test_slashes_and_dots_are_characters_like_any_but_never_a_path_in_the_text_of_a_key(part: str, text: str) -> None:
    for at in range(3):
        names = ["us-east-1", "web-042", "cpu_util"]
        names[at] = part
        series = Series.of(*names)
        assert str(series).split("/")[at] == text
        assert Series.parse(str(series)) == series
        assert not {".", ".."} & set(str(ModelKey(*series, Window(60))).split("/"))


def test_a_label_of_telemetry_is_any_that_a_series_may_have_but_the_star() -> None:
    for label in ("a", "..", "a*", "**", "/", "x" * MAX_PART_LENGTH):
        assert telemetry_label("host", label) == label
    assert Series.of("*", "*", "cpu").host == "*"
    for name in Series._fields:
        with pytest.raises(InvalidKey, match=rf"^{name} '\*' is reserved: it stands for every {name}$"):
            telemetry_label(name, "*")


@pytest.mark.parametrize(("value", "why"), BAD_PARTS.values(), ids=list(BAD_PARTS))
def test_a_label_that_no_series_can_have_is_none_of_telemetry(value: str, why: str) -> None:
    with pytest.raises(InvalidKey, match=f"^metric .*{why}"):
        telemetry_label("metric", value)


@pytest.mark.parametrize(("text", "host"), [("a/b%2Fc/d/1m", "b/c"), ("a/%2e%2e/d/1m", ".."), ("a/../d/1m", "..")])
def test_a_key_may_be_written_with_more_or_less_encoded_than_it_would_be(text: str, host: str) -> None:
    assert ModelKey.parse(text) == ("a", host, "d", 60)


@given(NAMES)
def test_every_series_is_read_back_from_its_text(names: tuple[str, str, str]) -> None:
    series = Series.of(*names)
    text = str(series)
    assert Series.parse(text) == series
    assert text.isascii()
    assert text.count("/") == 2
    assert not {"", ".", ".."} & set(text.split("/"))


@given(NAMES, st.sampled_from([60, 900, 3600]))
def test_every_model_key_is_read_back_from_its_text(names: tuple[str, str, str], window: int) -> None:
    key = ModelKey(*names, Window(window))
    assert ModelKey.parse(str(key)) == key


@pytest.mark.parametrize("text", ["", "a/b", "a/b/c/d", "a/b/c/"])
def test_a_series_has_three_parts(text: str) -> None:
    with pytest.raises(InvalidKey, match=r"model_id .* is not of the form region/host/metric"):
        Series.parse(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a/b/c", "is not of the form region/host/metric/window"),
        ("a//c/1m", "host '' is empty"),
        ("a/b%0Ac/d/1m", r"host 'b\\nc' has the character '\\n'"),
        ("a/%ff/c/1m", "is not percent-encoded UTF-8"),
        ("a/b/c/1w", "window '1w' is not a number of s, m, h or d"),
    ],
)
def test_text_that_is_no_model_key_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidKey, match=why):
        ModelKey.parse(text)


@given(st.text())
def test_any_text_is_a_series_or_an_invalid_key(text: str) -> None:
    try:
        series = Series.parse(text)
    except InvalidKey:
        return
    assert Series.of(*series) == series


@pytest.mark.parametrize(
    ("names", "own", "of_host", "shard"),
    [
        (("us-east-1", "web-042", "cpu_util"), 0x3631_DC7A_FF86_6E82, 0x3631_DC7A_36C4_4941, 211),
        (("us-east-1", "*", "cpu_util"), 0x36A2_8B41_B496_C3FD, 0x36A2_8B41_8BFE_4CD6, 213),
        (("*", "*", "cpu_util"), 0xF3E4_B4F7_314E_536E, 0xF3E4_B4F7_24B6_6927, 952),
        (("région", "hôte 1", "µ%"), 0xB3D6_810C_2E25_9685, 0xB3D6_810C_7E7E_F2F2, 702),
    ],
)
def test_hashes_never_change_because_published_artifacts_are_found_by_them(
    names: tuple[str, str, str], own: int, of_host: int, shard: int
) -> None:
    series = Series.of(*names)
    assert (series.hash, series.host_hash, shard_of(series.host_hash, 1000)) == (own, of_host, shard)


def test_the_hash_of_a_part_and_the_mix_of_two_never_change() -> None:
    assert part_hash("web-042") == 0x2C7F_E89B_DE9E_7BF9
    assert mix(1, 2) == 0x9758_35DE_1C97_56CE


@given(NAMES, PARTS)
def test_all_metrics_of_a_host_are_in_one_shard(names: tuple[str, str, str], metric: str) -> None:
    one, other = Series.of(*names), Series.of(names[0], names[1], metric)
    assert one.host_hash == other.host_hash
    assert one.hash >> 32 == other.hash >> 32 == one.host_hash >> 32


@given(st.lists(st.tuples(HASHES, HASHES), min_size=1), st.integers(1, 5000))
def test_arrays_hash_as_ints_do(pairs: list[tuple[int, int]], shards: int) -> None:
    first, second = np.array(pairs, np.uint64).T
    assert mix(first, second).tolist() == [mix(a, b) for a, b in pairs]
    assert shard_of(first, shards).tolist() == [shard_of(a, shards) for a, _ in pairs]


@given(HASHES, st.integers(1, 1 << 20))
def test_a_shard_is_one_of_those_there_are(host_hash: int, shards: int) -> None:
    assert 0 <= shard_of(host_hash, shards) < shards


@pytest.mark.parametrize("shards", [2, 7, 64, 100])
def test_hosts_numbered_in_sequence_spread_evenly_over_the_shards(shards: int) -> None:
    hosts = 200 * shards
    shard = [shard_of(Series("us-east-1", f"web-{i:06d}", "m").host_hash, shards) for i in range(hosts)]
    counts = np.bincount(shard, minlength=shards)
    chi_square = ((counts - 200) ** 2 / 200).sum()
    assert chi_square < shards + 5 * np.sqrt(2 * shards)


def test_series_that_differ_in_which_part_is_which_hash_differently() -> None:
    assert Series("a", "b", "c").host_hash != Series("b", "a", "c").host_hash
    assert Series("a", "b", "c").hash != Series("a", "c", "b").hash
