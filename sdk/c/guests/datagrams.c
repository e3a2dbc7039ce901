// datagrams: it writes back every datagram, but for "count", which it answers with how
// many there were, and "ask ENDPOINT": it opens a socket there, says hello, and tells the asker
// what comes of it. "join GROUP" and "leave GROUP", and "mhops N", "loop N", "broadcast N" and
// "hops N", which set an option, are answered with "yes" where that was done and with "no"; "shout
// PORT" sends itself to 239.1.2.3 and then to 255.255.255.255. Its state is the count, 4 bytes
// little-endian.
#include "../wirehost.h"

typedef struct asking {
	int32_t socket; // that the asker wrote to
	wh_address asker;
} asking;

static uint32_t *count_of(wh_conn *s) { return wh_conn_state(s); }

static void tell(wh_conn *s, const void *p, size_t n) {
	const asking *a = wh_conn_state(s);
	wh_conn *socket = wh_find(a->socket);
	if (socket != NULL)
		wh_write_datagram(socket, p, n, &a->asker);
	wh_lose_connection(s);
}

static void hello(wh_conn *s) { wh_write_datagram(s, "hello", 5, NULL); }
static void answered(wh_conn *s, const uint8_t *p, size_t n, const wh_address *from) { (void)from, tell(s, p, n); }
static void refused(wh_conn *s) { tell(s, "refused", 7); }

static const wh_datagram_protocol client = {
	.base = {.state_size = sizeof(asking)},
	.start_protocol = hello,
	.datagram_received = answered,
	.connection_refused = refused,
};

static void ask(wh_conn *s, const uint8_t *endpoint, size_t n, const wh_address *from) {
	wh_buf text = {0};
	wh_buf_add(&text, endpoint, n);
	wh_buf_add(&text, "", 1);
	wh_conn *c = wh_open_datagram((const char *)text.p, &client, NULL);
	wh_buf_free(&text);
	if (c == NULL)
		wh_write_datagram(s, "not allowed", 11, from);
	else
		*(asking *)wh_conn_state(c) = (asking){wh_handle(s), *from};
}

static int32_t number(const char *digits) {
	int32_t n = 0;
	for (; *digits != 0; digits++)
		n = 10 * n + (*digits - '0');
	return n;
}

static void shout(wh_conn *s, const uint8_t *p, size_t n, int32_t port) {
	wh_address to = {.family = 4, .port = (uint16_t)port, .ip = {239, 1, 2, 3}};
	wh_write_datagram(s, p, n, &to);
	memset(to.ip, 255, 4);
	wh_write_datagram(s, p, n, &to);
}

// A status; 1 of no word that it knows.
static int32_t does(wh_conn *s, const uint8_t *word, size_t n, const char *rest) {
	if (wh_is(word, n, "join"))
		return wh_join(s, rest);
	if (wh_is(word, n, "leave"))
		return wh_leave(s, rest);
	if (wh_is(word, n, "mhops"))
		return wh_set_option(s, WH_MULTICAST_HOPS, number(rest));
	if (wh_is(word, n, "loop"))
		return wh_set_option(s, WH_MULTICAST_LOOP, number(rest));
	if (wh_is(word, n, "broadcast"))
		return wh_set_option(s, WH_BROADCAST, number(rest));
	return wh_is(word, n, "hops") ? wh_set_option(s, WH_HOPS, number(rest)) : 1;
}

static void other(wh_conn *s, const uint8_t *p, size_t n, const wh_address *from) {
	const uint8_t *space = wh_find_byte(p, n, ' ');
	size_t word = space == NULL ? n : (size_t)(space - p);
	wh_buf rest = {0};
	if (space != NULL)
		wh_buf_add(&rest, space + 1, n - word - 1);
	wh_buf_add(&rest, "", 1);
	int32_t status = does(s, p, word, (char *)rest.p);
	if (wh_is(p, word, "shout"))
		shout(s, p, n, number((char *)rest.p));
	else if (status > 0)
		wh_write_datagram(s, p, n, from);
	else
		wh_write_datagram(s, status == WH_OK ? "yes" : "no", status == WH_OK ? 3 : 2, from);
	wh_buf_free(&rest);
}

static void received(wh_conn *s, const uint8_t *p, size_t n, const wh_address *from) {
	char digits[20];
	++*count_of(s);
	if (n > 4 && wh_is(p, 4, "ask "))
		ask(s, p + 4, n - 4, from);
	else if (wh_is(p, n, "count"))
		wh_write_datagram(s, digits, wh_decimal(digits, *count_of(s)), from);
	else
		other(s, p, n, from);
}

static bool save(wh_conn *s, wh_buf *out) {
	wh_buf_add_u32(out, *count_of(s));
	return true;
}

static int restore(wh_conn *s, int32_t version, const uint8_t *p, size_t n) {
	if (version != 1 || n != 4)
		return -1;
	*count_of(s) = wh_get_u32(p);
	return 0;
}

static const wh_datagram_protocol server = {
	.base = {.state_size = sizeof(uint32_t), .save_state = save, .restore_state = restore},
	.datagram_received = received,
};

static const wh_datagram_protocol *build_socket(wh_conn *s) {
	(void)s;
	return &server;
}

WIREHOST_DATAGRAMS(build_socket)

const wh_factory wirehost_factory = {.log_prefix = "datagrams"};
