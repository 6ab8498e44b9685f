# SPDX-License-Identifier: Apache-2.0
# cmake -DPROGRAM=revalue -DWORK=folder -P memory_pressure.cmake: the program says how many bytes its
# state takes; with exactly these it writes the same bytes, with fewer it says what it lacks.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}")
set(common --backend host --workers 2 --size 300 --format csv)

execute_process(COMMAND "${PROGRAM}" ${common} --out "${WORK}/free.csv"
  OUTPUT_VARIABLE summary ERROR_VARIABLE errors RESULT_VARIABLE status)
if(status OR NOT summary MATCHES "memory_peak_bytes,([0-9]+)")
  message(FATAL_ERROR "without a budget: ${status}\n${summary}${errors}")
endif()
set(peak ${CMAKE_MATCH_1})
message(STATUS "the state takes ${peak} bytes")

execute_process(COMMAND "${PROGRAM}" ${common} --memory-budget ${peak} --out "${WORK}/exact.csv"
  OUTPUT_VARIABLE summary ERROR_VARIABLE errors RESULT_VARIABLE status)
if(status OR NOT summary MATCHES "memory_peak_bytes,${peak}\n")
  message(FATAL_ERROR "with ${peak} bytes: ${status}\n${summary}${errors}")
endif()
file(SHA256 "${WORK}/free.csv" free)
file(SHA256 "${WORK}/exact.csv" exact)
if(NOT free STREQUAL exact)
  message(FATAL_ERROR "with ${peak} bytes it writes other results than without a budget")
endif()

math(EXPR bytes "${peak} - 1")
while(bytes GREATER 0)
  execute_process(COMMAND "${PROGRAM}" ${common} --memory-budget ${bytes}
    OUTPUT_VARIABLE summary ERROR_VARIABLE errors RESULT_VARIABLE status)
  if(NOT status EQUAL 1 OR summary OR
     NOT errors MATCHES "out of memory: the state needs more than the ${bytes} bytes of --memory-budget")
    message(FATAL_ERROR "with ${bytes} bytes: ${status}\n${summary}${errors}")
  endif()
  math(EXPR bytes "${bytes} / 4")
endwhile()

# A picture that cannot be written costs neither the results nor the summary.
if(EXISTS /dev/full)
  execute_process(COMMAND "${PROGRAM}" ${common} --heatmap /dev/full --out "${WORK}/kept.csv"
    OUTPUT_VARIABLE summary ERROR_VARIABLE errors RESULT_VARIABLE status)
  file(SHA256 "${WORK}/kept.csv" kept)
  if(NOT status EQUAL 1 OR NOT errors MATCHES "/dev/full: cannot be written" OR
     NOT summary MATCHES "memory_peak_bytes,${peak}\n" OR NOT kept STREQUAL free)
    message(FATAL_ERROR "with a picture for a full disk: ${status}\n${summary}${errors}")
  endif()
endif()
