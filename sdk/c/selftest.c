// Tests of the SDK itself, natively: cc -o selftest selftest.c wirehost.c && ./selftest
#include "wirehost_test.h"

static int failures;

#define CHECK(what) ((what) ? (void)0 : (failures++, (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what)))

// Each frame is written as KIND<TEXT>; "close" closes, "pause" pauses.
static void note(wh_conn *c, const char *kind, const uint8_t *p, size_t n) {
	wh_write_text(c, kind);
	wh_write(c, "<", 1);
	wh_write(c, p, n);
	wh_write(c, ">", 1);
	if (n == 5 && memcmp(p, "close", 5) == 0)
		wh_lose_connection(c);
	if (n == 5 && memcmp(p, "pause", 5) == 0)
		wh_pause_producing(c);
}

static uint64_t raw_left;

static void line(wh_conn *c, const uint8_t *p, size_t n) {
	note(c, "line", p, n);
	if (n == 4 && memcmp(p, "raw", 3) == 0) {
		raw_left = (uint64_t)(p[3] - '0');
		wh_set_raw_mode(c);
	}
	if (n == 5 && memcmp(p, "clear", 5) == 0)
		wh_clear_line_buffer(c);
	if (n == 5 && memcmp(p, "delim", 5) == 0)
		wh_set_delimiter(c, "-=-", 3);
}

static void raw(wh_conn *c, const uint8_t *p, size_t n) {
	size_t mine = n < raw_left ? n : (size_t)raw_left;
	wh_write(c, p, mine);
	if ((raw_left -= mine) == 0)
		wh_set_line_mode(c, p + mine, n - mine);
}

// After wh_start_tls, "tls" first: text behind it in the packet came in plain text.
static bool starts_tls(const uint8_t *p, size_t n) { return n == 3 && memcmp(p, "tls", 3) == 0; }

static void tls_line(wh_conn *c, const uint8_t *p, size_t n) {
	line(c, p, n);
	if (starts_tls(p, n))
		CHECK(wh_start_tls(c) == WH_OK && wh_start_tls(c) == WH_EBUSY);
}

// Takes three raw bytes, and gives the rest back before or behind wh_start_tls.
static bool back_first;

static void tls_raw(wh_conn *c, const uint8_t *p, size_t n) {
	size_t mine = n < 3 ? n : 3;
	note(c, "raw", p, mine);
	if (back_first)
		wh_set_line_mode(c, p + mine, n - mine);
	CHECK(wh_start_tls(c) == WH_OK);
	if (!back_first)
		wh_set_line_mode(c, p + mine, n - mine);
}

static void tls_string(wh_conn *c, const uint8_t *p, size_t n) {
	note(c, "string", p, n);
	if (starts_tls(p, n))
		CHECK(wh_start_tls(c) == WH_OK);
}

static void shaken(wh_conn *c) { note(c, "up", NULL, 0); }

static void string(wh_conn *c, const uint8_t *p, size_t n) { note(c, "string", p, n); }
static void limit(wh_conn *c, uint32_t length) { note(c, "limit", (const uint8_t *)"!!!!", length < 4 ? length : 4); }
static void exceeded(wh_conn *c, const uint8_t *p, size_t n) { note(c, "long", p, n); }

static bool save(wh_conn *c, wh_buf *out) {
	wh_framer_save(c, out);
	return true;
}

static wh_protocol protocol;
static uint32_t most;

static int restore(wh_conn *c, int32_t version, const uint8_t *p, size_t n) {
	wh_set_max_length(c, most);
	return version == 1 && wh_framer_restore(c, p, n) == (ptrdiff_t)n ? 0 : -1;
}

static const wh_protocol *build(wh_conn *c) {
	wh_set_max_length(c, most);
	return &protocol;
}

const wh_factory wirehost_factory = {.build_protocol = build};

typedef struct test {
	void (*framer)(wh_conn *c, const uint8_t *p, size_t n);
	uint32_t most;
	const char *input;
	size_t length; // of input; 0: its text
	const char *want;
	bool closes;
} test;

#define BYTES(s) s, sizeof s - 1

