"""TOML tables into dataclasses, with an error that names file, entry and key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args, get_origin, get_type_hints

from hypkit.errors import KitError

_PLAIN: dict[Any, tuple[Any, str]] = {
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    str: (str, "a text"),
    bool: (bool, "true or false"),
}


class FactError(KitError, ValueError):
    """A file of facts is malformed; the message names the file, the entry and the key."""


def read(path: Path, name: str) -> dict[str, Any]:
    """Return the TOML file at `path`, called `name` in errors."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # TOML's own, and text that is not UTF-8
        raise FactError(f"{name} is not TOML: {error}") from error


def key(table: Mapping[str, Any], name: str, where: str, want: type = object) -> Any:
    """Return the value of a key that must be there; want: dict or list, where it must be a table or
    a list of them.
    """
    if name not in table:
        raise FactError(f"{where}: key {name!r} is missing")
    called = "a table" if want is dict else "a list"
    _want(isinstance(table[name], want), f"{where}: key {name!r}", called, table[name])
    return table[name]


def build(kind: type, entry: Any, where: str, named: Mapping[str, Any] | None = None) -> Any:
    """Return the dataclass `kind` from a TOML table: every key known, every value of the declared
    type.

    A text stands for an object of `named` where a field wants one of that object's class.
    """
    _want(isinstance(entry, dict), where, "a table", entry)
    hints = get_type_hints(kind)
    unknown = sorted(entry.keys() - hints.keys())
    if unknown:
        raise FactError(f"{where}: key {unknown[0]!r} is not known; known: {', '.join(hints)}")
    values = {}
    for f in fields(kind):
        if f.name in entry:
            at = f"{where}: key {f.name!r}"
            values[f.name] = value(hints[f.name], entry[f.name], at, named)
        elif f.default is MISSING and f.default_factory is MISSING:
            raise FactError(f"{where}: key {f.name!r} is missing")
    return kind(**values)


def value(want: Any, have: Any, where: str, named: Mapping[str, Any] | None = None) -> Any:
    """Return `have`, checked against the type `want`: lists become tuples, tables read-only
    mappings."""
    origin, args = get_origin(want), get_args(want)
    if origin is tuple:
        _want(isinstance(have, list), where, "a list", have)
        return tuple(value(args[0], v, f"{where}[{i}]", named) for i, v in enumerate(have))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        _want(isinstance(have, dict), where, "a table", have)
        items = {k: value(args[1], v, f"{where}: key {k!r}", named) for k, v in have.items()}
        return MappingProxyType(items)
    if isinstance(want, type) and is_dataclass(want):
        if not isinstance(have, str):
            return build(want, have, where, named)
        found = (named or {}).get(have)
        if not isinstance(found, want):
            raise FactError(f"{where} names no {want.__name__.lower()} of this file: {have!r}")
        return found
    # What remains is a plain type, or "plain type or None" for a key that may be left out.
    plain = next((a for a in args if a is not type(None)), want)
    allowed, called = _PLAIN[plain]
    good = isinstance(have, allowed) and isinstance(have, bool) == (plain is bool)
    _want(good, where, called, have)
    return have.strip() if plain is str else have


def _want(good: bool, where: str, what: str, have: Any) -> None:
    if not good:
        raise FactError(f"{where}: want {what}, have {have!r}")
