// wirehost_test.h: stands in for the server, so that the protocol of a plugin is
// tested natively, with no WASM and no socket. Include it in one file, and compile
// that, the plugin and wirehost.c with the machine's own compiler:
//
//	cc -o test my_test.c plugin.c wirehost.c && ./test
//
// Output is collected, the clock stands until wht_advance, and a connection that
// was asked to close is lost when the callback has returned. So TLS is up when the
// callback of wh_start_tls has: what is sent then came encrypted.
#ifndef WIREHOST_TEST_H
#define WIREHOST_TEST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wirehost.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { WHT_SENT = 64, WHT_CONNS = 64, WHT_TIMERS = 64, WHT_METRICS = 64, WHT_ASSETS = 64 };

typedef struct wht_conn {
	wh_buf output;         // all that was written
	int32_t state;         // as wh_state
	bool shaking;          // wh_start_tls was called, handshake_completed not yet
	bool ended;            // connection_lost was called,
	wh_reason reason;      // with this
	char endpoint[128];    // of wh_connect, wh_open_datagram and wh_listen
	bool socket;           // of datagrams
	bool port;             // of wh_listen; ended: it does not listen any more
	int32_t listener;      // the port that it came to
} wht_conn;

typedef struct wht_datagram {
	int32_t socket;
	wh_address to; // family 0: the peer
	wh_buf data;
} wht_datagram;

typedef struct wht_asset {
	const char *name;
	const void *p;
	size_t n;
} wht_asset;

static struct {
	const char *config;
	wht_conn conns[WHT_CONNS]; // by handle; 0 is none
	int32_t conn_count, timer_count;
	double now, due[WHT_TIMERS]; // ms; below 0: none
	int32_t calls;               // writes that reached the server
	wht_datagram sent[WHT_SENT]; // of all sockets
	int32_t sent_count;
	int32_t full; // of each sending the system takes so many datagrams; 0: all
	bool deny; // nothing may be connected to or listened at
	bool show_log;
	uint32_t random; // the generator behind wh_random
	char metric_names[WHT_METRICS][129]; // by id; 0 is none
	double metrics[WHT_METRICS];        // the sum of what each has recorded; what a gauge was set to
	int32_t metric_kinds[WHT_METRICS], metric_count;
	wht_asset assets[WHT_ASSETS]; // sorted by name
	int32_t asset_count;
} wht;

// The exports of wirehost.c.
int32_t wh_export_start_factory(void);
int32_t wh_export_build_protocol(int32_t conn);
void wh_export_connection_made(int32_t conn);
void wh_export_data_received(int32_t conn, const uint8_t *p, size_t n);
void wh_export_connection_lost(int32_t conn, int32_t reason);
void wh_export_client_connection_failed(int32_t conn, int32_t reason);
void wh_export_read_connection_lost(int32_t conn);
void wh_export_handshake_completed(int32_t conn);
void wh_export_resume_producing(int32_t conn);
void wh_export_delayed_call(int32_t timer);
int32_t wh_export_restore_state(int32_t conn, int32_t version, const uint8_t *p, size_t n);
const wh_buf *wh_save(int32_t conn);

static inline wht_conn *wht_at(int32_t h) { return h > 0 && h <= wht.conn_count ? &wht.conns[h] : NULL; }

// A connection, or a socket, that a test asks something of. There must be one: wht_accept gives 0 where
// the factory refuses.
static inline wht_conn *wht_must(int32_t h, const char *call) {
	if (wht_at(h) == NULL) {
		fprintf(stderr, "%s: found no connection %d, as where the factory has refused it\n", call, h);
		exit(EXIT_FAILURE);
	}
	return wht_at(h);
}

