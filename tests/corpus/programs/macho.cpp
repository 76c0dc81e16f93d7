// Built for macOS by tests: inlined calls, a private extern, a local function, data, an import.
extern "C" int puts(const char *);

namespace deep {
namespace {
template <class T> struct Box {
  T value;
  __attribute__((noinline)) T get(int more) { return value + more; }
};
} // namespace
} // namespace deep

int counter = 7;
static int table[4];

static inline __attribute__((always_inline)) int twice(int x) {
  table[x & 3] += x;
  return x * 2 + counter;
}

extern "C" __attribute__((noinline)) int crashing(int *where, int number) {
  int result = twice(number);
  *where = result;
  return result + *where;
}

static __attribute__((noinline)) int hidden(int a) {
  int b = twice(a) + 1;
  return crashing((int *)8, b) + table[0];
}

extern "C" __attribute__((visibility("hidden"), noinline)) int inside(int a) {
  return hidden(a) * 3 + counter;
}

int main(int count, char **) {
  deep::Box<int> box{4};
  int result = inside(box.get(count));
  puts("not reached");
  return result + counter;
}
