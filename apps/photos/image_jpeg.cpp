#include "apps/photos/image_jpeg.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

// After <cstdio>: jpeglib.h uses FILE and does not declare it.
#include <jerror.h>
#include <jpeglib.h>

#include "apps/photos/image.hpp"

namespace penstock::photos {
namespace {

// libjpeg reports errors through a call that must not return. It jumps, because an exception may not pass through C
// code that was compiled without unwind tables. Whoever calls setjmp() on it therefore has no object with a destructor
// between there and the jump.
struct error_exit {
  jpeg_error_mgr base;  // first: libjpeg sees only this part
  std::jmp_buf jump;
  std::array<char, JMSG_LENGTH_MAX> text;
  bool stopped;
};

error_exit& errors_of(j_common_ptr codec) { return *reinterpret_cast<error_exit*>(codec->err); }

[[noreturn]] void give_up(j_common_ptr codec) {
  error_exit& errors = errors_of(codec);
  codec->err->format_message(codec, errors.text.data());
  std::longjmp(errors.jump, 1);
}

// True for a warning about something that leaves every pixel as it was meant. Everything else means missing or wrong
// pixels.
bool harmless(const jpeg_decompress_struct& decoder) {
  const jpeg_error_mgr& error = *decoder.err;
  switch (error.msg_code) {
    case JWRN_JFIF_MAJOR:
    case JWRN_ADOBE_XFORM:
    case JWRN_BOGUS_ICC:
    case JWRN_NOT_SEQUENTIAL:
      return true;
    case JWRN_EXTRANEOUS_DATA: {
      // Between header segments: cameras that count a segment's length wrongly by a few bytes.
      if (decoder.output_width == 0) return true;
      // After the last pixels: cameras that pad their files to whole sectors. Many different bytes are the rest of a
      // picture whose beginning was misread.
      constexpr int a_few = 16;
      const int count = error.msg_parm.i[0];
      const bool at_end = error.msg_parm.i[1] == JPEG_EOI;
      if (!at_end) return false;
      if (count <= a_few) return true;
      const JOCTET* end = decoder.src->next_input_byte;
      return std::all_of(end - count, end, [&](JOCTET byte) { return byte == end[-1]; });
    }
    default:
      return false;
  }
}

void on_message(j_common_ptr codec, int level) {
  // Not negative: a trace message. Only decoders warn.
  if (level < 0 && codec->is_decompressor != 0 && !harmless(*reinterpret_cast<j_decompress_ptr>(codec))) give_up(codec);
}

void prepare(error_exit& errors) {
  jpeg_std_error(&errors.base);
  errors.base.error_exit = give_up;
  errors.base.emit_message = on_message;
  errors.base.output_message = [](j_common_ptr) {};  // not to standard error
  errors.text[0] = '\0';
  errors.stopped = false;
}

// A hundred-fold of what encoders write. Each scan of a progressive file goes over all coefficients: a file of a few
// kilobytes can ask for hours of work.
constexpr int most_scans = 1000;

struct watch {
  jpeg_progress_mgr base;
  const std::stop_token* stop;
};

void on_progress(j_common_ptr codec) {
  const watch& watching = *reinterpret_cast<const watch*>(codec->progress);
  if (watching.stop->stop_requested()) {
    errors_of(codec).stopped = true;
    std::longjmp(errors_of(codec).jump, 1);
  }
  if (reinterpret_cast<j_decompress_ptr>(codec)->input_scan_number > most_scans) {
    std::snprintf(errors_of(codec).text.data(), JMSG_LENGTH_MAX, "more than %d progressive scans", most_scans);
    std::longjmp(errors_of(codec).jump, 1);
  }
}

bool starts_with_exif(const jpeg_marker_struct& marker) {
  return marker.marker == JPEG_APP0 + 1 && marker.data_length > 6 && std::memcmp(marker.data, "Exif\0", 6) == 0;
}

}  // namespace

struct jpeg_source::decoder {
  jpeg_decompress_struct jpeg{};
  error_exit errors{};
  jpeg_header header;
  bool created = false;

  ~decoder() {
    if (created) jpeg_destroy_decompress(&jpeg);
  }

