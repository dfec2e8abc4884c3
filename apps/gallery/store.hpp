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
// HEALING  A photo is there iff its row and each of its files are, byte for byte (contains() reads them). If a file was
//          removed, cut short or changed by hand, publishing the photo again puts all of its files back; its sequence
//          and its fields stay. A database that is replaced, restored or removed while a store is open is noticed at the
//          next call: all connections are closed and the new one is opened, or the call throws.
// PRIVACY  Metadata is removed from each file before it is written, see metadata.hpp.
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
#include "apps/gallery/database.hpp"
#include "apps/gallery/target.hpp"

namespace penstock::gallery {

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
  // True iff each file of the photo is there, byte for byte.
  [[nodiscard]] bool is_whole(const published_photo& shown) const;
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
  void give_back(std::unique_ptr<database> db) noexcept PENSTOCK_EXCLUDES(mutex_);
  [[nodiscard]] std::unique_ptr<database> open_database() const;
  [[nodiscard]] std::shared_ptr<session> drafts() PENSTOCK_EXCLUDES(mutex_);
  void open_for_publishing() PENSTOCK_EXCLUDES(mutex_);
  [[nodiscard]] std::filesystem::path place_of(std::string_view id) const;
  publish_result make_visible(const photo& item, const std::vector<published_rendition>& written,
                              const std::filesystem::path& draft, session& rest);

  const std::filesystem::path root_;
  const access access_;
  std::atomic<bool> sync_failed_ = false;

  mutex mutex_;                                                   // guards what follows
  std::shared_ptr<session> session_ PENSTOCK_GUARDED_BY(mutex_);  // null when opened for reading
  // Connections: as many as threads ever asked at once, all on the files of identity_. SQLite shares its index between
  // the connections of a process, so those on replaced files must all be closed before the first new one is opened.
  std::vector<std::unique_ptr<database>> idle_ PENSTOCK_GUARDED_BY(mutex_);
  std::size_t lent_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // open and not idle, being opened or being closed
  std::optional<database::identity> identity_ PENSTOCK_GUARDED_BY(mutex_);  // nothing: no connection is open
  condition returned_;                                                      // lent_ became smaller

  changes changes_;
};

}  // namespace penstock::gallery
