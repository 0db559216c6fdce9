/* Decides per component what goes back, what is stopped, started, cleared, and what stays as it is, and says so in words. Pure; any
 * thread. */
#include "core/parts.h"

#include "base/text.h"
#include "core/graph.h"
#include "core/migrating.h"
#include "data/json.h"

void parts_leave(struct parts *parts, const char *format, ...)
{
	va_list arguments;
	size_t count = parts->left_count;

	/* One more than there are, for the NULL at the end. */
	if (((count + 1) & count) == 0)
		parts->left = mem_resize(parts, parts->left, const char *, (count + 1) * 2);
	va_start(arguments, format);
	parts->left[count] = mem_vprintf(parts, format, arguments);
	va_end(arguments);
	parts->left[count + 1] = NULL;
	parts->left_count = count + 1;
}

/* Needs: order, and who needs whom through others. */

static int order_components(struct parts *parts, struct err *err)
{
	_cleanup_talloc_ void *tmp = mem_context(NULL);
	struct graph *graph = graph_new(tmp, parts->count);
	json_t *index = json_keep(tmp, json_object());
	size_t *cycle, cycle_count;
	char *text;

	for (size_t i = 0; i < parts->count; i++)
		json_object_set_new(index, parts->list[i].component->name, json_integer((json_int_t)i));
	for (size_t i = 0; i < parts->count; i++)
		for (const char **need = parts->list[i].component->needs; *need; need++) {
			json_t *position = json_object_get(index, *need);

			if (position)
				graph_need(graph, i, (size_t)json_integer_value(position));
		}
	if (!graph_order(parts, graph, &parts->order, &cycle, &cycle_count)) {
		text = mem_strdup(tmp, parts->list[cycle[0]].component->name);
		for (size_t i = 1; i < cycle_count; i++)
			text = mem_appendf(text, " -> %s", parts->list[cycle[i]].component->name);
		talloc_free(cycle);
		return err_set(err, ERR_INVALID, "components need each other in a circle: %s", text);
	}
	for (size_t i = 0; i < parts->count; i++) {
		size_t item = parts->order[i];
		uint64_t *set = parts->needs + item * parts->words;

		for (size_t k = 0; k < graph->need_count[item]; k++) {
			size_t need = graph->needs[item][k];

			SET_ADD(set, need);
			for (size_t w = 0; w < parts->words; w++)
				set[w] |= parts->needs[need * parts->words + w];
		}
	}
	for (size_t a = 0; a < parts->count; a++)
		for (size_t b = 0; b < parts->count; b++)
			if (SET_HAS(parts->needs + a * parts->words, b))
				SET_ADD(parts->needed_by + b * parts->words, a);
	return 0;
}

/* What a critical component needs has to come first as well, or the critical one cannot. */
static void find_critical(struct parts *parts)
{
	for (size_t i = 0; i < parts->count; i++) {
		if (!parts->list[i].component->critical)
			continue;
		SET_ADD(parts->critical, i);
		for (size_t w = 0; w < parts->words; w++)
			parts->critical[w] |= parts->needs[i * parts->words + w];
	}
}

/* What is there and what was recorded */

static bool is_selected(const struct generate_input *input, const char *name)
{
	if (!input->only)
		return true;
	for (const char **only = input->only; *only; only++)
		if (strcmp(*only, name) == 0)
			return true;
	return false;
}

