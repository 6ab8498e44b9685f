# SPDX-License-Identifier: Apache-2.0
# C++20 for nvcc. CMake before 3.25.2 does not know nvcc's -std=c++20 and drops the request
# silently, so the flag is given by hand there. The CMake that consumes a target decides, which is
# why an installed millrace carries this file and not its outcome.
function(millrace_cuda_standard target guard)
  if(CMAKE_VERSION VERSION_LESS 3.25.2)
    target_compile_options(${target} INTERFACE
      $<${guard}:$<$<COMPILE_LANG_AND_ID:CUDA,NVIDIA>:-std=c++20>>)
  else()
    target_compile_features(${target} INTERFACE $<${guard}:cuda_std_20>)
  endif()
endfunction()
