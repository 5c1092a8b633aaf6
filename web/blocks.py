"""Gradio, without the type stubs that it writes for editors while it is imported: half the time.

    from web.blocks import gr

For each component it parses its source twice and renders a template, into its own folder.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def _without_stubs() -> Iterator[None]:
    """Components have no source meanwhile; without one, Gradio writes no stub."""
    plain = inspect.getfile

    def getfile(object: Any) -> str:
        if type(object).__name__ == "ComponentMeta":
            raise OSError("no stubs")
        return plain(object)

    inspect.getfile = getfile
    try:
        yield
    finally:
        inspect.getfile = plain


with _without_stubs():
    import gradio as gr

__all__ = ["gr"]
