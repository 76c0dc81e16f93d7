/* A library with a thread's own variables, for locals.c. */
__thread int t_library = 600;
static __thread short t_hidden[3] = {1, -2, 3};

int library_call(int number) {
    int local = number * 2;
    t_hidden[0] += local;
    return t_library + t_hidden[0];
}
