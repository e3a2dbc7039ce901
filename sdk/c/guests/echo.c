// echo: it writes back every byte.
#include "../wirehost.h"

static void received(wh_conn *c, const uint8_t *p, size_t n) {
	wh_write(c, p, n); // what the server answers, connection_lost tells too
}

// It has no state of its own, so a reload moves it as it is.
static bool save(wh_conn *c, wh_buf *out) {
	(void)c, (void)out;
	return true;
}

static int restore(wh_conn *c, int32_t version, const uint8_t *p, size_t n) {
	(void)c, (void)version, (void)p, (void)n;
	return 0;
}

static const wh_protocol echo = {.data_received = received, .save_state = save, .restore_state = restore};

static const wh_protocol *build(wh_conn *c) {
	(void)c;
	return &echo;
}

const wh_factory wirehost_factory = {.log_prefix = "echo", .build_protocol = build};
