"""``s`` finds what only the image file has, and what ``db`` then shows."""

from __future__ import annotations

from conftest_types import Run

from polydbg.engine.session import Session
from polydbg.symbols.store.path import SymbolPath


def test_text_of_a_read_only_section_is_found(run: Run) -> None:
    found = run('s -[1]a practice L20000 "Aiko"')
    assert found == ["0x00000001`400091e4"]
    assert run("da 1400091e4")[0].endswith('"Aiko"')
    assert any('"Aiko"' in line for line in run("s -sa 1400091e0 L10"))


def test_writable_memory_has_no_stand_in(run: Run, session: Session) -> None:
    assert run('s -[w]a 1400091e0 L10 "Aiko"')[-1] != "Aiko"
    assert not any("Aiko" in line for line in run('s -[w]a 1400091e0 L10 "Aiko"'))


def test_without_the_image_there_is_nothing(run: Run, session: Session) -> None:
    session.settings.image_path = session.settings.symbol_path = SymbolPath.parse("")
    module = session.current.modules.named("practice")
    assert module is not None
    module._file_tried, module._file_image = True, None
    assert run('s -a 1400091e0 L10 "Aiko"') == [""]
