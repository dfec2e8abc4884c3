// journal: what a run has done, on disk, so that another one can go on where it was killed.
//
//   journal done("film.journal", journal::start::resume);
//   auto before = done.take(key);                    // has this item been through this stage?
//   if (before.what == journal::state::unknown) { ...work...; done.note_done(key, stage, attempt, last_line); }
//
// KEYS     A job is known by what it is, not by its number: the hash of its stage's name and template and of the values
//          that the template can see. So the input may be longer, or in another order, the next time; a changed template
//          is other work. Equal items are counted: two in the input are two done.
// FILE     A line for each record: what, key, stage, attempt, result, number, checksum, separated by tabs; appended with one
//          write each. A torn or damaged line counts for nothing: that job is done again.
//              penstock journal 1
//              done    9f86d081884c7d659a2feaa0c55ad015    flac    1        17    3d2a88c1
//          `done` and `failed` are ends; `again` takes a `failed` back, because the job is about to be tried again.
// NUMBERS  A record of the first stage has the item's {#}: a resumed run gives it to the same item again, and to no other,
//          or that one would overwrite what was made under this number.
// SYNC     A killed program loses nothing that was written. For a machine that loses its power, the file is synced after
//          each group of records by a thread of its own; no job waits for it: a lost record is a job done again.
// FULL     Before a job begins, room for its record is reserved on the disk: where there is none, the job does not begin.
//          A record that could not be written is kept, and written at the next opportunity, at the latest by close().
// THREADS  Everything at the same time; close() when all else is over.
// MEMORY   Without resume nothing; with it a few words for each record, and results where later stages need them.
// ERRORS   usage_error: there is one already, and resume was not asked for; it is no journal; another run writes to it. A
//          file that takes no more is reported once through on_broken, which is called without a lock.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
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
  ~journal();  // closed

  // Room for one record, as long as it lives.
  class reserved {
   public:
    reserved(journal& of, std::size_t bytes) : of_(of), bytes_(bytes) {}
    reserved(const reserved&) = delete;
    reserved& operator=(const reserved&) = delete;
    ~reserved() { of_.give_back(bytes_); }

   private:
    journal& of_;
    const std::size_t bytes_;
  };
  // Null: the disk is full; reported through on_broken.
  [[nodiscard]] std::shared_ptr<const reserved> reserve(std::size_t bytes);
  // All is written and synced. The records for which that was impossible.
  std::vector<std::string> close() noexcept;
  // Every record was written and synced.
  [[nodiscard]] bool is_whole();
  void give_up() noexcept { file_.give_up(); }

  // The parts are kept apart: ("ab", "c") is not ("a", "bc").
  [[nodiscard]] static key key_of(const std::vector<std::string_view>& parts);

  // What an earlier run has noted of such a job; each note is given out once.
  [[nodiscard]] earlier take(const key& k);
  // number: {#}, of a job of the first stage; else empty.
  void note_done(const key& k, std::string_view stage, unsigned attempt, std::string_view result,
                 std::string_view number) noexcept;
  void note_failed(const key& k, std::string_view stage, unsigned attempt, std::string_view why,
                   std::string_view number) noexcept;
  // The number of an item with this key of the first stage. position: its place in the input, which it has if no other
  // item had that number in an earlier run.
  [[nodiscard]] std::uint64_t number_for(const key& k, std::uint64_t position);

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
  void load_line(std::string_view line) PENSTOCK_REQUIRES(mutex_);
  void note(std::string_view what, const key& k, std::string_view stage, unsigned attempt, std::string_view result,
            std::string_view number) noexcept;
  void give_back(std::size_t bytes) noexcept;
  void write_unwritten() noexcept;
  void report(int error) noexcept;
  void sync_until_stopped(const std::stop_token& stop);

  const bool retries_failed_;
  const std::function<void(int)> on_broken_;
  append_file file_;

  mutex mutex_;  // guards what follows
  std::unordered_map<key, notes, hash> earlier_ PENSTOCK_GUARDED_BY(mutex_);
  bool unsynced_ PENSTOCK_GUARDED_BY(mutex_) = false;
  bool stopped_ PENSTOCK_GUARDED_BY(mutex_) = false;
  bool told_ PENSTOCK_GUARDED_BY(mutex_) = false;
  bool not_synced_ PENSTOCK_GUARDED_BY(mutex_) = false;
  std::list<std::string> unwritten_ PENSTOCK_GUARDED_BY(mutex_);
  std::unordered_map<key, std::vector<std::uint64_t>, hash> numbers_ PENSTOCK_GUARDED_BY(mutex_);  // the last is next
  std::unordered_set<std::uint64_t> used_numbers_ PENSTOCK_GUARDED_BY(mutex_);
  std::uint64_t last_number_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  // Of the file: what is in it, what is on the disk for it, what jobs under way may add.
  std::uint64_t size_ PENSTOCK_GUARDED_BY(mutex_) = 0, allocated_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  std::uint64_t promised_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  bool can_reserve_ PENSTOCK_GUARDED_BY(mutex_) = true;
  condition changed_;
  std::jthread syncer_;
};

}  // namespace penstock::runner
