"""Pages made from tables are up to date, and links between pages lead somewhere."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from polydbg.cli.docs import page
from polydbg.cli.options import UsageError
from polydbg.service.api import CommandEnd, Event, ItemsEvent, OpenRequest
from polydbg.service.local import LocalClient

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("name", ["cli", "commands", "json"])
def test_page_is_up_to_date(name: str) -> None:
    kept = (ROOT / "docs" / f"{name}.md").read_text("utf-8")
    assert kept == page([name]), f"run: polydbg docs {name} > docs/{name}.md"


def test_another_page_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        page(["nothing"])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text("utf-8"))
    missing = [t for t in targets if "://" not in t and not (path.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize(
    "path", [p for p in PAGES if p.name != "CHANGELOG.md"], ids=lambda p: p.name
)
def test_source_files_that_pages_name_exist(path: Path) -> None:
    """A name in backticks that begins with a layer's folder is a file or folder of the package."""
    package = ROOT / "src" / "polydbg"
    layers = "|".join(sorted(p.name for p in package.iterdir() if p.is_dir()))
    named = re.findall(rf"`((?:{layers})/[\w/]*(?:\.py)?)`", path.read_text("utf-8"))
    assert not [name for name in named if not (package / name).exists()]


def tour(title: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command of a chapter of the README with the lines that it shows; ``""`` for
    opening."""
    text = (ROOT / "README.md").read_text("utf-8")
    start = text.index(f"## {title}")
    chapter = text[start : text.index("\n## ", start + 1)]
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", chapter, re.S | re.M)
    for block in (content for language, content in blocks if not language):
        for part in re.split(r"^(?=0:000>|\$ )", block, flags=re.M):
            prompt, *shown = part.rstrip("\n").split("\n")
            command = prompt.removeprefix("0:000>").strip()
            if shown and not prompt.startswith(("0:000>", "$ ")):
                continue
            if shown:
                yield "" if command.startswith("$") else command, shown
            elif command and prompt.startswith("0:000>"):
                yield command, ["..."]


def lines_of(events: Iterator[Event]) -> list[str]:
    items = [i for e in events if isinstance(e, ItemsEvent) for i in e.items]
    text = "\n".join(i.text() for i in items if not isinstance(i, CommandEnd))
    return [line.rstrip() for line in text.split("\n")]


def fits(shown: list[str], printed: list[str]) -> bool:
    """Tell whether *printed* is what is *shown*, where ``...`` leaves out text or whole lines."""
    patterns = [
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
        for line in shown
    ]
    pattern = "".join(patterns)
    return re.fullmatch(pattern, "\n".join(printed) + "\n") is not None


def test_the_tour_prints_what_the_readme_shows() -> None:
    """Run in order, in one session, as a newcomer types it."""
    folder = str(resources.files("polydbg") / "demo")
    client = LocalClient()
    try:
        opening = OpenRequest([f"{folder}/practice.dmp"], folder, folder, folder)
        opened = lines_of(client.open(opening))
        steps = list(tour("Five minutes"))
        assert len(steps) > 10
        for command, shown in steps:
            printed = lines_of(client.execute(command)) if command else opened
            assert fits(shown, printed), (command, printed)
    finally:
        client.close()


def test_the_core_from_a_container_prints_what_the_readme_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT / "src" / "polydbg" / "demo" / "container")
    client = LocalClient()
    try:
        opening = OpenRequest(
            ["core.7"], symbol_path="symbols", source_path=".", sysroots=("image.tar",)
        )
        opened = lines_of(client.open(opening))
        steps = list(tour("A core from a container"))
        assert len(steps) == 4
        for command, shown in steps:
            printed = lines_of(client.execute(command)) if command else opened
            assert fits(shown, printed), (command, printed)
    finally:
        client.close()


def test_types_of_a_core_print_what_the_readme_shows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The program of the chapter is built, and its core written, here."""
    if not (shutil.which("g++") and shutil.which("gdb")):
        pytest.skip("no g++ or no gdb")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text("utf-8")
    source = re.search(r"```cpp\n(.*?)```", text, re.S)
    assert source is not None
    Path("route.cpp").write_text(source[1], "utf-8")
    subprocess.run(["g++", "-g", "-o", "route", "route.cpp"], check=True, timeout=60)
    take = ["gdb", "-q", "-batch", "-ex", "run", "-ex", "generate-core-file core", "./route"]
    subprocess.run(take, check=True, timeout=60, capture_output=True)
    client = LocalClient()
    try:
        opened = lines_of(client.open(OpenRequest(["core"])))
        steps = list(tour("Types and variables"))
        assert len(steps) == 10
        for command, shown in steps:
            printed = lines_of(client.execute(command)) if command else opened
            assert fits(shown, printed), (command, printed)
    finally:
        client.close()


def test_microsofts_symbols_come_as_the_readme_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Microsoft's server played by one of ours, behind a proxy: typed as written."""
    import ssl

    import trustme
    from tests.servers import unruly
    from tests.servers.proxy import Proxy
    from tests.servers.stores import practice_store

    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("msdl.microsoft.com").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    files = {f"/download/symbols{path}": data for path, data in practice_store().items()}
    dump = tmp_path / "crash.dmp"
    dump.write_bytes((ROOT / "src" / "polydbg" / "demo" / "practice.dmp").read_bytes())
    with (
        unruly.Unruly(files, context) as server,
        Proxy(routes={"msdl.microsoft.com": server.port}) as proxy,
    ):
        monkeypatch.setenv("https_proxy", f"http://{proxy.address}")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "cache"))
        server.behaviours["/download"] = unruly.slow(0.2)
        client, said = LocalClient(), list[str]()
        client.listen(lambda items: said.extend(item.text() for item in items))
        try:
            printed = lines_of(client.open(OpenRequest([str(dump)], use_environment=False)))
            steps = list(tour("Microsoft's symbols"))
            assert [command for command, _ in steps] == ["", ".symfix", ".ecxr", "k 3"]
            for command, shown in steps:
                if command == ".ecxr":
                    for _ in range(200):
                        if any("Symbols of practice arrived" in line for line in said):
                            break
                        time.sleep(0.05)
                printed = lines_of(client.execute(command)) if command else printed
                assert fits(shown, printed) or shown == ["..."], (command, printed)
            arrived = [line for line in said if line.startswith("Symbols of practice")]
            assert fits(["Symbols of practice arrived: practice.pdb (... KB) from "
                         "msdl.microsoft.com"], arrived)  # fmt: skip
        finally:
            client.close()


def test_our_own_symbol_server_works_as_the_readme_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Typed as written, but for the port, which may be in use."""
    from tests.servers.serving import serving

    from polydbg.cli.main import main

    text = (ROOT / "README.md").read_text("utf-8")
    start = text.index("## Our own symbol server")
    chapter = text[start : text.index("\n## ", start + 1)]
    commands = re.findall(r"^\$ polydbg (.*)$", chapter, re.M)
    blocks = re.findall(r"```\n(.*?)```", chapter, re.S)
    add, serve, open_ = (shlex.split(command) for command in commands)
    (tmp_path / "src").symlink_to(ROOT / "src")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POLYDBG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    assert main(add) == 0
    printed = capsys.readouterr().out.splitlines()
    shown = blocks[0].split("\n$ ")[0].split("\n")[1:]
    assert fits(shown, printed), printed
    (tmp_path / "crash.dmp").write_bytes((ROOT / "src/polydbg/demo/practice.dmp").read_bytes())
    assert serve[:2] == ["sym", "serve"]
    with serving(Path(serve[2])) as url:
        words = [word.replace("http://127.0.0.1:8080", url) for word in open_]
        assert main([*words, "-c", "q"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert fits(blocks[1].rstrip("\n").split("\n")[1:], printed), printed