static const test tests[] = {
	{wh_line_receiver, 0, BYTES("a\r\nbc\r\n\r\nrest"), "line<a>line<bc>line<>", false},
	{wh_line_receiver, 0, BYTES("a\nb\r\n"), "line<a\nb>", false},
	{wh_line_receiver, 0, BYTES("\r\r\n\r\n"), "line<\r>line<>", false},
	{wh_line_receiver, 5, BYTES("12345\r\n1234\r\n"), "line<12345>line<1234>", false},
	{wh_line_receiver, 5, BYTES("a\r\n1234567"), "line<a>", true},
	{wh_line_receiver, 5, BYTES("a\r\n123456\r\nb\r\n"), "line<a>", true},
	{wh_line_receiver, 5, BYTES("a\r\n123456"), "line<a>", false},
	{wh_line_receiver, 0, BYTES("close\r\na\r\n"), "line<close>", true},
	{wh_line_receiver, 0, BYTES("raw4\r\n\r\n\r\nb\r\n"), "line<raw4>\r\n\r\nline<b>", false},
	{wh_line_receiver, 0, BYTES("delim\r\na\r\n-=b-=-c-=-"), "line<delim>line<a\r\n-=b>line<c>", false},
	{wh_netstring_receiver, 0, BYTES("3:abc,0:,1:,,"), "string<abc>string<>string<,>", false},
	{wh_netstring_receiver, 0, BYTES("1:a,12"), "string<a>", false},
	{wh_netstring_receiver, 12, BYTES("12:123456789012,"), "string<123456789012>", false},
	{wh_netstring_receiver, 12, BYTES("1:a,13"), "string<a>", true},
	{wh_netstring_receiver, 0, BYTES("1:a,100000"), "string<a>", true},
	{wh_netstring_receiver, 0, BYTES("1:a,01:a,"), "string<a>", true},
	{wh_netstring_receiver, 0, BYTES("00:,"), "", true},
	{wh_netstring_receiver, 0, BYTES("1a:a,"), "", true},
	{wh_netstring_receiver, 0, BYTES(":,"), "", true},
	{wh_netstring_receiver, 0, BYTES("1:a,3:abcd"), "string<a>", true},
	{wh_netstring_receiver, 0, BYTES("5:close,1:a,x"), "string<close>", true},
	{wh_netstring_receiver, 0, BYTES("9999999999999999999999"), "", true},
	{wh_int8_receiver, 0, BYTES("\3abc\0\1a"), "string<abc>string<>string<a>", false},
	{wh_int8_receiver, 3, BYTES("\3abc\4abcd"), "string<abc>limit<!!!!>", true},
	{wh_int16_receiver, 0, BYTES("\0\3abc\0\0\0\1a\0"), "string<abc>string<>string<a>", false},
	{wh_int32_receiver, 0, BYTES("\0\0\0\3abc\0\0\0\0\0\0"), "string<abc>string<>", false},
	{wh_int32_receiver, 0, BYTES("\0\0\0\0\xff\xff\xff\xff"), "string<>limit<!!!!>", true},
	{wh_int32_receiver, 0, BYTES("\0\1\x86\xa0"), "limit<!!!!>", true},
};

// Sends the pieces of the input that begin at 0, a and b; reloads between them
// where it is asked to.
static void run(const test *t, size_t a, size_t b, bool reload) {
	wht_reset();
	protocol.data_received = t->framer, most = t->most;
	int32_t h = wht_accept();
	wht_send(h, t->input, a);
	if (reload && !wht_at(h)->ended) {
		wh_buf before = wht_at(h)->output;
		int32_t next = wht_reload(h, 1);
		CHECK(next != 0);
		wht_at(next)->output = before;
		wht_at(h)->output = (wh_buf){0};
		wht_lose(h, WH_DONE);
		h = next;
	}
	if (b == a) {
		for (size_t i = a; i < t->length; i++)
			wht_send(h, t->input + i, 1);
	} else {
		wht_send(h, t->input + a, b - a);
		wht_send(h, t->input + b, t->length - b);
	}
	if (!wht_wrote(h, t->want) || wht_at(h)->ended != t->closes) {
		fprintf(stderr, "case %d, cut at %zu and %zu, reload %d: closed %d\n", (int)(t - tests), a, b, reload, wht_at(h)->ended);
		failures++;
	}
}

static void framers(void) {
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
		const test *t = &tests[i];
		bool plain = strstr(t->input, "delim") == NULL; // the delimiter is not in the state
		for (size_t a = 0; a <= t->length; a++) {
			run(t, a, t->length, false);
			run(t, a, a, false);
			run(t, a, a, plain && t->framer != NULL);
			for (size_t b = a + 1; b < t->length && t->length < 20; b++)
				run(t, a, b, plain);
		}
	}
}

