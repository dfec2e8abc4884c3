#include "apps/run/pipeline_file.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string_view>
#include <system_error>
#include <utility>

#include <toml++/toml.h>
#include <unistd.h>

#include "apps/run/vocabulary.hpp"

namespace penstock::runner {
namespace {

class reader {
 public:
  explicit reader(std::string path) : path_(std::move(path)) {}

  run_plan read() {
    toml::table file;
    if (std::error_code none; std::filesystem::is_directory(path_, none)) throw usage_error(path_ + ": is a directory");
    if (::access(path_.c_str(), R_OK) != 0) throw usage_error(path_ + ": " + std::strerror(errno));
    try {
      file = toml::parse_file(path_);
    } catch (const toml::parse_error& e) {
      throw usage_error(where(e.source()) + std::string(e.description()));
    }
    run_plan plan;
    // First what is meant for all stages, wherever it stands in the file.
    stage_plan defaults;
    for (const auto& [key, value] : file) {
      const std::string_view name = key.str();
      if (name == "stage") continue;
      if (name == "items") {
        plan.items.from_arguments = true;
        plan.items.arguments.push_back(texts(value, "items"));
        continue;
      }
      apply(name, value, plan, defaults, false);
    }
    const toml::array* stages = file["stage"].as_array();
    if (!stages || stages->empty()) throw usage_error(path_ + ": there is no [[stage]] in it");
    for (const toml::node& each : *stages) {
      const toml::table* table = each.as_table();
      if (!table) throw usage_error(where(each.source()) + "a stage begins with [[stage]]");
      stage_plan stage = defaults;
      for (const auto& [key, value] : *table) {
        if (key.str() != "command") {
          apply(key.str(), value, plan, stage, true);
        } else if (value.is_string()) {
          stage.words = {text(value, "command")};
        } else {
          stage.words = texts(value, "command");
          stage.wording = wording::argv;
        }
      }
      if (stage.words.empty()) throw usage_error(where(table->source()) + "a stage needs a command");
      plan.stages.push_back(std::move(stage));
    }
    return plan;
  }

 private:
  [[nodiscard]] std::string where(const toml::source_region& region) const {
    return path_ + ", line " + std::to_string(region.begin.line) + ": ";
  }
  std::string text(const toml::node& value, std::string_view name) const {
    if (const auto s = value.value<std::string>(); s && value.is_string()) return *s;
    if (value.is_integer() || value.is_floating_point()) {
      std::ostringstream number;
      value.visit([&](const auto& v) {
        if constexpr (toml::is_number<decltype(v)>) number << v.get();
      });
      return number.str();
    }
    throw usage_error(where(value.source()) + std::string(name) + " needs a text or a number");
  }
  std::vector<std::string> texts(const toml::node& value, std::string_view name) const {
    const toml::array* list = value.as_array();
    if (!list) throw usage_error(where(value.source()) + std::string(name) + " needs a list");
    std::vector<std::string> made;
    for (const toml::node& each : *list) made.push_back(text(each, name));
    return made;
  }

  void apply(std::string_view name, const toml::node& value, run_plan& plan, stage_plan& stage, bool of_stage) const {
    const word* w = find_word(name);
    if (!w) {
      const std::string near = nearest_word(name);
      throw usage_error(where(value.source()) + "there is no \"" + std::string(name) + '"' +
                        (near.empty() ? "" : "; did you mean \"" + near + "\"?"));
    }
    if (of_stage && w->where == scope::run)
      throw usage_error(where(value.source()) + '"' + std::string(name) +
                        "\" belongs to the whole run: write it above the stages");
    if (!of_stage && w->where == scope::stage)
      throw usage_error(where(value.source()) + '"' + std::string(name) +
                        "\" belongs to one stage: write it below its [[stage]]");
    const auto tell = [&](const std::string& argument) {
      try {
        say(*w, plan, stage, argument);
      } catch (const usage_error& e) {
        throw usage_error(where(value.source()) + e.what());
      }
    };
    if (w->argument.empty()) {
      const auto flag = value.value<bool>();
      if (!flag || !value.is_boolean())
        throw usage_error(where(value.source()) + std::string(name) + " is true or false");
      if (*flag) tell({});
    } else if (const toml::table* pairs = value.as_table(); pairs && name == "env") {
      for (const auto& [key, each] : *pairs) tell(std::string(key.str()) + '=' + text(each, name));
    } else if (value.is_array()) {
      for (const std::string& each : texts(value, name)) tell(each);
    } else {
      tell(text(value, name));
    }
  }

  const std::string path_;
};

}  // namespace

run_plan plan_from_file(const std::string& path) { return reader(path).read(); }

}  // namespace penstock::runner
