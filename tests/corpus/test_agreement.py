"""How far our text agrees with the recorded engine, over the commands of docs/agreement.md."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

WORDS = (
    "k,kn,kv,kb,kc,kL,kf,kM,~,~*k,~*kvn,~.,~#,~Ns,|,||,lm,lmo,lml,lmv,lmvm,lmDvm,lma,r,rM,rm,rX,rF,"
    "u,ub,uu,uf,ln,.exr,.ecxr,.cxr,.lastevent,?,.formats,da,db,dw,dd,dq,dc,dp,dps,dds,dqs,du,df,dD,"
    "dyb,dyd,dpp,dpa,dpu,dda,ddp,ds,dS,s,.frame,.f,vertarget,.effmach,n,.echo"
)
LEAST_PERCENT = 90


@pytest.mark.corpus
def test_nine_lines_of_ten_agree(
    data_dir: Path, sample_dump: Callable[[str], Path], tmp_path: Path
) -> None:
    tool = data_dir.parent / "tools" / "agreement.py"
    if not tool.is_file():
        pytest.skip(f"{tool} is not there")
    dumps = data_dir / "samples" / "win" / "dumps"
    for packed in dumps.iterdir():
        name = packed.name.removesuffix(".zst").removesuffix(".dmp")
        shutil.copy(sample_dump(name), tmp_path / f"{name}.dmp")
    samples = data_dir / "samples" / "win"
    done = subprocess.run(
        [
            *(sys.executable, str(tool), "--no-host", "--min", str(LEAST_PERCENT)),
            *("--polydbg", f"{sys.executable} -m polydbg"),
            *("--transcripts", str(data_dir / "windbg-transcripts" / "samples")),
            *("--dumps", str(tmp_path), "--symbols", f"{samples / 'bin'};{samples / 'wine'}"),
            *("--sources", str(samples / "src"), "--only", WORDS, "--show", "40"),
        ],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=tmp_path,
        check=False,
    )
    assert re.search(r"^all: ", done.stdout, re.MULTILINE), done.stderr
    assert done.returncode == 0, done.stdout[-6000:]
