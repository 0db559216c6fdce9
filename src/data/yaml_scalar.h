/* Plain scalars of YAML, and libyaml's complaints in words. Private to this folder; the rules stand in doc.h. */
#ifndef DATA_YAML_SCALAR_H
#define DATA_YAML_SCALAR_H

#include <jansson.h>
#include <yaml.h>

#include "base/mem.h"

/* New reference to the value of a plain scalar; NULL and a sentence in *ret_problem when it stands for no value that can be kept. */
json_t *yaml_plain(const char *text, size_t length, const char **ret_problem);

/* What a person can do with the parser's error. `text` is the whole document. */
char *yaml_explain(const void *ctx, const yaml_parser_t *parser, const char *text, size_t size);

#endif
