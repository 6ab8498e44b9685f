# SPDX-License-Identifier: Apache-2.0
# cmake [-DARCHITECTURES=90] [-DOUT=folder] [-DBENCHES=regex] [-DRUNS=n] [-DTESTS=OFF]
#       -P bench/device.cmake
# On a machine with a GPU, all that needs one: builds the preset gpu, runs the tests labelled gpu,
# runs them again under compute-sanitizer (memcheck, initcheck, synccheck), then the benches whose
# name matches BENCHES (default _device_), and writes their rows to OUT/<bench>.jsonl. Where no GPU
# answers it says so and stops.
# -DCMAKE_PREFIX_PATH=folder says where doctest is when the system has none.
include("${CMAKE_CURRENT_LIST_DIR}/../cmake/setup.cmake")
set(build "${MILLRACE_ROOT}/build/gpu")
foreach(default ARCHITECTURES=native OUT=${build}/results BENCHES=_device_)
  string(REGEX MATCH "^([^=]+)=(.*)$" matched "${default}")
  if(NOT ${CMAKE_MATCH_1})
    set(${CMAKE_MATCH_1} "${CMAKE_MATCH_2}")
  endif()
endforeach()
cmake_path(ABSOLUTE_PATH OUT NORMALIZE)
millrace_find_nvcc(nvcc)
millrace_find_gpu(gpu)
if(NOT nvcc OR NOT gpu)
  millrace_say("millrace: skipped: needs nvcc (${nvcc}) and a GPU that nvidia-smi lists (${gpu})")
  return()
endif()

# Tests need doctest; a machine that cannot have it still runs the benches.
find_path(doctest_DIR doctestConfig.cmake PATHS ${CMAKE_PREFIX_PATH} /usr /usr/local
          PATH_SUFFIXES lib/cmake/doctest usr/lib/cmake/doctest share/cmake/doctest NO_CACHE)
set(tests ON)
if(DEFINED TESTS AND NOT TESTS)
  set(tests OFF)
elseif(NOT doctest_DIR)
  set(tests OFF)
  millrace_say("millrace: no doctest: the tests are left out (Debian and Ubuntu: doctest-dev)")
endif()
find_program(ninja NAMES ninja NO_CACHE)
set(generator "")
if(NOT ninja)
  set(generator -G "Unix Makefiles")
endif()
millrace_run("configuring" "${CMAKE_COMMAND}" --preset gpu ${generator} --log-level=WARNING
             -DCMAKE_BUILD_TYPE=Release -DMILLRACE_TESTS=${tests} -DMILLRACE_EXAMPLES=OFF
             "-DCMAKE_CUDA_COMPILER=${nvcc}" "-DCMAKE_CUDA_ARCHITECTURES=${ARCHITECTURES}"
             "-Ddoctest_DIR=${doctest_DIR}")
millrace_run("building" "${CMAKE_COMMAND}" --build "${build}" --parallel ${MILLRACE_JOBS})

set(problems "")
macro(millrace_try what)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY "${build}" RESULT_VARIABLE failed)
  if(failed AND NOT failed EQUAL 77)
    list(APPEND problems "${what} (${failed})")
  endif()
endmacro()
if(tests)
  millrace_say("== tests")
  millrace_try("tests" "${CMAKE_CTEST_COMMAND}" -L gpu --output-on-failure --timeout 120)
  find_program(sanitizer compute-sanitizer HINTS ENV CUDA_PATH PATHS /usr/local/cuda
               PATH_SUFFIXES bin NO_CACHE)
  file(GLOB programs "${build}/tests/unit/unit_*_cuda")
  if(NOT sanitizer)
    millrace_say("millrace: no compute-sanitizer: memory is not checked")
    set(programs "")
  endif()
  foreach(program IN LISTS programs)
    cmake_path(GET program FILENAME name)
    foreach(tool memcheck initcheck synccheck)
      millrace_say("== ${tool} ${name}")
      millrace_try("${tool} ${name}" timeout 300 "${sanitizer}" --tool ${tool} --error-exitcode 1
                   "${program}")
    endforeach()
  endforeach()
endif()

# Each file begins with a line that says where its rows come from; see bench/results/README.md.
execute_process(COMMAND nvidia-smi --query-gpu=name --format=csv,noheader --id=0
                OUTPUT_VARIABLE machine OUTPUT_STRIP_TRAILING_WHITESPACE)
execute_process(COMMAND nvidia-smi --query-gpu=driver_version --format=csv,noheader --id=0
                OUTPUT_VARIABLE driver OUTPUT_STRIP_TRAILING_WHITESPACE)
execute_process(COMMAND git rev-parse HEAD WORKING_DIRECTORY "${MILLRACE_ROOT}" ERROR_QUIET
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE)
string(TIMESTAMP date "%Y-%m-%d" UTC)
set(arguments "")
if(RUNS)
  set(arguments --runs ${RUNS})
endif()
file(GLOB benches "${build}/bin/bench/*")
list(FILTER benches INCLUDE REGEX "/[^/]*${BENCHES}[^/]*$")
foreach(bench IN LISTS benches)
  cmake_path(GET bench FILENAME name)
  millrace_say("== ${name}")
  set(rows "${OUT}/${name}.jsonl")
  file(WRITE "${rows}" "{\"machine\":\"${machine}\",\"date\":\"${date}\",\"commit\":\"${commit}\",\
\"driver\":\"${driver}\"}\n")
  millrace_try("${name}" "${bench}" --json "${rows}" ${arguments})
  file(READ "${rows}" text)
  millrace_say("${text}")
endforeach()
if(problems)
  list(JOIN problems "; " problems)
  message(FATAL_ERROR "millrace: ${problems}")
endif()
