"""Python files as they are parsed: once for each change of a file, whoever reads it."""

import ast
import functools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def of_file(function: Callable[[Path], T]) -> Callable[[Path], T]:
    """Keeps what `function` finds in a file until the file changes. Nobody may change what is found."""

    @functools.cache
    def found(path: Path, changed: int) -> T:
        return function(path)

    return functools.wraps(function)(lambda path: found(path, os.stat(path).st_mtime_ns))


@of_file
def statements(path: Path) -> list[ast.stmt]:
    """The statements of a file, without docstrings."""
    tree = ast.parse(path.read_text(), str(path))
    for node in (tree, *nested(tree.body)):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body[:1] = []
    return tree.body


def nested(statements: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements and all that are within them; expressions, which are most of a tree, are not looked into."""
    for statement in statements:
        yield statement
        for field in ("body", "orelse", "finalbody"):
            yield from nested(getattr(statement, field, ()))
        for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
            yield from nested(part.body)
