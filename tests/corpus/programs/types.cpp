// Types of every kind, for what debuggers say of their layout.
typedef unsigned long long wide_t;
namespace std { typedef decltype(nullptr) nullptr_t; }

struct Root {
    virtual ~Root();
    int root = 1;
    static int s_count;
    static const int limit = -7;
    static constexpr long big = 1L << 30;
};
Root::~Root() {}
int Root::s_count = 5;

struct Left : virtual Root { long left = 2; };
struct Right : virtual Root {
    short right = 3;
    virtual int call(int) { return 1; }
    virtual void other() {}
};
struct Diamond : Left, Right {
    char last = 4;
    int call(int x) override { return x; }
    static int make(double);
};
int Diamond::make(double) { return 1; }

struct Bits {
    unsigned a : 1, b : 5;
    int c : 6;
    unsigned long long d : 40;
    bool e : 1;
    char f;
    int : 0;
    short g : 3;
    signed char h : 7;
};
struct __attribute__((packed)) Packed {
    char a;
    int b : 7;
    unsigned long long c : 35;
    int d;
    short e : 11;
};
union Mixed {
    int i;
    float f;
    struct { short low, high; };
    struct { unsigned x : 3, y : 29; } bits;
};

struct Outer {
    struct Inner;
    enum class Mood : unsigned char { Low = 1, High = 255 };
    Inner *inner;
    Mood mood;
    enum { A, B = -1 } plain;
};
struct Outer::Inner {
    struct Deep { int z; } deep;
    Outer *back;
};
template <typename T, int N, bool B = true> struct Table {
    T data[N];
    typedef T value_type;
};
namespace first {
namespace { struct Hidden { int x; Table<char, 3> table; }; }
inline namespace second { struct In { Hidden hidden; }; }
typedef In Alias;
}

typedef int Matrix[2][3][4];
typedef int Vector __attribute__((vector_size(16)));
struct Flexible { int n; char data[]; };
struct Nothing { int n; char none[0]; };
struct Refs {
    int &r;
    int &&rr;
    const volatile int *cv;
    int *const *pc;
    void (*fn)(int, ...);
    int Root::*data;
    void (Right::*method)();
    std::nullptr_t null;
};
enum Negative { N1 = -5, N2 = 7 };
enum Positive { P1 = 200, P2 = 0xffffffff };
enum Huge : wide_t { H1 = ~0ull };
enum Small : signed char { S1 = -1, S2 = 127 };
struct Wide {
    wchar_t w;
    char16_t c16;
    char32_t c32;
    signed char sc;
    unsigned char uc;
    char c;
    bool b;
    long double ld;
    __int128 q;
    double _Complex z;
};
struct Self { Self *me; Self (*call)(Self &); struct Opaque *opaque; };
struct Empty {};
struct Derived : Empty { int a; };
struct Aligned { alignas(32) char c; };

Diamond g_diamond;
Bits g_bits;
Matrix g_matrix;
Table<short, 9> g_table[3];
static Wide s_wide;
Outer::Mood g_mood;

int work(int n)
{
    struct Local { int a; long b; } l = {n, 2};
    Packed p{};
    Mixed u{};
    Outer::Inner i{};
    first::Alias al{};
    Vector v{};
    Flexible f{};
    Nothing z{};
    Negative ng = N1;
    Positive ps = P1;
    Huge h = H1;
    Small s = S1;
    Derived de{};
    Aligned a{};
    int vla[n];
    Refs *r = nullptr;
    Self *se = nullptr;
    vla[0] = g_diamond.call(3);
    return l.a + g_bits.a + p.d + u.i + i.deep.z + g_matrix[0][0][0] + v[0] + f.n + z.n + ng + ps +
           (int)h + s + s_wide.c + de.a + a.c + vla[0] + (r != nullptr) + (se != nullptr) +
           (int)al.hidden.x + Root::limit + (int)Root::big + Diamond::make(1.0) + Root::s_count +
           g_table[0].data[0] + (int)g_mood;
}
int main(int argc, char **) { return work(argc); }
