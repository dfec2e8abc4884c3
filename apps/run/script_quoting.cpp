#include "apps/run/script_quoting.hpp"

#include <algorithm>
#include <deque>
#include <string>

namespace penstock::runner {
namespace {

using quoting = script_position::quoting;

class reader {
 public:
  explicit reader(std::string_view script) : script_(script), made_(script.size()) {}

  std::vector<script_position> read() {
    while (at_ < script_.size()) step();
    return std::move(made_);
  }

 private:
  struct level {
    quoting within = quoting::none;
    std::size_t opened = 0;
    std::string_view closes{};  // what ends it; empty: nothing
  };
  struct here_document {
    std::string end;
    bool quoted = false, tabs = false;
  };

  [[nodiscard]] bool next_is(std::string_view text) const { return script_.substr(at_).starts_with(text); }
  void pass(std::size_t count, const level& as) {
    for (; count && at_ < script_.size(); --count) made_[at_++] = {as.within, as.opened};
  }
  void pass_escape(const level& as) {
    const std::size_t next = at_ + 1;
    pass(2, as);
    if (next < made_.size()) made_[next].escaped = true;
  }
  void open(quoting within, std::size_t length, std::string_view closes) {
    const std::size_t from = at_;
    pass(length, levels_.back());
    levels_.push_back({within, from, closes});
  }
  [[nodiscard]] bool begins_word() const {
    return at_ == 0 || std::string_view(" \t\n;&|(").find(script_[at_ - 1]) != std::string_view::npos;
  }

  void step() {
    const level now = levels_.back();
    if (!now.closes.empty() && next_is(now.closes)) {
      pass(now.closes.size(), now);
      levels_.pop_back();
      return;
    }
    const char c = script_[at_];
    switch (now.within) {
      case quoting::single_quotes:
        return pass(1, now);
      case quoting::double_quotes:
      case quoting::here_document:
      case quoting::arithmetic:
        if (c == '\\') return pass_escape(now);
        return expansion(now);
      case quoting::none:
        break;
      case quoting::quoted_here_document:
      case quoting::comment:
        return pass(1, now);  // never a level of its own
    }
    if (c == '\\') return pass_escape(now);
    if (c == '\'') return open(quoting::single_quotes, 1, "'");
    if (c == '"') return open(quoting::double_quotes, 1, "\"");
    if (c == '#' && begins_word()) {
      const std::size_t end = std::min(script_.find('\n', at_), script_.size());
      return pass(end - at_, {quoting::comment, at_, {}});
    }
    if (next_is("<<")) return announce();
    if (c == '(') return open(quoting::none, 1, ")");
    if (c == '\n' && !announced_.empty()) return here_documents(now);
    expansion(now);
  }

  void expansion(const level& now) {
    if (next_is("$((")) return open(quoting::arithmetic, 3, "))");
    if (next_is("$(")) return open(quoting::none, 2, ")");
    if (next_is("${")) return open(now.within, 2, "}");
    if (script_[at_] == '`') return open(quoting::none, 1, "`");
    if (script_[at_] == '(' && now.within == quoting::arithmetic) return open(now.within, 1, ")");
    pass(1, now);
  }

  // << with the word that will end the document.
  void announce() {
    here_document next;
    const level plain{};
    pass(2, plain);
    if (next_is("<")) return pass(1, plain);  // <<<, of other shells
    if (next_is("-")) {
      next.tabs = true;
      pass(1, plain);
    }
    while (next_is(" ") || next_is("\t")) pass(1, plain);
    for (; at_ < script_.size(); pass(1, plain)) {
      const char c = script_[at_];
      if (std::string_view(" \t\n;&|<>()").find(c) != std::string_view::npos) break;
      if (c == '\'' || c == '"' || c == '\\')
        next.quoted = true;
      else
        next.end += c;
    }
    if (!next.end.empty()) announced_.push_back(std::move(next));
  }
  void here_documents(const level& now) {
    pass(1, now);
    for (; !announced_.empty(); announced_.pop_front()) {
      const here_document& d = announced_.front();
      const level within{d.quoted ? quoting::quoted_here_document : quoting::here_document, at_, {}};
      while (at_ < script_.size()) {
        const std::size_t newline = std::min(script_.find('\n', at_), script_.size());
        std::string_view line = script_.substr(at_, newline - at_);
        const std::size_t length = line.size();
        while (d.tabs && line.starts_with('\t')) line.remove_prefix(1);
        const bool last = line == d.end;
        pass(length + 1, last ? now : within);
        if (last) break;
      }
    }
  }

  const std::string_view script_;
  std::size_t at_ = 0;
  std::vector<script_position> made_;
  std::vector<level> levels_{level{}};
  std::deque<here_document> announced_;
};

}  // namespace

std::vector<script_position> script_quoting(std::string_view script) { return reader(script).read(); }

}  // namespace penstock::runner
