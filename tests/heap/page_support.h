// Pages for tests of the heap's page operations.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/payload_buffer.h"
#include "heap/heap.h"
#include "support/random.h"
#include "support/scale.h"

namespace vaultgres {

/// A page on the heap of exactly kPageBytes, so that the address sanitizer sees the first byte beyond.
class TestPage {
 public:
  TestPage() : bytes_(std::make_unique<std::byte[]>(kPageBytes)) {}
  TestPage(const TestPage& other) : TestPage() { *this = other; }
  TestPage& operator=(const TestPage& other) {
    std::memcpy(bytes_.get(), other.bytes_.get(), kPageBytes);
    return *this;
  }
  MutableBytes bytes() { return {bytes_.get(), kPageBytes}; }
  Bytes bytes() const { return {bytes_.get(), kPageBytes}; }
  friend bool operator==(const TestPage& a, const TestPage& b) { return as_text(a.bytes()) == as_text(b.bytes()); }

 private:
  std::unique_ptr<std::byte[]> bytes_;
};

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

inline std::string text_of(const Status& status) {
  return status ? std::string("ok") : std::string(status.error().message());
}

inline bool within(Bytes part, Bytes page) {
  return part.empty() || (part.data() >= page.data() && part.data() + part.size() <= page.data() + page.size());
}

}  // namespace vaultgres
