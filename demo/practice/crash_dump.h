/* crash_dump.h - writes a minidump when the program crashes. */
#ifndef CRASH_DUMP_H
#define CRASH_DUMP_H

/* From now on, an unhandled exception writes a minidump to `path` and ends the process. */
void crash_dump_to(const char *path);

#endif
