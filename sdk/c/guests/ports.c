// ports: lines. `listen ENDPOINT` opens a port, and is answered with where it is, or "refused";
// `stop` closes it, and any other line is answered with "main". Who comes to a port, and each of
// his lines, gets "passive". The factory's state is the port's handle, 4 bytes little-endian, 0 of
// none; those of connections are empty.
#include "../wirehost.h"

static void say(wh_conn *c, const char *text) {
	size_t n = 0;
	while (text[n] != 0)
		n++;
	wh_send_line(c, text, n);
}

static void passive_made(wh_conn *c) { say(c, "passive"); }
static void passive_line(wh_conn *c, const uint8_t *line, size_t n) { (void)line, (void)n, say(c, "passive"); }
static bool empty_save(wh_conn *c, wh_buf *out) { (void)c, (void)out; return true; }
static int empty_restore(wh_conn *c, int32_t v, const uint8_t *p, size_t n) { (void)c, (void)v, (void)p; return n == 0 ? 0 : -1; }

static const wh_protocol passive = {
	.connection_made = passive_made,
	.data_received = wh_line_receiver,
	.line_received = passive_line,
	.save_state = empty_save,
	.restore_state = empty_restore,
};

static const wh_protocol *build_passive(wh_conn *c, void *arg) {
	(void)c;
	return arg; // what wh_listen was given
}

static int32_t port; // that is open, or 0

static void open_port(wh_conn *c, const uint8_t *endpoint, size_t n) {
	char host[128];
	wh_buf text = {0};
	wh_buf_add(&text, endpoint, n);
	wh_buf_add(&text, "", 1);
	int32_t opened = wh_listen((const char *)text.p, build_passive, (void *)&passive);
	wh_buf_free(&text);
	if (opened < 0) {
		say(c, "refused");
		return;
	}
	port = opened;
	wh_send_line(c, host, (size_t)wh_port_host(port, host, sizeof host));
}

static void line(wh_conn *c, const uint8_t *text, size_t n) {
	if (n > 7 && wh_is(text, 7, "listen "))
		open_port(c, text + 7, n - 7);
	else if (wh_is(text, n, "stop"))
		say(c, wh_stop_listening(port) == WH_OK ? "stopped" : "refused");
	else
		say(c, "main");
}

static bool save(wh_buf *out) {
	wh_buf_add_u32(out, (uint32_t)port);
	return true;
}

static int restore(int32_t version, const uint8_t *p, size_t n) {
	if (version != 1 || n != 4)
		return -1;
	port = (int32_t)wh_get_u32(p);
	if (port > 0)
		wh_restore_port(port, build_passive, (void *)&passive);
	return 0;
}

static const wh_protocol control = {
	.data_received = wh_line_receiver,
	.line_received = line,
	.save_state = empty_save,
	.restore_state = empty_restore,
};

static const wh_protocol *build(wh_conn *c) {
	(void)c;
	return &control;
}

const wh_factory wirehost_factory = {
	.log_prefix = "ports", .build_protocol = build, .save_state = save, .restore_state = restore,
};
