// nowhere: a gallery that does not exist yet: the target of a dry run.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include "apps/gallery/target.hpp"

namespace penstock::gallery {

class nowhere final : public target {
 public:
  explicit nowhere(std::string name) : name_(std::move(name)) {}
  bool contains(std::string_view) override { return false; }
  publish_result publish(const photo&) override { throw std::logic_error("a dry run does not publish"); }
  [[nodiscard]] std::string name() const override { return name_; }

 private:
  const std::string name_;
};

}  // namespace penstock::gallery
