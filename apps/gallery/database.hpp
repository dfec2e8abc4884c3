// database: the little of SQLite that the gallery needs.
//
//   auto row = db.ask("SELECT sequence FROM photo WHERE id = ?", id);
//   if (row.next()) use(row.integer(0));
//
// THREADS  One thread at a time per database; any number of databases may be open on one file.
// COST     A statement is compiled at its first use and kept.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "apps/gallery/disk.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace penstock::gallery {

class database_error : public storage_error {
 public:
  database_error(int code, int reason, const std::string& message) : storage_error(reason, message), code_(code) {}
  // True iff it is unknown whether a commit that threw this would survive a power cut.
  [[nodiscard]] bool is_failed_sync() const noexcept;

 private:
  int code_;  // SQLite's extended result code
};

class database {
 public:
  enum class mode { create, existing, read };

  database(const std::filesystem::path& file, mode how);
  ~database();
  database(const database&) = delete;
  database& operator=(const database&) = delete;

  // The rows of one statement. Ends, and frees the statement for its next use, with the object.
  class rows {
   public:
    ~rows();
    rows(const rows&) = delete;
    rows& operator=(const rows&) = delete;

    bool next();  // false iff there are no more
    [[nodiscard]] std::int64_t integer(int column) const noexcept;
    [[nodiscard]] std::string text(int column) const;

   private:
    friend class database;

    template <typename... Values>
    rows(database& owner, sqlite3_stmt* statement, const Values&... values) : owner_(owner), statement_(statement) {
      int index = 0;
      (bind(++index, values), ...);
    }
    void bind(int index, std::int64_t value);
    void bind(int index, std::string_view value);

    database& owner_;
    sqlite3_stmt* statement_;
  };

  // REQUIRES: no other rows of the same `sql` are alive.
  template <typename... Values>
  rows ask(std::string_view sql, const Values&... values) {
    return rows(*this, prepare(sql), values...);
  }

  template <typename... Values>
  void run(std::string_view sql, const Values&... values) {
    auto result = ask(sql, values...);
    while (result.next()) {
    }
  }

  [[nodiscard]] std::int64_t last_row() const noexcept;

  // Which files a path leads to: the database's, its log's and its index's. Replaced or removed ones have other numbers.
  // `changed` says that the database's own bytes were written: by a checkpoint of any connection, or by a stranger.
  struct identity {
    struct file {
      std::uint64_t device = 0;
      std::uint64_t number = 0;  // 0: there is none
      friend bool operator==(const file&, const file&) = default;
    };
    std::array<file, 3> files;
    std::int64_t changed = 0;
    friend bool operator==(const identity&, const identity&) = default;
  };
  [[nodiscard]] static identity identity_of(const std::filesystem::path& file) noexcept;

  // False iff one of the files that this connection has open is not the one at its path any more: what is committed
  // here is lost.
  [[nodiscard]] bool is_in_place() const noexcept { return identity_of(file_).files == opened_.files; }

 private:
  struct close_statement {
    void operator()(sqlite3_stmt* statement) const noexcept;
  };

  sqlite3_stmt* prepare(std::string_view sql);
  [[noreturn]] void fail(int code) const;

  const std::filesystem::path file_;
  identity opened_;
  sqlite3* handle_ = nullptr;
  std::map<std::string, std::unique_ptr<sqlite3_stmt, close_statement>, std::less<>> statements_;
};

// A write transaction: others wait for its end. Rolled back unless committed.
class transaction {
 public:
  explicit transaction(database& db) : db_(db) { db_.run("BEGIN IMMEDIATE"); }
  ~transaction();
  transaction(const transaction&) = delete;
  transaction& operator=(const transaction&) = delete;

  void commit();

 private:
  database& db_;
  bool open_ = true;
};

}  // namespace penstock::gallery
