# SPDX-License-Identifier: Apache-2.0
# cmake -P cmake/nvdisasm.cmake
# Puts the disassembler that the test inspect.device needs under build/nvdisasm, unless the toolkit
# has one: the pinned wheel from PyPI, the oldest there; it reads older compilers' code. Without
# python3 and pip, or on another processor than x86-64, it says so and leaves the test skipped.
if(NOT MILLRACE_ROOT)
  include("${CMAKE_CURRENT_LIST_DIR}/setup.cmake")
endif()

function(millrace_require_nvdisasm)
  set(folder "${MILLRACE_ROOT}/build/nvdisasm")
  find_program(found nvdisasm HINTS ENV CUDA_PATH PATHS "${folder}/nvidia/cu13" /usr/local/cuda
               PATH_SUFFIXES bin NO_CACHE)
  if(found)
    return()
  endif()
  millrace_wheel(there PURPOSE "the inspection of kernels" NAME "nvidia-cuda-nvdisasm 13.2.51"
    FOLDER "${folder}"
    REQUIREMENT "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/nvdisasm-requirements.txt")
  if(NOT there)
    return()
  endif()
  file(CHMOD "${folder}/nvidia/cu13/bin/nvdisasm"
       PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ
                   WORLD_EXECUTE)
endfunction()

if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  millrace_require_nvdisasm()
endif()
