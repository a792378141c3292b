#include <clocale>

#include "cli/wiring.h"

int main(int count, char** values) {
  // libarchive converts names with the locale's character set.
  std::setlocale(LC_CTYPE, "C.UTF-8");
  if (count > 1 && hitfs::is_internal_command(values[1])) return hitfs::run_internal_command(count, values);
  return hitfs::run_command_line(count, values, hitfs::own_programs());
}
