"""Generator: the cases of a seed. Each has a generator of random numbers of its own, so that any can be had alone."""

import random
from dataclasses import replace
from urllib.parse import quote

import msgspec

from bench.fuzz import arrow, byte_level, trees, valid, wire
from bench.fuzz.case import Case, Fleet, Request

PATHS = [
    "/docs", "/docs/", "/docs/static/docs.js", "/docs/static/..%2fdocs.html", "/openapi.json", "/metrics",
    "/health/live",
    "/health/ready", "/releases/current", "/redoc", "/", "//", "/predict/", "/%70redict", "/models/a/b/c",
    "/models/%00/b/c",
    "/models/us-east-1/web-000/cpu_util", "/models/us-east-1/web-000/cpu_util/", "/models/a%2Fb/c/d",
    "/models/%ff%fe/b/c",
]  # fmt: skip

MOST_BODY_BYTES = 64 << 20
"""Twice what a service takes: more would only measure how fast this client sends."""
FOLLOWING = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def case(seed: int, number: int, fleet: Fleet) -> Case:
    """The case of that number."""
    rng = random.Random(f"{seed}/{number}")
    make, *_ = rng.choices([_valid, _mutated, _arrow, _elsewhere], [2, 11, 5, 1])
    return wire.case(rng, fleet) if rng.random() < 0.15 else _followed(rng, make(rng, fleet))


def canonical(fleet: Fleet) -> list[Case]:
    """Valid requests in every format, which are always answered the same."""
    return [
        valid.request(random.Random(form), fleet, form).case(f"canonical/{form}", valid=True) for form in valid.FORMS
    ]


def _valid(rng: random.Random, fleet: Fleet) -> Case:
    form = rng.choice(valid.FORMS)
    request = valid.request(rng, fleet, form)
    return request.case(f"{form}/valid", valid=True) if rng.random() < 0.5 else _finished(rng, request, [form])


def _mutated(rng: random.Random, fleet: Fleet) -> Case:
    form = rng.choice([form for form in valid.FORMS if form != "arrow"])
    content, recipe = valid.tree(rng, fleet, form), [form]
    lines = [trees.wrapped(line) for line in content] if form == "ndjson" else [trees.wrapped(content)]
    if rng.random() < 0.75:
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            at = rng.randrange(len(lines))
            lines[at], name = trees.mutate(rng, lines[at])
            recipe.append(name)
    written = sum(map(len, map(trees.encoded, lines)))
    if (
        form == "ndjson"
        and rng.random() < 0.1
        and isinstance(lines[0], trees.Pairs)
        and written < MOST_BODY_BYTES // 1000
    ):
        lines = trees.own_keys(rng, lines)  # which writes a line very many times
        recipe.append("own keys")
    body = b"\n".join(map(trees.encoded, lines))[:MOST_BODY_BYTES]
    if len(recipe) == 1 or rng.random() < 0.15:
        body, name = byte_level.mutate(rng, body)
        recipe.append(name)
    return _finished(rng, Request(body, {"content-type": valid.MEDIA.get(form, valid.JSON)}), recipe)


def _arrow(rng: random.Random, fleet: Fleet) -> Case:
    body, name = arrow.body(rng, fleet)
    request = Request(body, {"content-type": valid.ARROW})
    if rng.random() < 0.4:
        request = replace(request, headers={**request.headers, "accept": rng.choice([valid.JSON, valid.NDJSON])})
    return _finished(rng, request, ["arrow", name])


def _elsewhere(rng: random.Random, _: Fleet) -> Case:
    """Other paths than /predict."""
    path = rng.choice(PATHS)
    if rng.random() < 0.3:
        path = "/models/" + "/".join(quote(str(msgspec.json.decode(_text(rng)))) or "a" for _ in range(3))
    headers = {"host": rng.choice(["127.0.0.1", "elsewhere.example", "", "a" * 5000])}
    return Request(b"", headers, path, rng.choice(["GET", "GET", "HEAD", "POST", "OPTIONS"])).case("path")


def _followed(rng: random.Random, case: Case) -> Case:
    """Some requests with another on the same connection: it is answered too, unless the service says that it closes."""
    if case.request is None or case.request.method == "HEAD" or rng.random() < 0.8:
        return case
    return replace(case, sent=(*case.sent, FOLLOWING), answers=2, recipe=f"{case.recipe}/followed")


def _text(rng: random.Random) -> bytes:
    return trees.encoded(rng.choice([text for text in trees.WEIRD if isinstance(text, str)]))


def _finished(rng: random.Random, request: Request, recipe: list[str]) -> Case:
    """Some requests in a coding, or with other headers, besides."""
    if rng.random() < 0.15:
        request, name = byte_level.coded(rng, request)
        recipe.append(name)
    if rng.random() < 0.2:
        request = byte_level.labelled(rng, request)
        recipe.append("labels")
    return request.case("/".join(recipe))
