# SPDX-License-Identifier: Apache-2.0
# For the tests, benches and examples of this tree; nothing here reaches a consumer.

# Warnings and sanitizers live on this target, never on an interface target that is installed.
# -Wmaybe-uninitialized: g++ 12 sees copies of an empty cuda::std::expected<void, E> as reads.
add_library(millrace_dev INTERFACE)
target_compile_options(millrace_dev INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror
  -Wno-maybe-uninitialized -Wno-restrict>
  $<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:-Werror=cross-execution-space-call
  -Xcompiler=-Wall,-Wextra,-Werror,-Wno-maybe-uninitialized,-Wno-restrict>)
if(MILLRACE_SANITIZE)
  target_compile_options(millrace_dev INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${MILLRACE_SANITIZE} -fno-omit-frame-pointer -g1>)
  target_link_options(millrace_dev INTERFACE -fsanitize=${MILLRACE_SANITIZE})
  if(MILLRACE_SANITIZE MATCHES "address")
    # Checks as calls: half the time to compile, where most of a sanitizer's run goes.
    target_compile_options(millrace_dev INTERFACE
      "$<$<COMPILE_LANG_AND_ID:CXX,GNU>:SHELL:--param asan-instrumentation-with-call-threshold=0>")
  endif()
  if(MILLRACE_SANITIZE MATCHES "undefined")
    target_compile_options(millrace_dev INTERFACE
      $<$<COMPILE_LANGUAGE:CXX>:-fno-sanitize-recover=all>)
  endif()
endif()

# millrace_add_bench(NAME queue_bench SOURCES ... [LIBS ...])
# Benches of a module are named <module>_*; `cmake -DMODULE=<module> -P cmake/bench.cmake` runs them.
function(millrace_add_bench)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME" "SOURCES;LIBS")
  add_executable(${arg_NAME} ${arg_SOURCES})
  target_link_libraries(${arg_NAME} PRIVATE millrace::millrace millrace_dev ${arg_LIBS})
  set_target_properties(${arg_NAME} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin/bench")
  if(arg_SOURCES MATCHES "\\.cu(;|$)")
    target_link_libraries(${arg_NAME} PRIVATE millrace::cuda)
  endif()
endfunction()

if(MILLRACE_TESTS)
  include(testing)
endif()
