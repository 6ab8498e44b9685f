# SPDX-License-Identifier: Apache-2.0
# For the commands demo, test and bench: finds what is missing, says what it will install, installs
# it through apt where it may, or else names the packages and stops.
cmake_minimum_required(VERSION 3.25)

cmake_path(GET CMAKE_CURRENT_LIST_DIR PARENT_PATH MILLRACE_ROOT)
cmake_host_system_information(RESULT MILLRACE_JOBS QUERY NUMBER_OF_LOGICAL_CORES)
string(TIMESTAMP MILLRACE_BEGIN "%s")

# Says something on standard output, in order with what the commands print.
function(millrace_say text)
  execute_process(COMMAND "${CMAKE_COMMAND}" -E echo "${text}")
endfunction()

# Sets `out` to the seconds since the command began.
function(millrace_seconds out)
  string(TIMESTAMP now "%s")
  math(EXPR seconds "${now} - ${MILLRACE_BEGIN}")
  set(${out} ${seconds} PARENT_SCOPE)
endfunction()

# Runs a command and stops with its words when it fails.
function(millrace_run what)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY "${MILLRACE_ROOT}" RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "millrace: ${what} failed (${failed})")
  endif()
endfunction()

# Sets `out` to the command that precedes apt-get: nothing for root, sudo where it asks for no
# password, or NO where neither is the case.
function(millrace_apt_prefix out)
  set(${out} NO PARENT_SCOPE)
  find_program(apt apt-get NO_CACHE)
  if(NOT apt)
    return()
  endif()
  execute_process(COMMAND id -u OUTPUT_VARIABLE uid OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(uid STREQUAL "0")
    set(${out} "" PARENT_SCOPE)
    return()
  endif()
  execute_process(COMMAND sudo -n true RESULT_VARIABLE failed OUTPUT_QUIET ERROR_QUIET)
  if(NOT failed)
    set(${out} sudo PARENT_SCOPE)
  endif()
endfunction()

# Installs packages; `failed` says whether apt could not.
function(millrace_apt_install prefix packages failed)
  set(apt ${prefix} env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -q)
  set(install ${apt} install -y --no-install-recommends ${packages})
  get_property(updated GLOBAL PROPERTY millrace_apt_updated)
  if(NOT updated)
    foreach(try RANGE 1 10)  # another apt may hold the lists
      execute_process(COMMAND ${apt} update OUTPUT_QUIET ERROR_QUIET RESULT_VARIABLE status)
      if(NOT status)
        break()
      endif()
      execute_process(COMMAND "${CMAKE_COMMAND}" -E sleep 5)
    endforeach()
    set_property(GLOBAL PROPERTY millrace_apt_updated ON)
  endif()
  execute_process(COMMAND ${install} OUTPUT_VARIABLE log ERROR_VARIABLE log RESULT_VARIABLE status)
  if(status)
    millrace_say("${log}")
  endif()
  set(${failed} ${status} PARENT_SCOPE)
endfunction()

# Sets `out` to the folders in which the linker looks. A script has no compiler to have asked, so
# that find_library by itself knows nothing of folders of one architecture.
function(millrace_library_folders out)
  set(folders /usr/local/lib /usr/lib /usr/lib64 /lib)
  execute_process(COMMAND c++ -print-multiarch OUTPUT_VARIABLE triplet ERROR_QUIET
                  OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT triplet)  # without a compiler, or with one that does not say
    file(GLOB triplets LIST_DIRECTORIES ON RELATIVE /usr/lib /usr/lib/*-linux-gnu*)
  endif()
  foreach(each IN LISTS triplet triplets)
    list(PREPEND folders /usr/local/lib/${each} /usr/lib/${each} /lib/${each})
  endforeach()
  set(${out} ${folders} PARENT_SCOPE)
endfunction()

# millrace_require(PURPOSE "the tests" [OPTIONAL] PACKAGES doctest-dev=doctest/doctest.h ...)
# Each item is a package and how to tell that it is there: a program's name, a header's path, or a library's
# file.
function(millrace_require)
  cmake_parse_arguments(PARSE_ARGV 0 arg "OPTIONAL" "PURPOSE" "PACKAGES")
  set(missing "")
  foreach(item IN LISTS arg_PACKAGES)
    string(REGEX MATCH "^([^=]+)=(.+)$" matched "${item}")
    set(package "${CMAKE_MATCH_1}")
    set(sign "${CMAKE_MATCH_2}")
    if(sign MATCHES "\\.(h|hpp)$")
      find_path(found "${sign}" PATHS /usr/include /usr/local/include NO_CACHE)
    elseif(sign MATCHES "\\.so[.0-9]*$")
      millrace_library_folders(folders)
      find_library(found NAMES "${sign}" PATHS ${folders} NO_CACHE)
    elseif(sign MATCHES "\\.a$")  # one of clang's own, which it knows where to find
      execute_process(COMMAND clang++ "--print-file-name=${sign}" OUTPUT_VARIABLE found
                      OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
      if(NOT IS_ABSOLUTE "${found}" OR NOT EXISTS "${found}")
        set(found "")
      endif()
    else()
      find_program(found "${sign}" NO_CACHE)
    endif()
    if(NOT found)
      list(APPEND missing "${package}")
    endif()
    unset(found)
  endforeach()
  if(NOT missing)
    return()
  endif()
  list(JOIN missing " " words)
  millrace_apt_prefix(prefix)
  if(prefix STREQUAL "NO")
    if(arg_OPTIONAL)
      millrace_say("millrace: ${arg_PURPOSE}: left out; to have it: apt-get install ${words}")
      return()
    endif()
    message(FATAL_ERROR "millrace: ${arg_PURPOSE}: packages are missing that this user may not "
                        "install. On Debian or Ubuntu:\n  sudo apt-get install ${words}\nthen run it again.")
  endif()
  millrace_say("millrace: ${arg_PURPOSE}: installing through apt: ${words}")
  millrace_apt_install("${prefix}" "${missing}" failed)
  if(failed AND arg_OPTIONAL)  # one that the distribution lacks does not cost the others
    foreach(package IN LISTS missing)
      millrace_apt_install("${prefix}" "${package}" failed)
      if(failed)
        millrace_say("millrace: ${arg_PURPOSE}: left out: apt could not install ${package}")
      endif()
    endforeach()
  elseif(failed)
    message(FATAL_ERROR "millrace: apt could not install: ${words}")
  endif()
endfunction()

# Sets `out` to the toolkit's nvcc, or to nothing.
function(millrace_find_nvcc out)
  find_program(nvcc nvcc HINTS ENV CUDA_PATH PATHS /usr/local/cuda PATH_SUFFIXES bin NO_CACHE)
  if(nvcc)
    set(${out} "${nvcc}" PARENT_SCOPE)
  else()
    set(${out} "" PARENT_SCOPE)
  endif()
endfunction()

# Sets `out` to ON when an NVIDIA driver answers with a device.
function(millrace_find_gpu out)
  execute_process(COMMAND nvidia-smi -L RESULT_VARIABLE failed OUTPUT_VARIABLE list ERROR_QUIET)
  if(NOT failed AND list MATCHES "GPU 0")
    set(${out} ON PARENT_SCOPE)
  else()
    set(${out} OFF PARENT_SCOPE)
  endif()
endfunction()

# millrace_wheel(out PURPOSE "the tests" NAME "package version" FOLDER where REQUIREMENT file)
# Downloads the one wheel that the file pins from PyPI and unpacks it in the folder. Without python3
# and pip, or where that fails, it says what is left out, and `out` is OFF.
function(millrace_wheel out)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "PURPOSE;NAME;FOLDER;REQUIREMENT" "")
  set(${out} OFF PARENT_SCOPE)
  find_program(python NAMES python3 python NO_CACHE)
  if(NOT python)
    millrace_say("millrace: ${arg_PURPOSE}: left out: it needs python3 with pip")
    return()
  endif()
  millrace_say("millrace: ${arg_PURPOSE}: downloading from PyPI into ${arg_FOLDER}: ${arg_NAME}")
  execute_process(
    COMMAND "${python}" -m pip --disable-pip-version-check download --quiet --no-deps
            --only-binary=:all: --require-hashes --dest "${arg_FOLDER}"
            --requirement "${arg_REQUIREMENT}"
    RESULT_VARIABLE failed ERROR_VARIABLE why OUTPUT_VARIABLE why)
  file(GLOB wheel "${arg_FOLDER}/*.whl")
  if(failed OR NOT wheel)
    millrace_say("millrace: ${arg_PURPOSE}: left out: ${why}")
    return()
  endif()
  file(ARCHIVE_EXTRACT INPUT "${wheel}" DESTINATION "${arg_FOLDER}")
  set(${out} ON PARENT_SCOPE)
endfunction()

# What every build needs. Without a toolkit the CCCL headers come through pip.
function(millrace_require_compiler purpose)
  set(packages g++=c++ make=make)
  millrace_find_nvcc(nvcc)
  if(NOT nvcc AND NOT DEFINED CCCL_DIR)
    list(APPEND packages python3-pip=pip3)
  endif()
  millrace_require(PURPOSE "${purpose}" PACKAGES ${packages})
endfunction()
