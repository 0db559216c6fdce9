/* What the files of the compatibility rules share; others use compat.h. */
#ifndef CORE_COMPAT_RULES_H
#define CORE_COMPAT_RULES_H

#include "core/compat.h"

/* The details of a component among `facts` (live or target); NULL: none. Borrowed. */
json_t *compat_details(json_t *facts, const char *component);
bool compat_returns(const struct compat_input *input, const char *component);
/* {name: true} of all components that there are facts about. Kept in ctx. */
json_t *compat_components(const void *ctx, const struct compat_input *input);

/* schema_compatibility and schema_known */
void compat_check_schemas(const struct compat_input *input, json_t *components, struct findings *findings);

#endif
