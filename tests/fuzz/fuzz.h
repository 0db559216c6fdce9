/* What every target has: libFuzzer's entry points, which replay.c calls too. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerInitialize(int *argc, char ***argv); /* once, before the first input */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#endif
