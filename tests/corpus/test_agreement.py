"""How far our text agrees with the recorded engine, over the commands of docs/agreement.md."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

STACKS = "k,kn,kv,kb,kc,kL,kf,kM,~*k,~*kvn,.frame,.f"
OTHERS = (
    "~,~.,~#,~Ns,|,||,lm,lmo,lml,lmv,lmvm,lmDvm,lma,r,rM,rm,rX,rF,"
    "u,ub,uu,uf,ln,.exr,.ecxr,.cxr,.lastevent,?,.formats,da,db,dw,dd,dq,dc,dp,dps,dds,dqs,du,df,dD,"
    "dyb,dyd,dpp,dpa,dpu,dda,ddp,ds,dS,s,vertarget,.effmach,n,.echo"
)
TYPES = "??,dt,dv,dx,x,?,kP,kp,kpn,.printf,.expr,.foreach,.for,.if,as,ad,al,!list"
"""Types, values and the small language."""

X86_DUMPS = (
    "minidump__breakpad__ascii_read_av_conditional.dmp",
    "minidump__breakpad__ascii_write_av.dmp",
    "minidump__breakpad__read_av_conditional.dmp",
)
WINDOWS_DUMPS = (
    *X86_DUMPS,
    "minidump__breakpad__tiny-exe-fastfail.dmp",
    "minidump__kdlib__cv_allreg_amd64.dmp",
    "minidump__rust-minidump__invalid-parameter.dmp",
)
SYMBOLS = (
    "breakpad breakpad-win dump_syms kdlib/cv_allreg_amd64 kdlib/stacktest_wow64 "
    "kdlib/stacktest_x64_release llvm-pdb pdbstore portable-pdb rizin-pdb samply-win64 "
    "symbolic-windows symstore symstore-layout symstore/dir1"
)
"""The folders that the recorded sessions over the collected dumps had as their symbol path."""

WITHOUT_MARKS = """\
import subprocess, sys
done = subprocess.run([sys.executable, "-m", "polydbg", *sys.argv[1:]], stdin=sys.stdin,
                      capture_output=True, text=True, encoding="utf-8")
for line in done.stdout.split("\\n"):
    if not line.startswith("stack ends here"):
        print(line.removesuffix(" (guess)"))
"""
"""polydbg, less the marks that say more of a stack than the engine does."""


def agreement(data_dir: Path, folder: Path, arguments: Sequence[str]) -> str:
    """Return what the tool prints, run in *folder*; too little agreement fails."""
    tool = data_dir.parent / "tools" / "agreement.py"
    if not tool.is_file():
        pytest.skip(f"{tool} is not there")
    done = subprocess.run(
        [sys.executable, str(tool), "--no-host", "--show", "40", *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=folder,
        check=False,
    )
    assert re.search(r"^all: ", done.stdout, re.MULTILINE), done.stderr
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


@pytest.mark.corpus
@pytest.mark.parametrize("commands", [f"{STACKS},{OTHERS}", TYPES], ids=["inspection", "types"])
def test_nine_lines_of_ten_agree(
    data_dir: Path, sample_dump: Callable[[str], Path], tmp_path: Path, commands: str
) -> None:
    samples = data_dir / "samples" / "win"
    for packed in (samples / "dumps").iterdir():
        name = packed.name.removesuffix(".zst").removesuffix(".dmp")
        shutil.copy(sample_dump(name), tmp_path / f"{name}.dmp")
    agreement(
        data_dir,
        tmp_path,
        [
            *("--min", "90", "--polydbg", f"{sys.executable} -m polydbg"),
            *("--transcripts", str(data_dir / "windbg-transcripts" / "samples")),
            *("--dumps", str(tmp_path), "--symbols", f"{samples / 'bin'};{samples / 'wine'}"),
            *("--sources", str(samples / "src"), "--only", commands),
        ],
    )


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("dumps", "words", "marks", "least"),
    [
        pytest.param(WINDOWS_DUMPS, OTHERS, True, 92, id="windows"),
        pytest.param(X86_DUMPS, STACKS, False, 90, id="x86-stacks"),
    ],
)
def test_collected_dumps_agree(
    data_dir: Path, tmp_path: Path, dumps: Sequence[str], words: str, marks: bool, least: int
) -> None:
    """Links named as the transcripts are: path with ``__`` for ``/``."""
    transcripts, links = tmp_path / "transcripts", tmp_path / "dumps"
    transcripts.mkdir()
    for name in dumps:
        path = Path(*name.split("__"))
        shutil.copy(data_dir / "windbg-transcripts" / "data" / f"{name}.txt", transcripts)
        (links / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data_dir / path, links / path)
    program = f"{sys.executable} -m polydbg"
    if not marks:
        script = tmp_path / "without_marks.py"
        script.write_text(WITHOUT_MARKS, encoding="utf-8")
        program = f"{sys.executable} {script}"
    symbols = ";".join(str(data_dir / "symbols" / folder) for folder in SYMBOLS.split())
    agreement(
        data_dir,
        tmp_path,
        [
            *("--min", str(least), "--polydbg", program, "--transcripts", str(transcripts)),
            *("--dumps", str(links), "--symbols", symbols, "--only", words),
        ],
    )
