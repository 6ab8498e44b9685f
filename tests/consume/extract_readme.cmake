# SPDX-License-Identifier: Apache-2.0
# cmake -DREADME= -DPLACE= -DNUMBER= -P extract_readme.cmake: writes the block of C++ of this number
# (1 is the first) of the README, or of a page of the guide, to main.cpp, the first block of CMake to
# CMakeLists.txt, and what the program prints to expected.txt: the line that its first comment names as
# `// prints: `, or the page's block of DOT.
cmake_minimum_required(VERSION 3.25)
file(READ "${README}" text)

# Sets `out` to block `number` of `language`.
function(take_block language number out)
  set(rest "${text}")
  foreach(i RANGE 1 ${number})
    string(FIND "${rest}" "```${language}\n" begin)
    if(begin EQUAL -1)
      message(FATAL_ERROR "${README} has no block ${i} of ${language}")
    endif()
    string(SUBSTRING "${rest}" ${begin} -1 rest)
    string(FIND "${rest}" "\n" first)
    math(EXPR first "${first} + 1")
    string(SUBSTRING "${rest}" ${first} -1 rest)
  endforeach()
  string(FIND "${rest}" "\n```" end)
  string(SUBSTRING "${rest}" 0 ${end} rest)
  set(${out} "${rest}\n" PARENT_SCOPE)
endfunction()

take_block(cpp ${NUMBER} program)
take_block(cmake 1 project)
if(program MATCHES "// prints: ([^\n]+)")
  set(printed "${CMAKE_MATCH_1}\n")
else()
  take_block(dot 1 printed)
endif()
file(WRITE "${PLACE}/expected.txt" "${printed}")
file(WRITE "${PLACE}/main.cpp" "${program}")
file(WRITE "${PLACE}/CMakeLists.txt" "cmake_minimum_required(VERSION 3.25)\n"
     "project(app LANGUAGES CXX)\n${project}")
