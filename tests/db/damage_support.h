// What tests of damage begin with: a small database of everything, what each read of it must answer, and a reader that
// asks for all of it and accepts only right answers and errors that name the place.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "support/random.h"
#include "support/sim_file_system.h"
#include "support/table_fixture.h"

namespace vaultgres {

/// What is in the database.
struct DamageSubject {
  std::map<std::string, Content> maps;
  Rows people;  ///< with the indexes "by_id" and "by_city"
};

/// Maps of small and of large values, a table with two indexes, ghosts, objects that are dropped. With another round
/// the same keys and rows get other values.
DamageSubject build_damage_subject(Database& db);
void change_damage_subject(Database& db, DamageSubject& subject, unsigned round);

/// What reading everything has given.
struct DamageReading {
  std::string wrong;  ///< the first answer that was neither right nor an error that names its place; empty: none
  std::vector<std::string> errors;
  std::uint64_t answers = 0;

  bool is_right() const { return wrong.empty() && errors.empty(); }
  /// Whether some error or problem of check() is about the page.
  bool names_page(std::uint32_t page) const;
};

/// Whether the text says "page 17" (and not "page 171").
bool names_page(const std::string& text, std::uint32_t page);

/// Opens and reads everything: every key by get, cursors and scans both ways, rows by both indexes, check().
DamageReading read_damaged(FileSystem& disk, const DamageSubject& subject, const Options& options);
/// The same of an open database, without check().
void read_everything(Database& db, const DamageSubject& subject, DamageReading& reading);
void read_check(Database& db, DamageReading& reading);

/// All bytes of a file.
std::vector<std::byte> file_bytes(FileSystem& disk, const std::string& path);
void overwrite(FileSystem& disk, const std::string& path, std::uint64_t offset, Bytes bytes);

/// Pages that are allocated, by the bitmap page in the file's bytes, except those with fixed places below 3.
std::set<std::uint32_t> allocated_pages(Bytes data);

}  // namespace vaultgres