// Completes handshakes, and loses the connections that are to close.
static inline void wht_settle(void) {
	for (int32_t h = 1; h <= wht.conn_count; h++) {
		wht_conn *c = wht_at(h);
		if (c->port)
			continue;
		if (c->shaking && !c->ended && !(c->state & WH_STATE_CLOSING)) {
			c->shaking = false;
			wh_export_handshake_completed(h);
		}
		if (c->socket && c->state & WH_STATE_CLOSING && !c->ended) {
			c->ended = true;
			wh_export_stop_protocol(h, c->reason);
		} else if (c->state & WH_STATE_CLOSING && !(c->state & WH_STATE_PRODUCER) && !c->ended) {
			c->ended = true;
			wh_export_connection_lost(h, c->reason);
		}
	}
}

// Starts the factory; config is JSON. Other than 0: it refused.
static inline int32_t wht_start(const char *config) {
	wht.config = config;
	return wh_export_start_factory();
}

// One more file of the plugin's assets, which keeps name and p.
static inline void wht_add_asset(const char *name, const void *p, size_t n) {
	int32_t at = wht.asset_count++;
	if (at >= WHT_ASSETS)
		abort();
	for (; at > 0 && strcmp(wht.assets[at - 1].name, name) > 0; at--)
		wht.assets[at] = wht.assets[at - 1];
	wht_asset a = {name, p, n};
	wht.assets[at] = a;
}

static inline int32_t wht_new(void) {
	if (++wht.conn_count >= WHT_CONNS)
		abort();
	return wht.conn_count;
}

// A connection is accepted at a port of wh_listen's; 0: at a listener of the configuration. Its
// handle, or 0 where the factory refuses, or nobody listens there.
static inline int32_t wht_accept_at(int32_t port) {
	if (port != 0 && (wht_at(port) == NULL || !wht_at(port)->port || wht_at(port)->ended))
		return 0;
	int32_t h = wht_new();
	wht.conns[h].listener = port;
	if (wh_export_build_protocol(h) != 0)
		return 0;
	wh_export_connection_made(h);
	wht_settle();
	return h;
}

static inline int32_t wht_accept(void) { return wht_accept_at(0); }

// The newest port that listens, or 0.
static inline int32_t wht_listening(void) {
	for (int32_t h = wht.conn_count; h > 0; h--)
		if (wht_at(h)->port && !wht_at(h)->ended)
			return h;
	return 0;
}

// A socket of the configuration's: its handle. The plugin has WIREHOST_DATAGRAMS.
static inline int32_t wht_bind(void) {
	int32_t h = wht_new();
	wht.conns[h].socket = true;
	wh_start_protocol(h);
	wht_settle();
	return h;
}

// Datagrams come in, in one batch.
static inline void wht_receive(int32_t h, const wh_address *from, const char *const *texts, size_t n) {
	wh_buf records;
	memset(&records, 0, sizeof records);
	for (size_t i = 0; i < n; i++) {
		uint8_t header[32] = {0}, zeros[8] = {0};
		uint32_t size = (uint32_t)strlen(texts[i]);
		memcpy(header, &size, 4);
		memcpy(header + 4, from, sizeof *from);
		wh_buf_add(&records, header, sizeof header);
		wh_buf_add(&records, texts[i], size);
		wh_buf_add(&records, zeros, (8 - size % 8) % 8);
	}
	if (n > 0 && !wht_must(h, "wht_receive")->ended) {
		wh_datagrams_received(h, records.p, n);
		wht_settle();
	}
	wh_buf_free(&records);
}

// The peer sends. Nothing is delivered once the connection is closing.
static inline void wht_send(int32_t h, const void *p, size_t n) {
	wht_conn *c = wht_must(h, "wht_send");
	if (n > 0 && !c->ended) {
		uint8_t *copy = (uint8_t *)malloc(n); // ends with the callback, as in the server
		memcpy(copy, p, n);
		wh_export_data_received(h, copy, n);
		free(copy);
		wht_settle();
	}
}

static inline void wht_send_text(int32_t h, const char *text) { wht_send(h, text, strlen(text)); }

// The peer closes its writing side.
static inline void wht_finish(int32_t h) {
	wht_must(h, "wht_finish")->state |= WH_STATE_PEER_CLOSED;
	wh_export_read_connection_lost(h);
	wht_settle();
}

