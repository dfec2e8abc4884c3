#include "apps/photos/command.hpp"

#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <system_error>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include <penstock/watch/printable.hpp>
#include <penstock/watch/progress.hpp>

#include "apps/gallery/client.hpp"
#include "apps/gallery/listen_address.hpp"
#include "apps/gallery/nowhere.hpp"
#include "apps/gallery/server.hpp"
#include "apps/gallery/store.hpp"
#include "apps/gallery/token.hpp"
#include "apps/photos/dimensions.hpp"
#include "apps/photos/image_maker.hpp"

namespace penstock::photos {
namespace {

bool is_address(const std::string& to) { return to.starts_with("http://") || to.starts_with("https://"); }

std::string counted(std::uint64_t n, const std::string& one, const std::string& many) {
  return std::to_string(n) + ' ' + (n == 1 ? one : many);
}

// 2,867
std::string grouped(std::uint64_t n) {
  std::string text = std::to_string(n);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

std::string size_text(std::uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, bytes < 10'000'000 ? "%.1f MB" : "%.0f MB", static_cast<double>(bytes) / 1e6);
  return text;
}

void print(std::ostream& out, const line_result& r, const std::string& target, bool dry_run, bool quiet) {
  out << (dry_run ? "would publish " : "published ") << counted(r.published, "photo", "photos");
  if (r.published && !dry_run)
    out << " (" << counted(r.renditions, "rendition", "renditions") << ", " << size_text(r.bytes_published) << ')';
  out << " to " << target << " in " << duration_text(r.report.wall);
  const double s = static_cast<double>(r.report.wall.count()) * 1e-9;
  if (r.published && s > 0 && !dry_run) {
    char rate[32];
    std::snprintf(rate, sizeof rate, ", %.1f a second", static_cast<double>(r.published) / s);
    out << rate;
  }
  out << '\n';
  if (r.already_there)
    out << "  " << counted(r.already_there, "was", "were") << " there already, and stay as they are\n";
  if (r.twice) out << "  " << counted(r.twice, "has", "have") << " the same contents as another\n";
  std::uint64_t skipped = 0;
  std::string reasons;
  for (const auto& [reason, count] : r.skipped) {
    skipped += count;
    reasons += (reasons.empty() ? "" : ", ") + std::to_string(count) + ' ' + reason;
  }
  if (skipped)
    out << "  " << counted(skipped, "file or folder", "files and folders") << " skipped: " << reasons << '\n';
  for (const skipped_file& f : r.listed) out << "  skipped  " << printable(f.path.string()) << ": " << f.reason << '\n';
  if (r.unreadable)
    out << "  " << counted(r.unreadable, "file or folder", "files and folders")
        << " could not be read: what is in there is not published; look at the permissions and the card, then run it "
           "again\n";
  for (const skipped_file& f : r.unreadable_files)
    out << "  unreadable  " << printable(f.path.string()) << ": " << printable(f.reason) << '\n';
  if (r.unreadable > r.unreadable_files.size())
    out << "  ... and " << r.unreadable - r.unreadable_files.size() << " more could not be read\n";
  for (const failed_photo& f : r.failures)
    out << "  failed   " << printable(f.path) << (f.path.empty() ? "" : ": ") << printable(f.reason) << " (" << f.stage
        << ")\n";
  if (r.failed > r.failures.size()) out << "  ... and " << r.failed - r.failures.size() << " more failed\n";
  if (!r.target_error.empty())
    out << "stopped: " << grouped(r.published) << " published, " << grouped(r.not_tried)
        << " not tried: " << printable(r.target_error) << ". Run it again to publish the rest.\n";
  else if (!r.unfinished.empty())
    out << "  " << counted(r.unfinished.size(), "photo was", "photos were") << " not finished; run it again to go on\n";
  if (r.report.outcome == outcome::drained) out << "interrupted: run it again to publish the rest\n";
  if (!r.error.empty() && r.target_error.empty()) out << "ended early: " << r.error << '\n';
  if (r.published && !dry_run && !quiet)
    print_numbers(out, r.report);  // where nothing was made, there is no pace to talk of
}

nlohmann::json as_json(const line_result& r, const std::string& target, bool dry_run) {
  nlohmann::json j;
  j["target"] = target;
  j["dry_run"] = dry_run;
  j["found"] = r.found;
  j["published"] = r.published;
  j["already_there"] = r.already_there;
  j["same_contents"] = r.twice;
  j["renditions"] = r.renditions;
  j["bytes_read"] = r.bytes_read;
  j["bytes_published"] = r.bytes_published;
  j["memory"] = {{"limit", r.memory_bytes}, {"peak", r.peak_bytes}};
  j["skipped"] = r.skipped;
  j["skipped_files"] = nlohmann::json::array();
  for (const auto& f : r.listed) j["skipped_files"].push_back({{"path", f.path.string()}, {"reason", f.reason}});
  j["unreadable"] = r.unreadable;
  j["unreadable_files"] = nlohmann::json::array();
  for (const auto& f : r.unreadable_files)
    j["unreadable_files"].push_back({{"path", f.path.string()}, {"reason", f.reason}});
  j["failed"] = r.failed;
  j["failures"] = nlohmann::json::array();
  for (const auto& f : r.failures)
    j["failures"].push_back({{"path", f.path}, {"stage", f.stage}, {"reason", f.reason}});
  j["unfinished"] = r.unfinished;
  j["not_tried"] = r.not_tried;
  j["target_error"] = r.target_error.empty() ? nlohmann::json(nullptr) : nlohmann::json(r.target_error);
  j["error"] = r.error.empty() ? nlohmann::json(nullptr) : nlohmann::json(r.error);
  j["pipeline"] = nlohmann::json::parse(to_json(r.report));
  return j;
}

int exit_code(const line_result& r) { return r.failed || r.unreadable || !r.error.empty() ? 1 : 0; }

void wait_for(const std::stop_token& stop) {
  std::mutex m;
  std::condition_variable_any woken;
  std::unique_lock lock(m);
  woken.wait(lock, stop, [] { return false; });
}

}  // namespace

int photos_command(command_options options, interrupts& signals, std::ostream& out) {
  limit_heap();
  const bool dry_run = options.line.dry_run;
  const bool remote = is_address(options.to);
  if (remote && !options.serve.empty())
    throw std::invalid_argument("--serve shows a gallery directory; " + options.to + " is served already");
  const auto token = gallery::read_token(options.token_file);
  if (token && !token->warning.empty() && (remote || !options.serve.empty())) std::cerr << token->warning << '\n';

  if (options.to.empty() || (options.to.find("://") != std::string::npos && !remote))
    throw std::invalid_argument("--to \"" + options.to +
                                "\": name a directory, or an address that begins with http:// or https://");
  for (const auto& source : options.line.sources)
    if (std::error_code ignored; !remote && std::filesystem::equivalent(source, options.to, ignored))
      throw std::invalid_argument(options.to +
                                  " is a source and the target at once: publish to another directory with --to");

  const image_library library;
  std::unique_ptr<gallery::target> target;
  gallery::store* shown = nullptr;
  if (remote) {
    auto there =
        std::make_unique<gallery::client>(options.to, gallery::client_options{.token = token ? token->token : ""});
    if (!dry_run) there->check_access();  // before the first photo is read, not after each is resized
    target = std::move(there);
  } else if (dry_run && !std::filesystem::exists(std::filesystem::path(options.to) / "gallery.db")) {
    target = std::make_unique<gallery::nowhere>(options.to);
  } else {
    auto directory = std::make_unique<gallery::store>(
        options.to, dry_run ? gallery::store::access::read : gallery::store::access::publish);
    shown = directory.get();
    target = std::move(directory);
  }
  std::optional<gallery::server> server;
  if (!options.serve.empty() && shown) {
    gallery::server_options serving;
    gallery::set_listen_address(serving, options.serve);
    serving.measure = dimensions_of;
    if (token) serving.token = token->token;
    server.emplace(*shown, std::move(serving));
    std::cerr << "gallery at " << server->url() << (token ? " (sign in with the token)" : "") << '\n';
  }

  progress* display = nullptr;
  std::mutex display_mutex;
  const auto say = [&](const std::string& text) {
    const std::scoped_lock lock(display_mutex);
    if (display)
      display->say(text);
    else
      std::cerr << text << '\n';
  };
  // As they happen where somebody looks on; elsewhere the report, which has them all, is enough.
  if (!options.quiet && ::isatty(STDERR_FILENO) == 1)
    options.line.on_failure = [&](const std::string& path, const std::string& reason) {
      say("failed   " + printable(path) + ": " + printable(reason));
    };
  if (dry_run && !options.json)
    options.line.on_would_publish = [&](const std::string& path) {
      const std::scoped_lock lock(display_mutex);
      out << "would publish  " << printable(path) << '\n';
    };
  if (options.isolate) options.line.images = isolated_with({.deadline = options.deadline}, options.line.memory_bytes);
  options.line.drain = signals.first();
  options.line.stop = signals.second();

  std::optional<photo_line> assembled;
  try {
    assembled.emplace(std::move(options.line), *target);
  } catch (const std::system_error& e) {
    throw std::invalid_argument(e.what());  // a source that is not there: the command line is wrong
  }
  photo_line& line = *assembled;
  line.start();
  line_result result;
  {
    const std::stop_callback first(signals.first(), [&] {
      if (!options.quiet) say("finishing what is in work; once more (Ctrl-C) to stop at once");
    });
    std::optional<progress> shown_progress;
    if (!options.quiet) {
      shown_progress.emplace([&] { return line.snapshot(); },
                             progress_options{.title = "photos → " + target->name(), .unit = "photos", .total = [&] {
                                                // After an interrupt: what has entered will be finished, and no more comes.
                                                return signals.count() ? std::optional(line.snapshot().entered)
                                                                       : line.total();
                                              }});
      const std::scoped_lock lock(display_mutex);
      display = &*shown_progress;
    }
    result = line.wait();
    const std::scoped_lock lock(display_mutex);
    display = nullptr;
  }
  if (options.json)
    out << as_json(result, target->name(), dry_run).dump(2, ' ', false, nlohmann::json::error_handler_t::replace)
        << '\n';
  else
    print(out, result, target->name(), dry_run, options.quiet);
  out.flush();
  if (!out) throw std::runtime_error("the report could not be written to stdout");

  if (server && signals.count() == 0) {
    std::cerr << "serving the gallery at " << server->url() << " until Ctrl-C\n";
    wait_for(signals.first());
    return exit_code(result);
  }
  if (signals.count() > 0) return 130;
  return exit_code(result);
}

}  // namespace penstock::photos
