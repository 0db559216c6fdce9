/* in-app: messages that are read in unship itself. The entry in the journal is the delivery, so there is nothing left to do; recipients
 * are names of people or teams. */
#include "base/text.h"
#include "channels/list.h"

static const struct field in_app_fields[] = { FIELD_END };

static int in_app_check_recipient(const char *recipient, struct err *err)
{
	if (!*recipient || strlen(recipient) > 256 || !text_is_utf8(recipient, strlen(recipient)))
		return err_set(err, ERR_INVALID, "'%s' is not a name", recipient);
	return 0;
}

static int in_app_deliver(struct driver_call *call, const struct message *message, const char *recipient, struct err *err)
{
	(void)call;
	(void)message;
	return in_app_check_recipient(recipient, err);
}

const struct channel channel_in_app = {
	.name = "in-app",
	.summary = "messages that are read in unship itself; recipients are names",
	.fields = in_app_fields,
	.check_recipient = in_app_check_recipient,
	.deliver = in_app_deliver,
};
