# SPDX-License-Identifier: Apache-2.0
# What the commands look for before they install anything is found where it is: a library in the
# folder of its architecture, which scripts know nothing of by themselves.
include("${ROOT}/cmake/setup.cmake")
function(millrace_apt_prefix out)  # nothing is installed here: what is not found stops the script
  set(${out} NO PARENT_SCOPE)
endfunction()
millrace_require(PURPOSE "this test" PACKAGES libc6=libc.so.6)
