// A project without a C library, that has an allocator of its own: as wh_alloc and
// wh_free, or with -DMALLOC as malloc alone.
#include "wirehost.h"

static uint8_t room[1 << 20];
static size_t taken;

static void *take(size_t n) {
	uint8_t *p = room + taken;
	taken += (n + 15) / 16 * 16;
	return taken <= sizeof room ? p : NULL;
}

#ifdef MALLOC
void *malloc(size_t n) { return take(n); }
#else
void *wh_alloc(size_t n) { return take(n); }
void wh_free(void *p) { (void)p; }
#endif

static void line(wh_conn *c, const uint8_t *p, size_t n) {
	wh_write_text(c, taken > 0 ? "own: " : "not own: ");
	wh_send_line(c, p, n);
}

static const wh_protocol lines = {.data_received = wh_line_receiver, .line_received = line};

static const wh_protocol *build(wh_conn *c) {
	(void)c;
	return &lines;
}

const wh_factory wirehost_factory = {.build_protocol = build};
