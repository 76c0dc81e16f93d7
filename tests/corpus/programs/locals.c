/* Locals of many kinds, then a stop: built with -O0 and -O2 by tests/corpus/test_live_locals.py. */
#include <complex.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>

#define NOINLINE __attribute__((noinline, noclone))
typedef float four __attribute__((vector_size(16)));

struct pair { int64_t first; double second; };
struct small { int16_t a; int8_t b; uint8_t c : 3; uint8_t d : 5; int32_t e; };
enum colour { RED = -1, GREEN, BLUE = 70000 };

int g_count = 41;
static const unsigned char s_bytes[4] = {1, 2, 3, 4};
static int s_shared = 5;
__thread long t_own = 1234567890123;
__thread int t_zero;
extern __thread int t_library;
int library_call(int number);
volatile int sink;

NOINLINE void stop(int code, const char *why) {
    sink = code + why[0];
    raise(SIGTRAP);
    sink++;
}

static inline __attribute__((always_inline)) int inlined(int by, struct pair given) {
    int scaled = by * 3;
    double half = given.second / 2;
    static int s_calls = 7;
    s_calls += scaled;
    {
        int scaled = by + 1000;
        sink = scaled;
        stop(scaled + s_calls, "inlined");
    }
    return scaled + (int)half;
}

NOINLINE int entry_only(int lost, long also_lost, double gone) {
    sink = lost + also_lost + (int)gone;
    stop(1, "entry");
    return sink;
}

NOINLINE int with_pieces(struct pair moved, struct small tiny, enum colour colour, int count) {
    struct pair mine = {moved.first + count, moved.second * 2};
    four lanes = {1, 2, 3, (float)count};
    int result = 0;
    for (int i = 0; i < count; i++) {
        int square = i * i;
        if (i == 3)
            result += entry_only(square, mine.first, mine.second);
        result += square + (int)lanes[i & 3];
    }
    return result + tiny.e + colour + (int)mine.second + (int)mine.first;
}

NOINLINE int with_array(int length, uint64_t wide, char letter) {
    int numbers[8];
    static uint32_t s_total = 17;
    float _Complex turn = 1.5f + 2.5f * I;
    __int128 huge = (__int128)wide << 64 | 99;
    for (int i = 0; i < 8; i++)
        numbers[i] = i * length;
    struct pair pair = {(int64_t)wide, -0.125};
    struct small tiny = {-2, 'x', 5, 30, 1 << 20};
    s_total += numbers[3];
    int got = inlined(numbers[2], pair);
    got += with_pieces(pair, tiny, BLUE, 5);
    return got + letter + numbers[7] + (int)crealf(turn) + (int)(huge >> 64) + s_bytes[length & 3];
}

NOINLINE int deep(int level, int *above) {
    int here = level * 11;
    if (level == 0)
        return with_array(2, 0x1122334455667788, 'q') + *above;
    return deep(level - 1, &here) + here + 1;
}

NOINLINE int called_back(const void *left, const void *right) {
    int a = *(const int *)left, b = *(const int *)right;
    if (a == 30 || b == 30)
        stop(a - b, "callback");
    return a < b ? -1 : a > b;
}

int main(int argc, char **argv) {
    int start = 3, things[3] = {20, 30, 10};
    t_zero = argc;
    qsort(things, 3, sizeof things[0], called_back);
    sink = library_call(s_shared + g_count);
    start += deep(argc + 1, &start);
    return argv[0][0] + start == 0 && t_own == t_library + s_shared;
}
