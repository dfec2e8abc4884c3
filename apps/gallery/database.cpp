#include "apps/gallery/database.hpp"

#include <cerrno>

#include <sqlite3.h>
#include <sys/stat.h>

namespace penstock::gallery {
namespace {

// Other writers of ours queue on the gallery's lock; this is for strangers (a backup, somebody's sqlite3 shell).
constexpr int busy_milliseconds = 10'000;

int reason_of(int code) noexcept {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return ENOSPC;
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return EACCES;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return EBUSY;
    default:
      return EIO;
  }
}

std::string_view advice(int code) noexcept {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return "; free some space there, then publish again";
    case SQLITE_BUSY:
      return "; another program keeps it locked";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
      return "; look at the rights of the file and its directory";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return "; put a backup of it in its place";
    default:
      return "";
  }
}

}  // namespace

bool database_error::is_failed_sync() const noexcept {
  return code_ == SQLITE_IOERR_FSYNC || code_ == SQLITE_IOERR_DIR_FSYNC;
}

database::database(const std::filesystem::path& file, mode how) : file_(file) {
  const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                    (how == mode::create ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READWRITE);
  // For reading too it is opened for writing where that is allowed: a reader of a write-ahead log has to take part in
  // its bookkeeping. SQLite falls back to read-only on its own.
  if (const int code = ::sqlite3_open_v2(file.c_str(), &handle_, flags, nullptr); code != SQLITE_OK) {
    const std::string reason = handle_ != nullptr ? ::sqlite3_errmsg(handle_) : ::sqlite3_errstr(code);
    ::sqlite3_close(handle_);
    throw database_error(code, reason_of(code), file.string() + ": " + reason + std::string(advice(code)));
  }
  ::sqlite3_busy_timeout(handle_, busy_milliseconds);
  try {
    run("PRAGMA synchronous = FULL");
    run("PRAGMA foreign_keys = ON");
    if (how == mode::read) run("PRAGMA query_only = ON");
    // The first look opens all files; from here on SQLite's lock keeps other connections from removing one of them.
    run("PRAGMA user_version");
    opened_ = identity_of(file_);
  } catch (...) {
    statements_.clear();
    ::sqlite3_close(handle_);
    throw;
  }
}

database::~database() {
  statements_.clear();
  ::sqlite3_close(handle_);
}

database::identity database::identity_of(const std::filesystem::path& file) noexcept {
  // stat(), never open(): closing a descriptor of a file takes away the locks that SQLite has on it in this process.
  identity found;
  constexpr const char* suffixes[] = {"", "-wal", "-shm"};
  for (std::size_t i = 0; i < found.files.size(); ++i) {
    struct stat status = {};
    if (::stat((file.string() + suffixes[i]).c_str(), &status) != 0) continue;
    found.files[i] = {status.st_dev, status.st_ino};
    if (i == 0) found.changed = std::int64_t{status.st_ctim.tv_sec} * 1'000'000'000 + status.st_ctim.tv_nsec;
  }
  return found;
}

void database::close_statement::operator()(sqlite3_stmt* statement) const noexcept { ::sqlite3_finalize(statement); }

sqlite3_stmt* database::prepare(std::string_view sql) {
  if (const auto found = statements_.find(sql); found != statements_.end()) return found->second.get();
  sqlite3_stmt* statement = nullptr;
  const int code = ::sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                        &statement, nullptr);
  if (code != SQLITE_OK) fail(code);
  statements_.emplace(sql, statement);
  return statement;
}

void database::fail(int code) const {
  throw database_error(code, reason_of(code),
                       file_.string() + ": " + ::sqlite3_errmsg(handle_) + std::string(advice(code)));
}

std::int64_t database::last_row() const noexcept { return ::sqlite3_last_insert_rowid(handle_); }

database::rows::~rows() {
  ::sqlite3_reset(statement_);
  ::sqlite3_clear_bindings(statement_);
}

bool database::rows::next() {
  const int code = ::sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  owner_.fail(code);
}

std::int64_t database::rows::integer(int column) const noexcept { return ::sqlite3_column_int64(statement_, column); }

std::string database::rows::text(int column) const {
  const auto* const bytes = static_cast<const char*>(::sqlite3_column_blob(statement_, column));
  return bytes == nullptr ? std::string()
                          : std::string(bytes, static_cast<std::size_t>(::sqlite3_column_bytes(statement_, column)));
}

void database::rows::bind(int index, std::int64_t value) {
  if (const int code = ::sqlite3_bind_int64(statement_, index, value); code != SQLITE_OK) owner_.fail(code);
}

void database::rows::bind(int index, std::string_view value) {
  const int code = ::sqlite3_bind_text64(statement_, index, value.data(), value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (code != SQLITE_OK) owner_.fail(code);
}

transaction::~transaction() {
  if (!open_) return;
  try {
    db_.run("ROLLBACK");
  } catch (const database_error&) {
    // SQLite rolls back on its own after most failures; then there is nothing left to roll back.
  }
}

void transaction::commit() {
  db_.run("COMMIT");
  open_ = false;
}

}  // namespace penstock::gallery
