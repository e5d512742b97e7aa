"""Markup: what is not markup is escaped, wherever it stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myriad.training.report.markup import NOTHING, element, number, page, percent, table
from tests.training.pages import Page

# A parser makes one of all line ends, and drops the null character, as the standard says.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)


@given(TEXT)
def test_any_text_is_shown_as_it_is_and_is_never_an_element(text: str) -> None:
    for shown in (element("p", text), table([text], [[text]]), page(text, text)):
        found = Page(shown)
        assert text in found.text
        assert found.names <= {"html", "head", "meta", "title", "style", "body", "p", "div", "table", "thead", "tbody",
                               "tr", "th", "td"}  # fmt: skip


@given(TEXT)
def test_any_attribute_is_a_value_and_nothing_more(text: str) -> None:
    (attributes,) = Page(element("p", title=text, class_="x", aria_label=text)).tags("p")
    assert attributes == {"title": text, "class": "x", "aria-label": text}


def test_elements_in_elements_are_escaped_once() -> None:
    assert element("b", element("i", "a < b"), " & c") == "<b><i>a &lt; b</i> &amp; c</b>"


def test_numbers_stand_right_under_their_heading() -> None:
    assert [cell["class"] for cell in Page(table(["a", "b"], [["x", 1]])).tags("th")] == ["", "n"]
    assert Page(table(["a"], [])).tags("td") == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (12345, "12,345"),
        (0.12345, "0.123"),
        (999.6, "1,000"),
        (1e-5, "1e-05"),
        (2.0, "2"),
        (None, NOTHING),
        (float("nan"), NOTHING),
        (float("inf"), NOTHING),
    ],
)
def test_a_number_has_the_digits_that_mean_something(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1, "100 %"), (0.5, "50 %"), (0.12345, "12.3 %"), (1e-9, "0.01 %"), (0.9994, "99.94 %"),
     (1 - 1e-9, "99.99 %")],
)  # fmt: skip
def test_a_share_is_none_or_all_only_where_it_is(share: float, text: str) -> None:
    assert percent(share) == text
