/* project.c: what a project file says, and what is told about one that is wrong. */
#include "given.h"

#include "base/text.h"
#include "core/access.h"
#include "core/project.h"

struct files_params {
	const char **paths;
	int64_t timeout_ms;
	json_t *token;
};
static const struct field files_fields[] = { FIELD_LIST(struct files_params, paths, REQUIRED, "files"),
	FIELD_MS(struct files_params, timeout_ms, DEFAULT("5s"), "limit"), FIELD_SECRET(struct files_params, token, OPTIONAL, "token"),
	FIELD_END };
struct http_params {
	const char *url;
};
static const struct field http_fields[] = { FIELD_STR(struct http_params, url, REQUIRED, "address"), FIELD_END };
static const struct field no_fields[] = { FIELD_END };

static int only_urls(const char *recipient, struct err *err)
{
	return text_starts_with(recipient, "https://") ? 0 : err_set(err, ERR_INVALID, "'%s' is no URL", recipient);
}

static const struct driver driver_files = { .name = "files",
	.kind = DRIVER_CONFIG,
	.fields = files_fields,
	.params_size = sizeof(struct files_params) },
			   driver_flags = { .name = "flags", .kind = DRIVER_FLAGS, .fields = no_fields };
static const struct driver *const drivers[] = { &driver_files, &driver_flags, NULL };
static const struct probe probe_http = { .name = "http", .fields = http_fields, .params_size = sizeof(struct http_params) };
static const struct probe *const probes[] = { &probe_http, NULL };
static const struct channel channel_webhook = { .name = "webhook", .fields = no_fields, .check_recipient = only_urls };
static const struct channel *const channels[] = { &channel_webhook, NULL };
static const struct catalogue catalogue = { .drivers = drivers, .probes = probes, .channels = channels };

static bool knows_vercel(void *user, const char *driver)
{
	return strcmp(driver, "vercel") == 0;
}

static struct project *read_text(const void *ctx, const char *text, struct problems **ret)
{
	struct doc *doc = given_yaml(ctx, text);

	*ret = problems_new(ctx, doc);
	return project_read(ctx, doc, &catalogue, knows_vercel, NULL, *ret);
}

static const char whole[] =
	"project: shop\n"
	"environments:\n"
	"  production:\n"
	"    protected: true\n"
	"    components:\n"
	"      api: {driver: vercel, anything: 1, critical: true, needs: [config, flags]}\n"
	"      config: {driver: files, paths: [.env, config.json], timeout: 1m, token: {env: TOKEN}}\n"
	"      flags: {driver: flags}\n"
	"    probes:\n"
	"      api-http: {type: http, url: 'http://127.0.0.1:1/', every: 10s, timeout: 2, component: api}\n"
	"      home: {type: http, url: 'http://127.0.0.1:1/'}\n"
	"    triggers:\n"
	"      errors: {signal: error_rate, above: 1%, for: 5m, action: rollback, something: of-later}\n"
	"    notify: [{channel: webhook, recipients: ['https://a'], on: [failed]}, {channel: webhook, recipients: 'https://b'}]\n"
	"    objectives: {rollback: 30s, stable: 1h30m}\n"
	"  staging: {components: {}}\n"
	"snapshots: {keep: 5, keepWithin: 2h, verify: {every: 1h, share: 25%}, seal: {key: {file: /etc/seal.key}, version: 3, previous: {1: {env: FORMER}}}}\n"
	"store: postgres://unship@db/unship\n";

