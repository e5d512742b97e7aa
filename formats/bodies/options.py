"""Options: what a request says besides its datapoints."""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw, Struct

from myriad.formats.bodies.reading import decode_json
from myriad.formats.bodies.schemas import Digits
from myriad.models.ensemble import COMBINES, MAX_WINDOWS, Combine
from myriad.models.errors import BadRequest
from myriad.models.key import MAX_ECHO
from myriad.models.windows import Window


class Options(Struct, forbid_unknown_fields=True):
    """Of a request, as it is written; `schemas.PredictRequest` says what each is."""

    windows: list[str] | None = None
    combine: Combine = "weighted"
    bands: bool = False
    hosts: bool = False
    alerts: bool = False
    digits: Digits = 0


def parse_options(given: Mapping[str, str | Raw]) -> Options:
    """Options from a URL's query, as text, or from a JSON object."""
    options = Options()
    for name, value in given.items():
        if isinstance(value, Raw):
            kinds = {"windows": list[str] | None, "combine": Combine, "digits": Digits}
            kind = kinds.get(name, bool)
            setattr(options, name, decode_json(msgspec.json.Decoder(kind), value, f"$.{name}"))
        elif name == "windows":
            options.windows = value.split(",")
        elif name == "combine":
            if value not in COMBINES:
                raise BadRequest(f"combine is one of {', '.join(COMBINES)}", "$.combine")
            options.combine = value
        elif name == "digits":
            options.digits = decode_json(msgspec.json.Decoder(Digits), value.encode(), "$.digits")
        elif name in ("bands", "hosts", "alerts"):
            setattr(options, name, value in ("1", "true"))
        else:
            raise BadRequest(f"there is no option {name[:MAX_ECHO]!r}", f"$.{name[:MAX_ECHO]}")
    return options


def parse_windows(texts: Sequence[str] | None) -> tuple[Window, ...] | None:
    """The windows that a request names, None where it names none.

    Raises:
        BadRequest: it names no window at all, or more than a release can have.
        InvalidKey: one is not a window.
    """
    if texts is None:
        return None
    if not texts:
        raise BadRequest("no window is asked for", "$.windows")
    if len(texts) > MAX_WINDOWS:
        raise BadRequest(f"{len(texts)} windows are asked for; a release has at most {MAX_WINDOWS}", "$.windows")
    return tuple(map(Window.parse, texts))


def check_hosts(*, hosts: bool, windows: tuple[Window, ...] | None, combine: Combine, single: bool = False) -> None:
    """Raise `BadRequest` where hosts' scores are asked for that there are not."""
    if hosts and (single or windows is not None or combine != "weighted"):
        raise BadRequest("a host's score is of several series, all windows and their weighted combination", "$.hosts")
