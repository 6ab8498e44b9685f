# SPDX-License-Identifier: Apache-2.0
# cmake [-DTIER=ci|long] -P cmake/test.cmake
# Sets up what is missing, builds, and runs every test that this machine can run: everything, then
# the unit and race tests under AddressSanitizer and UndefinedBehaviorSanitizer, then under
# ThreadSanitizer. A person repeats one of them with `cmake --workflow --preset cuda|host|asan|tsan`.
include("${CMAKE_CURRENT_LIST_DIR}/setup.cmake")
if(NOT TIER)
  set(TIER ci)
endif()
if(NOT TIER MATCHES "^(ci|long)$")
  message(FATAL_ERROR "millrace: TIER is '${TIER}'; it must be ci or long")
endif()
millrace_require_compiler("the tests")
millrace_require(PURPOSE "the tests" PACKAGES ninja-build=ninja doctest-dev=doctest/doctest.h)
millrace_require(PURPOSE "the format check" OPTIONAL PACKAGES clang-format-19=clang-format-19)
millrace_require(PURPOSE "the interop tests" OPTIONAL PACKAGES libquantlib0-dev=ql/version.hpp)
millrace_require(PURPOSE "the benches' peers, which are compiled" OPTIONAL PACKAGES
  libatomic-queue-dev=atomic_queue/atomic_queue.h
  libconcurrentqueue-dev=concurrentqueue/concurrentqueue.h
  libboost-dev=boost/lockfree/spsc_queue.hpp libtbb-dev=tbb/concurrent_queue.h)
millrace_seconds(seconds)
set(report "setup: ${seconds} s")

millrace_find_nvcc(nvcc)
set(presets host asan tsan)
if(nvcc)
  set(presets cuda asan tsan)
else()
  millrace_say("millrace: no nvcc: CUDA tests are not built")
endif()
if(TIER STREQUAL "long")
  millrace_require(PURPOSE "clang-tidy" OPTIONAL PACKAGES clang-tidy=clang-tidy)
  list(APPEND presets tidy)
endif()

set(total_passed 0)
set(total_failed 0)
set(total_skipped 0)
foreach(preset IN LISTS presets)
  millrace_seconds(begin)
  millrace_say("== ${preset}")
  set(options -DMILLRACE_TIER=${TIER})
  if(preset STREQUAL "cuda")
    list(APPEND options "-DCMAKE_CUDA_COMPILER=${nvcc}")
  endif()
  millrace_run("configuring ${preset}" "${CMAKE_COMMAND}" --preset ${preset} ${options}
               --log-level=WARNING)
  millrace_run("building ${preset}" "${CMAKE_COMMAND}" --build --preset ${preset}
               --parallel ${MILLRACE_JOBS} -- --quiet)
  millrace_seconds(built)
  set(junit "${MILLRACE_ROOT}/build/${preset}/tests.xml")
  file(REMOVE "${junit}")
  execute_process(
    COMMAND "${CMAKE_CTEST_COMMAND}" --preset ${preset} --parallel ${MILLRACE_JOBS} --no-label-summary
            --output-junit "${junit}"
    WORKING_DIRECTORY "${MILLRACE_ROOT}" RESULT_VARIABLE status)
  if(NOT EXISTS "${junit}")
    message(FATAL_ERROR "millrace: ctest wrote no report for ${preset} (${status})")
  endif()

  # The report: how many, and why a test was skipped.
  file(READ "${junit}" xml)
  string(REPLACE ";" "," xml "${xml}")
  string(REGEX MATCHALL "<testcase [^>]*>" cases "${xml}")
  set(passed 0)
  set(failed 0)
  set(skipped 0)
  set(names "")
  foreach(case IN LISTS cases)
    string(REGEX MATCH "name=\"([^\"]*)\"" name "${case}")
    set(name "${CMAKE_MATCH_1}")
    if(case MATCHES "status=\"run\"")
      math(EXPR passed "${passed} + 1")
    elseif(case MATCHES "status=\"(notrun|disabled)\"")
      math(EXPR skipped "${skipped} + 1")
      string(FIND "${xml}" "name=\"${name}\"" at)
      string(SUBSTRING "${xml}" ${at} 3000 rest)
      string(REGEX MATCH "skipped: [^\n<]*" why "${rest}")
      list(APPEND names "  ${preset}/${name} ${why}")
    else()
      math(EXPR failed "${failed} + 1")
      list(APPEND names "  ${preset}/${name} FAILED")
    endif()
  endforeach()
  if(status AND failed EQUAL 0)
    set(failed 1)
  endif()
  millrace_seconds(end)
  math(EXPR build_seconds "${built} - ${begin}")
  math(EXPR test_seconds "${end} - ${built}")
  list(APPEND report "${preset}: ${passed} passed, ${failed} failed, ${skipped} skipped \
(built in ${build_seconds} s, run in ${test_seconds} s)" ${names})
  foreach(kind passed failed skipped)
    math(EXPR total_${kind} "${total_${kind}} + ${${kind}}")
  endforeach()
endforeach()

list(JOIN report "\n" report)
millrace_seconds(seconds)
millrace_say("\n${report}\nin ${seconds} s\n\
total: ${total_passed} passed, ${total_failed} failed, ${total_skipped} skipped")
if(total_failed)
  message(FATAL_ERROR "millrace: ${total_failed} tests failed")
endif()
