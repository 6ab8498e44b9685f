# SPDX-License-Identifier: Apache-2.0
# cmake -DPROGRAM= [-DEXPECTED=a|b] [-DEXPECTED_FILE=] -P run_example.cmake: the program ends with 0
# and its output contains every text expected.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND "${PROGRAM}" OUTPUT_VARIABLE output ERROR_VARIABLE errors
                RESULT_VARIABLE failed)
message(STATUS "${output}${errors}")
if(failed)
  message(FATAL_ERROR "${PROGRAM} ended with ${failed}")
endif()
string(REPLACE "|" ";" expected "${EXPECTED}")
if(EXPECTED_FILE)
  file(READ "${EXPECTED_FILE}" text)
  string(STRIP "${text}" text)
  list(APPEND expected "${text}")
endif()
foreach(text IN LISTS expected)
  string(FIND "${output}" "${text}" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "${PROGRAM} does not print '${text}'")
  endif()
endforeach()
