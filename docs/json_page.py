"""Write docs/json.md from docs/json.schema.json; `make docs` runs it, and a test fails where the page differs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
JSON_HEAD = """\
# JSON

Generated from [json.schema.json](json.schema.json) by `make docs`; a test holds each command to it. A time is ISO 8601
with its offset, a date `YYYY-MM-DD`, a duration a number of seconds. Names do not change within a major version, and
new ones may come.

Errors and progress are on stderr. stdout holds one JSON document, also if the exit code is not 0. It is empty if the
command could do nothing.
"""


def json_page() -> str:
    """docs/json.md: what each command prints with --json."""
    shapes = json.loads((ROOT / "docs" / "json.schema.json").read_text(encoding="utf-8"))["$defs"]
    parts = [JSON_HEAD]
    for name, shape in shapes.items():
        if "$ref" in shape:
            parts.append(f"## pgpipe {name}\n\nA [report](#report).\n")
            continue
        title = "Report" if name == "report" else f"pgpipe {name}"
        fields = list(_fields(shape, "[]" if shape["type"] == "array" else ""))
        table = ["| field | type | meaning |", "|---|---|---|", *fields, ""] if fields else []
        kind = "A list" if shape["type"] == "array" else "An object"
        parts.append("\n".join([f"## {title}", "", f"{kind}: {shape['description']}.", "", *table]))
    return "\n".join(parts).rstrip() + "\n"


def _fields(shape: dict[str, Any], path: str) -> Iterator[str]:
    inner = shape.get("items", shape)
    for name, field in inner.get("properties", {}).items():
        whole = f"{path}.{name}".lstrip(".")
        optional = "" if name in inner["required"] else ", may be absent"
        yield f"| `{whole}` | {_kind(field)}{optional} | {_meaning(field)} |"
        yield from _fields(field, f"{whole}[]" if "items" in field else whole)


def _kind(field: dict[str, Any]) -> str:
    kinds = field.get("type", "any")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    said = {"date-time": "time", "date": "date"}.get(field.get("format", ""), "string")
    return " or ".join(said if kind == "string" else kind for kind in kinds)


def _meaning(field: dict[str, Any]) -> str:
    values = ", ".join(f"`{value}`" for value in field.get("enum", ()))
    return f"{field['description']}: {values}" if values else str(field["description"])


if __name__ == "__main__":
    (ROOT / "docs" / "json.md").write_text(json_page(), encoding="utf-8")
