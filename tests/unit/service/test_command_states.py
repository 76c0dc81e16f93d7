"""The reference lists every command of WinDbg that people use, and whether it works here."""

from __future__ import annotations

import re

from polydbg.commands.registry import ABSENT_FAMILY, LIVE_FAMILY, REGISTRY
from polydbg.service.reference import command_state, commands_page

WANTED = r"""
    !acl !address !alpc !analyze !apc !avrf !ca !chkimg !chksym !clrstack !cppexr !cpuid
    !cpuinfo !cs !db !dblink !dc !dd !deadlock !devext !devnode !devobj !devstack !dflink !dh
    !dlls !dml_proc !dp !dpcs !dq !dreg !drivers !drvobj !du !dumpheap !dw !eb !ed !envvar
    !error !exchain !exqueue !filecache !fileobj !findstack !findthreads !findxmldata
    !for_each_frame !for_each_function !for_each_local !for_each_module !for_each_process
    !for_each_register !for_each_thread !gcroot !gflag !gle !handle !heap !help !homedir
    !hstring !htrace !idt !igrep !imgreloc !index !irp !irpfind !irql !itoldyouso !job !list
    !lmi !locks !lpc !mapped_file !memusage !object !pcr !pe !peb !pool !poolfind !poolused
    !poolval !positions !prcb !process !pte !ptov !qlocks !ready !reg !runaway !running !sd
    !session !sid !stacks !stl !str !sw !sym !symsrv !sysinfo !teb !thread !threads !timer !tls
    !token !triage !tt !tz !uniqstack !ustr !vad !vadump !verifier !version !vm !vprot !vtop
    !whea # $< * .abandon .allow_exec_cmds .allow_image_mapping .apply_dbp .asm .attach .beep
    .block .bpcmds .bpsync .break .breakin .browse .bugcheck .cache .call .catch .chain
    .childdbg .clients .closehandle .cls .context .continue .copysym .cordll .crash .create
    .createdir .cxr .dbgdbg .detach .dml_flow .dml_start .do .dump .dumpcab .dvalloc .dvfree
    .echo .echocpunum .echotime .echotimestamps .ecxr .effmach .else .elsif .enable_long_status
    .enable_unicode .endpsrv .endsrv .event_code .eventlog .excr .exepath .expr .exptr .exr
    .extmatch .extpath .f+ .f- .fiber .fiximports .flash_on_break .fnent .fnret .for
    .force_radix_output .foreach .formats .fpo .frame .help .hh .hideinjectedcode .holdmem
    .idle_cmd .if .ignore_missing_pages .imgscan .inline .jdinfo .kframes .kill .lastevent
    .leave .lines .load .loadby .locale .logappend .logclose .logfile .logopen .lsrcfix
    .lsrcpath .netuse .noshell .noversion .nvlist .nvload .nvunload .ocommand .ofilter .open
    .opendump .outmask .pagein .pcmd .pop .prefer_dml .printf .process .prompt_allow .push
    .quit_lock .readmem .reboot .reload .remote .remote_exit .restart .scriptdebug .scriptlist
    .scriptload .scriptproviders .scriptrun .scriptunload .scroll_prefs .secure .send_file
    .server .servers .setdll .settings .shell .sleep .sound_notify .srcfix .srcnoisy .srcpath
    .step_filter .suspend_ui .symfix .symopt .sympath .thread .time .tlist .trap .tss .ttime
    .typeopt .unload .unloadall .wake .while .write_cmd_hist .writemem .wtitle ? ?? a ah ba bc
    bd be bl bm bp br bs bsc bu c d dD dS dW da db dc dd dda ddp dds ddu df dg dl dp dpa dpp dps
    dpu dq dqa dqp dqs dqu ds dt dtx du dv dw dx dyb dyd e eD ea eb ed ef ep eq eu ew eza ezu f
    fp g g- gN gc gh gn gu gu- ib id iw j k ld lm ln ls lsa lsc lsf lsp m n ob od ow p p- pa pc
    pct ph pt q qd qq r rM rdmsr rm s so sq ss sx sxr t t- ta tb tc tct th tt u ub uf up ur uu
    ux version vertarget wrmsr wt x | || ~
"""
"""The commands of the tables of the command language's reference, sections 11 to 24."""


def test_every_command_of_the_reference_has_its_state() -> None:
    rows = re.findall(r"^\| `(.+)` \| (.+) \|$", commands_page(), re.M)
    states = {name.replace("\\|", "|"): state for name, state in rows}
    missing = [name for name in WANTED.split() if name not in states and name.lower() not in states]
    assert not missing
    kinds = ("done", "not possible with a dump: ", "not yet: ")
    assert all(state.startswith(kinds) for state in states.values())


def test_what_does_not_work_says_what_does() -> None:
    for entry in REGISTRY.commands():
        state = command_state(entry)
        if entry.family in (ABSENT_FAMILY, LIVE_FAMILY):
            assert len(state.partition(": ")[2]) > 10, entry.name
        else:
            assert state == "done"
