#include <penstock/process/command_stage.hpp>

namespace penstock::process {
namespace {

run_options options_for(const item_command_options& o, std::stop_token stop) {
  run_options made;
  if (o.keep_errors) made.err = redirect::pipe();
  made.timeout = o.timeout;
  made.end = o.end;
  made.stop = std::move(stop);
  made.check = o.check;
  made.memory_bytes = o.memory_bytes;
  made.most_bytes = o.most_bytes;
  made.excess = o.excess;
  made.drain = o.drain;
  return made;
}

}  // namespace

completed run_for_item(const command& what, const item_command_options& options, std::stop_token stop) {
  return run(what, options_for(options, std::move(stop)));
}
completed run_for_item(const command_row& what, const item_command_options& options, std::stop_token stop) {
  return run(what, options_for(options, std::move(stop)));
}
completed run_for_item(fed_command what, const item_command_options& options, std::stop_token stop) {
  run_options made = options_for(options, std::move(stop));
  made.input = std::move(what.input);
  if (what.row.commands().size() == 1) return run(what.row.commands().front(), std::move(made));
  return run(what.row, std::move(made));
}

}  // namespace penstock::process
