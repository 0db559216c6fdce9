/* Functions that are compile errors here, each with what to use instead. */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BANNED(function, instead) use_##instead##_instead_of_##function

#undef strcpy
#define strcpy(a, b) BANNED(strcpy, mem_strdup)
#undef strcat
#define strcat(a, b) BANNED(strcat, mem_printf)
#undef strncpy
#define strncpy(a, b, n) BANNED(strncpy, mem_strndup)
#undef strncat
#define strncat(a, b, n) BANNED(strncat, mem_printf)
#undef sprintf
#define sprintf(...) BANNED(sprintf, snprintf)
#undef vsprintf
#define vsprintf(...) BANNED(vsprintf, vsnprintf)
#undef system
#define system(a) BANNED(system, proc_run)
#undef popen
#define popen(a, b) BANNED(popen, proc_run)
#undef strtok
#define strtok(a, b) BANNED(strtok, strsep)

#endif
