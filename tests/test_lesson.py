"""The lesson without a browser: its server, its texts, its checks, its figures and its static copy."""

import asyncio
import contextlib
import io
import json
import math
import re
import socket
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import pytest

from sigmax import lesson as package
from sigmax.lesson import LANGUAGES, lesson, wire
from sigmax.lesson.checklist import checklist
from sigmax.lesson.contents import HERE, all_chapters, all_functions, texts
from sigmax.lesson.model import Choice, Measured, Number, Numbers, Switch
from sigmax.lesson.server import LARGEST_REQUEST, application

ROOT = Path(__file__).parent.parent
CHAPTERS = {chapter.name: chapter for chapter in all_chapters()}
FIGURES = {f"{c.name}.{name}": figure for c in all_chapters() for name, figure in c.figures.items()}
CLAIMS = {f"{c.name}.{name}": claim for c in all_chapters() for name, claim in c.claims.items()}
TABLES = ["texts", "glossary", *(f"chapters/{name}" for name in CHAPTERS)]
TO_SETTLE = tomllib.loads((ROOT / "tests" / "lesson_claims.toml").read_text())
SIMPLIFIED = "们这为么样对应该说变数从问时过还进关开发长线学习热类别带标"
SHARE = {"function": "share.shifted", "arguments": {"g": "exp", "a": 3, "b": 2}}


def request(method="POST", path="/api", *, host="127.0.0.1", **options):
    async def ask():
        transport = httpx.ASGITransport(app=application("en"))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return await client.request(method, path, **options)

    return asyncio.run(ask())


def send(body: bytes):
    return request(content=body, headers={"content-type": "application/json"})


# ---------------------------------------------------------------- the server


def test_a_call_returns_what_the_library_returns():
    answer = request(json=SHARE)
    assert answer.status_code == 200
    assert answer.json()["R"] == pytest.approx(1 / (1 + math.exp(-1)), rel=1e-15)


def test_nan_and_inf_travel_as_strings():
    raw = SHARE["arguments"] | {"g": "raw", "a": 1, "b": -1}
    assert request(json=SHARE | {"arguments": raw}).json()["R"] == "inf"
    for value in (math.nan, math.inf, -math.inf, 5e-324, 1.5):
        back = wire.loads(wire.dumps([np.float64(value), np.array([value])]))
        np.testing.assert_array_equal(np.hstack(back), [value, value])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"a": 7}, "a must be in [-6.0, 6.0], got 7"),
        ({"a": "nan"}, "a must be in [-6.0, 6.0], got nan"),
        ({"a": True}, "a must be a number, got True"),
        ({"a": [1]}, "a must be a number, got [1]"),
        ({"a": None}, "a must be a number, got None"),
        ({"a": 10**400}, "a must be in"),
        ({"g": "__class__"}, "g must be one of raw, square, softplus, power, exp, got '__class__'"),
        ({"q": 1}, "no argument is called 'q'; there are: g, a, b, shift"),
        ([], "arguments must be an object, got []"),
        ("x" * 1000, "arguments must be an object, got 'xxxx"),
    ],
)
def test_arguments_are_checked(arguments, message):
    answer = request(json=SHARE | {"arguments": arguments})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(message)
    assert len(answer.content) < 300


