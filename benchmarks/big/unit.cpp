// One unit of the large program of the PDB and ELF benchmarks: template instances that no other unit has.
#include <Eigen/Dense>
#include <boost/multi_index/member.hpp>
#include <boost/multi_index/ordered_index.hpp>
#include <boost/multi_index/hashed_index.hpp>
#include <boost/multi_index_container.hpp>
#include <boost/variant.hpp>
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <regex>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define UNIT_NAMESPACE PASTE(unit, UNIT)

namespace UNIT_NAMESPACE {

template <int N> struct key {
    int value;
    bool operator<(const key &other) const { return value < other.value; }
    bool operator==(const key &other) const { return value == other.value; }
};
template <int N> struct hash_key {
    std::size_t operator()(const key<N> &k) const { return std::hash<int>()(k.value); }
};
template <int N> struct record {
    key<N> id;
    std::string name;
    std::vector<key<N>> children;
    std::shared_ptr<record> parent;
};

template <int N> double containers()
{
    std::map<key<N>, record<N>> sorted;
    std::unordered_map<key<N>, std::unique_ptr<record<N>>, hash_key<N>> hashed;
    std::set<std::tuple<key<N>, int, std::string>> seen;
    std::vector<std::variant<key<N>, record<N>, std::string>> mixed;
    for (int i = 0; i < N; i++) {
        record<N> r{{i}, std::to_string(i), {{i + 1}, {i + 2}}, nullptr};
        sorted.emplace(r.id, r);
        hashed[r.id] = std::make_unique<record<N>>(r);
        seen.emplace(r.id, i, r.name);
        mixed.emplace_back(r);
    }
    std::function<bool(const record<N> &)> wanted = [](const record<N> &r) { return r.id.value > 3; };
    std::vector<record<N>> kept;
    for (auto &[id, r] : sorted)
        if (wanted(r))
            kept.push_back(r);
    std::sort(kept.begin(), kept.end(), [](const auto &a, const auto &b) { return b.id < a.id; });
    std::stable_sort(kept.begin(), kept.end(), [](const auto &a, const auto &b) { return a.name < b.name; });
    double total = 0;
    for (auto &m : mixed)
        total += std::visit([](auto &x) { return static_cast<double>(sizeof x); }, m);
    return total + seen.size() + hashed.size() + kept.size();
}

template <int N> double matrices()
{
    using square = Eigen::Matrix<double, N, N>;
    using column = Eigen::Matrix<double, N, 1>;
    square a = square::Random(), b = square::Identity();
    column x = column::Ones();
    column y = (a * b + b.transpose()).partialPivLu().solve(x);
    Eigen::HouseholderQR<square> qr(a);
    return y.norm() + (qr.solve(x) - y).squaredNorm() + a.trace();
}

template <int N> double indexed()
{
    namespace mi = boost::multi_index;
    using table = mi::multi_index_container<record<N>, mi::indexed_by<
        mi::ordered_unique<mi::member<record<N>, key<N>, &record<N>::id>>,
        mi::ordered_non_unique<mi::member<record<N>, std::string, &record<N>::name>>>>;
    table all;
    all.insert(record<N>{{1}, "one", {}, nullptr});
    auto &by_name = all.template get<1>();
    boost::variant<key<N>, std::string> v = std::string("x");
    return static_cast<double>(by_name.size()) + v.which();
}

// The chain that the benchmark's dump stands in: it needs the stack alone, so that it runs
// without the C runtime.
template <int N> struct walker {
    record<N> *target;
    key<N> last;
    int visited;

    __attribute__((always_inline)) inline void store(record<N> *at, int value)
    {
        at->id.value = value;                                   // CRASH: at is null
    }
    __attribute__((noinline)) int mark(record<N> *at, int value)
    {
        store(at, value);
        return ++visited;
    }
    __attribute__((noinline)) int step(int depth)
    {
        int here = depth * N;
        last.value = here;
        if (depth == 0)
            return mark(target, here + 1);
        return step(depth - 1) + here;
    }
};

template <int N> __attribute__((noinline)) int walk(int depth)
{
    walker<N> w;                        // an initializer might call memset
    w.target = nullptr;
    w.last.value = 0;
    w.visited = 0;
    return w.step(depth);
}

template <int N> double all() { return containers<N>() + matrices<N>() + indexed<N>(); }

constexpr int first = 2 + (UNIT * COUNT) % 60;      // matrices of other sizes in each unit

template <int... N> double sum(std::integer_sequence<int, N...>)
{
    return (all<first + N>() + ...);
}

}

extern "C" int PASTE(crash_unit_, UNIT)(int depth)
{
    return UNIT_NAMESPACE::walk<UNIT_NAMESPACE::first>(depth);
}

extern "C" double PASTE(run_unit_, UNIT)()
{
    return UNIT_NAMESPACE::sum(std::make_integer_sequence<int, COUNT>());
}