static void everything(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems;
	struct project *project = read_text(ctx, whole, &problems);
	struct environment *production;
	struct component *api;

	expect_no_problem(problems);
	assert_string_equal(project->name, "shop");
	assert_int_equal(project->snapshots.keep, 5);
	assert_int_equal(project->snapshots.keep_within_ms, 7200000);
	assert_int_equal(project->snapshots.verify_ms, 3600000);
	assert_true(project->snapshots.verify_share > 0.249 && project->snapshots.verify_share < 0.251);
	assert_int_equal(project->snapshots.key_count, 2);
	assert_int_equal(project->snapshots.keys[0].version, 3);
	assert_int_equal(project->snapshots.keys[1].version, 1);
	assert_string_equal(json_str(project->snapshots.keys[1].key, "env", ""), "FORMER");
	assert_string_equal(project->store, "postgres://unship@db/unship");
	assert_int_equal(project->environment_count, 2);
	production = project_environment(project, "production");
	assert_non_null(production);
	assert_true(production->protected);
	assert_int_equal(production->component_count, 3);
	api = environment_component(production, "api");
	assert_string_equal(api->driver, "vercel");
	assert_true(api->critical);
	assert_string_equal(api->needs[0], "config");
	assert_string_equal(api->needs[1], "flags");
	assert_null(api->needs[2]);
	assert_string_equal(api->path, "environments.production.components.api");
	assert_int_equal(json_int(api->config, "anything", 0), 1);
	assert_false(environment_component(production, "config")->critical);
	assert_null(environment_component(production, "config")->needs[0]);
	assert_null(environment_component(production, "none"));
	assert_int_equal(production->probe_count, 2);
	assert_int_equal(production->probes[0].every_ms, 10000);
	assert_int_equal(production->probes[0].timeout_ms, 2000);
	assert_string_equal(production->probes[0].component, "api");
	assert_int_equal(production->probes[1].every_ms, 30000);
	assert_int_equal(production->probes[1].timeout_ms, 5000);
	assert_null(production->probes[1].component);
	assert_int_equal(production->notify_count, 2);
	assert_string_equal(production->notify[0].on[0], "failed");
	assert_null(production->notify[0].on[1]);
	assert_string_equal(production->notify[1].recipients[0], "https://b");
	assert_string_equal(production->notify[1].on[0], "start");
	assert_int_equal(production->objectives.rollback_ms, 30000);
	assert_int_equal(production->objectives.flags_off_ms, 10000);
	assert_int_equal(production->objectives.notify_ms, 10000);
	assert_int_equal(production->objectives.health_ms, 120000);
	assert_int_equal(production->objectives.stable_ms, 5400000);
	assert_non_null(json_object_get(production->triggers, "errors"));
	assert_null(project_environment(project, "staging")->triggers);
	assert_int_equal(project_environment(project, "staging")->objectives.rollback_ms, 60000);
}

static void defaults(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems;
	struct project *project = read_text(ctx, "project: p\nenvironments: {dev: {components: {f: {driver: flags}}}}\n", &problems);

	expect_no_problem(problems);
	assert_int_equal(project->snapshots.keep, 20);
	assert_int_equal(project->snapshots.key_count, 0);
	assert_string_equal(project->store, "sqlite");
	assert_false(project->environments[0].protected);
	assert_int_equal(project->environments[0].notify_count, 0);
	assert_int_equal(project->environments[0].approvals.required, 0);
	assert_int_equal(project->environments[0].approvals.permissions, 0);
}

static void approvals(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems;
	struct project *project = read_text(ctx,
		"project: p\nenvironments:\n  a: {components: {}, approvals: {required: 2}}\n"
		"  b: {components: {}, approvals: {required: 1, expires: 5m, for: force}}\n",
		&problems);

	expect_no_problem(problems);
	assert_int_equal(project->environments[0].approvals.required, 2);
	assert_int_equal(project->environments[0].approvals.expires_ms, 3600000);
	assert_int_equal(project->environments[0].approvals.permissions,
		PERMISSION_BIT(PERMIT_EXECUTE) | PERMISSION_BIT(PERMIT_FORCE) | PERMISSION_BIT(PERMIT_EMERGENCY));
	assert_int_equal(project->environments[1].approvals.expires_ms, 300000);
	assert_int_equal(project->environments[1].approvals.permissions, PERMISSION_BIT(PERMIT_FORCE));
}

