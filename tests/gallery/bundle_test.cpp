#include "apps/gallery/bundle.hpp"

#include <random>

#include <gtest/gtest.h>

#include "tests/gallery/fixtures.hpp"

namespace penstock::gallery {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

photo decode(const std::string& id, std::string_view body) {
  bundle_decoder decoder(id, body.size());
  decoder.feed(bytes_of(body));
  return decoder.finish();
}

void expect_equal(const photo& a, const photo& b) {
  EXPECT_EQ(a.id, b.id);
  EXPECT_EQ(a.fields, b.fields);
  ASSERT_EQ(a.renditions.size(), b.renditions.size());
  for (std::size_t i = 0; i < a.renditions.size(); ++i) {
    EXPECT_EQ(a.renditions[i].width, b.renditions[i].width);
    EXPECT_EQ(a.renditions[i].height, b.renditions[i].height);
    EXPECT_EQ(a.renditions[i].media_type, b.renditions[i].media_type);
    EXPECT_EQ(a.renditions[i].bytes, b.renditions[i].bytes);
  }
}

TEST(gallery_bundle, what_was_encoded_is_decoded_however_it_is_cut) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  photo item = photo_of(1, 500);
  item.fields = {{"title", "Grüße \"vom\" Meer\n\\"}, {"", ""}};
  item.fields.erase("");
  const std::string body = encode_bundle(item);
  for (int round = 0; round < 300; ++round) {
    bundle_decoder decoder(item.id, body.size());
    for (std::size_t at = 0; at < body.size();) {
      const auto size = std::min(body.size() - at, std::uniform_int_distribution<std::size_t>(0, 200)(random));
      decoder.feed(bytes_of(std::string_view(body).substr(at, size)));
      at += size;
    }
    expect_equal(decoder.finish(), item);
  }
}

TEST(gallery_bundle, a_body_that_is_cut_short_or_too_long_is_refused) {
  const photo item = photo_of(1, 50);
  const std::string body = encode_bundle(item);
  for (std::size_t size = 0; size < body.size(); ++size)
    EXPECT_THROW(decode(item.id, body.substr(0, size)), invalid_photo) << size;
  EXPECT_THROW(decode(item.id, body + 'x'), invalid_photo);
  bundle_decoder decoder(item.id, body.size());
  decoder.feed(bytes_of(body));
  EXPECT_THROW(decoder.feed(bytes_of("x")), invalid_photo);
}

TEST(gallery_bundle, what_is_not_exactly_a_bundle_is_refused) {
  const std::string jpeg = "\xff\xd8\xff\xe0";
  const std::string id = id_of(1);
  const std::string good =
      R"({"renditions":[{"width":2,"height":1,"type":"image/jpeg","bytes":4}],"fields":{"a":"b"}})";
  EXPECT_EQ(decode(id, good + '\n' + jpeg).fields.at("a"), "b");

  const auto changed = [&](std::string_view from, std::string_view to) {
    std::string head = good;
    const auto at = head.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return head.replace(at, from.size(), to);
  };
  const std::string bad[] = {
      "",
      "{}",
      "[]",
      "null",
      good + "x",
      good.substr(1),
      std::string(1000, '['),
      changed("\"width\":2", "\"width\":0"),
      changed("\"width\":2", "\"width\":-2"),
      changed("\"width\":2", "\"width\":2.0"),
      changed("\"width\":2", "\"width\":\"2\""),
      changed("\"width\":2", "\"width\":65536"),
      changed("\"width\":2", "\"width\":18446744073709551617"),
      changed("\"width\":2", "\"width\":4294967298"),
      changed("\"width\":2,", ""),
      changed("\"width\":2", "\"width\":3,\"width\":2"),
      changed("\"width\":2", "\"width\":2,\"name\":\"x\""),
      changed("image/jpeg", "image/png"),
      changed("image/jpeg", "image/webp"),
      changed("image/jpeg", "../../x"),
      changed("\"bytes\":4", "\"bytes\":3"),
      changed("\"bytes\":4", "\"bytes\":5"),
      changed("\"bytes\":4", "\"bytes\":0"),
      changed("\"bytes\":4", "\"bytes\":18446744073709551615"),
      changed("[{", "[{},{"),
      changed("[{\"width\":2,\"height\":1,\"type\":\"image/jpeg\",\"bytes\":4}]", "[]"),
      changed("\"fields\":{\"a\":\"b\"}", "\"fields\":[]"),
      changed("\"fields\":{\"a\":\"b\"}", "\"fields\":{\"a\":1}"),
      changed("\"fields\":{\"a\":\"b\"}", "\"fields\":{\"a\":null}"),
      changed(",\"fields\":{\"a\":\"b\"}", ""),
      changed("\"a\":\"b\"", "\"a\":\"b\",\"a\":\"c\""),
      changed("\"a\"", "\"\""),
      changed("\"b\"", "\"\\u0000\""),
      changed("\"b\"", "\"\xff\""),
      changed("\"b\"", "\"\xed\xa0\x80\""),
      changed("\"b\"", "\"\\ud800\""),
      changed("\"a\":\"b\"", "\"a\":{\"b\":{\"c\":{\"d\":{}}}}"),
      changed("\"a\"", '"' + std::string(65, 'n') + '"'),
      changed("\"b\"", '"' + std::string(max_fields_bytes, 'v') + '"'),
      changed("{\"a\":\"b\"}", "{\"a\":\"b\"}" + std::string(max_head_bytes, ' ')),
  };
  for (const auto& head : bad) EXPECT_THROW(decode(id, head + '\n' + jpeg), invalid_photo) << head.substr(0, 200);
  EXPECT_THROW(decode(id, good + '\n' + "\xff\xd8\xfe\xe0"), invalid_photo) << "not a JPEG";
  EXPECT_THROW(decode(id + "0", good + '\n' + jpeg), invalid_photo);
}

