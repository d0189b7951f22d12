"""The descriptor of an instance: read, checked, its placeholders filled in, its settings file rendered.

Owns the descriptor's form on the host (schema 1). Must not start anything.
"""

import json
import os
import re
from pathlib import Path
from typing import Any, Dict, List, Union

from benchctl.agent.context import Context
from benchctl.agent.layout import NOBODY, check_name
from benchctl.agent.process import Setting
from benchctl.agent.refusal import RefusalError
from benchctl.agent.wire import Json

SCHEMA = 1
_RUN_AS = ("self", "userns", "nobody")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_REDIS_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_OPTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_MYSQL_NAME = re.compile(r"[a-z][a-z0-9_]*")
_EMPTY = '""'
_BY_FILES = ("copy", "reflink")  # ways of reset that need no server; others have commands for one
_OPTIONS = "{options}"  # the word of an argv in whose place settings stand that are options


class Descriptor:
    """One instance as this run sees it: paths are real ones."""

    def __init__(self, given: Union[str, Json], context: Context) -> None:
        """Read the file, or take the object itself. Raises RefusalError when it is malformed or missing."""
        self.given = given
        places = {}
        if isinstance(given, str):
            self.path = given
            places["{here}"] = str(Path(given).parent)
            raw = _read(given)
        else:
            self.path = f"of {given.get('instance')!r:.100}"
            raw = _checked(given, self.path)
        self.instance = check_name(self._text(raw, "instance"), "an instance")
        self.run_as = raw.get("run_as", "self")
        if self.run_as not in _RUN_AS:
            raise RefusalError(f"descriptor {self.path}: run_as is {self.run_as!r}, not one of {_RUN_AS}")
        self.work = context.work / self.instance
        self.data = self.work / "data"
        self.external = bool(raw.get("external"))  # somebody else's server: it is asked, and filled
        self.serverless = self.external or bool(raw.get("embedded"))  # or the load generator runs the engine
        places["{data}"] = str(self.data)
        places["{work}"] = str(self.work)
        places["{runtime}"] = str(context.runtime)
        places["{instance}"] = self.instance
        if raw.get("settings"):
            places["{conf}"] = fill(raw["settings"].get("file", ""), places)
        self.places = places
        self.conf = Path(places.get("{conf}", ""))
        self.parts: Json = fill(raw, places)
        self.log = self.work / "server.log"
        self.reset = self._reset()
        self._options: List[str] = []

    def part(self, name: str) -> Json:
        """Return one part, such as `start`. Raises RefusalError when the descriptor has none."""
        part = self.parts.get(name)
        if not isinstance(part, dict):
            raise RefusalError(f"descriptor {self.path} has no part {name!r}")
        return part

    def argv(self, name: str, part: Json) -> List[str]:
        """Return the command of a part. Raises RefusalError when it is no list of strings."""
        argv = part.get("argv")
        if not argv or not isinstance(argv, list) or not all(isinstance(word, str) for word in argv):
            raise RefusalError(f"descriptor {self.path}: {name}.argv is no list of strings")
        return [word for given in argv for word in (self._options if given == _OPTIONS else [given])]

    def setting(self, *, server: bool) -> Setting:
        """Return how its programs start: the server with user, limits and CPUs, the others as the caller."""
        env = {str(name): str(value) for name, value in (self.parts.get("env") or {}).items()}
        if not server:
            return Setting(env, str(self.work))
        limits, cpus = self.parts.get("limits"), self.parts.get("cpus")
        return Setting(env, str(self.work), self.run_as, limits, cpus)

    def write_settings(self, given: Json) -> None:
        """Render base and given settings, the given ones last. Raises RefusalError for what has no form."""
        part = self.parts.get("settings")
        if not part:
            if given:
                raise RefusalError(f"descriptor {self.path} takes no settings, not even {sorted(given)}")
            return
        self.render({**(part.get("base") or {}), **given}, self.conf)

    def render(self, settings: Json, path: Path) -> None:
        """Write these settings and no others to the file, or keep them as options for the next `argv`.

        Raises RefusalError for what has no form.
        """
        syntax = (self.parts.get("settings") or {}).get("syntax")
        if syntax in _WORDS:
            self._options = [word for name, value in settings.items() for word in _WORDS[syntax](name, value)]
            return
        line = _LINES.get(str(syntax))
        if line is None:
            raise RefusalError(f"descriptor {self.path}: unknown syntax of settings {syntax!r}")
        text = "".join(line(name, value) for name, value in settings.items())
        path.write_text(_HEADS.get(str(syntax), "") + text, encoding="utf-8")
        if self.run_as == "nobody":
            os.chown(path, NOBODY, NOBODY)

    @property
    def image_form(self) -> str:
        """What an image of this instance holds: its files, or what a way of a server keeps of them."""
        return "files" if self.reset["way"] in _BY_FILES else str(self.reset["way"])

    def _reset(self) -> Json:
        """Return the part `reset`; without it the files are shared, or copied where that cannot be."""
        part: Json = (not self.external and self.parts.get("reset")) or {"way": "reflink"}
        if (part.get("way") in _BY_FILES) == bool(part.get("restore")):
            raise RefusalError(
                f"descriptor {self.path}: reset.way is none of {_BY_FILES}, and there is no reset.restore"
            )
        return part

    def _text(self, raw: Json, key: str) -> str:
        value = raw.get(key)
        if not isinstance(value, str):
            raise RefusalError(f"descriptor {self.path} has no {key!r}")
        return value


