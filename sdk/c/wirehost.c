// wirehost.c: see wirehost.h. Natively compiled, its imports are the functions
// that wirehost_test.c gives, and its exports are called from there.
#include "wirehost.h"

#ifdef __wasm__
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))
#else
#include <stdlib.h>
#define IMPORT(module, name)
#define EXPORT(name)
#endif

#ifdef __wasm__ // what `wirehost inspect` shows
__asm__(".section .custom_section.wirehost_sdk,\"\",@\n.ascii \"C 0.1.0\"\n");
#endif

// Imports: abi/ABI.md -----------------------------------------------------------

// Names here are none of a C library's, so that its headers may come before.
typedef struct part {
	const void *p;
	size_t n;
} part;

IMPORT("transport", "write") int32_t wh_import_write(int32_t conn, const void *p, size_t n);
IMPORT("transport", "writeSequence") int32_t wh_import_write_sequence(int32_t conn, const part *parts, size_t n);
IMPORT("transport", "loseConnection") int32_t wh_import_lose_connection(int32_t conn);
IMPORT("transport", "loseWriteConnection") int32_t wh_import_lose_write_connection(int32_t conn);
IMPORT("transport", "abortConnection") int32_t wh_import_abort_connection(int32_t conn);
IMPORT("transport", "pauseProducing") int32_t wh_import_pause_producing(int32_t conn);
IMPORT("transport", "resumeProducing") int32_t wh_import_resume_producing(int32_t conn);
IMPORT("transport", "registerProducer") int32_t wh_import_register_producer(int32_t conn, int32_t streaming);
IMPORT("transport", "unregisterProducer") int32_t wh_import_unregister_producer(int32_t conn);
IMPORT("transport", "state") int32_t wh_import_state(int32_t conn);
IMPORT("transport", "setTimeout") int32_t wh_import_set_timeout(int32_t conn, int32_t ms);
IMPORT("transport", "getPeer") int32_t wh_import_get_peer(int32_t conn, void *buf, size_t cap);
IMPORT("transport", "getHost") int32_t wh_import_get_host(int32_t conn, void *buf, size_t cap);
IMPORT("transport", "reason") int32_t wh_import_reason(int32_t conn, void *buf, size_t cap);
IMPORT("transport", "setTcpNoDelay") int32_t wh_import_set_tcp_no_delay(int32_t conn, int32_t on);
IMPORT("transport", "setTcpKeepAlive") int32_t wh_import_set_tcp_keep_alive(int32_t conn, int32_t on);
IMPORT("transport", "startTLS") int32_t wh_import_start_tls(int32_t conn);
IMPORT("transport", "getPeerCertificate") int32_t wh_import_get_peer_certificate(int32_t conn, void *buf, size_t cap);
IMPORT("transport", "negotiatedProtocol") int32_t wh_import_negotiated_protocol(int32_t conn, void *buf, size_t cap);
IMPORT("reactor", "callLater") int32_t wh_import_call_later(int32_t ms);
IMPORT("reactor", "cancel") int32_t wh_import_cancel(int32_t timer);
IMPORT("reactor", "reset") int32_t wh_import_reset(int32_t timer, int32_t ms);
IMPORT("reactor", "seconds") double wh_import_seconds(void);
IMPORT("reactor", "connect") int32_t wh_import_connect(const void *endpoint, size_t n, int32_t ms);
IMPORT("factory", "config") int32_t wh_import_config(void *buf, size_t cap);
IMPORT("log", "emit") int32_t wh_import_emit(int32_t level, const void *p, size_t n);

// Memory --------------------------------------------------------------------------

#ifdef __wasm__

// What a compiler calls behind one's back. A project with its own keeps its own.
#ifdef __wasm_bulk_memory__
#define BULK(call) return call
#else
#define BULK(call)
#endif
#define ITSELF __attribute__((weak, no_builtin))

