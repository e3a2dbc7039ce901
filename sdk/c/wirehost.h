// wirehost.h: the SDK for protocols in C that run inside the wirehost server; for
// those in C++ see wirehost.hpp. Copy it and wirehost.c into a project; they need
// nothing else, not even a C library. It speaks in the words of Twisted:
//
//	#include "wirehost.h"
//
//	static void received(wh_conn *c, const uint8_t *p, size_t n) { wh_write(c, p, n); }
//
//	static const wh_protocol echo = {.data_received = received};
//	static const wh_protocol *build(wh_conn *c) { (void)c; return &echo; }
//	const wh_factory wirehost_factory = {.build_protocol = build};
//
// Callbacks run one after another on one thread, never one inside another. They
// must not block; __builtin_trap() ends the instance. Bytes that a callback gets
// are valid until it returns. Small writes of a callback are gathered and sent
// with one call to the server when it returns.
//
// A function that can fail returns a negative wh_status; WH_OK or a count
// otherwise. Unless it says so, a function takes and keeps no memory of the caller.
#ifndef WIREHOST_H
#define WIREHOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// What the server answers a call with.
typedef enum wh_status {
	WH_OK = 0,
	WH_ENOCONN = -1,  // no such connection, or it has ended
	WH_EINVAL = -2,   // bad argument
	WH_E2BIG = -3,    // over a limit
	WH_EPERM = -4,    // the configuration does not allow it
	WH_EBUSY = -5,    // already so
	WH_ENOTIMER = -6, // no such timer, or it has ended
	WH_ENOTSUP = -7,  // not on this transport
	WH_ENOTNOW = -8,  // not in this callback
} wh_status;

// Why a connection ended or could not be made.
typedef enum wh_reason {
	WH_DONE,          // clean close by either side
	WH_LOST,          // I/O error
	WH_ABORTED,       // by us
	WH_TIMEOUT,       // idle, connect, handshake or flush took too long
	WH_TLS_FAILURE,   // handshake or record error
	WH_SHUTTING_DOWN, // the server shuts down
	WH_REPLACED,      // by a reload
	WH_OVER_LIMIT,    // over a limit
	WH_TRAPPED,       // the guest trapped
	WH_REFUSED,       // connect: refused or unreachable
	WH_NO_SUCH_HOST,  // connect: the name does not resolve
	WH_NOT_ALLOWED,   // connect: the address is not allowed
} wh_reason;

// Bits of wh_state.
enum {
	WH_STATE_PAUSED = 1,        // reading is paused by us
	WH_STATE_PEER_CLOSED = 2,   // the peer has closed its writing side
	WH_STATE_WRITE_CLOSED = 4,  // our writing side is closed, or will be
	WH_STATE_CLOSING = 8,       // wh_lose_connection was called
	WH_STATE_PRODUCER = 16,     // a producer is registered
	WH_STATE_TLS = 32,          // TLS is on
	WH_STATE_OUTGOING = 64,     // made by wh_connect
};

typedef enum wh_level { WH_TRACE, WH_DEBUG, WH_INFO, WH_WARN, WH_ERROR } wh_level;

// A connection: its transport, the state of its protocol and of its framer. It
// is valid until connection_lost or client_connection_failed has returned. To
// name one for longer keep its wh_handle, and look it up with wh_find.
typedef struct wh_conn wh_conn;

// Bytes that grow; {0} is empty. wh_buf_free gives the memory back.
typedef struct wh_buf {
	uint8_t *p;
	size_t len, cap;
} wh_buf;

// A protocol: what happens on a connection. Each function may be NULL.
typedef struct wh_protocol {
	size_t state_size; // bytes of state for each connection, zero at first: wh_conn_state

	void (*connection_made)(wh_conn *c); // first, before any byte is read
	// 1 byte to 64 KiB, cut anywhere; or one of the framers below.
	void (*data_received)(wh_conn *c, const uint8_t *p, size_t n);
	void (*connection_lost)(wh_conn *c, wh_reason why); // once, last

	// The peer, or we, closed one side. Where read_connection_lost is NULL the
	// output is flushed and the connection closed.
	void (*read_connection_lost)(wh_conn *c);
	void (*write_connection_lost)(wh_conn *c);
	void (*handshake_completed)(wh_conn *c);
	void (*client_connection_failed)(wh_conn *c, wh_reason why); // after wh_connect; nothing else comes

	// A producer (wh_register_producer): output is above high water, below low
	// water (pull: has emptied), or the connection is gone.
	void (*pause_producing)(wh_conn *c);
	void (*resume_producing)(wh_conn *c);
	void (*stop_producing)(wh_conn *c);

	// A reload: save appends the state to out and changes nothing; false declines.
	// restore is called in the new version in place of connection_made; other
	// than 0 refuses, and the connection stays on the old version. The framer's own
	// part is saved with wh_framer_save.
	bool (*save_state)(wh_conn *c, wh_buf *out);
	int (*restore_state)(wh_conn *c, int32_t version, const uint8_t *p, size_t n);

	// What the framers deliver.
	void (*line_received)(wh_conn *c, const uint8_t *line, size_t n);
	void (*raw_data_received)(wh_conn *c, const uint8_t *p, size_t n);
	void (*line_length_exceeded)(wh_conn *c, const uint8_t *held, size_t n); // NULL closes
	void (*string_received)(wh_conn *c, const uint8_t *s, size_t n);
	void (*length_limit_exceeded)(wh_conn *c, uint32_t length); // closes when it returns

	// Last of all, after connection_lost, client_connection_failed or a refused
	// restore_state: frees what the state points to.
	void (*ended)(wh_conn *c);
} wh_protocol;

