"""Fields: the kinds of values a job file is made of, and what is said of one that is not."""

import glob
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationInfo, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from myriad.models.windows import Window

_MESSAGES = {
    "missing": "is missing",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "float_type": "must be a number",
    "finite_number": "must be finite",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "int_from_float": "must be a whole number",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be below {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "value_error": "{error}",
}
"""What is said for each type of error of pydantic; for others its own words."""


class Part(BaseModel):
    """A mapping of a job file: it has no keys but its fields, and never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        """Say of an unknown key which there are; pydantic's own refusal does not."""
        names = [field.alias or name for name, field in cls.model_fields.items()]
        for key in given if isinstance(given, dict) else ():
            if key not in names:
                raise wrong(f"is unknown; there are {', '.join(names)}", key)
        return given


def wrong(why: str, *place: str | int) -> PydanticCustomError:
    """What a validator raises for something at a place below what it was given."""
    return PydanticCustomError("wrong", "{why}", {"why": why, "place": place})


def explained(error: ErrorDetails) -> tuple[tuple[str | int, ...], str]:
    """Where the value that an error of pydantic is about stands, and what to say of it."""
    context = error.get("ctx", {})
    place = tuple(part for part in (*error["loc"], *context.get("place", ())) if part != "[key]")
    message = "must be positive" if context.get("gt") == 0 else _MESSAGES.get(error["type"], error["msg"])
    return place, message.format_map(context) if error["type"] in _MESSAGES else message


def _window(given: Any) -> Window:
    if not isinstance(given, str):
        raise wrong("must be text such as 15m")
    return Window.parse(given)


def directory(info: ValidationInfo) -> Path:
    """The directory of the job file, that paths are relative to."""
    context: Mapping[str, Any] = info.context or {}
    return Path(context.get("directory", "")).absolute()


def allowed_env(info: ValidationInfo) -> Sequence[str]:
    """The environment variables a job file may name beside those of Myriad's own."""
    context: Mapping[str, Any] = info.context or {}
    names: Sequence[str] = context.get("allow_env", ())
    return names


def _some(given: Sized) -> Sized:
    """Unlike pydantic's own bound this says nothing more of a list whose items are wrong."""
    if not given:
        raise wrong("must not be empty")
    return given


def _glob(given: str, info: ValidationInfo) -> str:
    return str(Path(glob.escape(str(directory(info)))) / given)


def _url(given: str, info: ValidationInfo) -> str:
    scheme, separator, rest = given.partition("://")
    if not separator:
        return f"file://{directory(info) / given}"
    if not ((scheme == "file" and rest.startswith("/")) or (scheme == "s3" and rest.partition("/")[0])):
        raise wrong("must be a path, file:///directory or s3://bucket/prefix")
    return given


NotEmpty = AfterValidator(_some)
Text = Annotated[str, Field(strict=True, min_length=1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
Duration = Annotated[Window, PlainValidator(_window)]
"""Seconds, written as `15m`."""
Glob = Annotated[Text, AfterValidator(_glob)]
"""Of absolute paths; written relative to the job file."""
Url = Annotated[Text, AfterValidator(_url)]
"""`file:///directory` or `s3://bucket/prefix`; a path relative to the job file may be written instead."""
