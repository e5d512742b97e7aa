"""Candidate: an adapter a job lets try, with options of its `fit`."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, PydanticSchemaGenerationError, TypeAdapter, ValidationError, model_validator

from myriad import adapters
from myriad.training.job.fields import Duration, Part, Text, explained, wrong

DEFAULT_ADAPTER = "blend"


class Candidate(Part):
    """An adapter that may fit a series, with keyword options of its `fit`; in a job file its name alone will do.

    Attributes:
        windows: at which it may; at all where None.
    """

    adapter: Text
    windows: tuple[Duration, ...] | None = None
    parameters: dict[Text, Any] = Field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.adapter, self.windows, *sorted(self.parameters)))

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return {"adapter": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.adapter not in adapters.names():
            raise wrong(f"there is no adapter {self.adapter!r}; there are {', '.join(adapters.names())}", "adapter")
        options = _options(self.adapter) if self.parameters else {}
        for name, value in self.parameters.items():
            if name not in options:
                there = f"there are {', '.join(options)}" if options else "it has none"
                raise wrong(f"is no option of {self.adapter}; {there}", "parameters", name)
            try:
                options[name].validate_python(value, strict=True)
            except ValidationError as exc:
                raise wrong(explained(exc.errors()[0])[1], "parameters", name) from exc
        return self


def only(*names: str) -> tuple[tuple[Candidate, ...], ...]:
    """At each window one candidate, so that nothing is compared."""
    return tuple((Candidate(adapter=name),) for name in names)


@functools.cache
def _options(adapter: str) -> Mapping[str, TypeAdapter[Any]]:
    """The keyword-only options of an adapter's `fit`, each with what its annotation takes."""
    given = inspect.signature(adapters.get(adapter).fit, eval_str=True).parameters.values()
    return {one.name: _type(one.annotation) for one in given if one.kind is inspect.Parameter.KEYWORD_ONLY}


def _type(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(Any if annotation is inspect.Parameter.empty else annotation)
    except PydanticSchemaGenerationError:  # a type of the library's own: its `fit` will say
        return TypeAdapter(Any)
