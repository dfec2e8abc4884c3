#include "apps/run/journal.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <utility>

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/run/vocabulary.hpp"

namespace penstock::runner {
namespace {

constexpr std::string_view first_line = "penstock journal 1";

// FNV-1a: against torn lines, not against malice.
std::uint32_t checksum(std::string_view text) {
  std::uint32_t h = 2166136261u;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 16777619u;
  return h;
}
std::string hex(const unsigned char* bytes, std::size_t count) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < count; ++i) {
    out += digits[bytes[i] >> 4];
    out += digits[bytes[i] & 15];
  }
  return out;
}
std::string checksum_text(std::string_view text) {
  const std::uint32_t sum = checksum(text);
  const std::array<unsigned char, 4> bytes{static_cast<unsigned char>(sum >> 24), static_cast<unsigned char>(sum >> 16),
                                           static_cast<unsigned char>(sum >> 8), static_cast<unsigned char>(sum)};
  return hex(bytes.data(), bytes.size());
}
std::optional<journal::key> key_from(std::string_view text) {
  journal::key k;
  if (text.size() != 2 * k.size()) return std::nullopt;
  for (std::size_t i = 0; i < k.size(); ++i) {
    const auto [end, error] = std::from_chars(text.data() + 2 * i, text.data() + 2 * i + 2, k[i], 16);
    if (error != std::errc{} || end != text.data() + 2 * i + 2) return std::nullopt;
  }
  return k;
}

}  // namespace

