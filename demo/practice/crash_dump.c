/* crash_dump.c - see crash_dump.h.
 *
 * The usual crash handler of a Windows program: an unhandled-exception filter that calls
 * MiniDumpWriteDump of dbghelp.dll with the exception's pointers.
 */
#include "crash_dump.h"

#include <windows.h>
#include <dbghelp.h>

typedef BOOL (WINAPI *write_dump_fn)(HANDLE, DWORD, HANDLE, MINIDUMP_TYPE,
                                     PMINIDUMP_EXCEPTION_INFORMATION,
                                     PMINIDUMP_USER_STREAM_INFORMATION,
                                     PMINIDUMP_CALLBACK_INFORMATION);

static const char *dump_path;
static write_dump_fn write_dump;

static LONG WINAPI on_unhandled(EXCEPTION_POINTERS *pointers)
{
    MINIDUMP_EXCEPTION_INFORMATION exception = { GetCurrentThreadId(), pointers, FALSE };
    HANDLE file = CreateFileA(dump_path, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);

    if (file != INVALID_HANDLE_VALUE && write_dump) {
        write_dump(GetCurrentProcess(), GetCurrentProcessId(), file,
                   MiniDumpWithThreadInfo | MiniDumpWithUnloadedModules, &exception, NULL, NULL);
        CloseHandle(file);
    }
    TerminateProcess(GetCurrentProcess(), pointers->ExceptionRecord->ExceptionCode);
    return EXCEPTION_EXECUTE_HANDLER;
}

void crash_dump_to(const char *path)
{
    HMODULE dbghelp = LoadLibraryA("dbghelp.dll");

    dump_path = path;
    write_dump = (write_dump_fn)(void *)GetProcAddress(dbghelp, "MiniDumpWriteDump");
    SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX);
    SetUnhandledExceptionFilter(on_unhandled);
}