/* Each with what stands in the environment of a project that is otherwise right. */
static void environment_problems(void **state)
{
	/* clang-format off */
	static const struct {
		const char *text, *path, *words;
	} cases[] = {
		{ "components: {api: {driver: flag}}", "components.api.driver", "did you mean 'flags'" },
		{ "components: {api: {driver: zzz}}", "components.api.driver", "unknown driver 'zzz'" },
		{ "components: {api: {}}", "components.api.driver", "required" },
		{ "components: {api: {driver: files, pathes: [a], paths: [a]}}", "components.api.pathes", "paths" },
		{ "components: {api: {driver: files, paths: [a], critcal: true}}", "components.api.critcal", "critical" },
		{ "components: {api: {driver: files}}", "components.api.paths", "required" },
		{ "components: {api: {driver: files, paths: [a], timeout: soon}}", "components.api.timeout", "" },
		{ "components: {api: {driver: files, paths: [a], token: hunter2}}", "components.api.token", "secret" },
		{ "components: {api: {driver: flags, needs: [web]}, wed: {driver: flags}}", "components.api.needs[0]", "did you mean 'wed'" },
		{ "components: {api: {driver: flags, needs: [web, web]}, web: {driver: flags}}", "components.api.needs[1]", "twice" },
		{ "components: {a: {driver: flags, needs: [b]}, b: {driver: flags, needs: [c]}, c: {driver: flags, needs: [a]}}", "components", "a -> b -> c -> a" },
		{ "components: {a: {driver: flags, needs: [a]}}", "components", "a -> a" },
		{ "components: {a: {driver: files, paths: [x], sandbox: {path: [y]}}}", "components.a.sandbox.path", "did you mean 'paths'" },
		{ "components: {a: {driver: files, paths: [x], sandbox: {timeout: soon, paths: ['${sandbox.dir}/x']}}}", "components.a.sandbox.timeout", "duration" },
		{ "components: {a: {driver: files, paths: [x], sandbox: y}}", "components.a.sandbox", "" },
		{ "components: {}\n    probes: {p: {type: http, url: u, sandbox: {ur: x}}}", "probes.p.sandbox.ur", "did you mean 'url'" },
		{ "components: {a: {driver: flags, drain: {limit: 1s}}}", "components.a.drain", "only a service" },
		{ "components: {a: {driver: vercel, drain: {paus: [x]}}}", "components.a.drain.paus", "did you mean 'pause'" },
		{ "components: {a: {driver: vercel, drain: {onLimit: stop}}}", "components.a.drain.onLimit", "fail" },
		{ "components: {a: {driver: vercel, drain: {idle: {probe: {type: htp}}}}}", "components.a.drain.idle.probe.type", "did you mean 'http'" },
		{ "components: {a: {driver: vercel, drain: {idle: {probe: {type: http}}}}}", "components.a.drain.idle.probe.url", "required" },
		{ "components: {a: {driver: vercel, drain: {idle: {argv: [x], probe: {type: http, url: u}}}}}", "components.a.drain", "not both" },
		{ "components: {jobs: {driver: flags}, a: {driver: vercel, drain: {requeue: {queues: [jops]}}}}", "components.a.drain.requeue.queues[0]", "did you mean 'jobs'" },
		{ "components: {jobs: {driver: flags}, a: {driver: vercel, drain: {requeue: {queues: [jobs]}}}}", "components.a.drain.requeue.queues[0]", "has no `queues`" },
		{ "components: {a b: {driver: flags}}", "components[\"a b\"]", "not a name" },
		{ "components: {a: 3}", "components.a", "" },
		{ "components: [a]", "components", "" },
		{ "protected: perhaps\n    components: {}", "protected", "" },
		{ "protectet: true\n    components: {}", "protectet", "protected" },
		{ "components: {}\n    probes: {p: {type: htttp, url: x}}", "probes.p.type", "did you mean 'http'" },
		{ "components: {}\n    probes: {p: {type: http}}", "probes.p.url", "required" },
		{ "components: {}\n    probes: {p: {type: http, url: x, evry: 3}}", "probes.p.evry", "every" },
		{ "components: {}\n    probes: {p: {type: http, url: x, every: 0}}", "probes.p.every", "" },
		{ "components: {}\n    probes: {p: {type: http, url: x, timeout: 0}}", "probes.p.timeout", "" },
		{ "components: {api: {driver: flags}}\n    probes: {p: {type: http, url: x, component: apj}}", "probes.p.component", "did you mean 'api'" },
		{ "components: {}\n    notify: {channel: webhook}", "notify", "list" },
		{ "components: {}\n    notify: [{channel: webhok, recipients: ['https://a']}]", "notify[0].channel", "did you mean 'webhook'" },
		{ "components: {}\n    notify: [{channel: webhook, recipients: ['https://a', ops]}]", "notify[0].recipients[1]", "no URL" },
		{ "components: {}\n    notify: [{channel: webhook, recipients: []}]", "notify[0].recipients", "" },
		{ "components: {}\n    notify: [{channel: webhook, recipients: ['https://a'], on: [complete]}]", "notify[0].on[0]", "did you mean 'completed'" },
		{ "components: {}\n    notify: [{channel: webhook, recipients: ['https://a'], on: [failed, failed]}]", "notify[0].on[1]", "twice" },
		{ "components: {}\n    notify: [{channel: webhook, recipients: ['https://a'], to: x}]", "notify[0].to", "" },
		{ "components: {}\n    triggers: {t: {signl: x}}", "triggers.t.signl", "did you mean 'signal'" },
		{ "components: {}\n    triggers: {t: {signal: x, action: explode}}", "triggers.t.action", "rollback, approve or alert" },
		{ "components: {}\n    triggers: {t: 3}", "triggers.t", "rule" },
		{ "components: {}\n    objectives: {rolback: 3}", "objectives.rolback", "rollback" },
		{ "components: {}\n    objectives: {flags_off: 3, flagsOff: 3}", "objectives.flagsOff", "same" },
		{ "components: {}\n    objectives: {rollback: never}", "objectives.rollback", "" },
		{ "components: {}\n    approvals: {requird: 1}", "approvals.requird", "required" },
		{ "components: {}\n    approvals: {required: 21}", "approvals.required", "" },
		{ "components: {}\n    approvals: {required: 1, expires: 1s}", "approvals.expires", "" },
		{ "components: {}\n    approvals: {required: 1, for: [execut]}", "approvals.for[0]", "permission" },
		{ "components: {}\n    approvals: {required: 1, for: [execute, view]}", "approvals.for[1]", "execute, force or emergency" },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		char *path = mem_printf(ctx, "environments.e.%s", cases[i].path);
		struct problems *problems;

		assert_non_null(read_text(ctx, mem_printf(ctx, "project: p\nenvironments:\n  e:\n    %s\n", cases[i].text), &problems));
		if (!has_problem(problems, path, cases[i].words))
			fail_msg("%s\nwanted a problem at %s that says '%s', found:\n%s", cases[i].text, path, cases[i].words,
				problems_text(problems, problems));
		if (problems->count != 1)
			fail_msg("%s\nwanted one problem, found:\n%s", cases[i].text, problems_text(problems, problems));
		assert_true(problems->list[0].line >= 4);
	}
}

