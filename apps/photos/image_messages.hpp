// decoder_messages: what the image libraries say about the photo that this thread is working on.
//
//   forget_decoder_messages();                       // a new photo
//   decode(bytes);                                   // fails
//   throw bad_photo(decoder_cause());                // "Unexpected end of file: Extent in iloc box references ..."
//
// libvips appends every message of every thread to one text of the process, also messages of photos that are fine: a
// reason taken from it may name another photo. So this file defines the function through which libvips appends
// (vips_verror), and the dynamic linker binds libvips' own calls to it: each thread keeps its own messages. Warnings,
// which libvips gives to GLib's log, are kept too, because some decoders state the cause only there. Where libvips is
// linked in a way that does not allow this, the cause is "no reason given", which is poorer and not wrong.
//
// THREADS  Each has its own messages.
// MEMORY   The first sixteen messages of a photo.
#pragma once

#include <string>

namespace penstock::photos {

// GLib's log of libvips goes to the thread's messages from here on, not to standard error.
void keep_decoder_warnings();

void forget_decoder_messages() noexcept;

// The message that says most about why decoding failed: an error before a warning, the innermost first, and neither if
// it says only that something failed. "no reason given" if there is none.
[[nodiscard]] std::string decoder_cause();

}  // namespace penstock::photos
