// layers: lines, each answered: `state` with the transport's bits, `who` with peer, host, ALPN and
// the sum of the certificate's bytes, `time` with the seconds since 1970, `random N` with N bytes.
// `over NAME` hands the connection over, with "who" as its first line. `connect ENDPOINT` and
// `as ENDPOINT` make a connection, of which "made", "failed" or "lost", with the reason, is told;
// `> LINE` sends a line there, and what comes back is passed on, but for `go NAME`: TLS begins there,
// with who has that name, and "secure" is told. What can't be done is answered with "refused". The
// state is the handle of the other connection, 4 bytes little-endian, 0 of none.
#include "../wirehost.h"

typedef struct side {
	int32_t other;
} side;

static side *side_of(wh_conn *c) { return wh_conn_state(c); }
static wh_conn *other(wh_conn *c) { return wh_find(side_of(c)->other); }

static void say(wh_conn *c, const char *text) {
	if (c == NULL)
		return;
	wh_write_text(c, text);
	wh_write_text(c, "\r\n");
}

static void add(wh_conn *c, const char *text, int32_t n, size_t cap) {
	wh_write(c, text, n > 0 && (size_t)n <= cap ? (size_t)n : 0);
	wh_write_text(c, " ");
}

static void number(wh_conn *c, uint64_t n) {
	char digits[20];
	wh_send_line(c, digits, wh_decimal(digits, n));
}

static void who(wh_conn *c) {
	char text[128];
	uint8_t certificate[2048];
	uint64_t sum = 0;
	add(c, text, wh_get_peer(c, text, sizeof text), sizeof text);
	add(c, text, wh_get_host(c, text, sizeof text), sizeof text);
	add(c, text, wh_negotiated_protocol(c, text, sizeof text), sizeof text);
	int32_t n = wh_get_peer_certificate(c, certificate, sizeof certificate);
	for (int32_t i = 0; i < n; i++)
		sum += certificate[i];
	number(c, sum);
}

static bool chance(wh_conn *c, const char *digits) {
	size_t n = 0;
	for (; *digits != 0; digits++)
		n = 10 * n + (size_t)(*digits - '0');
	uint8_t *p = wh_alloc(n);
	bool done = wh_random(p, n) == WH_OK;
	wh_write(c, p, n);
	wh_free(p);
	return done;
}

static void ended(wh_conn *c, const char *how, wh_reason why) {
	wh_conn *to = other(c);
	char text[512], digits[20];
	if (to == NULL)
		return;
	wh_write_text(to, how);
	add(to, digits, (int32_t)wh_decimal(digits, why), sizeof digits);
	add(to, text, wh_reason_text(c, text, sizeof text), sizeof text);
	say(to, "");
}

static void back_made(wh_conn *c) { say(other(c), "made"); }
static void back_secure(wh_conn *c) { say(other(c), "secure"); }
static void back_lost(wh_conn *c, wh_reason why) { ended(c, "lost ", why); }
static void back_failed(wh_conn *c, wh_reason why) { ended(c, "failed ", why); }

static void back_line(wh_conn *c, const uint8_t *line, size_t n) {
	if (n < 3 || !wh_is(line, 3, "go ")) {
		wh_send_line(other(c), line, n);
		return;
	}
	wh_buf name = {0};
	wh_buf_add(&name, line + 3, n - 3);
	wh_buf_add(&name, "", 1);
	if (wh_start_tls_client(c, (char *)name.p) != WH_OK)
		say(other(c), "refused");
	wh_buf_free(&name);
}

static bool save(wh_conn *c, wh_buf *out) {
	wh_buf_add_u32(out, (uint32_t)side_of(c)->other);
	return true;
}

static int restore(wh_conn *c, int32_t version, const uint8_t *p, size_t n) {
	if (version != 1 || n != 4)
		return -1;
	side_of(c)->other = (int32_t)wh_get_u32(p);
	return 0;
}

static const wh_protocol back = {
	.state_size = sizeof(side),
	.connection_made = back_made,
	.data_received = wh_line_receiver,
	.line_received = back_line,
	.handshake_completed = back_secure,
	.connection_lost = back_lost,
	.client_connection_failed = back_failed,
	.save_state = save,
	.restore_state = restore,
};

static bool made(wh_conn *c, wh_conn *to) {
	if (to == NULL)
		return false;
	side_of(to)->other = wh_handle(c);
	side_of(c)->other = wh_handle(to);
	return true;
}

static bool does(wh_conn *c, const char *word, const char *rest, size_t n) {
	size_t m = (size_t)(rest - word) - 1;
	if (wh_is(word, m, "connect"))
		return made(c, wh_connect(rest, 0, &back, NULL));
	if (wh_is(word, m, "as"))
		return made(c, wh_connect_as(c, rest, 0, &back, NULL));
	if (wh_is(word, m, "over"))
		return wh_hand_over(c, rest, "who\r\n", 5) == WH_OK;
	if (wh_is(word, m, "random"))
		return chance(c, rest);
	if (!wh_is(word, m, ">") || other(c) == NULL)
		return false;
	wh_send_line(other(c), rest, n);
	return true;
}

static void front_line(wh_conn *c, const uint8_t *line, size_t n) {
	wh_buf text = {0};
	const uint8_t *space = wh_find_byte(line, n, ' ');
	wh_buf_add(&text, line, n);
	wh_buf_add(&text, "", 1);
	if (wh_is(line, n, "state"))
		number(c, (uint64_t)wh_state(c));
	else if (wh_is(line, n, "who"))
		who(c);
	else if (wh_is(line, n, "time"))
		number(c, (uint64_t)wh_time());
	else if (space == NULL || !does(c, (char *)text.p, (char *)text.p + (space - line) + 1, n - (size_t)(space - line) - 1))
		say(c, "refused");
	wh_buf_free(&text);
}

static void front_lost(wh_conn *c, wh_reason why) {
	(void)why;
	if (other(c) != NULL)
		wh_lose_connection(other(c));
}

static const wh_protocol front = {
	.state_size = sizeof(side),
	.data_received = wh_line_receiver,
	.line_received = front_line,
	.connection_lost = front_lost,
	.save_state = save,
	.restore_state = restore,
};

static const wh_protocol *build(wh_conn *c) { return (void)c, &front; }
static const wh_protocol *build_client(wh_conn *c) { return (void)c, &back; }

const wh_factory wirehost_factory = {.log_prefix = "layers", .build_protocol = build, .build_client_protocol = build_client};
