"""A command line as words: split as a shell splits them, with each template kept whole. Never a shell.

Must not render templates, nor load what does.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_OPENING = ("{{", "{%", "{#")
_MARK = "\ue000"  # a private character stands for a template while the rest is split


def split_words(text: str) -> list[str]:
    """Return the words of a command line; a template is part of a word, whatever is in it.

    Raises:
        ValueError: a quote is not closed, or the text has the character that stands for templates.
    """
    if _MARK in text:
        raise ValueError("found the character U+E000")
    templates = iter(_TEMPLATE.findall(text))
    try:
        words = shlex.split(_TEMPLATE.sub(_MARK, text))
    except ValueError as error:
        raise ValueError(f"{str(error)[:1].lower()}{str(error)[1:]}; close the quotes") from error
    return [re.sub(_MARK, lambda _: next(templates), word) for word in words]


def is_lost(words: Sequence[str]) -> bool:
    """Say whether a program is named by a path from a folder that is empty: every task starts in one."""
    return "/" in words[0] and not words[0].startswith("/") and not is_template(words[0])


def is_template(text: str) -> bool:
    """Say whether a text has anything for templates in it."""
    return any(mark in text for mark in _OPENING)