static int32_t accepted(void (*framer)(wh_conn *, const uint8_t *, size_t)) {
	wht_reset();
	protocol.data_received = framer, most = 0;
	return wht_accept();
}

static void pauses(void) {
	int32_t h = accepted(wh_line_receiver);
	wht_send_text(h, "a\r\npause\r\nb\r\nc");
	CHECK(wht_wrote(h, "line<a>line<pause>") && wht_at(h)->state & WH_STATE_PAUSED);
	h = wht_reload(h, 1);
	CHECK(h != 0);
	wh_resume_producing(wh_find(h));
	wht_send_text(h, "d\r\n");
	CHECK(wht_wrote(h, "line<b>line<cd>") && wh_state(wh_find(h)) == WH_STATE_CAN_START_TLS);
	CHECK(wh_start_tls(wh_find(h)) == WH_OK && wh_state(wh_find(h)) == WH_STATE_TLS);
	h = accepted(wh_line_receiver);
	wht_send_text(h, "clear\r\nlost\r\n");
	wht_send_text(h, "x\r\n");
	CHECK(wht_wrote(h, "line<clear>line<x>"));
	protocol.line_length_exceeded = exceeded;
	h = accepted(wh_line_receiver);
	wh_set_max_length(wh_find(h), 2);
	wht_send_text(h, "123456\r\nab\r\n");
	CHECK(wht_wrote(h, "long<1234>line<56>line<ab>"));
	protocol.line_length_exceeded = NULL;
}

static void nothing_plain(void) {
	static const struct {
		void (*framer)(wh_conn *c, const uint8_t *p, size_t n);
		const char *plain;
		size_t plain_length;
		const char *secure;
		size_t secure_length;
		const char *want;
	} rows[] = {
		{wh_line_receiver, BYTES("a\r\ntls\r\nEVIL\r\nEV"), BYTES("b\r\n"), "line<a>line<tls>up<>line<b>"},
		{wh_line_receiver, BYTES("tls\r\nEVIL\r"), BYTES("\nb\r\n"), "line<tls>up<>line<\nb>"},
		{wh_line_receiver, BYTES("raw9\r\n123EVIL\r\nEV"), BYTES("b\r\n"), "line<raw9>raw<123>up<>line<b>"},
		{wh_netstring_receiver, BYTES("3:tls,4:EVIL,9:EV"), BYTES("1:b,"), "string<tls>up<>string<b>"},
		{wh_int8_receiver, BYTES("\3tls\4EVIL\7E"), BYTES("\1b"), "string<tls>up<>string<b>"},
		{wh_int16_receiver, BYTES("\0\3tls\0\4EVIL\0"), BYTES("\0\1b"), "string<tls>up<>string<b>"},
		{wh_int32_receiver, BYTES("\0\0\0\3tls\0\0\0\4EVIL\0\0"), BYTES("\0\0\0\1b"), "string<tls>up<>string<b>"},
	};
	const wh_protocol before = protocol;
	protocol.line_received = tls_line, protocol.raw_data_received = tls_raw;
	protocol.string_received = tls_string, protocol.handshake_completed = shaken;
	for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
		int32_t h = accepted(rows[i / 2].framer);
		back_first = i % 2 > 0;
		wht_send(h, rows[i / 2].plain, rows[i / 2].plain_length);
		wht_send(h, rows[i / 2].secure, rows[i / 2].secure_length);
		CHECK(wht_wrote(h, rows[i / 2].want));
	}
	// What is held while it is paused; it doesn't come with a reload either.
	for (int reload = 0; reload < 2; reload++) {
		int32_t h = accepted(wh_line_receiver);
		wht_send_text(h, "pause\r\nEVIL\r\nEV");
		CHECK(wh_start_tls(wh_find(h)) == WH_OK);
		wht_settle();
		CHECK(wht_wrote(h, "line<pause>up<>"));
		if (reload > 0)
			CHECK((h = wht_reload(h, 1)) != 0);
		wh_resume_producing(wh_find(h));
		wht_send_text(h, "b\r\n");
		CHECK(wht_wrote(h, reload > 0 ? "line<b>" : "line<pause>up<>line<b>"));
	}
	protocol = before;
}

