// The large program of the PDB benchmark: UNITS units of templates, see unit.cpp.
// The entry point crashes in the middle one without ever starting the C runtime.
#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)

extern "C" int PASTE(crash_unit_, MIDDLE)(int depth);

extern "C" int start()
{
    return PASTE(crash_unit_, MIDDLE)(4);
}

int main()
{
    return 0;
}
