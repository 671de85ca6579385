// A search in a node, cut in steps where it would wait for memory: for who has other nodes to look at meanwhile.
#pragma once

#include "btree/node_layout.h"
#include "btree/node_search.h"

namespace vaultgres {

/// Each step reads what the one before has asked the processor for, and little else; the last one answers what
/// NodeView says of the same page. Bytes that change between two steps are as safe as they are to NodeView.
///
///   NodeProbe::ask_for_header(page)     its header, hints and fences
///   probe.look_at_hints(page, key)      the heads among which the key's head is; in slotted nodes their slots, too
///   probe.look_at_heads()               the entry that the answer is in, as far as heads say which; none, where they
///                                       say that there is none
///   probe.find(), probe.child()
class NodeProbe {
 public:
  static void ask_for_header(Bytes page) noexcept;
  /// Page and key must live until the answer.
  void look_at_hints(Bytes page, Bytes key) noexcept;
  void look_at_heads() noexcept;
  NodeView::Found find() const noexcept;
  PageId child() const noexcept;
  /// Of the key that is looked for.
  bool covers() const noexcept;

 private:
  void ask_for_entry(unsigned slot) const noexcept;
  NodeView::Position position() const noexcept;

  const std::byte* page_;
  Bytes key_;
  node::Layout layout_;
  std::uint32_t head_;
  node::Interval interval_;
  unsigned slot_;       ///< the first one whose head is not below the key's
  bool within_prefix_;  ///< else the key is below or above all that the node may have
  bool head_is_there_;  ///< at slot_
};

}  // namespace vaultgres
