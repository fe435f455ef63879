"""The lesson without a browser: its server, its texts, its files and the copies that are made of them."""

import http.client
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from threading import Thread

import pytest

from sigmax import lesson as package
from sigmax.lesson import LANGUAGES, lesson
from sigmax.lesson.server import Server
from sigmax.lesson.site import PLACES, STATIC, files, texts

ROOT = Path(__file__).parent.parent
TABLES = ["page", "glossary", *PLACES[1:-1]]
SIMPLIFIED = "们这为么样对应该说变数从问时过还进关开发长线学习热类别带标"


@pytest.fixture(scope="module")
def server():
    with Server("en", 0) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


# ---------------------------------------------------------------- the server


def test_every_file_is_handed_out_with_its_type(server):
    for name, content in server.files.items():
        answer, got = ask(server, "/" + name)
        assert answer.status == 200
        assert got == content
        assert answer.headers["Content-Type"] != "text/plain; charset=utf-8" or name.endswith(
            ".toml"
        )
    assert ask(server, "/sigmax.wasm")[0].headers["Content-Type"] == "application/wasm"
    for path in ("/", "/en/", "/zh-Hant/", "/en/share.html?embed=shifted", "/en/share%2Ehtml"):
        assert ask(server, path)[0].status == 200, path
    assert ask(server, "/en/share.html", "HEAD")[1] == b""


@pytest.mark.parametrize(
    "path",
    [
        "/../server.py",
        "/%2e%2e/server.py",
        "/..%2fserver.py",
        "/chapters/../../site.py",
        "//etc/passwd",
        "/none",
        "/%00",
    ],
)
def test_only_the_files_of_the_lesson_are_handed_out(server, path):
    answer, content = ask(server, path)
    assert (answer.status, content) == (404, b"not found")


@pytest.mark.parametrize(
    "host", ["sigmax.example", "127.0.0.1.example", "0.0.0.0:80", "169.254.169.254", ""]
)
def test_other_hosts_are_refused(server, host):
    assert ask(server, "/", Host=host)[0].status == 400


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE"])
def test_other_methods_are_refused(server, method):
    assert ask(server, "/", method)[0].status == 501


@pytest.mark.parametrize("path", ["/", "/none", "/main.js"])
def test_every_answer_has_the_headers(server, path):
    headers = ask(server, path)[0].headers
    assert headers["Content-Security-Policy"].startswith("default-src 'self';")
    assert "unsafe-inline" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_client_that_says_nothing_holds_nobody_up(capfd):
    """Half a request, a client that goes away, and still the others are served and the server stops at once."""
    server = Server("en", 0)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    half = socket.create_connection(("127.0.0.1", server.server_port))
    half.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:")
    gone = socket.create_connection(("127.0.0.1", server.server_port))
    gone.sendall(b"GET /sigmax.wasm HTTP/1.1\r\nHost: localhost:80\r\n\r\n")
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    gone.close()
    assert ask(server, "/main.js")[0].status == 200
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)
    assert not thread.is_alive()
    half.close()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lang": "fr"}, ValueError, "lang must be one of zh-Hant, en, got 'fr'"),
        ({"port": -1}, ValueError, r"port must be in \[0, 65535\], got -1"),
        ({"port": 65536}, ValueError, r"port must be in \[0, 65535\], got 65536"),
        ({"address": "example.org"}, ValueError, "address must start with http"),
    ],
)
def test_options_are_checked(options, error, message):
    with pytest.raises(error, match=message):
        lesson(**options, browser=False)


def test_a_port_in_use_is_an_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"^port {port} is in use; port 0 takes a free one$"):
            lesson(port=port, browser=False)


def test_the_command_serves_until_it_is_interrupted():
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
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        assert b'data-language="en"' in connection.getresponse().read()
        connection.close()
        held = socket.create_connection(("127.0.0.1", port))
        held.sendall(b"GET")
        time.sleep(0.1)
        process.send_signal(2)
        assert process.wait(timeout=10) == 0
        held.close()
        assert process.stderr.read() == ""


# ---------------------------------------------------------------- texts