ITSELF void *memcpy(void *to, const void *from, size_t n) {
	BULK(__builtin_memcpy(to, from, n));
	for (size_t i = 0; i < n; i++)
		((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
	return to;
}

ITSELF void *memmove(void *to, const void *from, size_t n) {
	BULK(__builtin_memmove(to, from, n));
	if ((uintptr_t)to <= (uintptr_t)from)
		for (size_t i = 0; i < n; i++)
			((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
	else
		while (n-- > 0)
			((uint8_t *)to)[n] = ((const uint8_t *)from)[n];
	return to;
}

ITSELF void *memset(void *to, int b, size_t n) {
	BULK(__builtin_memset(to, b, n));
	for (size_t i = 0; i < n; i++)
		((uint8_t *)to)[i] = (uint8_t)b;
	return to;
}

ITSELF int memcmp(const void *a, const void *b, size_t n) {
	for (size_t i = 0; i < n; i++)
		if (((const uint8_t *)a)[i] != ((const uint8_t *)b)[i])
			return ((const uint8_t *)a)[i] - ((const uint8_t *)b)[i];
	return 0;
}

// The memory is malloc's where one is linked, of a C library or of the project: two
// allocators would both begin at __heap_base. A weak reference links none by itself.
static __attribute__((weakref("malloc"))) void *linked_malloc(size_t n);
static __attribute__((weakref("free"))) void linked_free(void *p);

// Else, blocks of 2^k bytes, with k in a header of 16. A freed block waits in its
// class's list for the next of its size.
enum { HEADER = 16, PAGE = 65536 };

extern uint8_t __heap_base;
static uintptr_t top, limit; // free memory behind all blocks
static void *freed[32];

static uint8_t *fresh(size_t size) {
	if (top == 0) {
		top = ((uintptr_t)&__heap_base + HEADER - 1) & ~(uintptr_t)(HEADER - 1);
		limit = __builtin_wasm_memory_size(0) * PAGE;
	}
	if (limit - top < size) {
		size_t pages = (size - (limit - top) + PAGE - 1) / PAGE;
		size_t old = __builtin_wasm_memory_grow(0, pages);
		if (old == (size_t)-1)
			return NULL;
		if (old * PAGE != limit) { // another has taken what was in between
			top = limit = old * PAGE;
			limit += pages * PAGE;
			return fresh(size);
		}
		limit += pages * PAGE;
	}
	top += size;
	return (uint8_t *)(top - size);
}

static void *block_alloc(size_t n) {
	uint32_t k = 32 - (uint32_t)__builtin_clz((uint32_t)n + HEADER - 1);
	uint8_t *block = freed[k];
	if (block != NULL) {
		freed[k] = *(void **)block;
	} else if ((block = fresh((size_t)1 << k)) == NULL) {
		return NULL;
	}
	*(uint32_t *)block = k;
	return block + HEADER;
}

ITSELF void *wh_alloc(size_t n) {
	void *p = NULL;
	if (n <= 1u << 30)
		p = linked_malloc != NULL ? linked_malloc(n > 0 ? n : 1) : block_alloc(n);
	if (p == NULL)
		__builtin_trap();
	return __builtin_memset(p, 0, n);
}

ITSELF void wh_free(void *p) {
	if (p == NULL)
		return;
	if (linked_malloc != NULL) {
		if (linked_free != NULL)
			linked_free(p);
		return;
	}
	uint8_t *block = (uint8_t *)p - HEADER;
	uint32_t k = *(uint32_t *)block;
	*(void **)block = freed[k];
	freed[k] = block;
}

#else

enum { HEADER = 16 };

void *wh_alloc(size_t n) {
	void *p = calloc(1, n > 0 ? n : 1);
	if (p == NULL)
		__builtin_trap();
	return p;
}

void wh_free(void *p) { free(p); }

#endif

void wh_buf_add(wh_buf *b, const void *p, size_t n) {
	if (n > b->cap - b->len) {
		size_t cap = 64;
		while (cap - HEADER < b->len + n)
			cap *= 2;
		cap -= HEADER;
		uint8_t *room = wh_alloc(cap);
		if (b->len > 0)
			__builtin_memcpy(room, b->p, b->len);
		wh_free(b->p);
		b->p = room, b->cap = cap;
	}
	if (n > 0)
		__builtin_memmove(b->p + b->len, p, n);
	b->len += n;
}

void wh_buf_free(wh_buf *b) {
	wh_free(b->p);
	*b = (wh_buf){0};
}

void wh_buf_add_u32(wh_buf *b, uint32_t v) {
	uint8_t le[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
	wh_buf_add(b, le, 4);
}

uint32_t wh_get_u32(const uint8_t *p) {
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void wh_buf_add_leb(wh_buf *b, uint64_t v) {
	uint8_t byte;
	do {
		byte = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
		wh_buf_add(b, &byte, 1);
	} while ((v >>= 7) > 0);
}

size_t wh_get_leb(const uint8_t *p, size_t n, uint64_t *v) {
	*v = 0;
	for (size_t i = 0; i < n && i < 10; i++) {
		if (i == 9 && p[i] > 1)
			return 0;
		*v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (p[i] < 0x80)
			return i + 1;
	}
	return 0;
}

size_t wh_decimal(char out[20], uint64_t v) {
	char digits[20];
	size_t n = 0;
	do
		digits[n++] = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	for (size_t i = 0; i < n; i++)
		out[i] = digits[n - 1 - i];
	return n;
}

static size_t text_length(const char *s) {
	size_t n = 0;
	while (s[n] != 0)
		n++;
	return n;
}

static void add_text(wh_buf *b, const char *s) { wh_buf_add(b, s, text_length(s)); }

static void add_number(wh_buf *b, int64_t v) {
	char digits[20];
	if (v < 0)
		wh_buf_add(b, "-", 1);
	wh_buf_add(b, digits, wh_decimal(digits, v < 0 ? 0 - (uint64_t)v : (uint64_t)v));
}

// Tables of connections and timers, by handle -------------------------------------

typedef struct item {
	struct item *next;
	int32_t handle;
} item;

typedef struct table {
	item **slots;
	uint32_t size, count; // size: a power of two, or 0
} table;

static item **place(const table *t, int32_t handle) {
	item **at = &t->slots[(uint32_t)handle & (t->size - 1)];
	while (*at != NULL && (*at)->handle != handle)
		at = &(*at)->next;
	return at;
}

static item *find(const table *t, int32_t handle) { return t->size > 0 ? *place(t, handle) : NULL; }

static void insert(table *t, item *e) {
	if (t->count == t->size) {
		table wide = {.size = t->size > 0 ? 2 * t->size : 4};
		wide.slots = wh_alloc(wide.size * sizeof *wide.slots);
		for (uint32_t i = 0; i < t->size; i++)
			while (t->slots[i] != NULL) {
				item *moved = t->slots[i];
				t->slots[i] = moved->next;
				insert(&wide, moved);
			}
		wh_free(t->slots);
		*t = wide;
	}
	item **at = place(t, e->handle);
	e->next = NULL;
	*at = e;
	t->count++;
}

static void discard(table *t, int32_t handle) {
	item **at = place(t, handle);
	*at = (*at)->next;
	t->count--;
}

// The instance ----------------------------------------------------------------------

typedef struct timer {
	item e;
	wh_conn *conn;             // or NULL
	struct timer *next, **at;  // in the connection's list
	void (*call)(wh_conn *c, void *arg);
	void *arg;
} timer;

typedef struct framer {
	wh_buf held;       // outside pump: what is not consumed
	const uint8_t *at; // inside pump: what is not consumed,
	size_t left;       // in held or in the receive buffer
	size_t scanned;    // bytes in which no delimiter begins
	const uint8_t *delimiter;
	uint32_t delimiter_length, max_length;
	bool busy, paused, raw;
	bool shaking; // from wh_start_tls until handshake_completed
} framer;

struct wh_conn {
	item e;
	const wh_protocol *protocol;
	void *state; // of state_size bytes
	void *data;  // of wh_set_data
	timer *timers;
	framer framer;
	int32_t error; // of the last sending at the end of a callback
	bool pending;  // outgoing, and not made yet
	bool closing, half, aborted, lost, producer;
};

enum { LARGE = 4096, OUT = 65536, RECEIVE = 65536 };

static table conns, timers;
static uint8_t out[OUT]; // what this callback wrote
static size_t out_length;
static wh_conn *out_conn; // to whom
static bool saving;       // in saveState: nothing may be written

static wh_conn *new_conn(int32_t handle, bool pending) {
	wh_conn *c = wh_alloc(sizeof *c);
	c->e.handle = handle, c->pending = pending;
	insert(&conns, &c->e);
	return c;
}

static void join(wh_conn *c, const wh_protocol *p) {
	c->protocol = p;
	if (p->state_size > 0)
		c->state = wh_alloc(p->state_size);
}

static wh_conn *expect(int32_t handle) {
	wh_conn *c = wh_find(handle);
	if (c == NULL)
		__builtin_trap(); // the server named one that is not ours
	return c;
}

wh_conn *wh_find(int32_t handle) { return (wh_conn *)find(&conns, handle); }
int32_t wh_handle(const wh_conn *c) { return c->e.handle; }
void *wh_conn_state(wh_conn *c) { return c->state; }
void wh_set_data(wh_conn *c, void *data) { c->data = data; }
void *wh_data(const wh_conn *c) { return c->data; }
bool wh_disconnecting(const wh_conn *c) { return c->closing || c->lost; }

int32_t wh_log_bytes(wh_level level, const void *p, size_t n) { return wh_import_emit(level, p, n); }
int32_t wh_log(wh_level level, const char *text) { return wh_log_bytes(level, text, text_length(text)); }

// Logs WHAT connection HANDLE: WHY (and a status). Where even that fails there is
// nobody left to tell.
static void report(wh_level level, const char *what, int32_t handle, const char *why, int32_t status) {
	wh_buf b = {0};
	add_text(&b, what);
	add_text(&b, " connection ");
	add_number(&b, handle);
	add_text(&b, ": ");
	add_text(&b, why);
	if (status < 0)
		add_number(&b, status);
	wh_log_bytes(level, b.p, b.len);
	wh_buf_free(&b);
}

// Sends what is gathered, for whomever it is, and p behind it.
static int32_t send_out(wh_conn *c, const void *p, size_t n) {
	size_t gathered = out_length;
	out_length = 0;
	if (gathered == 0)
		return wh_import_write(c->e.handle, p, n);
	if (n == 0)
		return wh_import_write(c->e.handle, out, gathered);
	part both[2] = {{out, gathered}, {p, n}};
	return wh_import_write_sequence(c->e.handle, both, 2);
}

// Ends a callback, or what it wrote to one connection.
static void leave(void) {
	wh_conn *c = out_conn;
	if (c == NULL)
		return;
	out_conn = NULL;
	if (out_length == 0)
		return;
	int32_t status = send_out(c, NULL, 0);
	if (status < 0) {
		c->error = status;
		report(WH_WARN, "write to", c->e.handle, "status ", status);
	}
}

// Sends what was gathered for c before something that must come behind it.
static void flush(wh_conn *c) {
	if (c == out_conn)
		leave();
}

static bool drops(const wh_conn *c) {
	return c->lost || c->aborted || ((c->closing || c->half) && !c->producer);
}

static int32_t take_error(wh_conn *c) {
	if (c->pending && !c->lost)
		return WH_ENOCONN;
	if (saving)
		return WH_ENOTNOW;
	int32_t error = c->error;
	c->error = WH_OK;
	return error;
}

int32_t wh_write(wh_conn *c, const void *p, size_t n) {
	int32_t status = take_error(c);
	if (status < 0 || n == 0 || drops(c))
		return status;
	if (out_conn != c)
		leave();
	if (n >= LARGE || out_length + n > OUT) {
		status = send_out(c, p, n);
		return status < 0 ? status : WH_OK;
	}
	out_conn = c;
	__builtin_memcpy(out + out_length, p, n);
	out_length += n;
	return WH_OK;
}

int32_t wh_write_text(wh_conn *c, const char *text) { return wh_write(c, text, text_length(text)); }

int32_t wh_flush(wh_conn *c) {
	int32_t status = take_error(c);
	if (status < 0 || drops(c))
		return status;
	if (out_conn != c)
		leave();
	return send_out(c, NULL, 0);
}

int32_t wh_lose_connection(wh_conn *c) {
	flush(c);
	int32_t status = wh_import_lose_connection(c->e.handle);
	if (status == WH_OK)
		c->closing = true;
	return status;
}

int32_t wh_lose_write_connection(wh_conn *c) {
	flush(c);
	int32_t status = wh_import_lose_write_connection(c->e.handle);
	if (status == WH_OK)
		c->half = true;
	return status;
}

int32_t wh_abort_connection(wh_conn *c) {
	if (c == out_conn)
		out_length = 0;
	int32_t status = wh_import_abort_connection(c->e.handle);
	if (status == WH_OK)
		c->closing = c->aborted = true;
	return status;
}

int32_t wh_pause_producing(wh_conn *c) {
	c->framer.paused = true;
	return wh_import_pause_producing(c->e.handle);
}

int32_t wh_resume_producing(wh_conn *c) {
	c->framer.paused = false;
	int32_t status = wh_import_resume_producing(c->e.handle);
	if (!c->framer.busy && c->framer.held.len > 0)
		c->protocol->data_received(c, NULL, 0); // a framer goes on with what it holds
	return status;
}

int32_t wh_register_producer(wh_conn *c, bool streaming) {
	flush(c);
	int32_t status = wh_import_register_producer(c->e.handle, streaming);
	if (status == WH_OK)
		c->producer = true;
	return status;
}

int32_t wh_unregister_producer(wh_conn *c) {
	flush(c);
	c->producer = false;
	return wh_import_unregister_producer(c->e.handle);
}

int32_t wh_start_tls(wh_conn *c) {
	flush(c);
	int32_t status = wh_import_start_tls(c->e.handle);
	if (status == WH_OK) { // what came in plain text is no part of the session: RFC 3207, section 4.2
		c->framer.shaking = true;
		wh_clear_line_buffer(c);
	}
	return status;
}

int32_t wh_state(wh_conn *c) { return wh_import_state(c->e.handle); }
int32_t wh_set_timeout(wh_conn *c, int32_t ms) { return wh_import_set_timeout(c->e.handle, ms); }
int32_t wh_set_tcp_no_delay(wh_conn *c, bool on) { return wh_import_set_tcp_no_delay(c->e.handle, on); }
int32_t wh_set_tcp_keep_alive(wh_conn *c, bool on) { return wh_import_set_tcp_keep_alive(c->e.handle, on); }
int32_t wh_get_peer(wh_conn *c, char *buf, size_t cap) { return wh_import_get_peer(c->e.handle, buf, cap); }
int32_t wh_get_host(wh_conn *c, char *buf, size_t cap) { return wh_import_get_host(c->e.handle, buf, cap); }
int32_t wh_reason_text(wh_conn *c, char *buf, size_t cap) { return wh_import_reason(c->e.handle, buf, cap); }

int32_t wh_get_peer_certificate(wh_conn *c, uint8_t *buf, size_t cap) {
	return wh_import_get_peer_certificate(c->e.handle, buf, cap);
}

int32_t wh_negotiated_protocol(wh_conn *c, char *buf, size_t cap) {
	return wh_import_negotiated_protocol(c->e.handle, buf, cap);
}

// Reactor ------------------------------------------------------------------------------

double wh_seconds(void) { return wh_import_seconds(); }

int32_t wh_restore_call(int32_t handle, wh_conn *c, void (*f)(wh_conn *c, void *arg), void *arg) {
	if (find(&timers, handle) != NULL)
		return WH_EBUSY;
	timer *t = wh_alloc(sizeof *t);
	t->e.handle = handle, t->conn = c, t->call = f, t->arg = arg;
	insert(&timers, &t->e);
	if (c != NULL) {
		t->next = c->timers, t->at = &c->timers;
		if (t->next != NULL)
			t->next->at = &t->next;
		c->timers = t;
	}
	return handle;
}

int32_t wh_call_later(wh_conn *c, int32_t ms, void (*f)(wh_conn *c, void *arg), void *arg) {
	int32_t handle = wh_import_call_later(ms);
	return handle < 0 ? handle : wh_restore_call(handle, c, f, arg);
}

static void forget(timer *t) {
	if (t->at != NULL) {
		*t->at = t->next;
		if (t->next != NULL)
			t->next->at = t->at;
	}
	discard(&timers, t->e.handle);
	wh_free(t);
}

int32_t wh_cancel(int32_t handle) {
	timer *t = (timer *)find(&timers, handle);
	if (t == NULL)
		return WH_ENOTIMER;
	int32_t status = wh_import_cancel(handle);
	if (status == WH_OK || status == WH_ENOTIMER)
		forget(t);
	return status;
}

int32_t wh_reset(int32_t handle, int32_t ms) {
	return find(&timers, handle) != NULL ? wh_import_reset(handle, ms) : WH_ENOTIMER;
}

wh_conn *wh_connect(const char *endpoint, int32_t ms, const wh_protocol *p, wh_status *status) {
	int32_t handle = wh_import_connect(endpoint, text_length(endpoint), ms);
	if (status != NULL)
		*status = handle < 0 ? (wh_status)handle : WH_OK;
	if (handle < 0)
		return NULL;
	wh_conn *c = new_conn(handle, true);
	join(c, p);
	return c;
}

int32_t wh_config_json(char *buf, size_t cap) { return wh_import_config(buf, cap); }

// Exports: abi/ABI.md --------------------------------------------------------------------

static void end(wh_conn *c) {
	while (c->timers != NULL)
		wh_cancel(c->timers->e.handle);
	leave();
	if (c->protocol != NULL && c->protocol->ended != NULL)
		c->protocol->ended(c);
	discard(&conns, c->e.handle);
	wh_buf_free(&c->framer.held);
	wh_free(c->state);
	wh_free(c);
}

EXPORT("abi_version_1") void wh_export_version(void) {}

EXPORT("startFactory") int32_t wh_export_start_factory(void) {
	int32_t status = wirehost_factory.start != NULL ? wirehost_factory.start() : 0;
	leave();
	return status;
}

EXPORT("stopFactory") void wh_export_stop_factory(void) {
	if (wirehost_factory.stop != NULL)
		wirehost_factory.stop();
	leave();
}

// Joins a connection and the protocol that build makes for it.
static wh_conn *attach(int32_t handle, bool pending, const wh_protocol *(*build)(wh_conn *c)) {
	wh_conn *c = new_conn(handle, pending);
	const wh_protocol *p = build != NULL ? build(c) : NULL;
	if (p == NULL) {
		end(c);
		return NULL;
	}
	join(c, p);
	return c;
}

EXPORT("buildProtocol") int32_t wh_export_build_protocol(int32_t conn) {
	wh_conn *c = attach(conn, false, wirehost_factory.build_protocol);
	leave();
	return c != NULL ? 0 : 1;
}

EXPORT("connectionMade") void wh_export_connection_made(int32_t conn) {
	wh_conn *c = expect(conn);
	c->pending = false;
	if (c->protocol->connection_made != NULL)
		c->protocol->connection_made(c);
	leave();
}

EXPORT("dataReceived") void wh_export_data_received(int32_t conn, const uint8_t *p, size_t n) {
	wh_conn *c = expect(conn);
	if (c->protocol->data_received != NULL)
		c->protocol->data_received(c, p, n);
	leave();
}

EXPORT("connectionLost") void wh_export_connection_lost(int32_t conn, int32_t reason) {
	wh_conn *c = expect(conn);
	c->lost = true;
	if (c->protocol->connection_lost != NULL)
		c->protocol->connection_lost(c, (wh_reason)reason);
	end(c);
}

EXPORT("clientConnectionFailed") void wh_export_client_connection_failed(int32_t conn, int32_t reason) {
	wh_conn *c = expect(conn);
	c->lost = true;
	if (c->protocol->client_connection_failed != NULL)
		c->protocol->client_connection_failed(c, (wh_reason)reason);
	end(c);
}

EXPORT("readConnectionLost") void wh_export_read_connection_lost(int32_t conn) {
	wh_conn *c = expect(conn);
	if (c->protocol->read_connection_lost != NULL) {
		c->protocol->read_connection_lost(c);
	} else {
		int32_t status = wh_lose_connection(c);
		if (status < 0)
			report(WH_WARN, "close of", conn, "status ", status);
	}
	leave();
}

// Calls f, which may be NULL, where it is wanted.
static void call(int32_t conn, void (*f)(wh_conn *c), bool wanted) {
	if (f != NULL && wanted)
		f(expect(conn));
	leave();
}

EXPORT("writeConnectionLost") void wh_export_write_connection_lost(int32_t conn) {
	call(conn, expect(conn)->protocol->write_connection_lost, true);
}

EXPORT("handshakeCompleted") void wh_export_handshake_completed(int32_t conn) {
	wh_conn *c = expect(conn);
	c->framer.shaking = false;
	call(conn, c->protocol->handshake_completed, true);
}

// A call that crossed with wh_unregister_producer is no news.
EXPORT("pauseProducing") void wh_export_pause_producing(int32_t conn) {
	wh_conn *c = expect(conn);
	call(conn, c->protocol->pause_producing, c->producer);
}

EXPORT("resumeProducing") void wh_export_resume_producing(int32_t conn) {
	wh_conn *c = expect(conn);
	call(conn, c->protocol->resume_producing, c->producer);
}

EXPORT("stopProducing") void wh_export_stop_producing(int32_t conn) {
	wh_conn *c = expect(conn);
	bool wanted = c->producer;
	c->producer = false;
	call(conn, c->protocol->stop_producing, wanted);
}

EXPORT("delayedCall") void wh_export_delayed_call(int32_t handle) {
	timer *t = (timer *)find(&timers, handle);
	if (t == NULL) {
		wh_log(WH_WARN, "a timer is due and has no call: restore_state did not claim it with wh_restore_call");
		return;
	}
	timer due = *t;
	forget(t);
	due.call(due.conn, due.arg);
	leave();
}

EXPORT("stateVersion") int32_t wh_export_state_version(void) {
	return wirehost_factory.state_version != 0 ? wirehost_factory.state_version : 1;
}

// What saveState gives; NULL declines. It stays until the next call.
const wh_buf *wh_save(int32_t conn) {
	static wh_buf saved;
	wh_buf_free(&saved);
	bool done = false;
	saving = true;
	if (conn == 0) {
		done = wirehost_factory.save_state != NULL && wirehost_factory.save_state(&saved);
	} else {
		wh_conn *c = expect(conn);
		done = c->protocol->save_state != NULL && c->protocol->save_state(c, &saved);
	}
	saving = false;
	return done ? &saved : NULL;
}

// Makes a connection of the version before. One that is still connecting answers
// getters with WH_ENOCONN.
static wh_conn *rebuild(int32_t conn) {
	int32_t bits = wh_import_state(conn);
	bool outgoing = bits < 0 || (bits & WH_STATE_OUTGOING) != 0;
	wh_conn *c = attach(conn, bits < 0, outgoing ? wirehost_factory.build_client_protocol : wirehost_factory.build_protocol);
	if (c != NULL && bits > 0) {
		c->closing = (bits & WH_STATE_CLOSING) != 0;
		c->half = (bits & WH_STATE_WRITE_CLOSED) != 0;
		c->producer = (bits & WH_STATE_PRODUCER) != 0;
	}
	return c;
}

static int32_t restore(int32_t conn, int32_t version, const uint8_t *p, size_t n) {
	if (conn == 0)
		return wirehost_factory.restore_state != NULL ? wirehost_factory.restore_state(version, p, n) : -1;
	wh_conn *c = rebuild(conn);
	if (c == NULL)
		return -1;
	if (c->protocol->restore_state != NULL && c->protocol->restore_state(c, version, p, n) == 0)
		return 0;
	end(c);
	return -1;
}

static uint8_t *restore_room; // what restoreBuffer gave

EXPORT("restoreState") int32_t wh_export_restore_state(int32_t conn, int32_t version, const uint8_t *p, size_t n) {
	int32_t status = restore(conn, version, p, n);
	if (status != 0)
		report(WH_ERROR, "restore of", conn, "no protocol for it, or refused", 0);
	wh_free(restore_room);
	restore_room = NULL;
	leave();
	return status;
}

#ifdef __wasm__

static uint8_t receive[RECEIVE]; // the registered buffer

static uint64_t pack(const void *p, size_t n) { return n > 0 ? (uint64_t)(uintptr_t)p << 32 | n : 0; }

EXPORT("receiveBuffer") uint64_t wh_export_receive_buffer(void) { return pack(receive, RECEIVE); }

EXPORT("logPrefix") uint64_t wh_export_log_prefix(void) {
	const char *prefix = wirehost_factory.log_prefix;
	return prefix != NULL ? pack(prefix, text_length(prefix)) : 0;
}

EXPORT("saveState") int64_t wh_export_save_state(int32_t conn) {
	const wh_buf *saved = wh_save(conn);
	return saved != NULL ? (int64_t)pack(saved->p, saved->len) : -1;
}

EXPORT("restoreBuffer") void *wh_export_restore_buffer(size_t n) {
	wh_free(restore_room);
	return restore_room = n <= 1u << 30 ? wh_alloc(n) : NULL;
}

#endif

// Framers ------------------------------------------------------------------------------------

#ifdef __wasm_simd128__
typedef uint8_t bytes16 __attribute__((vector_size(16), aligned(1)));
typedef signed char signed16 __attribute__((vector_size(16)));
#endif

const uint8_t *wh_find_byte(const uint8_t *p, size_t n, uint8_t b) {
	size_t i = 0;
#ifdef __wasm_simd128__
	for (; i + 16 <= n; i += 16) {
		bytes16 all = (bytes16){0} + b;
		uint32_t mask = (uint32_t)__builtin_wasm_bitmask_i8x16((signed16)(*(const bytes16 *)(p + i) == all));
		if (mask != 0)
			return p + i + __builtin_ctz(mask);
	}
#else
	// Eight at once: a byte of x that is 0 has its top bit in zero.
	const uint64_t ones = 0x0101010101010101u;
	for (; i + 8 <= n; i += 8) {
		uint64_t x;
		__builtin_memcpy(&x, p + i, 8);
		x ^= ones * b;
		uint64_t zero = (x - ones) & ~x & ones << 7;
		if (zero != 0)
			return p + i + (__builtin_ctzll(zero) >> 3);
	}
#endif
	for (; i < n; i++)
		if (p[i] == b)
			return p + i;
	return NULL;
}

const uint8_t *wh_find_bytes(const uint8_t *p, size_t n, const uint8_t *needle, size_t m) {
	const uint8_t *end = p + n;
	if (m == 0)
		return p;
	while ((size_t)(end - p) >= m) {
		p = wh_find_byte(p, (size_t)(end - p) - m + 1, needle[0]);
		if (p == NULL)
			return NULL;
		size_t i = 1;
		while (i < m && p[i] == needle[i])
			i++;
		if (i == m)
			return p;
		p++;
	}
	return NULL;
}

// Delivers frames until there is no whole one, or none may be. step consumes one
// from the front of at and delivers it, and tells whether there may be another.
// Frames are delivered where they lie, with no copy.
static void pump(wh_conn *c, const uint8_t *p, size_t n, bool (*step)(wh_conn *c)) {
	framer *f = &c->framer;
	if (f->busy)
		__builtin_trap(); // a framer was called by what it delivers to
	if (f->shaking)
		return;
	bool own = f->held.len > 0;
	if (own)
		wh_buf_add(&f->held, p, n);
	f->at = own ? f->held.p : p;
	f->left = own ? f->held.len : n;
	f->busy = true;
	while (!f->paused && !wh_disconnecting(c) && step(c)) {
	}
	f->busy = false;
	if (f->left == 0 || wh_disconnecting(c)) {
		wh_buf_free(&f->held);
	} else if (own) {
		__builtin_memmove(f->held.p, f->at, f->left);
		f->held.len = f->left;
	} else {
		wh_buf_add(&f->held, f->at, f->left);
	}
	f->at = NULL, f->left = 0;
}

static const uint8_t *take(framer *f, size_t n) {
	const uint8_t *frame = f->at;
	f->at += n, f->left -= n;
	return frame;
}

// Closes over a peer's fault.
static void close_for(wh_conn *c, const char *fault) {
	int32_t status = wh_lose_connection(c);
	report(status < 0 ? WH_WARN : WH_DEBUG, "close of", c->e.handle, fault, status);
}

static const uint8_t *delimiter(const framer *f, size_t *n) {
	*n = f->delimiter_length > 0 ? f->delimiter_length : 2;
	return f->delimiter_length > 0 ? f->delimiter : (const uint8_t *)"\r\n";
}

// Whether a line is too long is decided on its first max_length and delimiter
// bytes, however they came: where no delimiter ends in them, it can only be.
static bool step_line(wh_conn *c) {
	framer *f = &c->framer;
	if (f->left == 0)
		return false;
	if (f->raw) {
		size_t n = f->left;
		const uint8_t *p = take(f, n);
		c->protocol->raw_data_received(c, p, n);
		return true;
	}
	size_t m;
	const uint8_t *needle = delimiter(f, &m);
	size_t most = (f->max_length > 0 ? f->max_length : WH_MAX_LINE) + m;
	size_t window = f->left < most ? f->left : most;
	size_t from = f->scanned < window ? f->scanned : window;
	const uint8_t *found = wh_find_bytes(f->at + from, window - from, needle, m);
	if (found != NULL) {
		size_t n = (size_t)(found - f->at);
		f->scanned = 0;
		c->protocol->line_received(c, take(f, n + m), n);
		return true;
	}
	if (f->left >= most) {
		f->scanned = 0;
		const uint8_t *held = take(f, most);
		if (c->protocol->line_length_exceeded != NULL)
			c->protocol->line_length_exceeded(c, held, most);
		else
			close_for(c, "a line is too long");
		return true;
	}
	f->scanned = window + 1 > m ? window + 1 - m : 0;
	return false;
}

void wh_line_receiver(wh_conn *c, const uint8_t *p, size_t n) { pump(c, p, n, step_line); }

void wh_set_delimiter(wh_conn *c, const void *p, size_t n) {
	c->framer.delimiter = p, c->framer.delimiter_length = (uint32_t)n, c->framer.scanned = 0;
}

void wh_set_max_length(wh_conn *c, uint32_t n) { c->framer.max_length = n; }
bool wh_raw_mode(const wh_conn *c) { return c->framer.raw; }

void wh_set_raw_mode(wh_conn *c) { c->framer.raw = true, c->framer.scanned = 0; }

void wh_set_line_mode(wh_conn *c, const uint8_t *extra, size_t n) {
	framer *f = &c->framer;
	f->raw = false, f->scanned = 0;
	if (n > 0 && !f->shaking) {
		if (!f->busy || extra + n != f->at)
			__builtin_trap(); // not the end of what raw_data_received got
		f->at -= n, f->left += n;
	}
	if (!f->busy && f->held.len > 0)
		c->protocol->data_received(c, NULL, 0);
}

void wh_clear_line_buffer(wh_conn *c) {
	c->framer.left = c->framer.scanned = 0;
	if (!c->framer.busy)
		wh_buf_free(&c->framer.held);
}

int32_t wh_send_line(wh_conn *c, const void *line, size_t n) {
	size_t m;
	const uint8_t *end = delimiter(&c->framer, &m);
	int32_t status = wh_write(c, line, n);
	return status < 0 ? status : wh_write(c, end, m);
}

static size_t longest(const framer *f) { return f->max_length > 0 ? f->max_length : WH_MAX_STRING; }

// Closes at the first byte that is wrong.
static bool step_netstring(wh_conn *c) {
	framer *f = &c->framer;
	size_t size = 0, digits = 0;
	for (;; digits++) {
		if (digits == f->left)
			return false;
		uint8_t b = f->at[digits];
		if (b == ':' && digits > 0)
			break;
		const char *fault = NULL;
		if (b < '0' || b > '9')
			fault = "a netstring's length is no number";
		else if (digits > 0 && size == 0)
			fault = "a netstring's length begins with 0";
		else if ((uint64_t)size * 10 + (b - '0') > longest(f))
			fault = "a netstring is too long";
		if (fault != NULL) {
			close_for(c, fault);
			return false;
		}
		size = size * 10 + (b - '0');
	}
	if (f->left - digits - 1 <= size)
		return false;
	if (f->at[digits + 1 + size] != ',') {
		close_for(c, "a netstring has no comma");
		return false;
	}
	c->protocol->string_received(c, take(f, digits + size + 2) + digits + 1, size);
	return true;
}

void wh_netstring_receiver(wh_conn *c, const uint8_t *p, size_t n) { pump(c, p, n, step_netstring); }

int32_t wh_send_netstring(wh_conn *c, const void *s, size_t n) {
	char prefix[21];
	size_t digits = wh_decimal(prefix, n);
	prefix[digits] = ':';
	int32_t status = wh_write(c, prefix, digits + 1);
	if (status == WH_OK)
		status = wh_write(c, s, n);
	return status < 0 ? status : wh_write(c, ",", 1);
}

static bool step_int(wh_conn *c, size_t size) {
	framer *f = &c->framer;
	if (f->left < size)
		return false;
	uint32_t length = 0;
	for (size_t i = 0; i < size; i++)
		length = length << 8 | f->at[i];
	if (length > longest(f)) {
		if (c->protocol->length_limit_exceeded != NULL)
			c->protocol->length_limit_exceeded(c, length);
		if (!wh_disconnecting(c)) // what follows has no frame any more
			close_for(c, "a string is too long");
		return false;
	}
	if (f->left - size < length)
		return false;
	c->protocol->string_received(c, take(f, size + length) + size, length);
	return true;
}

static bool step_int8(wh_conn *c) { return step_int(c, 1); }
static bool step_int16(wh_conn *c) { return step_int(c, 2); }
static bool step_int32(wh_conn *c) { return step_int(c, 4); }

void wh_int8_receiver(wh_conn *c, const uint8_t *p, size_t n) { pump(c, p, n, step_int8); }
void wh_int16_receiver(wh_conn *c, const uint8_t *p, size_t n) { pump(c, p, n, step_int16); }
void wh_int32_receiver(wh_conn *c, const uint8_t *p, size_t n) { pump(c, p, n, step_int32); }

static int32_t send_int(wh_conn *c, const void *s, size_t n, size_t size) {
	if ((uint64_t)n >> (8 * size) > 0)
		return WH_E2BIG;
	uint8_t prefix[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
	int32_t status = wh_write(c, prefix + 4 - size, size);
	return status < 0 ? status : wh_write(c, s, n);
}

int32_t wh_send_int8(wh_conn *c, const void *s, size_t n) { return send_int(c, s, n, 1); }
int32_t wh_send_int16(wh_conn *c, const void *s, size_t n) { return send_int(c, s, n, 2); }
int32_t wh_send_int32(wh_conn *c, const void *s, size_t n) { return send_int(c, s, n, 4); }

const uint8_t *wh_held(const wh_conn *c, size_t *n) {
	const framer *f = &c->framer;
	*n = f->busy ? f->left : f->held.len;
	return f->busy ? f->at : f->held.p;
}

void wh_restore_held(wh_conn *c, const uint8_t *p, size_t n) {
	c->framer.held.len = 0;
	wh_buf_add(&c->framer.held, p, n);
}

void wh_framer_save(const wh_conn *c, wh_buf *b) {
	size_t n;
	const uint8_t *held = wh_held(c, &n);
	uint8_t flags = (uint8_t)((c->framer.paused ? 1 : 0) | (c->framer.raw ? 2 : 0));
	wh_buf_add(b, &flags, 1);
	wh_buf_add_leb(b, n);
	wh_buf_add(b, held, n);
}

ptrdiff_t wh_framer_restore(wh_conn *c, const uint8_t *p, size_t n) {
	uint64_t size;
	size_t leb = n > 0 ? wh_get_leb(p + 1, n - 1, &size) : 0;
	if (leb == 0 || size > n - 1 - leb)
		return -1;
	c->framer.paused = (p[0] & 1) != 0;
	c->framer.raw = (p[0] & 2) != 0;
	wh_restore_held(c, p + 1 + leb, (size_t)size);
	return (ptrdiff_t)(1 + leb + size);
}

// Configuration ---------------------------------------------------------------------------------

typedef struct json {
	const uint8_t *p, *end;
} json;

// The next byte that is no space; 0 is the end.
static uint8_t peek(json *j) {
	while (j->p < j->end && (*j->p == ' ' || *j->p == '\t' || *j->p == '\n' || *j->p == '\r'))
		j->p++;
	return j->p < j->end ? *j->p : 0;
}

static bool accept_byte(json *j, uint8_t b) { return peek(j) == b && (j->p++, true); }

static bool word(json *j, const char *w) {
	size_t n = text_length(w);
	if (peek(j) != (uint8_t)w[0] || (size_t)(j->end - j->p) < n || __builtin_memcmp(j->p, w, n) != 0)
		return false;
	j->p += n;
	return true;
}

static bool hex4(json *j, uint32_t *v) {
	if (j->end - j->p < 4)
		return false;
	*v = 0;
	for (int i = 0; i < 4; i++) {
		uint32_t b = *j->p++, low = b | 0x20;
		if (b >= '0' && b <= '9')
			*v = *v << 4 | (b - '0');
		else if (low >= 'a' && low <= 'f')
			*v = *v << 4 | (low - 'a' + 10);
		else
			return false;
	}
	return true;
}

static void add_utf8(wh_buf *b, uint32_t r) {
	uint8_t u[4];
	size_t n = r < 0x80 ? 1 : r < 0x800 ? 2 : r < 0x10000 ? 3 : 4;
	for (size_t i = n - 1; i > 0; i--, r >>= 6)
		u[i] = (uint8_t)(0x80 | (r & 0x3f));
	u[0] = (uint8_t)(n == 1 ? r : (0xf00u >> n & 0xff) | r);
	wh_buf_add(b, u, n);
}

static bool escape(json *j, wh_buf *b) {
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	if (j->p == j->end)
		return false;
	uint8_t e = *j->p++;
	for (size_t i = 0; from[i] != 0; i++)
		if ((uint8_t)from[i] == e) {
			wh_buf_add(b, &to[i], 1);
			return true;
		}
	uint32_t high, low;
	if (e != 'u' || !hex4(j, &high))
		return false;
	if (high >> 10 == 0xd800 >> 10) { // a pair of surrogates
		if (!word(j, "\\u") || !hex4(j, &low) || low >> 10 != 0xdc00 >> 10)
			return false;
		high = 0x10000 + ((high & 0x3ff) << 10 | (low & 0x3ff));
	}
	add_utf8(b, high);
	return true;
}

static bool string(json *j, wh_buf *b) {
	b->len = 0;
	if (!accept_byte(j, '"'))
		return false;
	while (j->p < j->end) {
		uint8_t byte = *j->p++;
		if (byte == '"')
			return true;
		if (byte != '\\')
			wh_buf_add(b, &byte, 1);
		else if (!escape(j, b))
			return false;
	}
	return false;
}

static bool integer(json *j, int64_t *v) {
	bool minus = accept_byte(j, '-');
	int64_t n = 0;
	int digits = 0;
	for (; j->p < j->end && *j->p >= '0' && *j->p <= '9' && digits < 18; digits++)
		n = n * 10 + (*j->p++ - '0');
	*v = minus ? -n : n;
	uint8_t next = j->p < j->end ? *j->p : 0;
	return digits > 0 && next != '.' && (next | 0x20) != 'e' && !(next >= '0' && next <= '9');
}

static bool value(json *j, const wh_option *o) {
	if (o->kind == WH_TEXT)
		return string(j, o->value);
	if (o->kind == WH_INT)
		return integer(j, o->value);
	*(bool *)o->value = peek(j) == 't';
	return word(j, "true") || word(j, "false");
}

static int config_fault(const char *key, size_t n, const char *fault) {
	wh_buf b = {0};
	add_text(&b, "config");
	if (n > 0)
		add_text(&b, ".");
	wh_buf_add(&b, key, n);
	add_text(&b, fault);
	wh_log_bytes(WH_ERROR, b.p, b.len);
	wh_buf_free(&b);
	return -1;
}

static int member(json *j, wh_buf *key, const wh_option *options, size_t n) {
	static const char *const wanted[] = {": wanted a text", ": wanted a whole number", ": wanted true or false"};
	if (!string(j, key) || !accept_byte(j, ':'))
		return config_fault("", 0, ": found other than a key and a value");
	for (size_t i = 0; i < n; i++) {
		const wh_option *o = &options[i];
		if (text_length(o->key) == key->len && __builtin_memcmp(o->key, key->p, key->len) == 0)
			return value(j, o) ? 0 : config_fault(o->key, key->len, wanted[o->kind]);
	}
	return config_fault((const char *)key->p, key->len, ": no such key");
}

static int members(json *j, wh_buf *key, const wh_option *options, size_t n) {
	if (peek(j) == 0 || word(j, "null"))
		return 0;
	if (!accept_byte(j, '{'))
		return config_fault("", 0, ": wanted keys and values");
	if (accept_byte(j, '}'))
		return 0;
	do {
		if (member(j, key, options, n) != 0)
			return -1;
	} while (accept_byte(j, ','));
	return accept_byte(j, '}') ? 0 : config_fault("", 0, ": cut short");
}

int wh_config(const wh_option *options, size_t n) {
	int32_t size = wh_config_json(NULL, 0);
	if (size < 0)
		return size;
	wh_buf key = {0};
	uint8_t *text = wh_alloc((size_t)size + 1);
	wh_config_json((char *)text, (size_t)size);
	json j = {text, text + size};
	int status = members(&j, &key, options, n);
	wh_buf_free(&key);
	wh_free(text);
	return status;
}
