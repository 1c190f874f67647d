"""What the backends that ask a service over HTTP have in common: its key, and what it says."""

from typing import Any

from pgpipe.errors import ModelError
from pgpipe.settings.backend import ModelSettings


def authorization(settings: ModelSettings) -> dict[str, str]:
    """The header that carries the key; none if no key is set.

    Raises:
        ModelError: the file of the key cannot be read; the line names the setting.
    """
    key = _key(settings)
    return {"Authorization": f"Bearer {key}"} if key else {}


def address(settings: ModelSettings, path: str, example: str) -> str:
    """The URL of a service with the path of what is asked of it, unless it has that already.

    Raises:
        ModelError: none is set.
    """
    if settings.url is None:
        raise ModelError(f"the backend http needs {settings.SECTION}.url, such as {example}")
    return settings.url if settings.url.endswith(path) else f"{settings.url.rstrip('/')}{path}"


def message(response: Any) -> str:  # noqa: ANN401 - of httpx, which is optional
    """What the service says, as one short line."""
    try:
        found: Any = response.json()
        for name in ("error", "message"):
            found = found.get(name, found) if isinstance(found, dict) else found
        text = found if isinstance(found, str) else response.text
    except ValueError:
        text = response.text
    return " ".join(text.split())[:200] or "nothing more"


def _key(settings: ModelSettings) -> str | None:
    if settings.api_key is not None:
        return settings.api_key.get_secret_value()
    if settings.api_key_file is None:
        return None
    try:
        return settings.api_key_file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as exc:
        raise ModelError(f"{settings.SECTION}.api_key_file {settings.api_key_file} cannot be read: {exc}") from None
