/* Crashes in the way that its argument names; lldb writes a minidump of each. */
#define _GNU_SOURCE
#include <assert.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define IS(name) (!strcmp(kind, name))

typedef void (*function)(void);

static const char text[] = "constant";
static volatile int sink;
static volatile uintptr_t zero;

static void read_from(uintptr_t at) { sink = ((volatile char *)at)[8]; }
static void write_to(uintptr_t at) { ((volatile char *)at)[8] = 1; }
static void call(uintptr_t target) { ((function)target)(); sink = 1; }
static int divide(int a, int b) { return a / b; }

static void smash(uintptr_t word)
{
    volatile uintptr_t local[2];
    for (int i = 0; i < 8; i++)
        local[i] = word;
}

static int deep(int n)
{
    volatile char room[64];
    room[0] = n;
    return n ? deep(n - 1) + room[0] : *(volatile int *)zero;
}

static int endless(int n)
{
    volatile char room[200];
    room[0] = n;
    return endless(n + 1) + room[0];
}

static void *endless_thread(void *unused) { sink = endless(0); return unused; }
static void *null_thread(void *unused) { write_to(0); return unused; }

static uintptr_t page(int protection)
{
    return (uintptr_t)mmap(0, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void past_file(void)
{
    char name[] = "/tmp/crashes-XXXXXX";
    int file = mkstemp(name);
    unlink(name);
    if (!ftruncate(file, 4096))
        read_from((uintptr_t)mmap(0, 8192, PROT_READ, MAP_SHARED, file, 0) + 4096);
}

static void on_thread(void *(*routine)(void *))
{
    pthread_t thread;
    pthread_create(&thread, 0, routine, 0);
    pthread_join(thread, 0);
}

static void pointers(const char *kind)
{
    if (IS("null-read")) read_from(0);
    if (IS("null-write")) write_to(0);
    if (IS("null-call")) call(0);
    if (IS("null-thread")) on_thread(null_thread);
    if (IS("deep-null")) sink = deep(200);
    if (IS("large-null")) sink = *(volatile int *)(zero + 0x12340);
    if (IS("below-null")) read_from(-0x28);
    if (IS("small")) read_from(5);
    if (IS("text")) read_from(0x4141414142424242);
    if (IS("non-canonical")) write_to(0x8000000000000000);
    if (IS("system")) read_from(0xffff888000001000);
    if (IS("freed")) read_from(0xdddddddddddddddd);
    if (IS("unmapped")) read_from(0x123456789000);
    if (IS("no-access")) read_from(page(PROT_NONE));
    if (IS("page-write")) write_to(page(PROT_READ));
    if (IS("constant-write")) *(volatile char *)text = 'x';
    if (IS("code-write")) *(volatile char *)(uintptr_t)divide = 0;
    if (IS("past-file")) past_file();
    if (IS("push")) __asm__ volatile("1: push %rax; jmp 1b"); /* lldb wants sp to be mapped */
    if (IS("endless-thread")) on_thread(endless_thread);
}

static void calls(const char *kind)
{
    volatile char code[16] = {0x90, (char)0xc3};
    if (IS("wild-call")) call(0x123456789000);
    if (IS("text-call")) call(0x4141414142424242);
    if (IS("fresh-call")) call(0xcdcdcdcdcdcdcdcd);
    if (IS("data-call")) call((uintptr_t)&sink);
    if (IS("constant-call")) call((uintptr_t)text);
    if (IS("page-call")) call(page(PROT_READ | PROT_WRITE));
    if (IS("stack-call")) call((uintptr_t)code);
    if (IS("text-return")) smash(0x4141414141414141);
    if (IS("null-return")) smash(0);
    if (IS("data-return")) smash((uintptr_t)&sink);
    if (IS("wild-return")) smash(0x123456789000);
}

static void others(const char *kind)
{
    if (IS("zero")) sink = divide(5, zero);
    if (IS("quotient")) sink = divide(INT_MIN, zero - 1);
    if (IS("float"))
        __asm__ volatile("push $0x1d00; ldmxcsr (%%rsp); pop %%rax; xorps %%xmm0,%%xmm0;"
                         "divss %%xmm0,%%xmm0" : : : "rax", "xmm0");
    if (IS("trap")) __builtin_trap();
    if (IS("bad-code")) __asm__ volatile(".byte 0x06, 0x06");
    if (IS("hlt")) __asm__ volatile("hlt");
    if (IS("int")) __asm__ volatile("int $0x29");
    if (IS("int3")) __asm__ volatile("int3");
    if (IS("movaps")) __asm__ volatile("movaps 1(%rsp), %xmm0");
    if (IS("addps")) __asm__ volatile("addps 1(%rsp), %xmm0");
    if (IS("alignment"))
        __asm__ volatile("pushf; orl $0x40000,(%%rsp); popf; lea -64(%%rsp),%%rax; or $1,%%rax;"
                         "mov (%%rax),%%ecx" : : : "rax", "rcx");
    if (IS("string"))
        __asm__ volatile("xor %%edi,%%edi; mov $8,%%ecx; rep stosq" : : : "rdi", "rcx", "memory");
    if (IS("abort")) abort();
    if (IS("assert")) assert(zero);
    if (IS("raise")) raise(SIGSEGV);
    if (IS("kill")) kill(getpid(), SIGSEGV);
    if (IS("kill-fpe")) kill(getpid(), SIGFPE);
}

int main(int count, char **arguments)
{
    const char *kind = arguments[1];
    zero = count - 2;
    pointers(kind);
    calls(kind);
    others(kind);
    return 0;
}
