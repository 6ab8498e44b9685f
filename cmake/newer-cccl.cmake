# SPDX-License-Identifier: Apache-2.0
# cmake -P cmake/newer-cccl.cmake
# Puts a CCCL under build/newer_cccl whose memory-resource concepts have the names that they got in
# 3.1: the pinned wheel from PyPI, 3.5. The test cccl.newer is built against it. Without python3 and
# pip, or without a network, it says so and leaves the test skipped.
if(NOT MILLRACE_ROOT)
  include("${CMAKE_CURRENT_LIST_DIR}/setup.cmake")
endif()

function(millrace_require_newer_cccl)
  set(folder "${MILLRACE_ROOT}/build/newer_cccl")
  if(EXISTS "${folder}/nvidia/cu13/include/cccl/cuda/memory_resource")
    return()
  endif()
  millrace_wheel(found PURPOSE "the test of a newer CCCL" NAME "nvidia-cuda-cccl 13.3.5.0.6"
    FOLDER "${folder}"
    REQUIREMENT "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/newer-cccl-requirements.txt")
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  millrace_require_newer_cccl()
endif()
