// A translation unit as a function: what it makes of penstock's public types, and items that it passes to other units.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <penstock/queue/bounded_queue.hpp>

namespace standards {

// A type as one unit sees it: name as the linker knows it, size, alignment.
struct type_seen {
  std::string what, name;
  std::size_t size = 0, alignment = 0;
  bool operator==(const type_seen&) const = default;
};

struct unit {
  const char* compiled_as;
  std::vector<type_seen> (*types)();
  // Pushes `text` and pops it again, by calls of which every unit has a body of its own; returns what was popped, and
  // the status of the empty queue after it.
  std::string (*through)(penstock::bounded_queue<std::string>& queue, const std::string& text);
  // Runs three items through a pipeline: what the sink was given, and whether all were delivered.
  std::string (*pipeline)();
};

unit as_cxx20();
unit as_cxx23();
unit as_cxx23_without_assertions();

}  // namespace standards
