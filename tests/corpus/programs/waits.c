/* Threads that wait for mutexes of every kind and for other things, each with an errno of its own.
   Writes a line when all of them wait, then pauses. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t recursive, checking, inheriting, robust, adaptive, abandoned, guard;
static pthread_rwlock_t shelf = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t bell = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t gate;
static pthread_mutex_t *on_heap;
static volatile int ready;
static int word;

static void make(pthread_mutex_t *mutex, int type, int protocol, int is_robust)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type);
    if (protocol)
        pthread_mutexattr_setprotocol(&attributes, protocol);
    if (is_robust)
        pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(mutex, &attributes);
}

static void *locker(void *mutex)
{
    volatile char *block = malloc(100); /* gives the thread an arena */
    block[0] = 1;
    errno = ENOTDIR;
    pthread_mutex_lock(mutex);
    return NULL;
}

static void *owner(void *unused)
{
    pthread_mutex_lock(&recursive);
    pthread_mutex_lock(&recursive);
    pthread_mutex_lock(&checking);
    pthread_mutex_lock(&inheriting);
    pthread_mutex_lock(&robust);
    pthread_mutex_lock(&adaptive);
    pthread_mutex_lock(on_heap);
    pthread_rwlock_wrlock(&shelf);
    errno = EPIPE;
    ready = 1;
    for (;;)
        pause();
}

static void *reader(void *unused) { pthread_rwlock_rdlock(&shelf); return NULL; }
static void *walker(void *unused) { pthread_barrier_wait(&gate); return NULL; }
static void *leaver(void *mutex) { pthread_mutex_lock(mutex); return NULL; }

static void *listener(void *unused)
{
    pthread_mutex_lock(&guard);
    pthread_cond_wait(&bell, &guard);
    return NULL;
}

static void *bare(void *unused)
{
    syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
    return NULL;
}

int main(void)
{
    pthread_mutex_t *mutexes[7] = {&recursive, &checking, &inheriting, &robust, &adaptive};
    void *(*others[4])(void *) = {reader, walker, listener, bare};
    pthread_t thread;

    on_heap = malloc(sizeof *on_heap);
    mutexes[5] = on_heap;
    mutexes[6] = &abandoned;
    make(&recursive, PTHREAD_MUTEX_RECURSIVE, 0, 0);
    make(&checking, PTHREAD_MUTEX_ERRORCHECK, 0, 0);
    make(&inheriting, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, 0);
    make(&robust, PTHREAD_MUTEX_NORMAL, 0, 1);
    make(&adaptive, PTHREAD_MUTEX_ADAPTIVE_NP, 0, 0);
    make(on_heap, PTHREAD_MUTEX_NORMAL, 0, 0);
    pthread_barrier_init(&gate, NULL, 2);
    pthread_create(&thread, NULL, leaver, &abandoned);
    pthread_join(thread, NULL);
    pthread_create(&thread, NULL, owner, NULL);
    while (!ready)
        usleep(1000);
    for (int i = 0; i < 7; i++)
        pthread_create(&thread, NULL, locker, mutexes[i]);
    for (int i = 0; i < 4; i++)
        pthread_create(&thread, NULL, others[i], NULL);
    usleep(300000);
    puts("ready");
    fflush(stdout);
    errno = ENOENT;
    pause();
    return 0;
}
