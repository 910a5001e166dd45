"""Names say what a thing is in the words of the field, and no unit of code outgrows a reader."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

BANNED_WORDS = {"util", "utils", "helper", "helpers", "misc", "common", "manager", "service", "services"}
MOST_LINES_IN_A_FILE = 500
MOST_LINES_IN_A_FUNCTION = 50
MOST_LINES_IN_A_CLASS = 250

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def words(name: str) -> list[str]:
    """Split a name in snake_case or CamelCase into lower-case words."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def definitions(path: Path) -> Iterator[Definition]:
    """Yield the classes and functions of a source file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Definition):
            yield node


def banned(name: str) -> bool:
    """Tell whether a name holds a word that says nothing."""
    return not BANNED_WORDS.isdisjoint(words(name))


@pytest.mark.parametrize("name", ["ContextManager", "http_utils", "HTTPHelper", "common", "EntityService2"])
def test_an_empty_word_is_recognised_in_any_spelling(name: str) -> None:
    assert banned(name)


@pytest.mark.parametrize("name", ["Entity", "commonality", "managerial", "utility", "TermMap"])
def test_a_word_that_only_looks_like_one_is_allowed(name: str) -> None:
    assert not banned(name)


def test_no_module_or_class_has_an_empty_name(sources: list[Path], checkout: Path) -> None:
    found = [str(path) for path in sources if any(banned(part) for part in path.relative_to(checkout).parts)]
    found += [
        f"{path.relative_to(checkout)}:{node.lineno} {node.name}"
        for path in sources
        for node in definitions(path)
        if isinstance(node, ast.ClassDef) and banned(node.name)
    ]
    assert not found


def test_no_file_function_or_class_is_too_long(sources: list[Path], checkout: Path) -> None:
    found = []
    for path in sources:
        name = path.relative_to(checkout)
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > MOST_LINES_IN_A_FILE:
            found.append(f"{name} has {lines} lines")
        for node in definitions(path):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            most = MOST_LINES_IN_A_CLASS if isinstance(node, ast.ClassDef) else MOST_LINES_IN_A_FUNCTION
            if length > most:
                found.append(f"{name}:{node.lineno} {node.name} has {length} lines")
    assert not found


def test_every_package_says_what_belongs_in_it(packages: list[str], checkout: Path) -> None:
    pages = [checkout / package / "__init__.py" for package in packages]
    pages += [page for package in packages for page in (checkout / package).glob("*/**/__init__.py")]
    silent = [page for page in pages if not page.is_file() or not ast.get_docstring(ast.parse(page.read_bytes()))]
    assert not silent


def test_no_middleware_buffers_answers(sources: list[Path], checkout: Path) -> None:
    """Starlette's BaseHTTPMiddleware alone costs as much as a whole retrieve: middleware is pure ASGI."""
    found = [
        str(path)
        for path in sources
        if "tests" not in path.relative_to(checkout).parts
        and any(
            isinstance(node, ast.Name | ast.Attribute | ast.alias) and "BaseHTTPMiddleware" in ast.dump(node)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    ]
    assert not found
