// Input: an image (database_image.h). It is opened read-only, then for writing; each time everything is walked both
// ways, looked up, checked; for writing also changed.
#include "database_image.h"
#include "database_use.h"
#include "db/core.h"
#include "input_reader.h"
#include "targets.h"

namespace vaultgres::fuzz {
namespace {

Options small_options(bool read_only) {
  Options options;
  options.cache_bytes = std::size_t{256} << 10;
  options.create_if_missing = false;
  options.read_only = read_only;
  options.lock_timeout = std::chrono::milliseconds(5);
  return options;
}

void open_and_use(FileSystem& files, bool read_only, Bytes script) {
  auto core = internal::Core::open({&files, nullptr, kImageDirectory}, small_options(read_only));
  if (!core) return;
  Database db = internal::make_database(*std::move(core));
  InputReader reader(script);
  read_everything(db, reader);
  if (!read_only) change_some(db, reader);
  static_cast<void>(db.close().has_value());
}

}  // namespace

void fuzz_database(Bytes input) {
  DatabaseImage image = decode_image(input);
  seal(image);
  const std::unique_ptr<FileSystem> files = make_files(image);
  open_and_use(*files, true, image.script());
  open_and_use(*files, false, image.script());
}

}  // namespace vaultgres::fuzz