// The factory builds the protocols of connections. Each function may be NULL
// but for build_protocol. The plugin defines the one there is: wirehost_factory. What
// it remembers, in static variables, is that of one instance: by default one for each
// event loop, so that only the connections of that loop share it; with isolation shared
// in the plugin's configuration one serves all.
typedef struct wh_factory {
	const char *log_prefix; // name for log lines
	int32_t state_version;  // number of the layout that save_state writes; 0 is 1

	int (*start)(void); // before the first connection; other than 0 refuses to start
	void (*stop)(void); // after the last

	// The protocol of an accepted connection; only getters work inside. NULL
	// refuses it. Called in a reload too, before restore_state.
	const wh_protocol *(*build_protocol)(wh_conn *c);
	// The same for an outgoing connection that a reload moves.
	const wh_protocol *(*build_client_protocol)(wh_conn *c);

	// The factory's own state, as a protocol's.
	bool (*save_state)(wh_buf *out);
	int (*restore_state)(int32_t version, const uint8_t *p, size_t n);
} wh_factory;

extern const wh_factory wirehost_factory;

// Transport ------------------------------------------------------------------

// Queues n bytes, in order; never blocks. 0, or the status of this write or of
// an earlier one: WH_E2BIG means that the connection held more than the server's
// hard limit and is being aborted. Who has much to send looks at wh_flush, or
// registers a producer. After wh_lose_connection the bytes are dropped.
int32_t wh_write(wh_conn *c, const void *p, size_t n);
int32_t wh_write_text(wh_conn *c, const char *text);
// Sends what is gathered now: how many bytes the connection has queued.
int32_t wh_flush(wh_conn *c);

int32_t wh_lose_connection(wh_conn *c);       // stop reading, flush, close
int32_t wh_lose_write_connection(wh_conn *c); // flush, close our writing side
int32_t wh_abort_connection(wh_conn *c);      // drop the output, reset
bool wh_disconnecting(const wh_conn *c);      // nothing more is delivered

// Stop and start reading; a framer stops in the middle of what it holds.
int32_t wh_pause_producing(wh_conn *c);
int32_t wh_resume_producing(wh_conn *c);

int32_t wh_register_producer(wh_conn *c, bool streaming); // true: push, false: pull
int32_t wh_unregister_producer(wh_conn *c);

int32_t wh_state(wh_conn *c);                     // bits WH_STATE_…
int32_t wh_set_timeout(wh_conn *c, int32_t ms);   // close after ms without a byte; 0 clears
int32_t wh_set_tcp_no_delay(wh_conn *c, bool on);
int32_t wh_set_tcp_keep_alive(wh_conn *c, bool on);

// Begins TLS as its server, with the listener's certificate, behind what was written.
// What came in plain text behind the command that asks for it is no part of the
// encrypted session (RFC 3207, section 4.2): a framer drops all that it holds, and
// takes in nothing until handshake_completed. What the protocol itself has kept, or is
// just getting in a data_received of its own, is its own to forget. Only WH_OK does
// so: the connection goes on in plain text otherwise.
int32_t wh_start_tls(wh_conn *c);

// The length of the text; nothing is written where cap is smaller. No 0 ends it.
int32_t wh_get_peer(wh_conn *c, char *buf, size_t cap);
int32_t wh_get_host(wh_conn *c, char *buf, size_t cap);
int32_t wh_reason_text(wh_conn *c, char *buf, size_t cap); // in connection_lost
int32_t wh_get_peer_certificate(wh_conn *c, uint8_t *buf, size_t cap);
int32_t wh_negotiated_protocol(wh_conn *c, char *buf, size_t cap);

void *wh_conn_state(wh_conn *c); // state_size bytes, owned by the connection
// A pointer of the plugin's own, which the connection keeps; NULL at first. Unlike
// the state it is there in build_protocol.
void wh_set_data(wh_conn *c, void *data);
void *wh_data(const wh_conn *c);
int32_t wh_handle(const wh_conn *c);
wh_conn *wh_find(int32_t handle); // NULL: it has ended

// Reactor --------------------------------------------------------------------

// Calls f once, after ms, with c and arg; 0 is the loop's next turn. c may be
// NULL; where it is not, the call is cancelled when the connection ends. The
// timer's handle, or a status.
int32_t wh_call_later(wh_conn *c, int32_t ms, void (*f)(wh_conn *c, void *arg), void *arg);
int32_t wh_cancel(int32_t timer);
int32_t wh_reset(int32_t timer, int32_t ms);
// For restore_state: a timer moves under its handle; f takes its call over.
int32_t wh_restore_call(int32_t timer, wh_conn *c, void (*f)(wh_conn *c, void *arg), void *arg);