@pytest.mark.parametrize(
    "name", ["sigmax.softmax", "os.system", "share", "share._share", "share.__init__", "", "../api"]
)
def test_only_what_is_listed_can_be_called(name):
    assert request(json={"function": name, "arguments": {}}).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"function": "share.shifted"}',
        b'{"function": "share.shifted", "arguments": {}, "more": 1}',
        b'{"function": "share.shifted", "arguments": {"a": NaN}}',
        b'{"function": "share.shifted", "arguments": {"a": 1e999}}',
        b'{"function": "share.shifted", "arguments": {"a": ' + b"9" * 5000 + b"}}",
        b"[" * 50_000,
    ],
    ids=range(11),
)
def test_malformed_requests_are_refused(body):
    answer = send(body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_names_that_are_no_strings_are_refused():
    for name in (1, None, [], {}):
        assert request(json={"function": name, "arguments": {}}).status_code == 404


def test_large_requests_are_refused():
    assert send(b'{"function": "x", "arguments": {}}'.ljust(LARGEST_REQUEST)).status_code == 404
    assert send(b" " * (LARGEST_REQUEST + 1)).status_code == 413


def test_a_form_cannot_call():
    assert (
        request(content=json.dumps(SHARE), headers={"content-type": "text/plain"}).status_code
        == 415
    )
    assert request("GET").status_code in (404, 405)
    assert request("PUT", json=SHARE).status_code in (404, 405)


@pytest.mark.parametrize(
    "host", ["sigmax.example", "127.0.0.1.example", "0.0.0.0", "169.254.169.254"]
)
def test_other_hosts_are_refused(host):
    assert request(host=host, json=SHARE).status_code == 400
    assert request("GET", "/", host=host).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/../server.py",
        "/%2e%2e/server.py",
        "/..%2fserver.py",
        "/chapters/../../model.py",
        "//etc/passwd",
        "/none",
    ],
)
def test_only_static_files_are_handed_out(path):
    assert request("GET", path).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/lesson.json"), ("GET", "/none"), ("POST", "/api")]
)
def test_every_answer_has_the_headers(method, path):
    headers = request(method, path).headers
    assert headers["content-security-policy"].startswith("default-src 'self';")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_no_script_or_style_is_inline_or_foreign():
    for file in (HERE / "static").rglob("*.*"):
        text = re.sub(r"http://www\.w3\.org/\S+", "", file.read_text(encoding="utf-8"))
        assert not re.search(r"https?://|//[a-z]+\.[a-z]+/", text), file
        assert not re.search(
            r"innerHTML|\beval\(|new Function|document\.write|insertAdjacentHTML", text
        ), file
    page = (HERE / "static" / "index.html").read_text()
    assert not re.search(r"<style|\son\w+=|\sstyle=|<script(?![^>]*\bsrc=)", page)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lang": "fr"}, ValueError, "lang must be one of zh-Hant, en, got 'fr'"),
        ({"port": -1}, ValueError, r"port must be in \[0, 65535\], got -1"),
        ({"port": 65536}, ValueError, r"port must be in \[0, 65535\], got 65536"),
    ],
)
def test_options_are_checked(options, error, message):
    with pytest.raises(error, match=message):
        lesson(**options, browser=False)


def test_a_port_in_use_is_an_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="port 0 takes a free one"):
            lesson(port=taken.getsockname()[1], browser=False)


