/* Crashes in the way that its argument names; lldb writes a minidump of each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static const char text[] = "constant";
static volatile int sink;

static void read_from(volatile char *at) { sink = at[8]; }
static void call(void (*function)(void)) { function(); sink = 1; }
static void smash(int size) { char data[16]; memset(data, 'A', size); sink = data[3]; }
static int divide(int a, int b) { return a / b; }

int main(int count, char **arguments)
{
    const char *kind = arguments[1];
    if (!strcmp(kind, "null-read")) read_from(0);
    if (!strcmp(kind, "non-canonical")) read_from((char *)0x4141414142424242);
    if (!strcmp(kind, "null-call")) call(0);
    if (!strcmp(kind, "data-call")) call((void (*)(void))&sink);
    if (!strcmp(kind, "read-only")) *(volatile char *)text = 'x';
    if (!strcmp(kind, "smash")) smash(64);
    if (!strcmp(kind, "zero")) sink = divide(5, count - 2);
    if (!strcmp(kind, "privileged")) __asm__ volatile("hlt");
    if (!strcmp(kind, "crooked")) __asm__ volatile("movaps 1(%rsp), %xmm0");
    if (!strcmp(kind, "trap")) __builtin_trap();
    if (!strcmp(kind, "abort")) abort();
    if (!strcmp(kind, "unmapped")) {
        char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        munmap(page, 4096);
        read_from(page);
    }
    return 0;
}
