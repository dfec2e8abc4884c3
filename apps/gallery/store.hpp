// store: a gallery in a directory, the target that needs no server.
//
//   gallery::store gallery("/srv/gallery");
//   gallery.publish(item);
//   for (const auto& shown : gallery.list(std::nullopt, 100)) ...
//
// LAYOUT   gallery.db               what is visible, and nothing else is
//          photos/ab/<id>/<w>.jpg   renditions; ab: the id's first two digits, <w>: the width in pixels
//          tmp/<session>/           drafts of one open store, which holds a flock on it
//
// SCHEMA   SQLite, write-ahead log, application_id 0x70656e73, user_version 1:
//            photo(sequence INTEGER PRIMARY KEY AUTOINCREMENT,   the order in which photos became visible
//                  id TEXT UNIQUE, fields TEXT)                  fields: a JSON object of strings
//            rendition(sequence, width, height, media_type, bytes, digest TEXT, PRIMARY KEY(sequence, width))
//                                                                digest: SHA-256 of the file, its first 32 hex digits
//            tally(photos INTEGER)                               how many rows photo has; kept by triggers
//
// THREADS  Every member may be called at the same time, and any number of stores, in any number of processes, may be
//          open on one directory.
// ORDER    Sequences become visible in ascending order: who has seen 17 finds everything later with after(17, ...).
// ENDING   publish(): files are written and synced as a draft, the draft is renamed into place, its row is committed.
//          Until the commit nothing is visible; after it everything is, and survives a power cut. What a killed process
//          leaves behind (drafts, a directory without a row) is removed when a store is next opened for publishing;
//          what a live process works on is not touched. After a failed sync of the database the store refuses to
//          publish: what the disk holds is unknown until it is opened again.
// NEEDS    A local file system: neither flock nor a shared write-ahead log can be relied upon over a network.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/base/mutex.hpp>

#include "apps/gallery/changes.hpp"
#include "apps/gallery/target.hpp"

namespace penstock::gallery {

class database;

struct published_rendition {
  int width = 0;
  int height = 0;
  std::string media_type;
  std::int64_t bytes = 0;
  std::string digest;  // identifies the bytes
};

struct published_photo {
  std::int64_t sequence = 0;
  std::string id;
  std::vector<published_rendition> renditions;  // largest first
  std::map<std::string, std::string> fields;
};

struct rendition_file {
  std::filesystem::path path;
  published_rendition described;
};

class store final : public target {
 public:
  enum class access {
    publish,  // creates the gallery if there is none
    read,     // changes nothing; publish() throws
  };

  // Throws std::runtime_error: no gallery there, made by a newer penstock, or the directory cannot be used.
  explicit store(std::filesystem::path directory, access how = access::publish);
  ~store() override;

  bool contains(std::string_view id) override;
  publish_result publish(const photo& item) override;  // also throws invalid_photo
  [[nodiscard]] std::string name() const override { return root_.string(); }

  // Newest first; with `before`, only those whose sequence is smaller.
  [[nodiscard]] std::vector<published_photo> list(std::optional<std::int64_t> before, std::size_t limit);
  // Oldest first, those whose sequence is larger.
  [[nodiscard]] std::vector<published_photo> after(std::int64_t sequence, std::size_t limit);
  [[nodiscard]] std::optional<published_photo> find(std::string_view id);
  // The file of one rendition of a visible photo.
  [[nodiscard]] std::optional<rendition_file> rendition_of(std::string_view id, int width, std::string_view media_type);
  [[nodiscard]] std::int64_t total();
  [[nodiscard]] std::int64_t newest();  // sequence of the newest photo, 0 if there is none

  // Calls `call` soon after photos became visible: at once for this object's own, within a second for others'.
  // See changes.hpp. The subscription must end before the store does.
  [[nodiscard]] changes::subscription on_change(std::function<void()> call);

 private:
  class borrowed;
  class session;

  [[nodiscard]] borrowed borrow() PENSTOCK_EXCLUDES(mutex_);
  void open_for_publishing();
  [[nodiscard]] std::filesystem::path place_of(std::string_view id) const;
  publish_result make_visible(const photo& item, const std::vector<std::string>& digests,
                              const std::filesystem::path& draft);

  const std::filesystem::path root_;
  const access access_;
  std::unique_ptr<session> session_;  // constant after construction; null when opened for reading
  std::atomic<bool> sync_failed_ = false;

  mutex mutex_;                                                              // guards what follows
  std::vector<std::unique_ptr<database>> idle_ PENSTOCK_GUARDED_BY(mutex_);  // as many as threads ever asked at once

  std::unique_ptr<database> watched_;  // used by changes_'s thread only
  changes changes_;
};

}  // namespace penstock::gallery
