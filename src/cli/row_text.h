// Values and places of rows as they stand on the command line.
#pragma once

#include <span>
#include <string>

#include "vaultgres/table.h"

namespace vaultgres::cli {

struct ValueSyntax {
  bool escaped = false;
  std::string null = "\\N";  ///< the text that means NULL, as it is given
};

/// A value for this column. Errors begin with the column's name.
Result<Value> value_of_text(const Column& column, const std::string& text, const ValueSyntax& syntax);

/// One value per column of the table.
Result<Row> row_of_texts(const Table& table, std::span<const std::string> texts, const ValueSyntax& syntax);

/// The names of the columns, for a message.
std::string names_of(const Schema& schema);

/// The column that stands at this place of the index. Precondition: place < spec().columns.size().
const Column& index_column(const Index& index, std::size_t place);
/// Values of the first columns of the index, as many as are given.
Result<Row> index_values(const Index& index, std::span<const std::string> texts, const ValueSyntax& syntax);

/// "PAGE:SLOT".
Result<RowId> parse_place(const std::string& text);
std::string text_of_place(RowId id);

}  // namespace vaultgres::cli
