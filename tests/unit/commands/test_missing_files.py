"""What to do about missing files is said once a command, however many modules lack them."""

from __future__ import annotations

from conftest_types import Items

from polydbg.commands.output import Notice


def next_steps(items: Items, line: str) -> list[str]:
    found = items(line)
    steps = [n for n in found if isinstance(n, Notice) and n.identifier == "symbols.next-step"]
    assert not steps or found[-1] is steps[-1]
    return [notice.text().strip() for notice in steps]


def test_once_for_all_modules_and_only_when_news(items: Items) -> None:
    (step,) = next_steps(items, "ln ntdll + 10")
    assert step == "!sym why ntdll says where its files were sought and what to do"
    assert next_steps(items, "x ntdll!a*") == []


def test_a_module_has_one_line_about_its_image(items: Items) -> None:
    lines = "\n".join(item.text() for item in items("~*k")).split("\n")
    for name in ("ntdll.dll", "kernel32.dll"):
        about = [line for line in lines if name in line and "image" in line]
        assert len(about) <= 1, about


def test_commands_that_say_it_themselves(items: Items) -> None:
    assert next_steps(items, "!sym why ntdll") == []
    assert next_steps(items, ".reload /f") == []
