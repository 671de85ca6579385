# The product as others get it: one static library out of all layers, the public headers, a CMake package
# (find_package(vaultgres) gives vaultgres::vaultgres) and a pkg-config file.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(objects "")
foreach(layer IN LISTS VG_LAYERS)
  if(TARGET vg_${layer})
    list(APPEND objects $<TARGET_OBJECTS:vg_${layer}>)
  endif()
endforeach()
add_library(vaultgres_library STATIC ${objects})
set_target_properties(vaultgres_library PROPERTIES OUTPUT_NAME vaultgres EXPORT_NAME vaultgres LINKER_LANGUAGE CXX)
target_include_directories(vaultgres_library INTERFACE $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>
                                                       $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(vaultgres_library INTERFACE cxx_std_20)
target_link_libraries(vaultgres_library PUBLIC Threads::Threads PRIVATE PkgConfig::ISAL)
add_library(vaultgres::vaultgres ALIAS vaultgres_library)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/vaultgres)
install(TARGETS vaultgres_library EXPORT vaultgres_targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/vaultgres DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h")
install(EXPORT vaultgres_targets NAMESPACE vaultgres:: FILE vaultgres-targets.cmake DESTINATION ${package_dir})

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/vaultgres_config.cmake.in
                              ${CMAKE_BINARY_DIR}/vaultgres-config.cmake INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may change the API.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/vaultgres-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/vaultgres-config.cmake ${CMAKE_BINARY_DIR}/vaultgres-config-version.cmake
        DESTINATION ${package_dir})

file(RELATIVE_PATH VG_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${CMAKE_CURRENT_LIST_DIR}/vaultgres.pc.in ${CMAKE_BINARY_DIR}/vaultgres.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/vaultgres.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

if(TARGET vaultgres)
  install(TARGETS vaultgres RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
