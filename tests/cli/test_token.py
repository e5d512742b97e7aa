"""`myriad token`: a token, and the line that lets it in."""

from pathlib import Path

from myriad.serving.auth import read_tokens
from tests.cli.conftest import ran, told


def test_the_line_is_one_of_a_tokens_file(tmp_path: Path) -> None:
    made = told("token", "pipeline", "--scope", "predict", "--scope", "read")
    (tmp_path / "tokens").write_text(made["line"] + "\n")
    (token,) = read_tokens(tmp_path / "tokens")
    assert (token.name, token.scopes) == ("pipeline", frozenset({"predict", "read"}))
    assert made["token"] not in made["line"]
    assert made["token"] != told("token", "pipeline", "--scope", "predict")["token"]


def test_a_scope_that_there_is_not_is_refused() -> None:
    assert ran("token", "x", "--scope", "everything").exit_code == 2
    assert ran("token", "x").exit_code == 2
