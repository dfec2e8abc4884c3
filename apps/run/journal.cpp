#include "apps/run/journal.hpp"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <utility>

#include <openssl/evp.h>
#include <sys/file.h>

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
    if (const int error = file_.add(std::string(first_line) + '\n'))
      throw std::runtime_error(path + ": " + std::strerror(error));
  } else {
    load(path);
  }
  syncer_ = std::jthread([this](const std::stop_token& stop) { sync_until_stopped(stop); });
}

journal::~journal() {
  {
    mutex_lock lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }
  syncer_.join();
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
  std::ifstream in(path, std::ios::binary);
  std::string line;
  if (!std::getline(in, line) || line != first_line)
    throw usage_error("--journal " + path + " is not a journal of penstock run: give another name");
  mutex_lock lock(mutex_);
  while (std::getline(in, line)) {
    const std::string_view whole = line;
    const auto last_tab = whole.rfind('\t');
    if (last_tab == whole.npos || whole.substr(last_tab + 1) != checksum_text(whole.substr(0, last_tab))) continue;
    std::array<std::string_view, 5> fields;  // what, key, stage, attempt, result
    std::string_view rest = whole.substr(0, last_tab);
    for (std::string_view& field : fields) {
      const auto tab = rest.find('\t');
      field = rest.substr(0, tab);
      rest = tab == rest.npos ? std::string_view{} : rest.substr(tab + 1);
    }
    const auto k = key_from(fields[1]);
    if (!k) continue;
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
  note("again", k, "", 0, "");
  return {};
}

void journal::note_done(const key& k, std::string_view stage, unsigned attempt, std::string_view result) noexcept {
  note("done", k, stage, attempt, result);
}
void journal::note_failed(const key& k, std::string_view stage, unsigned attempt, std::string_view why) noexcept {
  note("failed", k, stage, attempt, why);
}

void journal::note(std::string_view what, const key& k, std::string_view stage, unsigned attempt,
                   std::string_view result) noexcept {
  int error = 0;
  try {
    std::string record;
    record.append(what).append(1, '\t').append(hex(k.data(), k.size())).append(1, '\t').append(as_field(stage));
    record.append(1, '\t').append(std::to_string(attempt)).append(1, '\t').append(as_field(result));
    record += '\t' + checksum_text(record) + '\n';
    error = file_.add(record);
  } catch (...) {
    error = ENOMEM;
  }
  mutex_lock lock(mutex_);
  if (!std::exchange(unsynced_, true)) changed_.notify_all();
  if (!error || std::exchange(told_, true)) return;
  lock.unlock();
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
    mutex_lock lock(mutex_);
    if (!error || std::exchange(told_, true)) continue;
    lock.unlock();
    on_broken_(error);
  }
}

}  // namespace penstock::runner