static void project_problems(void **state)
{
	/* clang-format off */
	static const struct {
		const char *text, *path, *words;
	} cases[] = {
		{ "environments: {e: {components: {}}}\n", "project", "required" },
		{ "project: p\n", "environments", "required" },
		{ "project: p\nenvironments: {}\n", "environments", "at least one" },
		{ "project: p\nenvironments: {e: {}}\n", "environments.e.components", "required" },
		{ "project: p\nenvironments: {e: }\n", "environments.e", "" },
		{ "project: p\nenvironments: {../e: {components: {}}}\n", "environments[\"../e\"]", "not a name" },
		{ "project: p\nenviroments: {}\nenvironments: {e: {components: {}}}\n", "enviroments", "environments" },
		{ "project: p\nenvironments: {e: {components: {}}}\nstore: mysql\n", "store", "no store" },
		{ "project: p\nenvironments: {e: {components: {}}}\nstore: mysql://u:secret@h/d\n", "store", "no store" },
		{ "project: p\nenvironments: {e: {components: {}}}\nstore: postgres://u:secret@h/d\n", "store", "password" },
		{ "project: p\nenvironments: {e: {components: {}}}\nstore: postgres://h/d?password=secret\n", "store", "password" },
		{ "project: p\nenvironments: {e: {components: {}}}\nsnapshots: {keep: 0}\n", "snapshots.keep", "" },
		{ "project: p\nenvironments: {e: {components: {}}}\nsnapshots: {seal: {key: abc}}\n", "snapshots.seal.key", "secret" },
		{ "project: p\nenvironments: {e: {components: {}}}\nsnapshots: {seal: {}}\n", "snapshots.seal.key", "required" },
		{ "[]\n", "", "" },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_talloc_ void *ctx = mem_context(NULL);
		struct problems *problems;

		assert_non_null(read_text(ctx, cases[i].text, &problems));
		if (!has_problem(problems, cases[i].path, cases[i].words))
			fail_msg("%swanted a problem at %s that says '%s', found:\n%s", cases[i].text, cases[i].path, cases[i].words,
				problems_text(problems, problems));
		for (size_t k = 0; k < problems->count; k++)
			assert_null(strstr(problems->list[k].text, "secret@")); /* never shown */
	}
}

/* Several mistakes are told together. */
static void all_at_once(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems;

	(void)read_text(ctx,
		"project: p\nstor: x\nenvironments:\n  e:\n    components:\n      a: {driver: nope}\n      b: {driver: files}\n"
		"      c: {driver: flags, needs: [z]}\n",
		&problems);
	assert_int_equal(problems->count, 4);
}

