// PageOp::kImage and PageOp::kFree: whole pages in log records, their middle of zeros left out.
#pragma once

#include "base/payload_buffer.h"
#include "base/types.h"
#include "buffer/redo_table.h"

namespace vaultgres {

/// Payload: u16 head bytes, head, tail (to the end of the payload). The longest run of zero bytes of the
/// page is left out; LSN and checksum are written as zero.
void encode_page_image(PayloadBuffer& out, Bytes page);
/// Payload: empty. The page becomes type kFree, all else zero.
void register_image_ops(RedoTable& table);

}  // namespace vaultgres
