/* Stops with SIGSEGV below the calls that its argument names; gdb tells the stack of each. */
#include <csetjmp>
#include <csignal>
#include <cstdlib>
#include <pthread.h>
#include <string>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define KEPT __attribute__((noinline))
#define INLINED __attribute__((always_inline)) inline

volatile int sink;
volatile long zero;
std::string kind;

static INLINED void stop() { *(volatile int *)zero = 1; }
static INLINED int third(int x) { sink = x * 3; stop(); return sink; }
static INLINED int second(int x) { sink = x + 2; int r = third(x + 1); sink += r; return r; }
static INLINED int first(int x) { int r = 0; for (int i = 0; i < 3; i++) r += second(x + i); return r; }
KEPT int nested(int x) { int r = first(x) + 1; sink = r; return r; }

namespace zoo {
template <class T, int N> struct Ring {
    T data[N];
    template <class F> KEPT void each(F &&f) { for (auto &x : data) f(x); sink = 1; }
    KEPT T &operator[](int i) { stop(); return data[i]; }
    KEPT operator bool() const { stop(); return data[0] != T(); }
    KEPT bool operator<(const Ring &o) const { stop(); return data[0] < o.data[0]; }
    KEPT Ring &operator<<(int n) { data[0] = n; stop(); return *this; }
};
struct [[gnu::abi_tag("v2")]] Tagged { KEPT int go(const std::string &s) { stop(); return s.size(); } };
namespace { struct Hidden { KEPT static int work(std::string &s) { stop(); return s.size(); } }; }
struct Scope {
    int n = 3;
    KEPT int inner() const
    {
        auto outer = [this](int x) { auto leaf = [x] { sink = x; stop(); return x; }; return leaf() + n; };
        return outer(sink) + sink;
    }
};
struct Base { virtual KEPT int v(int x) { return x; } int pad; };
struct Other { virtual KEPT int w(int x) { return x; } int q; };
struct Derived : Base, Other { KEPT int w(int x) override { sink = x; stop(); return q; } };
struct Guard { KEPT ~Guard() { nested(5); } };
}

KEPT static int tail_end(int x) { stop(); return x + 1; }
KEPT int tail_top(int x) { sink = x; return tail_end(x * 2); }
__attribute__((noreturn, noinline)) void die(int x) { sink = x; stop(); abort(); }
KEPT void ends_in_call(int x) { sink = 3; if (x) die(x); }
__attribute__((cold, noinline)) static void unlikely(int x) { sink = x; stop(); }
KEPT int likely(int x) { if (__builtin_expect(x == 12, 0)) { sink = 4; unlikely(x); sink = 9; } return x; }
KEPT static void thrower(int n) { if (n) thrower(n - 1); else throw n; sink++; }
KEPT static void unwinding() { zoo::Guard guard; thrower(2); }
static int chosen(int x) { sink = x; stop(); return x; }
extern "C" { __attribute__((used)) int (*choose())(int) { return chosen; } }
extern "C" int indirect(int) __attribute__((ifunc("choose")));
static int compare(const void *a, const void *b) { sink = 7; stop(); return *(int *)a - *(int *)b; }

static void on_signal(int) { nested(1); }
static jmp_buf place;
KEPT static void jump(int n) { if (n) jump(n - 1); else longjmp(place, 1); sink++; }
static void *waits(void *p) { for (;;) pause(); return p; }
static void *stops(void *p) { usleep(50000); nested(2); return p; }
static ucontext_t old, other;
static char own_stack[65536];
static void on_own_stack() { nested(4); sink = 2; }

static void calls(int count)
{
    if (kind == "nested") sink = nested(1);
    if (kind == "tail") sink = tail_top(count);
    if (kind == "noreturn") ends_in_call(count);
    if (kind == "cold") sink = likely(count + 10);
    if (kind == "ifunc") sink = indirect(3);
    if (kind == "callback") { int a[2] = {2, 1}; qsort(a, 2, sizeof a[0], compare); }
    if (kind == "null") ((void (*)())zero)();
    if (kind == "wild") ((void (*)())(zero + 0x123456789000))();
    if (kind == "vdso") { struct timespec *t = (timespec *)(zero + 8); clock_gettime(CLOCK_REALTIME, t); }
    sink = 1;
}

static void names()
{
    if (kind == "index") { zoo::Ring<double, 4> r{}; sink = r[2]; }
    if (kind == "bool") { zoo::Ring<long, 4> r{}; if (r) sink = 1; }
    if (kind == "less") { zoo::Ring<char, 4> r{}; sink = r < r; }
    if (kind == "shift") { zoo::Ring<short, 4> r{}; r << 3; sink = 1; }
    if (kind == "lambda") { zoo::Ring<int, 4> r{}; r.each([&](int &x) { sink = x; [&] { sink = x; stop(); }(); }); }
    if (kind == "method") { zoo::Scope s; sink = s.inner(); }
    if (kind == "tagged") { zoo::Tagged t; sink = t.go(kind); }
    if (kind == "hidden") sink = zoo::Hidden::work(kind);
    if (kind == "virtual") { zoo::Derived d; zoo::Other *o = &d; __asm__("" : "+r"(o)); sink = o->w(3); }
    sink = 1;
}

static void stacks()
{
    if (kind == "handler") { signal(SIGSEGV, on_signal); sink = tail_top(1); }
    if (kind == "alternate") {
        stack_t stack{};
        stack.ss_size = 65536;
        stack.ss_sp = mmap(0, 65536, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        sigaltstack(&stack, 0);
        struct sigaction action{};
        action.sa_handler = on_signal;
        action.sa_flags = SA_ONSTACK;
        sigaction(SIGSEGV, &action, 0);
        sink = nested(2);
    }
    if (kind == "null-handler") { signal(SIGSEGV, on_signal); ((void (*)())zero)(); }
    if (kind == "longjmp") { if (!setjmp(place)) jump(4); else sink = nested(8); }
    if (kind == "context") {
        getcontext(&other);
        other.uc_stack.ss_sp = own_stack;
        other.uc_stack.ss_size = sizeof own_stack;
        other.uc_link = &old;
        makecontext(&other, on_own_stack, 0);
        swapcontext(&old, &other);
    }
    if (kind == "threads") {
        pthread_t thread;
        for (int i = 0; i < 4; i++) pthread_create(&thread, 0, i == 3 ? stops : waits, 0);
        pthread_join(thread, 0);
    }
    if (kind == "unwinding") { try { unwinding(); } catch (int) { sink = 1; } }
    if (kind == "catch") { try { thrower(1); } catch (int) { nested(6); } }
    if (kind == "exit") { atexit([] { nested(7); }); exit(0); }
    sink = 1;
}

int main(int count, char **arguments)
{
    kind = arguments[1];
    calls(count);
    names();
    stacks();
    return 3;
}
