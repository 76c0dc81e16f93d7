/* Locals of a 32-bit program without libraries, then stops: for test_live_locals.py. */
typedef long long i64; typedef unsigned u32;
struct pair { i64 first; double second; };
volatile int sink;
__attribute__((noinline)) void stop(int code, i64 wide) { sink = code + (int)wide; __asm__ volatile("int3"); sink++; }
__attribute__((noinline)) int entry(int lost, i64 also) { sink = lost + also; stop(1, 5); return sink; }
__attribute__((noinline)) int mid(struct pair p, int n, float f) {
  struct pair mine = {p.first + n, p.second * 2}; i64 big = 0x1122334455667788LL + n; int r = 0;
  for (int i = 0; i < n; i++) { int sq = i * i; if (i == 2) r += entry(sq, mine.first); r += sq; }
  return r + (int)mine.second + (int)big + (int)f;
}
__attribute__((fastcall, noinline)) int fast(int a, int b, int c) { stop(a, b); return a + b + c; }
int deep(int n, int *up) { int here = n * 3; if (!n) { struct pair p = {7, 2.5}; return mid(p, 4, 1.5f) + fast(1, 2, 3) + *up; } return deep(n - 1, &here) + here; }
void _start(void) { int x = 1; x = deep(2, &x); __asm__ volatile("int $0x80" :: "a"(1), "b"(x)); }
