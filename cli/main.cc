#include <clocale>

int main() {
  // libarchive converts names with the locale's character set.
  std::setlocale(LC_CTYPE, "C.UTF-8");
  return 0;
}
