# headgate_room(NAME [DEPENDS rooms...] [LIBRARIES targets...])
#
# One room of the library is one folder, headgate/NAME, and one target, headgate_NAME. What stands in the folder belongs to
# it: *.cpp make the library, *_test.cpp beside them make the test program headgate_NAME_test.
function(headgate_room name)
  cmake_parse_arguments(arg "" "" "DEPENDS;LIBRARIES" ${ARGN})
  set(dir ${PROJECT_SOURCE_DIR}/headgate/${name})
  file(GLOB sources CONFIGURE_DEPENDS ${dir}/*.cpp)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")

  set(links ${arg_LIBRARIES})
  foreach(room IN LISTS arg_DEPENDS)
    list(APPEND links headgate_${room})
  endforeach()

  if(sources)
    add_library(headgate_${name} STATIC ${sources})
    target_link_libraries(headgate_${name} PUBLIC ${links})
  else()
    add_library(headgate_${name} INTERFACE)
    target_link_libraries(headgate_${name} INTERFACE ${links})
  endif()
  add_library(headgate::${name} ALIAS headgate_${name})

  if(HEADGATE_TESTS AND tests)
    headgate_test(headgate_${name}_test SOURCES ${tests} LIBRARIES headgate_${name} headgate_testing)
  endif()
endfunction()

# headgate_test(NAME SOURCES files... LIBRARIES targets...): one GoogleTest program, each test known to ctest. A test that leaves
# descriptors, frames, timers, waits or chunk bytes behind fails.
function(headgate_test name)
  cmake_parse_arguments(arg "" "" "SOURCES;LIBRARIES" ${ARGN})
  add_executable(${name} ${arg_SOURCES} ${PROJECT_SOURCE_DIR}/tests/main.cpp)
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} headgate_testing GTest::gtest GTest::gmock)
  gtest_discover_tests(${name} PROPERTIES TIMEOUT 120 DISCOVERY_TIMEOUT 60)
endfunction()
