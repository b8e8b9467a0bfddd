# headgate_embed_page(TARGET): the files of the page go into the program, as a table that gateway/admin/page_assets.cpp includes.
function(headgate_embed_page target)
  set(page ${PROJECT_SOURCE_DIR}/dashboard)
  file(GLOB files CONFIGURE_DEPENDS RELATIVE ${page} ${page}/*.html ${page}/*.js ${page}/*.css ${page}/*.svg ${page}/vendor/*.mjs
                                    ${page}/vendor/*.js ${page}/vendor/*.css ${page}/vendor/licenses/*.txt)
  list(TRANSFORM files PREPEND ${page}/ OUTPUT_VARIABLE paths)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/page)
  add_custom_command(OUTPUT ${folder}/page_files.inc DEPENDS ${paths} ${PROJECT_SOURCE_DIR}/cmake/EmbedPage.cmake VERBATIM
                     COMMAND ${CMAKE_COMMAND} -DFOLDER=${page} "-DFILES=${files}" -DOUTPUT=${folder}/page_files.inc
                             -P ${PROJECT_SOURCE_DIR}/cmake/EmbedPage.cmake)
  target_sources(${target} PRIVATE ${folder}/page_files.inc)
  target_include_directories(${target} PRIVATE ${folder})
endfunction()
