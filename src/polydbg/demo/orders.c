/* orders.c - the practice program: a shop prices the orders of a morning and crashes.
 *
 * The third order asks for an article that is not on the price list. find_price() says so by
 * returning NULL; price_line() does not look, and record_sale() (inlined) writes through it.
 * A second thread, the stock keeper, counts what was sold meanwhile.
 */
#include "crash_dump.h"

#include <windows.h>
#include <stdio.h>

enum order_state { ORDER_NEW, ORDER_PRICED, ORDER_SHIPPED = 10 };

struct price {
    unsigned int article;
    int cents;
    const char *name;
    int sold;
    int last_order;
};

struct line {
    unsigned int article;
    int quantity;
};

struct order {
    int number;
    enum order_state state;
    const char *customer;
    struct line lines[3];
    int line_count;
    long long total_cents;
};

struct shop {
    const char *name;
    struct price *prices;
    int price_count;
    double tax_rate;
    struct order *current;
    volatile int counted;               /* rounds of the stock keeper */
    volatile int closed;
};

/* The price list's entry for an article; NULL when the shop does not carry it. */
__declspec(noinline) struct price *find_price(struct shop *shop, unsigned int article)
{
    int i;

    for (i = 0; i < shop->price_count; i++)
        if (shop->prices[i].article == article)
            return &shop->prices[i];
    return NULL;
}

static inline __attribute__((always_inline))
void record_sale(struct price *price, int order_number, int quantity)
{
    price->last_order = order_number;                           /* CRASH: price is NULL */
    price->sold += quantity;
}

__declspec(noinline) long long price_line(struct shop *shop, const struct line *line, int order_number)
{
    struct price *price = find_price(shop, line->article);

    record_sale(price, order_number, line->quantity);
    return (long long)price->cents * line->quantity;
}

__declspec(noinline) void price_order(struct shop *shop, struct order *order)
{
    int i;

    shop->current = order;
    for (i = 0; i < order->line_count; i++)
        order->total_cents += price_line(shop, &order->lines[i], order->number);
    order->total_cents += (long long)(order->total_cents * shop->tax_rate);
    order->state = ORDER_PRICED;
}

__declspec(noinline) int run_morning(struct shop *shop, struct order *orders, int count)
{
    int i, priced = 0;

    for (i = 0; i < count; i++) {
        price_order(shop, &orders[i]);
        printf("order %d for %s: %lld cents\n", orders[i].number, orders[i].customer, orders[i].total_cents);
        priced++;
    }
    return priced;
}

/* Counts the articles sold so far, again and again until the shop closes. */
__declspec(noinline) int count_stock(struct shop *shop)
{
    int i, rounds = 0, sold = 0;

    while (!shop->closed) {
        sold = 0;
        for (i = 0; i < shop->price_count; i++)
            sold += shop->prices[i].sold;
        shop->counted = ++rounds;
    }
    return sold;
}

static DWORD WINAPI stock_keeper(void *argument)
{
    struct shop *shop = argument;
    int sold = count_stock(shop);

    printf("%s sold %d articles today\n", shop->name, sold);
    return 0;
}

int main(int argc, char **argv)
{
    struct price prices[] = {
        { 1001, 1250, "kettle", 0, 0 },
        { 1002, 399, "tea towel", 0, 0 },
        { 2001, 8900, "bread machine", 0, 0 },
    };
    struct order orders[] = {
        { 501, ORDER_NEW, "Ines", { { 1001, 1 }, { 1002, 4 } }, 2, 0 },
        { 502, ORDER_NEW, "Tomasz", { { 2001, 1 } }, 1, 0 },
        { 503, ORDER_NEW, "Aiko", { { 1002, 2 }, { 2002, 3 } }, 2, 0 },
    };
    struct shop shop = { "The Corner Shop", prices, 3, 0.07, NULL, 0, 0 };
    HANDLE keeper;
    int priced;

    crash_dump_to(argc > 1 ? argv[1] : "practice.dmp");
    keeper = CreateThread(NULL, 64 * 1024, stock_keeper, &shop, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    while (!shop.counted)
        Sleep(10);                      /* until the stock keeper is at work */

    priced = run_morning(&shop, orders, 3);
    printf("%d orders priced\n", priced);
    shop.closed = 1;
    WaitForSingleObject(keeper, INFINITE);
    return 0;
}
