# SPDX-License-Identifier: Apache-2.0
# Provides CCCL::CCCL with libcu++, at least 3.0: what is installed (the toolkit brings it), or else
# the pinned wheel from PyPI, or on request the pinned sources. Distribution packages are too old.
set(MILLRACE_CCCL AUTO CACHE STRING "Where CCCL comes from: AUTO, INSTALLED, WHEEL or FETCH")
set_property(CACHE MILLRACE_CCCL PROPERTY STRINGS AUTO INSTALLED WHEEL FETCH)
set(MILLRACE_CCCL_DIR "${PROJECT_BINARY_DIR}/cccl" CACHE PATH "Where the wheel is unpacked")
mark_as_advanced(MILLRACE_CCCL_DIR)
set(millrace_cccl_minimum 3.0)

# Unpacks the pinned wheel into MILLRACE_CCCL_DIR and sets `out` to its folder of CMake packages.
function(millrace_cccl_wheel out)
  set(packages "${MILLRACE_CCCL_DIR}/nvidia/cu13/lib/cmake")
  if(NOT EXISTS "${packages}/cccl/cccl-config.cmake")
    find_program(MILLRACE_PYTHON NAMES python3 python)
    mark_as_advanced(MILLRACE_PYTHON)
    if(NOT MILLRACE_PYTHON)
      set(${out} "" PARENT_SCOPE)
      return()
    endif()
    message(STATUS "millrace: downloading CCCL (PyPI: nvidia-cuda-cccl 13.0.85) into "
                   "${MILLRACE_CCCL_DIR}")
    execute_process(
      COMMAND "${MILLRACE_PYTHON}" -m pip --disable-pip-version-check download --quiet --no-deps
              --only-binary=:all: --require-hashes --dest "${MILLRACE_CCCL_DIR}"
              --requirement "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/cccl-requirements.txt"
      RESULT_VARIABLE failed ERROR_VARIABLE why OUTPUT_VARIABLE why)
    file(GLOB wheel "${MILLRACE_CCCL_DIR}/nvidia_cuda_cccl-*.whl")
    if(failed OR NOT wheel)
      message(STATUS "millrace: pip could not download CCCL: ${why}")
      set(${out} "" PARENT_SCOPE)
      return()
    endif()
    file(ARCHIVE_EXTRACT INPUT "${wheel}" DESTINATION "${MILLRACE_CCCL_DIR}")
  endif()
  set(${out} "${packages}" PARENT_SCOPE)
endfunction()

if(NOT TARGET CCCL::CCCL AND MILLRACE_CCCL MATCHES "^(AUTO|INSTALLED)$")
  find_package(CCCL ${millrace_cccl_minimum} CONFIG QUIET COMPONENTS libcudacxx
               HINTS ${CUDAToolkit_LIBRARY_ROOT} ENV CUDA_PATH PATHS /usr/local/cuda)
endif()
if(NOT TARGET CCCL::CCCL AND MILLRACE_CCCL MATCHES "^(AUTO|WHEEL)$")
  millrace_cccl_wheel(millrace_cccl_packages)
  if(millrace_cccl_packages)
    unset(CCCL_DIR CACHE)
    find_package(CCCL ${millrace_cccl_minimum} CONFIG QUIET REQUIRED COMPONENTS libcudacxx
                 PATHS "${millrace_cccl_packages}/cccl" NO_DEFAULT_PATH)
  endif()
endif()
if(NOT TARGET CCCL::CCCL AND MILLRACE_CCCL STREQUAL "FETCH")
  include(FetchContent)
  FetchContent_Declare(cccl
    GIT_REPOSITORY https://github.com/NVIDIA/cccl.git
    GIT_TAG f19d875da0d8bfb2e38c109b2b40522b8abbbbc3  # v3.0.1
    SOURCE_SUBDIR nothing_to_build)
  FetchContent_MakeAvailable(cccl)
  unset(CCCL_DIR CACHE)
  find_package(CCCL ${millrace_cccl_minimum} CONFIG QUIET REQUIRED COMPONENTS libcudacxx
               PATHS "${cccl_SOURCE_DIR}/lib/cmake/cccl" NO_DEFAULT_PATH)
endif()
if(NOT TARGET CCCL::CCCL)
  message(FATAL_ERROR
    "millrace needs the CCCL headers, ${millrace_cccl_minimum} or newer (MILLRACE_CCCL is "
    "'${MILLRACE_CCCL}'). Any of these brings them: a CUDA Toolkit 13; python3 with pip, for "
    "PyPI's nvidia-cuda-cccl; -DMILLRACE_CCCL=FETCH, for GitHub; -DCCCL_DIR=<folder of "
    "cccl-config.cmake>, for a copy of your own.")
endif()
message(STATUS "millrace: CCCL ${CCCL_VERSION} from ${CCCL_DIR}")
