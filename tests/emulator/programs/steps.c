/* Frames of many shapes, stepped through by the test: what the compiler's call frame information
   says must be true at every instruction. */
#include <alloca.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

volatile int sink;

__attribute__((noinline)) int leaf(int a) { return a * 3 + sink; }

__attribute__((noinline)) int middle(int a, int b)
{
    int kept[5] = {a, b, a + b, a - b, a * b};
    for (int i = 0; i < 5; i++)
        kept[i] += leaf(kept[(i + 1) % 5]);
    return kept[0] + kept[4];
}

__attribute__((noinline)) int grown(int count)
{
    char *room = alloca(count * 16 + 1);
    memset(room, 1, count * 16);
    return leaf(room[count]) + middle(count, 2);
}

__attribute__((noinline)) int variadic(int count, ...)
{
    va_list list;
    int sum = 0;
    va_start(list, count);
    for (int i = 0; i < count; i++)
        sum += leaf(va_arg(list, int));
    va_end(list);
    return sum;
}

__attribute__((noinline)) int tail(int a) { return middle(a, a + 1); }

__attribute__((noinline)) double floats(double a, int n) { return n ? floats(a * 1.5, n - 1) + a : a; }

__attribute__((noinline)) int aligned(int a)
{
    __attribute__((aligned(64))) char room[128];
    memset(room, a, sizeof room);
    return leaf(room[a]);
}

__attribute__((noinline)) int many(long a, long b, long c, long d, long e, long f, long g, long h)
{
    return leaf(a + b + c + d) + leaf(e + f + g + h);
}

static int compare(const void *a, const void *b) { return leaf(*(int *)a) - leaf(*(int *)b); }

__attribute__((noinline)) void handler(int number) { sink = middle(number, 1) & 1; }

int run(int argc)
{
    int values[4] = {4, argc, 3, 2};
    int sum = middle(argc, 2) + grown(3) + variadic(4, 1, 2, 3, 4) + tail(5) + aligned(3);
    sum += many(1, 2, 3, 4, 5, 6, 7, 8) + (int)floats(1.0, 3);
    qsort(values, 4, sizeof *values, compare);
    raise(SIGUSR1);
    sum += abs(atoi("-17"));
    return sum;
}

int main(int argc, char **argv)
{
    (void)argv;
    signal(SIGUSR1, handler);
    return run(argc) & 1;
}
