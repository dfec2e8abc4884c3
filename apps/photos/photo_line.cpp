#include "apps/photos/photo_line.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <set>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include <unistd.h>

#include <penstock/base/budget.hpp>
#include <penstock/base/exception_text.hpp>
#include <penstock/base/mutex.hpp>
#include <penstock/penstock.hpp>

#include "apps/gallery/client.hpp"
#include "apps/photos/target_health.hpp"

namespace penstock::photos {
namespace {

using namespace std::chrono_literals;

// The items of the line, each with its share of the memory.
struct shot {
  found_photo found;
  unsigned attempts = 0;  // begun so far
  friend std::string item_label(const shot& s) { return s.found.path.string(); }
};
struct downloaded {
  std::filesystem::path path;
  std::string id;
  photo_file file;
  budget::reservation memory;
  friend std::string item_label(const downloaded& d) { return d.path.string(); }
};
struct resized {
  std::filesystem::path path;
  gallery::photo photo;
  budget::reservation memory;
  unsigned attempts = 0;  // begun so far
  friend std::string item_label(const resized& r) { return r.path.string(); }
};

// About 15 seconds: a server that is restarted, or a file that is being copied, costs nothing.
constexpr unsigned most_attempts = 6;
constexpr std::size_t most_listed = 1000;

// The file could not be opened or read: nothing is known about the photo.
class unreadable_photo : public std::runtime_error {
 public:
  explicit unreadable_photo(const std::error_code& why)
      : std::runtime_error("cannot be read: " + why.message()), why_(why) {}
  [[nodiscard]] const std::error_code& why() const noexcept { return why_; }

 private:
  std::error_code why_;
};

template <class Error>
bool is(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error&) {
    return true;
  } catch (...) {
    return false;
  }
}

// Why the photo could not be read, if that is the cause of `error`, a stage_error; otherwise none.
std::optional<std::error_code> why_unreadable(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::nested_exception& e) {
    try {
      if (e.nested_ptr()) e.rethrow_nested();
    } catch (const unreadable_photo& cause) {
      return cause.why();
    } catch (...) {
    }
  } catch (...) {
  }
  return std::nullopt;
}

std::uint64_t default_memory() {
  const auto pages = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PHYS_PAGES)));
  const auto page = static_cast<std::uint64_t>(std::max(1L, ::sysconf(_SC_PAGESIZE)));
  return std::clamp<std::uint64_t>(pages * page / 4, 256 << 20, 1 << 30);
}

