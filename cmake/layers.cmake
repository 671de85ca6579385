# One static library per layer and page size. A layer may use the layers named before it, no others
# (scripts/check looks at the includes).
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(ISAL REQUIRED IMPORTED_TARGET libisal)

set(VG_LAYERS base io format wal buffer space btree heap txn recovery catalog db)

add_library(vg_flags INTERFACE)
target_compile_options(vg_flags INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion
                       $<$<BOOL:${VG_WERROR}>:-Werror>)
if(VG_SANITIZE)
  target_compile_options(vg_flags INTERFACE -fsanitize=${VG_SANITIZE} -fno-omit-frame-pointer -g1)
  target_link_options(vg_flags INTERFACE -fsanitize=${VG_SANITIZE})
  if(VG_SANITIZE MATCHES "undefined")
    # What tests is compiled without these checks: they take most of the compiler's time there.
    target_compile_options(vg_flags INTERFACE -fno-sanitize-recover=all
                           $<$<BOOL:$<TARGET_PROPERTY:VG_IS_TEST>>:-fno-sanitize=undefined>)
  endif()
  if(VG_SANITIZE MATCHES "thread")
    target_compile_definitions(vg_flags INTERFACE VG_WORD_ATOMIC_PAGES)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      # It warns of every fence. With VG_WORD_ATOMIC_PAGES none is needed, and none is passed.
      target_compile_options(vg_flags INTERFACE -Wno-tsan)
    else()
      # Clang's runtime for C++ has operators new and delete that those of a test program cannot replace. Linked as C, it
      # stays away; those of libstdc++ call malloc(), which is watched.
      target_link_options(vg_flags INTERFACE --driver-mode=gcc)
      target_link_libraries(vg_flags INTERFACE stdc++ m)
    endif()
  endif()
endif()
target_link_libraries(vg_flags INTERFACE Threads::Threads PkgConfig::ISAL)

# For what is compiled with precompiled headers, or several files at a time: GCC 12 warns of std::string's own code in such
# headers, and takes anonymous namespaces of a file for those of a header. The library has these warnings on.
add_library(vg_shared_compilation INTERFACE)
target_compile_options(vg_shared_compilation INTERFACE
                       $<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds -Wno-restrict -Wno-stringop-overflow
                                                -Wno-subobject-linkage>)

# vg_layer_variant(<layer> <suffix> <page bytes> <definitions>): library vg_<layer><suffix>
function(vg_layer_variant layer suffix page_bytes)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${layer}/*.cc)
  if(NOT sources)
    return()
  endif()
  add_library(vg_${layer}${suffix} STATIC ${sources})
  target_include_directories(vg_${layer}${suffix} PUBLIC ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/include)
  target_compile_definitions(vg_${layer}${suffix} PUBLIC VG_PAGE_BYTES=${page_bytes} ${ARGN})
  target_link_libraries(vg_${layer}${suffix} PUBLIC vg_flags)
  set_target_properties(vg_${layer}${suffix} PROPERTIES UNITY_BUILD ${VG_UNITY})
  if(suffix)
    target_precompile_headers(vg_${layer}${suffix} REUSE_FROM vg_headers)
  endif()
  if(suffix OR VG_UNITY)
    target_link_libraries(vg_${layer}${suffix} PRIVATE vg_shared_compilation)
  endif()
  # Everything below it, nearest first, for the linker.
  set(below "")
  foreach(other IN LISTS VG_LAYERS)
    if(other STREQUAL layer)
      break()
    endif()
    if(TARGET vg_${other}${suffix})
      list(PREPEND below vg_${other}${suffix})
    endif()
  endforeach()
  target_link_libraries(vg_${layer}${suffix} PUBLIC ${below})
endfunction()
