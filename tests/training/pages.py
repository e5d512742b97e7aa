"""What a page says, from its markup, which has to be well formed."""

from html.parser import HTMLParser

VOID = {"meta"}


class Page(HTMLParser):
    """A page or a part of one; a tag that is not closed in its place is an error."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = source
        self.text = ""
        self._found: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(source)
        self.close()
        assert not self._open

    def tags(self, name: str) -> list[dict[str, str | None]]:
        """The attributes of each element of a name."""
        return [attributes for tag, attributes in self._found if tag == name]

    @property
    def names(self) -> set[str]:
        """The names of all elements."""
        return {tag for tag, _ in self._found}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser."""
        assert len({name for name, _ in attrs}) == len(attrs)
        self._found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """See HTMLParser."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """See HTMLParser."""
        if self._open[-1:] != ["style"]:
            self.text += f"{data}\n"
