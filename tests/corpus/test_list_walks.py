"""``!list`` and ``!for_each_local`` on real types: the samples' own lists and frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import polydbg
from polydbg.library.session import DumpSession

PRINT = '-x ".printf \\"%d \\", dwo(@$extret + c)"'


@pytest.fixture(scope="module")
def windows(data_dir: Path, sample_dump: Callable[[str], Path]) -> Iterator[DumpSession]:
    paths = str(data_dir / "samples" / "win" / "bin")
    with polydbg.open(sample_dump("heapdata-snap"), symbols=paths, images=paths) as dump:
        yield dump


def shown(dump: DumpSession, line: str) -> str:
    return dump.command(line, check=False).text.replace("\n", "")


def test_every_node_of_a_list(windows: DumpSession) -> None:
    values = " ".join(map(str, range(100, 110)))
    line = f"!list -t heapdata!node.next {PRINT} poi(heapdata!g_list)"
    assert values in shown(windows, line)
    assert values in shown(windows, line.replace("heapdata!node.", "node."))


def test_counts_echo_and_the_quoted_form(windows: DumpSession) -> None:
    line = f"!list -t heapdata!node.next -m 2 {PRINT} poi(heapdata!g_list)"
    assert shown(windows, line) == "100 101 "
    quoted = line.replace("!list ", "").replace("\\", "\\\\").replace('"', '\\"')
    assert shown(windows, f'!list "{quoted}"') == "100 101 "
    echoed = shown(windows, "!list -t node.next -m 1 -e -x dq -a L1 poi(heapdata!g_list)")
    assert echoed.startswith("dq @$extret L1")


@pytest.mark.parametrize(
    ("link", "words"),
    [("node.value", "is no pointer"), ("node.nosuch", "does not have given member"),
     ("nosuch.next", "Couldn't resolve type"), ("node", "takes a type and its field")],
)  # fmt: skip
def test_links_that_are_none(windows: DumpSession, link: str, words: str) -> None:
    assert words in shown(windows, f"!list -t heapdata!{link} -x k 5")


def test_a_list_of_dwarf_types_from_a_local(data_dir: Path) -> None:
    linux = data_dir / "samples" / "linux"
    core = linux / "cores" / "cargo-gcc-O0-dwarf4.core.zst"
    with polydbg.open(core, images=str(linux / "bin")) as dump:
        names = [dump.command(f".frame {number}; !for_each_local").text for number in range(8)]
        number = next(n for n, text in enumerate(names) if "ship" in text.split())
        dump.command(f".frame {number}")
        crate = '-x ".printf \\"%d \\", dwo(@$extret)" @@c++(&ship->crates[0])'
        walked = shown(dump, f"!list -t crate.next -m 2 {crate}")
        assert walked.endswith("501 502 ")
        printed = dump.command("!for_each_local dv @#Local").text
        assert "ship" in printed
