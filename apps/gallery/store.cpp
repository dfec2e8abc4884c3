#include "apps/gallery/store.hpp"

#include <cassert>
#include <random>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>
#include <openssl/evp.h>
#include <unistd.h>

#include "apps/gallery/database.hpp"
#include "apps/gallery/disk.hpp"
#include "apps/gallery/rules.hpp"

namespace penstock::gallery {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t application_id = 0x70656e73;
constexpr std::int64_t schema_version = 1;
constexpr std::chrono::milliseconds watch_interval(1000);

constexpr std::string_view schema[] = {
    ("CREATE TABLE photo("
     "  sequence INTEGER PRIMARY KEY AUTOINCREMENT,"
     "  id TEXT NOT NULL UNIQUE,"
     "  fields TEXT NOT NULL) STRICT"),
    ("CREATE TABLE rendition("
     "  sequence INTEGER NOT NULL REFERENCES photo(sequence) ON DELETE CASCADE,"
     "  width INTEGER NOT NULL,"
     "  height INTEGER NOT NULL,"
     "  media_type TEXT NOT NULL,"
     "  bytes INTEGER NOT NULL,"
     "  digest TEXT NOT NULL,"
     "  PRIMARY KEY(sequence, width)) STRICT, WITHOUT ROWID"),
    // count(*) reads an index of all photos: too slow to be asked with every page of a large gallery.
    "CREATE TABLE tally(photos INTEGER NOT NULL) STRICT",
    "INSERT INTO tally VALUES(0)",
    "CREATE TRIGGER photo_came AFTER INSERT ON photo BEGIN UPDATE tally SET photos = photos + 1; END",
    "CREATE TRIGGER photo_went AFTER DELETE ON photo BEGIN UPDATE tally SET photos = photos - 1; END",
};

std::string digest_of(std::span<const std::byte> bytes) {
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (::EVP_Digest(bytes.data(), bytes.size(), hash, &size, ::EVP_sha256(), nullptr) != 1)
    throw std::runtime_error("SHA-256 is not available from OpenSSL on this machine");
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (int i = 0; i < 16; ++i) {
    text += digits[hash[i] >> 4];
    text += digits[hash[i] & 15];
  }
  return text;
}

std::string file_name(int width, std::string_view media_type) {
  return std::to_string(width) + '.' + std::string(extension_of(media_type));
}

fs::path database_file(const fs::path& root) { return root / "gallery.db"; }

// One number of a PRAGMA, or of any statement with one row.
std::int64_t number(database& db, std::string_view sql) {
  auto row = db.ask(sql);
  return row.next() ? row.integer(0) : 0;
}

enum class found_schema { none, ours };

found_schema look_at_schema(database& db, const fs::path& root) {
  const std::int64_t version = number(db, "PRAGMA user_version");
  if (version == 0 && number(db, "SELECT count(*) FROM sqlite_schema") == 0) return found_schema::none;
  if (number(db, "PRAGMA application_id") != application_id)
    throw std::runtime_error(root.string() + " is not a gallery: its gallery.db belongs to another program");
  if (version != schema_version)
    throw std::runtime_error(root.string() + " was made by a newer penstock (version " + std::to_string(version) +
                             " of the format, this one knows " + std::to_string(schema_version) + "): update penstock");
  return found_schema::ours;
}

void create_schema(database& db) {
  db.run("PRAGMA journal_mode = WAL");
  transaction creation(db);
  for (const auto sql : schema) db.run(sql);
  db.run("PRAGMA application_id = " + std::to_string(application_id));
  db.run("PRAGMA user_version = " + std::to_string(schema_version));
  creation.commit();
}

std::vector<fs::path> entries_of(const fs::path& directory) {
  std::error_code failure;
  std::vector<fs::path> entries;
  for (fs::directory_iterator at(directory, failure), end; !failure && at != end; at.increment(failure))
    entries.push_back(at->path());
  if (failure) throw storage_error(failure.value(), "cannot list", directory);
  return entries;
}

bool is_real_directory(const fs::path& path) {
  std::error_code failure;
  return fs::is_directory(fs::symlink_status(path, failure));
}

// For what is being given up anyway: what cannot be removed now is removed at the next opening.
void remove_tree(const fs::path& path) noexcept {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

std::vector<fs::path> photo_directories(const fs::path& root) {
  std::vector<fs::path> found;
  for (const auto& shelf : entries_of(root / "photos")) {
    if (shelf.filename().string().size() != 2 || !is_real_directory(shelf)) continue;
    for (auto& place : entries_of(shelf))
      if (is_photo_id(place.filename().string())) found.push_back(std::move(place));
  }
  return found;
}

constexpr std::string_view listed_columns =
    "p.sequence, p.id, p.fields, r.width, r.height, r.media_type, r.bytes, r.digest";

const std::string& newest_first() {
  static const std::string sql = "SELECT " + std::string(listed_columns) +
                                 " FROM (SELECT * FROM photo WHERE sequence < ? ORDER BY sequence DESC LIMIT ?) p"
                                 " JOIN rendition r USING(sequence) ORDER BY p.sequence DESC, r.width DESC";
  return sql;
}

const std::string& oldest_first() {
  static const std::string sql = "SELECT " + std::string(listed_columns) +
                                 " FROM (SELECT * FROM photo WHERE sequence > ? ORDER BY sequence LIMIT ?) p"
                                 " JOIN rendition r USING(sequence) ORDER BY p.sequence, r.width DESC";
  return sql;
}

const std::string& by_id() {
  static const std::string sql = "SELECT " + std::string(listed_columns) +
                                 " FROM photo p JOIN rendition r USING(sequence) WHERE p.id = ? ORDER BY r.width DESC";
  return sql;
}

// Rows in listed_columns, those of one photo next to each other.
std::vector<published_photo> photos_of(database::rows&& rows) {
  std::vector<published_photo> photos;
  while (rows.next()) {
    if (photos.empty() || photos.back().sequence != rows.integer(0)) {
      auto& added = photos.emplace_back();
      added.sequence = rows.integer(0);
      added.id = rows.text(1);
      added.fields = nlohmann::json::parse(rows.text(2)).get<std::map<std::string, std::string>>();
    }
    photos.back().renditions.push_back({static_cast<int>(rows.integer(3)), static_cast<int>(rows.integer(4)),
                                        rows.text(5), rows.integer(6), rows.text(7)});
  }
  return photos;
}

// Removes the directory at the end, whatever is in it.
class draft_directory {
 public:
  explicit draft_directory(fs::path path) : path_(std::move(path)) { make_directory(path_); }
  ~draft_directory() { remove_tree(path_); }
  draft_directory(const draft_directory&) = delete;
  draft_directory& operator=(const draft_directory&) = delete;

  [[nodiscard]] const fs::path& path() const noexcept { return path_; }

 private:
  const fs::path path_;
};

}  // namespace

// A connection for the duration of one call.
class store::borrowed {
 public:
  borrowed(store& owner, std::unique_ptr<database> db) : owner_(owner), db_(std::move(db)) {}
  ~borrowed() {
    mutex_lock lock(owner_.mutex_);
    owner_.idle_.push_back(std::move(db_));
  }
  borrowed(const borrowed&) = delete;
  borrowed& operator=(const borrowed&) = delete;

