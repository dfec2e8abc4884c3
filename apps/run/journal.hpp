// journal: what a run has done, on disk, so that another one can go on where it was killed.
//
//   journal done("film.journal", journal::start::resume);
//   auto before = done.take(key);                    // has this item been through this stage?
//   if (before.what == journal::state::unknown) { ...work...; done.note_done(key, stage, attempt, last_line); }
//
// KEYS     A job is known by what it is, not by its number: the hash of its stage's name and template and of the values
//          that the template can see. So the input may be longer, or in another order, the next time; a changed template
//          is other work. Equal items are counted: two in the input are two done.
// FILE     A line for each record: what, key, stage, attempt, result, checksum, separated by tabs; appended with one write
//          each. A torn or damaged line counts for nothing: that job is done again.
//              penstock journal 1
//              done    9f86d081884c7d659a2feaa0c55ad015    flac    1        3d2a88c1
//          `done` and `failed` are ends; `again` takes a `failed` back, because the job is about to be tried again.
// SYNC     A killed program loses nothing that was written. For a machine that loses its power, the file is synced after
//          each group of records by a thread of its own; nobody waits for it: a lost record is a job done again.
// THREADS  Everything at the same time.
// MEMORY   Without resume nothing; with it a few words for each record, and results where later stages need them.
// ERRORS   usage_error: there is one already, and resume was not asked for; it is no journal; another run writes to it. A
//          disk that is full is told once through on_broken.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include <penstock/base/mutex.hpp>

#include "apps/run/append_file.hpp"

namespace penstock::runner {

class journal {
 public:
  enum class start { fresh, resume, retry_failed };
  using key = std::array<unsigned char, 16>;
  enum class state { unknown, done, failed };
  struct earlier {
    state what = state::unknown;
    std::string result{};
  };

  journal(const std::string& path, start how, std::function<void(int)> on_broken);
  journal(const journal&) = delete;
  journal& operator=(const journal&) = delete;
  ~journal();  // synced

  // The parts are kept apart: ("ab", "c") is not ("a", "bc").
  [[nodiscard]] static key key_of(const std::vector<std::string_view>& parts);

  // What an earlier run has noted of such a job; each note is given out once.
  [[nodiscard]] earlier take(const key& k);
  void note_done(const key& k, std::string_view stage, unsigned attempt, std::string_view result) noexcept;
  void note_failed(const key& k, std::string_view stage, unsigned attempt, std::string_view why) noexcept;

 private:
  struct hash {
    std::size_t operator()(const key& k) const noexcept {
      std::size_t h = 0;
      std::memcpy(&h, k.data(), sizeof h);  // it is a hash
      return h;
    }
  };
  struct notes {
    std::uint32_t done = 0, failed = 0;
    std::vector<std::string> results{};  // of the first ones; those without are empty
  };
  void load(const std::string& path);
  void note(std::string_view what, const key& k, std::string_view stage, unsigned attempt,
            std::string_view result) noexcept;
  void sync_until_stopped(const std::stop_token& stop);

  const bool retries_failed_;
  const std::function<void(int)> on_broken_;
  append_file file_;

  mutex mutex_;  // guards what follows
  std::unordered_map<key, notes, hash> earlier_ PENSTOCK_GUARDED_BY(mutex_);
  bool unsynced_ PENSTOCK_GUARDED_BY(mutex_) = false;
  bool stopped_ PENSTOCK_GUARDED_BY(mutex_) = false;
  bool told_ PENSTOCK_GUARDED_BY(mutex_) = false;
  condition changed_;
  std::jthread syncer_;
};

}  // namespace penstock::runner
