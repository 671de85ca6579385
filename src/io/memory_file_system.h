// Files in memory: for temporary databases. Gone with the object; nothing survives anything.
#pragma once

#include <memory>

#include "io/file.h"

namespace vaultgres {

std::unique_ptr<FileSystem> make_memory_file_system();

}  // namespace vaultgres
