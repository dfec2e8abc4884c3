// Metadata is removed, or the file is refused; the parts that a decoder needs stay as they are.
#include "apps/gallery/metadata.hpp"

#include <cstdint>

#include <gtest/gtest.h>

#include "apps/gallery/rules.hpp"
#include "tests/gallery/fixtures.hpp"

namespace penstock::gallery {
namespace {

using std::string_literals::operator""s;

const std::string position = "52.5200N 013.4050E";

std::string cleaned(std::string_view media_type, const std::string& file) {
  const auto* const first = reinterpret_cast<const std::byte*>(file.data());
  const auto kept = without_metadata(media_type, {first, first + file.size()});
  return {reinterpret_cast<const char*>(kept.data()), kept.size()};
}

std::string jpeg_segment(int marker, const std::string& content) {
  const std::size_t size = content.size() + 2;
  return "\xff"s + static_cast<char>(marker) + static_cast<char>(size >> 8) + static_cast<char>(size & 0xff) + content;
}

const std::string jpeg_tables = jpeg_segment(0xdb, std::string(65, 't')) + jpeg_segment(0xc4, std::string(20, 'h'));
const std::string jpeg_frame = jpeg_segment(0xc0, "\x08\x00\x10\x00\x10\x01\x01\x11\x00"s);
const std::string jpeg_scan = jpeg_segment(0xda, "\x01\x01\x00\x00\x3f\x00"s) + "pixels\xff\x00more\xff\xd0rest"s;

std::string jpeg_with(const std::string& before_tables, const std::string& after_scan = "",
                      const std::string& behind = "") {
  return "\xff\xd8"s + before_tables + jpeg_tables + jpeg_frame + jpeg_scan + after_scan + "\xff\xd9"s + behind;
}

std::string tiff_block(bool little, int orientation) {
  const auto number = [&](unsigned value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> 8 * (little ? i : bytes - 1 - i) & 0xff);
    return text;
  };
  return (little ? "II" : "MM") + number(42, 2) + number(8, 4) + number(2, 2) +
         // an entry before it, as real files have
         number(0x010f, 2) + number(2, 2) + number(4, 4) + "abc\0"s + number(0x0112, 2) + number(3, 2) + number(1, 4) +
         number(static_cast<unsigned>(orientation), 2) + number(0, 2) + number(0, 4) + position;
}

std::string exif(bool little, int orientation) { return "Exif\0\0"s + tiff_block(little, orientation); }

const std::string srgb_profile = std::string(100, 'p') + "desc sRGB IEC61966-2.1 " + position;

TEST(gallery_metadata, a_jpeg_without_any_stays_as_it_is) {
  const std::string jfif = jpeg_segment(0xe0, "JFIF\0\1\2\1\0\x48\0\x48\0\0"s);
  const std::string adobe = jpeg_segment(0xee, "Adobe\0\x64\0\0\0\0\1"s);
  for (const auto& plain : {jpeg_with(""), jpeg_with(jfif), jpeg_with(jfif + adobe),
                            jpeg_with(jpeg_segment(0xdd, "\0\4"s)), jpeg_with("", jpeg_segment(0xc4, "t") + jpeg_scan)})
    EXPECT_EQ(cleaned("image/jpeg", plain), plain);
}

TEST(gallery_metadata, a_jpeg_keeps_only_what_a_decoder_needs) {
  const std::string plain = jpeg_with("");
  std::vector<std::string> segments = {
      jpeg_segment(0xe1, exif(true, 1)),
      jpeg_segment(0xe1, exif(false, 1)),
      jpeg_segment(0xe1, "Exif\0\0"s + position),
      jpeg_segment(0xe1, "http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>"s + position),
      jpeg_segment(0xe1, "http://ns.adobe.com/xmp/extension/\0"s + position),
      jpeg_segment(0xe0, "JFXX\0\x10"s + position),
      jpeg_segment(0xe0, "AVI1" + position),
      jpeg_segment(0xe2, "MPF\0II*\0"s + position),
      jpeg_segment(0xe2, "ICC_PROFILE\0\1\1"s + srgb_profile),
      jpeg_segment(0xed, "Photoshop 3.0\0"s + "8BIM" + position),
      jpeg_segment(0xee, "Ado" + position),
      jpeg_segment(0xfe, position),
      "\xff\xff\xff"s + jpeg_segment(0xfe, position),
  };
  for (int marker = 0xe3; marker <= 0xef; ++marker) segments.push_back(jpeg_segment(marker, "maker" + position));
  for (const auto& segment : segments) {
    EXPECT_EQ(cleaned("image/jpeg", jpeg_with(segment)), plain) << segment;
    EXPECT_EQ(cleaned("image/jpeg", jpeg_with("", segment)), plain) << "behind the scan: " << segment;
    EXPECT_EQ(cleaned("image/jpeg", jpeg_with(segment + segment)), plain) << segment;
  }
  EXPECT_EQ(cleaned("image/jpeg", jpeg_with("", "", position)), plain) << "behind the end";
  EXPECT_EQ(cleaned("image/jpeg", jpeg_with("", "", jpeg_with(jpeg_segment(0xe1, exif(true, 6))))), plain);
}

TEST(gallery_metadata, what_stays_of_a_jpeg_segment_has_no_room_for_more) {
  const std::string jfif = "JFIF\0\1\2\1\0\x48\0\x48"s, adobe = "Adobe\0\x64\0\0\0\0\1"s;
  EXPECT_EQ(cleaned("image/jpeg", jpeg_with(jpeg_segment(0xe0, jfif + "\1\6" + position))),
            jpeg_with(jpeg_segment(0xe0, jfif + "\0\0"s)))
      << "a thumbnail";
  EXPECT_EQ(cleaned("image/jpeg", jpeg_with(jpeg_segment(0xee, adobe + position))),
            jpeg_with(jpeg_segment(0xee, adobe)));
}

TEST(gallery_metadata, a_jpeg_that_would_look_different_without_it_is_refused) {
  for (int orientation = 2; orientation <= 8; ++orientation)
    for (const bool little : {true, false})
      EXPECT_THROW(cleaned("image/jpeg", jpeg_with(jpeg_segment(0xe1, exif(little, orientation)))), invalid_photo);
  EXPECT_THROW(cleaned("image/jpeg", jpeg_with(jpeg_segment(0xe2, "ICC_PROFILE\0\1\1Display P3"s))), invalid_photo);
}

TEST(gallery_metadata, a_jpeg_that_is_cut_short_or_malformed_is_refused) {
  const std::string whole = jpeg_with(jpeg_segment(0xe1, exif(true, 1)));
  for (std::size_t size = 3; size < whole.size(); ++size)
    EXPECT_THROW(cleaned("image/jpeg", whole.substr(0, size)), invalid_photo) << size;
  EXPECT_THROW(cleaned("image/jpeg", "\xff\xd8" + jpeg_tables + "\xff\xd9"), invalid_photo) << "no scan";
  EXPECT_THROW(cleaned("image/jpeg", jpeg_with("\xff\xe1\x00\x01"s)), invalid_photo);
  EXPECT_THROW(cleaned("image/jpeg", jpeg_with(jpeg_segment(0x02, position))), invalid_photo);
  EXPECT_THROW(cleaned("image/jpeg", jpeg_with(jpeg_segment(0xf7, position))), invalid_photo);
  EXPECT_THROW(cleaned("image/jpeg", jpeg_with(jpeg_segment(0xdb, "<?xpacket begin?>" + position))), invalid_photo)
      << "hidden in a table";
}

std::string chunk(const std::string& name, const std::string& content) {
  std::string text = name;
  for (int shift = 0; shift < 32; shift += 8) text += static_cast<char>(content.size() >> shift & 0xff);
  return text + content + (content.size() % 2 != 0 ? "\0"s : "");
}

std::string webp_with(const std::string& chunks) { return chunk("RIFF", "WEBP" + chunks); }

TEST(gallery_metadata, a_webp_keeps_only_its_pixels) {
  const std::string pixels = chunk("VP8 ", "lossy pixels!"), lossless = chunk("VP8L", "pixels");
  for (const auto& plain : {webp_with(pixels), webp_with(lossless),
                            webp_with(chunk("VP8X", "\x10\0\0\0\x0f\0\0\x0f\0\0"s) + chunk("ALPH", "alpha") + pixels)})
    EXPECT_EQ(cleaned("image/webp", plain), plain);
  const std::string flagged = chunk("VP8X", "\x3c\0\0\0\x0f\0\0\x0f\0\0"s);
  const std::string plain = webp_with(chunk("VP8X", "\x10\0\0\0\x0f\0\0\x0f\0\0"s) + pixels);
  for (const auto& extra :
       {chunk("EXIF", tiff_block(true, 1)), chunk("EXIF", exif(false, 1)), chunk("XMP ", "<x:xmpmeta>" + position),
        chunk("ICCP", srgb_profile), chunk("WHAT", position)}) {
    EXPECT_EQ(cleaned("image/webp", webp_with(flagged + extra + pixels)), plain) << extra;
    EXPECT_EQ(cleaned("image/webp", webp_with(flagged + pixels + extra)), plain) << extra;
    EXPECT_EQ(cleaned("image/webp", webp_with(flagged + pixels) + extra), plain) << "behind the end: " << extra;
  }
  for (const auto& bad :
       {webp_with(chunk("EXIF", tiff_block(true, 6)) + pixels), webp_with(chunk("ICCP", "P3") + pixels),
        webp_with(chunk("ANIM", "x") + pixels), webp_with(""), webp_with(chunk("EXIF", position)),
        webp_with(pixels).substr(0, 20), webp_with("VP8 \xff\xff\xff\x7f"s)})
    EXPECT_THROW(cleaned("image/webp", bad), invalid_photo) << bad;
}

std::string box(const std::string& type, const std::string& content) {
  const std::size_t size = content.size() + 8;
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(size >> shift & 0xff);
  return text + type + content;
}

std::string item_info(const std::string& type) { return box("infe", "\2\0\0\0\0\1\0\0"s + type + "\0"s); }

std::string avif_with(const std::string& items, const std::string& properties = "", const std::string& in_meta = "",
                      const std::string& behind = "") {
  return box("ftyp", "avif\0\0\0\0avifmif1"s) +
         box("meta", "\0\0\0\0"s + box("hdlr", "\0\0\0\0\0\0\0\0pict"s) + box("iinf", "\0\0\0\0\0\1"s + items) +
                         box("iprp", box("ipco", box("ispe", "size") + properties) + box("ipma", "x")) + in_meta) +
         box("mdat", "pixels") + behind;
}

TEST(gallery_metadata, an_avif_is_accepted_only_without_any) {
  const std::string picture = item_info("av01");
  for (const auto& plain : {avif_with(picture), avif_with(picture + item_info("grid"), box("colr", "nclx\0\1"s)),
                            avif_with(picture, box("colr", "prof" + srgb_profile))})
    EXPECT_EQ(cleaned("image/avif", plain), plain);
  for (const auto& bad :
       {avif_with(picture + item_info("Exif")), avif_with(picture + item_info("mime")),
        avif_with(picture + item_info("uri ")), avif_with(picture, box("udes", position)),
        avif_with(picture, box("colr", "profDisplay P3")), avif_with(picture, "", box("uuid", position)),
        avif_with(picture, "", "", box("uuid", position)), avif_with(picture, "", "", box("moov", position)),
        avif_with(picture, "", "", box("free", position)), avif_with(picture, "", "", position),
        avif_with(picture, "", "", box("mdat", "Exif\0\0"s + position)),
        avif_with(picture).substr(0, avif_with(picture).size() - 1)})
    EXPECT_THROW(cleaned("image/avif", bad), invalid_photo) << bad;
}

// The door that every client comes through.
TEST(gallery_metadata, is_not_in_the_files_of_a_gallery) {
  const temporary_directory directory;
  store gallery(directory.path());
  photo item = photo_of(1);
  const photo plain = item;
  const std::string segment = jpeg_segment(0xe1, exif(true, 1)), behind = position;
  for (auto& r : item.renditions) {
    const auto* const first = reinterpret_cast<const std::byte*>(segment.data());
    r.bytes.insert(r.bytes.begin() + 2, first, first + segment.size());
    for (const char c : behind) r.bytes.push_back(static_cast<std::byte>(c));
  }
  EXPECT_EQ(gallery.publish(item), publish_result::published);
  EXPECT_EQ(difference(gallery, plain), "");
  EXPECT_EQ(gallery.publish(item), publish_result::already_there);
  photo turned = photo_of(2);
  const std::string turning = jpeg_segment(0xe1, exif(true, 6));
  const auto* const first = reinterpret_cast<const std::byte*>(turning.data());
  turned.renditions[1].bytes.insert(turned.renditions[1].bytes.begin() + 2, first, first + turning.size());
  EXPECT_THROW(gallery.publish(turned), invalid_photo);
  EXPECT_EQ(gallery.total(), 1);
  EXPECT_TRUE(drafts_on_disk(directory.path()).empty());
}

}  // namespace
}  // namespace penstock::gallery
