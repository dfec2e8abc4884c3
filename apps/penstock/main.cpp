// The tool: its command line, and nothing else. Each command's work is in its own room.
#include <chrono>
#include <exception>
#include <iostream>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

#include <penstock/base/exception_text.hpp>
#include <penstock/base/interrupts.hpp>

#include "apps/gallery/command.hpp"
#include "apps/gallery/listen_address.hpp"
#include "apps/gallery/token.hpp"
#include "apps/photos/command.hpp"
#include "apps/photos/dimensions.hpp"
#include "apps/photos/image_maker.hpp"
#include "apps/run/command.hpp"

namespace {

using namespace penstock;

constexpr int exit_usage = 2;

void add_photos(CLI::App& app, photos::command_options& o, std::string& format, std::vector<std::string>& keep,
                bool& keep_going, double& deadline) {
  app.add_option(
         "SOURCE", o.line.sources,
         "Files or folders with photos; folders with everything below them, except trash, thumbnail and snapshot "
         "folders (@eaDir, #recycle, $RECYCLE.BIN, ...; name one to publish it)")
      ->required();
  app.add_option("--to,-t", o.to,
                 "Where to publish: a gallery directory, or http://HOST:PORT of a running penstock gallery")
      ->capture_default_str()
      ->type_name("TARGET");
  app.add_option("--token-file", o.token_file,
                 "File with the gallery's token (or set PENSTOCK_TOKEN); only for http targets and --serve")
      ->type_name("FILE");
  app.add_option("--sizes", o.line.renditions.sizes,
                 "Longest sides of the renditions in pixels; photos are never enlarged")
      ->delimiter(',')
      ->capture_default_str()
      ->type_name("PX,PX,...");
  app.add_option("--format", format, "jpeg, webp or avif (smaller files, far more processor time)")
      ->check(CLI::IsMember({"jpeg", "webp", "avif"}))
      ->capture_default_str()
      ->type_name("FORMAT");
  app.add_option("--quality", o.line.renditions.quality, "1 to 100; by default JPEG 82, WebP 80, AVIF 55")
      ->check(CLI::Range(1, 100))
      ->type_name("N");
  app.add_option("--keep", keep,
                 "Metadata to show in the gallery (the files have none): copyright, artist, description, date, camera, "
                 "lens. By default none; a position "
                 "never is")
      ->delimiter(',')
      ->type_name("FIELD,...");
  app.add_option("--max-pixels", o.line.renditions.max_pixels, "Larger photos are refused before they are decoded")
      ->capture_default_str()
      ->transform(CLI::AsNumberWithUnit(std::map<std::string, double>{{"MP", 1e6}, {"k", 1e3}, {"M", 1e6}}))
      ->type_name("N");
  app.add_option("--memory", o.line.memory_bytes,
                 "Most bytes in flight, such as 512MB; by default a quarter of the machine's, at most 1 GB")
      ->transform(CLI::AsSizeValue(true))
      ->type_name("SIZE");
  app.add_option("--download-workers", o.line.download_workers)
      ->capture_default_str()
      ->check(CLI::Range(1, 256))
      ->type_name("N");
  app.add_option("--resize-workers", o.line.resize_workers, "By default one for each processor")
      ->check(CLI::Range(1, 256))
      ->type_name("N");
  app.add_option("--upload-workers", o.line.upload_workers)
      ->capture_default_str()
      ->check(CLI::Range(1, 256))
      ->type_name("N");
  auto* going = app.add_flag("--keep-going", keep_going, "Skip photos that fail, list them, exit with 1 (the default)");
  app.add_flag("--fail-fast", o.line.fail_fast, "End at the first photo that fails")->excludes(going);
  app.add_flag("--dry-run,-n", o.line.dry_run, "Read and recognise everything, publish nothing");
  auto* isolate =
      app.add_flag("--isolate", o.isolate,
                   "Decode in processes of their own: a picture that crashes or hangs its decoder fails alone");
  app.add_option("--deadline", deadline, "With --isolate: seconds that one picture may take")
      ->needs(isolate)
      ->check(CLI::Range(1.0, 86'400.0))
      ->capture_default_str()
      ->type_name("S");
  app.add_flag("--json", o.json, "The final report as JSON on stdout");
  app.add_option("--serve", o.serve, "Show the gallery in the browser while it fills, and after, until Ctrl-C")
      ->expected(0, 1)
      ->default_str("127.0.0.1:8080")
      ->type_name("[ADDR:PORT]");
  app.add_flag("--quiet,-q", o.quiet, "No progress");
  app.footer(
      "Photos are found by their contents (JPEG, PNG, WebP, HEIC, AVIF, TIFF, GIF), turned upright, converted to sRGB, "
      "and\n"
      "stripped of all metadata. Running it again publishes only what is new; what is there stays as it is.\n\n"
      "exit code: 0 all done, 1 some photos failed or could not be read (listed) or the target failed, 2 usage, "
      "130 interrupted\n\n"
      "examples:\n"
      "  penstock photos /media/card/DCIM                        to ./gallery\n"
      "  penstock photos ~/Pictures --to /srv/gallery --serve    and look at it meanwhile\n"
      "  penstock photos . --to http://nas:8080 --token-file ~/.penstock-token");
}

struct serve_options {
  std::string directory;
  std::string listen = "127.0.0.1:8080";
  std::string token_file;
  bool public_read = false;
};

void add_serve(CLI::App& app, serve_options& o) {
  app.add_option("DIR", o.directory, "The gallery directory; it is made if it does not exist")->required();
  app.add_option("--listen", o.listen, "Address and port; port 0: any that is free")
      ->capture_default_str()
      ->type_name("ADDR:PORT");
  app.add_option("--token-file", o.token_file,
                 "File with the token that reading and uploads need (or set PENSTOCK_TOKEN). Without one: this machine "
                 "only, no "
                 "uploads")
      ->type_name("FILE");
  app.add_flag("--public-read", o.public_read,
               "Reading needs no token: every client that can reach the address may look");
  app.footer("To make a token:  head -c 24 /dev/urandom | base64 > token; chmod 600 token");
}

int run(int argc, char** argv) {
  // It has commands among its words, with options of their own.
  if (argc > 1 && std::string_view(argv[1]) == "run") {
    const std::vector<std::string> words(argv + 2, argv + argc);
    return runner::run_command(words);
  }
  CLI::App app(
      "penstock: pipelines of work that run at the same time.\nEach command tells more: penstock photos --help",
      "penstock");
  app.set_version_flag("--version", PENSTOCK_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);

  photos::command_options photos;
  std::string format = "jpeg";
  std::vector<std::string> keep;
  bool keep_going = false;
  double deadline = std::chrono::duration<double>(photos.deadline).count();
  auto* photos_app = app.add_subcommand("photos", "Publish photos: camera or folder → resized → gallery");
  add_photos(*photos_app, photos, format, keep, keep_going, deadline);

  auto* gallery_app = app.add_subcommand("gallery", "A photo gallery for the browser");
  gallery_app->require_subcommand(1);
  serve_options serve;
  auto* serve_app =
      gallery_app->add_subcommand("serve", "Show a gallery in the browser; take photos from other machines");
  add_serve(*serve_app, serve);

  app.add_subcommand("run",
                     "Commands for each item of a list, stage after stage: a multi-stage parallel");  // for the list

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : exit_usage;
  }

  interrupts signals;
  try {
    if (photos_app->parsed()) {
      if (photos_app->count("--serve") && photos.serve.empty()) photos.serve = "127.0.0.1:8080";
      photos.line.renditions.format = format == "webp"   ? photos::rendition_format::webp
                                      : format == "avif" ? photos::rendition_format::avif
                                                         : photos::rendition_format::jpeg;
      photos.deadline = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(deadline));
      photos.line.renditions.keep = std::set<std::string>(keep.begin(), keep.end());
      if (photos_app->count("--memory") && (photos.line.memory_bytes < 1'000'000 || photos.line.memory_bytes >> 60))
        throw std::invalid_argument("--memory: give a size such as 512MB; a photo of 12 megapixels takes some 90MB");
      if (photos.line.renditions.max_pixels < 10'000)
        throw std::invalid_argument("--max-pixels: that would refuse every photo; 250MP is usual");
      return photos_command(std::move(photos), signals, std::cout);
    }
    gallery::server_options options;
    gallery::set_listen_address(options, serve.listen);
    options.public_read = serve.public_read;
    if (const auto token = gallery::read_token(serve.token_file)) {
      options.token = token->token;
      if (!token->warning.empty()) std::cerr << token->warning << '\n';
    }
    const photos::image_library library;
    options.measure = photos::dimensions_of;
    return gallery::serve_command(serve.directory, std::move(options), std::cout, signals.first());
  } catch (const std::invalid_argument& e) {
    std::cerr << "penstock: " << e.what() << '\n';
    return exit_usage;
  } catch (const std::exception&) {
    std::cerr << "penstock: " << exception_text(std::current_exception()) << '\n';
    return 1;
  }
}

}  // namespace

int main(int argc, char** argv) {
  photos::serve_images(argc, argv);  // first: a worker of --isolate is this program, too
  return run(argc, argv);
}
