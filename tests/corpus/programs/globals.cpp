#include <csignal>
#include <string>
#include <vector>
namespace zoo {
int count = 5;
inline int shared = 6;
namespace { int hidden = 7; const int fixed = 8; }
constexpr double ratio = 2.5;
struct Cage {
    static int made; static constexpr int kMax = 99; static inline long wide = -4; static thread_local int t_in;
    int number; std::string name;
    __attribute__((noinline)) int open(int by) const & {
        static int s_opened = 20;
        auto twice = [this, by](int more) { raise(SIGTRAP); return number * by + more; };
        int got = twice(by + 1);
        return got + s_opened + fixed + kMax;
    }
};
int Cage::made = 11;
thread_local int Cage::t_in = 12;
template <class T> struct Box { T value; static T spare; };
template <class T> T Box<T>::spare = T(13);
}
static int file_static = 30;
extern "C" int plain_c = 31;
using namespace zoo;
int main() { /* globals of all kinds, for test_live_locals.py */
    Cage cage{3, "lion"};
    Box<short> box{4};
    const Cage &ref = cage;
    std::vector<int> numbers{1, 2, 3};
    int &first = numbers[0];
    for (auto &each : numbers) each += hidden;
    return ref.open(box.value) + first + box.spare + Cage::t_in + file_static + plain_c;
}
