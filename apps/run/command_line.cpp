#include "apps/run/command_line.hpp"

#include <algorithm>
#include <utility>

#include "apps/run/command_template.hpp"
#include "apps/run/pipeline_file.hpp"

namespace penstock::runner {
namespace {

class reader {
 public:
  reader(std::span<const std::string> words, run_plan base) : words_(words), plan_(std::move(base)) {}

  run_plan read() {
    stage_plan defaults;
    do {
      stage_plan stage = defaults;
      read_options(stage);
      if (plan_.stages.empty()) {
        // What stands before the first command and is meant for all.
        defaults.directory = stage.directory;
        defaults.environment = stage.environment;
        defaults.timeout = stage.timeout;
        defaults.end = stage.end;
        defaults.retries = stage.retries;
        defaults.retries_said = stage.retries_said;
        defaults.backoff = stage.backoff;
        defaults.on_fail = stage.on_fail;
        defaults.on_fail_retry = stage.on_fail_retry;
      }
      read_command(stage);
      plan_.stages.push_back(std::move(stage));
    } while (take("::"));
    while (take(":::")) {
      plan_.items.from_arguments = true;
      auto& list = plan_.items.arguments.emplace_back();
      while (!at_end() && now() != ":::") {
        if (now() == "::")
          throw usage_error("items come last: write ::: and the items behind the last stage's command");
        refuse_others_words();
        list.push_back(next());
      }
    }
    return std::move(plan_);
  }

 private:
  [[nodiscard]] bool at_end() const { return words_.empty(); }
  [[nodiscard]] const std::string& now() const { return words_.front(); }
  const std::string& next() {
    const std::string& word = words_.front();
    words_ = words_.subspan(1);
    return word;
  }
  bool take(const char* what) {
    if (at_end() || now() != what) return false;
    next();
    return true;
  }

  void read_options(stage_plan& stage) {
    while (!at_end() && now().size() > 1 && now().front() == '-') {
      const std::string& text = next();
      if (text == "--") return;
      if (text == "--help" || text == "-h") throw help_wanted{};
      if (text.starts_with("--")) {
        const auto equals = text.find('=');
        const std::string name = text.substr(2, equals == text.npos ? text.npos : equals - 2);
        const word* w = find_word(name);
        if (!w) {
          const std::string near = nearest_word(name);
          throw usage_error("there is no option --" + name + (near.empty() ? "" : "; did you mean --" + near + '?'));
        }
        if (w->argument.empty() && equals != text.npos) throw usage_error("--" + name + " takes no value");
        apply(*w, stage, equals == text.npos ? argument_of(*w, "--" + name) : text.substr(equals + 1));
        continue;
      }
      for (std::size_t i = 1; i < text.size(); ++i) {
        const word* w = find_word(text[i]);
        if (!w) throw usage_error(std::string("there is no option -") + text[i] + "; penstock run --help lists them");
        if (w->argument.empty()) {
          apply(*w, stage, {});
          continue;
        }
        const std::string rest = text.substr(i + 1);
        apply(*w, stage, rest.empty() ? argument_of(*w, std::string("-") + text[i]) : rest);
        break;
      }
    }
  }
  std::string argument_of(const word& w, const std::string& spelled) {
    if (w.argument.empty()) return {};
    if (at_end() || now() == "::" || now() == ":::")
      throw usage_error(spelled + " needs a value: " + spelled + ' ' + std::string(w.argument));
    return next();
  }
  void apply(const word& w, stage_plan& stage, const std::string& value) {
    if (w.where == scope::run && !plan_.stages.empty())
      throw usage_error("--" + std::string(w.name) + " belongs to the whole run: write it before the first command");
    if (w.where == scope::stage || w.where == scope::defaults) plan_.says_stage_options = true;
    say(w, plan_, stage, value);
  }

  void refuse_others_words() const {
    if (now() == ":::+" || now() == "::::" || now() == "::::+")
      throw usage_error("\"" + now() + "\" is GNU parallel's: here items come from stdin, from -a FILE, or after :::");
  }

