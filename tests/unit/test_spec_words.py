"""Command lines become words as in a shell, and templates stay whole."""

from __future__ import annotations

import pytest

from benchctl.spec.words import is_template, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("redis-server --port 7000", ["redis-server", "--port", "7000"]),
        ("a 'b c' \"d e\" f\\ g", ["a", "b c", "d e", "f g"]),
        ("--to={{ groups.db[0].name }}:{{ 1 + 1 }} x", ["--to={{ groups.db[0].name }}:{{ 1 + 1 }}", "x"]),
        ("{{ levels['a b'] }}", ["{{ levels['a b'] }}"]),
        ("'{{ a }} b' c", ["{{ a }} b", "c"]),
        ("{% for h in x %}{{ h }} {% endfor %}", ["{% for h in x %}{{ h }}", "{% endfor %}"]),
        ("a # b; rm / | c > d `e` $F", ["a", "#", "b;", "rm", "/", "|", "c", ">", "d", "`e`", "$F"]),
        ("a ''", ["a", ""]),
        ("", []),
    ],
)  # fmt: skip
def test_split(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize("text", ["a 'b", 'a "b', "a \\", "a\ue000b"])
def test_what_cannot_be_split(text: str) -> None:
    with pytest.raises(ValueError, match=r"quot|escaped|U\+E000"):
        split_words(text)


def test_a_template_is_known_by_its_opening() -> None:
    assert all(map(is_template, ("{{ x }}", "{% if x %}", "{# x #}")))
    assert not any(map(is_template, ("{x}", "${X}", "a")))
