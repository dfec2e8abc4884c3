// photo_line: the main job: photos from folders → renditions → a gallery, on the library's pipeline.
//
//   image_library library;
//   gallery::store gallery("./gallery");
//   photo_line line({.sources = {"/media/card/DCIM"}}, gallery);
//   line.start();
//   auto result = line.wait();
//
//   download   reads a file and takes its SHA-256; what is in the gallery already, or came twice, goes no further
//   resize     renditions at their sizes, upright, in sRGB, free of metadata
//   upload     makes the photo visible in the gallery, whole and durably
//
// MEMORY   Every photo takes its share of `memory_bytes` before it is read: its file and all that resizing it will
//          need; it gives back what it no longer needs on the way. So the sum never exceeds the limit, and no photo
//          waits in the middle for more.
// UNREADABLE  A file or folder that could not be read (source.hpp), or whose read failed on the way, is neither skipped nor
//          failed: it has its own count and list.
// TARGET   A photo that cannot be published fails alone. A target that takes no photo at all (full, read-only, gone,
//          token refused: target_health.hpp) ends the run once: nothing more is read, what is under way is handed back,
//          and line_result::not_tried counts what a later run will publish.
// ENDING   What is published is published for good, and a photo is there whole or not at all, so a run that was stopped
//          or killed is finished by running it again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include <penstock/pipeline/report.hpp>

#include "apps/gallery/target.hpp"
#include "apps/photos/image_maker.hpp"
#include "apps/photos/source.hpp"

namespace penstock::photos {

struct line_options {
  std::vector<std::filesystem::path> sources;  // files and folders
  rendition_options renditions{};
  std::size_t download_workers = 2;
  std::size_t resize_workers = 0;  // 0: one for each processor
  std::size_t upload_workers = 2;
  std::uint64_t memory_bytes = 0;  // in flight; 0: a quarter of the machine's, at most 1 GiB
  bool fail_fast = false;          // the first failed photo ends the run
  bool dry_run = false;            // reads and recognises, publishes nothing
  // Makes what looks at pictures, for each worker one; empty: all of them do it here. See isolated_with().
  std::function<std::unique_ptr<image_maker>(const rendition_options&)> images{};
  std::stop_token drain{};
  std::stop_token stop{};
  std::function<void(const std::string& path, const std::string& reason)> on_failure{};  // as it happens, on workers
  std::function<void(const std::string& path)> on_would_publish{};  // dry run: for each new photo, on workers
};

// For line_options::images: each worker has a process for it. how.memory_bytes 0: what the line may take (memory_bytes as
// in line_options), and room for the libraries.
[[nodiscard]] std::function<std::unique_ptr<image_maker>(const rendition_options&)> isolated_with(
    process::isolation how, std::uint64_t memory_bytes = 0);

struct failed_photo {
  std::string path;
  std::string stage;
  std::string reason;
};

struct line_result {
  std::uint64_t found = 0;          // photos in the sources
  std::uint64_t published = 0;      // made visible by this run (in a dry run: would have been)
  std::uint64_t already_there = 0;  // recognised by their contents
  std::uint64_t twice = 0;          // the same contents under another name in this run
  std::uint64_t renditions = 0;
  std::uint64_t bytes_read = 0;
  std::uint64_t bytes_published = 0;
  std::uint64_t peak_bytes = 0;  // of memory_bytes that were taken at one moment
  std::uint64_t memory_bytes = 0;
  std::uint64_t failed = 0;                      // found, and not published because of something in the photo
  std::uint64_t unreadable = 0;                  // files and folders that could not be read
  std::vector<skipped_file> unreadable_files;    // the first thousand of them
  std::uint64_t not_tried = 0;                   // photos left because the target failed; those under way included
  std::string target_error;                      // why the target took no more; empty: it did
  std::map<std::string, std::uint64_t> skipped;  // files that are no photos, by reason
  std::vector<skipped_file> listed;              // those of them that an owner will ask about
  std::vector<failed_photo> failures;            // the first thousand; `failed` counts all
  std::vector<std::string> unfinished;           // paths that were found and not published because the run was stopped
  std::string error;                             // what ended the run, if a failure did
  penstock::report report;
};

class photo_line {
 public:
  // Throws std::invalid_argument (options) and std::system_error (a source that does not exist), before anything
  // starts.
  photo_line(line_options options, gallery::target& target);
  photo_line(const photo_line&) = delete;
  photo_line& operator=(const photo_line&) = delete;
  ~photo_line();

  // Starts; call once, then wait().
  void start();
  [[nodiscard]] report snapshot() const;
  // The number of photos in the sources, once they have all been seen.
  [[nodiscard]] std::optional<std::uint64_t> total() const;
  line_result wait();

 private:
  class state;
  std::unique_ptr<state> state_;
};

}  // namespace penstock::photos