journal::journal(const std::string& path, start how, std::function<void(int)> on_broken)
    : retries_failed_(how == start::retry_failed),
      on_broken_(std::move(on_broken)),
      file_(path, append_file::start::as_it_is) {
  if (::flock(file_.descriptor(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    throw usage_error("--journal " + path + ": another run is writing to it");
  if (!file_.was_empty() && how == start::fresh)
    throw usage_error("--journal " + path + " is there already: --resume goes on with it, or remove it");
  if (file_.was_empty()) {
    if (const int error = file_.add(std::string(first_line) + '\n')) {
      (void)!::ftruncate(file_.descriptor(), 0);  // half a line would be no journal, next time
      throw std::runtime_error(path + ": " + std::strerror(error));
    }
  } else {
    load(path);
  }
  struct stat about {};
  can_reserve_ = ::fstat(file_.descriptor(), &about) == 0 && S_ISREG(about.st_mode);
  size_ = allocated_ = static_cast<std::uint64_t>(about.st_size);
  syncer_ = std::jthread([this](const std::stop_token& stop) { sync_until_stopped(stop); });
}

journal::~journal() { (void)close(); }

std::vector<std::string> journal::close() noexcept {
  write_unwritten();
  {
    mutex_lock lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  if (syncer_.joinable()) syncer_.join();
  mutex_lock lock(mutex_);
  try {
    return {unwritten_.begin(), unwritten_.end()};
  } catch (...) {
    return {};
  }
}

bool journal::is_whole() {
  mutex_lock lock(mutex_);
  return unwritten_.empty() && !not_synced_;
}

std::shared_ptr<const journal::reserved> journal::reserve(std::size_t bytes) {
  int error = 0;
  {
    mutex_lock lock(mutex_);
    const std::uint64_t needed = size_ + promised_ + bytes;
    if (can_reserve_ && needed > allocated_) {
      constexpr std::uint64_t step = 64 << 10;  // seldom
      for (const std::uint64_t until : {needed + step, needed}) {
        do {
          error = ::fallocate(file_.descriptor(), FALLOC_FL_KEEP_SIZE, static_cast<off_t>(allocated_),
                              static_cast<off_t>(until - allocated_)) == 0
                      ? 0
                      : errno;
        } while (error == EINTR);
        if (!error) allocated_ = until;
        if (error != ENOSPC && error != EDQUOT) break;
      }
      if (error && error != ENOSPC && error != EDQUOT) {
        can_reserve_ = false;  // this file system has no such call
        error = 0;
      }
    }
    if (!error) promised_ += bytes;
  }
  if (!error) return std::make_shared<const reserved>(*this, bytes);
  report(error);
  return nullptr;
}
void journal::give_back(std::size_t bytes) noexcept {
  mutex_lock lock(mutex_);
  promised_ -= bytes;
}

journal::key journal::key_of(const std::vector<std::string_view>& parts) {
  std::string text;
  for (const std::string_view part : parts) text.append(std::to_string(part.size())).append(1, ':').append(part);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  if (::EVP_Digest(text.data(), text.size(), digest.data(), nullptr, ::EVP_sha256(), nullptr) != 1)
    throw std::runtime_error("SHA-256 failed");
  key k;
  std::memcpy(k.data(), digest.data(), k.size());
  return k;
}

void journal::load(const std::string& path) {
  const auto no_journal = usage_error("--journal " + path + " is not a journal of penstock run: give another name");
  std::string text;
  bool begun = false;
  mutex_lock lock(mutex_);
  for (off_t offset = 0;;) {
    std::array<char, 65536> block;
    const ssize_t got = ::pread(file_.descriptor(), block.data(), block.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    // Not as an end: what is done according to the rest would be done again.
    if (got < 0) throw std::runtime_error("--journal " + path + " cannot be read: " + std::strerror(errno));
    offset += got;
    text.append(block.data(), static_cast<std::size_t>(got));
    if (got == 0 && !text.empty()) text += '\n';
    std::size_t at = 0;
    for (std::size_t end = 0; (end = text.find('\n', at)) != text.npos; at = end + 1) {
      const std::string_view line = std::string_view(text).substr(at, end - at);
      if (std::exchange(begun, true))
        load_line(line);
      else if (line != first_line)
        throw no_journal;
    }
    text.erase(0, at);
    if (!begun && (got == 0 || text.size() > first_line.size())) throw no_journal;
    if (got == 0) return;
  }
}

void journal::load_line(std::string_view whole) {
  const auto last_tab = whole.rfind('\t');
  if (last_tab == whole.npos || whole.substr(last_tab + 1) != checksum_text(whole.substr(0, last_tab))) return;
  std::array<std::string_view, 6> fields;  // what, key, stage, attempt, result, number
  std::string_view rest = whole.substr(0, last_tab);
  for (std::string_view& field : fields) {
    const auto tab = rest.find('\t');
    field = rest.substr(0, tab);
    rest = tab == rest.npos ? std::string_view{} : rest.substr(tab + 1);
  }
  const auto k = key_from(fields[1]);
  if (!k) return;
  std::uint64_t number = 0;
  std::from_chars(fields[5].data(), fields[5].data() + fields[5].size(), number);
  if (number && used_numbers_.insert(number).second) {
    numbers_[*k].push_back(number);
    last_number_ = std::max(last_number_, number);
  }
  notes& n = earlier_[*k];
  if (fields[0] == "done") {
    if (!fields[4].empty()) {
      n.results.resize(n.done);
      n.results.push_back(from_field(fields[4]));
    }
    ++n.done;
  } else if (fields[0] == "failed") {
    ++n.failed;
  } else if (fields[0] == "again" && n.failed) {
    --n.failed;
  }
}

std::uint64_t journal::number_for(const key& k, std::uint64_t position) {
  mutex_lock lock(mutex_);
  last_number_ = std::max(last_number_, position);
  if (const auto found = numbers_.find(k); found != numbers_.end()) {
    const std::uint64_t number = found->second.back();
    found->second.pop_back();
    if (found->second.empty()) numbers_.erase(found);
    return number;
  }
  if (!used_numbers_.contains(position)) return position;
  used_numbers_.insert(++last_number_);
  return last_number_;
}

journal::earlier journal::take(const key& k) {
  bool again = false;
  {
    mutex_lock lock(mutex_);
    const auto found = earlier_.find(k);
    if (found == earlier_.end()) return {};
    notes& n = found->second;
    earlier was;
    if (n.done) {
      was.what = state::done;
      --n.done;
      if (n.results.size() > n.done) {
        was.result = std::move(n.results[n.done]);
        n.results.resize(n.done);
      }
    } else if (n.failed) {
      --n.failed;
      again = retries_failed_;
      if (!again) was.what = state::failed;
    }
    if (!n.done && !n.failed) earlier_.erase(found);
    if (!again) return was;
  }
  // Before it is tried: if that is cut short, it is neither done nor failed, and tried the next time, too.
  note("again", k, "", 0, "", "");
  return {};
}

void journal::note_done(const key& k, std::string_view stage, unsigned attempt, std::string_view result,
                        std::string_view number) noexcept {
  note("done", k, stage, attempt, result, number);
}
void journal::note_failed(const key& k, std::string_view stage, unsigned attempt, std::string_view why,
                          std::string_view number) noexcept {
  note("failed", k, stage, attempt, why, number);
}

void journal::note(std::string_view what, const key& k, std::string_view stage, unsigned attempt,
                   std::string_view result, std::string_view number) noexcept {
  int error = 0;
  try {
    std::string record;
    record.append(what).append(1, '\t').append(hex(k.data(), k.size())).append(1, '\t').append(as_field(stage));
    record.append(1, '\t').append(std::to_string(attempt)).append(1, '\t').append(as_field(result));
    record.append(1, '\t').append(number);
    record += '\t' + checksum_text(record) + '\n';
    std::list<std::string> kept;
    kept.push_back(std::move(record));  // before the write: keeping it must not need memory
    error = file_.add(kept.front());
    mutex_lock lock(mutex_);
    size_ += kept.front().size();
    if (error) unwritten_.splice(unwritten_.end(), kept);
  } catch (...) {
    error = ENOMEM;
  }
  {
    mutex_lock lock(mutex_);
    if (!std::exchange(unsynced_, true)) changed_.notify_all();
  }
  if (error) report(error);
}

// Records that could not be written in time: the disk may have room again.
void journal::write_unwritten() noexcept {
  std::list<std::string> now;
  {
    mutex_lock lock(mutex_);
    now.swap(unwritten_);
    if (!now.empty() && !std::exchange(unsynced_, true)) changed_.notify_all();
  }
  while (!now.empty() && file_.add(now.front()) == 0) now.pop_front();
  mutex_lock lock(mutex_);
  unwritten_.splice(unwritten_.begin(), now);
}

void journal::report(int error) noexcept {
  {
    mutex_lock lock(mutex_);
    if (std::exchange(told_, true)) return;
  }
  on_broken_(error);
}

// One sync for all that was written during the last one.
void journal::sync_until_stopped(const std::stop_token&) {
  for (;;) {
    {
      mutex_lock lock(mutex_);
      while (!unsynced_ && !stopped_) changed_.wait(lock);
      if (!std::exchange(unsynced_, false)) return;
    }
    const int error = file_.sync();
    if (!error) continue;
    {
      mutex_lock lock(mutex_);
      not_synced_ = true;
    }
    report(error);
  }
}

}  // namespace penstock::runner