// The connection is lost.
static inline void wht_lose(int32_t h, wh_reason why) {
	wht_must(h, "wht_lose")->reason = why;
	wht_at(h)->state |= WH_STATE_CLOSING;
	wht_at(h)->state &= ~WH_STATE_PRODUCER;
	wht_settle();
}

// Ends every connection and forgets all: for the next test.
static inline void wht_reset(void) {
	for (int32_t h = 1; h <= wht.conn_count; h++) {
		if (wh_find(h) != NULL)
			wht_lose(h, WH_SHUTTING_DOWN);
		if (wht_at(h)->port)
			wh_stop_listening(h);
		wh_buf_free(&wht_at(h)->output);
	}
	for (int32_t i = 0; i < wht.sent_count; i++)
		wh_buf_free(&wht.sent[i].data);
	memset(&wht, 0, sizeof wht);
}

// Turns the clock on by ms, and makes the calls that are due, in order.
static inline void wht_advance(double ms) {
	double until = wht.now + ms;
	for (;;) {
		int32_t next = 0;
		for (int32_t t = 1; t <= wht.timer_count; t++)
			if (wht.due[t] >= 0 && wht.due[t] <= until && (next == 0 || wht.due[t] < wht.due[next]))
				next = t;
		if (next == 0)
			break;
		wht.now = wht.due[next] > wht.now ? wht.due[next] : wht.now;
		wht.due[next] = -1;
		wh_export_delayed_call(next);
		wht_settle();
	}
	wht.now = until;
}

// Moves h to a connection of its own whose protocol is restored from h's state:
// what a reload does. 0: one of them refused.
static inline int32_t wht_reload(int32_t h, int32_t version) {
	const wh_buf *state = wh_save(h);
	if (state == NULL)
		return 0;
	int32_t next = ++wht.conn_count;
	wht.conns[next].state = wht.conns[h].state;
	wht.conns[next].socket = wht.conns[h].socket;
	wht.conns[next].listener = wht.conns[h].listener;
	return wh_export_restore_state(next, version, state->p, state->len) == 0 ? next : 0;
}

// What was written is want, else says so: false.
static inline bool wht_wrote(int32_t h, const char *want) {
	const wh_buf *b = &wht_must(h, "wht_wrote")->output;
	if (b->len == strlen(want) && (b->len == 0 || memcmp(b->p, want, b->len) == 0))
		return true;
	fprintf(stderr, "connection %d: found %.*s, wanted %s\n", h, (int)b->len, b->len > 0 ? (const char *)b->p : "", want);
	return false;
}

// The imports of wirehost.c -------------------------------------------------------

int32_t wh_import_write(int32_t h, const void *p, size_t n) {
	wht_conn *c = wht_at(h);
	wht.calls++;
	if (c == NULL || c->ended)
		return c != NULL ? 0 : WH_ENOCONN;
	if ((c->state & (WH_STATE_CLOSING | WH_STATE_WRITE_CLOSED)) == 0 || c->state & WH_STATE_PRODUCER)
		wh_buf_add(&c->output, p, n);
	return (int32_t)n;
}

int32_t wh_import_write_sequence(int32_t h, const void *iov, size_t n) {
	int32_t sum = 0, calls = wht.calls + 1;
	for (size_t i = 0; i < n; i++) {
		struct { const void *p; size_t n; } v;
		memcpy(&v, (const char *)iov + i * sizeof v, sizeof v);
		int32_t status = wh_import_write(h, v.p, v.n);
		wht.calls = calls;
		if (status < 0)
			return status;
		sum += status;
	}
	return sum;
}

static inline int32_t wht_set(int32_t h, int32_t bits, int32_t clear) {
	wht_conn *c = wht_at(h);
	if (c == NULL)
		return WH_ENOCONN;
	if (!c->ended)
		c->state = (c->state & ~clear) | bits;
	return WH_OK;
}

static inline int32_t wht_give(const char *text, void *buf, size_t cap) {
	size_t n = strlen(text);
	if (n > 0 && n <= cap)
		memcpy(buf, text, n);
	return (int32_t)n;
}

