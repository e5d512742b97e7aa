"""Authorisation: bearer tokens, and what each may do.

A token of our own is kept as its SHA-256 hash: tokens are 256 random bits, so no slower hash is needed. A JSON Web
Token is checked against the keys of a JWKS URL, with algorithms that are named in the settings and not by the token.
"""

import asyncio
import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from cachetools import LRUCache
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from myriad.models.errors import InvalidTokens
from myriad.serving.problems import Problem

PREDICT, READ, ADMIN = "predict", "read", "admin"
SCOPES = (PREDICT, READ, ADMIN)
"""Score datapoints; ask for models, releases, metrics and the docs; everything."""
MAX_TOKEN = 8192
MAX_KEYS_BYTES = 1 << 20
KEYS_SECONDS = 600.0
"""How long keys are kept; a token with an unknown `kid` asks for them sooner, but not more often than"""
KEYS_RETRY_SECONDS = 30.0
LEEWAY_SECONDS = 30
REMEMBERED = 10_000
"""Verified JSON Web Tokens kept until they expire."""

_LINE = re.compile(r"([\w.@-]{1,100}) ([a-z,]+) ([0-9a-f]{64})")

log = logging.getLogger("myriad")


class Token(NamedTuple):
    """A token as it is kept: whose it is, what it may do, and its SHA-256."""

    name: str
    scopes: frozenset[str]
    digest: bytes


@dataclass(frozen=True, slots=True)
class JwtRules:
    """What a JSON Web Token has to be.

    Attributes:
        jwks_url: where the keys are.
        algorithms: of signatures.
        issuer: `iss`, unless empty.
        audience: `aud`, unless empty.
    """

    jwks_url: str
    algorithms: tuple[str, ...]
    issuer: str = ""
    audience: str = ""


def new_token(name: str, scopes: Iterable[str]) -> tuple[str, str]:
    """A new token, and the line of a tokens file that lets it in."""
    token = f"myr_{secrets.token_urlsafe(32)}"
    return token, f"{name} {','.join(scopes)} {_digest(token).hex()}"


