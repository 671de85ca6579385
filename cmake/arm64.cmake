# The toolchain of scripts/arm64: Debian's cross compiler, the libraries that the script has unpacked, and qemu-user to
# run what was built. Programs that need more libraries are not built.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
# 64 GiB of address space for a pool's translation array, as everywhere else, would cost qemu a second of CPU and 800 MB of
# memory of its own for each pool. It is told to refuse them: with 4 GiB for all, a pool takes 256 MiB.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -R 4G -L /usr/aarch64-linux-gnu)

set(VG_ARM64_ROOT ${CMAKE_CURRENT_LIST_DIR}/../.cache/arm64/root)
cmake_path(NORMAL_PATH VG_ARM64_ROOT)
set(CMAKE_FIND_ROOT_PATH ${VG_ARM64_ROOT} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_LIBDIR} ${VG_ARM64_ROOT}/usr/lib/aarch64-linux-gnu/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${VG_ARM64_ROOT})
set(GTest_DIR ${VG_ARM64_ROOT}/usr/lib/aarch64-linux-gnu/cmake/GTest)