int32_t wh_import_lose_connection(int32_t h) { return wht_set(h, WH_STATE_CLOSING, 0); }
int32_t wh_import_lose_write_connection(int32_t h) { return wht_set(h, WH_STATE_WRITE_CLOSED, 0); }

int32_t wh_import_abort_connection(int32_t h) {
	int32_t status = wht_set(h, WH_STATE_CLOSING, WH_STATE_PRODUCER);
	if (status == WH_OK)
		wht_at(h)->reason = WH_ABORTED;
	return status;
}

int32_t wh_import_pause_producing(int32_t h) { return wht_set(h, WH_STATE_PAUSED, 0); }
int32_t wh_import_resume_producing(int32_t h) { return wht_set(h, 0, WH_STATE_PAUSED); }

int32_t wh_import_register_producer(int32_t h, int32_t streaming) {
	(void)streaming;
	return wht_at(h) != NULL && wht_at(h)->state & WH_STATE_PRODUCER ? WH_EBUSY : wht_set(h, WH_STATE_PRODUCER, 0);
}

int32_t wh_import_unregister_producer(int32_t h) { return wht_set(h, 0, WH_STATE_PRODUCER); }

int32_t wh_import_state(int32_t h) {
	const int32_t never = WH_STATE_TLS | WH_STATE_OUTGOING | WH_STATE_CLOSING | WH_STATE_WRITE_CLOSED;
	if (wht_at(h) == NULL)
		return WH_ENOCONN;
	return wht_at(h)->state | (wht_at(h)->state & never || wht_at(h)->ended ? 0 : WH_STATE_CAN_START_TLS);
}

int32_t wh_import_set_timeout(int32_t h, int32_t ms) { return ms < 0 ? WH_EINVAL : wht_set(h, 0, 0); }
int32_t wh_import_get_peer(int32_t h, void *buf, size_t cap) { (void)h; return wht_give("tcp://192.0.2.1:5000", buf, cap); }
int32_t wh_import_get_host(int32_t h, void *buf, size_t cap) {
	const wht_conn *c = wht_at(h);
	if (c != NULL && c->port)
		return wht_give(c->endpoint, buf, cap);
	return wht_give(c != NULL && c->socket ? "udp://192.0.2.2:53" : "tcp://192.0.2.2:7000", buf, cap);
}
int32_t wh_import_reason(int32_t h, void *buf, size_t cap) { return wht_at(h)->ended ? wht_give("test", buf, cap) : WH_EINVAL; }
int32_t wh_import_set_tcp_no_delay(int32_t h, int32_t on) { (void)on; return wht_set(h, 0, 0); }
int32_t wh_import_set_tcp_keep_alive(int32_t h, int32_t on) { (void)on; return wht_set(h, 0, 0); }

int32_t wh_import_start_tls(int32_t h) {
	if (wht_at(h) != NULL && wht_at(h)->state & WH_STATE_TLS)
		return WH_EBUSY;
	if (wht_at(h) != NULL)
		wht_at(h)->shaking = true;
	return wht_set(h, WH_STATE_TLS, 0);
}

int32_t wh_import_start_tls_client(int32_t h, const void *name, size_t n) {
	(void)name;
	return n == 0 ? WH_EINVAL : wh_import_start_tls(h);
}

int32_t wh_import_stop_listening(int32_t h) {
	if (wht_at(h) == NULL || !wht_at(h)->port || wht_at(h)->ended)
		return WH_ENOCONN;
	wht_at(h)->ended = true;
	return WH_OK;
}

int32_t wh_import_listener(int32_t h) { return wht_at(h) == NULL ? WH_ENOCONN : wht_at(h)->listener; }
int32_t wh_import_hand_over(int32_t h, const void *plugin, size_t n, const void *first, size_t len) {
	(void)plugin, (void)first, (void)len;
	if (wht_at(h) == NULL || n == 0)
		return wht_at(h) == NULL ? WH_ENOCONN : WH_EPERM;
	if (wht_at(h)->state & WH_STATE_PRODUCER)
		return WH_EBUSY;
	wht_at(h)->reason = WH_HANDED_OVER;
	return wht_set(h, WH_STATE_CLOSING, 0);
}

