// libFuzzer calls this function for each input; the readers are FuzzTarget in Tests/TestSupport.

#include <stddef.h>
#include <stdint.h>

void rilq_fuzz(const uint8_t *bytes, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
  rilq_fuzz(bytes, count);
  return 0;
}
