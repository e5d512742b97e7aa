"""Who may do what: tokens of our own and JSON Web Tokens, through a real service."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey

from myriad.models.errors import InvalidTokens
from myriad.models.key import Series
from myriad.serving.auth import ADMIN, PREDICT, READ, new_token, read_tokens
from tests.conftest import Published, Server, services
from tests.serving.bodies import frame, single

CPU = Series("us-east-1", "web-000", "cpu_util")
ISSUER, AUDIENCE = "https://issuer.example", "myriad"
PATHS = {
    ("POST", "/predict"): PREDICT,
    ("GET", f"/models/{CPU}"): READ,
    ("GET", "/releases/current"): READ,
    ("GET", "/metrics"): READ,
    ("GET", "/docs"): READ,
    ("GET", "/openapi.json"): READ,
    ("GET", "/nothing"): READ,
    ("GET", "/health/live"): None,
    ("GET", "/health/ready"): None,
}


class Keys:
    """A server of the public keys that tokens are signed with."""

    def __init__(self) -> None:
        self.keys: list[Any] = [ECKey.generate_key("P-256", {"kid": "1"})]
        self.fetched = 0
        keys = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                keys.fetched += 1
                body = json.dumps(KeySet(keys.keys).as_dict(private=False)).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/keys"

    def token(self, *, key: Any = None, alg: str = "ES256", **changed: Any) -> str:
        """A token that holds, but for what is changed."""
        key = key or self.keys[-1]
        claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 300, "scope": "predict other", **changed}
        header = {"alg": alg, **({"kid": key.kid} if key.kid else {})}
        return jwt.encode(header, {name: value for name, value in claims.items() if value is not None}, key, [alg])


@pytest.fixture(scope="module")
def keys() -> Iterator[Keys]:
    keys = Keys()
    yield keys
    keys.server.shutdown()
    keys.server.server_close()


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A file of tokens, and the tokens by what they may do."""
    made = {scope: new_token(f"a-{scope}", [scope]) for scope in (PREDICT, READ, ADMIN)}
    path = tmp_path_factory.mktemp("tokens") / "tokens"
    path.write_text("# who may do what\n\n" + "\n".join(line for _, line in made.values()) + "\n")
    return path, {scope: token for scope, (token, _) in made.items()}


@pytest.fixture(scope="module")
def closed(
    published: Published, tmp_path_factory: pytest.TempPathFactory, keys: Keys, tokens: tuple[Path, dict[str, str]]
) -> Iterator[Server]:
    """A service that asks who is there."""
    with services(tmp_path_factory.mktemp("closed")) as start:
        yield start(
            published.url, MYRIAD_TOKENS_FILE=str(tokens[0]), MYRIAD_JWKS_URL=keys.url, MYRIAD_JWT_ISSUER=ISSUER,
            MYRIAD_JWT_AUDIENCE=AUDIENCE, MYRIAD_JWT_ALGORITHMS="ES256", NO_PROXY="127.0.0.1",
        )  # fmt: skip


@pytest.fixture(scope="module")
def body(published: Published) -> dict[str, Any]:
    return single(frame(published.fleet, CPU))


def ask(server: Server, method: str, path: str, body: Any, authorization: str | None) -> httpx.Response:
    """The answer to a request."""
    headers = {} if authorization is None else {"authorization": authorization}
    return server.client.request(method, path, json=body if method == "POST" else None, headers=headers)


@pytest.mark.parametrize(("method", "path"), PATHS, ids=[path for _, path in PATHS])
def test_each_path_needs_its_scope(
    closed: Server, tokens: tuple[Path, dict[str, str]], body: dict[str, Any], method: str, path: str
) -> None:
    needed = PATHS[method, path]
    for scope, token in tokens[1].items():
        status = ask(closed, method, path, body, f"Bearer {token}").status_code
        assert (status == 403) == (needed not in (None, scope) and scope != ADMIN)
        assert status != 401
    refused = ask(closed, method, path, body, None)
    assert (refused.status_code == 401) == (needed is not None)
    if needed:
        assert refused.headers["www-authenticate"] == "Bearer"
        assert refused.json()["type"] == "urn:myriad:problem:unauthorized"


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Basic abc", "Bearer " + "x" * 20_000, "Bearer é", "Bearer a.b.c", "bearer"],
)
def test_what_is_no_token_is_told_so(closed: Server, body: dict[str, Any], authorization: str) -> None:
    response = closed.client.post("/predict", json=body, headers=[(b"authorization", authorization.encode())])
    assert response.status_code == 401
    assert len(response.content) < 500


