// A vector, a list and a map of 100,000 elements each, an array of 10,000, and a crash beside them.
#include <list>
#include <map>
#include <string>
#include <vector>

struct pair_of { int first, second; };

int main() {
  std::vector<int> numbers;
  std::list<int> chain;
  std::map<int, int> table;
  std::vector<std::string> words;
  static pair_of block[10000];
  for (int i = 0; i < 100000; i++) {
    numbers.push_back(i);
    chain.push_back(i);
    table[i] = i * 2;
    words.push_back("word");
    block[i % 10000].first = i;
  }
  *(volatile int *)0 = static_cast<int>(numbers.size() + chain.size() + table.size());
  return block[1].first;
}