static void without_catalogue(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct doc *doc = given_yaml(ctx,
		"project: p\nenvironments: {e: {components: {a: {driver: zzz, x: 1}}, notify: [{channel: c, recipients: [r], x: 1}]}}\n");
	struct problems *problems = problems_new(ctx, doc);

	(void)project_read(ctx, doc, NULL, NULL, NULL, problems);
	expect_no_problem(problems);
}

/* A file as large as people write them, with drivers that are known elsewhere. */
static void a_larger_one(void **state)
{
	static const char text[] =
		"project: shop\n"
		"environments:\n"
		"  production:\n"
		"    protected: true                  # force and emergency need more\n"
		"    components:\n"
		"      api:     {driver: docker-compose, file: compose.yaml, service: api, critical: true, needs: [db]}\n"
		"      web:     {driver: vercel, project: shop-web, alias: shop.example, token: {file: /run/secrets/vercel}}\n"
		"      db:      {driver: postgres, dsn: {env: DATABASE_URL}, migrations: {tool: dbmate, dir: db/migrations}}\n"
		"      config:  {driver: files, paths: [.env.production, config/production.json]}\n"
		"      proxy:   {driver: evm-uups, rpc: \"http://127.0.0.1:8545\", proxy: \"0xab\", key: {file: /run/secrets/owner-key}}\n"
		"    probes:\n"
		"      api-http: {type: http, url: \"http://127.0.0.1:8080/health\", every: 30s, timeout: 2s, component: api}\n"
		"    triggers:\n"
		"      errors:   {signal: error_rate, above: 1%, for: 5m, action: rollback}\n"
		"    notify:     [{channel: email, recipients: [ops@example.com], on: [start, completed, failed, emergency]}]\n"
		"    objectives: {rollback: 50s, flags_off: 9s, notify: 8s, health: 1m, stable: 14m}\n"
		"snapshots: {keep: 20, seal: {key: {file: /etc/unship/seal.key}}}\n"
		"store: sqlite\n";
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct doc *doc = given_yaml(ctx, text);
	struct problems *problems = problems_new(ctx, doc);
	struct project *project = project_read(ctx, doc, NULL, NULL, NULL, problems);

	expect_no_problem(problems);
	assert_int_equal(project->environments[0].objectives.rollback_ms, 50000);
	assert_int_equal(project->environments[0].objectives.flags_off_ms, 9000);
	assert_int_equal(project->environments[0].objectives.stable_ms, 840000);
}

static void finding(void **state)
{
	_cleanup_talloc_ void *ctx = mem_context(NULL);
	struct problems *problems;
	struct project *project = read_text(ctx, whole, &problems);
	struct environment *environment;
	struct err err = ERR_INIT;

	assert_int_equal(project_find_environment(project, "staging", &environment, &err), 0);
	assert_string_equal(environment->name, "staging");
	assert_int_equal(project_find_environment(project, "prodution", &environment, &err), -ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "did you mean 'production'"));
	assert_non_null(strstr(err.text, "there are production, staging"));
}

static void a_public_address_is_that_of_a_whole_host(void **state)
{
	static const struct {
		const char *url, *host;
	} cases[] = { { "https://unship.example", "unship.example" }, { "https://unship.example:8443", "unship.example" },
		{ "http://[::1]:80", "[::1]" }, { "http://unship.example", NULL }, { "https://unship.example/", NULL },
		{ "https://unship.example/a", NULL }, { "unship.example", NULL } };
	_cleanup_talloc_ void *ctx = mem_context(NULL);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct problems *problems;
		struct project *project = read_text(ctx,
			mem_printf(ctx,
				"project: a\nserver: {hosts: [b], publicUrl: '%s'}\nenvironments: {p: {components: {f: {driver: flags}}}}\n",
				cases[i].url),
			&problems);

		if (!cases[i].host) {
			expect_problem(problems, "server.publicUrl", "");
			assert_null(project->server.public_url);
			continue;
		}
		expect_no_problem(problems);
		assert_string_equal(project->server.hosts[0], "b");
		assert_string_equal(project->server.hosts[1], cases[i].host);
		assert_null(project->server.hosts[2]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything),
		cmocka_unit_test(defaults),
		cmocka_unit_test(approvals),
		cmocka_unit_test(environment_problems),
		cmocka_unit_test(project_problems),
		cmocka_unit_test(all_at_once),
		cmocka_unit_test(without_catalogue),
		cmocka_unit_test(a_larger_one),
		cmocka_unit_test(finding),
		cmocka_unit_test(a_public_address_is_that_of_a_whole_host),
	};

	json_setup();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
