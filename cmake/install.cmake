# SPDX-License-Identifier: Apache-2.0
# One export set and file per component, so that a host-only consumer never meets CUDA.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(millrace_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/millrace")
set(millrace_target_host millrace)
set(millrace_target_cuda millrace_cuda)
set(millrace_target_zstd millrace_zstd)
foreach(component IN LISTS millrace_components)
  install(TARGETS ${millrace_target_${component}} EXPORT millrace-${component}-targets
          FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
  install(EXPORT millrace-${component}-targets NAMESPACE millrace::
          DESTINATION "${millrace_package_dir}")
endforeach()
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/millrace-config.cmake.in"
  "${PROJECT_BINARY_DIR}/millrace-config.cmake" INSTALL_DESTINATION "${millrace_package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/millrace-config-version.cmake"
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES "${PROJECT_BINARY_DIR}/millrace-config.cmake"
              "${PROJECT_BINARY_DIR}/millrace-config-version.cmake"
              "${PROJECT_SOURCE_DIR}/cmake/millrace-cuda-standard.cmake"
        DESTINATION "${millrace_package_dir}")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
