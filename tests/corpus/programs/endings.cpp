/* Ends in the way that its argument names: exceptions of C++ and checks of run-time libraries. */
#include <cassert>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <vector>

#define IS(name) (kind == name)

struct Plain { int number = 5; };

namespace park {
struct Gate : std::logic_error {
    using logic_error::logic_error;
    int number = 7;
};
struct Own : std::exception {
    const char *what() const noexcept override { return "own words"; }
};
template <class T> struct Box { T value; };
} // namespace park

struct Base {
    Base() { call(); }
    virtual ~Base() {}
    virtual void pure() = 0;
    void call() { pure(); }
};
struct Derived : Base {
    void pure() override {}
};
struct Thrower {
    ~Thrower() { throw 5; }
};

static volatile int zero;

[[gnu::noinline]] static void quiet() noexcept { throw std::out_of_range("through noexcept"); }

[[gnu::noinline]] static void smash(int count)
{
    volatile char room[8];
    for (int i = 0; i < count; i++)
        room[i] = 'x';
}

[[gnu::noinline]] static void fortify(const char *text)
{
    char room[8];
    __asm__ volatile("" : "+r"(text));
    strcpy(room, text);
    puts(room);
}

[[gnu::noinline]] static char *hidden(char *pointer)
{
    __asm__ volatile("" : "+r"(pointer));
    return pointer;
}

static void on_abort(int) { raise(SIGTERM); }
static void on_fault(int number)
{
    signal(number, SIG_DFL);
    raise(number);
}

static void exceptions(const std::string &kind)
{
    if (IS("runtime")) throw std::runtime_error("no cage 42");
    if (IS("long")) throw std::runtime_error(std::string(5000, 'y'));
    if (IS("empty")) throw std::runtime_error("");
    if (IS("gate")) throw park::Gate("gate closed");
    if (IS("own")) throw park::Own();
    if (IS("int")) throw 42;
    if (IS("text")) throw "words";
    if (IS("plain")) throw Plain();
    if (IS("box")) throw park::Box<std::vector<int>>();
    if (IS("pointer")) throw new std::runtime_error("pointed to");
    if (IS("system"))
        throw std::system_error(std::make_error_code(std::errc::no_such_file_or_directory), "opening");
    if (IS("bad-alloc")) hidden(new char[size_t(-1) / 4 - zero]);
    if (IS("at")) std::vector<int>().at(3);
    if (IS("noexcept")) quiet();
    if (IS("function")) std::function<void()>()();
    if (IS("thread")) std::thread([] { throw std::runtime_error("in a thread"); }).join();
}

static void handlers(const std::string &kind)
{
    if (IS("destructor")) {
        try {
            Thrower one;
            throw std::runtime_error("first");
        } catch (...) {
        }
    }
    try {
        if (IS("rethrow") || IS("caught") || IS("handling") || IS("stored"))
            throw std::runtime_error("again");
    } catch (...) {
        if (IS("rethrow")) throw;
        if (IS("handling")) abort();
        if (IS("stored")) {
            std::exception_ptr stored = std::current_exception();
            std::rethrow_exception(stored);
        }
    }
    if (IS("caught")) std::terminate();
    if (IS("nothing")) throw;
    if (IS("joinable")) std::thread([] { sleep(100); });
    if (IS("terminate")) std::terminate();
}

static void checks(const std::string &kind)
{
    if (IS("pure")) Derived();
    if (IS("assert")) assert(zero && "never zero");
    if (IS("abort")) abort();
    if (IS("double")) {
        char *block = hidden((char *)malloc(16));
        free(block);
        free(hidden(block));
    }
    if (IS("invalid")) free(hidden((char *)malloc(64)) + 16);
    if (IS("overrun")) {
        char *first = hidden((char *)malloc(24)), *second = hidden((char *)malloc(24));
        memset(first, 'z', 64);
        free(hidden(second));
    }
    if (IS("smash")) smash(64);
    if (IS("fortify")) fortify("far too long a text for so little room");
    if (IS("kill")) kill(getpid(), SIGABRT);
    if (IS("raise")) raise(SIGABRT);
    if (IS("quit")) raise(SIGQUIT);
    if (IS("handled")) {
        signal(SIGSEGV, on_fault);
        *(volatile int *)(uintptr_t)zero = 1;
    }
    if (IS("abort-handler")) {
        signal(SIGABRT, on_abort);
        abort();
    }
}

int main(int count, char **arguments)
{
    std::string kind = arguments[1];
    zero = count - 2;
    exceptions(kind);
    handlers(kind);
    checks(kind);
    return 0;
}
