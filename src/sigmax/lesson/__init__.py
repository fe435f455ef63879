"""The interactive lesson: from the share a/(a+b) to the loss, in two languages, every claim executed."""

from pathlib import Path

__all__ = ["LANGUAGES", "lesson"]

LANGUAGES = ("zh-Hant", "en")  # those of static/languages.js


def lesson(
    lang: str = "zh-Hant",
    port: int = 8765,
    browser: bool = True,
    export: Path | None = None,
    single_file: Path | None = None,
    address: str | None = None,
) -> None:
    """Serve the lesson on this machine, or write it as files for any static web server.

    Parameters
    ----------
    lang : "zh-Hant" or "en"
        The language to start in; the page switches between them.
    port : int
        Port on 127.0.0.1; 0 takes a free one.
    browser : bool
        Open the page in the default browser.
    export : path, optional
        A directory that is new or empty: write the lesson there and serve nothing.
    single_file : path, optional
        A file that is not there yet: write the lesson as one page, which opens without a server.
    address : str, optional
        Where the exported directory will stand, as previews of shared links need it: "https://example.org/lesson/".

    Raises
    ------
    ValueError
        If ``lang``, ``port`` or ``address`` is not legal.
    FileExistsError
        If ``export`` is not empty, or ``single_file`` is there.
    OSError
        If the port is in use, or a file cannot be written.
    """
    if lang not in LANGUAGES:
        raise ValueError(f"lang must be one of {', '.join(LANGUAGES)}, got {lang!r}")
    if not 0 <= port <= 65535:
        raise ValueError(f"port must be in [0, 65535], got {port}")
    if address is not None and not address.startswith(("http://", "https://")):
        raise ValueError(f"address must start with http:// or https://, got {address!r}")
    from . import site

    if export is not None:
        site.export(export, lang, address)
    if single_file is not None:
        site.single_file(single_file, lang)
    if export is None and single_file is None:
        from .server import serve

        serve(lang, port, browser)