int32_t wh_import_get_peer_certificate(int32_t h, void *buf, size_t cap) { (void)h; return wht_give("", buf, cap); }
int32_t wh_import_negotiated_protocol(int32_t h, void *buf, size_t cap) { (void)h; return wht_give("", buf, cap); }

int32_t wh_import_call_later(int32_t ms) {
	if (ms < 0 || wht.timer_count + 1 >= WHT_TIMERS)
		return ms < 0 ? WH_EINVAL : WH_E2BIG;
	wht.due[++wht.timer_count] = wht.now + ms;
	return wht.timer_count;
}

int32_t wh_import_reset(int32_t t, int32_t ms) {
	if (t < 1 || t > wht.timer_count || wht.due[t] < 0)
		return WH_ENOTIMER;
	wht.due[t] = wht.now + ms;
	return WH_OK;
}

int32_t wh_import_cancel(int32_t t) {
	int32_t status = wh_import_reset(t, 0);
	if (status == WH_OK)
		wht.due[t] = -1;
	return status;
}

double wh_import_seconds(void) { return wht.now / 1000; }

// A test begins at 2026-01-01T00:00:00Z.
double wh_import_time(void) { return 1767225600 + wht.now / 1000; }

// The same bytes in each run, and others at each call: xorshift.
int32_t wh_import_random(void *p, size_t n) {
	if (n > 65536)
		return WH_EINVAL;
	for (size_t i = 0; i < n; i++) {
		uint32_t x = wht.random != 0 ? wht.random : 2463534242;
		x ^= x << 13, x ^= x >> 17, x ^= x << 5;
		((uint8_t *)p)[i] = (uint8_t)(wht.random = x);
	}
	return WH_OK;
}

static inline int32_t wht_asked(const void *endpoint, size_t n, int32_t state) {
	wht_conn *c = &wht.conns[wht_new()];
	if (n >= sizeof c->endpoint)
		abort();
	memcpy(c->endpoint, endpoint, n);
	c->state = state;
	return wht.conn_count;
}

// Of port 0 the system chooses one from 40001 up.
int32_t wh_import_listen(const void *endpoint, size_t n) {
	const char *text = (const char *)endpoint;
	if (n < 7 || n + 5 > sizeof wht.conns->endpoint)
		return WH_EINVAL;
	if (wht.deny)
		return WH_EPERM;
	for (int32_t h = 1; h <= wht.conn_count; h++)
		if (wht_at(h)->port && !wht_at(h)->ended && strncmp(wht_at(h)->endpoint, text, n) == 0 && wht_at(h)->endpoint[n] == 0)
			return WH_EBUSY;
	int32_t h = wht_asked(endpoint, n, 0);
	wht.conns[h].port = true;
	if (memcmp(text + n - 2, ":0", 2) == 0)
		snprintf(wht.conns[h].endpoint + n - 1, 6, "%d", 40000 + h);
	return h;
}

// The test then calls wh_export_connection_made or wh_export_client_connection_failed.
int32_t wh_import_connect(const void *endpoint, size_t n, int32_t ms) {
	(void)ms;
	return wht.deny ? WH_EPERM : wht_asked(endpoint, n, WH_STATE_OUTGOING);
}

// The test then calls wh_start_protocol.
int32_t wh_import_open(const void *endpoint, size_t n) {
	int32_t h = wht_asked(endpoint, n, 0);
	wht.conns[h].socket = true;
	return h;
}

int32_t wh_import_send(int32_t h, const void *p, size_t n) {
	const uint8_t *at = (const uint8_t *)p;
	wht.calls++;
	if (wht_at(h) == NULL || !wht_at(h)->socket)
		return WH_ENOCONN;
	if (wht.full > 0 && n > (size_t)wht.full)
		n = (size_t)wht.full;
	for (size_t i = 0; i < n; i++) {
		uint32_t size = wh_get_u32(at);
		wht_datagram *d = &wht.sent[wht.sent_count++];
		if (wht.sent_count >= WHT_SENT || size > 65535)
			abort();
		d->socket = h;
		memcpy(&d->to, at + 4, sizeof d->to);
		wh_buf_add(&d->data, at + 32, size);
		at += 32 + (size + 7) / 8 * 8;
	}
	return (int32_t)n;
}

