// The Game of Life on a torus: what is true of it whoever computes it. No thread, no clock, no input or output, so it never changes while
// the seven programs beside it compute the same grids in seven ways.
#pragma once

#include <array>
#include <string>
#include <utility>
#include <vector>

namespace life {

enum class cell : char { empty = '.', alive = 'o' };

struct place {
  int y = 0, x = 0;
  friend bool operator==(place, place) = default;
  // By this name an error tells which cell it is about.
  friend std::string item_label(place p) { return "y " + std::to_string(p.y) + ", x " + std::to_string(p.x); }
};

class board {
 public:
  board(int height, int width)
      : board(height, width, std::vector<cell>(static_cast<std::size_t>(height) * static_cast<std::size_t>(width), cell::empty)) {}
  // Row by row, as places() has them.
  board(int height, int width, std::vector<cell> cells) : height_(height), width_(width), cells_(std::move(cells)) {}

  int height() const { return height_; }
  int width() const { return width_; }
  // Beyond an edge it goes on at the opposite one.
  cell operator[](place p) const { return cells_[index(p)]; }
  cell& operator[](place p) { return cells_[index(p)]; }
  friend bool operator==(const board&, const board&) = default;

 private:
  std::size_t index(place p) const {
    const int y = (p.y + height_) % height_, x = (p.x + width_) % width_;
    return static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) + static_cast<std::size_t>(x);
  }
  int height_, width_;
  std::vector<cell> cells_;
};

inline std::vector<place> places(const board& b) {
  std::vector<place> all;
  for (int y = 0; y < b.height(); ++y)
    for (int x = 0; x < b.width(); ++x) all.push_back({y, x});
  return all;
}
inline std::array<place, 8> around(place p) {
  const auto [y, x] = p;
  return {{{y - 1, x - 1}, {y - 1, x}, {y - 1, x + 1}, {y, x - 1}, {y, x + 1}, {y + 1, x - 1}, {y + 1, x}, {y + 1, x + 1}}};
}
inline int alive_around(const board& b, place p) {
  int alive = 0;
  for (const place neighbour : around(p)) alive += b[neighbour] == cell::alive;
  return alive;
}
inline cell rule(cell now, int neighbours) {
  if (neighbours == 3) return cell::alive;
  return neighbours == 2 ? now : cell::empty;
}

}  // namespace life
