"""Values as JSON has them: times as ISO 8601, durations in seconds, numbers as numbers (docs/json.md)."""

from datetime import date, timedelta
from decimal import Decimal


def plain(value: object) -> str | float:
    """What JSON has no type for, for `json.dumps(…, default=plain)`."""
    if isinstance(value, date):  # a datetime too
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal) and value.is_finite():
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value)
