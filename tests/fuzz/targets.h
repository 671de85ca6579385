// The fuzz targets: functions that take any bytes and must come back. What a target asserts beyond that is what the
// decoder promises: VG_FUZZ_CHECK stops the process.
//
// Three programs are made of each: with libFuzzer (libfuzzer_entry.cc, preset "fuzz"), in run_inputs.cc, which runs the
// inputs of bugs that were found (regressions/TARGET/) in every build, and in make_corpus.cc, which writes first
// inputs.
//
// A new decoder gets a fuzz_NAME.cc, a line here, its name in CMakeLists.txt and first inputs in make_corpus.cc.
#pragma once

#include "base/check.h"
#include "base/types.h"

namespace vaultgres::fuzz {

void fuzz_node(Bytes input);           ///< a page of a tree: all that readers and writers do with one
void fuzz_heap_page(Bytes input);      ///< a page of rows
void fuzz_page_op(Bytes input);        ///< page operations of log records, on pages of any type
void fuzz_log_record(Bytes input);     ///< a log record
void fuzz_log_segment(Bytes input);    ///< a log of several blocks, under the list of epochs of a superblock
void fuzz_superblock(Bytes input);     ///< the two superblocks
void fuzz_catalog_entry(Bytes input);  ///< a row of the catalog
void fuzz_row(Bytes input);            ///< a row of a table, under any schema
void fuzz_key(Bytes input);            ///< a key of an index, under any columns
void fuzz_dump(Bytes input);           ///< a dump, of any content
void fuzz_database(Bytes input);       ///< a whole database: opened, walked, changed, checked, closed

struct NamedTarget {
  const char* name;
  void (*run)(Bytes input);
};
inline constexpr NamedTarget kTargets[] = {
    {"node", fuzz_node},
    {"heap_page", fuzz_heap_page},
    {"page_op", fuzz_page_op},
    {"log_record", fuzz_log_record},
    {"log_segment", fuzz_log_segment},
    {"superblock", fuzz_superblock},
    {"catalog_entry", fuzz_catalog_entry},
    {"row", fuzz_row},
    {"key", fuzz_key},
    {"dump", fuzz_dump},
    {"database", fuzz_database},
};

}  // namespace vaultgres::fuzz

#define VG_FUZZ_CHECK(condition, message) VG_CHECK(condition, message)
