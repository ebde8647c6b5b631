// libFuzzer calls this function for each input; the readers are FuzzTarget in Tests/TestSupport.

#include <stddef.h>
#include <stdint.h>

void rilq_fuzz(const uint8_t *bytes, size_t count);

/// Reads nothing once before the clock of an input starts: some targets make a small model first.
int LLVMFuzzerInitialize(int *count, char ***arguments) {
  (void)count;
  (void)arguments;
  rilq_fuzz(NULL, 0);
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count) {
  rilq_fuzz(bytes, count);
  return 0;
}
