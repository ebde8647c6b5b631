// Detects the processor that the program runs on.

#include "CKernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <string.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

// Vendor, family and model, as CPUID gives them.
static void identify(ck_processor *processor) {
  unsigned a, b, c, d;
  if (!__get_cpuid(0, &a, &b, &c, &d)) return;
  char vendor[12];
  memcpy(vendor, &b, 4);
  memcpy(vendor + 4, &d, 4);
  memcpy(vendor + 8, &c, 4);
  if (memcmp(vendor, "AuthenticAMD", 12) == 0) processor->vendor = CK_AMD;
  if (memcmp(vendor, "GenuineIntel", 12) == 0) processor->vendor = CK_INTEL;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return;
  const int family = a >> 8 & 15, model = a >> 4 & 15;
  processor->family = family == 15 ? family + (int)(a >> 20 & 255) : family;
  processor->model = family == 6 || family == 15 ? model + (int)(a >> 16 & 15) * 16 : model;
}

// Whether this process may use AMX-BF16. Linux keeps the tiles of a process only after it asked for them.
static int has_amx_bf16(void) {
#if defined(__linux__)
  enum { TILE_STATES = 3 << 17, REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
  unsigned a, b, c, d, states, upper;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  const unsigned amx_bf16 = 1u << 22, amx_tile = 1u << 24;
  if ((d & (amx_bf16 | amx_tile)) != (amx_bf16 | amx_tile)) return 0;
  __asm__ volatile("xgetbv" : "=a"(states), "=d"(upper) : "c"(0));
  if ((states & TILE_STATES) != TILE_STATES) return 0;
  return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
  return 0;
#endif
}
#endif

ck_processor ck_this_processor(void) {
  ck_processor processor = {CK_OTHER_VENDOR, 0, 0, 0};
#if defined(__x86_64__)
  identify(&processor);
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c"))
    processor.features |= CK_HAS_AVX2;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    processor.features |= CK_HAS_AVX512;
  if (__builtin_cpu_supports("avx512bf16")) processor.features |= CK_HAS_AVX512_BF16;
  if (__builtin_cpu_supports("avx512vnni")) processor.features |= CK_HAS_AVX512_VNNI;
  if (has_amx_bf16()) processor.features |= CK_HAS_AMX_BF16;
#endif
  return processor;
}

int ck_best_instruction_set(void) {
  const unsigned features = ck_this_processor().features;
  if (!(features & CK_HAS_AVX2)) return CK_BASELINE;
  return features & CK_HAS_AVX512 ? CK_AVX512 : CK_AVX2;
}
