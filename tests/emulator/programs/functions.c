/* Functions of every shape that unwinding must cope with. Compiled several times by build.sh,
 * each time with another NAME prefix, compiler and optimisation level. Every exported function
 * takes two integers and returns one; there is no runtime below. */
#define GLUE2(a, b) a##_##b
#define GLUE(a, b) GLUE2(a, b)
#define NAME(n) GLUE(PREFIX, n)
#define EXPORT __declspec(dllexport)
#define NOINLINE __attribute__((noinline))
typedef long long i64;

extern volatile i64 g_sink;
extern i64 asm_halt(i64, i64) __attribute__((noreturn));

static NOINLINE i64 leaf(i64 a, i64 b) { return a * 3 + b; }

static NOINLINE i64 note(i64 a, i64 b) { g_sink += a ^ b; return g_sink & 7; }

/* Many values live across calls: pushes of all preserved registers. */
EXPORT i64 NAME(pushes)(i64 a, i64 b)
{
    i64 c = note(a, b), d = note(b, c), e = note(c, d), f = note(d, e), g = note(e, f);
    i64 h = note(a + c, b + d), i = note(e + f, g);
    return a + b * 3 + c * 5 + d * 7 + e * 11 + f * 13 + g * 17 + h * 19 + i * 23;
}

/* More than a page of locals: a probe in the prolog. */
EXPORT i64 NAME(large_frame)(i64 a, i64 b)
{
    volatile i64 room[3000];
    room[0] = a;
    room[2999] = b;
    return note(room[0], room[2999]) + leaf(a, b);
}

static NOINLINE i64 fill(char *room, i64 count)
{
    for (i64 i = 0; i < count; i++)
        room[i] = (char)i;
    return room[count - 1];
}

/* A frame register, because the frame grows. */
EXPORT i64 NAME(alloca)(i64 a, i64 b)
{
    i64 sum = 0;
    for (i64 i = 1; i < 4; i++)
        sum += fill(__builtin_alloca((a & 15) * 8 + i * 16), i * 2) + note(sum, b);
    return sum;
}

static NOINLINE double real(double x, i64 a) { g_sink += a; return x * 1.5 + (double)a; }

/* Values in xmm registers live across calls. */
EXPORT i64 NAME(saved_xmm)(i64 a, i64 b)
{
    double p = real((double)a, b), q = real(p, a), r = real(q, b), s = real(r, a), t = real(s, b);
    return (i64)(p + 2 * q + 3 * r + 5 * s + 7 * t + real(p, 1) + real(q, 2));
}

typedef i64 (*function)(i64, i64);
extern volatile function g_functions[4];
function volatile NAME(table)[2];

EXPORT i64 NAME(tail_call)(i64 a, i64 b)
{
    i64 c = note(a, b), d = note(b, a);
    return NAME(pushes)(c + a, d + b);
}

EXPORT i64 NAME(tail_call_indirect)(i64 a, i64 b)
{
    NAME(table)[0] = leaf;
    NAME(table)[1] = note;
    i64 c = note(a, b);
    return NAME(table)[c & 1](c, a);
}

EXPORT i64 NAME(recursion)(i64 a, i64 b)
{
    if (a <= 0)
        return leaf(a, b);
    i64 c = NAME(recursion)(a - 3, b + 1);
    return c + note(a, c);
}

/* A loop that the optimiser turns tail recursion into, or a jump to itself. */
EXPORT i64 NAME(self_tail)(i64 a, i64 b)
{
    if (a <= 0)
        return note(a, b);
    return NAME(self_tail)(a - note(a, b) - 1, b + 2);
}

/* A rarely used part, for compilers that move such parts away. */
static NOINLINE __attribute__((cold)) i64 rare(i64 a, i64 b) { return note(a, b) + 99; }

EXPORT i64 NAME(hot_cold)(i64 a, i64 b)
{
    i64 c = note(a, b), d = note(b, c);
    if (__builtin_expect(a == 5, 0)) {
        c += rare(a, d);
        d += rare(c, b) * c;
        if (d & 1)
            c += rare(d, d);
    }
    for (i64 i = 0; i < 2; i++)
        c += note(d, i);
    return c * d;
}

/* Several returns: several epilogs. */
EXPORT i64 NAME(returns)(i64 a, i64 b)
{
    i64 c = note(a, b);
    if (a == 1)
        return c;
    i64 d = note(c, b);
    if (a == 2)
        return leaf(d, c) + d;
    i64 e = note(d, c);
    if (a > 4)
        return NAME(pushes)(e, d);
    return c + d * note(e, e) + e;
}

/* A jump table: an indirect jump that is no tail call. */
EXPORT i64 NAME(jump_table)(i64 a, i64 b)
{
    i64 c = note(a, b);
    switch (a) {
    case 1: c += note(b, 1); break;
    case 2: c *= note(b, 2); break;
    case 3: c -= note(b, 3) * b; break;
    case 4: c ^= note(b, 4); break;
    case 5: c |= note(c, 5); break;
    case 6: c &= ~note(c, b); break;
    default: c = b;
    }
    return c + note(c, b);
}

/* The call that never returns stands last. */
static NOINLINE i64 NAME(gone)(i64 a, i64 b)
{
    note(a, b);
    asm_halt(a, b);
}

EXPORT i64 NAME(noreturn_last)(i64 a, i64 b)
{
    i64 c = note(a, b);
    if (c < 100)
        NAME(gone)(c, a);
    return c;
}
