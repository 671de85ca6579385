// What tests of page operations share: a page, and what an operation answered.
#pragma once

#include <cstring>
#include <memory>
#include <string>

#include "base/types.h"
#include "vaultgres/result.h"

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

inline std::string text_of(const Status& status) {
  return status ? std::string("ok") : std::string(status.error().message());
}

}  // namespace vaultgres