  void read_command(stage_plan& stage) {
    while (!at_end() && now() != "::" && now() != ":::") {
      refuse_others_words();
      stage.words.push_back(next());
    }
    if (!stage.words.empty()) return;
    if (plan_.stages.empty())
      throw usage_error("a command is missing: penstock run 'gzip -9 {}' (penstock run --help)");
    throw usage_error("a command is missing after the " + std::to_string(plan_.stages.size()) + ". ::");
  }

  std::span<const std::string> words_;
  run_plan plan_;
};

std::string name_after(const stage_plan& stage) {
  std::string name = stage.words.front();
  const auto begin = std::min(name.find_first_not_of(" \t\n"), name.size());
  name = name.substr(begin, name.find_first_of(" \t\n;|&<>()", begin) - begin);
  name = name.substr(name.find_last_of('/') + 1);
  const bool fits = !name.empty() && name.front() != '.' && name.find_first_of("{}$`'\"=*?[]~!#\\") == name.npos;
  return fits ? name : "stage";
}

}  // namespace

run_plan plan_from(std::span<const std::string> words) {
  run_plan plan = reader(words, {}).read();
  const stage_plan& first = plan.stages.front();
  if (const std::string file = first.words.front(); plan.stages.size() == 1 && first.words.size() == 1 &&
                                                    file.ends_with(".toml") && first.wording == wording::automatic) {
    // Read once more, now on top of what the file says.
    run_plan from_file = plan_from_file(file);
    auto stages = std::exchange(from_file.stages, {});
    if (plan.items.from_arguments || !plan.items.files.empty()) {
      from_file.items.from_arguments = false;
      from_file.items.arguments.clear();
      from_file.items.files.clear();
    }
    plan = reader(words, std::move(from_file)).read();
    if (plan.says_stage_options) throw usage_error("options of a stage stand in " + file + ", below its [[stage]]");
    plan.stages = std::move(stages);
  }
  complete(plan);
  return plan;
}

void complete(run_plan& plan) {
  if (plan.items.from_arguments && !plan.items.files.empty())
    throw usage_error("items come from -a FILE or from :::, not from both");
  if (plan.items.from_arguments && plan.items.header)
    throw usage_error("--header is for items from a file or stdin, whose first line names the columns");
  if (plan.items.arguments.size() > 1 && plan.items.format != item_format::lines)
    throw usage_error("columns come from --csv, --tsv or --colsep, or from several :::, not from both");
  if (plan.items.format == item_format::lines && plan.items.header)
    throw usage_error("--header names columns: say --csv, --tsv or --colsep, too");
  if (plan.resume && plan.journal.empty())
    throw usage_error("--resume goes on with a journal: say --journal FILE, too");
  if (!plan.results.empty() && plan.mode == output_mode::line_buffered)
    throw usage_error("--results keeps what jobs print, and --line-buffer lets it go: choose one");
  for (stage_plan& stage : plan.stages) {
    if (stage.name.empty()) {
      const std::string wanted = name_after(stage);
      stage.name = wanted;
      const auto taken = [&] {
        return std::any_of(plan.stages.begin(), plan.stages.end(),
                           [&](const stage_plan& s) { return &s != &stage && s.name == stage.name; });
      };
      for (int n = 2; taken(); ++n) stage.name = wanted + '-' + std::to_string(n);
    } else if (std::count_if(plan.stages.begin(), plan.stages.end(),
                             [&](const stage_plan& s) { return s.name == stage.name; }) > 1) {
      throw usage_error("two stages have the name \"" + stage.name + '"');
    }
    if (stage.workers.most() == 0) stage.workers = processors();
    if (stage.capacity == 0) stage.capacity = 2 * stage.workers.most();
    if (stage.on_fail_retry && !stage.retries_said) stage.retries = 2;
    const bool last = &stage == &plan.stages.back();
    if (last && stage.next != passing::item)
      throw usage_error("\"" + stage.name +
                        "\" is the last stage: what it prints is the output, and --pass and --lines "
                        "have nobody to hand it to");
    if (last && plan.keep_order && plan.mode == output_mode::line_buffered)
      throw usage_error("--keep-order puts whole jobs in order, and --line-buffer does not wait for them: choose one");
  }
}

}  // namespace penstock::runner
