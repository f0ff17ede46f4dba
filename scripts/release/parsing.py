"""Python files as they are parsed: once for each change of a file, whoever reads it."""

import ast
import functools
import os
from pathlib import Path


def statements(path: Path) -> list[ast.stmt]:
    """The statements of a file, without docstrings. Nobody may change them."""
    return _parsed(path, os.stat(path).st_mtime_ns)


@functools.cache
def _parsed(path: Path, changed: int) -> list[ast.stmt]:
    tree = ast.parse(path.read_text(), str(path))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
        ):
            first = body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                body[:1] = []
    return tree.body
