# SPDX-License-Identifier: Apache-2.0
# cmake -DNVCC= -DNVDISASM= -DINSPECT= -DPAGE= -DROOT= -DSOURCE= -DWORK= -DINCLUDES=a|b
#       -P device.cmake
# Compiles the kernels for sm_90, disassembles them, and lets inspect_device compare.
execute_process(COMMAND "${NVCC}" --version OUTPUT_VARIABLE version COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCH "V([0-9.]+)" matched "${version}")
set(compiler "nvcc ${CMAKE_MATCH_1}")
file(READ "${PAGE}" page)
string(FIND "${page}" "${compiler}" at)
if(at EQUAL -1)
  message(STATUS "skipped: ${compiler} is not the compiler of the page's numbers")
  return()
endif()

string(REPLACE "|" ";" INCLUDES "${INCLUDES}")
list(APPEND INCLUDES "${ROOT}")
list(TRANSFORM INCLUDES PREPEND "-I")
set(cubin "${WORK}/kernels.cubin")
execute_process(
  COMMAND "${NVCC}" -std=c++20 -DNDEBUG -arch=sm_90 -cubin -Xptxas -v ${INCLUDES} "${SOURCE}"
          -o "${cubin}"
  OUTPUT_VARIABLE log ERROR_VARIABLE log RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "nvcc: ${log}")
endif()
file(WRITE "${WORK}/kernels.log" "${log}")
execute_process(COMMAND "${NVDISASM}" -c "${cubin}" OUTPUT_FILE "${WORK}/kernels.sass"
                COMMAND_ERROR_IS_FATAL ANY)
message(STATUS "${compiler}, sm_90: registers, local bytes, shared bytes, instructions a message, "
               "instructions of the kernel")
execute_process(COMMAND "${INSPECT}" "${PAGE}" "${WORK}/kernels.log" "${WORK}/kernels.sass"
                RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "inspect.device failed (${failed}); `${INSPECT} ${PAGE} ${WORK}/kernels.log "
                      "${WORK}/kernels.sass ways` prints the instructions that it counts")
endif()
