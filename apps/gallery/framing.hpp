// framing: whether a request's head says beyond doubt where the request ends.
//
// A proxy in front of the gallery and the gallery itself must agree on it. If they do not, the rest of one request is
// taken for another one, which the proxy has never seen (request smuggling). A head is refused when two readers of
// RFC 9112 could understand it differently, although this program's parser may understand it very well.
#pragma once

#include <optional>
#include <string_view>

namespace penstock::gallery {

// Returns what is wrong with the head, nothing if it is in order:
//   Transfer-Encoding   other than one that is exactly "chunked", beside Content-Length, or before HTTP/1.1
//   Content-Length      twice, or other than digits
//   any header          folded over several lines, a blank before the colon, a name that is no token, a control
//                       character, a line feed or carriage return that ends no line
// `head`: from the request line to the empty line, both included.
[[nodiscard]] std::optional<std::string_view> framing_fault(std::string_view head);

}  // namespace penstock::gallery
