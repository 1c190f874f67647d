"""The setting `layout` of a source: placeholders, and what a layout must name."""

import re

PLACEHOLDER = re.compile(r"\{([^{}/]*)\}|(\*)")
OF_DATES = {"date": r"\d{4}-?\d{2}-?\d{2}", "year": r"\d{4}", "month": r"\d{1,2}", "day": r"\d{1,2}"}


def check_layout(layout: str) -> str:
    """The layout as it is, if it can be one.

    Raises:
        ValueError: it says not which folder is the entity, or not which is the date; for the validator of a setting.
    """
    names = [name for name, star in PLACEHOLDER.findall(layout) if not star]
    wrong = [name for name in names if not name.isidentifier()]
    if wrong or set("{}") & set(PLACEHOLDER.sub("", layout)):
        raise ValueError(f"{layout!r} has a placeholder without a name; write one such as {{entity}}/dt={{date}}")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{layout!r} has {{{twice[0]}}} twice")
    whole, in_parts = "date" in names, {"year", "month", "day"} & set(names)
    if "entity" not in names or whole == (len(in_parts) == 3) or (whole and in_parts):  # noqa: PLR2004 - a date's parts
        raise ValueError(
            f"{layout!r} needs {{entity}}, and either {{date}} or {{year}}, {{month}} and {{day}},"
            " such as {entity}/dt={date}"
        )
    return layout
