# Builds the gallery's page with npm and makes page.cpp of it. Run by the build:
#   cmake -DNPM=... -DWEB=<sources> -DWORK=<build directory> -DSTEP=install|build -P page.cmake
cmake_minimum_required(VERSION 3.25)

function(run_npm)
  execute_process(COMMAND "${NPM}" ${ARGN} WORKING_DIRECTORY "${WORK}"
                  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    set(hint "")
    if(ARGV0 STREQUAL "ci")
      set(hint "\nThe packages come from the npm registry or from npm's cache. Without a network: build once with one, or "
               "fill the cache on a machine that has one, or configure with -DPENSTOCK_APPS=OFF.")
    endif()
    message(FATAL_ERROR "npm ${command} failed in ${WORK}:\n${output}" ${hint})
  endif()
endfunction()

if(STEP STREQUAL "install")
  file(COPY "${WEB}/package.json" "${WEB}/package-lock.json" DESTINATION "${WORK}")
  # No package may run code at its installation.
  run_npm(ci --ignore-scripts --no-audit --no-fund)
  file(TOUCH "${WORK}/installed")
  return()
endif()

# Sources that are gone must not stay in the copy, nor what was built from them.
file(REMOVE_RECURSE "${WORK}/src" "${WORK}/dist")
file(GLOB top LIST_DIRECTORIES false "${WEB}/*")
file(COPY ${top} DESTINATION "${WORK}")
file(COPY "${WEB}/src" DESTINATION "${WORK}")
run_npm(run build)
if(NOT EXISTS "${WORK}/dist/index.html")
  message(FATAL_ERROR "npm run build left no dist/index.html in ${WORK}")
endif()

set(types "html=text/html\; charset=utf-8" "js=text/javascript\; charset=utf-8" "css=text/css\; charset=utf-8"
          "svg=image/svg+xml" "png=image/png" "ico=image/x-icon" "webp=image/webp" "woff2=font/woff2"
          "json=application/json" "webmanifest=application/manifest+json" "txt=text/plain\; charset=utf-8")
file(GLOB_RECURSE files RELATIVE "${WORK}/dist" "${WORK}/dist/*")
list(SORT files)
set(bytes "")
set(names "")
set(table "")
set(index 0)
foreach(file IN LISTS files)
  if(NOT file MATCHES "^[A-Za-z0-9._/-]+$")
    message(FATAL_ERROR "dist/${file}: use letters, digits, '.', '-' and '_' only, which need no encoding in an address")
  endif()
  string(REGEX MATCH "[^.]+$" extension "${file}")
  set(type "")
  foreach(known IN LISTS types)
    if(known MATCHES "^${extension}=(.*)$")
      set(type "${CMAKE_MATCH_1}")
    endif()
  endforeach()
  if(type STREQUAL "")
    message(FATAL_ERROR "dist/${file}: add the media type of .${extension} to page.cmake")
  endif()
  set(path "/${file}")
  if(file STREQUAL "index.html")
    set(path "/")
  endif()
  file(SHA256 "${WORK}/dist/${file}" digest)
  string(SUBSTRING "${digest}" 0 32 digest)
  # .incbin: the assembler reads the file; a compiler takes seconds and gigabytes for the same bytes as an array.
  string(APPEND bytes "asm(\".pushsection .rodata\\n\"\n"
                      "    \"penstock_gallery_asset_${index}: .incbin \\\"${WORK}/dist/${file}\\\"\\n\"\n"
                      "    \"penstock_gallery_asset_${index}_end:\\n\"\n"
                      "    \".globl penstock_gallery_asset_${index}, penstock_gallery_asset_${index}_end\\n\"\n"
                      "    \".popsection\");\n")
  string(APPEND names "extern const char penstock_gallery_asset_${index}[];\n"
                      "extern const char penstock_gallery_asset_${index}_end[];\n")
  string(APPEND table "      asset{\"${path}\", \"${type}\", \"\\\"${digest}\\\"\",\n"
                      "            bytes_between(penstock_gallery_asset_${index}, penstock_gallery_asset_${index}_end)},\n")
  math(EXPR index "${index} + 1")
endforeach()

file(WRITE "${WORK}/page.cpp" "// Made by apps/gallery/page.cmake.
#include \"apps/gallery/assets.hpp\"

#include <cstddef>

${bytes}
extern \"C\" {
${names}}

namespace penstock::gallery {
namespace {

std::string_view bytes_between(const char* begin, const char* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

}  // namespace

std::span<const asset> assets() noexcept {
  static const asset all[] = {
${table}  };
  return all;
}

}  // namespace penstock::gallery
")
