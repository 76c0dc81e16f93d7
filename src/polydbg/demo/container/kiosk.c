/* A ticket kiosk that crashes: the practice program of a container. It needs no library, as the
   programs of images that are made FROM scratch. Built and run by build.sh. */

typedef unsigned long word;

struct seat {
    const char *name;
    int row;
    int is_sold;
};

struct hall {
    const char *film;
    struct seat *seats;
    int count;
};

struct order {
    const char *customer;
    struct hall *hall;
    int row;
};

static word call(word number, word first, word second, word third)
{
    word result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(first), "S"(second), "d"(third)
                     : "rcx", "r11", "memory");
    return result;
}

static void say(const char *text)
{
    word length = 0;
    while (text[length])
        length++;
    call(1, 1, (word)text, length);
}

static struct seat *find_seat(struct hall *hall, int row)
{
    for (int i = 0; i < hall->count; i++)
        if (hall->seats[i].row == row && !hall->seats[i].is_sold)
            return &hall->seats[i];
    return 0;
}

static inline void sell(struct seat *seat)
{
    seat->is_sold = 1; /* CRASH: seat is NULL, there is no row 13 */
}

__attribute__((noinline)) static void serve(struct order *order)
{
    struct seat *seat = find_seat(order->hall, order->row);
    sell(seat);
    say(order->customer);
    say(" has a seat\n");
}

__attribute__((noinline)) static void open_kiosk(struct order *orders, int count)
{
    for (int i = 0; i < count; i++)
        serve(&orders[i]);
    say("sold out\n");
}

static struct seat seats[] = {{"A1", 1, 0}, {"B1", 2, 0}, {"C1", 3, 0}};
static struct hall hall = {"Metropolis", seats, 3};
static struct order orders[] = {{"Ines", &hall, 1}, {"Tomo", &hall, 2}, {"Ada", &hall, 13}};

__attribute__((noinline)) int main(void)
{
    say("the kiosk is open\n");
    open_kiosk(orders, 3);
    return 0;
}

__attribute__((force_align_arg_pointer)) void _start(void)
{
    call(60, main(), 0, 0);
    for (;;)
        ;
}
