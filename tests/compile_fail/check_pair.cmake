# SPDX-License-Identifier: Apache-2.0
cmake_minimum_required(VERSION 3.25)
# cmake -DCOMPILER= -DSOURCE= -DPRELUDE= -DINCLUDES=a|b -P check_pair.cmake
string(REPLACE "|" ";" includes "${INCLUDES}")
list(TRANSFORM includes PREPEND "-I")
set(compile "${COMPILER}" -std=c++20 -fsyntax-only -Wall -Wextra ${includes}
    -include "${PRELUDE}")

file(STRINGS "${SOURCE}" expected REGEX "^// expect: .+" LIMIT_COUNT 1)
if(NOT expected)
  message(FATAL_ERROR "${SOURCE}: no line `// expect: <regular expression>`")
endif()
string(REGEX REPLACE "^// expect: " "" expected "${expected}")

execute_process(COMMAND ${compile} "${SOURCE}" RESULT_VARIABLE failed ERROR_VARIABLE output)
if(failed)
  message(FATAL_ERROR "${SOURCE}: the good version does not compile:\n${output}")
endif()
execute_process(COMMAND ${compile} -DMILLRACE_BAD "${SOURCE}" RESULT_VARIABLE failed
                ERROR_VARIABLE output)
if(NOT failed)
  message(FATAL_ERROR "${SOURCE}: the bad version compiles; it was to fail with: ${expected}")
endif()
if(NOT output MATCHES "${expected}")
  message(FATAL_ERROR "${SOURCE}: the compiler does not say '${expected}'; it says:\n${output}")
endif()
