/// CALL(name, ...) calls the version of a function for the instruction set in `set`.
#ifndef CK_DISPATCH_H
#define CK_DISPATCH_H

#if defined(__x86_64__)
#define CALL(name, ...)                                                                 \
  (set == CK_AVX512 ? name##_avx512(__VA_ARGS__)                                        \
   : set == CK_AVX2 ? name##_avx2(__VA_ARGS__)                                          \
                    : name##_baseline(__VA_ARGS__))
#else
#define CALL(name, ...) ((void)set, name##_baseline(__VA_ARGS__))
#endif

#endif
