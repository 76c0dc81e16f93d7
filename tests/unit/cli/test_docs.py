"""Pages made from tables are up to date, and links between pages lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from polydbg.cli.docs import page
from polydbg.cli.options import UsageError

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
