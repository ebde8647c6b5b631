#include "CKernels.h"

static _Thread_local int in_region;

int ck_is_in_region(void) { return in_region; }
void ck_set_in_region(int is_in_region) { in_region = is_in_region; }