std::string megabytes(std::uint64_t bytes) { return std::to_string((bytes + 999'999) / 1'000'000) + " MB"; }

}  // namespace

class photo_line::state {
 public:
  state(line_options options, gallery::target& target)
      : options_(std::move(options)),
        target_(target),
        health_(target),
        memory_(options_.memory_bytes),
        source_(options_.sources) {
    stopped_.emplace(options_.stop, [this] { halt_.request_stop(); });
  }

  void start() {
    line_.emplace(assemble());
    // Only to tell how much is left; the line does not wait for it.
    counter_ = std::jthread([this](const std::stop_token& stop) {
      try {
        photo_source ahead(options_.sources);
        std::uint64_t n = 0;
        while (!stop.stop_requested() && ahead.next()) ++n;
        if (!stop.stop_requested()) total_ = static_cast<std::int64_t>(n);
      } catch (...) {
        // A folder that went away: then there is no total to tell, and the line itself reports it.
      }
    });
  }
  [[nodiscard]] report snapshot() const { return line_->snapshot(); }
  [[nodiscard]] std::optional<std::uint64_t> total() const {
    const std::int64_t n = total_.load();
    return n < 0 ? std::nullopt : std::optional<std::uint64_t>(static_cast<std::uint64_t>(n));
  }
  line_result wait();

 private:
  running_pipeline<void> assemble();
  std::optional<downloaded> download(image_maker& images, shot& s, const std::stop_token& stop);
  resized resize(image_maker& images, downloaded& d, const std::stop_token& stop);
  void upload(resized& r);

  bool seen(const std::string& id) {
    mutex_lock lock(mutex_);
    return seen_.contains(id);
  }
  // False if it was noted already: by a worker that has the same contents in its hand.
  bool note(const std::string& id) {
    mutex_lock lock(mutex_);
    return seen_.insert(id).second;
  }
  void skip(const std::filesystem::path& path, const std::string& reason) {
    mutex_lock lock(mutex_);
    ++skipped_[reason];
    if (listed_.size() < most_listed) listed_.push_back({path, reason});
  }
  std::optional<found_photo> next_found();
  void note_failure(const failure& f);
  // Calls the target. If the call shows that the target takes no photos, the run ends, once for all photos.
  template <class Call>
  auto at_target(std::string_view id, bool last_attempt, Call call) {
    try {
      return call();
    } catch (...) {
      if (health_.is_failing(id, last_attempt)) halt_.request_stop();
      throw;
    }
  }

  const line_options options_;
  gallery::target& target_;
  target_health health_;
  std::stop_source halt_;  // options_.stop, or a failing target
  std::optional<std::stop_callback<std::function<void()>>> stopped_;
  budget memory_;
  photo_source source_;                  // of the source's thread
  std::size_t unreadable_reported_ = 0;  // of the source's thread
  images_here here_{options_.renditions};
  std::jthread counter_;
  std::atomic<std::int64_t> total_ = -1;
  std::atomic<std::uint64_t> found_ = 0, published_ = 0, already_there_ = 0, twice_ = 0, renditions_ = 0,
                             bytes_read_ = 0, bytes_published_ = 0;

  mutex mutex_;                                             // guards what follows
  std::set<std::string> seen_ PENSTOCK_GUARDED_BY(mutex_);  // ids of this run
  std::map<std::string, std::uint64_t> skipped_ PENSTOCK_GUARDED_BY(mutex_);
  std::vector<skipped_file> listed_ PENSTOCK_GUARDED_BY(mutex_);
  std::uint64_t unreadable_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // photos that were found and could not be read
  std::vector<skipped_file> unreadable_files_ PENSTOCK_GUARDED_BY(mutex_);

  std::optional<running_pipeline<void>> line_;  // last: its threads use what is above
};

running_pipeline<void> photo_line::state::assemble() {
  const on_error policy = options_.fail_fast ? on_error::stop : on_error::skip;
  stage_options downloading{.workers = options_.download_workers, .capacity = 4, .on_error = policy};
  // A file that is still being copied to the card or folder gets a little time to be finished.
  downloading.retry = {.attempts = most_attempts, .backoff = 500ms, .retry_if = [](const std::exception_ptr& e) {
                         return is<still_being_written>(e) || is<gallery::retryable_error>(e);
                       }};
  stage_options resizing{.workers = options_.resize_workers, .capacity = options_.resize_workers, .on_error = policy};
  stage_options uploading{
      .workers = options_.upload_workers, .capacity = 2 * options_.upload_workers, .on_error = policy};
  uploading.retry = {.attempts = most_attempts, .backoff = 500ms, .retry_if = [](const std::exception_ptr& e) {
                       return is<gallery::retryable_error>(e);
                     }};
  run_options running{.stop = halt_.get_token(), .drain = options_.drain, .keep_failures = most_listed};
  running.on_failure = [this](const failure& f) { note_failure(f); };

  const auto next = [this]() -> std::optional<shot> {
    auto found = next_found();
    if (!found) return std::nullopt;
    ++found_;
    return shot{*std::move(found)};
  };
  const auto upload_one = [this](resized& r) { upload(r); };
  const auto line = [&](auto download_one, auto resize_one) {
    return from(next)                                                            //
           | stage("download", std::move(download_one), std::move(downloading))  //
           | stage("resize", std::move(resize_one), std::move(resizing))         //
           | sink("upload", upload_one, std::move(uploading))                    //
           | penstock::start(std::move(running));
  };
  if (options_.images) {
    const auto downloads = [this] {
      return [this, images = options_.images(options_.renditions)](shot& s, const std::stop_token& stop) {
        return download(*images, s, stop);
      };
    };
    const auto resizes = [this] {
      return [this, images = options_.images(options_.renditions)](downloaded& d, const std::stop_token& stop) {
        return resize(*images, d, stop);
      };
    };
    return line(per_worker(downloads), per_worker(resizes));
  }
  return line([this](shot& s, const std::stop_token& stop) { return download(here_, s, stop); },
              [this](downloaded& d, const std::stop_token& stop) { return resize(here_, d, stop); });
}

// Reports what the source could not read as it happens.
std::optional<found_photo> photo_line::state::next_found() {
  auto found = source_.next();
  const auto& unreadable = source_.unreadable();
  for (; unreadable_reported_ < unreadable.size(); ++unreadable_reported_) {
    const skipped_file& file = unreadable[unreadable_reported_];
    if (options_.on_failure) options_.on_failure(file.path.string(), "cannot be read: " + file.reason);
    if (options_.fail_fast) throw std::runtime_error(file.path.string() + " cannot be read: " + file.reason);
  }
  return found;
}

void photo_line::state::note_failure(const failure& f) {
  if (const auto why = why_unreadable(f.error)) {
    mutex_lock lock(mutex_);
    ++unreadable_;
    if (unreadable_files_.size() < most_listed) unreadable_files_.push_back({f.place.label, why->message()});
  }
  if (options_.on_failure) options_.on_failure(f.place.label, f.reason);
}

std::optional<downloaded> photo_line::state::download(image_maker& images, shot& s, const std::stop_token& stop) {
  ++s.attempts;
  try {
    if (!s.found.damage.empty()) {
      s.found = look(s.found.path);  // perhaps it has been written since it was found
      if (!s.found.damage.empty()) throw bad_photo(s.found.damage);
    }
    const image_info info = images.probe(s.found.path, stop);
    const std::uint64_t need = s.found.bytes + info.peak_bytes;
    if (need > memory_.limit())
      throw bad_photo(std::to_string(info.width) + " × " + std::to_string(info.height) + " pixels need " +
                      megabytes(need) + " of memory, and only " + megabytes(memory_.limit()) +
                      " are allowed: raise --memory to " + megabytes(need) + " or more");
    auto memory = memory_.acquire(need, stop);
    if (!memory) throw cancelled();
    auto file = images.read(s.found);
    bytes_read_ += file.bytes().size();
    auto id = sha256(file.bytes());
    if (seen(id)) {
      ++twice_;
      return std::nullopt;
    }
    // The gallery is asked first and may fail and be asked again; only then the id is noted, once.
    const bool there = at_target(id, s.attempts == most_attempts, [&] { return target_.contains(id); });
    if (!note(id)) {
      ++twice_;
      return std::nullopt;
    }
    if (there) {
      ++already_there_;
      return std::nullopt;
    }
    if (options_.dry_run) {
      ++published_;
      if (options_.on_would_publish) options_.on_would_publish(s.found.path.string());
      return std::nullopt;
    }
    return downloaded{s.found.path, std::move(id), std::move(file), *std::move(memory)};
  } catch (const not_a_photo& e) {
    skip(s.found.path, e.what());
    return std::nullopt;
  } catch (const std::system_error& e) {
    throw unreadable_photo(e.code());
  } catch (const still_being_written&) {
    // The next attempt is made at the file as it is by then.
    try {
      s.found = look(s.found.path);
    } catch (...) {
      // It may be gone, or no photo any more; the next attempt will say so.
    }
    throw;
  }
}

resized photo_line::state::resize(image_maker& images, downloaded& d, const std::stop_token& stop) {
  rendition_set made = images.make(d.file, stop);
  std::uint64_t size = 0;
  for (const auto& r : made.renditions) size += r.bytes.size();
  d.file = {};
  d.memory.shrink_to(size);
  return {
      std::move(d.path), {std::move(d.id), std::move(made.renditions), std::move(made.fields)}, std::move(d.memory)};
}

void photo_line::state::upload(resized& r) {
  ++r.attempts;
  const auto result = at_target(r.photo.id, r.attempts == most_attempts, [&] { return target_.publish(r.photo); });
  health_.published();
  switch (result) {
    case gallery::publish_result::published:
      ++published_;
      renditions_ += r.photo.renditions.size();
      for (const auto& rendition : r.photo.renditions) bytes_published_ += rendition.bytes.size();
      break;
    case gallery::publish_result::already_there:
      ++already_there_;
      break;
  }
}

line_result photo_line::state::wait() {
  line_result result;
  try {
    result.report = line_->wait();
  } catch (const run_error& e) {
    result.report = std::move(e.report());
    result.error = e.what();
  }
  result.target_error = health_.reason();
  if (!result.target_error.empty()) {
    result.error = result.target_error;
    // How many photos are left is worth a wait; an interrupt ends it.
    const auto no_more = [this] { counter_.request_stop(); };
    const std::stop_callback stopped(options_.stop, no_more), drained(options_.drain, no_more);
    counter_.join();
    result.not_tried =
        result.report.returned + std::max(total().value_or(0), result.report.entered) - result.report.entered;
  }
  counter_ = {};
  result.found = found_;
  result.published = published_;
  result.already_there = already_there_;
  result.twice = twice_;
  result.renditions = renditions_;
  result.bytes_read = bytes_read_;
  result.bytes_published = bytes_published_;
  result.peak_bytes = memory_.peak();
  result.memory_bytes = memory_.limit();
  for (const failure& f : result.report.failures)
    if (!why_unreadable(f.error)) result.failures.push_back({f.place.label, f.place.stage, f.reason});
  for (unfinished_item& u : result.report.unfinished) result.unfinished.push_back(u.place.label);
  result.report.unfinished.clear();  // they hold memory of this line's budget
  mutex_lock lock(mutex_);
  result.failed = result.report.failed - unreadable_;
  result.unreadable = source_.unreadable_count() + unreadable_;
  result.unreadable_files = source_.unreadable();
  result.unreadable_files.insert(result.unreadable_files.end(), unreadable_files_.begin(), unreadable_files_.end());
  result.skipped = source_.skipped();
  result.listed = source_.listed();
  for (const auto& [reason, count] : skipped_) result.skipped[reason] += count;
  result.listed.insert(result.listed.end(), listed_.begin(), listed_.end());
  return result;
}

photo_line::photo_line(line_options options, gallery::target& target) {
  check(options.renditions);
  if (options.sources.empty()) throw std::invalid_argument("no source: name files or folders with photos");
  if (options.resize_workers == 0) options.resize_workers = std::max(1u, std::thread::hardware_concurrency());
  if (options.memory_bytes == 0) options.memory_bytes = default_memory();
  state_ = std::make_unique<state>(std::move(options), target);
}

std::function<std::unique_ptr<image_maker>(const rendition_options&)> isolated_with(process::isolation how,
                                                                                    std::uint64_t memory_bytes) {
  // Beside the photo: readers that are loaded when they are needed, stacks and heaps of an encoder's threads. It is
  // address space, and far from what is used of it; what runs away is stopped in any case.
  constexpr std::size_t room_for_libraries = std::size_t{2} << 30;
  if (how.memory_bytes == 0)
    how.memory_bytes = static_cast<std::size_t>(memory_bytes ? memory_bytes : default_memory()) + room_for_libraries;
  return [how, spare = std::make_shared<spare_memory>()](const rendition_options& options) {
    return std::make_unique<isolated_images>(options, how, spare);
  };
}

photo_line::~photo_line() = default;
void photo_line::start() { state_->start(); }
report photo_line::snapshot() const { return state_->snapshot(); }
std::optional<std::uint64_t> photo_line::total() const { return state_->total(); }
line_result photo_line::wait() { return state_->wait(); }

}  // namespace penstock::photos