// One call to the server for what a callback writes, order kept across large
// writes and closing.
static void gathers(void) {
	int32_t h = accepted(wh_line_receiver);
	wht.calls = 0;
	wht_send_text(h, "a\r\nb\r\nc\r\nd\r\n");
	CHECK(wht.calls == 1);
	static char large[10000];
	memset(large, 'x', sizeof large);
	wh_conn *c = wh_find(h);
	wht_at(h)->output.len = 0, wht.calls = 0;
	wh_write_text(c, "1");
	wh_write(c, large, sizeof large);
	wh_write_text(c, "2");
	wh_lose_connection(c);
	wh_write_text(c, "dropped");
	const wh_buf *b = &wht_at(h)->output;
	CHECK(b->len == sizeof large + 2 && b->p[0] == '1' && b->p[1] == 'x' && b->p[b->len - 1] == '2' && wht.calls == 2);
	wht_settle();
	CHECK(wh_find(h) == NULL);
}

static int called;

static void tick(wh_conn *c, void *arg) {
	called += *(int *)arg;
	if (c != NULL)
		wh_write_text(c, "tick");
}

static void timers_and_clients(void) {
	int32_t h = accepted(wh_line_receiver), one = 1, ten = 10, hundred = 100;
	wh_conn *c = wh_find(h);
	int32_t first = wh_call_later(c, 10, tick, &one), second = wh_call_later(c, 20, tick, &ten);
	CHECK(wh_call_later(NULL, 30, tick, &hundred) > 0 && wh_call_later(c, -1, tick, &one) == WH_EINVAL);
	wht_advance(10);
	CHECK(called == 1 && wht_wrote(h, "tick") && wh_cancel(first) == WH_ENOTIMER);
	CHECK(wh_reset(second, 5) == WH_OK);
	wht_lose(h, WH_LOST);
	wht_advance(100);
	CHECK(called == 101 && wh_cancel(second) == WH_ENOTIMER); // the connection's own ended with it

	wh_status status;
	c = wh_connect("tcp://192.0.2.3:25", 0, &protocol, &status);
	CHECK(c != NULL && status == WH_OK && wh_write_text(c, "early") == WH_ENOCONN);
	h = wh_handle(c);
	wh_export_connection_made(h);
	wht_send_text(h, "hi\r\n");
	CHECK(wht_wrote(h, "line<hi>") && strcmp(wht_at(h)->endpoint, "tcp://192.0.2.3:25") == 0);
	wht_finish(h);
	CHECK(wht_at(h)->ended && wh_find(h) == NULL);
	h = wh_handle(wh_connect("tcp://192.0.2.3:25", 0, &protocol, NULL));
	wh_export_client_connection_failed(h, WH_REFUSED);
	CHECK(wh_find(h) == NULL);
}

static void configuration(void) {
	static const struct {
		const char *text;
		bool good;
		const char *name;
		int64_t n;
		bool on;
	} rows[] = {
		{"", true, "was", 7, false},
		{"null", true, "was", 7, false},
		{" { } ", true, "was", 7, false},
		{"{\"name\": \"x\", \"n\" : -12, \"on\":true}", true, "x", -12, true},
		{"{\"name\": \"\\r\\n\\u00e9\\ud83d\\ude00\\\"\"}", true, "\r\n\xc3\xa9\xf0\x9f\x98\x80\"", 7, false},
		{"{\"other\": 1}", false, "", 0, false},
		{"{\"n\": 1.5}", false, "", 0, false},
		{"{\"n\": \"1\"}", false, "", 0, false},
		{"{\"n\": 1", false, "", 0, false},
		{"{\"name\": \"\\ud83d\"}", false, "", 0, false},
		{"{\"on\": 1}", false, "", 0, false},
		{"[1]", false, "", 0, false},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		wh_buf name = {0};
		int64_t n = 7;
		bool on = false;
		wh_buf_add(&name, "was", 3);
		wht.config = rows[i].text;
		const wh_option options[] = {{"name", WH_TEXT, &name}, {"n", WH_INT, &n}, {"on", WH_BOOL, &on}};
		bool good = wh_config(options, 3) == 0;
		bool same = name.len == strlen(rows[i].name) && memcmp(name.p, rows[i].name, name.len) == 0 && n == rows[i].n && on == rows[i].on;
		if (good != rows[i].good || (good && !same)) {
			fprintf(stderr, "config %s: good %d, name %.*s, n %lld, on %d\n", rows[i].text, good, (int)name.len, (char *)name.p, (long long)n, on);
			failures++;
		}
		wh_buf_free(&name);
	}
}