double wh_seconds(void); // monotonic

// Opens a connection to a text endpoint such as tcp://127.0.0.1:5432, within ms
// (0: the server's own). Its connection_made or client_connection_failed follows.
// NULL: refused, and *status (which may be NULL) says why.
wh_conn *wh_connect(const char *endpoint, int32_t ms, const wh_protocol *p, wh_status *status);

int32_t wh_log(wh_level level, const char *text);
int32_t wh_log_bytes(wh_level level, const void *p, size_t n);

// Configuration ---------------------------------------------------------------

// A key of the plugin's config section and where its value goes. WH_TEXT is a
// wh_buf, WH_INT an int64_t, WH_BOOL a bool. What the section does not name stays.
typedef enum wh_kind { WH_TEXT, WH_INT, WH_BOOL } wh_kind;

typedef struct wh_option {
	const char *key;
	wh_kind kind;
	void *value;
} wh_option;

// Reads the config section into n options. Other than 0: it has a key or a value
// that fits none, and the log says which.
int wh_config(const wh_option *options, size_t n);
// The section itself, as JSON; see wh_get_peer.
int32_t wh_config_json(char *buf, size_t cap);

// Framers ----------------------------------------------------------------------
//
// Each is a data_received. Names and limits are those of twisted.protocols.basic;
// after wh_lose_connection they deliver nothing more. Where a limit is broken the
// connection is closed.

#define WH_MAX_LINE 16384
#define WH_MAX_STRING 99999

void wh_line_receiver(wh_conn *c, const uint8_t *p, size_t n);      // line_received
void wh_netstring_receiver(wh_conn *c, const uint8_t *p, size_t n); // string_received
void wh_int8_receiver(wh_conn *c, const uint8_t *p, size_t n);
void wh_int16_receiver(wh_conn *c, const uint8_t *p, size_t n);
void wh_int32_receiver(wh_conn *c, const uint8_t *p, size_t n);

// The longest line or string; 0 is the default above.
void wh_set_max_length(wh_conn *c, uint32_t n);
// What ends a line; CRLF at first. p must stay, such as a constant.
void wh_set_delimiter(wh_conn *c, const void *p, size_t n);
// What follows goes to raw_data_received, until wh_set_line_mode with what that
// got too much (the end of what it got).
void wh_set_raw_mode(wh_conn *c);
void wh_set_line_mode(wh_conn *c, const uint8_t *extra, size_t n);
bool wh_raw_mode(const wh_conn *c);
void wh_clear_line_buffer(wh_conn *c); // drops what is received and not delivered

int32_t wh_send_line(wh_conn *c, const void *line, size_t n);
int32_t wh_send_netstring(wh_conn *c, const void *s, size_t n);
int32_t wh_send_int8(wh_conn *c, const void *s, size_t n); // WH_E2BIG: longer than 255
int32_t wh_send_int16(wh_conn *c, const void *s, size_t n);
int32_t wh_send_int32(wh_conn *c, const void *s, size_t n);

// What is received and not delivered: valid until the next byte comes.
const uint8_t *wh_held(const wh_conn *c, size_t *n);
void wh_restore_held(wh_conn *c, const uint8_t *p, size_t n);
// The framer's part of a state: a byte of flags (1 paused, 2 raw), the length of
// what is held as an unsigned LEB128, and that. The Go SDK writes the same.
void wh_framer_save(const wh_conn *c, wh_buf *out);
// Its inverse: the bytes that it took; -1 if they are no such state.
ptrdiff_t wh_framer_restore(wh_conn *c, const uint8_t *p, size_t n);

// Memory and bytes -------------------------------------------------------------

// wh_alloc gives zero bytes, and never NULL: without memory it traps. Where a malloc
// is linked, such as a C library's, the memory is from there; else the SDK has an
// allocator of its own. A project may define both functions in the SDK's place.
void *wh_alloc(size_t n);
void wh_free(void *p);

void wh_buf_add(wh_buf *b, const void *p, size_t n);
void wh_buf_add_u32(wh_buf *b, uint32_t v);   // 4 bytes, little-endian
void wh_buf_add_leb(wh_buf *b, uint64_t v);   // unsigned LEB128
void wh_buf_free(wh_buf *b);
uint32_t wh_get_u32(const uint8_t *p);        // 4 bytes, little-endian
// Reads an unsigned LEB128: the bytes it has, 0 if they are none.
size_t wh_get_leb(const uint8_t *p, size_t n, uint64_t *v);
size_t wh_decimal(char out[20], uint64_t v);  // digits, no 0 at the end

// The first of n bytes that is b, or NULL; the first of the needle.
const uint8_t *wh_find_byte(const uint8_t *p, size_t n, uint8_t b);
const uint8_t *wh_find_bytes(const uint8_t *p, size_t n, const uint8_t *needle, size_t m);

#ifdef __cplusplus
}
#endif

#endif
