// Log records: a parser that trusts nothing, and builders for the records that change no page.
//
// A RecordView is a view: it lives as long as the bytes it was made from. format/log.h declares the layout.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/types.h"
#include "format/log.h"
#include "format/page_op.h"
#include "vaultgres/result.h"

namespace vaultgres {

/// One page's change.
struct RecordPage {
  PageId page;
  PageOp op;  ///< as it stands in the record: the redo table knows which there are
  Bytes payload;
};

struct RecordUndo {
  ObjectId object;
  UndoOp op;
  Bytes key;
  Bytes value;
};

class RecordView {
 public:
  /// `record` is one whole record. kCorruption unless every part lies inside it, nothing is left over, and the kind
  /// allows what is there: afterwards no accessor can fail.
  static Result<RecordView> parse(Bytes record);

  RecordKind kind() const noexcept { return static_cast<RecordKind>(header().kind.get()); }
  TxnId txn() const noexcept { return TxnId{header().txn.get()}; }
  /// Address of the transaction's record before this one, or kNoLsn.
  Lsn prev() const noexcept { return Lsn{header().prev.get()}; }
  /// Where undo goes on; only of a kCompensation. kNoLsn: all is undone.
  Lsn undo_next() const noexcept { return undo_next_; }

  class PageIterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = RecordPage;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = RecordPage;

    RecordPage operator*() const noexcept;
    PageIterator& operator++() noexcept;
    PageIterator operator++(int) noexcept {
      PageIterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const PageIterator& other) const noexcept { return left_ == other.left_; }

   private:
    friend class RecordView;
    PageIterator(const std::byte* at, std::size_t left) noexcept : at_(at), left_(left) {}
    const std::byte* at_;
    std::size_t left_;
  };
  struct PageRange {
    PageIterator first;
    PageIterator last;
    PageIterator begin() const noexcept { return first; }
    PageIterator end() const noexcept { return last; }
  };
  /// In the order in which they are applied.
  PageRange pages() const noexcept { return {{pages_, page_count()}, {nullptr, 0}}; }
  std::size_t page_count() const noexcept { return header().parts.get(); }

  const std::optional<RecordUndo>& undo() const noexcept { return undo_; }
  /// Only of a kEpoch.
  const EpochBody& epoch() const noexcept { return *reinterpret_cast<const EpochBody*>(body_.data()); }
  /// Only of a kCheckpoint.
  const CheckpointBody& checkpoint() const noexcept { return *reinterpret_cast<const CheckpointBody*>(body_.data()); }
  /// Only of a kCheckpoint: its open transactions.
  std::span<const CheckpointTxn> open_txns() const noexcept {
    return {reinterpret_cast<const CheckpointTxn*>(body_.data() + sizeof(CheckpointBody)),
            checkpoint().open_count.get()};
  }

 private:
  explicit RecordView(Bytes record) noexcept : record_(record) {}
  const RecordHeader& header() const noexcept { return *reinterpret_cast<const RecordHeader*>(record_.data()); }
  const char* parse_parts() noexcept;
  const char* parse_undo(Bytes* rest) noexcept;
  const char* parse_body(Bytes rest) noexcept;

  Bytes record_;
  const std::byte* pages_ = nullptr;
  Bytes body_;
  Lsn undo_next_{0};
  std::optional<RecordUndo> undo_;
};

/// Whole records, ready for Log::append.
class RecordBuilder {
 public:
  static std::vector<std::byte> commit(TxnId txn, Lsn prev);
  static std::vector<std::byte> rollback_end(TxnId txn, Lsn prev);
  static std::vector<std::byte> epoch(std::uint64_t number, std::uint64_t previous_number, Lsn previous_end,
                                      std::uint64_t previous_salt);
  static constexpr std::size_t kCheckpointTxnsMax =
      (kRecordBytesMax - sizeof(RecordHeader) - sizeof(CheckpointBody)) / sizeof(CheckpointTxn);
  /// At most kCheckpointTxnsMax open transactions.
  static std::vector<std::byte> checkpoint(Lsn redo_start, std::uint64_t next_txn, std::uint32_t next_object,
                                           std::span<const CheckpointTxn> open);
};

}  // namespace vaultgres
