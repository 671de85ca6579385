// Input: a row of the catalog.
#include "catalog/catalog_entry.h"
#include "catalog/row_encoding.h"
#include "input_reader.h"
#include "targets.h"

namespace vaultgres::fuzz {

void fuzz_catalog_entry(Bytes input) {
  const std::vector<std::byte> value = exact_copy(input);
  const Result<CatalogEntry> entry = decode_catalog_entry(value);
  if (!entry) {
    const ErrorCode code = entry.error().code();
    VG_FUZZ_CHECK(code == ErrorCode::kCorruption || code == ErrorCode::kUnsupported, "damage is called something else");
    return;
  }
  VG_FUZZ_CHECK(encode_catalog_entry(*entry) == as_text(value), "a row that the encoder does not make");
  if (entry->schema) static_cast<void>(RowCodec(*entry->schema));
}

}  // namespace vaultgres::fuzz
