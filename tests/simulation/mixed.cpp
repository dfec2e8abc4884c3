// Linked with the wrong library, or with both; see does_not_link in tests/CMakeLists.txt.
#include <penstock/base/system.hpp>

#ifdef MIXED
// What code for simulated threads refers to.
namespace penstock::system::detail {
extern const char built_for_simulation;
[[gnu::used]] const char* const simulated_parts_need = &built_for_simulation;
}  // namespace penstock::system::detail
#endif

int main() {}
