"""What PDBs say of their source files: digests, source links, source servers."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from polydbg.base.cancel import CancelToken
from polydbg.symbols.pdb import open_pdb
from polydbg.symbols.source import SourceDigest, SourceRecord

CLANG, LINKER = shutil.which("clang-19"), shutil.which("lld-link-19")
SOURCE = b"int start(int a)\n{\n    return a * 3;\n}\n"


@pytest.mark.skipif(not (CLANG and LINKER), reason="needs clang-19 and lld-link-19")
def test_pdb_with_source_link(tmp_path: Path) -> None:
    assert CLANG
    assert LINKER
    source = tmp_path / "src" / "Main File.c"
    source.parent.mkdir()
    source.write_bytes(SOURCE)
    documents = {f"{tmp_path}/src/*": "https://host.example/raw/*?v=1"}
    (tmp_path / "links.json").write_text(json.dumps({"documents": documents}))
    obj, pdb = tmp_path / "a.obj", tmp_path / "a.pdb"
    target = "--target=x86_64-pc-windows-msvc"
    compile_ = [CLANG, target, "-c", "-g", "-gcodeview", "-O0", str(source), "-o", str(obj)]
    subprocess.run(compile_, check=True, timeout=60)
    link = [LINKER, "/nologo", "/debug", "/entry:start", "/nodefaultlib", "/subsystem:console"]
    link += [
        f"/pdbstream:sourcelink={tmp_path}/links.json",
        f"/pdb:{pdb}",
        f"/out:{tmp_path}/a.exe",
    ]
    subprocess.run([*link, str(obj)], check=True, timeout=60)
    opened = open_pdb(pdb)
    try:
        rva = opened.rvas_of_line("Main File.c", 3, CancelToken())[0]
        row = opened.line_at(rva)
        assert row is not None
        found = opened.source_record(rva, row.file)
        assert found.urls == ("https://host.example/raw/Main%20File.c?v=1",)
        digest = hashlib.md5(SOURCE, usedforsecurity=False).digest()
        assert found.digest == SourceDigest("md5", digest)
        assert opened.source_record(rva, "/elsewhere/x.c") == SourceRecord()
    finally:
        opened.close()
