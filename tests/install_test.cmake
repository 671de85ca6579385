# Goal: whoever installs the library can build against it, by find_package and by pkg-config.
# Method: install into an empty folder, build the examples with nothing but that folder.
set(prefix ${WORK_DIR}/prefix)
file(REMOVE_RECURSE ${WORK_DIR})

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(failed)
    message(FATAL_ERROR "failed: ${ARGN}\n${output}")
  endif()
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD_DIR} --prefix ${prefix})
run(${CMAKE_COMMAND} -S ${EXAMPLES_DIR} -B ${WORK_DIR}/examples -G Ninja -D CMAKE_PREFIX_PATH=${prefix}
    -D CMAKE_CXX_COMPILER=${CXX_COMPILER} -D CMAKE_FIND_PACKAGE_NO_PACKAGE_REGISTRY=ON)
run(${CMAKE_COMMAND} --build ${WORK_DIR}/examples)

file(GLOB_RECURSE pc_files ${prefix}/*/vaultgres.pc)
list(GET pc_files 0 pc_file)
get_filename_component(pc_folder ${pc_file} DIRECTORY)
set(main ${WORK_DIR}/main.cc)
file(WRITE ${main} "#include <vaultgres/result.h>\n"
                   "int main() { return vaultgres::error_code_name(vaultgres::ErrorCode::kIo) == \"io\" ? 0 : 1; }\n")
run(sh -c "${CXX_COMPILER} -std=c++20 ${main} -o ${WORK_DIR}/main \
           $(PKG_CONFIG_PATH=${pc_folder} pkg-config --cflags --libs vaultgres)")
run(${WORK_DIR}/main)
