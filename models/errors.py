"""Everything Myriad raises on purpose.

    MyriadError
    ├── InvalidKey         a region, host, metric or window that cannot address a model
    ├── InvalidPoints      datapoints that cannot be scored
    │   └── MissingColumn  a table without a column that is needed
    ├── BadRequest         a body that is not a request
    │   └── Malformed      a body that is not of the type or coding it says it is
    ├── TooLarge           telemetry beyond a bound
    ├── HistoryUnusable    a history no model can be fitted to
    │   └── Gated          a release that a gate of its job keeps from becoming current
    ├── NotReducible       a library's fitted model that cannot be a row of arrays
    ├── UnknownAdapter     a name that no adapter has
    ├── InvalidJob         a job file that does not say what to train
    ├── ClusterFailed      a Ray cluster that cannot be used, or whose workers keep dying
    ├── ArtifactCorrupt    an artifact whose bytes are not what its name or manifest says
    ├── FleetShrinks       a release that has lost most of the current one's series
    ├── Untrusted          a release that no trusted key has signed
    ├── InvalidSigningKey  a file that has no key to sign or to trust with
    ├── InvalidTokens      a file of tokens that is not one
    ├── LoadFailed         a shard that could not be loaded; the cause says why
    ├── NoRelease          a store in which nothing has been published
    └── StoreError         an object store that did not do what was asked
        ├── NotFound       no object of that name
        ├── Conflict       another writer was first
        └── Unavailable    out of reach, refused or failing; worth another try

Messages are whole sentences for the person who has to act: what was wrong, where, what to do.
"""

from collections.abc import Sequence


class MyriadError(Exception):
    """The root of every error raised on purpose."""

    def __reduce__(self) -> tuple[object, ...]:
        """So that an error raised in another process arrives, whatever its constructor takes."""
        return _rebuilt, (type(self), self.args, self.__dict__)


class InvalidKey(MyriadError, ValueError):
    """A part of a key is empty, too long or has characters a key cannot have."""

    def __init__(self, part: str, value: object, why: str) -> None:
        super().__init__(f"{part} {_shown(value)} {why}")
        self.part, self.why = part, why


class InvalidPoints(MyriadError, ValueError):
    """Datapoints that cannot be scored; `at` is the position of the first one at fault, if one is."""

    def __init__(self, why: str, at: int | None = None) -> None:
        super().__init__(why)
        self.at = at


class MissingColumn(InvalidPoints):
    """A table or a file lacks a column."""


class BadRequest(MyriadError):
    """A body that is not a request: what is wrong, and the field at fault as a path like `$.datapoints[3].value`."""

    def __init__(self, why: str, field: str = "$") -> None:
        super().__init__(why)
        self.field = field


class Malformed(BadRequest):
    """A body that is not of the type or coding it says it is."""


class TooLarge(MyriadError):
    """Telemetry beyond one of the bounds."""


class HistoryUnusable(MyriadError, ValueError):
    """A history no model can be fitted to."""


class Gated(HistoryUnusable):
    """A release that gates of its job keep from becoming current."""


class NotReducible(MyriadError):
    """A library's fitted model that cannot be a row of arrays."""


class UnknownAdapter(MyriadError, ValueError):
    """No adapter has that name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"there is no adapter {name!r}; there are {', '.join(known)}")


class InvalidJob(MyriadError, ValueError):
    """A job file that does not say what to train; each line of the message names a file, a line and a field."""


class ClusterFailed(MyriadError):
    """A Ray cluster that cannot be used, or whose workers died of the same task again and again."""


class ArtifactCorrupt(MyriadError):
    """The bytes of an artifact are not what its name or its manifest says."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"artifact {name} is corrupt: {why}")
        self.name = name


class FleetShrinks(MyriadError):
    """A release that has lost most of the series of the one it is published over."""

    def __init__(self, series: int, before: int) -> None:
        super().__init__(
            f"the release has {series} series, less than half of the {before} of the current one, which stays; "
            "`--force` publishes it, `--update` keeps the others"
        )


class Untrusted(MyriadError):
    """A release that no trusted key has signed as it is."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"release {name} is not trusted: {why}")


class InvalidSigningKey(MyriadError, ValueError):
    """A file that has no key to sign or to trust with."""

    def __init__(self, path: object, why: str) -> None:
        super().__init__(f"{path} {why}")


class InvalidTokens(MyriadError, ValueError):
    """A file of tokens that is not one."""


class LoadFailed(MyriadError):
    """A shard could not be loaded; the cause says why."""

    def __init__(self, artifact: str, why: str) -> None:
        super().__init__(f"artifact {artifact} could not be loaded: {why}")


class NoRelease(MyriadError):
    """Nothing has been published under this prefix."""

    def __init__(self, url: str) -> None:
        super().__init__(f"no release has been published to {url}; `myriad train` does")


class StoreError(MyriadError):
    """An object store did not do what was asked of it."""

    def __init__(self, url: str, name: str, why: str) -> None:
        super().__init__(f"{url}/{name}: {why}")
        self.name = name


class NotFound(StoreError):
    """There is no object of that name."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(url, name, "no such object")


class Conflict(StoreError):
    """Another writer changed the object first; read it again and decide anew."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(url, name, "another writer changed it first")


class Unavailable(StoreError):
    """The store is out of reach, refuses or fails; the same call may work later."""


def _shown(value: object, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _rebuilt(kind: type[MyriadError], args: tuple[object, ...], state: dict[str, object]) -> MyriadError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error
