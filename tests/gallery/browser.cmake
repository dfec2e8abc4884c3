# Runs the browser test in a copy, so that nothing appears among the sources:
#   cmake -DNPM=... -DSOURCE=tests/gallery/browser -DWORK=<build directory> -DPENSTOCK=<the tool> -P browser.cmake
file(GLOB files LIST_DIRECTORIES false "${SOURCE}/*" "${SOURCE}/.npmrc")
file(COPY ${files} DESTINATION "${WORK}")
file(SHA256 "${WORK}/package-lock.json" lock)
if(NOT EXISTS "${WORK}/installed-${lock}")
  execute_process(COMMAND "${NPM}" ci --ignore-scripts --no-audit --no-fund WORKING_DIRECTORY "${WORK}" COMMAND_ERROR_IS_FATAL ANY)
  file(TOUCH "${WORK}/installed-${lock}")
endif()
execute_process(COMMAND node gallery.js "${PENSTOCK}" WORKING_DIRECTORY "${WORK}" COMMAND_ERROR_IS_FATAL ANY)
