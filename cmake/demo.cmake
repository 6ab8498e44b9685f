# SPDX-License-Identifier: Apache-2.0
# cmake -P cmake/demo.cmake
# Builds the main job, examples/revalue, and runs it on the S&P 500 daily series. Needs a compiler,
# CMake and the CCCL headers; uses a GPU when there is one, and host threads when not.
include("${CMAKE_CURRENT_LIST_DIR}/setup.cmake")
millrace_require_compiler("the demo")

set(build "${MILLRACE_ROOT}/build/demo")
millrace_find_nvcc(nvcc)
millrace_find_gpu(gpu)
set(options -DCMAKE_BUILD_TYPE=Release -DMILLRACE_TESTS=OFF -DMILLRACE_BENCHES=OFF
            -DMILLRACE_EXAMPLES=ON)
if(nvcc AND gpu)
  millrace_say("millrace: a GPU answers; building for it")
  list(APPEND options -DMILLRACE_CUDA=ON "-DCMAKE_CUDA_COMPILER=${nvcc}"
                      -DCMAKE_CUDA_ARCHITECTURES=native)
else()
  millrace_say("millrace: no GPU answers; building for host threads")
  list(APPEND options -DMILLRACE_CUDA=OFF)
endif()
find_program(ninja NAMES ninja NO_CACHE)
if(NOT EXISTS "${build}/CMakeCache.txt")
  if(ninja)
    list(APPEND options -G Ninja)
  else()
    list(APPEND options -G "Unix Makefiles")
  endif()
endif()
millrace_run("configuring" "${CMAKE_COMMAND}" -S "${MILLRACE_ROOT}" -B "${build}" ${options}
             --log-level=WARNING)
millrace_run("building" "${CMAKE_COMMAND}" --build "${build}" --target revalue
             --parallel ${MILLRACE_JOBS})
millrace_run("the demo" "${build}/examples/revalue/revalue")
