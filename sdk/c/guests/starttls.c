// starttls: it writes back every line, and begins TLS after "tls", after the raw bytes
// "tls" that follow "raw", and a moment after "pause".
#include "../wirehost.h"

static bool is(const uint8_t *p, size_t n, const char *word) {
	size_t i = 0;
	while (i < n && word[i] != 0 && p[i] == (uint8_t)word[i])
		i++;
	return i == n && word[i] == 0;
}

static void begin(wh_conn *c, void *arg) {
	(void)arg;
	wh_send_line(c, "go", 2);
	wh_start_tls(c);
}

static void line(wh_conn *c, const uint8_t *p, size_t n) {
	if (is(p, n, "tls")) {
		begin(c, NULL);
	} else if (is(p, n, "raw")) {
		wh_set_raw_mode(c);
	} else if (is(p, n, "pause")) {
		wh_pause_producing(c);
		wh_call_later(c, 1, begin, NULL);
	} else {
		wh_send_line(c, p, n);
	}
}

static void raw(wh_conn *c, const uint8_t *p, size_t n) {
	begin(c, NULL);
	wh_set_line_mode(c, p + 3, n - 3);
}

static void shaken(wh_conn *c) {
	wh_send_line(c, "up", 2);
	wh_resume_producing(c);
}

static const wh_protocol lines = {
	.data_received = wh_line_receiver, .line_received = line, .raw_data_received = raw, .handshake_completed = shaken,
};

static const wh_protocol *build(wh_conn *c) {
	(void)c;
	return &lines;
}

const wh_factory wirehost_factory = {.build_protocol = build};