  database& operator*() const noexcept { return *db_; }
  database* operator->() const noexcept { return db_.get(); }

 private:
  store& owner_;
  std::unique_ptr<database> db_;
};

// This store's directory under tmp/. The flock on it says that somebody is alive.
// REQUIRES: constructed under the gallery's lock, which keeps others from taking the new directory for a stale one.
class store::session {
 public:
  explicit session(const fs::path& parent) : path_(make(parent)), alive_(path_) {}
  ~session() { remove_tree(path_); }
  session(const session&) = delete;
  session& operator=(const session&) = delete;

  // A path in it that was not given out before.
  [[nodiscard]] fs::path next() { return path_ / std::to_string(next_.fetch_add(1, std::memory_order_relaxed)); }
  [[nodiscard]] const fs::path& path() const noexcept { return path_; }

 private:
  static fs::path make(const fs::path& parent) {
    std::random_device random;
    fs::path path;
    do path = parent / (std::to_string(::getpid()) + '-' + std::to_string(random()));
    while (!make_directory(path));
    return path;
  }

  const fs::path path_;
  const directory_lock alive_;
  std::atomic<unsigned> next_ = 0;  // relaxed: only uniqueness matters
};

store::store(std::filesystem::path directory, access how)
    : root_(std::move(directory)),
      access_(how),
      changes_(
          [this] {
            if (!watched_) watched_ = std::make_unique<database>(database_file(root_), database::mode::read);
            return number(*watched_, "PRAGMA data_version");
          },
          watch_interval) {
  if (access_ == access::publish) {
    open_for_publishing();
    return;
  }
  if (!is_there(database_file(root_)))
    throw std::runtime_error("there is no gallery in " + root_.string() + ": publish a photo there first");
  const auto db = borrow();
  if (look_at_schema(*db, root_) == found_schema::none)
    throw std::runtime_error("the gallery in " + root_.string() + " is empty: publish a photo there first");
}

store::~store() = default;

store::borrowed store::borrow() {
  {
    mutex_lock lock(mutex_);
    if (!idle_.empty()) {
      auto db = std::move(idle_.back());
      idle_.pop_back();
      return {*this, std::move(db)};
    }
  }
  const auto mode = access_ == access::publish ? database::mode::existing : database::mode::read;
  return {*this, std::make_unique<database>(database_file(root_), mode)};
}

void store::open_for_publishing() {
  std::error_code failure;
  fs::create_directories(root_, failure);
  if (failure) throw storage_error(failure.value(), "cannot make the directory", root_);

  std::vector<fs::path> stale;
  {
    // Who publishes holds this lock from the rename to the commit: in here a directory without a row is an orphan.
    const directory_lock exclusive(root_);
    make_directory(root_ / "photos");
    make_directory(root_ / "tmp");
    database db(database_file(root_), database::mode::create);
    const auto places = photo_directories(root_);
    if (look_at_schema(db, root_) == found_schema::none) {
      // Without this, a lost database would make orphans of all photos, and they would be removed.
      if (!places.empty())
        throw std::runtime_error(root_.string() +
                                 " has photos but its gallery.db is missing or empty: put a backup of " +
                                 "it in its place, or choose another directory");
      create_schema(db);
    }
    sync_directory(root_);

    session_ = std::make_unique<session>(root_ / "tmp");
    for (const auto& other : entries_of(root_ / "tmp"))
      if (other != session_->path() && is_real_directory(other) && !directory_lock::is_held(other))
        stale.push_back(other);
    for (const auto& place : places)
      if (!db.ask("SELECT 1 FROM photo WHERE id = ?", place.filename().string()).next()) stale.push_back(place);
    // Moved away under the lock, removed after it: others wait for renames only.
    for (auto& path : stale) {
      const fs::path away = session_->next();
      if (is_there(path)) move_to(path, away);
      path = away;
    }
  }
  for (const auto& path : stale) remove_tree(path);
}

fs::path store::place_of(std::string_view id) const {
  assert(is_photo_id(id));
  return root_ / "photos" / id.substr(0, 2) / id;
}

bool store::contains(std::string_view id) {
  check_id(id);
  const auto db = borrow();
  return db->ask("SELECT 1 FROM photo WHERE id = ?", id).next();
}

publish_result store::publish(const photo& item) {
  check(item);
  if (access_ != access::publish)
    throw std::runtime_error("the gallery in " + root_.string() + " is open for reading only");
  if (contains(item.id)) return publish_result::already_there;

  const draft_directory draft(session_->next());
  std::vector<std::string> digests;
  for (const auto& r : item.renditions) {
    write_durably(draft.path() / file_name(r.width, r.media_type), r.bytes);
    digests.push_back(digest_of(r.bytes));
  }
  sync_directory(draft.path());
  const auto result = make_visible(item, digests, draft.path());
  if (result == publish_result::published) changes_.announce();
  return result;
}

publish_result store::make_visible(const photo& item, const std::vector<std::string>& digests, const fs::path& draft) {
  // One publisher at a time from here on, in all processes. SQLite would order the commits anyway, but by polling; the
  // lock queues, and it also covers the renames: who holds it may take a directory without a row for an orphan. That
  // includes a draft of the same photo that another process was killed over.
  const directory_lock exclusive(root_);
  // acquire: pairs with the release below; whoever failed held the lock before us.
  if (sync_failed_.load(std::memory_order_acquire))
    throw storage_error(EIO, "a sync of the database failed before; restart to publish again in", root_);
  const auto db = borrow();
  if (db->ask("SELECT 1 FROM photo WHERE id = ?", item.id).next()) return publish_result::already_there;

  const fs::path place = place_of(item.id);
  const fs::path shelf = place.parent_path();
  if (make_directory(shelf)) sync_directory(shelf.parent_path());
  if (is_there(place)) {
    const draft_directory orphan(session_->next());
    move_to(place, orphan.path());  // onto an empty directory: rename replaces that
  }
  move_to(draft, place);
  const auto take_back = [&]() noexcept {  // the draft is then removed by its owner
    std::error_code ignored;               // if it cannot be: an orphan, removed at the next opening
    fs::rename(place, draft, ignored);
  };
  try {
    sync_directory(shelf);
    transaction row(*db);
    db->run("INSERT INTO photo(id, fields) VALUES(?, ?)", item.id, nlohmann::json(item.fields).dump());
    const std::int64_t sequence = db->last_row();
    for (std::size_t i = 0; i < item.renditions.size(); ++i) {
      const auto& r = item.renditions[i];
      db->run("INSERT INTO rendition VALUES(?, ?, ?, ?, ?, ?)", sequence, r.width, r.height, r.media_type,
              static_cast<std::int64_t>(r.bytes.size()), digests[i]);
    }
    row.commit();
  } catch (const database_error& failure) {
    if (failure.is_failed_sync()) {
      // The row is not visible, but its log entry may have reached the disk and may come back after a power cut. The
      // files stay, so that it would find them; if it does not come back, they are an orphan like any other.
      sync_failed_.store(true, std::memory_order_release);
    } else {
      take_back();
    }
    throw;
  } catch (...) {
    take_back();
    throw;
  }
  return publish_result::published;
}

std::vector<published_photo> store::list(std::optional<std::int64_t> before, std::size_t limit) {
  const auto db = borrow();
  return photos_of(db->ask(newest_first(), before.value_or(INT64_MAX), static_cast<std::int64_t>(limit)));
}

std::vector<published_photo> store::after(std::int64_t sequence, std::size_t limit) {
  const auto db = borrow();
  return photos_of(db->ask(oldest_first(), sequence, static_cast<std::int64_t>(limit)));
}

std::optional<published_photo> store::find(std::string_view id) {
  check_id(id);
  const auto db = borrow();
  auto found = photos_of(db->ask(by_id(), id));
  if (found.empty()) return std::nullopt;
  return std::move(found.front());
}

std::optional<rendition_file> store::rendition_of(std::string_view id, int width, std::string_view media_type) {
  check_id(id);
  const auto db = borrow();
  auto row = db->ask(
      "SELECT r.height, r.bytes, r.digest FROM photo p JOIN rendition r USING(sequence)"
      " WHERE p.id = ? AND r.width = ? AND r.media_type = ?",
      id, width, media_type);
  if (!row.next()) return std::nullopt;
  return rendition_file{
      place_of(id) / file_name(width, media_type),
      {width, static_cast<int>(row.integer(0)), std::string(media_type), row.integer(1), row.text(2)}};
}

std::int64_t store::total() {
  const auto db = borrow();
  return number(*db, "SELECT photos FROM tally");
}

std::int64_t store::newest() {
  const auto db = borrow();
  return number(*db, "SELECT max(sequence) FROM photo");
}

changes::subscription store::on_change(std::function<void()> call) { return changes_.subscribe(std::move(call)); }

}  // namespace penstock::gallery