def numbers_and_relations(text: str) -> Counter[str]:
    text = re.sub(r"\]\([a-z-]+\)", "]", text).replace("−", "-").replace("*", "").replace("`", "")
    text = re.sub(r"=>|->", "→", text.replace("<=", "≤").replace(">=", "≥").replace("!=", "≠"))
    return Counter(re.findall(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?|[=<>≤≥≠≈→]", text))


def prose(text: str) -> str:
    return re.sub(r"`[^`]*`|\$[^$]*\$|\]\([a-z-]+\)", "", text)


@pytest.mark.parametrize("table", TABLES)
def test_both_languages_have_every_text_and_agree(table):
    found = texts(table)
    assert found
    for key, entry in found.items():
        assert set(entry) == set(LANGUAGES), key
        assert all(entry.values()), key
        assert numbers_and_relations(entry["zh-Hant"]) == numbers_and_relations(entry["en"]), key


@pytest.mark.parametrize("table", TABLES)
def test_each_language_is_written_in_its_own_signs(table):
    for key, entry in texts(table).items():
        assert not re.search(r"[\u3000-\u9fff\uff00-\uffef]", entry["en"]), key
        # Full-width punctuation between Chinese characters, and no simplified ones.
        assert not re.search(r"[\u4e00-\u9fff] ?[,;:!?](?!\d)", prose(entry["zh-Hant"])), key
        assert not re.search(f"[{SIMPLIFIED}]", entry["zh-Hant"]), key


@pytest.mark.parametrize("table", TABLES)
def test_markup_is_whole_and_points_somewhere(table):
    terms = texts("glossary")
    for key, entry in texts(table).items():
        for text in entry.values():
            assert text.count("$") % 2 == text.count("`") % 2 == text.count("**") % 2 == 0, key
            for term in re.findall(r"\]\(([a-z-]+)\)", re.sub(r"\$[^$]*\$", "", text)):
                assert term in terms, key
                assert f"{term}.meaning" in terms, key


def test_the_languages_are_one_table():
    script = (STATIC / "languages.js").read_text(encoding="utf-8")
    assert tuple(re.findall(r'"?([\w-]+)"?: "', script)) == LANGUAGES


def test_the_glossary_has_what_a_reader_needs():
    terms = {key for key in texts("glossary") if "." not in key}
    used = {
        term
        for table in TABLES
        for entry in texts(table).values()
        for text in entry.values()
        for term in re.findall(r"\]\(([a-z-]+)\)", re.sub(r"\$[^$]*\$", "", text))
    }
    assert len(terms) >= 35
    assert used == terms
    assert {"sigmoid", "softmax", "loss", "float", "gradient", "gradient-descent"} <= terms


# ---------------------------------------------------------------- files


def test_no_script_or_style_is_inline_or_foreign():
    for file in STATIC.rglob("*"):
        if file.suffix not in (".js", ".css", ".html", ".svg"):
            continue
        text = re.sub(r"http://www\.w3\.org/\S+", "", file.read_text(encoding="utf-8"))
        assert not re.search(r"https?://|//[a-z]+\.[a-z]+/", text), file
        assert not re.search(
            r"innerHTML|\beval\(|new Function|document\.write|insertAdjacentHTML", text
        ), file
    for name, page in files("en").items():
        if name.endswith(".html"):
            assert not re.search(
                r"<style|\son\w+=|\sstyle=|<script(?![^>]*\bsrc=)", page.decode()
            ), name


def test_every_page_has_a_title_and_a_preview():
    found = files("en", address="https://example.org/lesson")
    titles, descriptions, pictures = set(), set(), set()
    for lang in LANGUAGES:
        for place in PLACES:
            page = found[f"{lang}/{place or 'index'}.html"].decode()
            titles.add(re.search("<title>(.+?)</title>", page)[1])
            says = re.search('<meta name="description" content="([^"]{5,})">', page)[1]
            descriptions.add(says)
            assert f'og:description" content="{says}"' in page
            preview = re.search('og:image" content="https://example.org/lesson/([^"]+)"', page)[1]
            assert found[preview].startswith(b"\x89PNG")
            assert len(found[preview]) < 60_000
            pictures.add(found[preview])
            assert f'<html lang="{lang}"' in page
            for other in LANGUAGES:
                assert f'hreflang="{other}" href="https://example.org/lesson/{other}/' in page
    assert len(titles) == len(descriptions) == len(LANGUAGES) * len(PLACES)
    assert len(pictures) == len(LANGUAGES) * len(PLACES)


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("place", PLACES[1:-1])
def test_a_chapter_can_be_read_without_a_script(place, lang):
    """What `tools/render_lesson.py` wrote is what the tables say now: every text, formulas, figures."""
    page = files("en")[f"{lang}/{place}.html"].decode()
    words = (
        re.sub(r"\s+", "", re.sub("<[^>]+>", "", page))
        .replace("&amp;", "&")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
    )
    for key, entry in texts(place).items():
        if re.search(r"(\.claim|\.why|\.caption|\.question)$|^[a-z_]+$", key) and entry[lang]:
            for part in re.split(r"\$[^$]*\$|`[^`]*`|\]\([a-z-]+\)|[*\[\n]+", entry[lang]):
                assert re.sub(r"\s+", "", part) in words, (key, part)
    assert page.count("<math") > 10
    assert page.count("<svg") >= (1 if place == "playground" else 2)
    assert "style=" not in page


def test_the_copy_is_complete_or_not_there(tmp_path, capsys):
    lesson(lang="en", export=tmp_path / "copy", address="https://example.org/")
    assert "any web server" in capsys.readouterr().out
    written = {
        path.relative_to(tmp_path / "copy").as_posix()
        for path in (tmp_path / "copy").rglob("*")
        if path.is_file()
    }
    assert written == {*files("en"), "offline.js"}
    with pytest.raises(FileExistsError, match="export must be a new or empty directory"):
        lesson(export=tmp_path / "copy")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="export must be a new or empty directory"):
        lesson(export=tmp_path / "file")


def test_a_copy_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        lesson(export=tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_one_file_holds_everything(tmp_path):
    lesson(lang="en", single_file=tmp_path / "lesson.html")
    page = (tmp_path / "lesson.html").read_text(encoding="utf-8")
    markup = page.partition('<script type="module">')[0]
    assert not re.search(r'(src|href)="(?!#|data:)', markup)
    assert not re.search(r"^(import|export) ", page, re.MULTILINE)
    with pytest.raises(FileExistsError, match="single_file must not be there yet"):
        lesson(single_file=tmp_path / "lesson.html")


def test_the_module_is_small():
    module = (STATIC / "sigmax.wasm").read_bytes()
    assert len(module) < 450_000
    import gzip

    assert len(gzip.compress(module, 9)) < 150_000


def test_the_check_list_names_every_claim():
    written = (ROOT / "docs" / "lesson.md").read_text(encoding="utf-8")
    for chapter in PLACES[1:-1]:
        for key in texts(chapter):
            if key.endswith(".claim"):
                assert f"`{chapter}.{key.removesuffix('.claim')}`" in written, key


def test_the_package_is_light():
    code = "import sys, sigmax.lesson; sys.exit(any(m in sys.modules for m in ('http.server', 'typer')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert package.__all__ == sorted(package.__all__)
