"""Sizes that keep the code readable: of files, and of functions without their docstring."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("pgpipe", "sql", "migrations", "tests", "docs")
LONGEST_FILE = 300
LONGEST_FUNCTION = 40
LONGEST_STORY = 55  # of a test or a benchmark, which tells one story from its beginning to its end


def sources(*suffixes: str) -> list[Path]:
    """The files of the repository, without the frozen dumps."""
    found = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*") if file.suffix in suffixes]
    return [file for file in found if "released" not in file.parts]


def lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From `def` to the end, without the docstring."""
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0
    return (function.end_lineno or function.lineno) - function.lineno + 1 - docstring


def longest(file: Path) -> int:
    """Lines that a function of this file may have."""
    return LONGEST_STORY if "tests" in file.relative_to(ROOT).parts else LONGEST_FUNCTION


def test_files_are_short() -> None:
    """Python, SQL and templates."""
    sizes = {str(f.relative_to(ROOT)): len(f.read_text(encoding="utf-8").splitlines()) for f in sources(".py", ".sql")}

    assert {name for name, size in sizes.items() if size >= LONGEST_FILE} == set()


def test_functions_are_short() -> None:
    """Of the package and the scripts; those of tests may be a little longer."""
    long = {
        f"{file.relative_to(ROOT)}::{node.name}": lines(node)
        for file in sources(".py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines(node) > longest(file)
    }

    assert long == {}
