"""``python -m sigmax.lesson.checklist``: the check list of docs/lesson.md, from the tables that the page uses."""

from .contents import HERE, all_chapters, texts
from .model import VERDICTS

__all__ = ["checklist"]

_HEAD = """\
# The lesson

`pip install '.[lesson]'`, then `sigmax lesson`: from the share a/(a+b) to the loss, in
Traditional Chinese and English. [How it is built, and how to add a chapter](../src/sigmax/lesson/README.md).

Every claim of the usual story, where it stands, the figure that shows it, the check that settles it, and the verdict:
T true, T* true with a condition, F false, N wrong notation, O outdated. The check runs on the page, and in
`tests/test_lesson.py`. This page is written by `python -m sigmax.lesson.checklist > docs/lesson.md`.
"""


def checklist() -> str:
    """Return the page as Markdown."""
    parts = [_HEAD]
    counts = dict.fromkeys(VERDICTS, 0)
    for chapter in all_chapters():
        table = texts(HERE / "chapters" / f"{chapter.name}.toml")
        parts.append(f"## {chapter.number}. {_plain(table['title']['en'])}\n")
        parts.append("| claim | figure | check | verdict |\n|---|---|---|---|")
        for name, claim in chapter.claims.items():
            counts[claim.verdict] += 1
            figure = _plain(table[f"{claim.figure}.title"]["en"])
            check = f"[`{chapter.name}.{name}`](../src/sigmax/lesson/chapters/{chapter.name}.py)"
            says = _plain(table[f"{name}.claim"]["en"])
            parts.append(f"| {says} | {figure} | {check} | {_plain(claim.verdict)} |")
        parts.append("")
    total = ", ".join(f"{count} {_plain(verdict)}" for verdict, count in counts.items())
    parts.append(f"{sum(counts.values())} claims: {total}.")
    return "\n".join(parts)


def _plain(text: str) -> str:
    return text.replace("$", "").replace("|", r"\|").replace("*", r"\*")


if __name__ == "__main__":
    print(checklist())
