# cmake -DFOLDER=dashboard "-DFILES=index.html;app.js;..." -DOUTPUT=page_files.inc -P EmbedPage.cmake
#
# Writes the files of the page as the rows of a table in C++ (gateway/admin/page_assets.cpp): path, bytes, content type, ETag.

set(type_html "text/html; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_mjs "${type_js}")
set(type_css "text/css; charset=utf-8")
set(type_svg "image/svg+xml")
set(type_txt "text/plain; charset=utf-8")

set(rows "")
foreach(file IN LISTS FILES)
  cmake_path(GET file EXTENSION LAST_ONLY extension)
  string(REPLACE "." "" extension "${extension}")
  if(NOT type_${extension})
    message(FATAL_ERROR "${file}: no content type is known for .${extension} (cmake/EmbedPage.cmake)")
  endif()
  file(READ "${FOLDER}/${file}" bytes HEX)
  file(SHA256 "${FOLDER}/${file}" hash)
  file(SIZE "${FOLDER}/${file}" size)
  string(SUBSTRING "${hash}" 0 16 hash)
  string(REGEX REPLACE "(..)" "\\\\x\\1" bytes "${bytes}")
  string(APPEND rows "{\"/${file}\", {\"${bytes}\", ${size}}, \"${type_${extension}}\", \"\\\"${hash}\\\"\"},\n")
endforeach()
file(WRITE "${OUTPUT}" "${rows}")
