// make_fuzz_corpus FOLDER: first inputs of every fuzz target, in FOLDER/TARGET/: sound pages, records, rows, keys and
// databases, of which libFuzzer makes others.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "btree/node.h"
#include "catalog/catalog_entry.h"
#include "catalog/key_encoding.h"
#include "catalog/row_encoding.h"
#include "database_image.h"
#include "db/core.h"
#include "dump_stream.h"
#include "recovery/superblock_store.h"
#include "schema_input.h"
#include "support/sim_file_system.h"
#include "targets.h"
#include "wal/log_reader.h"
#include "wal/record.h"

namespace vaultgres::fuzz {
namespace {

namespace fs = std::filesystem;

class Corpus {
 public:
  explicit Corpus(fs::path folder) : folder_(std::move(folder)) {
    for (const NamedTarget& target : kTargets) fs::create_directories(folder_ / target.name);
  }
  void add(const std::string& target, const std::string& name, std::string_view input) {
    std::ofstream file(folder_ / target / ("seed_" + name), std::ios::binary);
    file.write(input.data(), static_cast<std::streamsize>(input.size()));
    VG_CHECK(file.good(), "the corpus cannot be written");
    ++inputs_;
  }
  unsigned inputs() const noexcept { return inputs_; }

 private:
  fs::path folder_;
  unsigned inputs_ = 0;
};

template <class T>
T expect(Result<T> result) {
  if (!result) std::fprintf(stderr, "%s\n", std::string(result.error().message()).c_str());
  VG_CHECK(result, "a seed cannot be made");
  return *std::move(result);
}
void expect(Status status) {
  if (!status) std::fprintf(stderr, "%s\n", std::string(status.error().message()).c_str());
  VG_CHECK(status, "a seed cannot be made");
}

// --- Databases

Options options() {
  Options options;
  options.cache_bytes = std::size_t{1} << 20;
  return options;
}
Database open(SimFileSystem& disk) {
  return internal::make_database(expect(internal::Core::open({&disk, nullptr, kImageDirectory}, options())));
}
std::string number_text(int number) {
  std::string text = std::to_string(number);
  return std::string(5 - text.size(), '0') + text;
}

void fill_small_maps(Database& db) {
  Map map = expect(db.create_map("small"));
  for (int i = 0; i < 12; ++i)
    expect(map.put("key " + std::to_string(i * i), std::string(static_cast<std::size_t>(i), 'v')));
  expect(map.put("", "the empty key"));
  expect(map.put("large", std::string(3 * kPageBytes, 'L')));
  static_cast<void>(expect(map.erase("key 4")));
  Map numbers = expect(db.create_map("numbers"));
  for (int i = 0; i < 40; ++i) expect(numbers.put(number_text(i), "fixed"));
}
void fill_deep_map(Database& db) {
  Map map = expect(db.create_map("deep"));
  for (int i = 0; i < 60; ++i) expect(map.put(std::string(100, 'k') + number_text(i * 7 % 60), std::string(60, 'v')));
  for (int i = 0; i < 20; ++i) static_cast<void>(expect(map.erase(std::string(100, 'k') + number_text(i))));
}
Schema people() {
  return expect(Schema::create({{"id", ColumnType::kInt64},
                                {"name", ColumnType::kText, true},
                                {"score", ColumnType::kDouble, true},
                                {"data", ColumnType::kBytes, true}}));
}
Row person(int i) {
  return {i, i % 5 == 0 ? Value() : Value("name " + std::to_string(i % 7)), i / 4.0,
          Value::bytes(std::string(30, 'd'))};
}
void fill_table(Database& db) {
  Table table = expect(db.create_table("people", people()));
  expect(db.create_index("by_id", "people", {.columns = {{"id"}}, .unique = true}));
  expect(db.create_index("by_name", "people", {.columns = {{"name", true}, {"score"}}, .unique = false}));
  std::vector<RowId> ids;
  for (int i = 0; i < 24; ++i) ids.push_back(expect(table.insert(person(i))));
  Row long_row = person(100);
  long_row[3] = Value::bytes(std::string(2 * kPageBytes, 'D'));
  static_cast<void>(expect(table.insert(long_row)));
  Row moved = person(1);
  moved[3] = Value::bytes(std::string(kPageBytes / 6, 'm'));  // beyond what its page has room for
  for (int i = 1; i < 6; ++i) {
    moved[0] = 200 + i;
    expect(table.update(ids[static_cast<std::size_t>(i)], moved));
  }
  static_cast<void>(expect(table.erase(ids[7])));
}

DatabaseImage image_of(SimFileSystem& disk, bool whole_log) {
  const std::unique_ptr<File> data = expect(disk.open(kImageDirectory + std::string("/data.vg"), OpenMode::kReadOnly));
  const SuperblockState state = expect(SuperblockStore::load(*data)).current();
  return read_image(disk, whole_log ? 0 : block_start(raw(state.redo_start)));
}

/// `fill(db)`, then a clean close; and what a kill before that leaves.
template <class Fill>
void add_databases(Corpus& corpus, const std::string& name, Fill&& fill) {
  SimFileSystem disk;
  std::unique_ptr<SimFileSystem> killed;
  {
    Database db = open(disk);
    fill(db);
    killed = disk.killed();
    expect(db.close());
  }
  const std::string clean = encode_image(image_of(disk, false));
  corpus.add("database", name, clean);
  corpus.add("database", name + "_killed", encode_image(image_of(*killed, true)));
  corpus.add("log_segment", name, clean);
  corpus.add("log_segment", name + "_killed", encode_image(image_of(*killed, true)));
}

/// As the target takes it.
std::string dump_input(std::string_view stream) {
  std::string input(1, '\0');
  for (const DumpPart& part : parts_of(stream)) {
    LittleU16 bytes;
    bytes.set(static_cast<std::uint16_t>(part.payload.size()));
    input.push_back(static_cast<char>(part.kind));
    input.append(reinterpret_cast<const char*>(&bytes), sizeof bytes).append(part.payload);
  }
  return input;
}

template <class Fill>
void add_dump(Corpus& corpus, const std::string& name, Fill&& fill) {
  SimFileSystem disk;
  Database db = open(disk);
  fill(db);
  std::string stream;
  static_cast<void>(expect(db.dump([&](std::string_view part) { return stream.append(part), Status(); })));
  corpus.add("dump", name, dump_input(stream));
  corpus.add("dump", name + "_stream", '\1' + stream);
}

/// Killed with open transactions, once more while these were undone.
void add_recovered_databases(Corpus& corpus) {
  SimFileSystem disk;
  Database db = open(disk);
  fill_small_maps(db);
  fill_table(db);
  expect(db.checkpoint());
  Map map = expect(db.open_map("small"));
  Table table = expect(db.open_table("people"));
  Transaction txn = expect(db.begin());
  expect(map.put(txn, "key 1", "other"));
  static_cast<void>(expect(map.erase(txn, "key 9")));
  static_cast<void>(expect(table.insert(txn, person(300))));
  Row row = person(301);
  row[3] = Value::bytes(std::string(kPageBytes / 6, 'u'));
  TableScan scan = table.scan();
  static_cast<void>(expect(scan.next()));
  expect(table.update(txn, scan.id(), row));
  expect(map.put("committed", "after that"));  // makes the log durable up to here
  const std::unique_ptr<SimFileSystem> killed = disk.killed();
  corpus.add("database", "open_transaction", encode_image(image_of(*killed, true)));
  corpus.add("log_segment", "open_transaction", encode_image(image_of(*killed, true)));
  {
    Database again = open(*killed);
    const std::unique_ptr<SimFileSystem> twice = killed->killed();
    corpus.add("database", "killed_twice", encode_image(image_of(*twice, true)));
    corpus.add("log_segment", "killed_twice", encode_image(image_of(*twice, true)));
    expect(again.close());
  }
}

// --- Pages and records of these databases

void add_parts(Corpus& corpus) {
  SimFileSystem disk;
  Database db = open(disk);
  fill_small_maps(db);
  fill_deep_map(db);
  fill_table(db);
  const std::unique_ptr<SimFileSystem> logged = disk.killed();  // a checkpoint lets go of the log's first segments
  expect(db.checkpoint());
  const std::unique_ptr<SimFileSystem> killed = disk.killed();
  DatabaseImage image = image_of(*killed, true);
  std::string superblocks(1, '\1');
  const std::string script = std::string("\1\4") + "some bytes that say what is done with the page: 0123456789";
  for (Chunk& chunk : image.chunks) {
    if (chunk.kind != ChunkKind::kPage) continue;
    chunk.bytes.resize(kPageBytes);
    const std::string page(as_text(chunk.bytes));
    const std::string name = std::to_string(chunk.number);
    switch (static_cast<PageType>(page_header(Bytes(chunk.bytes)).type.get())) {
      case PageType::kSuperblock:
        superblocks += page;
        break;
      case PageType::kLeaf:
      case PageType::kInternal:
        corpus.add("node", name, page + script);
        break;
      case PageType::kHeap:
        corpus.add("heap_page", name, page + script);
        break;
      case PageType::kBitmap:
      case PageType::kFreeSpaceMap:
        corpus.add("page_op", name, page);
        break;
      default:
        break;
    }
  }
  corpus.add("superblock", "both", superblocks);

  const std::unique_ptr<File> data =
      expect(logged->open(kImageDirectory + std::string("/data.vg"), OpenMode::kReadOnly));
  const SuperblockState state = expect(SuperblockStore::load(*data)).current();
  std::vector<EpochSpan> epochs;
  for (const auto& epoch : state.epochs) epochs.push_back({epoch.number, epoch.salt, epoch.first, epoch.end});
  LogReader reader = expect(LogReader::open(*logged, kImageDirectory + std::string("/log"), state.database,
                                            state.segment_bytes, epochs, kNoLsn, kNoLsn));
  std::map<std::pair<std::uint8_t, std::uint8_t>, unsigned> seen;  // by kind and operation: a few of each
  for (auto record = expect(reader.next()); record; record = expect(reader.next())) {
    const RecordView view = expect(RecordView::parse(record->bytes));
    const std::string name = std::to_string(raw(record->address));
    bool wanted = ++seen[{raw(view.kind()), 0}] < 5;
    for (const RecordPage& part : view.pages()) {
      if (++seen[{raw(view.kind()), raw(part.op)}] > 4) continue;
      wanted = true;
      std::string op(kPageBytes, '\0');  // on an empty page: images initialise it
      op.push_back(static_cast<char>(raw(part.op)));
      op.push_back(static_cast<char>(part.payload.size() & 0xFF));
      op.push_back(static_cast<char>(part.payload.size() >> 8));
      corpus.add("page_op", "op_" + name, op.append(as_text(part.payload)));
    }
    if (wanted && record->bytes.size() < 3000)
      corpus.add("log_record", name, '\0' + std::string(as_text(record->bytes)));
  }
}

// --- Rows, keys, catalog

void add_values(Corpus& corpus) {
  const Schema schema = people();
  const RowCodec rows(schema);
  const IndexColumn columns[] = {{1, true}, {2, false}};
  const KeyCodec keys = expect(KeyCodec::create(schema, columns));
  for (int i = 0; i < 10; ++i) {
    std::string bytes;
    expect(rows.encode(person(i), bytes));
    corpus.add("row", std::to_string(i), schema_input(schema) + bytes);
    expect(keys.encode_row(person(i), false, {PageId{7}, 3}, bytes));
    // Not unique; two columns: number - 1, then each with its direction.
    std::string input = schema_input(schema) + std::string("\0\1\0\1\0\1\2\0\0", 9);
    corpus.add("key", std::to_string(i), input + bytes);
  }
  CatalogEntry entry;
  entry.object = ObjectId{20};
  entry.root = PageId{9};
  corpus.add("catalog_entry", "map", encode_catalog_entry(entry));
  entry.kind = ObjectKind::kTable;
  entry.schema = schema;
  corpus.add("catalog_entry", "table", encode_catalog_entry(entry));
  entry.kind = ObjectKind::kIndex;
  entry.schema.reset();
  entry.index = IndexDefinition{ObjectId{20}, true, {columns[0], columns[1]}};
  corpus.add("catalog_entry", "index", encode_catalog_entry(entry));
}

}  // namespace
}  // namespace vaultgres::fuzz

int main(int argc, char** argv) {
  using namespace vaultgres::fuzz;
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 1;
  }
  Corpus corpus{argv[1]};
  add_databases(corpus, "empty", [](vaultgres::Database&) {});
  add_databases(corpus, "maps", fill_small_maps);
  add_databases(corpus, "deep", fill_deep_map);
  add_databases(corpus, "table", fill_table);
  add_dump(corpus, "empty", [](vaultgres::Database&) {});
  add_dump(corpus, "entry", [](vaultgres::Database& db) { expect(expect(db.create_map("m")).put("key", "value")); });
  add_dump(corpus, "maps", fill_small_maps);
  add_dump(corpus, "table", fill_table);
  add_recovered_databases(corpus);
  add_parts(corpus);
  add_values(corpus);
  std::printf("%u inputs in %s\n", corpus.inputs(), argv[1]);
  return 0;
}
