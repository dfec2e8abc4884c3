// A photo line in thirty lines: pictures come from a card, are made smaller with libvips, two at a time, and go to a gallery, a folder here.
// What is no picture costs itself and a line in the report. `penstock photos` is the grown-up one (apps/photos/photo_line.hpp).
//
//   example_photo_line CARD GALLERY
#include <filesystem>
#include <iostream>

#include <penstock/penstock.hpp>
#include <vips/vips8>

namespace fs = std::filesystem;

int main(int argc, char** argv) {
  if (argc != 3 || VIPS_INIT(argv[0]) != 0) return 2;
  vips_concurrency_set(1);  // the pipeline has the workers
  const fs::path card = argv[1], gallery = argv[2], desk = gallery / "unfinished";
  fs::create_directories(desk);

  const auto download = [&](const fs::path& shot) {
    fs::copy_file(shot, desk / shot.filename(), fs::copy_options::overwrite_existing);
    return desk / shot.filename();
  };
  const auto resize = [](const fs::path& picture) {
    const fs::path small = fs::path(picture).replace_extension("320.jpg");
    vips::VImage::thumbnail(picture.c_str(), 320).jpegsave(small.c_str());
    return small;
  };
  const auto upload = [&](const fs::path& small) { fs::rename(small, gallery / small.filename()); };  // whole, or not at all

  std::cout << (penstock::from(fs::directory_iterator(card))
              | penstock::stage("download", download, {.workers = 2})
              | penstock::stage("resize",   resize,   {.workers = 2, .on_error = penstock::on_error::skip})
              | penstock::sink ("upload",   upload,   {.workers = 2})
              | penstock::run());
  fs::remove_all(desk);
  vips_shutdown();
}