static void sends(void) {
	static char long_string[70000];
	int32_t h = accepted(wh_line_receiver);
	wh_conn *c = wh_find(h);
	CHECK(wh_send_int8(c, long_string, 256) == WH_E2BIG && wh_send_int16(c, long_string, 65536) == WH_E2BIG);
	CHECK(wh_send_int8(c, "ab", 2) == 0 && wh_send_int16(c, "c", 1) == 0 && wh_send_int32(c, "d", 1) == 0);
	CHECK(wh_send_netstring(c, "hello world!", 12) == 0 && wh_send_line(c, "e", 1) == 0 && wh_flush(c) >= 0);
	static const char want[] = "\2ab\0\1c\0\0\0\1d12:hello world!,e\r\n";
	const wh_buf *b = &wht_at(h)->output;
	CHECK(b->len == sizeof want - 1 && memcmp(b->p, want, b->len) == 0);
}

static void search(void) {
	uint8_t text[64];
	for (size_t n = 0; n < 40; n++)
		for (size_t at = 0; at <= n; at++) {
			memset(text, 0x80, sizeof text);
			text[at] = '\n', text[at + 1] = 1;
			CHECK(wh_find_byte(text, n, '\n') == (at < n ? text + at : NULL));
			CHECK(wh_find_bytes(text, n, (const uint8_t *)"\n\1", 2) == (at + 1 < n ? text + at : NULL));
		}
	uint64_t v;
	CHECK(wh_get_leb((const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 10, &v) == 10 && v == UINT64_MAX);
	CHECK(wh_get_leb((const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\2", 10, &v) == 0 && wh_get_leb(NULL, 0, &v) == 0);
}

static wh_looping_call loop;
static double calls[8];
static int call_count;

static void looped(void *arg) {
	calls[call_count++] = wh_seconds();
	if (arg != NULL && call_count == 1)
		wht.now += 2500; // it takes so long
	if (call_count == 3)
		CHECK(wh_looping_stop(&loop) == WH_OK);
}

static void loops(void) {
	wht_reset();
	loop = (wh_looping_call){0}, call_count = 0;
	CHECK(wh_looping_start(&loop, 300, true, looped, NULL) == WH_OK && wh_looping_start(&loop, 1, true, looped, NULL) == WH_EBUSY);
	wht_advance(5000);
	CHECK(call_count == 3 && calls[0] == 0 && calls[1] == 0.3 && calls[2] == 0.6 && !loop.running && loop.timer == 0);

	call_count = 0; // what is late is not made up for
	CHECK(wh_looping_start(&loop, 1000, false, looped, &loop) == WH_OK);
	double began = wh_seconds();
	wht_advance(9000);
	CHECK(call_count == 3 && calls[0] == began + 1 && calls[1] == began + 4 && calls[2] == began + 5);

	call_count = 0;
	CHECK(wh_looping_start(&loop, 1000, false, looped, NULL) == WH_OK);
	int32_t timer = loop.timer;
	wh_looping_call next = {0};
	CHECK(wh_cancel(timer) == WH_OK && wh_looping_restore(&next, 0, 1, looped, NULL) == WH_OK && !next.running);
	timer = wh_import_call_later(700); // as in a new version
	CHECK(wh_looping_restore(&next, timer, 1000, looped, NULL) == WH_OK && next.running);
	began = wh_seconds();
	wht_advance(1800);
	CHECK(call_count == 2 && calls[0] == began + 0.7 && calls[1] == began + 1.7);
	CHECK(wh_looping_stop(&next) == WH_OK && wh_looping_start(&loop, -1, false, looped, NULL) != WH_OK);
	loop.running = false;
}

static int connected, given_up;
static wh_reason gave_up_for;

static void waited(wh_conn *c, wh_reason why, void *arg) {
	(void)arg;
	connected += c != NULL, given_up += c == NULL;
	gave_up_for = why;
}

static void services(void) {
	static const wh_protocol client = {0};
	wh_client_service s = {.endpoint = "tcp://192.0.2.3:25", .protocol = &client, .initial_delay = 100};
	wht_reset();
	connected = given_up = 0;
	wh_when_connected(&s, 0, waited, NULL);
	CHECK(given_up == 1); // it does not run
	CHECK(wh_service_start(&s) == WH_OK && wh_service_start(&s) == WH_EBUSY);
	wh_when_connected(&s, 0, waited, NULL);
	wh_when_connected(&s, 2, waited, NULL);
	for (int32_t n = 1; n <= 2; n++) {
		CHECK(wht.conn_count == n && connected == 0 && given_up == 1);
		wh_export_client_connection_failed(n, WH_REFUSED);
		wht_advance(99);
		CHECK(wht.conn_count == n);
		wht_advance(1200);
	}
	CHECK(given_up == 2 && gave_up_for == WH_REFUSED && wht.conn_count == 3);
	wh_export_connection_made(3);
	CHECK(connected == 1 && s.failures == 0);
	wh_when_connected(&s, 1, waited, NULL);
	CHECK(connected == 2); // at once
	wht_lose(3, WH_LOST);
	wh_when_connected(&s, 0, waited, NULL);
	wht_advance(1200);
	wh_export_connection_made(4);
	CHECK(connected == 3);
	wh_service_stop(&s);
	wht_settle();
	wht_advance(100000);
	CHECK(wht.conn_count == 4 && wht_at(4)->ended && s.current == NULL && s.waiting == NULL);
	CHECK(wh_service_start(&s) == WH_OK);
	wh_when_connected(&s, 0, waited, NULL);
	wh_service_stop(&s); // while it is being made
	CHECK(given_up == 3 && gave_up_for == WH_ABORTED);
	wh_export_client_connection_failed(5, WH_ABORTED);
	wht_advance(100000);
	CHECK(wht.conn_count == 5);
	wht_at(5)->ended = true;
}

static void compares(void) {
	wh_buf b = {0};
	CHECK(wh_buf_is(&b, "") && !wh_buf_is(&b, "a") && wh_is(NULL, 0, ""));
	wh_buf_add(&b, "quit", 4);
	CHECK(wh_buf_is(&b, "quit") && !wh_buf_is(&b, "quit now") && !wh_buf_is(&b, "qui") && !wh_buf_is(&b, "quiT"));
	CHECK(wh_is("a\0b", 3, "a") == false);
	wh_buf_free(&b);
}

static void time_and_random(void) {
	uint8_t one[70001], two[70001];
	wht_reset();
	CHECK(wh_random(one, sizeof one) == WH_OK && wh_random(two, sizeof two) == WH_OK);
	CHECK(memcmp(one, two, sizeof one) != 0 && memcmp(one, one + 65536, 4000) != 0);
	wht_reset();
	CHECK(wh_random(two, sizeof two) == WH_OK && memcmp(one, two, sizeof one) == 0);
	wht_advance(1500);
	CHECK(wh_time() == 1767225601.5 && wh_seconds() == 1.5);
}

static void metrics(void) {
	wht_reset();
	for (int32_t kind = WH_COUNTER; kind <= WH_HISTOGRAM; kind++) {
		const char name[] = {'m', (char)('0' + kind), 0};
		int32_t id = wh_metric((wh_metric_kind)kind, name);
		CHECK(id > 0 && id == wh_metric((wh_metric_kind)kind, name));
		CHECK(wh_record(id, 3) == 0 && wh_record(id, 2) == 0 && wht.metrics[id] == (kind == WH_GAUGE ? 2 : 5));
		CHECK(wh_record(id, -1) == (kind == WH_COUNTER ? WH_EINVAL : 0) && wh_record(id, 1e308 * 10) == WH_EINVAL);
	}
	CHECK(wh_metric(WH_GAUGE, "m1") == WH_EBUSY && wh_metric((wh_metric_kind)4, "m4") == WH_EINVAL);
	CHECK(wh_metric(WH_GAUGE, "") == WH_EINVAL && wh_metric(WH_GAUGE, "no name") == WH_EINVAL);
	CHECK(wh_metric(WH_GAUGE, "1m") == WH_EINVAL && wh_metric(WH_GAUGE, "m_count") == WH_EINVAL);
	CHECK(wh_record(0, 1) == WH_EINVAL && wh_record(99, 1) == WH_EINVAL && wh_record(WH_EBUSY, 1) == WH_EINVAL);
}

static void assets(void) {
	static const char *const names[] = {"a", "pages-old", "pages/index.html", "\xc3\xa9"};
	wht_reset();
	CHECK(wh_asset_count() == 0 && wh_asset_find("a") == WH_EINVAL);
	for (int i = 3; i >= 0; i--)
		wht_add_asset(names[i], "0123456789", i == 1 ? 10 : 3);
	CHECK(wh_asset_count() == 4);
	for (int32_t i = 0; i < 4; i++) {
		char name[WH_ASSET_NAME];
		int32_t n = wh_asset_name(i, name, sizeof name);
		CHECK(n == (int32_t)strlen(names[i]) && memcmp(name, names[i], (size_t)n) == 0);
		CHECK(wh_asset_find(names[i]) == i && wh_asset_size(i) == (i == 1 ? 10 : 3));
	}
	CHECK(wh_asset_find("") == WH_EINVAL && wh_asset_find("b") == WH_EINVAL && wh_asset_find("pages") == WH_EINVAL);
	CHECK(wh_asset_find("pages/index.html2") == WH_EINVAL && wh_asset_find("\xff") == WH_EINVAL);
	char buf[4] = "....";
	CHECK(wh_asset_read(1, 7, buf, 4) == 3 && memcmp(buf, "789.", 4) == 0);
	CHECK(wh_asset_read(1, 10, buf, 4) == 0 && wh_asset_read(1, 99, buf, 4) == 0 && wh_asset_read(1, 0, NULL, 0) == 0);
	CHECK(wh_asset_read(1, -1, buf, 4) == WH_EINVAL && wh_asset_read(4, 0, buf, 4) == WH_EINVAL);
	CHECK(wh_asset_size(-1) == WH_EINVAL && wh_asset_name(4, NULL, 0) == WH_EINVAL);
	wht_reset();
}

static char told[256]; // what sockets are told

static void tell(const char *what) {
	CHECK(strlen(told) + strlen(what) + 2 < sizeof told);
	strcat(strcat(told, what), " ");
}

static void socket_started(wh_conn *s) {
	tell("start");
	*(int *)wh_conn_state(s) = 7;
}

static void socket_received(wh_conn *s, const uint8_t *p, size_t n, const wh_address *from) {
	CHECK(((uintptr_t)from & 3) == 0 && *(int *)wh_conn_state(s) == 7);
	CHECK(wh_write_datagram(s, p, n, from) == WH_OK);
	if (wh_is(p, n, "flush"))
		CHECK(wh_flush_datagrams(s) == WH_OK);
	if (wh_is(p, n, "peer"))
		CHECK(wh_write_datagram(s, "x", 1, NULL) == WH_OK);
	if (wh_is(p, n, "close"))
		CHECK(wh_lose_connection(s) == WH_OK && wh_write_datagram(s, "late", 4, from) == WH_OK);
}

static void socket_refused(wh_conn *s) { (void)s, tell("refused"); }
static void socket_stopped(wh_conn *s, wh_reason why) { (void)s, tell(why == WH_DONE ? "done" : "stopped"); }

static bool socket_save(wh_conn *s, wh_buf *out) {
	wh_buf_add_u32(out, (uint32_t)*(int *)wh_conn_state(s));
	return wh_write_datagram(s, "x", 1, NULL) == WH_ENOTNOW;
}

static int socket_restore(wh_conn *s, int32_t version, const uint8_t *p, size_t n) {
	tell("restored");
	*(int *)wh_conn_state(s) = (int)wh_get_u32(p);
	return version == 1 && n == 4 ? 0 : -1;
}

static const wh_datagram_protocol socket_protocol = {
	.base = {.state_size = sizeof(int), .save_state = socket_save, .restore_state = socket_restore},
	.start_protocol = socket_started,
	.datagram_received = socket_received,
	.connection_refused = socket_refused,
	.stop_protocol = socket_stopped,
};

static bool no_sockets;

static const wh_datagram_protocol *build_socket(wh_conn *s) {
	CHECK(wh_handle(s) > 0);
	return no_sockets ? NULL : &socket_protocol;
}

WIREHOST_DATAGRAMS(build_socket)

static bool sent(int32_t at, int32_t socket, const wh_address *to, const char *text) {
	const wht_datagram *d = &wht.sent[at];
	static const wh_address peer;
	return at < wht.sent_count && d->socket == socket && wh_address_equal(&d->to, to != NULL ? to : &peer) &&
	       wh_buf_is(&d->data, text);
}

static void sockets(void) {
	wht_reset();
	told[0] = 0;
	const wh_address four = {.port = 5000, .family = 4, .ip = {192, 0, 2, 1}};
	const wh_address six = {.port = 6000, .family = 6, .ip = {0x20, 1}, .zone = 3};
	const char *const texts[] = {"a", "", "1234567", "12345678", "123456789"};
	int32_t s = wht_bind();
	wht_receive(s, &six, texts, 5);
	CHECK(wht.calls == 1 && wht.sent_count == 5);
	for (int32_t i = 0; i < 5; i++)
		CHECK(sent(i, s, &six, texts[i]));
	const char *const flush[] = {"flush", "peer"};
	wht_receive(s, &four, flush, 2);
	CHECK(wht.calls == 3 && sent(5, s, &four, "flush") && sent(6, s, &four, "peer") && sent(7, s, NULL, "x"));
	wht.full = 2;
	wht_receive(s, &four, texts, 5);
	CHECK(wht.sent_count == 10 && wh_dropped(wh_find(s)) == 3);
	wht.full = 0;

	int32_t moved = wht_reload(s, 1);
	CHECK(moved > 0 && strcmp(told, "start restored ") == 0);
	wht_receive(moved, &four, texts, 1);
	CHECK(sent(10, moved, &four, "a"));
	CHECK(wht_reload(s, 2) == 0);

	const char *const close[] = {"close", "never"};
	wht_receive(s, &four, close, 2);
	CHECK(wht.sent_count == 12 && sent(11, s, &four, "close") && wh_find(s) == NULL);

	wh_status status;
	wh_conn *c = wh_open_datagram("udp://192.0.2.9:123", &socket_protocol, &status);
	CHECK(status == WH_OK && wh_write_datagram(c, "early", 5, NULL) == WH_ENOCONN);
	told[0] = 0;
	wh_start_protocol(wh_handle(c));
	CHECK(wh_write_datagram(c, "ask", 3, NULL) == WH_OK && wh_join(c, "239.1.2.3") == 0 && wh_leave(c, "239.1.2.3") == 0);
	CHECK(wh_set_option(c, 1, 2) == 0 && wh_flush_datagrams(c) == WH_OK && sent(12, wh_handle(c), NULL, "ask"));
	wh_connection_refused(wh_handle(c));
	wht_lose(wh_handle(c), WH_LOST);
	CHECK(strcmp(told, "start refused stopped ") == 0);

	no_sockets = true;
	CHECK(wht_at(wht_bind())->reason == WH_ABORTED);
	no_sockets = false;
}

static void greet(wh_conn *c) { wh_write_text(c, "passive"); }
static void answer(wh_conn *c, const uint8_t *p, size_t n) { (void)p, (void)n, wh_write_text(c, "passively"); }

static const wh_protocol passive = {
	.connection_made = greet, .data_received = answer, .save_state = save, .restore_state = restore,
};

static const wh_protocol *build_passive(wh_conn *c, void *arg) {
	(void)c;
	return arg;
}

static bool answers(int32_t h, const char *want) {
	wht_send_text(h, "x");
	return wht_wrote(h, want);
}

// A port's connections get their protocols from its own builder, also those that a reload moves.
static void ports(void) {
	char host[64] = {0};
	wht_reset();
	protocol.data_received = NULL;
	int32_t port = wh_listen("tcp://127.0.0.1:0", build_passive, (void *)&passive);
	CHECK(port > 0 && wht_listening() == port && wh_port_host(port, host, sizeof host) > 0);
	CHECK(strncmp(host, "tcp://127.0.0.1:4000", 20) == 0);
	int32_t c = wht_accept_at(port), plain = wht_accept();
	CHECK(wht_wrote(c, "passive") && wht_wrote(plain, ""));
	CHECK(wh_listener(wh_find(c)) == port && wh_listener(wh_find(plain)) == 0);
	CHECK(wh_listen(host, build_passive, NULL) == WH_EBUSY && wh_listen("", build_passive, NULL) == WH_EINVAL);
	CHECK(answers(wht_reload(c, 1), "passively"));
	CHECK(wh_stop_listening(port) == WH_OK && wh_stop_listening(port) == WH_ENOCONN);
	CHECK(wht_accept_at(port) == 0 && wht_listening() == 0);
	CHECK(answers(wht_reload(c, 1), "")); // whom nobody has taken over
	wh_restore_port(port, build_passive, (void *)&passive);
	CHECK(answers(wht_reload(c, 1), "passively"));
	wht.deny = true;
	CHECK(wh_listen("tcp://127.0.0.1:0", build_passive, NULL) == WH_EPERM);
}

int main(void) {
	protocol = (wh_protocol){
		.line_received = line, .raw_data_received = raw, .string_received = string, .length_limit_exceeded = limit,
		.save_state = save, .restore_state = restore,
	};
	framers();
	pauses();
	nothing_plain();
	gathers();
	timers_and_clients();
	configuration();
	sends();
	search();
	compares();
	loops();
	services();
	time_and_random();
	metrics();
	assets();
	sockets();
	ports();
	wht_reset();
	wh_save(0); // frees what the last one gave
	printf("%d failures\n", failures);
	return failures > 0;
}
