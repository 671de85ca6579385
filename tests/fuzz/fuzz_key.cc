// Input: a schema, the columns of an index, then a key, and a value for bounds.
#include "catalog/key_encoding.h"
#include "input_reader.h"
#include "schema_input.h"
#include "targets.h"

namespace vaultgres::fuzz {
namespace {

std::vector<IndexColumn> take_columns(InputReader& reader, const Schema& schema) {
  std::vector<IndexColumn> columns;
  const unsigned count = 1 + reader.below(4);
  for (unsigned i = 0; i < count; ++i) {
    columns.push_back(
        {static_cast<std::uint16_t>(reader.below(static_cast<unsigned>(schema.size()) + 1)), reader.flag()});
  }
  return columns;
}

/// The bounds that scans make of the values of a key hold that key.
void check_bounds(const KeyCodec& codec, const KeyCodec::Entry& entry, std::string_view key) {
  for (std::size_t count = 0; count <= entry.values.size(); ++count) {
    const std::span<const Value> first(entry.values.data(), count);
    const Result<KeyBounds> equal = codec.equal(first);
    VG_FUZZ_CHECK(equal && equal->contains(key), "a key outside the bounds of its own values");
    if (count == entry.values.size()) continue;
    const ValueBound next{entry.values[count], true};
    const Result<KeyBounds> range = codec.range(first, next, next);
    VG_FUZZ_CHECK(range && range->contains(key), "a key outside the range of its own value");
  }
}

}  // namespace

void fuzz_key(Bytes input) {
  InputReader reader(input);
  const Schema schema = take_schema(reader);
  const bool unique = reader.flag();
  const Result<KeyCodec> codec = KeyCodec::create(schema, take_columns(reader, schema));
  if (!codec) return;
  const std::vector<std::byte> key = exact_copy(reader.rest());
  const Result<KeyCodec::Entry> entry = codec->decode(key, unique);
  if (!entry) {
    VG_FUZZ_CHECK(entry.error().code() == ErrorCode::kCorruption, "damage is called something else");
    return;
  }
  std::string again;
  if (!codec->encode(entry->values, unique, entry->tid.value_or(Tid{}), again)) {
    VG_FUZZ_CHECK(key.size() > kPageBytes / 8, "values of a key that make no key");
    return;
  }
  VG_FUZZ_CHECK(again == as_text(key), "a key that the encoder does not make");
  check_bounds(*codec, *entry, again);
}

}  // namespace vaultgres::fuzz
