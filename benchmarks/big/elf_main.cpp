// The large program of the ELF benchmark: units of templates, see unit.cpp; it crashes in one of
// them, below calls that are inlined here. CROWD threads wait first, each on a stack of its own.
#include <condition_variable>
#include <mutex>
#include <pthread.h>

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#ifndef CROWD
#define CROWD 0
#endif

#ifdef ALONE        // no units: the crash is here
extern "C" __attribute__((noinline)) int PASTE(crash_unit_, MIDDLE)(int depth)
{
    int *volatile target = nullptr;
    if (depth == 0)
        *target = depth;
    return depth == 0 ? 0 : PASTE(crash_unit_, MIDDLE)(depth - 1) + 1;
}
#else
extern "C" int PASTE(crash_unit_, MIDDLE)(int depth);
#endif

static std::mutex guard;
static std::condition_variable changed;
static int waiting;

__attribute__((noinline)) static void wait_below(int depth)
{
    if (depth > 0) {
        wait_below(depth - 1);
        return;
    }
    std::unique_lock<std::mutex> lock(guard);
    waiting++;
    changed.notify_all();
    changed.wait(lock, [] { return waiting < 0; });
}

static void *run(void *depth)
{
    wait_below(*static_cast<int *>(depth));
    return nullptr;
}

static void gather()
{
    static int depths[CROWD + 1];
    pthread_attr_t small;               // a core holds each stack whole
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 128 << 10);
    for (int i = 0; i < CROWD; i++) {
        pthread_t thread;
        depths[i] = i % 8;
        pthread_create(&thread, &small, run, &depths[i]);
    }
    std::unique_lock<std::mutex> lock(guard);
    changed.wait(lock, [] { return waiting == CROWD; });
}

__attribute__((always_inline)) static inline int begin(int depth)
{
    return PASTE(crash_unit_, MIDDLE)(depth) + 1;
}

__attribute__((always_inline)) static inline int prepare(int depth)
{
    return begin(depth + 1) + 1;
}

int main(int count, char **)
{
    gather();
    return prepare(count + 2);
}