def test_the_command_serves():
    command = [
        sys.executable,
        "-m",
        "sigmax",
        "lesson",
        "--port",
        "0",
        "--no-browser",
        "--lang",
        "en",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
            client = httpx.Client(transport=httpx.HTTPTransport(retries=5), trust_env=False)
            with client:
                assert client.get(address + "lesson.json").json()["lang"] == "en"
                # Hostile requests, and the server still lives.
                client.post(
                    address + "api",
                    content=b"[" * 60_000,
                    headers={"content-type": "application/json"},
                )
                client.post(address + "api", content=b"x" * 10_000_000)
                assert client.post(address + "api", json=SHARE).status_code == 200
        finally:
            process.terminate()


# ---------------------------------------------------------------- texts


def numbers_and_relations(text: str) -> Counter[str]:
    text = re.sub(r"\]\([a-z-]+\)", "]", text).replace("−", "-").replace("*", "").replace("`", "")
    text = re.sub(r"=>|->", "→", text.replace("<=", "≤").replace(">=", "≥").replace("!=", "≠"))
    return Counter(re.findall(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?|[=<>≤≥≠≈→]", text))


def prose(text: str) -> str:
    return re.sub(r"`[^`]*`|\$[^$]*\$|\]\([a-z-]+\)", "", text)


@pytest.mark.parametrize("table", TABLES)
def test_both_languages_have_every_text_and_agree(table):
    found = texts(HERE / f"{table}.toml")
    assert found
    for key, entry in found.items():
        assert set(entry) == set(LANGUAGES), key
        assert all(entry.values()), key
        assert numbers_and_relations(entry["zh-Hant"]) == numbers_and_relations(entry["en"]), key


@pytest.mark.parametrize("table", TABLES)
def test_each_language_is_written_in_its_own_signs(table):
    for key, entry in texts(HERE / f"{table}.toml").items():
        assert not re.search(r"[\u3000-\u9fff\uff00-\uffef]", entry["en"]), key
        # Full-width punctuation between Chinese characters, and no simplified ones.
        assert not re.search(r"[\u4e00-\u9fff] ?[,;:!?](?!\d)", prose(entry["zh-Hant"])), key
        assert not re.search(f"[{SIMPLIFIED}]", entry["zh-Hant"]), key


@pytest.mark.parametrize("table", TABLES)
def test_markup_is_whole_and_points_somewhere(table):
    terms = texts(HERE / "glossary.toml")
    for key, entry in texts(HERE / f"{table}.toml").items():
        for text in entry.values():
            assert text.count("$") % 2 == text.count("`") % 2 == text.count("**") % 2 == 0, key
            for term in re.findall(r"\]\(([a-z-]+)\)", re.sub(r"\$[^$]*\$", "", text)):
                assert term in terms, key
                assert f"{term}.meaning" in terms, key


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_has_the_texts_it_needs(name):
    chapter = CHAPTERS[name]
    have = texts(HERE / "chapters" / f"{name}.toml").keys() | texts(HERE / "texts.toml").keys()
    assert {"title", "summary"} <= have
    for figure, parts in chapter.figures.items():
        assert {f"{figure}.{key}" for key in ("title", "alt", "caption")} <= have
        assert {f"{figure}.preset.{preset}" for preset in parts.presets} <= have
        for control, kind in parts.controls.items():
            options = (
                [f".{option}" for option in kind.options] if isinstance(kind, Choice) else [""]
            )
            for option in ["", *options]:
                assert {f"{figure}.{control}{option}", f"{control}{option}"} & have
    for prediction in chapter.predictions:
        assert {f"{prediction}.question", f"{prediction}.reason"} <= have
    for claim, settled in chapter.claims.items():
        assert {f"{claim}.claim", f"{claim}.why"} <= have
        for line in settled.check():
            assert {f"{claim}.{key}" for key in re.findall('"([^"]+)"', line.of)} <= have


def labels(chapter):
    """The keys of a chapter's texts that the page looks up by itself."""
    yield from ("title", "summary")
    for figure, parts in chapter.figures.items():
        yield from (f"{figure}.{key}" for key in ("title", "alt", "caption"))
        yield from (f"{figure}.preset.{preset}" for preset in parts.presets)
        for name, control in parts.controls.items():
            numbers = (
                range(control.longest or len(control.start)) if isinstance(control, Numbers) else ()
            )
            for part in ["", *getattr(control, "options", ()), *numbers]:
                key = f"{name}.{part}".rstrip(".")
                yield from (key, f"{figure}.{key}")
    for prediction in chapter.predictions:
        yield from (f"{prediction}.question", f"{prediction}.reason")
    for claim, settled in chapter.claims.items():
        yield from (f"{claim}.claim", f"{claim}.why")
        yield from (
            f"{claim}.{key}" for line in settled.check() for key in re.findall('"([^"]+)"', line.of)
        )


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_uses_all_its_texts(name):
    script = (HERE / "static" / "chapters" / f"{name}.js").read_text(encoding="utf-8")
    words = set(re.split(r"[^\w.${}]+", script))
    patterns = [
        re.sub(r"\\\$\\\{\w+\\\}", r"\\w+", re.escape(word)) for word in words if "${" in word
    ]
    for key in texts(HERE / "chapters" / f"{name}.toml").keys() - set(labels(CHAPTERS[name])):
        # The script names a key with or without its figure, or puts it together as `bar_${name}`.
        short = key.partition(".")[2]
        assert {key, short} & words or any(re.fullmatch(each, short) for each in patterns), key


# ---------------------------------------------------------------- claims


@pytest.mark.parametrize("name", CLAIMS)
def test_every_check_passes(name):
    outcome = CLAIMS[name]({})
    assert outcome["lines"]
    for line in outcome["lines"]:
        assert line["holds"], line
    assert outcome["holds"]


@pytest.mark.parametrize("name", CLAIMS)
def test_every_claim_has_a_figure(name):
    chapter = CHAPTERS[name.partition(".")[0]]
    claim = CLAIMS[name]
    assert claim.preset is None or claim.preset in chapter.figures[claim.figure].presets
    assert claim.figure in chapter.figures


def test_a_check_can_fail():
    assert not Measured("x", 1.0, "≤", 0.5).holds
    assert not Measured("x", math.nan, "≤", 0.5).holds
    assert not Measured("x", math.nan, "=", 0.5).holds
    assert Measured("x", math.nan, "=", math.nan).holds
    assert not Measured("x", 0.5, "<", 0.5).holds
    assert not Measured("x", 0.5, "≠", 0.5).holds


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_settles_all_it_must(name):
    settled = {claim: item.verdict for claim, item in CHAPTERS[name].claims.items()}
    for claim, (verdict, _) in TO_SETTLE[name].items():
        assert settled.get(claim) == verdict, claim


def test_all_chapters_are_there():
    assert list(CHAPTERS) == list(TO_SETTLE)
    assert [chapter.number for chapter in all_chapters()] == list(range(1, 11))


def test_the_check_list_is_current():
    written = (ROOT / "docs" / "lesson.md").read_text(encoding="utf-8")
    assert written == checklist() + "\n", "python -m sigmax.lesson.checklist > docs/lesson.md"


# ---------------------------------------------------------------- figures


def situations(figure):
    yield from [{}, *figure.presets.values()]
    random = np.random.default_rng(0)
    for _ in range(5):
        yield {name: anywhere(control, random) for name, control in figure.controls.items()}
    for end in ("low", "high"):
        yield {
            name: getattr(control, end)
            for name, control in figure.controls.items()
            if isinstance(control, Number)
        }


def anywhere(control, random):
    match control:
        case Number(low, high, step):
            return round(low + step * int(random.integers(0, int((high - low) / step) + 1)), 10)
        case Numbers(low, high, step):
            one = Number(low, high, step, low)
            return [anywhere(one, random) for _ in control.start]
        case Choice(options):
            return str(random.choice(options))
        case Switch():
            return bool(random.integers(2))


@pytest.mark.parametrize("name", FIGURES)
def test_the_python_of_a_figure_gives_what_it_shows(name):
    figure = FIGURES[name]
    for given in situations(figure):
        result = figure(given)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), np.errstate(all="ignore"):
            exec(result["python"], {})
        shown = np.asarray(result[figure.prints]).ravel()
        words = re.findall(r"-?(?:inf|nan|\d[\d.]*(?:e[+-]?\d+)?)", printed.getvalue())
        np.testing.assert_array_equal(np.array(words, shown.dtype), shown, str(given))
        assert "import sigmax" in result["python"] or ", sigmax" in result["python"]


@pytest.mark.parametrize("name", FIGURES)
def test_the_start_and_the_presets_are_legal(name):
    figure = FIGURES[name]
    for control_name, control in figure.controls.items():
        assert control.read(control.start, control_name) == control.start
    for preset in figure.presets.values():
        figure(dict(preset))
        assert preset.keys() <= figure.controls.keys()
    json.loads(wire.dumps(figure({})))


@pytest.mark.parametrize("name", all_functions())
def test_functions_are_pure(name):
    function = all_functions()[name]
    assert wire.dumps(function({})) == wire.dumps(function({}))


# ---------------------------------------------------------------- the static copy


def test_the_static_copy_has_everything(tmp_path, capsys):
    lesson(lang="en", export=tmp_path / "copy")
    assert "http.server" in capsys.readouterr().out
    described = wire.loads((tmp_path / "copy" / "lesson.json").read_bytes())
    assert described["live"] is False
    assert described["precomputed"].keys() == all_functions().keys()
    for name, claim in CLAIMS.items():
        assert described["precomputed"][name]["start"]["holds"] is True, claim
    for name, figure in FIGURES.items():
        assert described["precomputed"][name].keys() == {"start", *figure.presets}
    assert "Content-Security-Policy" in (tmp_path / "copy" / "index.html").read_text()
    with pytest.raises(FileExistsError, match="export must be a new or empty directory"):
        lesson(export=tmp_path / "copy")


def test_the_package_is_light():
    code = "import sys, sigmax.lesson; sys.exit(any(m in sys.modules for m in ('starlette', 'uvicorn', 'typer')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert package.__all__ == sorted(package.__all__)
