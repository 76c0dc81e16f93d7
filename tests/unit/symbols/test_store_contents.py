"""What a file is to a store, by its content."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from polydbg.base.errors import DebuggerError
from polydbg.symbols.store.contents import check_content, contents_of

PDB_KEY = "364578E8445C60634C4C44205044422E1"
BUILD_ID = "8b534abedb4924786ad03404a229e7b7850d0e14"


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("win/bin/fastpath.pdb", [("pdb", PDB_KEY, "")]),
        ("win/bin/fastpath.exe", [("image", "6B02EA0F3e000", "")]),
        (
            "linux/bin/cargo-clang-O0-dwarf5",
            [
                ("executable", f"elf-buildid-{BUILD_ID}", ""),
                ("debuginfo", f"elf-buildid-sym-{BUILD_ID}", "_.debug"),
            ],
        ),
    ],
    ids=["pdb", "image", "elf"],
)
def test_kind_key_and_name(data_dir: Path, file: str, expected: list[tuple[str, str, str]]) -> None:
    found = contents_of(data_dir / "samples" / file)
    assert [(each.kind, each.key, each.name) for each in found] == expected


def test_a_breakpad_file_is_kept_under_the_file_that_it_is_about(tmp_path: Path) -> None:
    file = tmp_path / "any.sym"
    file.write_text("MODULE windows x86_64 0123456789ABCDEF0123456789ABCDEF1 c:\\x\\app.pdb\n")
    (found,) = contents_of(file)
    key = "0123456789ABCDEF0123456789ABCDEF1"
    assert (found.kind, found.key, found.name) == ("breakpad", key, "app.pdb")


def test_the_name_of_a_file_does_not_count(data_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "anything.txt"
    shutil.copy(data_dir / "samples/win/bin/fastpath.pdb", copy)
    assert check_content(copy, "pdb", PDB_KEY).matches
    assert not check_content(copy, "pdb", PDB_KEY[:-1] + "2").matches
    assert not check_content(copy, "image", PDB_KEY).matches


@pytest.mark.parametrize(
    "data", [b"", b"MZ", b"\x7fELF", b"MODULE x", b"hello", b"\xca\xfe\xba\xbe"]
)
def test_what_is_no_symbol_file_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "file"
    file.write_bytes(data)
    with pytest.raises(DebuggerError):
        contents_of(file)
