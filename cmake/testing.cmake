# SPDX-License-Identifier: Apache-2.0
# What the folders under tests/ are built with.
find_package(doctest 2.4.9 CONFIG QUIET)
if(NOT TARGET doctest::doctest)
  message(FATAL_ERROR "The tests need doctest 2.4.9 or newer (Debian and Ubuntu: doctest-dev). "
                      "`cmake -P cmake/test.cmake` installs it; -DMILLRACE_TESTS=OFF does without.")
endif()

add_library(millrace_test_main OBJECT "${PROJECT_SOURCE_DIR}/tests/unit/main.cpp")
target_link_libraries(millrace_test_main PUBLIC doctest::doctest
                                         PRIVATE millrace::millrace millrace_dev)
target_compile_features(millrace_test_main PRIVATE cxx_std_20)
if(MILLRACE_WITH_CUDA)
  add_library(millrace_gpu_test_main OBJECT "${PROJECT_SOURCE_DIR}/tests/unit/gpu_main.cpp")
  target_link_libraries(millrace_gpu_test_main PUBLIC doctest::doctest CUDA::cudart
                                               PRIVATE millrace_dev)
  target_compile_features(millrace_gpu_test_main PRIVATE cxx_std_20)
endif()

# Gives the test its labels, the tier, and the exit status 77 for "skipped".
function(millrace_test_properties name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "LABELS")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT}
    SKIP_RETURN_CODE 77 ENVIRONMENT "MILLRACE_TIER=${MILLRACE_TIER}")
  if(arg_LABELS MATCHES "unit|race|consume")
    # what may take long begins first, so that nothing long is left to run alone
    set_tests_properties(${name} PROPERTIES COST 1)
  endif()
endfunction()

# Of the default architectures, tests make sm_75, sm_90 and PTX from one pass of the device's front
# end, which is half of what nvcc takes; benches are compiled for each.
function(millrace_compile_device_once name)
  if("${CMAKE_CUDA_ARCHITECTURES}" STREQUAL "${MILLRACE_CUDA_ARCHITECTURES}")
    set_target_properties(${name} PROPERTIES CUDA_ARCHITECTURES 75)
    target_compile_options(${name} PRIVATE
      $<$<COMPILE_LANGUAGE:CUDA>:--generate-code=arch=compute_75,code=sm_90>)
  endif()
endfunction()

# millrace_add_test(NAME unit_core SOURCES ... LABELS unit [LIBS ...] [ARGS ...] [TIMEOUT s]
#                   [OWN_MAIN])
# One executable, one test. It gets doctest and its main unless it has a main of its own. With the
# label gpu the main looks for a device first, and skips with the reason when there is none.
function(millrace_add_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "OWN_MAIN" "NAME;TIMEOUT" "SOURCES;LABELS;LIBS;ARGS")
  add_executable(${arg_NAME} ${arg_SOURCES})
  target_link_libraries(${arg_NAME} PRIVATE millrace::millrace millrace_dev doctest::doctest
                                            ${arg_LIBS})
  target_compile_definitions(${arg_NAME} PRIVATE DOCTEST_CONFIG_SUPER_FAST_ASSERTS)
  if(arg_SOURCES MATCHES "\\.cu(;|$)")
    target_link_libraries(${arg_NAME} PRIVATE millrace::cuda)
    millrace_compile_device_once(${arg_NAME})
  endif()
  if(NOT arg_OWN_MAIN AND "gpu" IN_LIST arg_LABELS)
    target_link_libraries(${arg_NAME} PRIVATE millrace_gpu_test_main)
  elseif(NOT arg_OWN_MAIN)
    target_link_libraries(${arg_NAME} PRIVATE millrace_test_main)
  endif()
  add_test(NAME ${arg_NAME} COMMAND ${arg_NAME} ${arg_ARGS})
  millrace_test_properties(${arg_NAME} LABELS ${arg_LABELS} TIMEOUT ${arg_TIMEOUT})
endfunction()

# millrace_add_skipped_test(NAME interop_quantlib LABELS interop REASON "...")
# Stands in for a test that this machine cannot build, so that the report names it.
function(millrace_add_skipped_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;REASON" "LABELS")
  add_test(NAME ${arg_NAME} COMMAND "${CMAKE_COMMAND}" -E echo "skipped: ${arg_REASON}")
  millrace_test_properties(${arg_NAME} LABELS ${arg_LABELS})
  set_tests_properties(${arg_NAME} PROPERTIES SKIP_REGULAR_EXPRESSION "^skipped: ")
endfunction()

# millrace_add_script_test(NAME style.layers SCRIPT file.cmake LABELS style [DEFINES A=b ...])
function(millrace_add_script_test)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;SCRIPT;TIMEOUT" "LABELS;DEFINES")
  list(TRANSFORM arg_DEFINES PREPEND "-D")
  add_test(NAME ${arg_NAME} COMMAND "${CMAKE_COMMAND}" ${arg_DEFINES} -P "${arg_SCRIPT}")
  millrace_test_properties(${arg_NAME} LABELS ${arg_LABELS} TIMEOUT ${arg_TIMEOUT})
  set_tests_properties(${arg_NAME} PROPERTIES SKIP_REGULAR_EXPRESSION "skipped: ")
endfunction()
