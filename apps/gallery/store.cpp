#include "apps/gallery/store.hpp"

#include <cassert>
#include <cerrno>
#include <random>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>
#include <openssl/evp.h>
#include <unistd.h>

#include "apps/gallery/database.hpp"
#include "apps/gallery/disk.hpp"
#include "apps/gallery/metadata.hpp"
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

class digest {
 public:
  digest() : context_(::EVP_MD_CTX_new(), &::EVP_MD_CTX_free) {
    if (!context_ || ::EVP_DigestInit_ex(context_.get(), ::EVP_sha256(), nullptr) != 1)
      throw std::runtime_error("SHA-256 is not available from OpenSSL on this machine");
  }
  void add(const void* bytes, std::size_t count) { ::EVP_DigestUpdate(context_.get(), bytes, count); }
  [[nodiscard]] std::string text() {
    unsigned char hash[EVP_MAX_MD_SIZE];
    ::EVP_DigestFinal_ex(context_.get(), hash, nullptr);
    constexpr char digits[] = "0123456789abcdef";
    std::string hex;
    for (int i = 0; i < 16; ++i) {
      hex += digits[hash[i] >> 4];
      hex += digits[hash[i] & 15];
    }
    return hex;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&::EVP_MD_CTX_free)> context_;
};

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

// Removes what is at the path at the end, file or directory, whatever is in it.
class doomed {
 public:
  explicit doomed(fs::path path) : path_(std::move(path)) {}
  ~doomed() { remove_tree(path_); }
  doomed(const doomed&) = delete;
  doomed& operator=(const doomed&) = delete;

  [[nodiscard]] const fs::path& path() const noexcept { return path_; }

 private:
  const fs::path path_;
};

}  // namespace

