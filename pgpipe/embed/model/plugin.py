"""How a backend is found by its name: one of pgpipe's own modules, or what a package names in an entry point."""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from pgpipe.errors import ModelError


def backend(name: str, ours: Mapping[str, tuple[str, str]], group: str) -> Callable[[Any], Any]:
    """What loads a model from its settings.

    Args:
        name: of the backend.
        ours: by name, module and attribute.
        group: of entry points, in which packages name theirs.

    Raises:
        ModelError: nobody has a backend of this name, or it cannot be imported.
    """
    if name in ours:
        module, attribute = ours[name]
        loader: Callable[[Any], Any] = getattr(import_module(module), attribute)
        return loader
    for plugin in entry_points(group=group, name=name):
        try:
            return plugin.load()  # type: ignore[no-any-return] # what a package promises by the entry point
        except Exception as exc:
            raise ModelError(f"the backend {name!r} ({plugin.value}) cannot be imported: {first_line(exc)}") from exc
    raise ModelError(f"unknown backend {name!r}")


def first_line(exc: BaseException) -> str:
    """An error of a library as one line."""
    return str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