def test_a_token_with_another_letter_is_not_known(
    closed: Server, tokens: tuple[Path, dict[str, str]], body: dict[str, Any]
) -> None:
    token = tokens[1][PREDICT]
    for wrong in (token[:-1], token + "x", token.swapcase(), token[:-1] + ("A" if token[-1] != "A" else "B")):
        assert ask(closed, "POST", "/predict", body, f"Bearer {wrong}").status_code == 401
    assert ask(closed, "POST", "/predict", body, f"bearer {token}").status_code == 200


def test_health_says_no_more_than_needed_to_those_who_may_not_read(
    closed: Server, tokens: tuple[Path, dict[str, str]]
) -> None:
    everybody = ask(closed, "GET", "/health/ready", None, None).json()
    assert {name for name, value in everybody.items() if value} == {"status"}
    reader = ask(closed, "GET", "/health/ready", None, f"Bearer {tokens[1][READ]}").json()
    assert reader["release"]


def test_a_json_web_token_is_let_in_and_may_do_what_it_says(closed: Server, keys: Keys, body: dict[str, Any]) -> None:
    token = keys.token()
    for _ in range(3):
        assert ask(closed, "POST", "/predict", body, f"Bearer {token}").status_code == 200
    assert ask(closed, "GET", "/releases/current", None, f"Bearer {token}").status_code == 403
    listed = keys.token(scope=None, scp=["read"])
    assert ask(closed, "GET", "/releases/current", None, f"Bearer {listed}").status_code == 200


def test_a_json_web_token_that_does_not_hold_is_not(closed: Server, keys: Keys, body: dict[str, Any]) -> None:
    others = OctKey.import_key("x" * 32)
    foreign = ECKey.generate_key("P-256", {"kid": "1"})
    wrong = {
        "expired": keys.token(exp=int(time.time()) - 600),
        "without an end": keys.token(exp=None),
        "ending in no time": keys.token(exp=10**400),
        "of another issuer": keys.token(iss="https://evil.example"),
        "for another service": keys.token(aud="other"),
        "of an algorithm that is not named": keys.token(key=others, alg="HS256"),
        "of another key": keys.token(key=foreign),
        "changed": keys.token()[:-6] + "AAAAAA",
        "unsigned": "eyJhbGciOiJub25lIn0." + keys.token().split(".")[1] + ".",
        "not yet": keys.token(nbf=int(time.time()) + 3600),
    }
    for what, token in wrong.items():
        assert ask(closed, "POST", "/predict", body, f"Bearer {token}").status_code == 401, what


def test_without_a_setting_everybody_may_do_everything_and_the_log_says_so(service: Server) -> None:
    assert service.client.get("/releases/current").status_code == 200
    assert "everybody may do everything" in service.log.read_text()


def test_metrics_and_docs_are_open_where_that_is_set(
    published: Published, serve: Callable[..., Server], tokens: tuple[Path, dict[str, str]]
) -> None:
    server = serve(
        published.url, MYRIAD_TOKENS_FILE=str(tokens[0]), MYRIAD_OPEN_METRICS="true", MYRIAD_OPEN_DOCS="true"
    )
    for path, status in {"/metrics": 200, "/docs": 200, "/openapi.json": 200, "/releases/current": 401}.items():
        assert server.client.get(path).status_code == status, path


def test_a_file_of_tokens_keeps_no_token(tokens: tuple[Path, dict[str, str]]) -> None:
    text = tokens[0].read_text()
    assert not any(token in text for token in tokens[1].values())
    assert [(token.name, token.scopes) for token in read_tokens(tokens[0])] == [
        (f"a-{scope}", frozenset({scope})) for scope in (PREDICT, READ, ADMIN)
    ]


@pytest.mark.parametrize("line", ["x predict", "x everything " + "0" * 64, "x predict " + "0" * 63, "a b c d"])
def test_a_line_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# fine\n{line}\n")
    with pytest.raises(InvalidTokens, match=r"tokens:2: is not `name scope,scope sha256`"):
        read_tokens(path)
    with pytest.raises(InvalidTokens, match="cannot be read"):
        read_tokens(tmp_path / "nowhere")