// A connection for the duration of one call.
class store::borrowed {
 public:
  borrowed(store& owner, std::unique_ptr<database> db) : owner_(owner), db_(std::move(db)) {}
  ~borrowed() { owner_.give_back(std::move(db_)); }
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
  // False iff the directory was removed by hand.
  [[nodiscard]] bool is_in_place() const noexcept { return alive_.is_at(path_); }

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
      // Asked by number of the newest photo, not by SQLite's data_version: that needs a connection which stays open.
      changes_([this] { return newest(); }, watch_interval) {
  if (access_ == access::publish) {
    open_for_publishing();
    return;
  }
  if (!is_there(database_file(root_)))
    throw std::runtime_error("there is no gallery in " + root_.string() + ": publish a photo there first");
  static_cast<void>(borrow());
}

store::~store() = default;

// Looks first whether the files are still those that the open connections have. If not, it closes all of these, waiting
// for the lent ones, before it opens one on the new files.
store::borrowed store::borrow() {
  for (;;) {
    const auto found = database::identity_of(database_file(root_));
    std::vector<std::unique_ptr<database>> replaced;
    mutex_lock lock(mutex_);
    if (!identity_) {
      // Under the lock: before it is known which files these are, no other thread may open a connection.
      auto first = open_database();
      if (look_at_schema(*first, root_) == found_schema::none)
        throw storage_error(EIO,
                            "the gallery in " + root_.string() +
                                " is empty: publish a photo there first, or put a backup of gallery.db in its place");
      identity_ = database::identity_of(database_file(root_));
      ++lent_;
      return {*this, std::move(first)};
    }
    if (*identity_ == found) {
      ++lent_;
      if (!idle_.empty()) {
        auto db = std::move(idle_.back());
        idle_.pop_back();
        return {*this, std::move(db)};
      }
      break;
    }
    if (!idle_.empty()) {
      replaced.swap(idle_);
      const std::size_t count = replaced.size();
      lent_ += count;
      lock.unlock();
      replaced.clear();
      lock.lock();
      lent_ -= count;
      returned_.notify_all();
    } else if (lent_ > 0) {
      returned_.wait(lock);
    } else {
      identity_.reset();
    }
  }
  try {
    return {*this, open_database()};
  } catch (...) {
    give_back(nullptr);
    throw;
  }
}

void store::give_back(std::unique_ptr<database> db) noexcept {
  mutex_lock lock(mutex_);
  if (db) idle_.push_back(std::move(db));
  --lent_;
  returned_.notify_all();
}

std::unique_ptr<database> store::open_database() const {
  const fs::path file = database_file(root_);
  if (!is_there(file)) throw storage_error(ENOENT, file.string() + " is missing: put a backup of it in its place");
  return std::make_unique<database>(file, access_ == access::publish ? database::mode::existing : database::mode::read);
}

std::shared_ptr<store::session> store::drafts() {
  std::shared_ptr<session> current;
  {
    mutex_lock lock(mutex_);
    current = session_;
  }
  if (current && current->is_in_place()) return current;
  const directory_lock exclusive(root_);
  make_directory(root_ / "tmp");
  auto fresh = std::make_shared<session>(root_ / "tmp");
  mutex_lock lock(mutex_);
  current.swap(session_);  // destroyed after the lock, by its last user
  session_ = fresh;
  return fresh;
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

    const auto mine = std::make_shared<session>(root_ / "tmp");
    {
      mutex_lock lock(mutex_);
      session_ = mine;
    }
    for (const auto& other : entries_of(root_ / "tmp"))
      if (other != mine->path() && is_real_directory(other) && !directory_lock::is_held(other)) stale.push_back(other);
    for (const auto& place : places)
      if (!db.ask("SELECT 1 FROM photo WHERE id = ?", place.filename().string()).next()) stale.push_back(place);
    // Moved away under the lock, removed after it: others wait for renames only.
    for (auto& path : stale) {
      const fs::path away = mine->next();
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

bool store::is_whole(const published_photo& shown) const {
  for (const auto& r : shown.renditions) {
    const auto bytes = static_cast<std::uint64_t>(r.bytes);
    const unique_fd file = open_whole_file(place_of(shown.id) / file_name(r.width, r.media_type), bytes);
    if (!file) return false;
    digest actual;
    constexpr std::size_t part_bytes = std::size_t{256} * 1024;
    for (std::uint64_t at = 0; at < bytes;) {
      const std::string part = read_at(file.get(), at, part_bytes);
      if (part.empty()) return false;
      actual.add(part.data(), part.size());
      at += part.size();
    }
    if (actual.text() != r.digest) return false;
  }
  return true;
}

bool store::contains(std::string_view id) {
  const auto shown = find(id);
  return shown && is_whole(*shown);
}

publish_result store::publish(const photo& item) {
  check(item);
  if (access_ != access::publish)
    throw std::runtime_error("the gallery in " + root_.string() + " is open for reading only");
  if (contains(item.id)) return publish_result::already_there;

  const auto rest = drafts();
  const doomed draft(rest->next());
  make_directory(draft.path());
  std::vector<published_rendition> written;
  for (const auto& r : item.renditions) {
    const auto bytes = without_metadata(r.media_type, r.bytes);
    write_durably(draft.path() / file_name(r.width, r.media_type), bytes);
    digest of_bytes;
    of_bytes.add(bytes.data(), bytes.size());
    written.push_back({r.width, r.height, r.media_type, static_cast<std::int64_t>(bytes.size()), of_bytes.text()});
  }
  sync_directory(draft.path());
  const auto result = make_visible(item, written, draft.path(), *rest);
  if (result == publish_result::published) changes_.announce();
  return result;
}

publish_result store::make_visible(const photo& item, const std::vector<published_rendition>& written,
                                   const fs::path& draft, session& rest) {
  // One publisher at a time from here on, in all processes. SQLite would order the commits anyway, but by polling; the
  // lock queues, and it also covers the renames: its holder may take a directory without a row for an orphan. That
  // includes a draft of the same photo that another process was killed over.
  const directory_lock exclusive(root_);
  // acquire: pairs with the release below; the thread whose sync failed held the lock before us.
  if (sync_failed_.load(std::memory_order_acquire))
    throw storage_error(EIO, "a sync of the database failed before; restart to publish again in", root_);
  if (contains(item.id)) return publish_result::already_there;

  const auto db = borrow();
  const fs::path place = place_of(item.id);
  const fs::path shelf = place.parent_path();
  if (make_directory(shelf.parent_path())) sync_directory(root_);
  if (make_directory(shelf)) sync_directory(shelf.parent_path());
  const doomed damaged(rest.next());  // or an orphan
  if (is_there(place)) move_to(place, damaged.path());
  move_to(draft, place);
  const auto take_back = [&]() noexcept {  // the draft is then removed by its owner
    std::error_code ignored;               // if it cannot be: an orphan, removed at the next opening
    fs::rename(place, draft, ignored);
    fs::rename(damaged.path(), place, ignored);
  };
  try {
    sync_directory(shelf);
    transaction row(*db);
    std::optional<std::int64_t> sequence;
    {
      auto known = db->ask("SELECT sequence FROM photo WHERE id = ?", item.id);
      if (known.next()) sequence = known.integer(0);
    }
    if (sequence) {
      db->run("DELETE FROM rendition WHERE sequence = ?", *sequence);
    } else {
      db->run("INSERT INTO photo(id, fields) VALUES(?, ?)", item.id, nlohmann::json(item.fields).dump());
      sequence = db->last_row();
    }
    for (const auto& r : written)
      db->run("INSERT INTO rendition VALUES(?, ?, ?, ?, ?, ?)", *sequence, r.width, r.height, r.media_type, r.bytes,
              r.digest);
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
  // Replaced since borrow() looked: the row went into files that are gone. The photo's files are an orphan.
  if (!db->is_in_place())
    throw storage_error(EBUSY, "the database in " + root_.string() +
                                   " was replaced while a photo was being published: publish it again");
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
