# What the project is compiled with. Presets choose the optimisation and the sanitizers; this file says what every build shares.

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  message(FATAL_ERROR
    "headgate cannot be built with GCC ${CMAKE_CXX_COMPILER_VERSION}: before GCC 13, temporaries in a co_await expression are "
    "destroyed twice when the coroutine suspends, which breaks ownership without a warning. Use clang-19 "
    "(apt-get install clang-19; cmake --preset release) or GCC 13 or later.")
endif()

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

option(HEADGATE_TESTS "Build the tests and the examples" ON)
option(HEADGATE_BENCH "Build the micro-benchmarks" OFF)
option(HEADGATE_FUZZ "Build the fuzz targets (libFuzzer, clang only)" OFF)
set(HEADGATE_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize= (for example address,undefined)")

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-align
                    -Woverloaded-virtual -Wconversion -Wno-sign-conversion -Wimplicit-fallthrough -Werror)
if(HEADGATE_SANITIZE)
  add_compile_options(-fsanitize=${HEADGATE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${HEADGATE_SANITIZE})
endif()

if(HEADGATE_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link) # the library, too, must tell the fuzzer which paths an input takes
endif()

find_program(HEADGATE_LLD NAMES ld.lld-19)
if(HEADGATE_LLD AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_link_options(-fuse-ld=lld)
endif()

find_program(HEADGATE_CCACHE ccache)
if(HEADGATE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${HEADGATE_CCACHE})
endif()

include_directories(${PROJECT_SOURCE_DIR})