int32_t wh_import_join(int32_t h, const void *group, size_t n) { (void)group, (void)n; return wht_set(h, 0, 0); }
int32_t wh_import_leave(int32_t h, const void *group, size_t n) { (void)group, (void)n; return wht_set(h, 0, 0); }
int32_t wh_import_set_option(int32_t h, int32_t o, int32_t v) { (void)o, (void)v; return wht_set(h, 0, 0); }

int32_t wh_import_connect_as(int32_t h, const void *endpoint, size_t n, int32_t ms) {
	return wht_at(h) != NULL ? wh_import_connect(endpoint, n, ms) : WH_ENOCONN;
}

int32_t wh_import_config(void *buf, size_t cap) { return wht_give(wht.config != NULL ? wht.config : "", buf, cap); }

int32_t wh_import_emit(int32_t level, const void *p, size_t n) {
	if (wht.show_log)
		fprintf(stderr, "%d %.*s\n", level, (int)n, (const char *)p);
	return 0;
}

// Whether Prometheus takes a name, as the server asks.
static bool wht_is_metric_name(const char *name, size_t n) {
	static const char *const ends[] = {"_bucket", "_count", "_sum"};
	if (n == 0 || n > 128)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = name[i];
		if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '_' && c != ':' && (i == 0 || c < '0' || c > '9'))
			return false;
	}
	for (size_t i = 0; i < 3; i++) {
		size_t m = strlen(ends[i]);
		if (n >= m && memcmp(name + n - m, ends[i], m) == 0)
			return false;
	}
	return true;
}

int32_t wh_import_define(int32_t kind, const void *name, size_t n) {
	if (kind < WH_COUNTER || kind > WH_HISTOGRAM || !wht_is_metric_name((const char *)name, n))
		return WH_EINVAL;
	for (int32_t id = 1; id <= wht.metric_count; id++)
		if (strlen(wht.metric_names[id]) == n && memcmp(wht.metric_names[id], name, n) == 0)
			return wht.metric_kinds[id] == kind ? id : WH_EBUSY;
	if (wht.metric_count + 1 >= WHT_METRICS)
		return WH_E2BIG;
	wht.metric_kinds[++wht.metric_count] = kind;
	memcpy(wht.metric_names[wht.metric_count], name, n);
	return wht.metric_count;
}

int32_t wh_import_record(int32_t id, double value) {
	if (id < 1 || id > wht.metric_count || (wht.metric_kinds[id] == WH_COUNTER && value < 0) ||
	    value - value != 0) // not finite
		return WH_EINVAL;
	wht.metrics[id] = wht.metric_kinds[id] == WH_GAUGE ? value : wht.metrics[id] + value;
	return 0;
}

static const wht_asset *wht_asset_at(int32_t i) { return i >= 0 && i < wht.asset_count ? &wht.assets[i] : NULL; }

int32_t wh_import_count(void) { return wht.asset_count; }

int32_t wh_import_name(int32_t i, void *buf, size_t cap) {
	return wht_asset_at(i) != NULL ? wht_give(wht_asset_at(i)->name, buf, cap) : WH_EINVAL;
}

int32_t wh_import_size(int32_t i) { return wht_asset_at(i) != NULL ? (int32_t)wht_asset_at(i)->n : WH_EINVAL; }

int32_t wh_import_read(int32_t i, int32_t offset, void *buf, size_t n) {
	const wht_asset *a = wht_asset_at(i);
	if (a == NULL || offset < 0)
		return WH_EINVAL;
	size_t left = (size_t)offset < a->n ? a->n - (size_t)offset : 0;
	if (n > left)
		n = left;
	if (n > 0)
		memcpy(buf, (const char *)a->p + offset, n);
	return (int32_t)n;
}

#ifdef __cplusplus
}
#endif

#endif
