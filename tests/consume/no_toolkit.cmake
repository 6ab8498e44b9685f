# SPDX-License-Identifier: Apache-2.0
# cmake -DROOT= -DWORK= -DGENERATOR= -P no_toolkit.cmake: configures this tree with no toolkit in
# reach and CCCL from PyPI's wheel, and builds and runs unit tests and an example so.
cmake_minimum_required(VERSION 3.25)
set(folders "$ENV{PATH}")
string(REPLACE ":" ";" folders "${folders}")
list(FILTER folders EXCLUDE REGEX "cuda")
list(JOIN folders ":" path)
foreach(name CUDA_PATH CUDA_HOME CUDACXX CPATH CPLUS_INCLUDE_PATH)
  unset(ENV{${name}})
endforeach()
set(ENV{PATH} "${path}")

set(build "${WORK}/build")
execute_process(COMMAND "${CMAKE_COMMAND}" -S "${ROOT}" -B "${build}" -G "${GENERATOR}"
    -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0 -DMILLRACE_CUDA=OFF -DMILLRACE_CCCL=WHEEL
    "-DMILLRACE_CCCL_DIR=${WORK}/cccl" -DMILLRACE_BENCHES=OFF
  OUTPUT_VARIABLE log ERROR_VARIABLE log RESULT_VARIABLE failed)
message(STATUS "${log}")
if(failed)
  message(FATAL_ERROR "the project does not configure without a toolkit")
endif()
if(NOT log MATCHES "CCCL [0-9.]+ from ${WORK}/cccl/")
  message(FATAL_ERROR "CCCL does not come from the wheel")
endif()

set(targets unit_core unit_recover echo)
execute_process(COMMAND "${CMAKE_COMMAND}" --build "${build}" --target ${targets}
                COMMAND_ERROR_IS_FATAL ANY)
foreach(target IN LISTS targets)
  file(GLOB_RECURSE program LIST_DIRECTORIES false "${build}/*/${target}")
  execute_process(COMMAND ldd ${program} OUTPUT_VARIABLE needs)
  if(needs MATCHES "cuda")
    message(FATAL_ERROR "${target} needs a CUDA library:\n${needs}")
  endif()
  execute_process(COMMAND ${program} COMMAND_ERROR_IS_FATAL ANY)
endforeach()