def fill(value: Any, places: Dict[str, str]) -> Any:  # noqa: ANN401 - JSON values
    """Replace placeholders in every string of a JSON value."""
    if isinstance(value, str):
        for name, replacement in places.items():
            value = value.replace(name, replacement)
        return value
    if isinstance(value, list):
        return [fill(item, places) for item in value]
    if isinstance(value, dict):
        return {key: fill(item, places) for key, item in value.items()}
    return value


def _read(path: str) -> Json:
    try:
        raw = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise RefusalError(f"descriptor {path} cannot be read: {error.strerror}; configure first") from error
    except ValueError as error:
        raise RefusalError(f"descriptor {path} is not JSON: {error}; configure again") from error
    return _checked(raw, path)


def _checked(raw: object, path: str) -> Json:
    if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
        raise RefusalError(f"descriptor {path} is not of schema {SCHEMA}; configure again with this version")
    return raw


def _postgresql_line(name: str, value: object) -> str:
    text = ("off", "on")[value] if isinstance(value, bool) else str(value)
    _check_line(_NAME, name, text)
    quoted = text.replace("\\", "\\\\").replace("'", "''")
    return f"{name} = '{quoted}'\n"


def _redis_line(name: str, value: object) -> str:
    """Words as they stand in redis.conf: some settings take several, so the value is not quoted."""
    text = ("no", "yes")[value] if isinstance(value, bool) else str(value)
    _check_line(_REDIS_NAME, name, text)
    return f"{name} {text.strip() or _EMPTY}\n"


def _getopt_words(name: str, value: object) -> List[str]:
    """As getopt_long reads them: an option that takes no value is there or not."""
    text = str(value)
    _check_line(_OPTION_NAME, name, text)
    if text.lower() in ("true", "false"):
        return [f"--{name}"] if text.lower() == "true" else []
    return [f"--{name}={text}"]


def _go_words(name: str, value: object) -> List[str]:
    """As Go's package flag reads them, booleans with their value too."""
    text = str(value).lower() if str(value).lower() in ("true", "false") else str(value)
    _check_line(_OPTION_NAME, name, text)
    return [f"--{name}={text}"]


def _mysql_line(name: str, value: object) -> str:
    """Names as the server shows its variables: with hyphens, which it takes too, they are not found again."""
    text = ("OFF", "ON")[value] if isinstance(value, bool) else str(value)
    _check_line(_MYSQL_NAME, name, text)
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name} = "{quoted}"\n'


def _check_line(form: "re.Pattern[str]", name: str, text: str) -> None:
    if not form.fullmatch(name) or any(ord(letter) < 32 for letter in text):
        raise RefusalError(f"the setting {name!r} = {text!r} cannot be given to the server")


def _yaml_line(name: str, value: object) -> str:
    """JSON is YAML; a text is quoted, so that it stays one."""
    text = json.dumps(value)
    _check_line(_NAME, name, text)
    return f"{name}: {text}\n"


def _json_line(name: str, value: object) -> str:
    return json.dumps({name: str(value)}) + "\n"


_WORDS = {"getopt": _getopt_words, "go": _go_words}
_LINES = {
    "postgresql": _postgresql_line,
    "redis": _redis_line,
    "mysql": _mysql_line,
    "yaml": _yaml_line,
    "json": _json_line,
}
_HEADS = {"mysql": "[mysqld]\n"}