static int check_only(const struct generate_input *input, struct err *err)
{
	_cleanup_talloc_ const char **names = mem_array(NULL, const char *, input->environment->component_count + 1);
	const char *nearest;

	for (size_t i = 0; i < input->environment->component_count; i++)
		names[i] = input->environment->components[i].name;
	for (const char **only = input->only; only && *only; only++) {
		if (environment_component(input->environment, *only))
			continue;
		nearest = text_nearest(*only, names);
		return err_set(err, ERR_NOT_FOUND, "environment '%s' has no component '%s'%s%s%s", input->environment->name, *only,
			nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
	}
	return 0;
}

static void read_part(struct parts *parts, struct part *part, const struct component *component)
{
	const struct generate_input *input = parts->input;
	json_t *observed = json_object_get(input->observed, component->name),
	       *recorded = json_object_get(input->target->components, component->name);

	*part = (struct part){
		.component = component,
		.kind = input->kind_of(input->user, component->driver),
		.selected = is_selected(input, component->name),
		.recorded = json_is_object(recorded),
		.from = json_str(observed, "version", NULL),
		.to = json_str(recorded, "version", NULL),
		.from_state = json_str(observed, "state", NULL),
		.to_state = json_str(recorded, "state", NULL),
		.from_details = json_object_get(observed, "details"),
		.to_details = json_object_get(recorded, "details"),
	};
}

static bool same_text(const char *a, const char *b)
{
	return a && b && strcmp(a, b) == 0;
}

/* Differences inside of a component */

/* Columns as "table.column" -> type. */
static json_t *flat_schema(const void *ctx, json_t *details)
{
	json_t *flat = json_keep(ctx, json_object()), *table, *column;
	const char *table_name, *column_name;

	json_object_foreach(json_object_get(json_object_get(details, "schema"), "tables"), table_name, table)
		json_object_foreach(json_object_get(table, "columns"), column_name, column) {
			_cleanup_talloc_ char *name = mem_printf(NULL, "%s.%s", table_name, column_name);

			json_put(flat, name, json_object_get(column, "type"));
		}
	return flat;
}

static void add_item(json_t *items, const char *name, json_t *from, json_t *to)
{
	json_t *item = json_object();

	json_put_str(item, "name", name);
	json_object_set(item, "from", from ? from : json_null());
	json_object_set(item, "to", to ? to : json_null());
	json_array_append_new(items, item);
}

static json_t *item_differences(const void *ctx, json_t *from, json_t *to)
{
	json_t *items = json_keep(ctx, json_array()), *value;
	const char *name;

	json_object_foreach(to, name, value)
		if (!json_equal(value, json_object_get(from, name)))
			add_item(items, name, json_object_get(from, name), value);
	json_object_foreach(from, name, value)
		if (!json_object_get(to, name))
			add_item(items, name, value, NULL);
	return json_array_size(items) ? items : NULL;
}

static void find_items(struct parts *parts, struct part *part)
{
	json_t *from = part->from_details, *to = part->to_details;

	if (!part->recorded || !from || !to)
		return;
	switch (part->kind) {
	case DRIVER_FLAGS:
		part->items = item_differences(parts, json_object_get(from, "flags"), json_object_get(to, "flags"));
		break;
	case DRIVER_CONFIG:
		part->items = item_differences(parts, json_object_get(from, "configKeys"), json_object_get(to, "configKeys"));
		break;
	case DRIVER_DATA:
		part->items = item_differences(parts, flat_schema(parts, from), flat_schema(parts, to));
		break;
	default:
		break;
	}
}

/* Decisions */

static bool is_flag_state(json_t *value)
{
	return json_is_boolean(value) || (json_is_string(value) && json_string_length(value) > 0);
}

/* `taken`: flags that an earlier component sets already; one flag gets one step. */
static void decide_flags(struct parts *parts, struct part *part, json_t *taken)
{
	const char *owner = part->component->name, *name;
	json_t *now = json_object_get(part->from_details, "flags"), *then = json_object_get(part->to_details, "flags"), *value;

	part->flags = json_keep(parts, json_object());
	json_object_foreach(then, name, value) {
		if (json_equal(value, json_object_get(now, name)) || json_object_get(taken, name))
			continue;
		if (!text_is_name(name) || !is_flag_state(value)) {
			parts_leave(parts, "%s: flag '%s' cannot be set back: its name or recorded state is not one that a step can have.",
				owner, name);
			continue;
		}
		json_put(taken, name, value);
		json_put(part->flags, name, value);
	}
	json_object_foreach(now, name, value)
		if (then && !json_object_get(then, name))
			parts_leave(parts, "%s: flag '%s' is newer than the target and stays as it is.", owner, name);
	part->returns = json_object_size(part->flags) > 0;
}

static const char *version_text(const char *version)
{
	return !version ? "unknown" : *version ? version : "nothing";
}

/* A service that was stopped with the target and is stopped now is not wanted. */
static bool stays_stopped(const struct part *part)
{
	return same_text(part->from_state, "stopped") && same_text(part->to_state, "stopped");
}

/* The data is preserved. May its schema have to go back, so that the older code can work on it? */
static bool goes_back(struct parts *parts, struct part *part)
{
	const char *name = part->component->name, *to = json_str(part->to_details, "migration", "");
	json_t *present = json_object_get(json_object_get(parts->input->present, name), "details"), *between;

	if (!migration_wanted(part->component, part->from_details, part->to_details))
		return false;
	switch (migration_way(part->from_details, part->to_details)) {
	case MIGRATION_UNKNOWN:
	case MIGRATION_SAME:
		return false;
	case MIGRATION_APART:
		parts_leave(parts, "%s: its migration %s of the target is not applied now, so no migration leads back to it.", name, to);
		return false;
	case MIGRATION_BACK:
		break;
	}
	between = migrations_between(part->from_details, to);
	part->note = mem_printf(parts, "data is preserved, %s taken back", text_count(parts, json_array_size(between), "migration"));
	json_decref(between);
	part->migrate_to = to;
	part->scripts = json_keep(parts, migration_scripts(part->from_details, present, to, &part->scripts_kept));
	part->returns = true;
	return true;
}

/* Why nothing can be decided about the component from what was recorded; true when it stays. */
static bool stays(struct parts *parts, struct part *part)
{
	const char *name = part->component->name;
	bool differs = part->recorded && !same_text(part->from, part->to);

	if (!part->selected) {
		part->note = "stays: not among the targets";
		if (differs)
			parts_leave(parts, "%s: stays at %s (the target had %s), because it is not among the components to take back.",
				name, version_text(part->from), version_text(part->to));
		return true;
	}
	if (part->kind == DRIVER_CACHE)
		return false;
	if (!part->recorded) {
		part->note = "stays: not recorded with the target";
		parts_leave(parts, "%s: stays as it is, because it was not recorded with the target deployment.", name);
		return true;
	}
	if (part->kind == DRIVER_DATA && parts->input->preserve_data) {
		if (goes_back(parts, part))
			return true;
		part->note = "stays: data is preserved";
		if (differs || part->items)
			parts_leave(parts, "%s: its data is preserved and stays as it is (now %s, with the target %s).", name,
				version_text(part->from), version_text(part->to));
		else
			parts_leave(parts, "%s: its data is preserved and stays as it is.", name);
		return true;
	}
	if (part->kind != DRIVER_FLAGS && (!part->to || !*part->to)) {
		part->note = "stays: nothing was there when the target was recorded";
		if (differs)
			parts_leave(parts, "%s: stays at %s, because nothing was there when the target was recorded.", name,
				version_text(part->from));
		return true;
	}
	return false;
}

static void decide_content(struct parts *parts, struct part *part, json_t *taken)
{
	find_items(parts, part);
	if (stays(parts, part))
		return;
	switch (part->kind) {
	case DRIVER_FLAGS:
		decide_flags(parts, part, taken);
		break;
	case DRIVER_CACHE:
		break;
	case DRIVER_DATA:
		/* Equal versions say that the schema is the same, not that the rows are. */
		part->returns = true;
		part->note = "restored whole: newer rows are lost";
		break;
	case DRIVER_SERVICE:
		part->returns = !same_text(part->from, part->to) && !stays_stopped(part);
		break;
	case DRIVER_CODE:
	case DRIVER_CONFIG:
	case DRIVER_TRAFFIC:
	case DRIVER_COMMAND:
		part->returns = !same_text(part->from, part->to);
		if (part->returns && !part->from)
			part->note = "what is there now could not be observed";
		break;
	}
}

/* The first component that `item` needs, directly or not, and that goes back; NULL: none. */
static const struct part *returning_need(const struct parts *parts, size_t item)
{
	for (size_t i = 0; i < parts->count; i++)
		if (parts->list[i].returns && SET_HAS(parts->needs + item * parts->words, i))
			return &parts->list[i];
	return NULL;
}

static void decide_service(struct parts *parts, size_t item)
{
	struct part *part = &parts->list[item];
	const struct part *need = returning_need(parts, item);
	bool is_down = same_text(part->from_state, "stopped");

	if (!part->selected)
		return;
	if (stays_stopped(part)) {
		part->note = "stays stopped, as it was with the target";
	} else if (part->returns || need) {
		part->stops = !is_down;
		part->starts = true;
		if (!part->returns)
			part->note = mem_printf(parts, "restart: needs %s", need->component->name);
	} else if (is_down && part->recorded) {
		part->starts = true;
		part->note = "start: it is stopped, and ran with the target";
	}
}

static void warn_left_behind(struct parts *parts, size_t item)
{
	const struct part *part = &parts->list[item], *need = returning_need(parts, item);

	if (parts->input->only && !part->selected && need)
		parts_leave(parts,
			"Warning: %s needs %s, which is taken back, but stays as it is itself; it may not run with the older one%s.",
			part->component->name, need->component->name, part->kind == DRIVER_SERVICE ? ", and is not restarted" : "");
}

static void decide_cache(struct parts *parts, struct part *part)
{
	if (part->kind != DRIVER_CACHE || !part->selected)
		return;
	for (size_t i = 0; i < parts->count; i++)
		part->clears |= parts->list[i].returns && parts->list[i].kind != DRIVER_FLAGS;
	part->note = part->clears ? "cleared: it may hold what the newer version made" : NULL;
}

static void decide(struct parts *parts)
{
	json_t *taken = json_keep(parts, json_object()), *value;
	const char *name;

	for (size_t i = 0; i < parts->count; i++)
		decide_content(parts, &parts->list[i], taken);
	for (size_t i = 0; i < parts->count; i++) {
		if (parts->list[i].kind == DRIVER_SERVICE)
			decide_service(parts, i);
		decide_cache(parts, &parts->list[i]);
		warn_left_behind(parts, i);
	}
	json_object_foreach(parts->input->target->components, name, value)
		if (!environment_component(parts->input->environment, name))
			parts_leave(parts,
				"%s: was recorded with the target, but is no longer in the project file; it is not brought back.", name);
}

int parts_make(const void *ctx, const struct generate_input *input, struct parts **ret, struct err *err)
{
	const struct environment *environment = input->environment;
	struct parts *parts;
	int r;

	r = check_only(input, err);
	if (r < 0)
		return r;
	parts = mem_zero(ctx, struct parts);
	parts->input = input;
	parts->count = environment->component_count;
	parts->words = SET_WORDS(parts->count);
	parts->list = mem_array(parts, struct part, parts->count);
	parts->needs = mem_array(parts, uint64_t, parts->count * parts->words);
	parts->needed_by = mem_array(parts, uint64_t, parts->count * parts->words);
	parts->critical = mem_array(parts, uint64_t, parts->words);
	parts->left = mem_array(parts, const char *, 1);
	for (size_t i = 0; i < parts->count; i++)
		read_part(parts, &parts->list[i], &environment->components[i]);
	r = order_components(parts, err);
	if (r < 0) {
		talloc_free(parts);
		return r;
	}
	find_critical(parts);
	decide(parts);
	*ret = parts;
	return 0;
}
