"""What `plan` and `diff` say of a plan: in plain values for --json, and in words."""

from typing import Any

from pgpipe.load.plan.outline import Plan as LoadPlan

IDLE = {"nothing", "recognise"}
ACTIONS = {
    "nothing": "nothing: in the ledger",
    "recognise": "nothing: the same bytes as the snapshot before",
    "create": "create the table",
    "append": "append",
    "merge": "merge",
}


def in_words(entry: dict[str, Any]) -> dict[str, str]:
    """What an entry says of a plan, for people: a label and a text for each part of it."""
    reason = f"nothing: {entry['reason']}" if "reason" in entry else None
    action = reason or ACTIONS.get(entry.get("action", ""))
    shown = {
        "refused": entry.get("refused"),
        "first": entry.get("first"),
        "action": action,
        "mode": entry.get("mode"),
        "key": ", ".join(entry.get("key", ())) or ("none" if action else None),
        "proposed key": entry.get("proposed_key", {}).get("text"),
        "changes": entry.get("changes"),
        "soft delete": f"rows that are gone are marked in {entry['soft_delete']}" if "soft_delete" in entry else None,
        "rows": entry.get("rows"),
        "row groups": entry.get("row_groups"),
        "files in the ledger": entry.get("files_in_ledger"),
        "columns": ", ".join(f"{name} {kind}" for name, kind in entry.get("columns", {}).items()),
        "new columns": ", ".join(f"{name} {kind}" for name, kind in entry.get("new_columns", {}).items()),
        "widened": ", ".join(f"{name} to {kind}" for name, kind in entry.get("widened", {}).items()),
        "converted": ", ".join(entry.get("converted", ())),
        "not in the files": ", ".join(entry.get("absent", ())),
        "bad values": ", ".join(f"{name} {policy}" for name, policy in entry.get("bad_values", {}).items()),
        "notes": "; ".join(entry.get("notes", ())),
        "search": _in_words("search", entry, _searched(entry.get("search") or [])),
        "embed": _in_words("embed", entry, _embedded(entry.get("embed"))),
    }
    return {label: str(text) for label, text in shown.items() if text not in {None, ""}}


def _in_words(part: str, entry: dict[str, Any], text: str) -> str | None:
    if part not in entry:
        return None
    return "skipped" if entry[part] is None else text or "none"


def _searched(choices: list[dict[str, Any]]) -> str:
    if choices and all(choice["reason"] == "configured" for choice in choices):
        return ", ".join(f"{choice['column']} {choice['weight']}" for choice in choices) + " (configured)"
    return "; ".join(map(_weighed, choices))


def _weighed(choice: dict[str, Any]) -> str:
    return f"{choice['column']} {choice['weight'] or 'left out'} ({choice['reason']})"


def _embedded(embed: dict[str, Any] | None) -> str:
    return f"{', '.join(embed['columns'])} by {embed['model']}" if embed and embed["columns"] else ""


def described(made: LoadPlan) -> dict[str, Any]:
    """A plan, in plain values; what does not apply is left out."""
    found = {
        "action": made.action,
        "reason": made.superseded.removeprefix("nothing: "),
        "mode": made.mode,
        "key": list(made.key),
        "proposed_key": made.proposal.as_json(made.files.entity) if made.proposal else None,
        "changes": made.changes.described() if made.changes else None,
        "soft_delete": made.soft_delete.column,
        "rows": made.rows if made.parts else None,
        "row_groups": sum(len(part.rows) for part in made.parts) or None,
        "files_in_ledger": len(made.skipped) if made.action not in {"nothing", "recognise"} else None,
        "columns": {c.name: c.sql for c in made.columns} if made.action == "create" else None,
        "new_columns": {c.name: c.sql for c in made.evolution.add},
        "widened": {c.name: c.sql for c in made.evolution.widen},
        "converted": list(made.converted),
        "absent": list(made.absent),
        "bad_values": {c.name: c.bad for c in made.columns if c.bad != "error"},
        "notes": list(made.remarks),
    }
    return {name: value for name, value in found.items() if name == "key" or value or (name == "rows" and value == 0)}
