// Pages for tests of the heap's page operations.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "base/payload_buffer.h"
#include "heap/heap.h"
#include "support/random.h"
#include "support/scale.h"
#include "support/test_page.h"

namespace vaultgres {

inline const RedoTable& heap_ops() {
  static const RedoTable table = [] {
    RedoTable t;
    register_heap_ops(t);
    return t;
  }();
  return table;
}

/// The payload is copied to its own allocation: the sanitizer sees a look beyond it, too.
inline Status apply(TestPage& page, PageOp op, Bytes payload) {
  std::vector<std::byte> exact(payload.begin(), payload.end());
  return heap_ops().find(raw(op)).apply(page.bytes(), exact);
}

inline bool within(Bytes part, Bytes page) {
  return part.empty() || (part.data() >= page.data() && part.data() + part.size() <= page.data() + page.size());
}

}  // namespace vaultgres
