// Input: a schema of up to 16 columns, then a row.
#include "catalog/row_encoding.h"
#include "input_reader.h"
#include "schema_input.h"
#include "targets.h"

namespace vaultgres::fuzz {

void fuzz_row(Bytes input) {
  InputReader reader(input);
  const Schema schema = take_schema(reader);
  const RowCodec codec(schema);
  const std::vector<std::byte> bytes = exact_copy(reader.rest());
  Row row;
  const Status decoded = codec.decode(bytes, row);
  for (std::size_t i = 0; i < schema.size(); ++i) {
    const Result<Value> value = codec.decode_column(bytes, i);
    if (!decoded) continue;
    VG_FUZZ_CHECK(value && *value == row[i], "a column alone is decoded to something else");
  }
  if (!decoded) {
    VG_FUZZ_CHECK(decoded.error().code() == ErrorCode::kCorruption, "damage is called something else");
    return;
  }
  std::string again;
  VG_FUZZ_CHECK(codec.encode(row, again), "a row of the table is not one");
  VG_FUZZ_CHECK(as_bytes(again).size() == bytes.size(), "a row that the encoder does not make");
  VG_FUZZ_CHECK(again == as_text(bytes), "a row that the encoder does not make");
}

}  // namespace vaultgres::fuzz
