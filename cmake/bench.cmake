# SPDX-License-Identifier: Apache-2.0
# cmake [-DMODULE=queue] [-DJSON=rows.jsonl] [-DSTREAMVBYTE_SOURCE_DIR=folder] -P cmake/bench.cmake
# Builds the benches in Release, with the peers that they are measured against, and runs those of
# one module, or all. With JSON the rows are also appended to that file, one JSON object a line. With
# StreamVByte's sources the key codec is measured against a build of them for this very machine.
include("${CMAKE_CURRENT_LIST_DIR}/setup.cmake")
if(NOT MODULE)
  set(MODULE all)
endif()
if(JSON)
  cmake_path(ABSOLUTE_PATH JSON NORMALIZE)
endif()
millrace_require_compiler("the benches")
millrace_require(PURPOSE "the peers that the benches are measured against" PACKAGES
  libatomic-queue-dev=atomic_queue/atomic_queue.h
  libconcurrentqueue-dev=concurrentqueue/concurrentqueue.h
  libboost-dev=boost/lockfree/spsc_queue.hpp libtbb-dev=tbb/concurrent_queue.h
  libhwy-dev=hwy/contrib/sort/vqsort.h
  libquantlib0-dev=ql/version.hpp libjemalloc2=libjemalloc.so.2 libmimalloc2.0=libmimalloc.so.2
  libtcmalloc-minimal4=libtcmalloc_minimal.so.4 libzstd-dev=zstd.h
  libstreamvbyte-dev=streamvbyte.h libsqlite3-dev=sqlite3.h
  qt6-base-dev=x86_64-linux-gnu/qt6/QtCore/qproperty.h)

set(build "${MILLRACE_ROOT}/build/bench")
millrace_find_nvcc(nvcc)
millrace_find_gpu(gpu)
set(options -DCMAKE_BUILD_TYPE=Release -DMILLRACE_TESTS=OFF -DMILLRACE_BENCHES=ON
            -DMILLRACE_EXAMPLES=OFF)
if(STREAMVBYTE_SOURCE_DIR)
  cmake_path(ABSOLUTE_PATH STREAMVBYTE_SOURCE_DIR NORMALIZE)
  list(APPEND options "-DSTREAMVBYTE_SOURCE_DIR=${STREAMVBYTE_SOURCE_DIR}")
endif()
if(nvcc AND gpu)
  list(APPEND options -DMILLRACE_CUDA=ON "-DCMAKE_CUDA_COMPILER=${nvcc}"
                      -DCMAKE_CUDA_ARCHITECTURES=native)
else()
  millrace_say("millrace: no GPU answers; GPU benches are skipped")
  list(APPEND options -DMILLRACE_CUDA=OFF)
endif()
millrace_run("configuring" "${CMAKE_COMMAND}" -S "${MILLRACE_ROOT}" -B "${build}" ${options}
             --log-level=WARNING)
millrace_run("building" "${CMAKE_COMMAND}" --build "${build}" --parallel ${MILLRACE_JOBS})

file(GLOB benches "${build}/bin/bench/*")
set(ran 0)
foreach(bench IN LISTS benches)
  cmake_path(GET bench FILENAME name)
  if(NOT MODULE STREQUAL "all" AND NOT name MATCHES "^${MODULE}_")
    continue()
  endif()
  math(EXPR ran "${ran} + 1")
  millrace_say("== ${name}")
  if(JSON)
    file(TOUCH "${JSON}")
    file(SIZE "${JSON}" before)
    execute_process(COMMAND "${bench}" --json "${JSON}" RESULT_VARIABLE failed)
    file(READ "${JSON}" rows OFFSET ${before})
    millrace_say("${rows}")
  else()
    execute_process(COMMAND "${bench}" RESULT_VARIABLE failed)
  endif()
  if(failed EQUAL 77)
    millrace_say("== ${name}: skipped")
  elseif(failed)
    message(FATAL_ERROR "millrace: ${name} failed (${failed})")
  endif()
endforeach()
if(ran EQUAL 0)
  message(FATAL_ERROR "millrace: there is no bench of a module '${MODULE}'")
endif()