def read_tokens(path: Path) -> list[Token]:
    """The tokens of a file with a line `name scope,scope sha256` each; empty lines and those after # are left out.

    Raises:
        InvalidTokens: it cannot be read, a line is of another form, or a scope is none.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidTokens(f"{path}: cannot be read: {exc}") from exc
    tokens = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        scopes = frozenset(found[2].split(",")) if found else frozenset()
        if not found or not scopes <= {*SCOPES}:
            raise InvalidTokens(f"{path}:{number}: is not `name scope,scope sha256` with scopes of {', '.join(SCOPES)}")
        tokens.append(Token(found[1], scopes, bytes.fromhex(found[3])))
    return tokens


class Authorizer:
    """Says what the bearer of a token may do."""

    def __init__(self, tokens: Sequence[Token], rules: JwtRules | None = None) -> None:
        self._tokens, self._keys = tuple(tokens), _Keys(rules) if rules else None

    async def check(self, headers: Iterable[tuple[bytes, bytes]], needed: str) -> None:
        """Let a request through.

        Args:
            headers: of the request.
            needed: one of `SCOPES`; a bearer with `admin` may do everything.

        Raises:
            Problem: 401 without a token that is known, 403 with one that may not do this.
        """
        token = _bearer(headers)
        if not token:
            raise _unauthorized("a bearer token is needed in the Authorization header")
        scopes = self._own_scopes(token)
        if scopes is None and self._keys is not None and token.count(".") == 2:
            scopes = await self._keys.scopes(token)
        if scopes is None:
            raise _unauthorized("the token is not known here, or has expired")
        if needed not in scopes and ADMIN not in scopes:
            raise Problem(403, "forbidden", f"the token may not do this; it needs the scope {needed}")

    def knows(self, headers: Iterable[tuple[bytes, bytes]], needed: str) -> bool:
        """Whether a request has a token that is known to allow this; if not, `check` says why or asks for keys."""
        if not (token := _bearer(headers)):
            return False
        scopes = self._own_scopes(token)
        if scopes is None and self._keys is not None:
            scopes = self._keys.known(token)
        return scopes is not None and (needed in scopes or ADMIN in scopes)

    def _own_scopes(self, token: str) -> frozenset[str] | None:
        """Looks at every token, so that the time it takes says nothing of how much of one was right."""
        digest, found = _digest(token), None
        for known in self._tokens:
            if hmac.compare_digest(known.digest, digest):
                found = known.scopes
        return found


class _Keys:
    """Keys of a JWKS URL, and the tokens they have verified."""

    def __init__(self, rules: JwtRules) -> None:
        self._rules = rules
        self._keys: KeySet | None = None
        self._fetched, self._lock = float("-inf"), asyncio.Lock()
        self._verified: LRUCache[bytes, tuple[float, frozenset[str]]] = LRUCache(REMEMBERED)
        wanted: dict[str, Any] = {"exp": {"essential": True}}
        if rules.issuer:
            wanted["iss"] = {"essential": True, "value": rules.issuer}
        if rules.audience:
            wanted["aud"] = {"essential": True, "value": rules.audience}
        self._claims = jwt.JWTClaimsRegistry(leeway=LEEWAY_SECONDS, **wanted)

    def known(self, token: str) -> frozenset[str] | None:
        """What a token allows that has been verified and has not expired; None for any other."""
        known = self._verified.get(_digest(token))
        return known[1] if known and known[0] > time.time() else None

    async def scopes(self, token: str) -> frozenset[str] | None:
        """What a token allows, None where it does not hold."""
        if (known := self.known(token)) is not None:
            return known
        digest = _digest(token)
        try:
            await self._fetch(KEYS_SECONDS)
            try:
                claims = self._decode(token)
            except (
                JoseError,
                ValueError,
                OverflowError,
                RecursionError,
            ):  # of a key that is newer than those that are kept
                if not await self._fetch(KEYS_RETRY_SECONDS):
                    raise
                claims = self._decode(token)
            expires = float(claims["exp"])
        except (JoseError, ValueError, TypeError, OverflowError, RecursionError):
            return None
        given = claims.get("scope", claims.get("scp", ""))
        names = given.split() if isinstance(given, str) else given if isinstance(given, list) else ()
        scopes = frozenset(name for name in names if name in SCOPES)
        self._verified[digest] = expires, scopes
        return scopes

    def _decode(self, token: str) -> dict[str, Any]:
        if self._keys is None:
            raise ValueError("there are no keys")
        claims = jwt.decode(token, self._keys, algorithms=list(self._rules.algorithms)).claims
        self._claims.validate(claims)
        return claims

    async def _fetch(self, older_than: float) -> bool:
        """Fetch the keys where those that are kept are older; one request at a time does. Whether it did."""
        async with self._lock:
            if time.monotonic() - self._fetched < older_than:
                return False
            self._fetched = time.monotonic()
            try:
                async with httpx.AsyncClient(timeout=5.0) as client:
                    answer = await client.get(self._rules.jwks_url)
                    answer.raise_for_status()
                if len(answer.content) > MAX_KEYS_BYTES:
                    raise ValueError("its answer is too large")
                self._keys = KeySet.import_key_set(answer.json())
            except (httpx.HTTPError, JoseError, ValueError, TypeError, KeyError) as exc:
                log.warning("the keys of JSON Web Tokens cannot be had", extra={"error": str(exc)[:500]})
                return False
            return True


def _bearer(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The bearer token of a request, empty where there is none."""
    values = [value for name, value in headers if name == b"authorization"]
    scheme, _, token = values[0].decode("latin-1").partition(" ") if len(values) == 1 else ("", "", "")
    token = token.strip()
    return token if scheme.lower() == "bearer" and len(token) <= MAX_TOKEN else ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _unauthorized(why: str) -> Problem:
    return Problem(401, "unauthorized", why)