  // Each of these three contains a setjmp(), and nothing with a destructor. False: the reason is in errors.
  bool read_header(const unsigned char* bytes, std::size_t size);
  bool read_icc(JOCTET** icc, unsigned int* size);
  bool read_rows(reducer& out);
};

bool jpeg_source::decoder::read_header(const unsigned char* bytes, std::size_t size) {
  prepare(errors);
  jpeg.err = &errors.base;
  if (setjmp(errors.jump) != 0) return false;
  jpeg_create_decompress(&jpeg);
  created = true;
  jpeg_mem_src(&jpeg, bytes, size);
  jpeg_save_markers(&jpeg, JPEG_APP0 + 1, 0xffff);  // EXIF
  jpeg_save_markers(&jpeg, JPEG_APP0 + 2, 0xffff);  // the profile
  jpeg_read_header(&jpeg, TRUE);
  return true;
}

bool jpeg_source::decoder::read_icc(JOCTET** icc, unsigned int* size) {
  if (setjmp(errors.jump) != 0) return false;
  return jpeg_read_icc_profile(&jpeg, icc, size) != 0;
}

bool jpeg_source::decoder::read_rows(reducer& out) {
  if (setjmp(errors.jump) != 0) return false;
  jpeg_start_decompress(&jpeg);
  while (jpeg.output_scanline < jpeg.output_height) {
    JSAMPROW row = out.row();
    jpeg_read_scanlines(&jpeg, &row, 1);
    out.row_done();
  }
  // Reads on to the end marker: a file without it was cut short.
  jpeg_finish_decompress(&jpeg);
  return true;
}

jpeg_source::jpeg_source(std::span<const std::byte> bytes) : decoder_(std::make_unique<decoder>()) {
  decoder& d = *decoder_;
  if (!d.read_header(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size())) {
    throw bad_photo(std::string("damaged or cut short: ") + d.errors.text.data());
  }
  switch (d.jpeg.jpeg_color_space) {
    case JCS_GRAYSCALE:
      d.header.colors = pixel_colors::grey;
      d.jpeg.out_color_space = JCS_EXT_RGBX;
      break;
    case JCS_YCbCr:
    case JCS_RGB:
      d.jpeg.out_color_space = JCS_EXT_RGBX;
      break;
    case JCS_CMYK:
    case JCS_YCCK:
      d.header.colors = d.jpeg.saw_Adobe_marker != 0 ? pixel_colors::cmyk_inverted : pixel_colors::cmyk;
      d.jpeg.out_color_space = JCS_CMYK;
      break;
    default:
      throw bad_photo("its colors are of no known kind");
  }
  d.header.size = {static_cast<int>(d.jpeg.image_width), static_cast<int>(d.jpeg.image_height)};
  if (jpeg_has_multiple_scans(&d.jpeg) != 0) {
    for (int i = 0; i < d.jpeg.num_components; ++i) {
      const jpeg_component_info& part = d.jpeg.comp_info[i];
      d.header.coefficient_bytes +=
          std::size_t{part.width_in_blocks + 8} * (part.height_in_blocks + 8) * sizeof(JBLOCK);
    }
  }
  for (jpeg_saved_marker_ptr marker = d.jpeg.marker_list; marker != nullptr; marker = marker->next) {
    if (!starts_with_exif(*marker)) continue;
    const auto* first = reinterpret_cast<const std::byte*>(marker->data);
    d.header.exif.assign(first, first + marker->data_length);
    break;
  }
  JOCTET* icc = nullptr;
  unsigned int icc_size = 0;
  if (d.read_icc(&icc, &icc_size)) {
    const auto* first = reinterpret_cast<const std::byte*>(icc);
    d.header.icc.assign(first, first + icc_size);
    std::free(icc);
  }
}

jpeg_source::~jpeg_source() = default;

const jpeg_header& jpeg_source::header() const noexcept { return decoder_->header; }

extent jpeg_source::reduced_by(int factor) const noexcept {
  const auto [width, height] = decoder_->header.size;
  return {(width + factor - 1) / factor, (height + factor - 1) / factor};
}

void jpeg_source::read(int factor, bool smooth_colors, reducer& out, const std::stop_token& stop) {
  decoder& d = *decoder_;
  watch watching{};
  watching.base.progress_monitor = on_progress;
  watching.stop = &stop;
  d.jpeg.progress = &watching.base;
  d.jpeg.scale_num = 1;
  d.jpeg.scale_denom = static_cast<unsigned int>(factor);
  d.jpeg.do_fancy_upsampling = smooth_colors ? TRUE : FALSE;
  // Smoothing guesses the detail of scans that have not come; here all have, or the file is refused.
  d.jpeg.do_block_smoothing = FALSE;
  const bool whole = d.read_rows(out);
  d.jpeg.progress = nullptr;
  if (d.errors.stopped) throw cancelled();
  if (!whole) throw bad_photo(std::string("damaged or cut short: ") + d.errors.text.data());
}

namespace {

struct encoded {
  unsigned char* bytes = nullptr;
  unsigned long size = 0;  // libjpeg's type
  encoded() = default;
  encoded(const encoded&) = delete;
  encoded& operator=(const encoded&) = delete;
  ~encoded() { std::free(bytes); }
};

// Contains a setjmp(), and nothing with a destructor.
bool encode(jpeg_compress_struct& jpeg, error_exit& errors, const raster& picture, int quality, encoded& out) {
  if (setjmp(errors.jump) != 0) return false;
  jpeg_create_compress(&jpeg);
  jpeg_mem_dest(&jpeg, &out.bytes, &out.size);
  jpeg.image_width = static_cast<JDIMENSION>(picture.size().width);
  jpeg.image_height = static_cast<JDIMENSION>(picture.size().height);
  jpeg.input_components = raster::pixel_bytes;
  jpeg.in_color_space = JCS_EXT_RGBX;
  // 4:2:0, baseline, the standard's code tables. Own tables for each picture make files 2 % smaller, progressive ones
  // 6 %; either more than doubles the time that encoding takes.
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, quality, TRUE);
  jpeg_start_compress(&jpeg, TRUE);
  while (jpeg.next_scanline < jpeg.image_height) {
    // libjpeg's rows are not const; it only reads them.
    JSAMPROW row = const_cast<JSAMPROW>(picture.row(static_cast<int>(jpeg.next_scanline)));
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  return true;
}

}  // namespace

std::vector<std::byte> jpeg_bytes(const raster& picture, int quality) {
  jpeg_compress_struct jpeg{};
  error_exit errors{};
  prepare(errors);
  jpeg.err = &errors.base;
  encoded out;
  const bool done = encode(jpeg, errors, picture, quality, out);
  jpeg_destroy_compress(&jpeg);
  if (!done) throw std::runtime_error(std::string("cannot write JPEG: ") + errors.text.data());
  const auto* first = reinterpret_cast<const std::byte*>(out.bytes);
  return {first, first + out.size};
}

}  // namespace penstock::photos
