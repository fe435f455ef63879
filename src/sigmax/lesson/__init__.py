"""The interactive lesson: from the share a/(a+b) to the loss, in two languages, every claim executed."""

from pathlib import Path

__all__ = ["LANGUAGES", "lesson"]

LANGUAGES = ("zh-Hant", "en")


def lesson(
    lang: str = "zh-Hant",
    port: int = 8765,
    browser: bool = True,
    export: Path | None = None,
) -> None:
    """Serve the lesson on this machine, or write a static copy of it.

    Parameters
    ----------
    lang : "zh-Hant" or "en"
        The language to start in; the page switches between them.
    port : int
        Port on 127.0.0.1; 0 takes a free one.
    browser : bool
        Open the page in the default browser.
    export : path, optional
        A directory that is new or empty: write the static copy there and serve nothing.

    Raises
    ------
    ValueError
        If ``lang`` or ``port`` is not legal.
    FileExistsError
        If ``export`` is not empty.
    OSError
        If the port is in use.
    """
    if lang not in LANGUAGES:
        raise ValueError(f"lang must be one of {', '.join(LANGUAGES)}, got {lang!r}")
    if not 0 <= port <= 65535:
        raise ValueError(f"port must be in [0, 65535], got {port}")
    if export is not None:
        from .export import write

        write(export, lang)
    else:
        from .server import serve

        serve(lang, port, browser)