TEST(gallery_bundle, renditions_come_largest_first_and_at_most_sixteen) {
  photo item = photo_of(1, 50);
  std::swap(item.renditions[0], item.renditions[1]);
  EXPECT_THROW(check(item), invalid_photo);
  item.renditions[0].width = item.renditions[1].width;
  EXPECT_THROW(check(item), invalid_photo);
  item.renditions.resize(1);
  for (std::size_t count = 1; count <= max_renditions; ++count) {
    EXPECT_EQ(decode(item.id, encode_bundle(item)).renditions.size(), count);
    item.renditions.push_back(item.renditions.back());
    --item.renditions.back().width;
  }
  EXPECT_THROW(decode(item.id, encode_bundle(item)), invalid_photo);
}

TEST(gallery_bundle, every_photo_that_passes_the_check_fits) {
  photo item = photo_of(1, 50);
  for (std::size_t i = 1; i < max_renditions; ++i) {
    item.renditions.push_back(item.renditions.back());
    --item.renditions.back().width;
  }
  item.renditions.resize(max_renditions);
  item.fields["quotes"] = std::string(max_fields_bytes - 6, '"');
  ASSERT_NO_THROW(check(item));
  EXPECT_LE(encode_bundle_head(item).size(), max_head_bytes);
  expect_equal(decode(item.id, encode_bundle(item)), item);
  item.fields["quotes"] += '"';
  EXPECT_THROW(check(item), invalid_photo);
}

TEST(gallery_rules, a_file_begins_as_its_type_says) {
  const std::string avif{
      "\0\0\0\x1c"
      "ftypmif1\0\0\0\0avifmiaf",
      28 - 4};
  const std::string heic{
      "\0\0\0\x18"
      "ftypheic\0\0\0\0mif1heic",
      24};
  const std::string webp{"RIFF\x10\0\0\0WEBPVP8 ", 16};
  EXPECT_TRUE(begins_as("image/jpeg", bytes_of("\xff\xd8\xff\xe0")));
  EXPECT_TRUE(begins_as("image/webp", bytes_of(webp)));
  EXPECT_TRUE(begins_as("image/avif", bytes_of(avif)));
  EXPECT_FALSE(begins_as("image/avif", bytes_of(heic)));
  EXPECT_FALSE(begins_as("image/webp", bytes_of(avif)));
  EXPECT_FALSE(begins_as("image/jpeg", bytes_of(webp)));
  EXPECT_FALSE(begins_as("image/jpeg", bytes_of("\xff\xd8")));
  EXPECT_FALSE(begins_as("image/svg+xml", bytes_of("<svg/>")));
  for (std::size_t size = 0; size < 16; ++size) EXPECT_FALSE(begins_as("image/avif", bytes_of(avif.substr(0, size))));
}

TEST(gallery_rules, utf8_is_told_from_what_only_looks_like_it) {
  for (const std::string_view good : {"", "a", "ä", "€", "😀", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf", "\xee\x80\x80"})
    EXPECT_TRUE(is_utf8(good));
  for (const std::string_view bad :
       {"\x80", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xe2\x82", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xe2\x28\xa1"})
    EXPECT_FALSE(is_utf8(bad));
}

}  // namespace
}  // namespace penstock::gallery
