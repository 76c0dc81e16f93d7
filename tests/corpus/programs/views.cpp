// One local of each type of the C++ library that there are views of.
#include <any>
#include <array>
#include <bitset>
#include <chrono>
#include <complex>
#include <deque>
#include <filesystem>
#include <forward_list>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <stack>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>
#include <cstdlib>
#include <atomic>

struct Point { int x; int y; };
static int twice(int x) { return 2 * x; }
__attribute__((noinline)) void stop() { std::abort(); }

int main()
{
    std::string small = "short text";
    std::string empty;
    std::string large(100, 'x'); large += "end";
    std::wstring wide = L"wide \u00e9";
    std::u16string utf16 = u"utf \u20ac";
    std::string_view view = std::string_view(small).substr(0, 5);
    std::vector<int> numbers{1, 2, 3, 4, 5};
    std::vector<int> none;
    std::vector<std::string> names{"one", "two", "three"};
    std::vector<Point> points{{1, 2}, {3, 4}};
    std::vector<bool> bits(70); bits[0] = true; bits[3] = true; bits[65] = true;
    std::vector<int> many(100000); for (int i = 0; i < 100000; i++) many[i] = i * 3;
    std::deque<int> deque; for (int i = 0; i < 300; i++) deque.push_back(i); for (int i = 0; i < 5; i++) deque.push_front(-i - 1);
    std::list<int> list{10, 20, 30};
    std::list<std::string> strings{"a", "bc"};
    std::list<int> longlist; for (int i = 0; i < 100000; i++) longlist.push_back(i);
    std::forward_list<int> forward{7, 8, 9};
    std::map<int, std::string> map{{3, "three"}, {1, "one"}, {2, "two"}};
    std::multimap<std::string, int> multimap{{"k", 1}, {"k", 2}};
    std::set<int> set{5, 3, 9};
    std::multiset<int> multiset{5, 5, 1};
    std::map<int, int> bigmap; for (int i = 0; i < 1000; i++) bigmap[i * 7 % 1000] = i;
    std::unordered_map<int, std::string> umap{{42, "answer"}};
    std::unordered_map<std::string, int> umapstr{{"key", 17}};
    std::unordered_set<int> uset{77};
    std::unordered_multimap<int, int> ummap{{1, 2}};
    std::unique_ptr<Point> unique(new Point{5, 6});
    std::unique_ptr<Point> unique_null;
    std::unique_ptr<int[]> unique_array(new int[3]{1, 2, 3});
    std::shared_ptr<Point> shared = std::make_shared<Point>(Point{7, 8});
    std::shared_ptr<Point> shared2 = shared;
    std::shared_ptr<Point> shared_null;
    std::weak_ptr<Point> weak = shared;
    std::optional<int> opt = 9;
    std::optional<int> opt_none;
    std::optional<std::string> opt_string = "held";
    std::variant<int, std::string, double> variant = std::string("variant text");
    std::variant<int, std::string, double> variant_double = 2.5;
    std::variant<int, std::string, double> variant_int = 12;
    std::pair<int, std::string> pair{4, "four"};
    std::tuple<int, std::string, double> tuple{1, "tuple", 0.5};
    std::tuple<> tuple_empty;
    std::array<int, 4> array{4, 3, 2, 1};
    std::bitset<70> bitset(0x8000000000000005ULL);
    std::function<int(int)> function = twice;
    std::function<int(int)> function_empty;
    std::any any = 5;
    std::any any_string = std::string("any");
    std::any any_empty;
    std::chrono::milliseconds ms(1500);
    std::chrono::seconds secs(90);
    std::complex<double> complex(1.5, -2.0);
    std::filesystem::path path = "/usr/lib";
    std::stack<int> stack; stack.push(1); stack.push(2);
    std::queue<int> queue; queue.push(3);
    std::priority_queue<int> pq; pq.push(4); pq.push(8);
    std::atomic<int> atomic{33};
    std::vector<std::vector<int>> nested{{1, 2}, {}, {3}};
    std::map<std::string, std::vector<int>> mapped{{"v", {1, 2}}};
    std::vector<int>::iterator it = numbers.begin() + 2;
    std::map<int, std::string>::iterator mit = map.find(2);
    std::map<int, std::string>::iterator mit_end = map.end();
    std::map<int, std::string>::iterator mit_root = map.find(3);
    std::reference_wrapper<int> ref = numbers[1];
    std::string &strref = small;
    std::vector<int> *vecptr = &numbers;
    stop();
    return (int)small.size();
}
