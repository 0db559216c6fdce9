/* What the tests of core share: documents from text, and questions about problems and findings. */
#ifndef TESTS_CORE_GIVEN_H
#define TESTS_CORE_GIVEN_H

#include "checks.h"

#include "core/finding.h"
#include "data/json.h"
#include "data/problems.h"

static inline struct doc *given_yaml(const void *ctx, const char *text)
{
	struct err err = ERR_INIT;
	struct doc *doc = NULL;

	if (doc_parse_yaml(ctx, "given.yaml", text, strlen(text), &doc, &err) < 0)
		fail_msg("%s", err.text);
	return doc;
}

static inline json_t *given(const void *ctx, const char *text)
{
	return doc_root(given_yaml(ctx, text));
}

static inline bool has_problem(const struct problems *problems, const char *path, const char *words)
{
	for (size_t i = 0; i < problems->count; i++)
		if (strcmp(problems->list[i].path, path) == 0 && strstr(problems->list[i].text, words))
			return true;
	return false;
}

static inline void expect_problem(const struct problems *problems, const char *path, const char *words)
{
	if (!has_problem(problems, path, words))
		fail_msg("no problem at '%s' that says '%s' among:\n%s", path, words, problems_text(problems, problems));
}

static inline void expect_no_problem(const struct problems *problems)
{
	if (problems->count > 0)
		fail_msg("unexpected problems:\n%s", problems_text(problems, problems));
}

/* The same numbers for the same seed; the seed is printed by who starts it. */
static inline uint32_t random_next(uint64_t *random)
{
	*random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*random >> 33);
}

#endif
